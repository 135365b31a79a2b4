"""What reaches upstream of a request: who rewrites must change nothing else, or its speed is worth nothing."""

import json
from itertools import zip_longest
from typing import Any

from tests.bench import work
from tests.bench.measuring import Running, ask
from tests.bench.work import Work


def verdict(running: Running) -> str:
    """What the proxy makes of the body of W2, in words."""
    sent = work.large()
    if not running.proxy.relays_bytes:
        return "not known"
    status, arrived = ask(running.place.port, running.proxy.request(Work("echo", sent), running.place))
    if status != 200:
        return f"answers {status}"
    if arrived == sent:
        return "the same bytes"
    wanted = work.without_ids(sent)
    if arrived == wanted:
        return "no ids, else the same bytes"
    changes = _differences(_read(wanted), _read(arrived))
    return f"no ids, but {changes} values changed" if changes else "no ids, else the same values"


def _read(body: bytes) -> Any:
    """The values of a body, numbers as they are written."""
    return json.loads(body, parse_int=str, parse_float=str)


def _differences(one: Any, other: Any) -> int:
    """How many values are not the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        return sum(_differences(one.get(key, ...), other.get(key, ...)) for key in {**one, **other})
    if isinstance(one, list) and isinstance(other, list):
        return sum(_differences(*pair) for pair in zip_longest(one, other, fillvalue=...))
    return int(one != other)
