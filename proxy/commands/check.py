"""`unpinned check`: whether the settings can work, before anything depends on it.

Resolves upstream's name, connects, shakes hands, and asks for the base URL with HEAD: nothing that costs money, and no
key is sent. Exit codes: 0 all is well, 1 something is not.
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
from proxy.settings import Settings
from proxy.upstream.client import Http1Client
from proxy.upstream.interface import Deadlines, Limits, Request
from proxy.upstream.tls import trusting

PATIENCE: Final = 5.0
"""Seconds that the answer to the question may take."""
_SKEW: Final = 60.0
"""Seconds by which the clock may be wrong before certificates and tokens suffer."""
_EXPIRES_SOON: Final = 14 * 86400.0
_SPARE: Final = 128
"""Descriptors beside those of clients and upstream: listeners, the log, the store."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    well: bool
    text: str


def check(settings: Settings) -> int:
    """Print what was found, a line each; the exit code."""
    findings = [*_limits(settings), *asyncio.run(_upstream(settings))]
    for finding in findings:
        sys.stdout.write(f"{'ok  ' if finding.well else 'BAD '} {finding.text}\n")
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


async def _upstream(settings: Settings) -> list[Finding]:
    upstream = base_url(settings.upstream)
    if settings.upstream_proxy is not None:
        return [Finding(True, "upstream is reached through an outbound proxy, which is not asked")]
    found: list[Finding] = []
    with contextlib.suppress(_Ended):
        if not upstream.socket:
            await _resolve(upstream, found)
        if upstream.scheme == "https":
            await _shake_hands(upstream, settings, found)
        await _ask(upstream, settings, found)
    return found


class _Ended(Exception):  # noqa: N818 -- no error: what follows would only say the same
    """There is no point in looking further."""


async def _resolve(upstream: BaseUrl, found: list[Finding]) -> None:
    try:
        addresses = await asyncio.get_running_loop().getaddrinfo(upstream.host, upstream.port)
    except OSError as error:
        found.append(Finding(False, f"{upstream.host} is not known to the name server: {error.strerror}"))
        raise _Ended from None
    shown = ", ".join(sorted({str(address[4][0]) for address in addresses}))
    found.append(Finding(True, f"{upstream.host} is {shown}"))


async def _shake_hands(upstream: BaseUrl, settings: Settings, found: list[Finding]) -> None:
    store = f"the certificates in {settings.ca_file}" if settings.ca_file else "the system's trust store"
    try:
        async with asyncio.timeout(settings.connect_timeout):
            _, writer = await asyncio.open_connection(upstream.host, upstream.port, ssl=trusting(settings.ca_file))
    except ssl.SSLCertVerificationError as error:
        found.append(Finding(False, f"{store} does not vouch for {upstream.host}: {error.verify_message}"))
        raise _Ended from None
    except (OSError, TimeoutError) as error:
        found.append(Finding(False, f"no TLS connection to {upstream.host}:{upstream.port}: {_reason(error)}"))
        raise _Ended from None
    connection: Any = writer.get_extra_info("ssl_object")
    expires = ssl.cert_time_to_seconds(connection.getpeercert()["notAfter"])
    writer.close()
    days = (expires - time.time()) / 86400
    text = f"{connection.version()}, vouched for by {store}; the certificate expires in {days:.0f} days"
    found.append(Finding(expires - time.time() > _EXPIRES_SOON, text))


async def _ask(upstream: BaseUrl, settings: Settings, found: list[Finding]) -> None:
    deadlines = Deadlines(settings.connect_timeout, PATIENCE, PATIENCE)
    tls = trusting(settings.ca_file) if upstream.scheme == "https" else None
    client = Http1Client(upstream, deadlines, Limits(1), tls=tls)
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
    """Whether the clock agrees with upstream's Date, which has whole seconds."""
    if date is None:
        return
    try:
        skew = now - parsedate_to_datetime(date.decode("latin-1")).timestamp()
    except ValueError:
        return
    which = "ahead of" if skew > 0 else "behind"
    yield Finding(abs(skew) <= _SKEW, f"the clock is {abs(skew):.0f} seconds {which} upstream's")


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, ssl.SSLError):
        return "what answers there does not speak TLS"
    return os.strerror(error.errno) if error.errno else "every address refuses"
