"""How much recovery may multiply the load that one caller puts on upstream.

Each credential has an account of its own: what one caller's requests need takes nothing from another's. Only attempts
that *failed* are counted, so that a conversation that needs three attempts and is then answered costs what it gained.
Beyond the first 50 requests a minute, at most one failed attempt is allowed for five requests; a caller over that share
gets one attempt after the first for each request, until its share is lower again.

Pure. An account is two counts for this minute and two for the one before, which together estimate the last 60 seconds;
`_CAPACITY` accounts are kept, the least recently used forgotten first.
"""

from collections import OrderedDict
from dataclasses import replace
from typing import Final

from proxy.events import BudgetExceeded
from proxy.responses.policy import Policy

MINUTE: Final = 60.0
LEAST: Final = 50
"""Requests of the last minute below which their share means nothing."""
_SHARE: Final = 5
_LIMIT: Final = 1
_CAPACITY: Final = 10_000


class _Account:
    """Requests and failed attempts of one credential."""

    __slots__ = ("_before", "_began", "_counts", "is_exceeded")

    def __init__(self, now: float) -> None:
        self._began = now
        self._counts = [0, 0]
        self._before = [0, 0]
        self.is_exceeded = False

    def add(self, now: float, requests: int, failed: int) -> None:
        passed = now - self._began
        if passed >= MINUTE:
            self._before = self._counts if passed < 2 * MINUTE else [0, 0]
            self._counts = [0, 0]
            self._began = now - passed % MINUTE
        self._counts[0] += requests
        self._counts[1] += failed

    def recent(self, now: float) -> tuple[int, int]:
        """Requests and failed attempts of the last minute, as far as can be told from whole minutes."""
        left = 1 - (now - self._began) / MINUTE
        requests, failed = (count + before * left for count, before in zip(self._counts, self._before, strict=True))
        return round(requests), round(failed)


class Budget:
    """The policy for the next request of a credential: the configured one, or one with fewer attempts.

    `now` is the time in seconds of any steady clock. Callers without a credential share one account.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._frugal = replace(policy, max_recoveries=min(policy.max_recoveries, _LIMIT))
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    def admit(self, credential: str, now: float) -> Policy:
        """Count a request; the policy for it."""
        account = self._accounts.get(credential)
        if account is None:
            account = self._accounts[credential] = _Account(now)
            if len(self._accounts) > _CAPACITY:
                self._accounts.popitem(last=False)
        else:
            self._accounts.move_to_end(credential)
        account.add(now, 1, 0)
        if account.is_exceeded:
            account.is_exceeded = self._share(account, now) is not None
        return self._frugal if account.is_exceeded else self._policy

    def spend(self, credential: str, failed: int, now: float) -> BudgetExceeded | None:
        """Count attempts after the first that failed; the news, if they were too many."""
        account = self._accounts.get(credential)
        if not failed or account is None:
            return None
        account.add(now, 0, failed)
        share = self._share(account, now)
        known, account.is_exceeded = account.is_exceeded, share is not None
        return None if known else share

    def _share(self, account: _Account, now: float) -> BudgetExceeded | None:
        """The recent requests, if too many attempts failed."""
        requests, failed = account.recent(now)
        return BudgetExceeded(failed, requests) if requests >= LEAST and failed * _SHARE > requests else None
