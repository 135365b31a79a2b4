"""What only one server knows is taken out of an input, kind by kind; everything else keeps its bytes."""

import json
from typing import Any

import pytest

from proxy.responses.body.document import read
from proxy.responses.rewrite.form import Form
from proxy.responses.rewrite.rewriter import Rewrite, rewrite
from tests.support import samples
from tests.support.samples import EASY, IMAGE, PINNED, PINNED_OUTPUT, PLAIN, PNG, REASONING, SAID, SUMMARY, USER, Item
from tests.support.validity import faults

PORTABLE = Form(portable=True)
AZURE = Form(portable=True, profile="azure")
BARE: Item = {"type": "reasoning", "id": "rs_1", "summary": []}


def _rewritten(items: Any, form: Form = PORTABLE, /, **top: Any) -> Rewrite:
    document = read(json.dumps({"model": "m", "input": items, **top}).encode())
    assert document is not None
    return rewrite(document, form)


def _sent(items: Any, form: Form = PORTABLE, **top: Any) -> Any:
    return json.loads(_rewritten(items, form, **top).body)["input"]


@pytest.mark.parametrize("kind", PLAIN)
def test_ids_go(kind: str) -> None:
    """Of an item whose id is a label the id goes, and nothing else: no value, no order, no meaning."""
    before, behind = samples.around(kind, PLAIN[kind])
    sent = _rewritten([*before, {"id": "x_1", **PLAIN[kind]}, *behind])
    assert json.loads(sent.body)["input"] == [*before, PLAIN[kind], *behind]
    assert (dict(sent.removed), dict(sent.repaired), sent.lossy) == ({"item_id": 1}, {}, set())


@pytest.mark.parametrize("kind", PLAIN)
def test_nothing_to_take_out(kind: str) -> None:
    """An item of any kind without an id is sent as the very bytes that came."""
    before, behind = samples.around(kind, PLAIN[kind])
    body = json.dumps({"input": [*before, PLAIN[kind], *behind]}).encode()
    document = read(body)
    assert document is not None
    assert rewrite(document, PORTABLE).body is body


@pytest.mark.parametrize("kind", PINNED)
def test_pinned_ids_keep_their_turns(kind: str) -> None:
    """A turn with an id that pairs or is signed keeps all its ids, and the turns around lose theirs."""
    turn = [{"id": "rs_1", **REASONING}, PINNED[kind], {"id": "msg_1", **SAID}]
    if kind == "program_output":
        turn.insert(1, PINNED["program"])
    behind = [] if kind in ("program", "program_output", "compaction") else [PINNED_OUTPUT[kind]]
    other = [{"id": "rs_2", **REASONING}, {"id": "msg_2", **SAID}]
    items = [{"id": "msg_0", **USER}, *turn, *behind, USER, *other, USER]
    assert _sent(items) == [USER, *turn, *behind, USER, REASONING, SAID, USER]
    assert _sent(items, AZURE) == [USER, *turn, *behind, USER, *other, USER]


def test_outputs_lose_their_labels() -> None:
    """The id of a computer call's output is a label, that of a local shell call's output is the call's."""
    computer = [USER, PINNED["computer_call"], {**samples.COMPUTER_OUTPUT, "id": "cuo_1"}]
    assert _sent(computer) == [USER, PINNED["computer_call"], samples.COMPUTER_OUTPUT]
    shell = [USER, PINNED["local_shell_call"], samples.LOCAL_OUTPUT, {**samples.output("call_8"), "id": "fco_1"}]
    assert _sent(shell) == [USER, PINNED["local_shell_call"], samples.LOCAL_OUTPUT, samples.output("call_8")]


@pytest.mark.parametrize("empty", [{}, {"encrypted_content": None}, {"encrypted_content": ""}])
def test_bare_reasoning_goes(empty: Item) -> None:
    """Reasoning that is nothing but an id is dropped, which is a loss."""
    sent = _rewritten([USER, {**BARE, **empty}, {"id": "msg_1", **SAID}, USER])
    assert json.loads(sent.body)["input"] == [USER, SAID, USER]
    assert (dict(sent.removed), sent.lossy, sent.stands_alone) == ({"reasoning": 1, "item_id": 1}, {"reasoning"}, False)


