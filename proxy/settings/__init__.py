"""The settings: one table, from which flags, variables, `--help`, docs/settings.md and the `Settings` object follow.

`loading` is the only reader of the environment. OPENAI_BASE_URL is never read: in a shared `.env` it names us, and we
would call ourselves.

A text takes this way: `sources` finds it (flag, variable, file, default: the first that is given), its row in `table`
says of which kind it is, `parsers` turns it into a value, `loading` puts the values into a `Settings` (`model`) and
checks them against each other. What cannot be used is a SettingsError (`errors`): one sentence, and exit code 2.

A new setting is a row of `TABLE` and a field of `Settings` at the same place, which a test compares; its use is mostly
in `proxy.app`. A new kind of value is a `Kind` in `parsers`. A setting that goes moves to `GONE`, with what replaces
it.
"""

from proxy.settings.errors import SettingsError
from proxy.settings.loading import (
    Handover,
    Loaded,
    address,
    handed_on,
    handover,
    load,
    read,
    tracing,
    unused_proxy,
    wants_color,
    warnings,
)
from proxy.settings.model import Settings
from proxy.settings.telemetry import Telemetry

__all__ = [
    "Handover",
    "Loaded",
    "Settings",
    "SettingsError",
    "Telemetry",
    "address",
    "handed_on",
    "handover",
    "load",
    "read",
    "tracing",
    "unused_proxy",
    "wants_color",
    "warnings",
]
