"""The page of the demonstration: the incident, played with one click, directly and through Unpinned."""

import asyncio
import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from proxy.demo import demonstration
from proxy.demo.incident import STYLES, Incident, Style
from proxy.demo.stage import Account, serving
from proxy.demo.witness import Witness
from tests.support.asgi import OK, answer, answering, http
from tests.support.chromium import Browser, Page


@pytest.fixture(scope="module")
def incident() -> Iterator[Incident]:
    """The incident over three running servers."""
    with ExitStack() as stack:
        servers, stations = demonstration._servers(Account(io.StringIO()), stack)
        yield Incident(stations, [(server.name, server.address) for server in servers])


@pytest.fixture(scope="module")
def url(incident: Incident) -> Iterator[str]:
    """Where its page is."""
    with serving(incident.asgi()) as url:
        yield url


def played(incident: Incident, style: Style, way: str) -> list[dict[str, Any]]:
    """The steps of one play."""
    return asyncio.run(incident.play(style, way))


def test_directly_it_ends_elsewhere(incident: Incident) -> None:
    """Whatever the client does, the second server refuses: the answer is shown as it came."""
    for style, code in (("whole", 404), ("reference", 400), ("stored", 400)):
        *begun, refused = played(incident, style, "directly")  # type: ignore[arg-type] # words of a loop
        assert [(step["server"], step["status"]) for step in begun] == [("server 1", 200)] * 2
        assert (refused["server"], refused["status"], refused["saw"]) == ("server 2", code, [])
        assert refused["said"].startswith('{"error":{"message":"')
        assert " not found." in refused["said"]


def test_the_whole_conversation_goes_on(incident: Incident) -> None:
    """Through Unpinned only labels are taken out, and the model sees all of the conversation on every server."""
    steps = played(incident, "whole", "unpinned")
    assert [step["server"] for step in steps] == ["server 1", "server 1", "server 2", "server 3"]
    assert all("your name is Ada" in step["said"] for step in steps[1:])
    assert {step["report"]["fidelity"] for step in steps} == {"exact", "lossless"}
    [attempt] = steps[-1]["attempts"]
    changed = [line for line in attempt["changes"] if line[0] in "+-"]
    assert len(changed) == 6
    assert all(line.startswith("-") and '"id": "' in line for line in changed)
    assert steps[-1]["saw"][0].startswith("user: My name is Ada.")
    assert steps[-1]["saw"][-1] == "user: And what did I ask you first?"


def test_a_reference_is_lost_without_a_store(incident: Incident) -> None:
    """A client that names its last response is refused, and then answered without its history, which is said."""
    elsewhere = played(incident, "reference", "unpinned")[2]
    assert [attempt["status"] for attempt in elsewhere["attempts"]] == [400, 200]
    assert elsewhere["attempts"][0]["refusal"].startswith("Previous response with id 'resp_")
    assert (elsewhere["report"]["action"], elsewhere["report"]["fidelity"]) == ("recovered", "lossy")
    assert elsewhere["saw"] == ["user: What is my name?"]


def test_a_reference_resolves_with_a_store(incident: Incident) -> None:
    """With a store that all servers share it becomes the history itself."""
    steps = played(incident, "stored", "unpinned")
    assert [step["report"].get("store") for step in steps] == [None, "hit", "hit", "hit"]
    assert all("your name is Ada" in step["said"] for step in steps[1:])


@pytest.mark.parametrize(("style", "status"), [("whole", 404), ("reference", 400), ("stored", 400)])
def test_over_websockets(incident: Incident, style: Style, status: int) -> None:
    """Over WebSockets directly it ends on the second server as well; through Unpinned it goes on where it can."""
    directly, unpinned = (asyncio.run(incident.play(style, way, "websocket")) for way in ("directly", "unpinned"))
    assert [step["status"] for step in directly] == [200, 200, status]
    assert '"type":"error"' in directly[-1]["said"]
    if style == "reference":
        assert [step["status"] for step in unpinned] == [200, 200, 400]
        return
    assert [step["server"] for step in unpinned] == ["server 1", "server 1", "server 2", "server 3"]
    assert all("your name is Ada" in step["said"] for step in unpinned[1:])
    assert any(line.startswith("-") for line in unpinned[-1]["attempts"][-1]["changes"])


