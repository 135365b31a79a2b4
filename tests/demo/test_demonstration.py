"""`unpinned demo`: the problem is shown, and is gone; the exit code tells whether that is what happened."""

import io
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest

from proxy.demo import demonstration
from proxy.demo.application import Application
from proxy.demo.demonstration import main
from proxy.demo.stage import FIRST, Account
from proxy.demo.transcripts import InMemory
from tests.support.serving import serving


def free_ports(count: int) -> Iterator[int]:
    """Ports of which nobody listens on the next ten."""
    for _ in range(count):
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            yield listener.getsockname()[1]


@pytest.fixture
def own_ports(monkeypatch: pytest.MonkeyPatch) -> tuple[int, ...]:
    """Ports for this test alone."""
    ports = tuple(free_ports(3))
    monkeypatch.setattr(demonstration, "PORTS", ports)
    return ports


@pytest.mark.usefixtures("own_ports")
def test_it_shows_the_problem_and_its_end() -> None:
    """Directly the 404 is shown, through Unpinned the conversation goes on: what was done, and lost, is told."""
    told = io.StringIO()
    assert main(account=Account(told)) == 0
    text = told.getvalue()
    assert len(re.findall(r"404: Item with id 'rs_\w+' not found\.", text)) == 3
    assert "action rewritten, fidelity lossless, attempts 1, removed item_id=2" in text
    assert "action passthrough, fidelity exact, attempts 1" in text.partition("names its last response")[2]
    assert "action recovered, fidelity lossy, attempts 2, removed previous_response_id=1" in text
    directly, through = text.partition("Directly, over WebSockets")[2].split("Through Unpinned, over WebSockets")
    assert re.search(r"404: Item with id 'rs_\w+' not found\.", directly)
    assert (through.count("your name is Ada"), "not found" in through) == (3, False)
    assert text.count("your name is Ada") == 16
    assert text.endswith("All behaved.\n")


def test_a_port_that_is_taken(own_ports: tuple[int, ...]) -> None:
    """Where a port is taken the next free one is used, and the account says so."""
    told = io.StringIO()
    with socket.create_server(("127.0.0.1", own_ports[0])):
        assert main(account=Account(told)) == 0
    assert f"Port {own_ports[0]} is taken: server 1 is at http://127.0.0.1:" in told.getvalue()


def test_what_does_not_behave_is_a_failure(own_ports: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the problem does not happen, or does not end, the exit code is 1 and the account says what was wrong."""
    assert own_ports
    monkeypatch.setattr(demonstration, "FIRST", "Nothing in particular.")
    told = io.StringIO()
    assert main(account=Account(told)) == 1
    assert "NOT AS IT SHOULD BE: the model should have seen all of it" in told.getvalue()
    assert "NOT AS IT SHOULD BE: the tool was not called" in told.getvalue()


def test_it_can_be_left_running(own_ports: tuple[int, ...]) -> None:
    """With --serve everything goes on running, with its pages, until Ctrl-C; the exit code is 0."""
    program = f"from proxy.demo import demonstration as d; d.PORTS = {own_ports}; exit(d.main(leave_running=True))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        addresses = _addresses(process.stdout)
        pages = [httpx2.get(address, trust_env=False) for address in addresses]
        number = httpx2.post(f"{addresses[0]}/conversations", trust_env=False).json()["number"]
        asked = {"question": FIRST, "way": "unpinned"}
        httpx2.post(f"{addresses[0]}/conversations/{number}", json=asked, trust_env=False)
        elsewhere = httpx2.get(f"{addresses[1]}/conversations/{number}", trust_env=False).json()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert all("through Unpinned" in page.text for page in pages)
    assert [message["who"] for message in elsewhere["messages"]] == ["you", "tool", "model"]


def _addresses(lines: Iterator[str]) -> list[str]:
    found: list[str] = []
    for line in lines:
        match = re.match(r"  server \d  (http://\S+)$", line)
        if match:
            found.append(match[1])
        if len(found) == 3:
            break
    return found


def test_a_conversation_that_is_not_there() -> None:
    """A page asked for a conversation that nobody began says so."""
    server = Application("server 1", "sk-demo-1", "http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1", InMemory())
    with serving(server.asgi()) as port:
        question = {"question": "hello", "way": "directly"}
        url = f"http://127.0.0.1:{port}/conversations/7"
        answers = [httpx2.get(url, trust_env=False), httpx2.post(url, json=question, trust_env=False)]
    assert [(answer.status_code, answer.json()["error"]) for answer in answers] == [
        (404, "There is no such conversation.")
    ] * 2
