"""`python -m tests.admin.photographs FOLDER`: pictures of the live page in each of its states.

They stand in docs/live-page.md. pngquant makes them a third as large.
"""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from proxy.admin import Instruments, Readiness, admin
from proxy.admin.page import Inspection
from proxy.events import Answered, Refused, TurnEnded, Unrecovered, UpstreamFailed
from proxy.observers.gauges import Gauges
from proxy.observers.recent import Recent
from proxy.report import Report
from tests.support.chromium import Browser, Page, browsing
from tests.support.serving import staged

FACTS: Final = {
    "mode": "auto",
    "upstream": "https://api.openai.com/v1",
    "version": "0.1.0",
    "store": "on",
    "process": "4711",
    "base_url": "http://127.0.0.1:8080/v1",
}
LONG: Final = {
    "path": "/openai/deployments/" + "long/" * 12 + "responses",
    "model": "ft:gpt-5.4-2026-10-01:an-organization-of-a-long-name::" + "x" * 20,
    "upstream_id": "a" * 64,
}
COMMON: Final = {
    "lossless": 12,
    "recovered": 4,
    "hit": 4,
    "unchanged": 3,
    **dict.fromkeys(("lossy", "limited", "cut", "gone"), 1),
}


class Minutes:
    """A quarter of an hour of exchanges, the same each time."""

    def __init__(self) -> None:
        self.now = time.time()
        self.moment = self.now
        self.random = random.Random(7)

    def __call__(self) -> float:
        """The moment that it is in this quarter of an hour."""
        return self.moment

    def recent(self, count: int, **names: Any) -> Recent:
        """So many exchanges."""
        recent = Recent("auto", 4711, self)
        recent.began = self.now - 200_000
        for number in range(1, count + 1):
            self.moment = self.now - 900 + 890 * number / count
            self.exchange(recent, f"req-{self.random.getrandbits(48):012x}", names)
        self.moment = self.now
        return recent

    def exchange(self, recent: Recent, id_: str, names: dict[str, Any]) -> None:
        """One of them."""
        told: dict[str, Any] = {
            "status": 200,
            "complete": True,
            "report": Report("rewritten", "lossless", {"item_id": 9}),
        }
        match self.random.choices([*COMMON], [*COMMON.values()])[0]:
            case "recovered":
                refusal: Any = self.random.choice(["item", "response", "encrypted", "item"])
                recent.notice(id_, Refused(404 if refusal == "item" else 400, refusal, "portable"))
                told["report"] = Report("recovered", "lossy", {"item_id": 6, "reasoning": 1}, {}, 2)
            case "hit":
                told["report"] = Report("rewritten", "lossless", {"previous_response_id": 1}, store="hit")
            case "unchanged":
                told["report"] = Report()
            case "lossy":
                recent.notice(id_, Refused(404, "item", "portable"))
                recent.notice(id_, Unrecovered("item", 2))
                told |= {"status": 404, "report": Report("unrecovered", "exact", attempts=2)}
            case "limited":
                told |= {"status": 429, "report": Report()}
            case "cut":
                told["complete"] = False
            case "gone":
                recent.notice(id_, UpstreamFailed("upstream_disconnected"))
                told |= {"status": 502, "fault": "upstream_disconnected", "upstream_id": ""}
        first = self.random.uniform(0.4, 2.5)
        durations = {"seconds": first + 9, "first_byte": first, "client": 0.002, "upstream": first - 0.0025}
        upstream_id = f"req_{self.random.getrandbits(64):016x}"
        usual = {"path": "/v1/responses", "model": "gpt-5", "upstream_id": upstream_id, **durations}
        if self.random.random() < 0.15 and told["status"] == 200:
            report, complete = told["report"], told["complete"]
            ended = TurnEnded(0, 200, first + 9, complete, report, "/v1/responses", first, model=str(usual["model"]))
            recent.notice(id_, ended)
            return
        recent.notice(id_, Answered(method="POST", route="responses", **{**usual, **told, **names}))


def page_of(recent: Recent) -> Any:
    """The admin listener that shows these exchanges."""
    gauges = Gauges(7, 5, 12, in_use=3, idle=9, memory=412 << 20, max_memory=3978 << 20)
    return admin(Readiness(), Instruments(levels=lambda: gauges).reading, Inspection(recent, FACTS))


async def failing(_scope: Scope, _receive: Receive, send: Send) -> None:
    """An admin listener that is broken."""
    await send({"type": "http.response.start", "status": 500, "headers": []})
    await send({"type": "http.response.body"})


def stale(page: Page, said: str, picture: Path) -> None:
    """Write the picture of a page that has no news, and says so."""
    page.wait_for(f"document.getElementById('state').innerText.startsWith({said!r})")
    page.photograph(picture)


def opened(page: Page) -> None:
    """Open an exchange that was recovered."""
    page.evaluate(
        "[...document.querySelectorAll('.refusal')].find(r => /^[0-9]/.test(r.innerText)).closest('.row').click()"
    )


def typed(page: Page) -> None:
    """Open the third exchange by keyboard."""
    for _ in range(3):
        page.press("ArrowDown")
    page.press("Enter", "\r")


STATES: Final[dict[str, tuple[int, dict[str, Any], Callable[[Page], None] | None, str]]] = {
    "light": (40, {"height": 1300}, opened, ""),
    "dark": (40, {"height": 1300, "dark": True}, opened, ""),
    "narrow": (40, {"width": 400, "height": 1300}, opened, ""),
    "empty": (0, {"width": 1000, "height": 620}, None, ""),
    "many": (200, {"width": 1000, "height": 900}, None, ""),
    "filtered": (200, {"width": 1000, "height": 900}, None, "#refusal=encrypted"),
    "keyboard": (40, {"width": 1000, "height": 900}, typed, ""),
    "long": (12, {"width": 1000, "height": 900}, None, ""),
}
"""By name: how many exchanges, how the browser is, what is done, and the filter in the address."""


def photograph(browser: Browser, port: int, folder: Path) -> Iterator[str]:
    """Write the picture of each state that `show` puts on; its name when it is to be shown."""
    for name, (_, look, act, address) in STATES.items():
        yield name
        page = browser.open(f"http://127.0.0.1:{port}/{address}", **look)
        page.wait_for("document.getElementById('state').className === 'live'")
        if act is not None:
            act(page)
        time.sleep(0.5)
        page.photograph(folder / f"live-{name}.png")
        browser.close_tabs()


def main(folder: Path) -> None:
    """Write all pictures."""
    with browsing() as browser:
        with staged() as stage:
            stage.show(page_of(Recent("auto", 4711)))
            for name in photograph(browser, stage.port, folder):
                count, *_ = STATES[name]
                stage.show(page_of(Minutes().recent(count, **(LONG if name == "long" else {}))))
            page = browser.open(f"http://127.0.0.1:{stage.show(page_of(Minutes().recent(40)))}/", width=1000)
            page.wait_for("document.getElementById('state').className === 'live'")
            stage.show(failing)
            stale(page, "The admin listener answers 500", folder / "live-error.png")
        stale(page, "No answer since", folder / "live-gone.png")
    pictures = [str(path) for path in folder.glob("live-*.png")]
    subprocess.run(["pngquant", "--force", "--ext", ".png", "--speed", "1", "64", *pictures], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
