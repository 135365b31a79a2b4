"""The process: its sockets, its event loop, and the parent of all generations in it."""

import asyncio
import contextlib

import uvloop

from proxy.server.notify import Notifier
from proxy.server.parent import Parent
from proxy.server.program import Program, generation
from proxy.server.sockets import Sockets, handed_over
from proxy.server.tuning import raise_descriptor_limit
from proxy.settings import Loaded, handover


def run(loaded: Loaded, program: Program) -> int:
    """Serve until a signal arrives; the exit code.

    That is 1 where a store is required and does not work. Raises SettingsError where the settings cannot be used.
    """
    raise_descriptor_limit()
    handed = handover()
    with contextlib.closing(Sockets(handed_over(handed.descriptors))) as sockets:
        first = generation(loaded, sockets)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(Parent(program, first, sockets, Notifier(handed.notify)).run())
