"""`unpinned check`: whether the settings can work, before anything depends on them.

Resolves upstream's name (or its outbound proxy's), connects, negotiates TLS, and sends HEAD for the base URL: nothing
that costs money, and without a key. Exit codes: 0 all is well, perhaps with a WARN, 1 something is BAD.
"""

import asyncio
import contextlib
import os
import resource
import ssl
import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from proxy.http import headers
from proxy.http.base_url import BaseUrl, base_url
from proxy.http.faults import Fault
from proxy.server.tls import listener_context
from proxy.settings import Settings, SettingsError, unused_proxy
from proxy.upstream.client import Http1Client
from proxy.upstream.dialing import Route, connect
from proxy.upstream.interface import Deadlines, Limits, Request
from proxy.upstream.tls import client_context

PATIENCE: Final = 5.0
"""Seconds that the answer to HEAD may take."""
_SKEW: Final = 60.0
"""Seconds by which the clock may be wrong before certificates and tokens are affected."""
_EXPIRES_SOON: Final = 14 * 86400.0
_UNKNOWN_ISSUER: Final = frozenset({18, 19, 20, 21})
"""Codes of openssl-verification-options(1): self-signed, or of an authority that is not known here."""
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
_SPARE: Final = 128
"""Descriptors beside those of clients and upstream: listeners, the log, the store."""


class Finding(NamedTuple):
    """The result of one test; `note` marks what works, but deserves a look."""

    well: bool
    text: str
    note: bool = False

    def __str__(self) -> str:
        return f"{'BAD ' if not self.well else 'WARN' if self.note else 'ok  '} {self.text}"


def check(settings: Settings) -> int:
    """Print the findings, a line each; the exit code."""
    findings = [*_limits(settings), *_certificate(settings), *asyncio.run(_upstream(settings))]
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    return 0 if all(finding.well for finding in findings) else 1


def _limits(settings: Settings) -> Iterator[Finding]:
    yield Finding(True, f"mode {settings.mode}, profile {settings.profile}, upstream {settings.upstream}")
    _, descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.max_requests + settings.max_connections + _SPARE
    text = f"{descriptors} descriptors for {settings.max_requests} requests and {settings.max_connections} connections"
    if descriptors == resource.RLIM_INFINITY or descriptors >= needed:
        yield Finding(True, text)
    else:
        yield Finding(False, f"{text}: raise the limit to {needed}, or lower MAX_REQUESTS and MAX_CONNECTIONS")


def _certificate(settings: Settings) -> Iterator[Finding]:
    """Whether the listener's certificate can be used, where there is one."""
    try:
        if listener_context(settings) is not None:
            clients = ", and clients need one" if settings.tls_client_ca else ""
            yield Finding(True, f"the listener's certificate fits its key{clients}")
    except SettingsError as fault:
        yield Finding(False, str(fault).removesuffix("."))


async def _upstream(settings: Settings) -> list[Finding]:
    upstream, proxy = base_url(settings.upstream), settings.upstream_proxy
    found = [*_way(settings)]
    with contextlib.suppress(_Ended):
        if proxy is not None:
            await _resolve(proxy.host, proxy.port, found)
        elif not upstream.socket:
            await _resolve(upstream.host, upstream.port, found)
        await _connect(upstream, settings, found)
        await _ask(upstream, settings, found)
    return found


def _way(settings: Settings) -> Iterator[Finding]:
    """Whether there is an outbound proxy; its credentials are not part of its text."""
    if settings.upstream_proxy is not None:
        yield Finding(True, f"upstream is reached through the outbound proxy {settings.upstream_proxy}")
    elif variable := unused_proxy(settings):
        yield Finding(True, f"{variable} is set, but not used: UNPINNED_UPSTREAM_PROXY=env would use it", note=True)


class _Ended(Exception):  # noqa: N818 -- no error: what follows would only say the same
    """The remaining tests would only repeat the last finding."""


