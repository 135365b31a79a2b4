"""`unpinned healthcheck`: asks the process on this machine whether it takes requests, as a container's health check.

The standard library alone, and of that not `http`: it starts every few seconds, and mostly starting is what it does.
"""

import socket
import sys
from typing import Final

from proxy.settings.address import Address

TIMEOUT: Final = 2.0
_HERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- where a listener on every address is reached


def healthcheck(admin: Address | None) -> int:
    """0 if the process whose admin listener is at `admin` is ready; otherwise 1, and a sentence that says why."""
    if admin is None:
        return _unhealthy("UNPINNED_ADMIN_LISTEN is off: there is no listener to query.")
    try:
        status = _status(admin)
    except (OSError, ValueError) as error:
        return _unhealthy(f"http://{admin}/readyz does not answer: {error}.")
    return 0 if status == 200 else _unhealthy(f"http://{admin}/readyz answers {status}.")


def _status(admin: Address) -> int:
    with _connected(admin) as connection, connection.makefile("rb") as answer:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        version, _, rest = answer.readline(1024).partition(b" ")
        if not version.startswith(b"HTTP/1."):
            raise ValueError("that is no HTTP")
        return int(rest[:3])


def _connected(admin: Address) -> socket.socket:
    if not admin.path:
        return socket.create_connection((_HERE.get(admin.host, admin.host), admin.port), TIMEOUT)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(TIMEOUT)
    connection.connect(admin.path)
    return connection


def _unhealthy(why: str) -> int:
    sys.stderr.write(f"unpinned: {why}\n")
    return 1
