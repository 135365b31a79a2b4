"""The live page: who is given it, what it is made of, and how it looks in a real browser."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from proxy.admin import Instruments, Readiness, admin
from proxy.admin.hosts import is_own
from proxy.admin.page import Inspection
from proxy.cli import parsed
from proxy.events import Answered, BudgetExceeded, Refused, TurnEnded, Unrecovered
from proxy.observers.gauges import Gauges
from proxy.observers.recent import KEPT, Recent
from proxy.report import ACTIONS, FIDELITIES, REFUSALS, REMOVED, STORE, RemovedName, Report
from tests.admin.photographs import failing
from tests.support.chromium import Browser, Page
from tests.support.process import running
from tests.support.raw_client import RawAnswer, exchange, request
from tests.support.scripts import json_answer
from tests.support.serving import Stage, staged
from tests.support.upstream_server import ScriptedUpstream

FACTS = {
    "mode": "strip",
    "upstream": "https://api.openai.com/v1",
    "version": "1.2.3",
    "store": "on",
    "process": "4711",
    "base_url": "http://127.0.0.1:1/v1",
}
OVERLAPS = """[...document.querySelectorAll('#list > li:first-child .row > span')]
    .filter(cell => cell.getClientRects().length && cell.getBoundingClientRect().right > innerWidth).length"""
HOSTILE = "<img src=x onerror=alert(1)>"


@dataclass
class Shown:
    """An admin listener with a page, and what it shows."""

    port: int
    recent: Recent
    readiness: Readiness

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/"

    def happens(self, request_id: str = "req-0123456789ab", **changed: Any) -> None:
        """A request is over."""
        told: dict[str, Any] = {
            "method": "POST",
            "route": "responses",
            "path": "/v1/responses",
            "status": 200,
            "seconds": 4.0,
            "complete": True,
            "report": Report("rewritten", "lossless", removed={"item_id": 3}),
            "first_byte": 1.5,
            "upstream": 1.25,
            "client": 0.125,
            "model": "gpt-5",
            "upstream_id": "req_0a1b2c",
        }
        self.recent.notice(request_id, Answered(**{**told, **changed}))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One server for all."""
    with staged() as stage:
        yield stage


@pytest.fixture
def shown(stage: Stage) -> Shown:
    """A page on which nothing has happened yet."""
    recent, readiness = Recent("strip", 4711), Readiness()
    inspection = Inspection(recent, FACTS, "admin.example")
    gauges = Gauges(in_flight=7, memory=5 << 20, max_memory=50 << 20, workers=2)
    port = stage.show(admin(readiness, Instruments(levels=lambda: gauges).reading, inspection))
    return Shown(port, recent, readiness)


def get(port: int, path: bytes, host: bytes = b"localhost", *fields: tuple[bytes, bytes]) -> RawAnswer:
    """The answer to a GET that names `host`."""
    return exchange(port, request(b"GET", path, fields).replace(b"Host: proxy.test", b"Host: " + host))


def rows(page: Page) -> list[str]:
    """The text of each exchange that is to be seen."""
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('#list > li:not([hidden])')].map(row => row.innerText)"
    )
    return found


def wait_rows(page: Page, count: int) -> None:
    """Wait until so many exchanges are to be seen."""
    page.wait_for(f"document.querySelectorAll('#list > li:not([hidden])').length === {count}")


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("LOCALHOST:8081", True),
        ("localhost.", True),
        ("a.localhost:1", True),
        ("127.0.0.1:8081", True),
        ("192.168.1.5:8081", True),
        ("[::1]:8081", True),
        ("Admin.Example:8081", True),
        ("", False),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("evil.example:127.0.0.1", False),
        ("evil-localhost", False),
        ("localhost@evil.example", False),
        ("[::1", False),
        ("999.1.1.1", False),
    ],
)
def test_hosts(host: str, *, own: bool) -> None:
    """Only localhost, an address and the name where it listens name this machine; no name server is trusted."""
    assert is_own(host, "admin.example") == own
    assert not is_own("")


@pytest.mark.parametrize("path", [b"/", b"/exchanges.json"])
def test_a_strangers_page_is_given_nothing(shown: Shown, path: bytes) -> None:
    """A page whose name was made to lead here (DNS rebinding) cannot read the page or its data."""
    shown.happens()
    assert get(shown.port, path).status == 200
    refused = get(shown.port, path, b"evil.example:8081")
    assert (refused.status, refused.body[:9]) == (421, b"This page")
    for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS"):
        assert exchange(shown.port, request(method, path)).status == 405


