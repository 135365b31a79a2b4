"""An upstream's half of a session: it answers each message of the client, and remembers every byte.

talk = Talk([created("resp_1"), completed("resp_1")], close_frame(1009))
upstream.will_answer(script(switching(), talk, END))
"""

import socket
import threading
from typing import Any

from tests.support.scripts import PATIENCE
from tests.support.sessions import messages, text

Reply = bytes | list[Any]


class Talk:
    """Answers the n-th text message with the n-th reply: events, or bytes. `data` are all bytes that came."""

    def __init__(self, *replies: Reply) -> None:
        self.data = b""
        self.was_reset = False
        self._replies = [_written(reply) for reply in replies]
        self._news = threading.Condition()
        self._over = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        """Read and answer until the other side ends."""
        answered = 0
        try:
            while piece := connection.recv(65536):
                with self._news:
                    self.data += piece
                    self._news.notify_all()
                while answered < min(len(self.messages), len(self._replies)):
                    connection.sendall(self._replies[answered])
                    answered += 1
        except ConnectionError:
            self.was_reset = True
        finally:
            self._over.set()

    @property
    def messages(self) -> list[Any]:
        """The text messages that have come whole."""
        return messages(self.data)

    def wait_messages(self, count: int) -> list[Any]:
        """Wait until so many messages have come; what they are."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.messages) >= count, PATIENCE), "these messages never came"
        return self.messages

    def wait(self, ending: bytes) -> None:
        """Wait until the bytes so far end in `ending`."""
        with self._news:
            assert self._news.wait_for(lambda: self.data.endswith(ending), PATIENCE), "these bytes never came"

    def wait_over(self) -> None:
        """Wait for the end."""
        assert self._over.wait(PATIENCE), "the other side never ended"


def _written(reply: Reply) -> bytes:
    return reply if isinstance(reply, bytes) else b"".join(text(event, b"") for event in reply)
