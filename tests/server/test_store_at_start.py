"""A store is tried at start: what is wrong is said in one line, and a store that is required is waited for."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from tests.support.process import COMMAND, ROOT, environment, running
from tests.support.raw_client import exchange, request
from tests.support.scripts import json_answer
from tests.support.upstream_server import ScriptedUpstream

AWAY = "redis://user:hunter2@127.0.0.1:1/0?socket_connect_timeout=2"
QUESTION = request(b"POST", b"/v1/responses", [(b"Authorization", b"Bearer x")], b'{"model": "m", "input": "x"}')


def rename(file: Path, table: str, name: str) -> None:
    """Take a table away from a database, or give it back."""
    with closing(sqlite3.connect(file, timeout=10)) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO {name}")
        connection.commit()


def test_a_store_that_works_is_named(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """The start line names the store by its path, and nothing is wrong."""
    store = f"sqlite:///{tmp_path}/store.db"
    with running("--upstream", upstream.url, "--store", store) as process:
        assert process.port
        assert process.log[0]["store"] == store
    assert "does not work" not in process.text


def test_a_store_that_does_not_work_is_said_at_start(upstream: ScriptedUpstream) -> None:
    """One line names the store and what is wrong, without its password; requests are answered all the same."""
    upstream.will_always_answer(json_answer({"id": "resp_1", "output": []}))
    with running("--upstream", upstream.url, "--store", AWAY) as process:
        line = process.wait_message("The store (redis://127.0.0.1:1/0) does not work: ")
        assert line["level"] == "warning"
        assert line["message"].endswith("Requests go on without it")
        assert exchange(process.port, QUESTION).status == 200
        assert exchange(process.admin_port, request(b"GET", b"/readyz")).status == 200
    assert "hunter2" not in process.text


def test_a_store_that_is_required_ends_the_start(upstream: ScriptedUpstream) -> None:
    """With `--store-required on` a store that does not work ends the process with exit code 1 and one line."""
    ports = ("--listen", "127.0.0.1:0", "--admin-listen", "off")
    command = (*COMMAND, *ports, "--upstream", upstream.url, "--store", AWAY, "--store-required", "on")
    ended = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "The store (redis://127.0.0.1:1/0) does not work" in line
    assert "hunter2" not in line
    assert "Listening" not in ended.stderr


def test_readiness_follows_a_store_that_is_required(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """While a required store is down `/readyz` answers 503, and when it is back 200; each is said once."""
    file = tmp_path / "store.db"
    store = f"sqlite:///{file}"
    code = (
        "import sys; from proxy.server import process; process._TRIAL_EVERY = 0.05;"
        "from proxy.cli import main; sys.exit(main())"
    )
    command = (COMMAND[0], "-c", code)
    with running("--upstream", upstream.url, "--store", store, "--store-required", "on", command=command) as process:
        assert exchange(process.admin_port, request(b"GET", b"/readyz")).status == 200
        rename(file, "unpinned_responses", "away")
        process.wait_message(f"The store ({store}) does not work: ")
        down = exchange(process.admin_port, request(b"GET", b"/readyz"))
        assert (down.status, down.body) == (503, b"the store does not work\n")
        rename(file, "away", "unpinned_responses")
        process.wait_message(f"The store ({store}) works again")
        assert exchange(process.admin_port, request(b"GET", b"/readyz")).status == 200


def test_a_failed_lookup_is_a_requests(upstream: ScriptedUpstream) -> None:
    """The log line about a lookup that failed has the id of the request that asked for it."""
    refusal = {"error": {"message": "Previous response with id 'resp_0' not found."}}
    upstream.will_answer(json_answer(refusal, 400), json_answer({"id": "resp_1", "output": []}))
    body = b'{"model": "m", "input": "x", "previous_response_id": "resp_0"}'
    with running("--upstream", upstream.url, "--store", AWAY, "--mode", "strip") as process:
        got = exchange(process.port, request(b"POST", b"/v1/responses", [(b"Authorization", b"Bearer x")], body))
        [own] = got.values(b"x-unpinned-request-id")
        line = process.wait_message("The store failed (recall")
        assert line["request_id"] == own.decode()
        fresh = process.wait_message("A conversation goes on without its history")
        assert "UNPINNED_MODE" not in fresh["message"]
