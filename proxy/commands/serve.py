"""`unpinned serve`: the process that an operator starts, and the workers that it starts itself."""

from collections.abc import Mapping
from typing import Any

from proxy.observers import logs
from proxy.server import process, worker
from proxy.server.program import Assembled, Program
from proxy.settings import Loaded, Settings, read, warnings


def serve(loaded: Loaded, flags: Mapping[str, Any]) -> int:
    """Serve under these settings until a signal arrives; the exit code. Raises SettingsError."""
    _configure_logs(loaded.settings)
    for sentence in warnings(flags):
        logs.LOGGER.warning("%s", sentence)
    return process.run(loaded, Program(lambda: read(flags), _configure_logs, _assembled))


def work(descriptor: int) -> int:
    """Serve as the parent at the other end of a descriptor says; the exit code."""
    return worker.work(descriptor, _assembled, _configure_logs)


def _configure_logs(settings: Settings) -> None:
    logs.configure(settings.log_level, settings.log_format)


def _assembled(settings: Settings) -> Assembled:
    """The app, which a process that only looks after others never loads."""
    from proxy.app import assemble  # noqa: PLC0415 -- as above

    return assemble(settings, logs.LogObserver(share=settings.log_sample, has_store=settings.store != "off"))
