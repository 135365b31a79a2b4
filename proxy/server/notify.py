"""What systemd is told of the process (sd_notify(3)); nothing, where it did not start it."""

import contextlib
import socket
import time


class Notifier:
    """Sends states to the socket at `path`, which may be an abstract one (`@…`); "" is none."""

    def __init__(self, path: str) -> None:
        self._path = f"\0{path[1:]}" if path.startswith("@") else path

    def ready(self) -> None:
        """It serves, or serves again under new settings."""
        self._send("READY=1")

    def reloading(self) -> None:
        """It reads its settings; `ready` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """It drains."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._path:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(state.encode(), self._path)  # who listens there is the service manager's business
