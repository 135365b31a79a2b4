"""A process whose memory is limited hard lives through what would take many times as much."""

import gzip
import json
import shutil
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.process import COMMAND, Process, running
from tests.support.raw_client import RawClient, exchange, request
from tests.support.scripts import json_answer
from tests.support.upstream_server import ScriptedUpstream

MIB = 1024 * 1024
FIELDS = [(b"Authorization", b"Bearer one"), (b"Content-Type", b"application/json")]
MESSAGE = {"role": "user", "content": "x" * 1000}
MADE = {"type": "message", "id": "msg_1", "role": "assistant", "content": "y"}
PLAIN = json.dumps({"model": "m", "input": [MESSAGE] * 8000 + [MADE, MESSAGE]}).encode()
BOMB = gzip.compress(json.dumps({"model": "m", "input": [{"role": "user", "content": " " * (62 * MIB)}]}).encode(), 9)
HISTORY = json.dumps({"model": "m", "input": [{"role": "user", "content": "x" * MIB}] * 30}).encode()
NEXT = json.dumps({"model": "m", "input": "go on", "previous_response_id": "resp_1"}).encode()

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed"),
]


def storm(process: Process, raw: bytes, count: int) -> Counter[int]:
    """How often each status is the answer to `raw`, sent `count` times at the same time."""
    statuses: Counter[int] = Counter()

    def ask() -> None:
        with RawClient(process.port) as client:
            with suppress(ConnectionError):  # it may have been answered before it was read to its end
                client.send(raw)
            statuses[client.answer().status] += 1

    clients = [threading.Thread(target=ask) for _ in range(count)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return statuses


@pytest.mark.parametrize(
    ("body", "fields", "count"),
    [(PLAIN, FIELDS, 200), (BOMB, [*FIELDS, (b"Content-Encoding", b"gzip")], 200), (NEXT, FIELDS, 50)],
    ids=["8 MiB each", "gzip bombs of 62 MiB", "histories of 30 MiB"],
)
def test_every_request_is_answered(
    tmp_path: Path, upstream: ScriptedUpstream, body: bytes, fields: list[tuple[bytes, bytes]], count: int
) -> None:
    """Under a hard limit each of many large requests is answered 200 or 503, and the process goes on."""
    upstream.will_always_answer(json_answer({"id": "resp_1", "output": [], "status": "completed"}))
    limited = ("prlimit", f"--as={1024 * MIB}", *COMMAND)
    settings = ("--upstream", upstream.url, "--store", f"sqlite:///{tmp_path}/store.db", "--store-timeout", "5")
    with running(*settings, "--max-memory", "192MiB", command=limited) as process:
        assert exchange(process.port, request(b"POST", b"/v1/responses", FIELDS, HISTORY)).status == 200
        statuses = storm(process, request(b"POST", b"/v1/responses", fields, body), count)
        assert sum(statuses.values()) == count
        assert statuses.keys() <= {200, 503}, process.text[-3000:]
        assert statuses[200]
        assert exchange(process.port, request(b"GET", b"/v1/models")).status == 200