def test_nothing_of_it_comes_from_elsewhere(shown: Shown) -> None:
    """One file, whose policy lets nothing run or load but its own script, style and data; no frame may hold it."""
    answer = get(shown.port, b"/")
    [policy] = answer.values(b"content-security-policy")
    assert policy.startswith(b"default-src 'none'; script-src 'sha256-")
    assert b"unsafe" not in policy
    assert b"frame-ancestors 'none'" in policy
    assert answer.values(b"x-content-type-options") == [b"nosniff"]
    text = answer.body.decode()
    assert not re.findall(r"""(?:src|href)=["'](?!data:,)|url\(|@import|\son[a-z]+=|\sstyle=|innerHTML|eval\(""", text)
    assert re.findall(r"https?://(\S+?)/", text) == ["www.w3.org"]


def test_unchanged_data_is_not_sent_again(shown: Shown) -> None:
    """Who has seen the last exchange is told so in a few bytes, until there is another or something else changes."""
    first = get(shown.port, b"/exchanges.json")
    [tag] = first.values(b"etag")
    again = get(shown.port, b"/exchanges.json", b"localhost", (b"If-None-Match", tag))
    assert (again.status, again.body, again.values(b"etag")) == (304, b"", [tag])
    shown.readiness.draining = True
    told = get(shown.port, b"/exchanges.json", b"localhost", (b"If-None-Match", tag))
    assert (told.status, json.loads(told.body)["draining"]) == (200, True)
    shown.happens()
    assert get(shown.port, b"/exchanges.json", b"localhost", (b"If-None-Match", told.values(b"etag")[0])).status == 200


@pytest.mark.parametrize("inspect", ["on", "off"])
def test_the_whole_program(upstream: ScriptedUpstream, inspect: str) -> None:
    """The page is there where it is asked for, and shows the program's own exchanges; otherwise nothing is kept."""
    upstream.will_answer(json_answer({}, fields=[(b"X-Request-Id", b"req_upstream")]))
    body = b'{"model": "gpt-5", "input": "a secret question"}'
    with running("--upstream", upstream.url, "--inspect", inspect) as process:
        exchange(process.port, request(b"POST", b"/v1/responses", body=body))
        process.wait_message("POST /v1/responses")
        page, data = get(process.admin_port, b"/"), get(process.admin_port, b"/exchanges.json")
    if inspect == "off":
        assert (page.status, data.status) == (404, 404)
        return
    assert page.status == 200
    told = json.loads(data.body)
    [shown] = told["exchanges"]
    assert (shown["status"], shown["action"]) == (200, "passthrough")
    assert (shown["model"], shown["upstream_id"]) == ("gpt-5", "req_upstream")
    assert told["max_memory"] > 0
    assert told["facts"]["mode"] == "auto"
    assert b"secret" not in data.body


def test_the_programs_own_page(browser: Browser, upstream: ScriptedUpstream) -> None:
    """What goes through the program is to be seen in a browser at its admin listener."""
    upstream.will_answer(json_answer({}, status=418))
    with running("--upstream", upstream.url, "--inspect", "on") as process:
        page = browser.open(f"http://localhost:{process.admin_port}/")
        page.wait_for("document.getElementById('state').className === 'live'")
        exchange(process.port, request(b"POST", b"/v1/responses", body=b'{"input": "hi"}'))
        wait_rows(page, 1)
        assert "418" in rows(page)[0]
        assert page.said == []


def test_it_is_empty_at_first_and_then_live(browser: Browser, shown: Shown) -> None:
    """Before the first exchange the page says where to point an application; each exchange appears by itself."""
    page = browser.open(shown.url)
    page.wait_for("document.getElementById('note').innerText.includes('OPENAI_BASE_URL=http://127.0.0.1:1/v1')")
    page.wait_for("document.getElementById('state').className === 'live'")
    head = page.evaluate("document.getElementById('facts').innerText")
    assert head.startswith("strip mode → https://api.openai.com/v1 · version 1.2.3 · process 4711 with 2 workers · up")
    shown.happens(report=Report())
    wait_rows(page, 1)
    assert page.evaluate("document.getElementById('note').hidden")
    shown.happens(report=Report("rewritten", "lossy", removed={"reasoning": 2}))
    wait_rows(page, 2)
    latest, earlier = rows(page)
    assert "Lossy" in latest
    assert "reasoning \N{MULTIPLICATION SIGN}2" in latest
    assert "+125 ms" in latest
    assert "1.50 s" in latest
    assert "Unchanged" in earlier
    page.wait_for("document.querySelectorAll('#outcomes rect').length === 2")
    page.wait_for("document.querySelectorAll('#latency path').length === 3")
    assert "2 exchanges" in page.evaluate("document.getElementById('outcomes').getAttribute('aria-label')")
    assert page.said == []


