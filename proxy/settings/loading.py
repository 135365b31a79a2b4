"""From the sources to a `Settings` object, or to a sentence that says why not.

Three steps, each of which may raise SettingsError: find the text of every setting (`sources`), parse it by the kind
that its row names (`parsers`), and check what concerns more than one setting (`_check`).
"""

import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from proxy.http.base_url import BaseUrl, OutboundProxy, base_url
from proxy.settings.address import Address, leads_to
from proxy.settings.errors import SettingsError, shown
from proxy.settings.model import Settings
from proxy.settings.outbound_proxy import ENVIRONMENT, variable_for
from proxy.settings.parsers import ADDRESS, PROXY_VARIABLE, Kind
from proxy.settings.sources import PREFIX, Sources, unknown
from proxy.settings.table import GONE, TABLE
from proxy.settings.telemetry import Telemetry, telemetry

_NAMES: Final = (*(row.name for row in TABLE), *GONE)
"""What a flag, a variable or a line of a file may set; what is gone is ignored, with a warning."""
_FIRST_DESCRIPTOR: Final = 3  # SD_LISTEN_FDS_START


class Loaded(NamedTuple):
    """Settings, and the texts that they were made of: those of the files may be others when they are read again."""

    settings: Settings
    texts: dict[str, str]


def load(flags: Mapping[str, str | None], environment: Mapping[str, str] | None = None) -> Settings:
    """The settings from the command line (by name, None where not given), the environment, a file, or the defaults.

    Raises SettingsError.
    """
    return read(flags, environment).settings


def read(flags: Mapping[str, str | None], environment: Mapping[str, str] | None = None) -> Loaded:
    """As `load`, with the texts. Raises SettingsError."""
    environment = os.environ if environment is None else environment
    found = Sources(flags, environment, _NAMES)
    texts: dict[str, str] = {}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for row in TABLE:
        texts[row.name], sources[row.name] = next(iter(found.texts(row.name)), (row.default, row.variable))
        values[row.name] = _parsed(row.kind, texts[row.name], sources[row.name])
    if values["upstream_proxy"] == ENVIRONMENT:
        values["upstream_proxy"] = _proxy_from(environment, base_url(values["upstream"]))
    settings = Settings(**values)
    _check(settings, sources)
    return Loaded(settings, texts)


def handed_on(texts: Mapping[str, str]) -> Settings:
    """The settings of these texts alone; of the environment only what is no setting of ours is read."""
    foreign = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return load(texts, foreign)


def tracing() -> Telemetry:
    """Where traces go, by the standard variables. Raises SettingsError."""
    return telemetry(os.environ)


class Handover(NamedTuple):
    """What systemd hands to a process that it starts: descriptors with their names, and where it is notified."""

    descriptors: tuple[tuple[int, str], ...] = ()
    notify: str = ""


def handover() -> Handover:
    """What systemd hands over (sd_listen_fds(3), sd_notify(3)); taken out of the environment, which workers inherit.

    Raises SettingsError.
    """
    pid, count, names = (os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    notify = os.environ.pop("NOTIFY_SOCKET", "")
    if pid != str(os.getpid()):
        return Handover(notify=notify)
    if not count.isascii() or not count.isdigit():
        raise SettingsError(f"LISTEN_FDS is {shown(count)}, but must be a number of descriptors.")
    found = [*names.split(":"), *[""] * int(count)][: int(count)]
    return Handover(tuple(enumerate(found, _FIRST_DESCRIPTOR)), notify)


def address(source: str, text: str) -> Address:
    """The address that `text`, the value of `source`, names. Raises SettingsError."""
    found: Address = _parsed(ADDRESS, text, source)
    return found


def warnings(flags: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each setting that is gone, and for each variable that only looks like a setting."""
    environment = os.environ if environment is None else environment
    found = Sources(flags, environment, _NAMES)
    gone = [
        f"{source} is gone and has no effect: {replacement}"
        for name, replacement in GONE.items()
        for _, source in found.texts(name)
    ]
    return [*gone, *unknown(environment, _NAMES)]


def unused_proxy(settings: Settings, environment: Mapping[str, str] | None = None) -> str | None:
    """The variable that names a proxy for upstream, such as HTTPS_PROXY, where upstream is reached without a proxy."""
    if settings.upstream_proxy is not None:
        return None
    return variable_for(base_url(settings.upstream), os.environ if environment is None else environment)


def wants_color(environment: Mapping[str, str] | None = None) -> bool:
    """Whether a terminal may be written to in colors (no-color.org)."""
    return not (os.environ if environment is None else environment).get("NO_COLOR")


def _parsed(kind: Kind, text: str, source: str) -> Any:
    try:
        return kind.read(text.strip())
    except (ValueError, KeyError, OSError):
        value = "set to something else" if kind.secret else shown(text)
        raise SettingsError(f"{source} is {value}, but must be {kind.allowed}.") from None


def _proxy_from(environment: Mapping[str, str], upstream: BaseUrl) -> OutboundProxy | None:
    variable = variable_for(upstream, environment)
    if variable is None:
        return None
    proxy: OutboundProxy = _parsed(PROXY_VARIABLE, environment[variable], variable)
    return proxy


def _check(settings: Settings, sources: Mapping[str, str]) -> None:
    """Raise SettingsError where two settings contradict each other; `sources` names each as it was given."""
    if settings.upstream_proxy is not None and base_url(settings.upstream).socket:
        raise SettingsError(
            f"{sources['upstream_proxy']} is set, but {sources['upstream']} is a Unix socket, which no proxy reaches."
        )
    if settings.workers > 1 and settings.store == "memory":
        raise SettingsError(
            f"{sources['store']} is memory, which belongs to one process, but {sources['workers']} asks for "
            f"{settings.workers}: a store that they share is sqlite:///FILE."
        )
    _check_conversations(settings, sources)
    for name in ("tls_key", "tls_client_ca"):
        if getattr(settings, name) is not None and settings.tls_cert is None:
            raise SettingsError(f"{sources[name]} is set, but {sources['tls_cert']} is not.")
    for name, listening in (("listen", settings.listen), ("admin_listen", settings.admin_listen)):
        if listening is not None and leads_to(settings.upstream, listening):
            raise SettingsError(
                f"{sources['upstream']} is {shown(settings.upstream)}, but must not be where {sources[name]} "
                f"({listening}) listens: it would call itself."
            )


def _check_conversations(settings: Settings, sources: Mapping[str, str]) -> None:
    if settings.conversations != "upstream" and settings.store == "off":
        raise SettingsError(f"{sources['conversations']} is {settings.conversations}, but {sources['store']} is off.")
    if settings.conversations == "store" and settings.store == "memory":
        raise SettingsError(
            f"{sources['conversations']} is store, but {sources['store']} is memory, which belongs to one process: "
            "where there is only one, say process."
        )