async def _resolve(host: str, port: int, found: list[Finding]) -> None:
    try:
        addresses = await asyncio.get_running_loop().getaddrinfo(host, port)
    except OSError as error:
        found.append(Finding(False, f"name not found: {host} ({error.strerror})"))
        raise _Ended from None
    numbers = sorted({str(address[4][0]) for address in addresses})
    if numbers != [host]:
        found.append(Finding(True, f"{host} is {', '.join(numbers)}"))


async def _connect(upstream: BaseUrl, settings: Settings, found: list[Finding]) -> None:
    route = Route(upstream, client_context(settings.ca_file), settings.upstream_proxy)
    store = f"the authorities in {settings.ca_file}" if settings.ca_file else "the system's trust store"
    try:
        transport, _ = await connect(route, asyncio.Protocol, settings.connect_timeout)
    except Fault as fault:
        found.append(Finding(False, _failure(fault, route, store, settings.connect_timeout)))
        raise _Ended from None
    connection: Any = transport.get_extra_info("ssl_object")
    transport.abort()
    if connection is None:
        return
    left = ssl.cert_time_to_seconds(connection.getpeercert()["notAfter"]) - time.time()
    text = f"{connection.version()}, certificate verified by {store}; it expires in {left / 86400:.0f} days"
    found.append(Finding(left > _EXPIRES_SOON, text))


def _failure(fault: Fault, route: Route, store: str, patience: float) -> str:
    """Why there is no connection to upstream, or to the proxy in front of it: the cause first, as a search has it."""
    side = route.proxy if fault.code.startswith("upstream_proxy_") else route.upstream
    if side is None or fault.__cause__ is None:
        return fault.message
    where = getattr(side, "socket", "") or f"{side.host}:{side.port}"
    match fault.__cause__:
        case ssl.SSLCertVerificationError() as error:
            advice = "; UNPINNED_CA_FILE names authorities to trust" if error.verify_code in _UNKNOWN_ISSUER else ""
            return (
                f"certificate of {side.host} not verified by {store}: {error.verify_message.removesuffix('.')}{advice}"
            )
        case ssl.SSLError() as error if error.reason in _NO_TLS:
            return f"no TLS at {where}: what answers there does not speak TLS"
        case ssl.SSLError() as error:
            return f"TLS handshake failed with {where}: {(error.reason or 'no reason given').replace('_', ' ').lower()}"
        case TimeoutError():
            return f"timed out: no connection to {where} within {patience:g} seconds"
        case OSError(errno=int(number)):
            return f"{os.strerror(number).lower()}: {where}"
    return f"connection closed by {where}"


async def _ask(upstream: BaseUrl, settings: Settings, found: list[Finding]) -> None:
    deadlines = Deadlines(settings.connect_timeout, PATIENCE, PATIENCE)
    tls = client_context(settings.ca_file)
    client = Http1Client(upstream, deadlines, Limits(1), tls=tls, proxy=settings.upstream_proxy)
    target = upstream.path or b"/"
    fields = [(b"host", upstream.authority), (b"user-agent", b"unpinned-check")]
    began = time.time()
    try:
        answer = await client.send(Request(b"HEAD", target, fields, b""))
    except Fault as fault:
        found.append(Finding(False, f"HEAD {settings.upstream}: {fault.message}"))
        return
    finally:
        await client.close()
    took = (time.time() - began) * 1000
    found.append(Finding(answer.status < 500, f"HEAD {settings.upstream} is answered {answer.status} in {took:.0f} ms"))
    found += _clock(headers.value(answer.fields, b"date"), began)


def _clock(date: bytes | None, now: float) -> Iterator[Finding]:
    """Whether the clock agrees with upstream's Date, which counts whole seconds."""
    if date is None:
        return
    try:
        skew = now - parsedate_to_datetime(date.decode("latin-1")).timestamp()
    except ValueError:
        return
    which = "ahead of" if skew > 0 else "behind"
    yield Finding(abs(skew) <= _SKEW, f"the clock is {abs(skew):.0f} seconds {which} upstream's")