def test_an_exchange_explains_itself(browser: Browser, shown: Shown) -> None:
    """By keyboard alone an exchange is opened, and tells what happened on the way, what changed and why."""
    shown.recent.notice("req-1", Refused(404, "item", "portable"))
    shown.happens("req-1", report=Report("recovered", "lossless", removed={"item_id": 3}, attempts=2))
    page = browser.open(shown.url)
    wait_rows(page, 1)
    for _ in range(20):
        page.press("Tab")
        if page.evaluate("document.activeElement.className === 'row'"):
            break
    page.press("Enter", "\r")
    page.wait_for("document.activeElement.getAttribute('aria-expanded') === 'true'")
    text = page.evaluate("document.querySelector('.more').innerText")
    assert f"recovered: {ACTIONS['recovered']}." in text
    assert f"lossless: {FIDELITIES['lossless']}." in text
    assert f"404, {REFUSALS['item']}: the request was made portable and sent again." in text
    assert REMOVED["item_id"].rule in text
    assert f"To avoid it: {REMOVED['item_id'].avoid.replace('`', '')}" in text
    assert "req-1" in text
    assert re.search(r"added by us\s+125 ms", text)
    shown.happens("req-2")
    wait_rows(page, 2)
    assert page.evaluate("document.querySelectorAll('.more').length") == 1
    page.press("Enter", "\r")
    page.wait_for("!document.querySelector('.more')")


def test_only_what_was_lost_is_told_as_lost(browser: Browser, shown: Shown) -> None:
    """What the model did not see is told of a lossy exchange alone: a reference with a twin costs nothing."""
    removed: dict[RemovedName, int] = {"previous_response_id": 1}
    shown.happens(report=Report("rewritten", "lossless", removed=removed))
    shown.happens(report=Report("rewritten", "lossy", removed=removed))
    page = browser.open(shown.url)
    wait_rows(page, 2)
    page.evaluate("document.querySelectorAll('.row').forEach(row => row.click())")
    lossy, lossless = rows(page)
    lost = f"Not seen by the model: {REMOVED['previous_response_id'].lost}."
    assert (lost in lossy, lost in lossless) == (True, False)


def test_filters(browser: Browser, shown: Shown) -> None:
    """Exchanges can be chosen by outcome, by route and by words; what is hidden is said."""
    shown.happens("req-aaa")
    shown.happens("req-bbb", status=502, fault="upstream_unreachable")
    shown.happens("req-ccc", route="other", method="GET", path="/v1/models", report=Report())
    page = browser.open(shown.url)
    wait_rows(page, 3)
    page.evaluate("document.querySelector('[data-outcome=failed]').click()")
    wait_rows(page, 1)
    assert "502" in rows(page)[0]
    page.evaluate("document.querySelector('[data-outcome=failed]').click()")
    page.evaluate(
        "(r => { r.value = 'other'; r.dispatchEvent(new Event('change')); })(document.getElementById('route'))"
    )
    wait_rows(page, 1)
    assert "GET /v1/models" in rows(page)[0]
    page.evaluate(
        "(s => { s.value = 'REQ-AAA'; s.dispatchEvent(new Event('input')); })(document.getElementById('search'))"
    )
    wait_rows(page, 0)
    page.wait_for("document.getElementById('note').innerText.includes('3 exchanges are hidden')")


def refused(shown: Shown, request_id: str, kind: Any = "item", **changed: Any) -> None:
    """A request is recovered after upstream has refused it."""
    shown.recent.notice(request_id, Refused(404, kind, "portable"))
    shown.happens(request_id, report=Report("recovered", "lossless", {"item_id": 3}, attempts=2), **changed)


