"""The transports that send requests: the one that the application gave, or ours, one for each way to upstream.

Ours have the limits of OpenAI's SDK, and lead through the outbound proxies of the environment, which a client with a
`transport` of its own ignores. They are made when they are first needed, of the package that the request is of.
"""

from collections.abc import Mapping
from threading import RLock
from typing import Any, Final
from urllib.request import getproxies

from proxy.transports.families import Family, family_of

_LIMITS: Final = {"max_connections": 1000, "max_keepalive_connections": 100}
"""As openai 3.57 has them (`DEFAULT_CONNECTION_LIMITS`)."""


class Senders:
    """What sends the requests of one `Portable`; `kind` is the name of the class that is made where none is `given`."""

    def __init__(self, given: Any, kind: str) -> None:
        self._given = given
        self._family = family_of(given)
        self._kind = kind
        self._proxies = {} if given is not None else {f"{name}_proxy": url for name, url in getproxies().items()}
        self._made: dict[tuple[Family, str | None], Any] = {}
        self._inherited: list[Any] = []
        self._lock = RLock()

    def of(self, family: Family, url: Any) -> Any:
        """What sends a request of a family to a URL. Raises RuntimeError where that package does not go with it."""
        if self._given is not None:
            own = self._family
            if own is not None and own is not family:
                raise RuntimeError(f"The transport within is one of {own.name}, and the client one of {family.name}.")
            return self._given
        way = (family, _proxy(self._proxies, url) if self._proxies else None)
        made = self._made.get(way)
        return self._make(way) if made is None else made

    def _make(self, way: tuple[Family, str | None]) -> Any:
        with self._lock:
            if way not in self._made:
                package = way[0].package
                kind = getattr(package, self._kind)
                self._made[way] = kind(limits=package.Limits(**_LIMITS), proxy=way[1], retries=0)
            return self._made[way]

    def drop(self) -> list[Any]:
        """What is to be closed. Of ours, a request that comes later has others made."""
        if self._given is not None:
            return [self._given]
        with self._lock:
            made, self._made = list(self._made.values()), {}
        return made

    def forked(self) -> None:
        """Use no connection of the process from which this one was forked: two that write to one mix their requests.

        They are neither used nor closed, as long as this lives: an event loop of that process still watches them.
        """
        self._lock = RLock()
        self._inherited += self._made.values()
        self._made = {}


def _proxy(proxies: Mapping[str, str], url: Any) -> str | None:
    """The URL of the proxy by which the environment has requests to `url` sent; None: directly."""
    from proxy.http.base_url import DEFAULT_PORTS, BaseUrl  # noqa: PLC0415 -- only where there is a proxy
    from proxy.settings.outbound_proxy import variable_for  # noqa: PLC0415 -- as above

    if url.scheme not in DEFAULT_PORTS:
        return None
    target = BaseUrl(url.scheme, url.host, url.port or DEFAULT_PORTS[url.scheme], b"")
    name = variable_for(target, proxies)
    value = proxies[name].strip() if name else None
    return value if value is None or "://" in value else f"http://{value}"
