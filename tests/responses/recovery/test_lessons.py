"""What was learnt is bounded, forgotten after an hour, and never told to another credential."""

from proxy.responses.recovery.lessons import Lessons, LessonScope, digest


def test_lessons_are_forgotten() -> None:
    """A lesson holds for its lifetime, from when it was last learnt."""
    lessons = Lessons(lifetime=10)
    lessons.learn("id", "me", "a", now=0)
    lessons.learn("id", "me", "b", now=5)
    lessons.learn("id", "me", "a", now=6)
    assert lessons.about("id", "me", now=14) == {"a", "b"}
    assert lessons.about("id", "me", now=15) == {"a"}
    assert lessons.about("id", "me", now=16) == set()
    assert len(lessons) == 0


def test_lessons_are_bounded() -> None:
    """Beyond the capacity the least recently learnt goes first."""
    lessons = Lessons(capacity=2)
    for value in "abca":
        lessons.learn("id", "me", value, now=0)
    assert lessons.about("id", "me", now=0) == {"c", "a"}
    assert len(lessons) == 2


def test_the_default_bounds() -> None:
    """By default 10,000 lessons are kept for an hour."""
    lessons = Lessons()
    for number in range(10_001):
        lessons.learn("id", "me", str(number), now=0)
    assert len(lessons) == 10_000
    assert len(lessons.about("id", "me", now=3599.9)) == 10_000
    assert lessons.about("id", "me", now=3600) == set()


def test_scopes() -> None:
    """Ids and blobs belong to a credential, fields to an upstream."""
    lessons = Lessons()
    mine = LessonScope(lessons, "me", "https://one")
    mine.learn_id("rs_1")
    mine.learn_blob(b'"gAAAA"')
    mine.learn_field("refused", "message:user", "a b")
    mine.learn_field("demanded", "reasoning", "id")
    assert (mine.ids(), mine.blobs()) == ({"rs_1"}, {digest(b'"gAAAA"')})
    assert mine.fields("refused") == {("message:user", "a b")}
    other_key = LessonScope(lessons, "you", "https://one")
    assert (other_key.ids(), other_key.blobs()) == (set(), set())
    assert other_key.fields("demanded") == {("reasoning", "id")}
    assert LessonScope(lessons, "me", "https://two").fields("refused") == frozenset()


def test_no_secret_is_kept() -> None:
    """Of a blob only its digest is remembered."""
    assert "gAAAA" not in digest(b'"gAAAA"')


def test_an_extract() -> None:
    """Who works in another thread reads what concerns his request as it was; what he learns is learnt for all."""
    lessons = Lessons()
    mine, other = LessonScope(lessons, "me", "https://a.test"), LessonScope(lessons, "other", "https://a.test")
    assert not mine.extract().has_news
    mine.learn_id("rs_1")
    mine.learn_blob(b"blob")
    other.learn_id("rs_2")
    other.learn_field("refused", "message", "id")
    extract = mine.extract()
    lessons.learn("id", mine.credential, "rs_3", now=0)
    assert (extract.ids(), extract.blobs()) == ({"rs_1"}, {digest(b"blob")})
    assert extract.fields("refused") == {("message", "id")}
    assert extract.has_news
    extract.learn_id("rs_4")
    assert mine.ids() == {"rs_1", "rs_3", "rs_4"}
