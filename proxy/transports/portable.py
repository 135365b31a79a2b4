"""What an application sets of a transport, and what all requests of one transport share: lessons and the budget.

A transport may serve several clients and threads. What is shared is changed under one lock, and observers are notified
under it as well, so that an observer hears one fact at a time.
"""

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple, get_args
from weakref import WeakSet

from proxy.drivers.attempt import settled
from proxy.events import Event, Observer
from proxy.observers.logs import LOGGER, LogObserver
from proxy.report import LeftOut, Report, Route
from proxy.responses.exchange import Exchange
from proxy.responses.policy import Mode, Policy, Profile, profile_of
from proxy.responses.recovery.budget import Budget
from proxy.responses.recovery.lessons import Lessons, LessonScope
from proxy.responses.routes import route_of
from proxy.transports.families import Family, family_of
from proxy.transports.senders import Senders

if TYPE_CHECKING:
    from proxy.store.interface import Store
    from proxy.transports.stored import Stores

LOGGER.addHandler(logging.NullHandler())  # an application that configures no logging hears nothing

_CHOICES: Final = {"mode": get_args(Mode), "profile": ("auto", *get_args(Profile))}
_NO_STORE: Final = "A synchronous transport has no store; AsyncPortableTransport has, and so has the proxy."


class Way(NamedTuple):
    """The way of a request: the package that it is of, what sends it, and its route."""

    family: Family
    sender: Any
    route: Route


class Portable:
    """What both kinds of transport have in common; `docs/library.md` explains the arguments.

    Raises ValueError where an argument has no such value, and TypeError where `transport` is one of the other kind.
    """

    _method: ClassVar[str]
    """By which a transport within is called."""
    _kind: ClassVar[str]
    """The class of a transport within that is made here."""

    def __init__(  # noqa: PLR0913 -- options, each with a default and a name
        self,
        *,
        mode: Mode = "auto",
        profile: Literal["auto", "openai", "azure"] = "auto",
        keep_last: int = 3,
        max_recoveries: int = 3,
        early: bool = True,
        drop_conversation: bool = False,
        report: bool = True,
        transport: Any = None,
        observer: Observer | None = None,
        store: "str | Store | None" = None,
        store_scope: str | None = None,
    ) -> None:
        _check_choices(mode=mode, profile=profile)
        _check_counts(keep_last=keep_last, max_recoveries=max_recoveries)
        _check_switches(early=early, drop_conversation=drop_conversation, report=report)
        if transport is not None and not hasattr(transport, self._method):
            raise TypeError(
                f"{type(self).__name__} takes a transport with `{self._method}`; {type(transport).__name__} has none."
            )
        self._policy = Policy(
            mode=mode,
            profile="openai" if profile == "auto" else profile,
            keep_last=keep_last,
            max_recoveries=max_recoveries,
            early=early,
            drop_conversation=drop_conversation,
            tell_ids=LOGGER.isEnabledFor(logging.DEBUG),
            recalls=store is not None,
        )
        self._profile = profile
        self._budget = Budget(self._policy)
        self._lessons = Lessons()
        self._observer = observer or LogObserver()
        self._lock = RLock()
        self._senders = Senders(transport, self._kind)
        self.reports = report
        """Answers have the fields of the report."""
        self.stores = self._stores(store, store_scope) if store is not None else None
        _ALL.add(self)

    def _stores(self, _store: "str | Store", _scope: str | None) -> "Stores":
        """What keeps conversations. Raises TypeError: a transport that does not wait cannot ask it."""
        raise TypeError(_NO_STORE)

    def way(self, request: Any) -> Way:
        """The way of a request. Raises TypeError where it is none, RuntimeError where what sends it is not its kind."""
        family = family_of(request)
        if family is None:
            raise TypeError(f"A request is one of httpx or httpx2, and not {type(request).__name__}.")
        path: bytes = request.url.raw_path
        return Way(family, self._senders.of(family, request.url), route_of(request.method, path.partition(b"?")[0]))

    def forked(self) -> None:
        """Go on in another process, in which no other thread holds the lock."""
        self._lock = RLock()
        self._senders.forked()
        if self.stores is not None:
            self.stores.forked()

    @property
    def is_strict(self) -> bool:
        """Whether nothing may leave that was not read."""
        return self._policy.mode == "strip"

    def exchange(self, body: bytes, route: Route, host: str, caller: str) -> Exchange:
        """A new exchange for a request of `caller`, a digest, to `host`."""
        profile = profile_of(host) if self._profile == "auto" else self._profile
        now = time.monotonic()
        with self._lock:
            policy = self._budget.admit(caller, now)
            scope = LessonScope(self._lessons, caller, now)
        policy = policy if policy.profile == profile else replace(policy, profile=profile)
        return Exchange(body, policy, route=route, scope=scope)

    def settle(self, exchange: Exchange, status: int, caller: str, missing: Mapping[LeftOut, int]) -> Report:
        """The report of an answer, from which lessons are learnt."""
        with self._lock:
            return settled(exchange, status, caller, missing)

    def spend(self, caller: str, request_id: str) -> None:
        """Take an attempt that failed out of the caller's budget."""
        with self._lock:
            exceeded = self._budget.spend(caller, 1, time.monotonic())
        if exceeded is not None:
            self.notice(request_id, exceeded)

    def notice(self, request_id: str, event: Event) -> None:
        """Tell the observer a fact."""
        with self._lock:
            self._observer.notice(request_id, event)


_ALL: Final[WeakSet[Portable]] = WeakSet()


def _forked() -> None:
    for each in list(_ALL):
        each.forked()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forked)


def _check_choices(**values: str) -> None:
    for name, value in values.items():
        if value not in _CHOICES[name]:
            raise _unusable(name, f"one of {', '.join(_CHOICES[name])}", value)


def _check_counts(**values: int) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or value < 0:
            raise _unusable(name, "a whole number from 0 on", value)


def _check_switches(**values: bool) -> None:
    for name, value in values.items():
        if not isinstance(value, bool):
            raise _unusable(name, "True or False", value)


def _unusable(name: str, wanted: str, value: object) -> ValueError:
    return ValueError(f"{name} must be {wanted}, and is {value!r}.")
