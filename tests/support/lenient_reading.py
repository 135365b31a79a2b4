"""The core as it reads a body of which msgspec takes nothing."""

import pytest

from proxy.responses.body import document, elements, objects, table


def only_leniently(patch: pytest.MonkeyPatch) -> None:
    """Let every body be read by the slower reader."""
    for module in (document, elements, objects, table):
        patch.setattr(module, "REFUSED", (Exception,))
    for module in (document, objects):
        patch.setattr(module, "OBJECT", None)
    for module, name in ((objects, "OBJECTS"), (table, "OBJECTS"), (table, "_ITEMS"), (elements, "_ELEMENTS")):
        patch.setattr(module, name, None)
    for module in (document, objects):
        patch.setattr(module, "walk", lambda *_: None)
