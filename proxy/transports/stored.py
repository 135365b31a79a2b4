"""The store of an asynchronous transport: a service for each event loop, because what a store opens belongs to one.

A store that was named by its URL is opened for each loop, and closed with the transport. One that the application gave,
and the one in memory, are the same for all, and only written to the end.
"""

import asyncio
from typing import Final
from weakref import WeakKeyDictionary

from proxy.drivers.recorder import Recorder, Recording
from proxy.drivers.work import Elsewhere
from proxy.events import Observer
from proxy.http.headers import Fields
from proxy.report import Route
from proxy.responses.history.recall import Recalled
from proxy.responses.history.retrieval import FORGETTING, named
from proxy.responses.steps import Recall
from proxy.store.factory import ENGINES, MissingExtraError, opened
from proxy.store.interface import Store
from proxy.store.service import StoreService, Terms

_ROUTES: Final = frozenset({"responses", "compact"})
_WANTED: Final = f"store must be memory, an object of a store, or a URL of one of {', '.join(ENGINES)}"


class Stores:
    """What keeps the conversations of one transport; a `scope` joins all credentials.

    Raises ValueError where there is no such store, and ImportError where what it needs is not installed.
    """

    def __init__(self, store: str | Store, scope: str | None, observer: Observer, elsewhere: Elsewhere) -> None:
        self._url = store if isinstance(store, str) and store != "memory" else None
        self._store: Store | None = _opened(store) if isinstance(store, str) else store
        """The one for all loops, or for the first."""
        self._terms = Terms(scope)
        self._observer = observer
        self._elsewhere = elsewhere
        self._recordings: WeakKeyDictionary[asyncio.AbstractEventLoop, Recording] = WeakKeyDictionary()

    def _here(self) -> Recording:
        """What the running loop records with. Raises RuntimeError on another loop than asyncio's."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError("A transport with a store runs on asyncio alone.") from None
        if loop not in self._recordings:
            store = self._store or _opened(self._url or "")
            if self._url is not None:
                self._store = None
            self._recordings[loop] = Recording(
                StoreService(store, self._observer, self._terms), offload=self._elsewhere
            )
        return self._recordings[loop]

    async def recall(self, fields: Fields, step: Recall, request_id: str) -> Recalled | None:
        """What the store knows on behalf of the caller with these fields."""
        service = self._here().service
        return await service.recall(service.scope(fields), step, request_id)

    def recorder(self, fields: Fields, route: Route, request_id: str) -> Recorder | None:
        """What has the answer to a request with these fields remembered; None where it is not to be."""
        recording = self._here()
        owner = recording.service.scope(fields)
        if owner is None or route not in _ROUTES:
            return None
        return Recorder(recording, owner, request_id, compacts=route == "compact")

    def forget(self, fields: Fields, path: bytes, status: int) -> None:
        """Forget the response that was deleted, if the raw `path` names one."""
        found = named(path)
        recording = self._here()
        owner = recording.service.scope(fields)
        if found is None or found.part or owner is None or status not in FORGETTING:
            return
        Recorder(recording, owner, "", found.response_id).forget()

    async def close(self) -> None:
        """Write what is left, and let go of what was opened for the running loop."""
        recording = self._recordings.pop(asyncio.get_running_loop(), None) if self._recordings else None
        if recording is not None:
            await (recording.service.close() if self._url is not None else recording.service.flush())

    def forked(self) -> None:
        """Use nothing that another process has opened."""
        self._recordings = WeakKeyDictionary()
        if self._url is not None:
            self._store = None


def _opened(url: str) -> Store:
    if url != "memory" and url.partition(":")[0] not in ENGINES:
        raise ValueError(f"{_WANTED}.")
    try:
        return opened(url)
    except MissingExtraError as missing:
        raise ImportError(f"store needs what is not installed: pip install 'unpinned[{missing}]' adds it.") from None
    except ValueError:
        raise ValueError("store is no URL that its client understands.") from None
