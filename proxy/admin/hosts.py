"""Which Host fields the live page answers: those that only this machine can have.

A foreign page whose name resolves to 127.0.0.1 (DNS rebinding) sends its own name as Host. An address as Host is
safe: no name server stands between it and its machine.
"""

import ipaddress
import re
from typing import Final

_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?")


def is_own(host: str, listening: str = "") -> bool:
    """Whether the Host field names this machine: by `localhost`, an address, or the name where it listens."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = (found[1] or found[2]).lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost") or _is_address(name) or name == listening.lower() != ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