def test_what_a_row_tells(browser: Browser, shown: Shown) -> None:
    """A row has the model, the kind of refusal, both ids, the store's outcome, the mode and the process."""
    refused(shown, "req-aaa")
    shown.happens("req-bbb", report=Report("rewritten", "lossless", {"previous_response_id": 1}, store="miss"))
    shown.recent.notice("req-ccc", Unrecovered("response", 1))
    shown.happens("req-ccc", status=400, report=Report("unrecovered", "exact"))
    page = browser.open(shown.url)
    wait_rows(page, 3)
    unrecovered, missed, recovered = rows(page)
    assert all(word in recovered for word in ("gpt-5", "404 item", "req-aaa", "req_0a1b2c", "strip", "4711"))
    assert "store miss" in missed
    assert "400 response" in unrecovered
    page.evaluate("document.querySelectorAll('.row').forEach(row => row.click())")
    unrecovered, missed, _ = rows(page)
    assert "the first refusal was given to the client" in unrecovered
    assert STORE["miss"] in missed
    assert re.search(r"mode\s+strip\s+process\s+4711", missed)


def test_turns_of_websockets(browser: Browser, shown: Shown) -> None:
    """A turn of a WebSocket has a row as a request has, with its lane in detail; a filter shows turns alone."""
    shown.happens("req-aaa")
    shown.recent.notice("req-bbb.1", Refused(400, "item", "portable"))
    report = Report("recovered", "lossless", {"item_id": 3}, attempts=2)
    shown.recent.notice("req-bbb.1", TurnEnded(2, 200, 4.0, True, report, "/v1/responses", 1.5, "", "gpt-5"))
    page = browser.open(f"{shown.url}#route=turn")
    wait_rows(page, 1)
    page.evaluate("document.querySelector('.row').click()")
    [turn] = rows(page)
    assert all(word in turn for word in ("turn /v1/responses", "req-bbb.1", "gpt-5", "400 item", "Recovered", "1.50 s"))
    assert re.search(r"asked\s+turn /v1/responses\s+lane\s+2\s+model\s+gpt-5", turn)
    assert "waited for upstream" not in turn
    text = page.evaluate("document.querySelector('.command code').innerText")
    assert parsed(shlex.split(text)[1:]).status == [400]


def test_processes_and_modes(browser: Browser, shown: Shown) -> None:
    """After a reload, or with several workers, each row has the mode and the process that it went through."""
    shown.happens("req-aaa")
    worker = Recent("observe", 4712)
    worker.pass_on = shown.recent.keep
    worker.notice("req-bbb", Answered("POST", "responses", "/v1/responses", 200, 1.0, True, Report()))
    page = browser.open(f"{shown.url}#search=observe")
    wait_rows(page, 1)
    page.evaluate("document.querySelector('.row').click()")
    [row] = rows(page)
    assert re.search(r"observe\s+4712", row)
    assert "unpinned explain --mode observe" in row
    assert re.search(r"mode\s+observe\s+process\s+4712", row)


def test_the_tiles(browser: Browser, shown: Shown) -> None:
    """What is in progress, what was lost, failed and recovered, what the store knew, and the memory that is taken."""
    refused(shown, "req-aaa")
    shown.recent.notice("req-bbb", BudgetExceeded(30, 100))
    for outcome in ("hit", "hit", "hit", "down"):
        shown.happens(report=Report("rewritten", "lossless", store=outcome))
    page = browser.open(shown.url)
    wait_rows(page, 5)
    tiles = page.evaluate("document.getElementById('tiles').innerText").replace("\xa0", " ").split("\n")
    told = dict(zip(tiles[::2], tiles[1::2], strict=True))
    assert told["In flight"] == "7 0 streaming"
    assert told["Recovered, 15 min"] == "1 0 failed, over budget \N{MULTIPLICATION SIGN}1"
    assert told["Found in the store, 15 min"] == "75 % 0 missed, 1 down"
    assert told["Memory for bodies"] == "10 % 5 MiB of 50 MiB"


def test_refusals_by_kind(browser: Browser, shown: Shown) -> None:
    """Refusals are grouped by kind with their counts; a group that is chosen shows its exchanges alone."""
    for number in range(3):
        refused(shown, f"req-{number}")
    refused(shown, "req-9", "encrypted")
    shown.happens("req-ordinary")
    page = browser.open(shown.url)
    wait_rows(page, 5)
    told = page.evaluate("[...document.querySelectorAll('.group')].map(group => group.innerText)")
    assert [text.partition(",")[0] for text in told] == [
        "item \N{MULTIPLICATION SIGN}3 3 recovered",
        "encrypted \N{MULTIPLICATION SIGN}1 1 recovered",
    ]
    page.evaluate("document.querySelectorAll('.group')[1].focus()")
    page.press("Enter", "\r")
    wait_rows(page, 1)
    refused(shown, "req-10", "encrypted")
    wait_rows(page, 2)
    assert page.evaluate("document.activeElement.dataset.kind") == "encrypted"
    page.press("Enter", "\r")
    wait_rows(page, 6)


