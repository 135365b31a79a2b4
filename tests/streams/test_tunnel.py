"""Two streams joined, over real sockets: bytes, ends and resets pass from one side to the other, and nothing else."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from proxy.streams import tunnel
from proxy.streams.stream import HIGH_WATER, Stream
from proxy.streams.tunnel import converse, relay
from tests.support.peers import Peer, peer
from tests.support.raw_client import PATIENCE

Join = Callable[[Stream, Stream], Awaitable[None]]


def play(scene: Callable[[Peer, Peer], Awaitable[None]], join: Join = relay, behind: bytes = b"") -> None:
    """Join two connections, and let the test be both ends; the tunnel must be over when the scene is."""

    async def main() -> None:
        client, upstream = await peer(behind), await peer()
        joined = asyncio.ensure_future(join(client.stream, upstream.stream))
        try:
            async with asyncio.timeout(PATIENCE):
                await scene(client, upstream)
                await joined
            assert client.stream.is_gone
            assert upstream.stream.is_gone
        finally:
            client.socket.close()
            upstream.socket.close()

    uvloop.run(main())


async def gently(client: Stream, upstream: Stream) -> None:
    """Join two streams by coroutines that read and write, as one who looks at the bytes does."""

    async def direction(source: Stream, into: Stream) -> None:
        while data := await source.read():
            into.write(data)
            await into.drained()

    await converse(client, upstream, direction(client, upstream), direction(upstream, client))


both = pytest.mark.parametrize("join", [relay, gently])


@both
def test_bytes_pass_both_ways(join: Join) -> None:
    """All of them, in order, what came behind the head first."""

    async def scene(client: Peer, upstream: Peer) -> None:
        await client.send(b"more")
        assert await upstream.take(8) == b"headmore"
        await upstream.send(b"back")
        assert await client.take(4) == b"back"
        assert (client.stream.received, upstream.stream.received) == (8, 4)
        client.end()
        upstream.end()

    play(scene, join, b"head")


@both
@pytest.mark.parametrize("first", [0, 1], ids=["client", "upstream"])
def test_an_end_is_an_end_on_the_other_side(join: Join, first: int) -> None:
    """FIN becomes FIN behind the last byte; what the other side still says passes, and then its own FIN."""

    async def scene(*peers: Peer) -> None:
        one, other = peers[first], peers[1 - first]
        await one.send(b"x" * 300_000)
        one.end()
        assert len(await other.take(300_001)) == 300_000
        await other.send(b"bye")
        other.end()
        assert await one.take(4) == b"bye"

    play(scene, join)


@both
@pytest.mark.parametrize("first", [0, 1], ids=["client", "upstream"])
def test_a_reset_is_a_reset_on_the_other_side(join: Join, first: int) -> None:
    """It cannot be taken for an end."""

    async def scene(*peers: Peer) -> None:
        one, other = peers[first], peers[1 - first]
        await one.send(b"x")
        assert await other.take(1) == b"x"
        one.reset()
        await other.sees_a_reset()

    play(scene, join)


@both
@pytest.mark.parametrize("first", [0, 1], ids=["client", "upstream"])
def test_the_other_side_does_not_take_its_time(join: Join, first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not end after the other has is cut off; the one that waits for its end sees that it was cut."""
    monkeypatch.setattr(tunnel, "GRACE", 0.2)

    async def scene(*peers: Peer) -> None:
        one, other = peers[first], peers[1 - first]
        one.end()
        assert await other.take(1) == b""
        await one.sees_a_reset()

    play(scene, join)


@both
def test_a_slow_reader_stops_the_source(join: Join) -> None:
    """Little more than the high-water mark is held for one that does not read; it gets every byte in the end."""
    size = 20_000_000

    async def scene(client: Peer, upstream: Peer) -> None:
        sending = asyncio.create_task(upstream.send(bytes(size)))
        before = -1
        while before != upstream.stream.received:
            before = upstream.stream.received
            await asyncio.sleep(0.2)
        assert before < size / 2
        waiting = client.stream._transport.get_write_buffer_size()
        most = 2 if join is relay else 4  # who reads holds as much again
        assert HIGH_WATER < waiting + upstream.stream._held <= most * HIGH_WATER
        assert len(await client.take(size)) == size
        await sending
        client.end()
        upstream.end()

    play(scene, join)


@both
def test_an_end_waits_for_a_slow_reader(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds that the other side has begin when it has all bytes."""
    monkeypatch.setattr(tunnel, "GRACE", 0.2)
    size = 10_000_000

    async def scene(client: Peer, upstream: Peer) -> None:
        sending = asyncio.create_task(upstream.send(bytes(size)))
        await asyncio.sleep(0.5)
        taken = len(await client.take(1_000_000))
        await asyncio.sleep(0.5)
        taken += len(await client.take(size - taken))
        assert taken == size
        await sending
        upstream.end()
        assert await client.take(1) == b""
        client.end()

    play(scene, join)


def test_a_cancelled_tunnel_is_cut() -> None:
    """Both sides see a reset when the process has no more time."""

    async def main() -> None:
        gone: list[Exception | None] = []
        client, upstream = await peer(lost=gone.append), await peer()
        joined = asyncio.create_task(relay(client.stream, upstream.stream))
        await client.send(b"x")
        assert await upstream.take(1) == b"x"
        joined.cancel()
        with pytest.raises(asyncio.CancelledError):
            await joined
        for side in (client, upstream):
            await side.sees_a_reset()
        assert gone == [None]

    uvloop.run(main())


def test_a_direction_that_fails_breaks_the_tunnel() -> None:
    """An error of whoever reads the bytes is raised, and both sides are reset."""

    async def main() -> None:
        client, upstream = await peer(), await peer()

        async def failing() -> None:
            raise ValueError("no frame")

        with pytest.raises(ValueError, match="no frame"):
            await converse(client.stream, upstream.stream, failing(), upstream.stream.pass_to(client.stream))
        for side in (client, upstream):
            await side.sees_a_reset()

    uvloop.run(main())


def test_a_client_that_has_left_already() -> None:
    """A stream of a connection that is gone is broken for its reader, and takes what is written without a word."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            far = socket.create_connection(listener.getsockname())
            near, _ = listener.accept()
        loop = asyncio.get_running_loop()
        made: tuple[Any, Any] = await loop.connect_accepted_socket(asyncio.Protocol, near)
        made[0].abort()
        stream = Stream(made[0])
        stream.write(b"x")
        stream.end()
        stream.abort()
        with pytest.raises(ConnectionResetError):
            await stream.read()
        with pytest.raises(ConnectionResetError):
            await stream.drained()
        far.close()

    uvloop.run(main())


def test_a_vanished_peer_is_found_by_the_kernel() -> None:
    """TCP keep-alive is on, with its first probe after a minute."""

    async def main() -> None:
        made = await peer()
        connection = made.stream._transport.get_extra_info("socket")
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        made.stream.abort()
        made.socket.close()

    uvloop.run(main())
