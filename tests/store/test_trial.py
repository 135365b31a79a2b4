"""How a store is named in logs."""

import pytest

from proxy.store.trial import named


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("memory", "memory"),
        ("redis://127.0.0.1:6379/0?password=secret", "redis://127.0.0.1:6379/0"),
        ("redis://user:secret@redis:6379/0?x=y", "redis://redis:6379/0"),
        ("redis://redis/0?password=se@cret", "redis://"),
        ("postgresql://user:sec/ret@db.example:5432/x", "postgresql://db.example:5432/x"),
        ("postgresql://user:sec@h/ret@db.example/x", "postgresql://db.example/x"),
        ("postgresql://user:sec%2Fret@db.example/x", "postgresql://db.example/x"),
        ("postgresql://user:sec#ret@db.example/x", "postgresql://"),
        ("postgresql://user:sec?ret@db.example/x", "postgresql://"),
        ("postgresql://user:sec@h?ret@db.example/x", "postgresql://"),
        ("sqlite:////data/me@host/store.db?mode=rw", "sqlite:////data/me@host/store.db"),
    ],
)
def test_a_name_has_no_password(url: str, name: str) -> None:
    """A store is named by scheme, host and path; whatever may be part of a password is left out."""
    assert named(url) == name
