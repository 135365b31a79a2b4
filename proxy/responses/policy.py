"""What may be done to a request: the settings that decide it, as a value."""

from dataclasses import dataclass
from typing import Final, Literal

Mode = Literal["auto", "strip", "recover", "observe"]
Profile = Literal["openai", "azure"]

_AZURE: Final = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")


def profile_of(host: str) -> Profile:
    """The dialect of the upstream at `host`."""
    return "azure" if host.endswith(_AZURE) else "openai"


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decide what may be done to a request.

    ```python
    from unpinned import Policy

    policy = Policy(mode="recover", max_recoveries=1)
    ```
    """

    mode: Mode = "auto"
    profile: Profile = "openai"
    keep_last: int = 3
    max_recoveries: int = 3
    early: bool = True
    """Refusals inside a stream are judged as well, by its first events."""
    drop_conversation: bool = False
    tell_ids: bool = False
    """Events name the ids concerned (for logs at DEBUG)."""
    recalls: bool = False
    """There is a store for lookups."""
    remembers_all: bool = False
    """It remembers responses as well of which the client said `store: false`."""
    references: Literal["may_go", "go_without_loss", "stay"] = "may_go"
    """Whether references may be taken out of a request: where that loses something as well, only where it does not, or
    never, because its connection knows them."""
