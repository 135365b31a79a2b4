"""What a WebSocket is refused with, beside all that a request is refused with: lanes, age, handshake.

Codes are those of OpenAI's guide to WebSocket mode (read 2026-09); of the sentences only that of the age is published.
"""

import json

from .refusals import Refusal


def wrong_lane() -> Refusal:
    """A lane with a name that lanes do not have."""
    message = "Invalid 'stream_id': expected 1 to 256 letters, digits, underscores, dots, or dashes."
    return Refusal(message, param="stream_id", code="invalid_stream_id")


def too_many_lanes(most: int) -> Refusal:
    """One lane more than a connection may have."""
    message = f"A WebSocket connection may have at most {most} streams."
    return Refusal(message, param="stream_id", code="websocket_stream_limit_reached")


def too_old(seconds: float) -> Refusal:
    """A connection that has lasted as long as one may."""
    message = (
        f"Responses websocket connection limit reached ({seconds / 60:g} minutes). Create a new websocket connection "
        "to continue."
    )
    return Refusal(message, code="websocket_connection_limit_reached")


def no_handshake() -> Refusal:
    """A handshake without a key, or of another version."""
    return Refusal("The WebSocket handshake is invalid.")


def scripted(status: int, body: bytes) -> Refusal:
    """A refusal as it was scripted for HTTP: JSON in OpenAI's shape, or text."""
    try:
        error = json.loads(body)["error"]
        return Refusal(error["message"], param=error.get("param"), code=error.get("code"), status=status)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Refusal(body.decode("utf-8", "replace"), status=status)
