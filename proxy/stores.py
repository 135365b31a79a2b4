"""The store that the settings ask for."""

from proxy.settings import Settings, SettingsError
from proxy.store.opening import MissingExtraError, envelope, opened
from proxy.store.seam import Engine, Options


def store(settings: Settings) -> Engine | None:
    """The store; None: off. Raises SettingsError where what it needs is not installed, or its URL leads nowhere."""
    if settings.store == "off":
        return None
    try:
        sealed = envelope(settings.store_key.keys, reads_plain=settings.store_key.reads_plain)
        options = Options(settings.store_ttl, settings.store_max_conversation, settings.store_capacity, sealed)
        return opened(settings.store, options)
    except MissingExtraError as missing:
        setting = "UNPINNED_STORE_KEY" if str(missing) == "encryption" else "UNPINNED_STORE"
        raise SettingsError(
            f"{setting} needs what is not installed: pip install 'unpinned[{missing}]' adds it."
        ) from None
    except ValueError:
        raise SettingsError("UNPINNED_STORE is no URL that its client understands.") from None
