"""The store that many machines share: Redis or Valkey, one of them or a cluster; one round trip a call.

A value that this program cannot have written as a whole is not known. Items live as long as they are looked up.
"""

import secrets
from collections.abc import Collection, Iterator
from hashlib import sha1
from typing import Any, Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, NoScriptError

from proxy.store.envelope import DIGEST, apart, entries, opened, owner, whole
from proxy.store.interface import Options, Progress, Recalled, Remembered, quietly
from proxy.store.redis_scripts import FORGET, RECALL, REMEMBER

_VERSION: Final = 1
_EVERYTHING: Final = f"unpinned:{_VERSION}:*"
_CONNECTIONS: Final = 64
_AT_ONCE: Final = 1000


class ForeignAnswerError(Exception):
    """Redis answered another question: the connection is out of step."""


class RedisStore:
    """Remembers responses in the Redis at `url`, or in the cluster that it belongs to."""

    lookups = 64

    def __init__(self, url: str, options: Options) -> None:
        self._url = url
        self._options = options
        # Retry immediately: a connection that was idle while Redis restarted is only found broken when it is used.
        retry: Any = {"max_connections": _CONNECTIONS, "timeout": 1, "retry": Retry(NoBackoff(), 1)}
        pool: Any = redis.asyncio.BlockingConnectionPool.from_url(url, **retry)
        self._redis: Any = redis.asyncio.Redis.from_pool(pool)
        self._is_cluster = False

    async def recall(self, scope: str, response_id: str | None, item_ids: Collection[str]) -> Recalled:
        """What is known; it counts as used."""
        asked = list(item_ids)
        word = secrets.token_bytes(8)  # it shows an answer that belongs to another request
        told: list[Any] = await self._run(RECALL, scope, word, self._options.largest, response_id or "", *asked)
        if not told or told.pop(0) != word:
            raise ForeignAnswerError
        whose, digests = owner(scope), told.pop(0)
        count = len(digests) // DIGEST
        if len(told) != count + 2 * len(asked):
            raise ForeignAnswerError
        kept = [*zip(apart(digests[: count * DIGEST]), told[:count], strict=True)]
        conversation = whole(await opened(self._options.envelope, whose, kept)) if digests != b"?" else None
        found = await opened(self._options.envelope, whose, [*zip(told[count::2], told[count + 1 :: 2], strict=True)])
        return Recalled(conversation, {id_: item for id_, item in zip(asked, found, strict=True) if item is not None})

    async def remember(self, scope: str, response: Remembered) -> None:
        """Remember a response."""
        follows, previous = (b"0", "") if response.previous is None else (b"1", response.previous)
        kept = await entries(self._options.envelope, owner(scope), response.items, response.made)
        told: Iterator[bytes | str] = (part for entry in kept for part in entry)
        await self._run(REMEMBER, scope, response.response_id, follows, previous, *told)

    async def forget(self, scope: str, response_id: str) -> None:
        """Forget a response, and its items where no other response has them."""
        await self._run(FORGET, scope, response_id)

    async def _run(self, script: str, scope: str, *arguments: Any) -> Any:
        """Have Redis do something; a script is sent once, and then named by its digest."""
        key = prefix(scope)
        digest = sha1(script.encode()).hexdigest()  # noqa: S324 -- as Redis names scripts
        whole = (1, key, key, self._options.lifetime, *arguments)
        try:
            return await self._redis.execute_command("EVALSHA", digest, *whole)
        except NoScriptError:
            return await self._redis.execute_command("EVAL", script, *whole)
        except MovedError:
            if self._is_cluster:
                raise
        await self._join_cluster()
        return await self._run(script, scope, *arguments)

    async def _join_cluster(self) -> None:
        """From now on ask whichever of a cluster's nodes has a scope."""
        alone, self._is_cluster = self._redis, True
        self._redis = redis.asyncio.RedisCluster.from_url(self._url, max_connections=_CONNECTIONS)
        await alone.aclose()

    def is_unreachable(self, error: Exception) -> bool:
        """Redis is away, or loads its data."""
        return isinstance(error, RedisConnectionError | OSError) and not isinstance(error, TimeoutError)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.aclose()

    async def prepare(self) -> str:
        """Check the connection: no schema is needed."""
        await self._redis.ping()
        return "no schema needed"

    async def standing(self) -> str:
        """Which server it is, and what it does when its memory is full."""
        about: dict[str, Any] = await self._redis.info()
        server = "Valkey" if "valkey_version" in about else "Redis"
        version = about.get("valkey_version", about["redis_version"])
        limit, policy = about["maxmemory_human"] if about["maxmemory"] else "no limit", about["maxmemory_policy"]
        return f"{server} {version}: {about['used_memory_human']} used, {limit}, maxmemory-policy {policy}"

    async def purge(self, *, everything: bool = False, progress: Progress = quietly) -> int:
        """Forget everything; what exceeds its TTL expires by itself."""
        if everything and not self._is_cluster and (await self._redis.info())["cluster_enabled"]:
            await self._join_cluster()
        count = 0
        if everything:
            # Keys that are deleted while a scan goes on do not disturb it (redis.io, SCAN, guarantees).
            async for key in self._redis.scan_iter(match=_EVERYTHING, count=_AT_ONCE):
                count += key.split(b":")[3] == b"r"
                await self._redis.unlink(key)
                progress(count)
        return count


def prefix(scope: str) -> str:
    """With what all keys of a scope begin: the part in braces is what a cluster looks at."""
    return f"unpinned:{_VERSION}:{{{owner(scope).hex()}}}:"