@pytest.mark.parametrize(
    ("item", "expected", "lossy"),
    [
        ({**BARE, "summary": SUMMARY, "status": "completed"}, {"summary": SUMMARY}, True),
        ({**BARE, "summary": SUMMARY, "encrypted_content": None}, {"summary": SUMMARY}, True),
        ({**BARE, "summary": SUMMARY, "content": [{"text": "", "id": "p"}]}, {"summary": SUMMARY}, True),
        ({**BARE, "content": [{"text": "t"}]}, {"content": [{"text": "t"}], "summary": []}, True),
        (
            {"type": "reasoning", "id": "r", "content": [{"text": "t"}]},
            {"content": [{"text": "t"}], "summary": []},
            True,
        ),
        ({"type": "reasoning", "summary": SUMMARY, "status": "x"}, {"summary": SUMMARY}, False),
        ({"type": "reasoning", "summary": SUMMARY}, {"summary": SUMMARY}, False),
    ],
)
def test_readable_reasoning_stays(item: Item, expected: Item, lossy: bool) -> None:
    """What can be read of a reasoning stays, without what only its server could have resolved."""
    sent = _rewritten([USER, item, SAID, USER])
    assert json.loads(sent.body)["input"][1] == {"type": "reasoning", **expected}
    assert bool(sent.lossy) == lossy
    assert all(sent.removed.values())


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({**REASONING, "id": "rs_1", "status": "completed", "content": None}, REASONING),
        (
            {"type": "reasoning", "encrypted_content": "gAAAA"},
            {"type": "reasoning", "encrypted_content": "gAAAA", "summary": []},
        ),
        ({**REASONING, "summary": None}, {"type": "reasoning", "encrypted_content": "gAAAA", "summary": []}),
        (
            {**REASONING, "content": [{"type": "reasoning_text", "text": "t", "id": "p"}]},
            {**REASONING, "content": [{"type": "reasoning_text", "text": "t"}]},
        ),
    ],
)
def test_sealed_reasoning_stays(item: Item, expected: Item) -> None:
    """Reasoning with its blob stays, without `status` and a null `content`, and with a summary."""
    sent = _rewritten([USER, item, SAID, USER])
    assert json.loads(sent.body)["input"] == [USER, expected, SAID, USER]
    assert not sent.lossy


