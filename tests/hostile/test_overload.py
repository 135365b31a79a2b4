"""More than the process, or upstream, can bear: who cannot be served is told so at once, and the others are."""

import json
from concurrent.futures import ThreadPoolExecutor

from tests.support.process import running
from tests.support.raw_client import RawClient, exchange, request
from tests.support.scripts import Gate, answer, event_stream, refusal
from tests.support.upstream_server import ScriptedUpstream

USER = {"role": "user", "content": "hello"}
BAD = [USER, {"type": "item_reference", "id": "rs_1"}, USER, {"role": "assistant", "content": "hi"}, USER, USER, USER]
GET = request(b"GET", b"/v1/models")


def test_a_storm_of_bad_conversations_does_not_multiply_the_load(upstream: ScriptedUpstream) -> None:
    """Where too many attempts of one credential fail, each of its requests gets one more, and another's still three."""
    upstream.will_always_answer(refusal(404, "Item with id 'rs_1' not found."))
    body = json.dumps({"input": BAD}).encode()
    with running("--upstream", upstream.url, "--mode", "recover") as process, RawClient(process.port) as client:

        def attempts(key: bytes) -> int:
            client.send(request(b"POST", b"/v1/responses", [(b"Authorization", b"Bearer " + key)], body))
            return int(client.answer().values(b"x-unpinned-attempts")[0])

        mine = [attempts(b"mine") for _ in range(60)]
        other = attempts(b"other")
        process.wait_logged(lambda line: "attempts failed" in str(line))
        warnings = [line["message"] for line in process.log if "attempts failed" in str(line)]
    assert mine == [3] * 50 + [2] * 10
    assert other == 3
    assert len(upstream.received) == sum(mine) + other
    assert [warning.partition(":")[0] for warning in warnings] == [
        "99 recovery attempts failed in the last 50 requests of one credential"
    ]


def test_overload_is_answered_at_once(upstream: ScriptedUpstream) -> None:
    """Beyond the limit a request is answered 503 with Retry-After and sent to nobody; those within it are served."""
    gate = Gate()
    upstream.will_answer(*[event_stream([b"data: 1\n\n", gate, b"data: 2\n\n"])] * 20)
    upstream.will_always_answer(answer(200))
    with running("--upstream", upstream.url, "--max-requests", "20") as process:
        within = [RawClient(process.port) for _ in range(20)]
        for client in within:
            client.send(GET)
            client.until(b"data: 1\n\n")
        with ThreadPoolExecutor(20) as pool:
            refused = list(pool.map(lambda _: exchange(process.port, GET), range(300)))
        assert {(got.status, *got.values(b"retry-after"), *got.values(b"x-should-retry")) for got in refused} == {
            (503, b"1", b"true")
        }
        assert len(upstream.received) == 20
        gate.open()
        for client in within:
            client.until(b"data: 2\n\n\r\n0\r\n\r\n")
            client.close()
        assert exchange(process.port, GET).status == 200
