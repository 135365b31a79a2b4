"""`python -m tests.demo.photograph FILE`: a picture of the incident, played. pngquant makes it a third as large."""

import io
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from proxy.demo import demonstration
from proxy.demo.incident import Incident
from proxy.demo.stage import Account, serving
from tests.support.chromium import browsing


def main(path: Path) -> None:
    """Play it, and write the picture."""
    with ExitStack() as stack:
        servers, stations = demonstration._servers(Account(io.StringIO()), stack)
        chats = [(server.name, server.address) for server in servers]
        url = stack.enter_context(serving(Incident(stations, chats).asgi()))
        page = stack.enter_context(browsing()).open(url, width=1160, height=1180)
        page.evaluate("document.getElementById('play').click()")
        page.wait_for("document.querySelectorAll('.end').length === 2")
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        time.sleep(0.5)
        page.photograph(path)
    subprocess.run(["pngquant", "--force", "--ext", ".png", "--speed", "1", "64", str(path)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
