"""Log lines that are written a few at a time, and none too late."""

import asyncio
import io
import json
import logging
import subprocess
import sys
import threading
import time
from select import PIPE_BUF

from proxy.observers.forms import FORMS
from proxy.observers.lines import LineHandler, Stamp

INFO, WARNING = logging.INFO, logging.WARNING


class Stream(io.StringIO):
    """A stream that counts how often it is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.written = asyncio.Event()

    def write(self, text: str) -> int:
        """Write, and count it."""
        self.writes += 1
        self.written.set()
        return super().write(text)

    @property
    def lines(self) -> list[str]:
        """What was written."""
        return self.getvalue().splitlines()


def test_lines_of_one_moment_are_written_together() -> None:
    """While an event loop runs, lines wait for others and are written in pieces that a pipe takes undivided."""
    stream = Stream()
    handler = LineHandler(stream, FORMS["json"])

    async def work() -> None:
        for number in range(100):
            handler.write(INFO, f"line {number}", {"request_id": "req-1"})
        assert not stream.writes
        await stream.written.wait()

    asyncio.run(work())
    assert stream.writes == -(-len(stream.getvalue()) // PIPE_BUF)
    assert [json.loads(line)["message"] for line in stream.lines] == [f"line {number}" for number in range(100)]


def test_a_line_is_put_into_words_when_it_is_written() -> None:
    """What happens with every request is described in the batch, with the time at which it happened, in its place."""
    stream = Stream()
    handler = LineHandler(stream, FORMS["text"])
    described: list[int] = []

    def tell(number: int) -> tuple[str, dict[str, object]]:
        described.append(number)
        return f"line {number}", {"request_id": f"req-{number}"}

    async def work() -> None:
        before = time.time()
        handler.write_later(INFO, 0, tell, 1)
        handler.write(INFO, "line 2", {})
        handler.write_later(INFO, 0, tell, 3)
        assert not described
        await asyncio.sleep(0.01)
        after = time.time()
        handler.write(WARNING, "line 4", {})
        assert [line.partition("Z ")[2] for line in stream.lines] == [
            "INFO [req-1] line 1", "INFO line 2", "INFO [req-3] line 3", "WARNING line 4",
        ]  # fmt: skip
        assert described == [1, 3]
        assert Stamp().of(before) <= stream.lines[0].split()[0] < Stamp().of(after)
        for number in range(1000):
            handler.write_later(INFO, 0, tell, number)
        assert len(stream.lines) > 800
        handler.write_later(INFO, 100_000, tell, 0)
        assert len(stream.lines) == 1005

    asyncio.run(work())


def test_a_warning_does_not_wait() -> None:
    """A warning is written at once, behind all that waits; so is what fills a buffer, and what another thread says."""
    stream = Stream()
    handler = LineHandler(stream, FORMS["text"])

    async def work() -> None:
        handler.write(INFO, "first", {})
        handler.write(WARNING, "second", {"request_id": "req-2"})
        assert [line.partition("Z ")[2] for line in stream.lines] == ["INFO first", "WARNING [req-2] second"]
        handler.write(INFO, "x" * 100_000, {})
        assert len(stream.lines) == 3
        handler.write(INFO, "fourth", {})
        await asyncio.to_thread(handler.write, WARNING, "fifth", {})
        assert [line.partition("Z ")[2] for line in stream.lines[3:]] == ["INFO fourth", "WARNING fifth"]

    asyncio.run(work())


def test_without_a_loop_nothing_waits() -> None:
    """Where no event loop runs, as at the start and at the end, each line is written at once, from any thread."""
    stream = Stream()
    handler = LineHandler(stream, FORMS["text"])
    handler.write(INFO, "first", {})
    thread = threading.Thread(target=handler.write, args=(INFO, "second", {}))
    thread.start()
    thread.join()
    assert len(stream.lines) == 2

    async def work() -> None:
        handler.write(INFO, "third", {})

    asyncio.run(work())
    assert len(stream.lines) == 2
    handler.write(INFO, "fourth", {})
    assert [line.partition("Z INFO ")[2] for line in stream.lines] == ["first", "second", "third", "fourth"]


def test_nothing_is_lost_at_the_end() -> None:
    """What waits when the program ends is written."""
    program = (
        "import asyncio; from proxy.observers import logs; logs.configure('info', 'text')\n"
        "async def work(): logs.LOGGER.info('the last line')\n"
        "asyncio.run(work())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.endswith("INFO the last line\n")


def test_a_stream_that_is_gone() -> None:
    """A log without a reader ends nothing."""
    stream = Stream()
    handler = LineHandler(stream, FORMS["json"])
    stream.close()
    handler.write(WARNING, "nobody reads this", {})
    handler.flush()
    assert stream.closed


def test_times() -> None:
    """A time has thousandths, cut and not rounded."""
    stamp = Stamp()
    assert stamp.of(1_795_967_999.9999) == "2026-11-29T15:59:59.999Z"
    assert stamp.of(1_795_968_000.0) == "2026-11-29T16:00:00.000Z"
    assert stamp.of(1_795_968_000.0625) == "2026-11-29T16:00:00.062Z"