def test_a_style_that_is_none(url: str) -> None:
    """What the page does not offer is refused with what there is."""
    refused = httpx2.post(f"{url}/play", json={"style": "loud"}, trust_env=False)
    assert refused.status_code == 400
    assert refused.json()["error"].startswith(f"The style is one of {', '.join(STYLES)}, the transport one of http, ")


def test_only_a_play_is_witnessed() -> None:
    """A request of no play passes, and nothing of it is kept; one of a play is kept until it is taken."""
    witness = Witness(answering())
    assert answer(witness) == list(OK)
    assert answer(witness, http(headers=[(b"x-demo-play", b"one")])) == list(OK)
    assert [attempt.status for attempt in witness.taken("one")] == [200]
    assert witness.taken("one") == []


def tabbed(page: Page, id_: str) -> None:
    """Press Tab until something has the focus."""
    for _ in range(10):
        page.press("Tab")
        if page.evaluate("document.activeElement.id") == id_:
            return
    pytest.fail(f"{id_} cannot be reached")


def test_one_click_plays_it(browser: Browser, url: str) -> None:
    """By keyboard alone: the 404 as it came on one side, the whole conversation on the other, with its verdicts."""
    page = browser.open(url)
    tabbed(page, "play")
    page.press("Enter", "\r")
    page.wait_for("document.querySelectorAll('.end').length === 2")
    directly, unpinned = (
        page.evaluate(f"document.getElementById('{id_}').innerText") for id_ in ("directly", "unpinned")
    )
    assert "404" in directly
    assert '{"error":{"message":"Item with id ' in directly
    assert "It ends here: server 2" in directly
    assert "It goes on over all three servers" in unpinned
    assert page.evaluate("document.querySelector('#unpinned details[open] .out').innerText").startswith("-")
    assert page.evaluate("document.activeElement.id") == "play"
    page.evaluate("document.querySelectorAll('.end').forEach(each => { each.id = 'earlier'; })")
    page.press("Enter", "\r")
    page.wait_for("document.querySelectorAll('.end:not(#earlier)').length === 2")
    assert page.evaluate("document.querySelectorAll('#earlier').length") == 0
    assert page.evaluate("[...document.querySelectorAll('#chats a')].length") == 3
    assert page.said == []


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits(browser: Browser, url: str, width: int, *, dark: bool) -> None:
    """Light or dark, wide or narrow, nothing sticks out sideways, whatever is unfolded."""
    page = browser.open(url, width=width, dark=dark)
    page.evaluate("document.querySelector('[value=reference]').click()")
    page.evaluate("document.getElementById('play').click()")
    page.wait_for("document.querySelectorAll('.end').length === 2")
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert "lossy" in page.evaluate("document.querySelector('#unpinned .end').className")


def test_the_page_plays_it_over_websockets(browser: Browser, url: str) -> None:
    """The other transport is one choice away, and a refusal that is relayed there is explained."""
    page = browser.open(url)
    page.evaluate("document.querySelector('[value=websocket]').click()")
    page.evaluate("document.querySelector('[value=reference]').click()")
    page.evaluate("document.getElementById('play').click()")
    page.wait_for("document.querySelectorAll('.end').length === 2")
    assert "It ends here" in page.evaluate("directly.innerText")
    assert "The refusal is relayed" in page.evaluate("unpinned.innerText")
    assert page.said == []


def test_a_demonstration_that_is_gone(browser: Browser, incident: Incident) -> None:
    """A page whose server is gone says so."""
    with serving(incident.asgi()) as url:
        page = browser.open(url)
    page.evaluate("document.getElementById('play').click()")
    page.wait_for("document.getElementById('error').innerText.includes('cannot be played')")
    assert not page.evaluate("document.getElementById('play').disabled")


def test_its_picture_is_in_the_readme() -> None:
    """The README shows it."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert "(docs/pictures/incident.png)" in readme
