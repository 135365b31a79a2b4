"""What holds of a session whatever its two sides send, and however the bytes arrive."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.responses.frames import BINARY, CLOSE, PING, close_frame, frame
from tests.support.sessions import (
    KEY,
    Played,
    completed,
    create,
    created,
    delta,
    error,
    fragmented,
    frames,
    item_not_found,
    not_found,
    text,
)

MODES = st.sampled_from(["auto", "strip", "recover", "observe"])
LANES = st.sampled_from(["", "a", "b"])
OWN = [f"resp_{number}" for number in range(4)]

USER: dict[str, Any] = {"role": "user", "content": "hi"}


@st.composite
def items(draw: st.DrawFn) -> list[Any]:
    """A conversation as a client may send it along."""
    kinds = st.sampled_from(
        [
            USER,
            {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "blob"},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "1"},
            {"type": "item_reference", "id": "msg_2"},
        ]
    )
    return draw(st.lists(kinds, max_size=6))


@st.composite
def client_bytes(draw: st.DrawFn) -> bytes:
    """Something that a client sends: a turn, in one frame or several, or something else."""
    kind = draw(st.sampled_from(["turn", "fragments", "steer", "ping", "binary", "other"]))
    if kind in ("turn", "fragments"):
        lane = draw(LANES)
        members = {"stream_id": lane} if lane else {}
        parent = draw(st.sampled_from([None, "resp_foreign", *OWN]))
        members |= {"previous_response_id": parent} if parent else {}
        turn = create(draw(items()), **members)
        if kind == "turn":
            return text(turn)
        ping = draw(st.sampled_from([b"", frame(b"!", KEY, PING)]))
        return fragmented(json.dumps(turn).encode(), draw(st.lists(st.integers(0, 9), max_size=4)), lambda _: ping)
    if kind == "steer":
        return text({"type": "response.steer", "previous_response_id": draw(st.sampled_from(OWN)), "input": "x"})
    other = {"ping": frame(b"?", KEY, PING), "binary": frame(b"\0\1", KEY, BINARY), "other": text(b"what")}
    return other[kind]


@st.composite
def upstream_bytes(draw: st.DrawFn) -> bytes:
    """Something that upstream says."""
    lane = draw(LANES)
    own = draw(st.sampled_from(OWN))
    said = draw(
        st.sampled_from(
            [
                created(own, lane),
                delta("x", lane),
                completed(own, lane),
                item_not_found("rs_1", lane),
                not_found("resp_foreign", lane),
                error("rate_limit_exceeded", "Slow down.", lane, status=429),
                {"type": "response.failed", "response": {"id": own, "error": {"message": "Item 'rs_1' not found."}}},
                b"no json",
            ]
        )
    )
    return draw(st.sampled_from([b"", frame(b"!", b"", PING)])) + text(said, b"")


SCRIPTS = st.lists(
    st.one_of(st.tuples(st.just("client"), client_bytes()), st.tuples(st.just("up"), upstream_bytes())), max_size=12
)
patient = settings(deadline=None, max_examples=60)


@patient
@given(MODES, SCRIPTS, st.data())
def test_any_cut_gives_the_same(mode: str, script: list[tuple[str, bytes]], data: st.DataObject) -> None:
    """What reaches either side does not depend on the pieces in which bytes arrive."""
    whole, pieces = Played(mode), Played(mode)
    for side, said in script:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=3)))
        for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True):
            pieces.send(said[start:end]) if side == "client" else pieces.reply(said[start:end])
        whole.send(said) if side == "client" else whole.reply(said)
        assert pieces.upstream == whole.upstream
        # Of an event that is not held the first bytes may have passed already, and all have when it is whole.
        assert pieces.client == whole.client
    assert pieces.session.size == whole.session.size


@patient
@given(MODES, SCRIPTS)
def test_what_upstream_says_is_given_or_replaced(mode: str, script: list[tuple[str, bytes]]) -> None:
    """In the end the client has every message of upstream's but those that a recovery has replaced, in their order."""
    played = Played(mode)
    for side, data in script:
        played.send(data) if side == "client" else played.reply(data)
    replied = b"".join(data for side, data in script if side == "up")
    played.later(100)
    played.perform(played.session.upstream_ended())
    if not any(report.attempts > 1 for report in played.reports):
        assert sorted(map(str, played.given)) == sorted(map(str, Played("observe").reply(replied).given))
    if mode == "observe":
        assert played.client == replied


@patient
@given(MODES, st.lists(client_bytes(), max_size=12))
def test_a_client_that_is_answered_in_order_gets_all_its_turns(mode: str, said: list[bytes]) -> None:
    """Every turn goes upstream, none twice, whatever lane it is of."""
    played = Played(mode)
    for data in said:
        played.send(data)
    for number, lane in enumerate(["", "a", "b"] * len(said)):
        played.answer(created(f"resp_x{number}", lane), completed(f"resp_x{number}", lane))
    assert len(played.sent) == len(Played("observe").send(b"".join(said)).sent)
    assert played.session.reads_client


@patient
@given(st.lists(client_bytes(), max_size=6))
def test_observe_changes_nothing(said: list[bytes]) -> None:
    """In observe mode upstream gets the client's frames; a ping may overtake the fragments of a turn."""
    frames_sent = frames(Played("observe").send(b"".join(said)).upstream)
    assert [one for one in frames_sent if one[2] < CLOSE] == [one for one in frames(b"".join(said)) if one[2] < CLOSE]


@patient
@given(items(), LANES)
def test_no_foreign_id_leaves_in_strip(conversation: list[Any], lane: str) -> None:
    """In strip mode a turn that stands alone names nothing of another connection."""
    conversation = [USER, *[item for item in conversation if item.get("type") != "item_reference"], USER]
    answered = any(item.get("type") in ("message", "function_call") for item in conversation)
    orphans = any(item.get("type") == "function_call_output" for item in conversation)
    members = {"stream_id": lane} if lane else {}
    played = Played("strip").say(create(conversation, previous_response_id="resp_foreign", **members))
    sent = played.sent[0]
    if answered and not orphans:
        assert "previous_response_id" not in sent
        assert not [item for item in sent["input"] if "id" in item]
    if "previous_response_id" in sent:
        assert sent["input"] == conversation


@patient
@given(st.lists(st.binary(max_size=60), max_size=8), st.lists(st.binary(max_size=60), max_size=8))
def test_garbage_passes(ups: list[bytes], downs: list[bytes]) -> None:
    """Whatever the sides send that is no turn, the other gets it, byte for byte."""
    played = Played("strip")
    for data in ups:
        played.send(data)
    for data in downs:
        played.reply(data)
    played.perform(played.session.upstream_ended())
    played.perform(played.session.client_ended())
    assert played.upstream == b"".join(ups)
    assert played.client == b"".join(downs)


@patient
@given(st.binary(max_size=200))
def test_garbage_amid_a_conversation_passes(garbage: bytes) -> None:
    """Garbage of upstream's while a turn is judged reaches the client behind what was held."""
    held = text(created("resp_1"), b"")
    played = Played("recover").say(create([USER])).reply(held + close_frame(1000) + garbage)
    played.perform(played.session.upstream_ended())
    assert played.client == held + close_frame(1000) + garbage
