"""What the client of upstream reports of its connections."""

import asyncio

from proxy.http.base_url import base_url
from proxy.upstream.client import Http1Client
from proxy.upstream.interface import Deadlines, Limits, Occupancy, Request
from tests.support.scripts import Gate, event_stream, json_answer
from tests.support.upstream_server import ScriptedUpstream

GET = Request(b"GET", b"/", [(b"host", b"upstream.test")], b"")


def test_occupancy(upstream: ScriptedUpstream) -> None:
    """A connection is in use while its answer arrives, a request without one waits, and afterwards it is idle."""
    gate = Gate()
    upstream.will_answer(event_stream([b"data: 1\n\n", gate]), json_answer({}))

    async def work() -> None:
        client = Http1Client(base_url(upstream.url), Deadlines(connect=20), Limits(connections=1))
        assert client.occupancy() == Occupancy(0, 0, 0)
        answer = await client.send(GET)
        assert client.occupancy() == Occupancy(in_use=1)
        second = asyncio.create_task(client.send(GET))
        while client.occupancy() != Occupancy(in_use=1, waiting=1):  # noqa: ASYNC110 - there is no event for a request that begins to wait
            await asyncio.sleep(0)
        gate.open()
        while (await answer.read())[1]:
            pass
        await answer.close()
        answer = await second
        while (await answer.read())[1]:
            pass
        await answer.close()
        assert client.occupancy() == Occupancy(idle=1)
        await client.close()

    asyncio.run(asyncio.wait_for(work(), 20))
