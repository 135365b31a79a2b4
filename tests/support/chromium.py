"""A real browser, driven over a pipe by the DevTools protocol: no driver, no package, no port.

with browsing() as browser:                               # skips the test where there is no Chromium
    page = browser.open(url, width=400, dark=True)
    page.wait_for("document.title === 'x'")               # until an expression is true
    page.evaluate("document.title")
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 30.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "about:blank",
)
# Chromium reads commands from descriptor 3 and writes to 4.
PLUMBER = """import os, sys
for_reading, for_writing = (os.dup(os.dup(int(number))) for number in sys.argv[1:3])
os.dup2(for_reading, 3)
os.dup2(for_writing, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """One tab."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self._browser = browser
        self._session = session

    def ask(self, method: str, **parameters: Any) -> Any:
        """What the tab answers to a command."""
        return self._browser.ask(method, self._session, **parameters)

    @property
    def said(self) -> list[str]:
        """What the tab complained of: exceptions, and refusals of its content security policy."""
        return [text for session, text in self._browser.complaints if session == self._session]

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript, promises awaited."""
        done = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + PATIENCE
        while not self.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < until, (
                f"never true: {expression}; the page: {self.evaluate('document.body.innerText')}"
            )
            time.sleep(0.05)

    def press(self, key: str, text: str = "") -> None:
        """Press a key."""
        code = {"Tab": 9, "Enter": 13, " ": 32, "ArrowUp": 38, "ArrowDown": 40, "/": 191}[key]
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text)

    def photograph(self, path: Path) -> None:
        """Write a picture of what is to be seen."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))


class Browser:
    """A running Chromium."""

    def __init__(self, commands: int, answers: int) -> None:
        self.complaints: list[tuple[str, str]] = []
        self._commands = commands
        self._answers = os.fdopen(answers, "rb", buffering=0)
        self._rest = b""
        self._number = 0
        self._tabs: list[str] = []

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        """A new tab at `url`."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._tabs.append(target)
        page = Page(self, self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            page.ask(f"{domain}.enable")
        page.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.ask("Emulation.setEmulatedMedia", features=[scheme])
        page.ask("Page.navigate", url=url)
        page.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")
        return page

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """What the browser answers to a command."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        os.write(
            self._commands, json.dumps({**command, **({"sessionId": session} if session else {})}).encode() + b"\0"
        )
        while True:
            message = self._message()
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self._listen(message)

    def close_tabs(self) -> None:
        """Close every tab."""
        while self._tabs:
            self.ask("Target.closeTarget", targetId=self._tabs.pop())

    def close(self) -> None:
        """End it."""
        os.close(self._commands)
        self._answers.close()

    def _listen(self, message: dict[str, Any]) -> None:
        session, told = message.get("sessionId", ""), message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append((session, json.dumps(told["exceptionDetails"])))
        elif message.get("method") == "Log.entryAdded" and told["entry"]["source"] == "security":
            self.complaints.append((session, told["entry"]["text"]))

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = self._answers.read(1 << 20)
            assert piece, "the browser is gone"
            self._rest += piece
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser of one's own."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed")
    their_commands, commands = os.pipe()
    answers, their_answers = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        plumbing = [sys.executable, "-c", PLUMBER, str(their_commands), str(their_answers), program]
        process = subprocess.Popen(
            [*plumbing, f"--user-data-dir={profile}", *FLAGS],
            pass_fds=(their_commands, their_answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_commands)
        os.close(their_answers)
        browser = Browser(commands, answers)
        try:
            yield browser
        finally:
            browser.close()  # it ends when nobody listens
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()
                process.wait()