@pytest.mark.parametrize(
    "reference", [{"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}, {"id": "msg_1", "type": None}]
)
def test_references_go(reference: Item) -> None:
    """A reference is dropped in any form: lossless with an inline twin, a loss without."""
    twin = {"id": "msg_1", **SAID}
    sent = _rewritten([USER, reference, twin, USER])
    assert json.loads(sent.body)["input"] == [USER, SAID, USER]
    assert (dict(sent.removed), sent.lossy, sent.stands_alone) == ({"item_reference": 1, "item_id": 1}, set(), True)
    lost = _rewritten([USER, reference, SAID, USER])
    assert (lost.lossy, lost.stands_alone, lost.answerable) == ({"item_reference"}, False, True)


def test_a_reference_to_nothing_is_a_loss() -> None:
    """A reference without an id has no twin, whatever else has no id."""
    assert _rewritten([USER, {"type": "item_reference"}, SAID, USER]).lossy == {"item_reference"}


@pytest.mark.parametrize("status", [{}, {"status": "completed"}])
def test_images_are_shown(status: Item) -> None:
    """What an image generation call made is shown as an image, for the call would be looked up by its id."""
    item = {"type": "image_generation_call", "id": "ig_1", "result": PNG, **status}
    sent = _rewritten([USER, {"id": "rs_1", **REASONING}, item, {"id": "msg_1", **SAID}, USER])
    assert json.loads(sent.body)["input"] == [USER, IMAGE, SAID, USER]
    assert dict(sent.repaired) == {"image": 1}
    assert sent.lossy == {"image", "reasoning"}


@pytest.mark.parametrize("result", [{}, {"result": None}, {"result": "AAAA"}, {"result": PNG, "status": "failed"}])
def test_images_without_a_result_go(result: Item) -> None:
    """An image generation call that made nothing to show is dropped."""
    sent = _rewritten([USER, {"type": "image_generation_call", "id": "ig_1", **result}, SAID, USER])
    assert json.loads(sent.body)["input"] == [USER, SAID, USER]
    assert sent.lossy == {"item_reference"}


ENVELOPE: Item = {
    "response_id": "resp_1",
    "object": "x",
    "created": 1,
    "created_at": 1,
    "usage": {},
    "system_fingerprint": "f",
    "choices": [],
    "finish_reason": "stop",
    "index": 0,
    "model": "m",
    "created_by": "c",
    "logprobs": None,
}


@pytest.mark.parametrize("kind", sorted(PLAIN.keys() - {"unknown"}))
def test_envelope_fields_go(kind: str) -> None:
    """Fields that clients copy from a response into items go; an unknown kind keeps everything but its id."""
    before, behind = samples.around(kind, PLAIN[kind])
    sent = _rewritten([*before, {**PLAIN[kind], **ENVELOPE}, *behind])
    assert json.loads(sent.body)["input"] == [*before, PLAIN[kind], *behind]
    assert (dict(sent.removed), sent.lossy) == ({"envelope_field": len(ENVELOPE)}, set())


def test_fields_of_parts() -> None:
    """Parts of content lose ids and envelope fields; citations, logprobs and files stay."""
    part = {"type": "output_text", "text": "t", "annotations": [{"index": 1, "id": "kept"}], "logprobs": []}
    file = {"type": "input_file", "file_id": "file-1"}
    sent = _rewritten(
        [
            {**EASY, "content": [{"id": "p", **file}, "x", {}]},
            {**SAID, "content": [{**part, "id": "p", "index": 0}]},
            USER,
        ]
    )
    assert json.loads(sent.body)["input"] == [{**EASY, "content": [file, "x", {}]}, {**SAID, "content": [part]}, USER]
    assert dict(sent.removed) == {"envelope_field": 3}


def test_azure() -> None:
    """Azure keeps the ids of a turn whose reasoning is sealed, loses those of others, and gets no message status."""
    kept = [{"id": "rs_1", **REASONING}, {"id": "fc_1", **samples.call()}]
    lost = [BARE, {"id": "rs_2", **REASONING}, {"id": "msg_1", **SAID, "status": "completed"}]
    plain = [{"id": "msg_2", **SAID}]
    items = [{"id": "msg_0", **USER, "status": "completed"}, *kept, samples.output(), *lost, USER, *plain, USER]
    assert _sent(items, AZURE) == [USER, *kept, samples.output(), REASONING, SAID, USER, SAID, USER]


def test_fields_given_back() -> None:
    """A field that upstream demands stays, and with an id all the ids of its turn."""
    form = Form(portable=True, demanded=frozenset({("reasoning", "id"), ("message:user", "model")}))
    turn = [{"id": "rs_1", **REASONING}, {"id": "msg_1", **SAID}]
    other = [{"id": "msg_2", **SAID}]
    user = {**USER, "model": "m"}
    assert _sent([user, *turn, USER, *other, USER], form) == [user, *turn, USER, SAID, USER]


def test_fields_taken_away() -> None:
    """A field that upstream refused goes from all items of that kind, of parts as well, and from no others."""
    refused = {("message:assistant", "phase"), ("message:user", "content[].detail"), ("function_call", "id")}
    form = Form(refused=frozenset(refused))
    image = {"type": "input_image", "image_url": "data:,"}
    items = [
        {**USER, "content": [{**image, "detail": "auto"}]},
        {**SAID, "phase": "x", "id": "msg_1"},
        {**samples.call(), "id": "fc_1", "phase": "x"},
        samples.output(),
        SAID,
        EASY,
    ]
    kept = [{**USER, "content": [image]}, SAID, {**samples.call(), "phase": "x"}, samples.output(), SAID, EASY]
    assert _sent(items, form) == kept


def test_a_computer_call_without_its_reasoning() -> None:
    """A computer call whose reasoning is lost becomes text, with its output: sent so it is answered with a 500."""
    items = [USER, BARE, PINNED["computer_call"], samples.COMPUTER_OUTPUT, SAID, USER]
    sent = _rewritten(items)
    result = json.loads(sent.body)["input"]
    assert [item.get("role") for item in result] == ["user", "assistant", "assistant", "assistant", "user"]
    assert result[2]["content"] == "[Tool result for call_7] [image]"
    assert dict(sent.repaired) == {"note": 2}
    assert faults(sent.body) == []


def test_blobs() -> None:
    """Refused blobs go, of a compaction with it; the others stay, and summaries that can be read as well."""
    sealed = {"type": "reasoning", "id": "rs_2", "summary": SUMMARY, "encrypted_content": "gBBBB"}
    agent = {**PLAIN["agent_message"], "encrypted_content": "gAAAA"}
    items = [USER, agent, PINNED["compaction"], USER, {"id": "rs_1", **REASONING}, sealed, SAID, USER]
    one = _rewritten(items, Form(portable=True, blobs=frozenset({b'"gBBBB"'})))
    readable = {"type": "reasoning", "summary": SUMMARY}
    assert json.loads(one.body)["input"] == [USER, agent, PINNED["compaction"], USER, REASONING, readable, SAID, USER]
    every = _rewritten(items, Form(portable=True, no_blobs=True))
    assert json.loads(every.body)["input"] == [USER, agent, USER, readable, SAID, USER]
    assert every.lossy == {"encrypted_content", "compaction"}
    assert dict(every.removed) == {"compaction": 1, "encrypted_content": 2}


def test_a_refused_blob_costs_its_turn_the_ids() -> None:
    """Where a blob goes, its turn loses all ids, and a turn that keeps its own goes on keeping them."""
    lost = [{"id": "rs_1", **REASONING}, {"id": "msg_1", **SAID}]
    kept = [{"id": "rs_2", **REASONING, "encrypted_content": "gBBBB"}, PINNED["computer_call"]]
    items = [USER, *lost, USER, *kept, samples.COMPUTER_OUTPUT]
    for profile in ("openai", "azure"):
        for portable in (True, False):
            form = Form(profile=profile, portable=portable, blobs=frozenset({b'"gAAAA"'}))
            assert _sent(items, form) == [USER, SAID, USER, *kept, samples.COMPUTER_OUTPUT]


def test_expired_containers() -> None:
    """A code interpreter call of an expired container becomes a note; the others stay."""
    call = PLAIN["code_interpreter_call"]
    sent = _rewritten([USER, call, {**call, "container_id": "cntr_2"}, USER], Form(containers=frozenset({"cntr_1"})))
    note = {"type": "message", "role": "assistant", "content": "[Code interpreter] run_model()"}
    assert json.loads(sent.body)["input"] == [USER, note, {**call, "container_id": "cntr_2"}, USER]


UNTOUCHED = [
    '"msg_1 is text"',
    '[{"role":"user","content":"msg_42 is broken, rs_1 fc_1 run_1"}]',
    (
        '[{"role":"user","content":"x"},{"type":"function_call","call_id":"fc_9","name":"run_tests",'
        '"arguments":"{\\"id\\":\\"msg_1\\",\\"model\\":1}"},'
        '{"type":"function_call_output","call_id":"fc_9","output":"run_42 finished"}]'
    ),
    (
        '[{"role":"user","content":"x"},{"type":"code_interpreter_call","code":"run_model()","container_id":"cntr_1",'
        '"outputs":[{"type":"logs","logs":"rs_1","id":"x"}],"status":"completed"},{"role":"user","content":"x"}]'
    ),
    '[{"type":"configuration_update","reasoning":{"effort":"low"}},{"role":"user","content":"x"}]',
    (
        '[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"output_text","text":"x","logprobs":[],'
        '"annotations":[{"type":"file_citation","index":3,"file_id":"file-1"}]}]},{"role":"user","content":"x"}]'
    ),
    '[{"role":"user","content":[{"type":"input_image","file_id":"file-1"},{"type":"input_text","text":"x"}]}]',
    '[5,null,"x",[],{}]',
    "{}",
    "null",
    "7",
]
SETTINGS = (
    '"reasoning":{"effort":"low","summary":"auto"},"metadata":{"id":"1","usage":"x","object":"y"},'
    '"text":{"format":{"schema":{"properties":{"id":{},"model":{},"index":{},"summary":{}}}}},'
    '"tools":[{"type":"function","name":"msg_send","parameters":{"properties":{"id":{},"status":{}}}}],'
    '"prompt":{"id":"pmpt_1"},"previous_response_id":null,"conversation":null'
)


@pytest.mark.parametrize("value", UNTOUCHED)
def test_rules_that_look_right(value: str) -> None:
    """No value is read for ids: names, texts, arguments, outputs, schemas, settings and strings stay as they are.

    Deleting everything that looks like an id left 14 of 21 valid items invalid.
    """
    body = f'{{"model":"m","input":{value},{SETTINGS}}}'.encode()
    document = read(body)
    assert document is not None
    sent = rewrite(document, PORTABLE)
    assert sent.body is body
    assert (sent.removed, sent.repaired, sent.lossy) == ({}, {}, set())


def test_top_level() -> None:
    """Fields of a response go from the top level, and so does the previous response's id."""
    names = [
        *("id", "object", "created", "created_at", "completed_at", "output", "output_text", "usage", "error", "status"),
        *("incomplete_details", "billing", "choices", "system_fingerprint", "finish_reason", "response_id"),
        "tool_usage",
    ]
    envelope: Item = dict.fromkeys(names, 1)
    sent = _rewritten([USER], **envelope)
    assert json.loads(sent.body) == {"model": "m", "input": [USER]}
    assert dict(sent.removed) == {"envelope_field": len(names)}
    fresh = _rewritten([USER], previous_response_id="resp_1")
    assert json.loads(fresh.body) == {"model": "m", "input": [USER]}
    assert (dict(fresh.removed), fresh.lossy) == ({"previous_response_id": 1}, {"previous_response_id"})
    whole = _rewritten([USER, SAID, USER], previous_response_id="resp_1")
    assert (whole.lossy, whole.stands_alone) == (set(), True)


BYTES = [
    (
        (
            b'{"input":[{"role":"user","content":"x"},{"id":"msg_1","role":"assistant","n":18446744073709551616,'
            b'"small":1e-400,"big":1e400,"long":1234567890123456789012345678901234567890},{"role":"user","content":"x"}]}'
        ),
        b'"id":"msg_1",',
    ),
    (
        (
            '{"input":[{"role":"user","content":"\\u00e9 é \\/ /"},'
            '{"role":"assistant", "id":"m" ,"content":"x","d":{"a":1,"a":2}},{"role":"user","content":"x"}]}'
        ).encode(),
        b'"id":"m" ,',
    ),
    (b'{"input":[{"role":"user","content":"\\ud800","id":"m"}]}', b',"id":"m"'),
    (b'{"input":[{"id":"m", "role":"user","content":"\xed\xa0\x80\xff"}]}', b'"id":"m", '),
    (b'{"input":[{"role":"user","content":"x","n":NaN,"i":-Infinity, "id":"m" }]}', b', "id":"m"'),
    (b'\xef\xbb\xbf{"input":[{"role":"user","id":"m","content":"x"}]}', b'"id":"m",'),
    (b'{"input":[{"role":"user","id":"m","content":"x","deep":' + b"[" * 2000 + b"]" * 2000 + b"}]}", b'"id":"m",'),
    (
        b'{"input":[{"id":"m","role":"user","content":"x","deep":' + b'{"a":' * 2000 + b"1" + b"}" * 2001 + b"]}",
        b'"id":"m",',
    ),
    (b' {\n\t"input" : [ { "id" : "m" , "role" : "user" , "content" : "x" } ] } \r\n', b'"id" : "m" , '),
    (b'{"input":[{"role":"user","i\\u0064":"m","content":"x"}]}', b'"i\\u0064":"m",'),
    (b'{"inp\\u0075t":[{"id":"m","role":"user","content":"x"}]}', b'"id":"m",'),
    (b'{"input":[{"\\ud800":1,"id":"m","role":"user","content":"x"}]}', b'"id":"m",'),
    (b'{"input":[{"\xff":1,"id":"m","role":"user","content":"x"}]}', b'"id":"m",'),
    (b'{"input":[{"role":"user","content":"x"}],"id":1,"model":"m"}', b'"id":1,'),
    (b'{"model":"m","input":[{"role":"user","content":"x"}],"status":"s"}', b',"status":"s"'),
    (b'{"input":[{"role":"user","content":[{"id":"p"},{"type":"input_text","text":"x"}]}]}', b'"id":"p"'),
    (b'{"input":[{"role":"user","content":[{"\\u0069d":"p","type":"input_text","text":"x"}]}]}', b'"\\u0069d":"p",'),
]


@pytest.mark.parametrize(("body", "gone"), BYTES, ids=range(len(BYTES)))
def test_untouched_bytes(body: bytes, gone: bytes) -> None:
    """What is not taken out keeps its exact bytes, its place and its order, whatever a parser would make of it."""
    document = read(body)
    assert document is not None
    assert body.count(gone) == 1
    assert rewrite(document, PORTABLE).body == body.replace(gone, b"")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"input":[{"id":"a","id":"b","role":"user","content":"x"}]}', b'{"input":[{"role":"user","content":"x"}]}'),
        (
            b'{"input":[{"id":"a","role":"user","content":"x"}],"input":[{"id":"b","role":"user","content":"y"}]}',
            b'{"input":[{"role":"user","content":"x"}],"input":[{"role":"user","content":"y"}]}',
        ),
        (
            b'{"previous_response_id":"a","input":[{"role":"user","content":"x"}],"previous_response_\\u0069d":"b"}',
            b'{"input":[{"role":"user","content":"x"}]}',
        ),
        (
            b'{"input":[{"role":"user","content":[{"id":"a"}],"content":[{"id":"b","text":"x"}]}]}',
            b'{"input":[{"role":"user","content":[{}],"content":[{"text":"x"}]}]}',
        ),
        (
            b'{"input":[{"id":"a"},{"role":"user","content":"x"},{"id":"b"}]}',
            b'{"input":[{"role":"user","content":"x"}]}',
        ),
    ],
)
def test_written_twice(body: bytes, expected: bytes) -> None:
    """What stands twice goes twice."""
    document = read(body)
    assert document is not None
    assert rewrite(document, PORTABLE).body == expected
