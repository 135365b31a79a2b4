"""What was learnt is one caller's own, bounded, and forgotten after an hour."""

import pytest

from proxy.responses.recovery.lessons import Facts, Lessons, LessonScope, digest

NOTHING = Facts()


def test_lessons_are_forgotten() -> None:
    """A lesson holds for its lifetime, from when it was last learnt."""
    lessons = Lessons(lifetime=10)
    lessons.learn("id", "me", "a", now=0)
    lessons.learn("id", "me", "b", now=5)
    lessons.learn("id", "me", "a", now=6)
    assert lessons.about("me", now=14).ids == {"a", "b"}
    assert lessons.about("me", now=15).ids == {"a"}
    assert lessons.about("me", now=16) == NOTHING
    assert len(lessons) == 0


def test_lessons_are_bounded() -> None:
    """Beyond the capacity the lessons go of the credential that has learnt nothing for longest."""
    lessons = Lessons(capacity=3)
    for caller, value in (("a", "1"), ("b", "1"), ("a", "2"), ("c", "1")):
        lessons.learn("id", caller, value, now=0)
    assert lessons.about("b", now=0) == NOTHING
    assert (lessons.about("a", now=0).ids, lessons.about("c", now=0).ids) == ({"1", "2"}, {"1"})
    assert len(lessons) == 3


@pytest.mark.parametrize(("topic", "most"), [("id", 1000), ("blob", 1000), ("refused", 64), ("demanded", 64)])
def test_one_caller_is_bounded(topic: str, most: int) -> None:
    """A caller keeps a number of lessons of each topic, the newest; 10,000 invented ones push out nobody else's."""
    lessons = Lessons()
    lessons.learn("id", "other", "rs_1", now=0)
    for number in range(10_000):
        lessons.learn(topic, "me", f"a {number}", now=0)  # type: ignore[arg-type]
    assert len(lessons) == most + 1
    assert lessons.about("other", now=0).ids == {"rs_1"}
    known = lessons.about("me", now=0)._asdict()[{"id": "ids", "blob": "blobs"}.get(topic, topic)]
    assert len(known) == most
    assert ("a 9999" if topic in ("id", "blob") else ("a", "9999")) in known


def test_nothing_long_is_learnt() -> None:
    """A value of more than 256 characters is no id and no field: it is not kept."""
    lessons = Lessons()
    lessons.learn("id", "me", "x" * 257, now=0)
    assert len(lessons) == 0
    lessons.learn("id", "me", "x" * 256, now=0)
    assert len(lessons) == 1


def test_each_credential_has_its_own() -> None:
    """Ids, blobs and fields belong to the credential that was refused."""
    lessons = Lessons()
    mine = LessonScope(lessons, "me")
    mine.learn_id("rs_1")
    mine.learn_blob(b'"gAAAA"')
    mine.learn_field("refused", "message:user", "a b")
    mine.learn_field("demanded", "reasoning", "id")
    known = LessonScope(lessons, "me")
    assert known.has_news
    assert known.facts == Facts(
        frozenset({"rs_1"}),
        frozenset({digest(b'"gAAAA"')}),
        frozenset({("message:user", "a b")}),
        frozenset({("reasoning", "id")}),
    )
    assert LessonScope(lessons, "you").facts == NOTHING


def test_without_a_credential_nothing_is_learnt() -> None:
    """A caller that does not say which one it is learns nothing: it would be learnt for all of its kind."""
    lessons = Lessons()
    LessonScope(lessons).learn_id("rs_1")
    assert len(lessons) == 0
    assert LessonScope(lessons).facts == NOTHING


def test_a_scope_is_a_snapshot() -> None:
    """What is learnt meanwhile does not change what a request in progress knows, in whichever thread it is read."""
    lessons = Lessons()
    scope = LessonScope(lessons, "me")
    scope.learn_id("rs_1")
    assert scope.facts == NOTHING
    assert not scope.has_news
    assert LessonScope(lessons, "me").facts.ids == {"rs_1"}


def test_no_secret_is_kept() -> None:
    """Of a blob only its digest is remembered."""
    assert "gAAAA" not in digest(b'"gAAAA"')
