"""Where the text of a setting comes from: the command line, the environment, or a TOML file.

Precedence: flag, variable, line of the file; the default in the table last. The first source that has a value counts,
and names the setting in messages (`--mode`, `UNPINNED_MODE`, `mode in /etc/unpinned.toml`), so that the operator sees
which of them to correct. The file is named by `--config` or UNPINNED_CONFIG, and cannot name another.

A line of the file has the setting's name with underscores, or with the hyphens of its flag. One that is no setting ends
the start: the file is the operator's own. A variable that is no setting is only reported: an environment is shared, and
an orchestrator adds to it.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from proxy.settings.errors import SettingsError

PREFIX: Final = "UNPINNED_"
CONFIG: Final = "UNPINNED_CONFIG"
# For every service Kubernetes injects `{NAME}_SERVICE_HOST`, `{NAME}_PORT_8080_TCP_ADDR` and more (its documentation,
# "Service", "Environment variables"); one that is called unpinned, or unpinned-…, is no mistake of the operator's.
_INJECTED: Final = re.compile(
    r"UNPINNED_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def flag_of(name: str) -> str:
    """The command line's name for a setting."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """The environment's name for a setting."""
    return PREFIX + name.upper()


class Sources:
    """The flags (by setting, None where not given), the environment, and the file that one of them names.

    Raises SettingsError where the file cannot be read, or sets what is not in `names`.
    """

    def __init__(self, flags: Mapping[str, Any], environment: Mapping[str, str], names: Collection[str]) -> None:
        self._flags = flags
        self._environment = environment
        self._path = flags.get("config") or environment.get(CONFIG)
        self._file = _read(self._path, names) if self._path else {}

    def texts(self, name: str) -> list[tuple[str, str]]:
        """Each text that is given for a setting, with the source's name for it, in the order of precedence."""
        given = (
            (self._flags.get(name), flag_of(name)),
            (self._environment.get(variable_of(name)), variable_of(name)),
            (self._file.get(name), f"{name} in {self._path}"),
        )
        return [(text, source) for text, source in given if text is not None]


def _read(path: str, names: Collection[str]) -> dict[str, str]:
    """The settings that the TOML file at `path` holds, as text, by name."""
    import tomllib  # noqa: PLC0415 -- few have such a file, and a health check has to start quickly

    try:
        with open(path, "rb") as file:  # noqa: PTH123 -- nothing else here has a use for paths
            table = tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no TOML: {error}.") from None
    found: dict[str, str] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name in found:
            raise SettingsError(f"{path} sets {name} twice, with a hyphen and with an underscore.")
        found[name] = _text(path, key, value, names)
    return found


def _text(path: str, key: str, value: Any, names: Collection[str]) -> str:
    """A line's value; `key` is as the line has it, and so is what is said of it."""
    if key.replace("-", "_") not in names:
        hint = nearest(key, [name.replace("_", "-") for name in names] if "-" in key else names)
        raise SettingsError(f"{path} sets {key[:80]!r}, which is no setting{hint}.")
    if isinstance(value, bool):
        return "on" if value else "off"
    if not isinstance(value, str | int | float):
        raise SettingsError(f"{path} sets {key} to something that is neither a text nor a number.")
    return str(value)


def unknown(environment: Mapping[str, str], names: Iterable[str]) -> Iterator[str]:
    """A sentence for each variable that has our prefix and is no setting."""
    known = {*map(variable_of, names), CONFIG}
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and variable not in known and not _INJECTED.fullmatch(variable):
            hint = nearest(variable, known, PREFIX)
            yield f"{variable[:80]} is no setting of Unpinned's{hint}; it is not read"


def nearest(name: str, names: Iterable[str], prefix: str = "") -> str:
    """A question in brackets, where one of `names` is near enough to have been meant, and begins with `prefix`."""
    import difflib  # noqa: PLC0415 -- as above

    ends = [known.removeprefix(prefix) for known in sorted(names) if known.startswith(prefix)]
    found = difflib.get_close_matches(name.removeprefix(prefix), ends, n=1)
    return f" (did you mean {prefix}{found[0]}?)" if found else ""