def test_the_address_keeps_the_filter(browser: Browser, shown: Shown) -> None:
    """What is chosen stands in the address, so that a colleague sees the same; what it cannot mean hides nothing."""
    refused(shown, "req-aaa")
    refused(shown, "req-bbb", model="gpt-5-mini")
    shown.happens("req-ccc")
    page = browser.open(shown.url)
    wait_rows(page, 3)
    page.evaluate("document.querySelector('[data-outcome=lossless]').click()")
    page.evaluate("document.querySelector('.group').click()")
    page.evaluate(
        "(s => { s.value = 'Mini'; s.dispatchEvent(new Event('input')); })(document.getElementById('search'))"
    )
    wait_rows(page, 1)
    address = page.evaluate("location.href")
    assert address.endswith("/#outcome=lossless&refusal=item&search=Mini")
    colleague = browser.open(address)
    wait_rows(colleague, 1)
    assert "req-bbb" in rows(colleague)[0]
    assert colleague.evaluate("document.getElementById('search').value") == "Mini"
    assert colleague.evaluate("document.querySelectorAll('[aria-pressed=true]').length") == 2
    colleague.evaluate("location.hash = '#outcome=nonsense&route=nonsense'")
    wait_rows(colleague, 3)
    assert colleague.said == []


def test_explain_is_copied(browser: Browser, shown: Shown) -> None:
    """Each exchange has the command that explains it offline; where a page may not copy, it is selected."""
    shown.recent.notice("req-aaa", Refused(404, "item", "portable"))
    shown.recent.notice("req-aaa", Refused(400, "pairing", "repaired"))
    shown.happens("req-aaa", route="compact", report=Report("recovered", "lossy", attempts=3))
    page = browser.open(shown.url)
    wait_rows(page, 1)
    page.evaluate("document.querySelector('.row').click()")
    text = page.evaluate("document.querySelector('.command code').innerText")
    assert text == (
        "unpinned explain --mode strip --upstream https://api.openai.com/v1 --route compact "
        "--after-refusal refusal-1.json --status 404 --after-refusal refusal-2.json --status 400 request.json"
    )
    assert parsed(shlex.split(text)[1:]).status == [404, 400]
    page.evaluate("document.querySelector('.command button').click()")
    page.wait_for("document.querySelector('.command button').innerText !== 'Copy'")
    said = page.evaluate("document.querySelector('.command button').innerText")
    assert said == "Copied" or (said, page.evaluate("getSelection().toString()")) == ("Selected", text)


