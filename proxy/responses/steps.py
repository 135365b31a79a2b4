"""The steps an exchange asks for, as values."""

from dataclasses import dataclass
from typing import NamedTuple


class Forward(NamedTuple):
    """Send `body` upstream, `delay` seconds from now."""

    body: bytes
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Relay:
    """Give the client the first refusal, byte for byte."""
