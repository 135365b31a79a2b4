"""What the live page shows of a process and its settings."""

import os

from proxy import __version__
from proxy.admin.page import Inspection
from proxy.observers.recent import Recent
from proxy.settings import Settings


def inspection(settings: Settings, recent: Recent | None = None) -> Inspection | None:
    """The live page's content, where it is wanted; with the exchanges that are known already."""
    if not settings.inspect or settings.admin_listen is None:
        return None
    scheme = "http" if settings.tls_cert is None else "https"
    facts = {
        "mode": settings.mode,
        "upstream": settings.upstream,
        "version": __version__,
        "store": "on" if settings.store != "off" else "off",
        "process": str(os.getpid()),
        "base_url": str(settings.listen) if settings.listen.path else f"{scheme}://{settings.listen}/v1",
    }
    return Inspection(recent or Recent(settings.mode, os.getpid()), facts, settings.admin_listen.host)
