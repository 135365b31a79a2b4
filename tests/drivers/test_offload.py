"""Where an exchange is asked for its steps: small and ordinary bodies in the loop, others in another thread."""

import threading

import pytest

from proxy.drivers import offload
from proxy.responses.body.size import MOST
from proxy.responses.exchange import Exchange
from proxy.responses.policy import Policy
from proxy.responses.steps import Forward, Relay

pytestmark = pytest.mark.anyio
LONG = b'"' + b"a" * offload.LARGE + b'"'
ORDINARY = b'{"input":[{"role":"user","content":' + LONG + b"}]}"
ODD = b'{"input":[{"role":"user","content":' + LONG + b',"n":NaN}]}'


class Watched(Exchange):
    """An exchange that notes in which thread it was asked, but for glances."""

    threads: list[str]

    def look(self) -> Forward:
        """Take note."""
        self.threads = [threading.current_thread().name]
        return super().look()

    def receive(self, status: int, body: bytes) -> Forward | Relay:
        """Take note."""
        self.threads = [*getattr(self, "threads", ()), threading.current_thread().name]
        return super().receive(status, body)


@pytest.mark.parametrize(("body", "elsewhere"), [(b'{"input":"x"}', False), (b'{"input":[NaN]}', False), (ODD, True)])
async def test_where_a_body_is_looked_at(body: bytes, *, elsewhere: bool) -> None:
    """A small body is looked at where it came in, whatever it is; a large one that is odd is not."""
    exchange = Watched(body, Policy())
    step = await offload.first_step(exchange, body)
    assert step == Forward(body)
    assert await offload.next_step(exchange, body, 404, b"{}") == Relay()
    assert [name.startswith("unpinned-beside") for name in exchange.threads] == [elsewhere] * 2


async def test_a_large_ordinary_body_needs_a_glance_only() -> None:
    """No thread is asked for what takes a millisecond; a refusal of it is looked at elsewhere."""
    exchange = Watched(ORDINARY, Policy())
    assert await offload.first_step(exchange, ORDINARY) == Forward(ORDINARY)
    assert not hasattr(exchange, "threads")
    assert await offload.next_step(exchange, ORDINARY, 404, b"{}") == Relay()
    assert exchange.threads[0].startswith("unpinned-beside")


@pytest.mark.parametrize("item", [b"1,", b"{},", b"[],"])
@pytest.mark.parametrize("size", [0, 5_000_000])
async def test_what_holds_too_much_is_not_looked_at(item: bytes, size: int) -> None:
    """Neither elements nor objects nor arrays are read beyond a number, in a larger or a smaller body."""
    body = b'{"input":[' + item * MOST + b'"' + b"a" * size + b'"]}'
    assert await offload.first_step(Exchange(body, Policy()), body) is None
