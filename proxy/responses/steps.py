"""What an exchange may do, and the steps it asks for."""

from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decide what may be done to a request."""

    mode: Literal["strip", "recover", "observe"] = "strip"
    profile: Literal["openai", "azure"] = "openai"
    keep_last: int = 3
    max_recoveries: int = 3
    drop_conversation: bool = False
    tell_ids: bool = False
    """Events name the ids concerned (for logs at DEBUG)."""
    recalls: bool = False
    """There is a store to be asked."""
    remembers_all: bool = False
    """It remembers responses as well of which the client said `store: false`."""


class Forward(NamedTuple):
    """Send `body` upstream, `delay` seconds from now."""

    body: bytes
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Relay:
    """Give the client the first refusal, byte for byte."""
