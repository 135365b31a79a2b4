"""The conversations that the demonstration's servers share, in one process or in a folder."""

from pathlib import Path

import pytest

from proxy.demo.transcripts import InFolder, InMemory, Transcripts


@pytest.fixture(params=["memory", "folder"])
def transcripts(request: pytest.FixtureRequest, tmp_path: Path) -> Transcripts:
    """Both kinds."""
    return InMemory() if request.param == "memory" else InFolder(tmp_path)


def test_a_conversation_begins_empty(transcripts: Transcripts) -> None:
    """Each conversation gets a number of its own and has no items yet; one that nobody began is not there."""
    first, second = transcripts.begin(), transcripts.begin()
    assert first != second
    assert transcripts.read(second) == []
    assert transcripts.read(77) is None


def test_a_conversation_is_replaced(transcripts: Transcripts) -> None:
    """What was written is what is read, of this conversation alone."""
    first, second = transcripts.begin(), transcripts.begin()
    transcripts.write(first, [{"role": "user", "content": "hello"}])
    transcripts.write(first, [{"role": "user", "content": "hello, é"}])
    assert transcripts.read(first) == [{"role": "user", "content": "hello, é"}]
    assert transcripts.read(second) == []


def test_processes_share_a_folder(tmp_path: Path) -> None:
    """What one writes another reads, and both number their conversations together."""
    one, other = InFolder(tmp_path), InFolder(tmp_path)
    number = one.begin()
    one.write(number, [{"role": "user", "content": "hello"}])
    assert other.read(number) == [{"role": "user", "content": "hello"}]
    assert other.begin() != number
