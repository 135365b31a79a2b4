"""Which requests of the Responses API are rewritten, by method and path, and which of its WebSockets have turns."""

from typing import Final

from proxy.report import Route, SocketKind

_ROUTES: Final[dict[bytes, Route]] = {
    b"/responses": "responses",
    b"/responses/input_tokens": "input_tokens",
    b"/responses/compact": "compact",
}
_ENDS: Final = tuple(_ROUTES)


def route_of(method: str, path: bytes) -> Route:
    """The route by the end of the raw path, under any prefix: `/v1`, `/openai/v1`, `/openai/deployments/…`."""
    if method == "POST" and path.endswith(_ENDS):
        return _ROUTES[path[path.rindex(b"/responses") :]]
    return "other"


def socket_kind(path: bytes) -> SocketKind:
    """What a WebSocket at this raw path is: a session of the Responses API, or a tunnel for anything else."""
    return "session" if path.endswith(b"/responses") else "tunnel"
