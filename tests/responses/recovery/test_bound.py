"""A refusal of what lives in one project is told by its words, and by nothing that a client may have written."""

import json
from typing import Any

import pytest

from proxy.responses.recovery.bound import bound, judged
from tests.support.refusals import CATALOGUE, RELATIVES, STRANGERS, error

OF_A_PROJECT = [
    (error("No such File object: file-abc", None, "input[0].content[1].file_id"), "file"),
    (error("File 'file-abc' not found.", None, "input"), "file"),
    (error("File with id 'file-abc' not found. Remove this item from your input.", None, None), "file"),
    (error("Files [file-abc, file-def] were not found.", None, "tools[0].container.file_ids"), "file"),
    (error("The file file-abc does not exist.", None, None), "file"),
    (error("Could not find file file_abc", None, None), "file"),
    (error("gone", "file_not_found", None), "file"),
    (error("Vector store with id 'vs_1' not found.", None, "tools[0].vector_store_ids"), "vector_store"),
    (error("Vector store [vs_1] not found for item search.", None, None), "vector_store"),
    ({"error": {"message": "litellm.NotFoundError: Vector store with id 'vs_1' not found."}}, "vector_store"),
    (error("Container with id 'cntr_1' not found.", None, "tools[0].container"), "container"),
    (error("Container with id 'cntr_1' not found.", None, None), "container"),
    (error("File cfile_1 not found on container cntr_1.", None, None), "container"),
    (error("Prompt with id 'pmpt_1' not found.", None, "prompt"), "prompt"),
    (error("Prompt with id 'item_prompt' not found.", None, "prompt.id"), "prompt"),
    (error("Batch batch_1 not found", None, None), "batch"),
    (error("No batch found with id 'batch_1'.", None, None), "batch"),
    (error("nothing", "batch_not_found", None), "batch"),
    (error("Skill 'skill_1' does not exist.", None, None), "skill"),
    ({"detail": "Skill with id skill_1 could not be found"}, "skill"),
]


def _body(payload: Any) -> bytes:
    return payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()


@pytest.mark.parametrize(("payload", "thing"), OF_A_PROJECT)
@pytest.mark.parametrize("status", [400, 404])
def test_what_lives_in_one_project(payload: Any, thing: str, status: int) -> None:
    """A file, vector store, container, prompt, batch or skill that is not here is named, whatever the status."""
    assert judged(status, _body(payload)) == (None, thing)


def test_others_have_no_hint() -> None:
    """Nothing else that upstream says is taken for one of them: not a model, a conversation, a tool, a user's words."""
    known = {_body(payload) for payload, _ in OF_A_PROJECT}
    others = {_body(payload) for _, payload in STRANGERS} - known
    assert {body for body in others if bound(body) is not None} == set()
    assert len(others) > 50


@pytest.mark.parametrize(
    "message",
    [
        "Your prompt 'x. File file-abc not found.' was flagged.",
        "Tool choice 'file file-abc' not found in 'tools' parameter.",
        "The filename report-1 was not found.",
        "File search does not have access to the web.",
        "Prompt is too long.",
        "Container cntr_1 is ready.",
    ],
)
def test_words_that_only_look_like_it(message: str) -> None:
    """The words alone say nothing: a sentence has to begin with the thing, name its id, and miss it."""
    assert bound(_body(error(message, None, None))) is None


@pytest.mark.parametrize(("status", "payload", "kind"), [*CATALOGUE, *RELATIVES])
def test_what_can_be_recovered_from_has_none(status: int, payload: Any, kind: str | None) -> None:
    """A refusal of ours is recovered from, and names nothing that is said to be out of reach."""
    found = judged(status, _body(payload))
    assert found.refusal is None or found.bound is None
    assert (found.refusal.kind if found.refusal else None) == kind


@pytest.mark.parametrize("filler", ["file ", "file-a ", "No such file ", ". ", "file a_b [", "vector store a-b "])
def test_long_refusals(filler: str) -> None:
    """However long a refusal is, and whatever it is made of, no more than its beginning is looked at."""
    long = filler * (1024 * 1024 // len(filler))
    assert bound(_body(error(f"File 'file-abc' not found. {long}", None, None))) == "file"
    assert bound(_body(error(f"x{long}", None, None))) is None