def test_by_keyboard_alone(browser: Browser, shown: Shown) -> None:
    """Arrows move between the exchanges that are to be seen, Enter opens one, and a slash leads to the search."""
    for number in range(3):
        shown.happens(f"req-{number}", status=429 if number == 1 else 200)
    page = browser.open(f"{shown.url}#outcome=lossless")
    wait_rows(page, 2)
    page.press("ArrowDown")
    page.press("ArrowDown")
    page.press("ArrowDown")
    assert "req-0" in page.evaluate("document.activeElement.innerText")
    page.press("ArrowUp")
    assert "req-2" in page.evaluate("document.activeElement.innerText")
    page.press("Enter", "\r")
    page.wait_for("document.querySelector('.more')")
    page.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Copy"
    page.press("/", "/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.press("/", "/")
    page.wait_for("document.getElementById('search').value === '/'")
    wait_rows(page, 2)


def test_nothing_in_an_exchange_is_markup(browser: Browser, shown: Shown) -> None:
    """Whatever ids, paths, methods, codes and names there are: they are text, and nothing of them runs or loads."""
    removed: Any = {HOSTILE: 1}
    repaired: Any = {"</script><script>alert(2)</script>": 1}
    report = Report("rewritten", "lossless", removed=removed, repaired=repaired)
    shown.recent.notice(HOSTILE, Refused(404, HOSTILE, HOSTILE))  # type: ignore[arg-type] # nothing of the kind happens
    names = {"method": HOSTILE, "path": f"/v1/{HOSTILE}", "fault": HOSTILE, "model": HOSTILE, "upstream_id": HOSTILE}
    shown.happens(HOSTILE, route="other", report=report, **names)
    page = browser.open(shown.url)
    wait_rows(page, 1)
    page.evaluate("document.querySelector('.row').click()")
    assert HOSTILE in page.evaluate("document.querySelector('.more').innerText")
    assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert page.said == []


def test_the_policy_is_enforced(browser: Browser, shown: Shown) -> None:
    """Should markup ever get in, the browser refuses to run it."""
    page = browser.open(shown.url)
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=\"window.ran = 1\">')")
    page.evaluate(
        "document.head.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    page.evaluate("new Promise(done => setTimeout(done, 100))")
    assert page.evaluate("window.ran") is None
    assert page.said


def test_a_long_list(browser: Browser, shown: Shown) -> None:
    """As many exchanges as are kept are listed, and old ones leave the page as new ones come."""
    for number in range(KEPT):
        shown.happens(f"req-{number}")
    page = browser.open(shown.url)
    wait_rows(page, KEPT)
    shown.happens("req-last", status=429)
    page.wait_for("document.querySelector('#list .status').innerText === '429'")
    wait_rows(page, KEPT)


@pytest.mark.parametrize(("width", "dark"), [(400, False), (400, True), (961, False), (1181, True), (1280, False)])
def test_it_fits(browser: Browser, shown: Shown, width: int, *, dark: bool) -> None:
    """Light or dark, wide or narrow, nothing sticks out sideways, and text stands out from what is behind it."""
    removed: Any = {"item_reference": 1000} | dict.fromkeys(map(str, range(20)), 1)
    names = {"path": "/v1/" + "long/" * 40, "model": "m" * 80, "upstream_id": "u" * 64}
    for number, kind in enumerate(REFUSALS):
        refused(shown, f"req-{number}", kind)
    shown.happens(report=Report("rewritten", "lossy", removed=removed), **names)
    page = browser.open(shown.url, width=width, dark=dark)
    wait_rows(page, 1 + len(REFUSALS))
    page.evaluate("document.querySelector('.row').click()")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert not page.evaluate(OVERLAPS)
    ink, behind = (
        sum(map(int, re.findall(r"\d+", page.evaluate(f"getComputedStyle(document.body).{name}"))[:3]))
        for name in ("color", "backgroundColor")
    )
    assert (ink > behind) == dark
    assert abs(ink - behind) > 400


def test_an_error(browser: Browser, shown: Shown, stage: Stage) -> None:
    """A listener that answers with an error is said to, and what was known stays to be seen."""
    shown.happens()
    page = browser.open(shown.url)
    wait_rows(page, 1)

    stage.show(failing)
    page.wait_for("document.getElementById('state').className === 'stale'")
    assert page.evaluate("document.getElementById('state').innerText") == "The admin listener answers 500"
    assert len(rows(page)) == 1


def test_a_process_that_is_gone(browser: Browser) -> None:
    """A page whose process is gone says so and since when, and goes on by itself, from nothing, with the next one."""
    with staged() as stage:
        recent = Recent("strip", 4711)
        inspection = Inspection(recent, FACTS)
        shown = Shown(stage.show(admin(Readiness(), Instruments().reading, inspection)), recent, Readiness())
        shown.happens()
        page = browser.open(shown.url)
        wait_rows(page, 1)
    page.wait_for("document.getElementById('state').className === 'stale'")
    assert "No answer since" in page.evaluate("document.getElementById('state').innerText")
    assert len(rows(page)) == 1


def test_a_new_process(browser: Browser, shown: Shown, stage: Stage) -> None:
    """What an earlier process did is not mixed with what its successor does."""
    shown.happens(status=429)
    page = browser.open(shown.url)
    wait_rows(page, 1)
    recent = Recent("strip", 4711)
    recent.began += 1
    port = stage.show(admin(Readiness(), Instruments().reading, Inspection(recent, FACTS)))
    Shown(port, recent, Readiness()).happens(status=418)
    page.wait_for("document.querySelector('#list .status').innerText === '418'")
    wait_rows(page, 1)


def test_pausing(browser: Browser, shown: Shown) -> None:
    """A page that is paused stays as it is until it goes on."""
    page = browser.open(shown.url)
    page.wait_for("document.getElementById('state').className === 'live'")
    page.evaluate("document.getElementById('pause').click()")
    assert page.evaluate("document.getElementById('state').innerText") == "Paused"
    shown.happens()
    page.evaluate("new Promise(done => setTimeout(done, 1500))")
    assert rows(page) == []
    page.evaluate("document.getElementById('pause').click()")
    wait_rows(page, 1)
