"""Where the text of a setting may come from besides the command line: variables, and a TOML file.

Says as well which variables look like settings and are none.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

PREFIX: Final = "UNPINNED_"
CONFIG: Final = "UNPINNED_CONFIG"
# For every service Kubernetes injects `{NAME}_SERVICE_HOST`, `{NAME}_PORT_8080_TCP_ADDR` and more (its documentation,
# "Service", "Environment variables"); one that is called unpinned, or unpinned-…, is no mistake of the operator's.
_INJECTED: Final = re.compile(
    r"UNPINNED_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


class ConfigurationError(ValueError):
    """A file that cannot be used: a sentence that names it."""


def read(path: str, names: Collection[str]) -> dict[str, str]:
    """The settings that the TOML file at `path` holds, as text, by name. Raises ConfigurationError."""
    import tomllib  # noqa: PLC0415 -- few have such a file, and a health check is in a hurry

    try:
        with open(path, "rb") as file:  # noqa: PTH123 -- nothing else here has a use for paths
            table = tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no TOML: {error}.") from None
    return {name: _text(path, name, value, names) for name, value in table.items()}


def _text(path: str, name: str, value: Any, names: Collection[str]) -> str:
    if name not in names:
        raise ConfigurationError(f"{path} sets {name[:80]!r}, which is no setting{nearest(name, names)}.")
    if isinstance(value, bool):
        return "on" if value else "off"
    if not isinstance(value, str | int | float):
        raise ConfigurationError(f"{path} sets {name} to something that is neither a text nor a number.")
    return str(value)


def unknown(environment: Mapping[str, str], variables: Collection[str]) -> Iterator[str]:
    """A sentence for each variable that looks like a setting and is none."""
    known = {*variables, CONFIG}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known and not _INJECTED.fullmatch(name):
            yield f"{name[:80]} is no setting of Unpinned's{nearest(name, known, PREFIX)}; it is not read"


def nearest(name: str, names: Iterable[str], prefix: str = "") -> str:
    """A question in brackets, where one of `names` is near enough to have been meant; all begin with `prefix`."""
    import difflib  # noqa: PLC0415 -- as above

    ends = [known.removeprefix(prefix) for known in sorted(names)]
    found = difflib.get_close_matches(name.removeprefix(prefix), ends, n=1)
    return f" (did you mean {prefix}{found[0]}?)" if found else ""
