"""What a process needs of the layers above the server, and what one generation of it is."""

import socket
from collections.abc import Callable, Mapping
from typing import NamedTuple

from starlette.types import ASGIApp

from proxy.admin import Instruments
from proxy.server.sockets import ADMIN, LISTEN, Sockets
from proxy.server.tls import listener_context
from proxy.settings import Loaded, Settings

Assembled = tuple[ASGIApp, Instruments]


class Program(NamedTuple):
    """How settings are read again, how logs are written under them, and how the app is made of them."""

    load: Callable[[], Loaded]
    configure: Callable[[Settings], None]
    assemble: Callable[[Settings], Assembled]


class Generation(NamedTuple):
    """Settings, as values and as texts, and the sockets that they name."""

    settings: Settings
    texts: Mapping[str, str]
    listener: socket.socket
    admin: socket.socket | None

    @property
    def sockets(self) -> list[socket.socket]:
        """Its sockets."""
        return [each for each in (self.listener, self.admin) if each is not None]


def generation(loaded: Loaded, sockets: Sockets) -> Generation:
    """The generation of these settings. Raises SettingsError where a socket or a certificate cannot be had."""
    settings, texts = loaded
    listener = sockets.at(LISTEN, settings.listen)
    admin = None if settings.admin_listen is None else sockets.at(ADMIN, settings.admin_listen)
    listener_context(settings)
    return Generation(settings, texts, listener, admin)
