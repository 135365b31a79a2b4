"""The outbound proxy: from its URL, or from the environment by convention.

There is no standard for HTTPS_PROXY and NO_PROXY. This follows what curl (its manual, ENVIRONMENT, and
CURLOPT_NOPROXY(3)) and Python (urllib.request, on which requests and httpx build) have in common; where they differ:

    lower case before upper case      both
    HTTP_PROXY in upper case          Python reads it; curl does not, for the sake of CGI, which this is not
    an empty variable                 the same as none (curl)
    `.example.com` in NO_PROXY        example.com and every name below it, as without the dot (both)
    `192.168.0.0/16`                  a network (curl since 7.86; Python takes it for a name)
    `example.com:8443`                that port alone (Python; curl has no ports)
    `*`                               every host (both)
    a URL without a scheme            http:// (both)
"""

import base64
import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from proxy.http.base_url import DEFAULT_PORTS, BaseUrl, OutboundProxy

ENVIRONMENT: Final = "env"
"""The value of the setting that stands for the variables of the environment."""
_ENTRY: Final = re.compile(r"(?:\[(?P<address>[^\]]+)\]|(?P<name>[^:]*))(?::(?P<port>[0-9]+))?")


def outbound_proxy(url: str) -> OutboundProxy:
    """The proxy that `url` names; credentials are percent-decoded. Raises ValueError."""
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in DEFAULT_PORTS or not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("must be an http:// or https:// URL of a host and a port")
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError("must not have control characters")
    return OutboundProxy(
        parts.scheme,
        host.encode("idna").decode("ascii"),
        parts.port or DEFAULT_PORTS[parts.scheme],
        _basic(parts.username, parts.password or "") if parts.username is not None else b"",
    )


def _basic(user: str, password: str) -> bytes:
    """RFC 7617, 2: the user-id ends at the first colon, so it cannot have one."""
    name = unquote_to_bytes(user)
    if b":" in name:
        raise ValueError("the name of a user must not have a colon")
    return b"Basic " + base64.b64encode(name + b":" + unquote_to_bytes(password))


def variable_for(upstream: BaseUrl, environment: Mapping[str, str]) -> str | None:
    """The name of the variable whose proxy leads to `upstream`, or None for a direct connection."""
    if upstream.socket or _is_excluded(upstream, _value(environment, "no_proxy")):
        return None
    names = (f"{upstream.scheme}_proxy", "all_proxy")
    return next((name for lower in names for name in (lower, lower.upper()) if environment.get(name, "").strip()), None)


def from_variable(text: str) -> OutboundProxy:
    """The proxy that the value of a variable names, a URL or HOST:PORT. Raises ValueError."""
    return outbound_proxy(text if "://" in text else f"http://{text}")


def _value(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.upper(), "")


def _is_excluded(upstream: BaseUrl, no_proxy: str) -> bool:
    return any(entry == "*" or _names(entry, upstream) for entry in _entries(no_proxy))


def _entries(no_proxy: str) -> Iterator[str]:
    return (entry.lower() for entry in re.split(r"[,\s]+", no_proxy) if entry)


def _names(entry: str, upstream: BaseUrl) -> bool:
    """Whether an entry of NO_PROXY names the host of `upstream`, or a domain or a network that it is in."""
    address = _address(upstream.host)
    if address is not None and _network_has(entry, address):
        return True
    match = _ENTRY.fullmatch(entry)
    if match is None or (match["port"] and int(match["port"]) != upstream.port):
        return False
    if address is not None:
        return _network_has(match["address"] or match["name"], address)
    domain = (match["name"] or "").removeprefix("*").strip(".")
    return bool(domain) and f".{upstream.host.rstrip('.')}".endswith(f".{domain}")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network_has(text: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
