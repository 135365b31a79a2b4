"""What a connection refuses before there is a request, and its answer as bytes."""

import secrets
from typing import Any

from proxy.http import wire
from proxy.http.faults import CLIENT, LAST, Fault, id_fields


def no_http() -> Fault:
    """What arrived is no request of HTTP."""
    return Fault(400, "invalid_request", "Invalid HTTP request received.", kind=CLIENT)


def too_slow(seconds: float) -> Fault:
    """A head has not arrived within so many seconds."""
    return Fault(408, "header_timeout", f"The request's head did not come within {seconds:g} seconds.", kind=CLIENT)


def too_much_behind(most: int) -> Fault:
    """A client has sent more than so many bytes in the protocol that it asks for, before it has the answer."""
    message = f"More than {most} bytes follow the handshake before it is answered."
    return Fault(400, "too_much_behind_handshake", message, kind=CLIENT)


def raw(fault: Fault) -> bytes:
    """The whole answer, after which the connection ends."""
    start, _ = fault.messages()
    fields: Any = start["headers"]
    ids = id_fields(f"req-{secrets.token_hex(6)}")
    head = wire.head(b"HTTP/1.1 %d " % fault.status, (*fields, *ids, LAST))
    return head + fault.body()
