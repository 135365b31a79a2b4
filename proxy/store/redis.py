"""The store that many machines share: Redis or Valkey, one of them or a cluster; one round trip for an ordinary call.

A value that this program cannot have written as a whole is not known. Items live as long as they are looked up. What is
long or large goes in parts: while Redis works on one, nobody else is served.
"""

import secrets
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from hashlib import sha1
from typing import Any, Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, NoScriptError

from proxy.responses.history.recording import is_response
from proxy.store.conversations import Conversations
from proxy.store.conversations_redis import RedisConversations
from proxy.store.envelope import DIGEST, Entry, entries, id_of, opened, owner, whole
from proxy.store.interface import Options, Progress, Recalled, Remembered, quietly
from proxy.store.redis_reading import BYTES, ITEMS, ForeignAnswerError, Reading
from proxy.store.redis_scripts import FORGET, RECALL, RELEASE, REMEMBER, VERSION, prefix, told

_EVERYTHING: Final = f"unpinned:[1-{VERSION}]:*"
_CONNECTIONS: Final = 64
_AT_ONCE: Final = 1000
_WRITTEN: Final = 150
"""Items that one script adds, or releases: 3 ms (Redis 7.0 on two slow cores, 2026-11)."""
_PIECE: Final = 1024 * 1024
"""Bytes that one command writes or reads of a large item."""


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
        self.conversations = Conversations(RedisConversations(self, options), options.envelope)

    async def recall(self, scope: str, response_id: str | None, item_ids: Collection[str]) -> Recalled:
        """What is known; it counts as used."""
        reading = Reading(response_id, list(item_ids), self._options.largest)
        await self.read(scope, reading)
        envelope, whose, named = self._options.envelope, owner(scope), dict(reading.items())
        kept = reading.conversation(whose, envelope)
        conversation = whole(await opened(envelope, whose, kept)) if kept is not None else None
        found = zip(named, await opened(envelope, whose, [*named.values()]), strict=True)
        return Recalled(conversation, {id_: item for id_, item in found if item is not None and id_of(item) == id_})

    async def read(self, scope: str, reading: Reading) -> None:
        """Perform a lookup."""
        while (question := reading.question()) is not None:
            word = secrets.token_bytes(8)  # it shows an answer that belongs to another request
            answer: list[Any] = await self.run(RECALL, scope, word, ITEMS, BYTES, *question)
            if not answer or answer[0] != word:
                raise ForeignAnswerError
            reading.take(answer[1:])
            await self._join(scope, reading)

    async def _join(self, scope: str, reading: Reading) -> None:
        """Read the further pieces of large items."""
        while reading.pieces:
            digest, count = reading.pieces.pop()
            key = _item(scope, digest)
            pieces = [await self._redis.execute_command("HGET", key, piece) for piece in range(1, count)]
            reading.join(digest, pieces)

    async def remember(self, scope: str, response: Remembered) -> None:
        """Remember a response, with what belongs to it."""
        for record in response.records:
            await self._remember(scope, record)

    async def _remember(self, scope: str, response: Remembered) -> None:
        """Remember a record: its items, then what it is, then nothing more of what it replaces."""
        envelope, whose = self._options.envelope, owner(scope)
        kept = await entries(envelope, whose, response.items, response.made)
        last = told(await self.add_first(scope, kept))
        id_, previous, digests = response.response_id, response.previous or "", b"".join(entry.digest for entry in kept)
        signature = envelope.sign(whose + id_.encode(), whose + previous.encode() if previous else b"", digests)
        await self.release(scope, await self.run(REMEMBER, scope, id_, previous, digests, signature, *last))

    async def add_first(self, scope: str, kept: Sequence[Entry]) -> Sequence[Entry]:
        """Count one use more of items, and keep those that are new; the last, which the script that needs them adds."""
        for entry in kept:
            if len(entry.value) > _PIECE:
                await self._remember_large(scope, entry)
        slices = [*_slices([entry for entry in kept if len(entry.value) <= _PIECE])]
        for entries_ in slices[:-1]:
            await self.run(REMEMBER, scope, "", "", "", "", *told(entries_))
        return slices[-1] if slices else ()

    async def _remember_large(self, scope: str, entry: Entry) -> None:
        pieces = [entry.value[start : start + _PIECE] for start in range(0, len(entry.value), _PIECE)]
        await self.run(REMEMBER, scope, "", "", "", "", entry.digest, pieces[0], len(pieces), entry.id)
        for number, piece in enumerate(pieces[1:], 1):
            await self._redis.execute_command("HSET", _item(scope, entry.digest), number, piece)

    async def forget(self, scope: str, response_id: str) -> None:
        """Forget a response, and its items where no other response has them."""
        await self.release(scope, await self.run(FORGET, scope, response_id))

    async def release(self, scope: str, digests: bytes) -> None:
        """Count one use less of each item."""
        for start in range(0, len(digests), _WRITTEN * DIGEST):
            await self.run(RELEASE, scope, digests[start : start + _WRITTEN * DIGEST])

    async def run(self, script: str, scope: str, *arguments: Any) -> Any:
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
        return await self.run(script, scope, *arguments)

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
        count = 0
        if everything:
            async for found in self.scan(_EVERYTHING):
                count += await self._unlink(found)
                progress(count)
        progress(count)
        return count

    async def scan(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """The keys that match, so many at a time; those given may be deleted before the next are asked for."""
        if not self._is_cluster and (await self._redis.info())["cluster_enabled"]:
            await self._join_cluster()
        found: list[bytes] = []
        # Keys that are deleted while a scan goes on do not disturb it (redis.io, SCAN, guarantees).
        async for key in self._redis.scan_iter(match=pattern, count=_AT_ONCE):
            found.append(key)
            if len(found) == _AT_ONCE:
                yield found
                found = []
        if found:
            yield found

    async def _unlink(self, keys: Sequence[bytes]) -> int:
        """Delete keys of any slots; the number of responses among them."""
        gone = await self.each([("UNLINK", key) for key in keys])  # a scan may tell a key twice
        return sum(count for key, count in zip(keys, gone, strict=True) if _is_response(key))

    async def each(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """What comes of commands for keys of any slots, many of them in one round trip."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = await pipeline.execute()
        return answers


def _is_response(key: bytes) -> bool:
    _, _, _, kind, name = key.split(b":", 4)
    return kind == b"r" and is_response(name.decode("latin-1"))


def _item(scope: str, digest: bytes) -> bytes:
    return prefix(scope).encode() + b"i:" + digest


def _slices(kept: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """The items that one script is given, in order: so many, and no more than fill an answer."""
    start = size = 0
    for place, entry in enumerate(kept):
        if place - start == _WRITTEN or size > BYTES:
            yield kept[start:place]
            start, size = place, 0
        size += len(entry.value)
    if start < len(kept):
        yield kept[start:]
