"""The live page and its data: one file without anything from elsewhere, and nothing in it that could run but its own.

What is shown comes as JSON and is written as text; the policy names the one script and the one style by their digest.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from proxy import report as explanations
from proxy.admin.answers import Answer, Page, Request
from proxy.admin.hosts import is_own
from proxy.hints import BOUND, Hint
from proxy.observers.gauges import Gauges
from proxy.observers.recent import Recent

_FILE: Final = Path(__file__).with_name("page.html")
_SAFE: Final = {
    "cache-control": "no-cache",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True)
class Inspection:
    """What the page shows: the last exchanges, and what never changes while the process lives."""

    recent: Recent
    facts: Mapping[str, str]
    listening: str = ""
    """The name under which the admin listener is reached, where it has one."""


def pages(
    inspection: Inspection, levels: Callable[[], Awaitable[Gauges]], draining: Callable[[], bool]
) -> dict[str, Page]:
    """The page at `/`, and its data."""
    html = _html()
    body = html.encode()
    policy = {**_SAFE, "content-security-policy": _policy(html)}

    async def page(request: Request) -> Answer:
        return _refused(request, inspection) or Answer(body, media_type="text/html; charset=utf-8", fields=policy)

    async def data(request: Request) -> Answer:
        refused = _refused(request, inspection)
        if refused:
            return refused
        told = {**(await levels())._asdict(), "draining": draining(), "facts": inspection.facts}
        tag = _tag(inspection.recent, told)
        if request.field(b"if-none-match") == tag:
            return Answer(status=304, fields={**_SAFE, "etag": tag})
        text = orjson.dumps({**told, **inspection.recent.told()})
        return Answer(text, media_type="application/json", fields={**_SAFE, "etag": tag})

    return {"/": page, "/exchanges.json": data}


def _refused(request: Request, inspection: Inspection) -> Answer | None:
    if is_own(request.field(b"host"), inspection.listening):
        return None
    message = b"This page is for this machine: open it by its address, or as localhost.\n"
    return Answer(message, 421, fields=_SAFE)


def _tag(recent: Recent, told: Mapping[str, Any]) -> str:
    state = orjson.dumps([recent.began, recent.number, told])
    return f'"{hashlib.sha256(state).hexdigest()[:16]}"'


def _html() -> str:
    """The page, with the words of `explain` in it as data."""
    words = {
        "actions": explanations.ACTIONS,
        "fidelities": explanations.FIDELITIES,
        "refusals": explanations.REFUSALS,
        "removed": {name: each._asdict() for name, each in explanations.REMOVED.items()},
        "store": explanations.STORE,
        "hints": {str(Hint(bound)): advice for bound, advice in BOUND.items()},
        "repaired": {name: each._asdict() for name, each in explanations.REPAIRED.items()},
    }
    text = orjson.dumps(words).decode().replace("<", r"\u003c")
    return _FILE.read_text(encoding="utf-8").replace('id="words">{}<', f'id="words">{text}<')


def _policy(html: str) -> str:
    script, style = (_digest(html, element) for element in ("script", "style"))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(html: str, element: str) -> str:
    [content] = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
    return f"'sha256-{b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
