"""The store that many machines share: Redis or Valkey, one round trip a call.

What cannot have been written by us, in whole, is not known. Items live as long as somebody asks for them.
"""

import secrets
from collections.abc import Collection, Iterator
from hashlib import sha256
from itertools import accumulate
from typing import Any, Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from proxy.store.ids import ids_of
from proxy.store.scripts import FORGET, RECALL, REMEMBER
from proxy.store.seam import LARGEST, Recalled, Remembered

LIFETIME: Final = 30 * 24 * 3600
"""Seconds that something is remembered after its last use; upstream keeps responses as long."""
_DIGEST: Final = 16
_VERSION: Final = 1
_CONNECTIONS: Final = 64
_LEAST: Final = 3


class ForeignAnswerError(Exception):
    """Redis answered something else than what was asked."""


class RedisStore:
    """Remembers responses in the Redis at `url`."""

    def __init__(self, url: str, *, lifetime: int = LIFETIME, largest: int = LARGEST) -> None:
        # Once more, at once: a connection that was idle while Redis was restarted is only then found broken.
        options: Any = {"max_connections": _CONNECTIONS, "timeout": 1, "retry": Retry(NoBackoff(), 1)}
        pool: Any = redis.asyncio.BlockingConnectionPool.from_url(url, **options)
        self._redis: Any = redis.asyncio.Redis.from_pool(pool)
        self._lifetime = lifetime
        self._largest = largest
        self._recall = self._redis.register_script(RECALL)
        self._remember = self._redis.register_script(REMEMBER)
        self._forget = self._redis.register_script(FORGET)

    async def recall(self, scope: str, response_id: str | None, item_ids: Collection[str]) -> Recalled:
        """What is known; it counts as used."""
        asked = list(item_ids)
        word = secrets.token_bytes(8)  # an answer that was meant for somebody else is seen by it
        arguments: list[Any] = [prefix(scope), self._lifetime, word, self._largest, response_id or "", *asked]
        told: list[Any] = await self._recall(keys=[prefix(scope)], args=arguments)
        if not told or told[0] != word or len(told) < _LEAST:
            raise ForeignAnswerError
        _, lengths, joined, *items = told
        if len(items) != len(asked):
            raise ForeignAnswerError
        conversation = None if lengths == b"?" else _apart(joined, lengths)
        return Recalled(conversation, {id_: item for id_, item in zip(asked, items, strict=True) if item})

    async def remember(self, scope: str, response: Remembered) -> None:
        """Remember a response."""
        follows, previous = (b"0", "") if response.previous is None else (b"1", response.previous)
        arguments: list[Any] = [
            prefix(scope),
            self._lifetime,
            response.response_id,
            follows,
            previous,
            *_told(response),
        ]
        await self._remember(keys=[prefix(scope)], args=arguments)

    async def forget(self, scope: str, response_id: str) -> None:
        """Forget a response, and its items where no other response has them."""
        await self._forget(keys=[prefix(scope)], args=[prefix(scope), response_id])

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.aclose()


def prefix(scope: str) -> str:
    """With what all keys of a scope begin."""
    return f"unpinned:{_VERSION}:{{{sha256(scope.encode()).hexdigest()[:32]}}}:"


def _apart(joined: bytes, lengths: bytes) -> tuple[bytes, ...]:
    ends = list(accumulate(map(int, lengths.split(b",")))) if lengths else []
    return tuple(joined[start:end] for start, end in zip([0, *ends], ends, strict=False))


def _told(response: Remembered) -> Iterator[bytes | str]:
    for item in response.items:
        yield sha256(item).digest()[:_DIGEST]
        yield item
        yield next(ids_of(item), "")
