"""Requests for a response that name a conversation."""

import pytest

from proxy.responses.conversations.asked import Question, may_name_one
from proxy.responses.conversations.asked import question as question_of
from proxy.responses.conversations.ledger import name_of, names

CONVERSATION = "conv_" + "a" * 48
SEED = b"seed"
HISTORY = (b'{"role":"user","content":"1"}', b'{"n":1e400}')


def body(conversation: str = f'"{CONVERSATION}"', given: str = '"x"', more: str = "") -> bytes:
    """A request that names a conversation."""
    return f'{{"model":"m","conversation":{conversation},"input":{given}{more}}}'.encode()


def question(sent: bytes) -> Question | None:
    """The request that a body is."""
    return question_of(sent, SEED)


def test_what_names_one() -> None:
    """An id by itself and in an object; the last one where there are two, however its name is written."""
    for conversation in (f'"{CONVERSATION}"', f'{{"id":"{CONVERSATION}"}}', f'{{ "id" : 7, "id":"{CONVERSATION}"}}'):
        found = question(body(conversation))
        assert found is not None
        assert found.conversation_id == CONVERSATION
    found = question(body('"conv_x"', more=f',"c\\u006fnversation":"{CONVERSATION}"'))
    assert found is not None
    assert found.conversation_id == CONVERSATION


@pytest.mark.parametrize(
    "sent",
    [
        body("null"),
        body("7"),
        body('{"id":null}'),
        body('{"id":7}'),
        body(f'{{"id":"{CONVERSATION}","a":1}}'),
        body('"conv_x"'),
        body(f'"{CONVERSATION}0"'),
        body('"conv_' + "g" * 48 + '"'),
        body('["conv"]'),
        body(more=',"previous_response_id":"resp_1"'),
        body(given="7"),
        body(given=f"[{'[],' * 250_000}7]"),
        b'{"model":"m","conversation":"%b"}' % CONVERSATION.encode(),
        b'{"conversation":',
        b"[]",
    ],
    ids=lambda sent: sent[:70].decode(),
)
def test_what_is_upstreams(sent: bytes) -> None:
    """An id that is none of ours, both references at once, no input, and what is no request: upstream has the word."""
    assert question(sent) is None


def test_most_are_not_read() -> None:
    """A body without the word, and without an escape that could hide it, names none."""
    assert not may_name_one(b'{"input":"x \\u4e2d\\u00fc"}')
    assert may_name_one(body())
    assert may_name_one(b'{"c\\u006fnversation":1}')


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('"x"', '{"role":"user","content":"x"}'),
        ('[{"role":"user","content":"2e400"}]', '{"role":"user","content":"2e400"}'),
        ("[]", ""),
        ('""', ""),
    ],
)
def test_the_history_takes_its_place(given: str, expected: str) -> None:
    """The items stand in front of the input, byte for byte, and every other byte is the client's."""
    found = question(body(given=given, more=', "n":1e400'))
    assert found is not None
    joined = ",".join(filter(None, [*(item.decode() for item in HISTORY), expected]))
    assert found.with_history(HISTORY) == f'{{"model":"m","input":[{joined}], "n":1e400}}'.encode()
    assert found.with_history(()) == f'{{"model":"m","input":{given}, "n":1e400}}'.encode()


def test_what_is_kept_of_it() -> None:
    """Its own items with their ids, but the one that only says how this request is to be answered."""
    items = [
        '{"role":"user","content":"x","id":"msg_1"}',
        '{"type":"compaction_trigger"}',
        '{"role":"user","content":""}',
    ]
    found = question(body(given=f"[{','.join(items)}]", more=',"store":false,"background":true'))
    assert found is not None
    assert found.ids == ("msg_1", "", "")
    assert found.kept[0] == (items[0].encode(), name_of("msg_1"))
    assert [one.item for one in found.kept] == [items[0].encode(), items[2].encode()]
    assert found.kept[1].name == names(found.ids, SEED)[2]
    assert (found.stores, found.in_background) == (False, True)


def test_odd_ids() -> None:
    """An id that no UTF-8 can hold is an id like others."""
    found = question(body(given='[{"role":"user","content":"x","id":"\\ud800"}]'))
    assert found is not None
    assert found.ids == ("\ud800",)
    assert len(found.kept[0].name) == 8
