"""SettingsError, the one exception of this package, and how its sentence shows a value."""

import re


class SettingsError(Exception):
    """A setting that cannot be used: a sentence that names it, its value and what is allowed."""


def shown(text: str) -> str:
    """A value as it may be printed: on one line, short, without the credentials and the query that a URL may have."""
    text = re.sub(r"^(\w+://)?.*@", r"\1…@", text, flags=re.DOTALL)
    return repr(re.sub(r"[?#].+", "?…", text, flags=re.DOTALL)[:200])
