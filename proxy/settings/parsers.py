"""How the text of a setting becomes its value: one `Kind` for each sort of value.

A reader raises ValueError, KeyError or OSError for what cannot be used; nothing here knows which settings there are.
"""

import base64
import re
import ssl
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from proxy.http.base_url import OutboundProxy, base_url
from proxy.settings.address import Address
from proxy.settings.machine import memory_limit, processors
from proxy.settings.outbound_proxy import ENVIRONMENT, from_variable, outbound_proxy


class Kind(NamedTuple):
    """How the text of a setting becomes its value; `allowed` completes the sentence «must be …»."""

    read: Callable[[str], Any]
    allowed: str
    secret: bool = False
    """The text is never shown."""
    choices: tuple[str, ...] = ()
    """The words that it can be, where it can be no other."""


def _address(text: str) -> Address:
    if text.startswith("unix:"):
        if not text.removeprefix("unix:"):
            raise ValueError
        return Address("", path=text.removeprefix("unix:"))
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\[\]:/\s]*)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise ValueError
    return Address(match[1] or match[2] or "0.0.0.0", int(match[3]))  # noqa: S104 -- `:8080` asks for it


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e9:
        raise ValueError
    return seconds


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise ValueError
    return share


def _size(text: str) -> int:
    match = re.fullmatch(r"([0-9]+)(?:([KMG])i?B?|B)?", text, re.IGNORECASE)
    if match is None or int(match[1]) == 0:
        raise ValueError
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[(match[2] or "").upper()]


def _count(least: int, most: float = float("inf")) -> Callable[[str], int]:
    def count(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError
        return int(text)

    return count


def _switch(text: str) -> bool:
    return {"on": True, "off": False}[text.lower()]


def choice(*choices: str) -> Kind:
    """One of some words, in any case."""
    return Kind(lambda text: {each: each for each in choices}[text.lower()], " or ".join(choices), choices=choices)


def _upstream(text: str) -> str:
    if re.search(r"[\x00-\x20\x7f]", text):
        raise ValueError
    base_url(text)
    return text


def _proxy(text: str) -> OutboundProxy | str | None:
    if text == "none":
        return None
    return text if text == ENVIRONMENT else outbound_proxy(text)


def _file(text: str) -> str | None:
    if text in ("", "system"):
        return None
    ssl.create_default_context(cafile=text)
    return text


def _name(default: str) -> Kind:
    """A name; None for the word that stands for what there is without one."""

    def name(text: str) -> str | None:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text):
            raise ValueError(text)
        return None if text == default else text

    return Kind(name, f"a name of at most 64 letters, digits, dots, dashes and underscores, or {default}")


def _field_names(text: str) -> frozenset[bytes]:
    if text == "none":
        return frozenset()
    names = [name.strip().lower() for name in text.split(",")]
    if not all(re.fullmatch(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}", name) for name in names):
        raise ValueError(text)
    return frozenset(name.encode() for name in names)


def _told(text: str) -> str:
    """A secret as it stands in a setting, or in the file that a setting names: `file:PATH`."""
    if not text.startswith("file:"):
        return text
    with open(text.removeprefix("file:")) as file:  # noqa: PTH123 -- nothing else here has a use for paths
        return file.read().strip()


def _store(text: str) -> str:
    text = _told(text)
    if text not in ("off", "memory") and not re.match(r"(redis|rediss|unix|postgresql)://|sqlite:///.", text):
        raise ValueError(text)
    return text


class Keys(NamedTuple):
    """What encrypts a store: the first of the keys, while the others, and what is not encrypted, are still read."""

    keys: tuple[bytes, ...] = ()
    reads_plain: bool = False


def _keys(text: str) -> Keys:
    words = _told(text).replace(",", " ").split()
    if words in (["none"], []):
        return Keys()
    keys = tuple(base64.b64decode(word, validate=True) for word in words if word != "plain")
    if not keys or any(len(key) != 32 for key in keys):
        raise ValueError
    return Keys(keys, "plain" in words)


def _duration(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    if match is None or int(match[1]) == 0:
        raise ValueError
    return int(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


ADDRESS: Final = Kind(_address, "HOST:PORT, [IPV6]:PORT or unix:/PATH")
ADMIN: Final = Kind(lambda text: None if text == "off" else _address(text), "HOST:PORT, [IPV6]:PORT, unix:/PATH or off")
URL: Final = Kind(
    _upstream, "an http:// or https:// URL with a host, or http://unix:/PATH, without credentials, query and fragment"
)
PROXY: Final = Kind(_proxy, "none, env, or the URL of an http:// or https:// proxy (SOCKS is not supported)")
PROXY_VARIABLE: Final = Kind(
    from_variable, "HOST:PORT, or the URL of an http:// or https:// proxy (SOCKS is not supported)"
)
FILE: Final = Kind(_file, "the path of a PEM file with certificates, or system")
PATH: Final = Kind(lambda text: None if text in ("", "none") else text, "the path of a file, or none")
SECONDS: Final = Kind(_seconds, "a number of seconds greater than 0")
SHARE: Final = Kind(_share, "a number from 0 to 1")
SIZE: Final = Kind(_size, "a number of bytes, or a size like 64MiB")
FROM_0: Final = Kind(_count(0), "a whole number, 0 or more")
FROM_1: Final = Kind(_count(1), "a whole number, 1 or more")
SWITCH: Final = Kind(_switch, "on or off", choices=("on", "off"))
STORE: Final = Kind(
    _store,
    "off, memory, sqlite:///FILE, postgresql://…, the URL of a Redis (redis://…, rediss://… or unix://…), or file:PATH "
    "of a file with one of these",
)
KEYS: Final = Kind(
    _keys,
    "none, or keys of 32 bytes in Base64 with commas between them, the last of which may be the word plain, or "
    "file:PATH of a file with such a list",
    secret=True,
)
MEMORY: Final = Kind(
    lambda text: memory_limit() // 2 if text == "auto" else _size(text),
    "a number of bytes, a size like 512MiB, or auto",
)
WORKERS: Final = Kind(
    lambda text: processors() if text == "auto" else _count(1, 256)(text), "a whole number from 1 to 256, or auto"
)
FIELD_NAMES: Final = Kind(_field_names, "names of header fields with commas between them, or none")
DURATION: Final = Kind(
    _duration, "a whole number of seconds greater than 0, or one of minutes, hours or days as in 30d"
)
SCOPE: Final = _name("credential")
PLACE: Final = _name("upstream")
