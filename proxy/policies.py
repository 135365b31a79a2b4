"""What the settings say may be done to a request."""

from typing import Final, Literal

from proxy.responses.steps import Policy
from proxy.settings import Settings
from proxy.upstream.base_url import base_url

_AZURE: Final = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")


def policy(settings: Settings) -> Policy:
    """What may be done to a request."""
    return Policy(
        mode=settings.mode,
        profile=profile(settings),
        keep_last=settings.keep_last,
        max_recoveries=settings.max_recoveries,
        drop_conversation=settings.drop_conversation,
        tell_ids=settings.log_level == "debug",
        recalls=settings.store != "off",
        remembers_all=settings.store_unstored,
    )


def profile(settings: Settings) -> Literal["openai", "azure"]:
    """The dialect of upstream: as set, or by its host."""
    if settings.profile != "auto":
        return settings.profile
    return "azure" if base_url(settings.upstream).host.endswith(_AZURE) else "openai"
