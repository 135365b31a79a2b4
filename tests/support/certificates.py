"""Certificates for tests: an authority nobody trusts by itself, and what it signs.

`Authority(tmp_path).ca_file` is what a client should trust; `server_context("localhost", "127.0.0.1")` gives what a
server should use, `issue("localhost", "127.0.0.1")` a file with the same, and `client_context()` a client's.
"""

import hashlib
import secrets
import ssl
from base64 import encodebytes
from ipaddress import ip_address
from pathlib import Path

# SEC 2, 2.4.2: secp256r1.
PRIME = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int]


def added(one: Point | None, other: Point | None) -> Point | None:
    """The sum of two points of the curve; None is infinity."""
    if one is None or other is None:
        return one or other
    if one[0] == other[0] and (one[1] + other[1]) % PRIME == 0:
        return None
    if one == other:
        slope = (3 * one[0] * one[0] - 3) * pow(2 * one[1], -1, PRIME)
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, PRIME)
    x = (slope * slope - one[0] - other[0]) % PRIME
    return x, (slope * (one[0] - x) - one[1]) % PRIME


def times(factor: int, point: Point) -> Point:
    """`factor` times `point`."""
    total: Point | None = None
    doubled: Point | None = point
    while factor:
        total = added(total, doubled) if factor & 1 else total
        doubled = added(doubled, doubled)
        factor >>= 1
    assert total is not None
    return total


def der(tag: int, *contents: bytes) -> bytes:
    """One element of ASN.1."""
    content = b"".join(contents)
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82, *size.to_bytes(2, "big")])
    return bytes([tag]) + length + content


def integer(value: int) -> bytes:
    """A number."""
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bits(value: bytes) -> bytes:
    """A bit string of whole octets."""
    return der(0x03, b"\0" + value)


ECDSA_SHA256 = der(0x30, bytes.fromhex("06082a8648ce3d040302"))
P256_KEY = der(0x30, bytes.fromhex("06072a8648ce3d020106082a8648ce3d030107"))


class Key:
    """A private key, with which certificates are signed."""

    def __init__(self) -> None:
        self.secret = secrets.randbelow(ORDER - 1) + 1
        point = times(self.secret, GENERATOR)
        self.public = b"\4" + b"".join(number.to_bytes(32, "big") for number in point)
        self.identifier = hashlib.sha1(self.public).digest()

    def signature(self, message: bytes) -> bytes:
        """The signature of `message`."""
        digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
        once = secrets.randbelow(ORDER - 1) + 1
        first = times(once, GENERATOR)[0] % ORDER
        second = pow(once, -1, ORDER) * (digest + first * self.secret) % ORDER
        return der(0x30, integer(first), integer(second))

    def pem(self) -> str:
        """The key as a file (RFC 5915)."""
        curve = der(0xA0, bytes.fromhex("06082a8648ce3d030107"))
        secret = der(0x04, self.secret.to_bytes(32, "big"))
        return pem("EC PRIVATE KEY", der(0x30, integer(1), secret, curve, der(0xA1, bits(self.public))))


def pem(label: str, content: bytes) -> str:
    """`content` as OpenSSL reads it."""
    return f"-----BEGIN {label}-----\n{encodebytes(content).decode()}-----END {label}-----\n"


def name(common: str) -> bytes:
    """A distinguished name with a common name alone."""
    return der(0x30, der(0x31, der(0x30, bytes.fromhex("0603550403"), der(0x0C, common.encode()))))


def extension(number: int, content: bytes, *, critical: bool = False) -> bytes:
    """An extension of id-ce (RFC 5280, 4.2.1)."""
    flag = der(0x01, b"\xff") if critical else b""
    return der(0x30, der(0x06, bytes([0x55, 0x1D, number])), flag, der(0x04, content))


def certificate(subject: str, key: Key, issuer: str, signer: Key, *extensions: bytes, until: str = "491231") -> str:
    """A certificate for `key`, signed by `signer`; it is valid from 2020 `until` a day."""
    validity = der(0x30, der(0x17, b"200101000000Z"), der(0x17, f"{until}235959Z".encode()))
    known = extension(35, der(0x30, der(0x80, signer.identifier)))
    own = extension(14, der(0x04, key.identifier))
    contents = der(
        0x30,
        der(0xA0, integer(2)),
        integer(secrets.randbits(64)),
        ECDSA_SHA256,
        name(issuer),
        validity,
        name(subject),
        der(0x30, P256_KEY, bits(key.public)),
        der(0xA3, der(0x30, *extensions, own, known)),
    )
    return pem("CERTIFICATE", der(0x30, contents, ECDSA_SHA256, bits(signer.signature(contents))))


class Authority:
    """An authority that nobody trusts but who is told to; its files lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = Key()
        ability = extension(19, der(0x30, der(0x01, b"\xff")), critical=True)
        use = extension(15, bytes.fromhex("03020106"), critical=True)
        self.ca_file = str(folder / "ca.pem")
        Path(self.ca_file).write_text(certificate("tests", self._key, "tests", self._key, ability, use))

    def issue(self, *hosts: str, until: str = "491231") -> Path:
        """A file with a new key, and its certificate for `hosts`, names or addresses, valid `until` a day."""
        key = Key()
        names = extension(17, der(0x30, *map(alternative, hosts)))
        chain = self._folder / f"{hosts[0]}.pem"
        chain.write_text(key.pem() + certificate(hosts[0], key, "tests", self._key, names, until=until))
        return chain

    def server_context(self, *hosts: str, until: str = "491231") -> ssl.SSLContext:
        """A server's context with a certificate for `hosts`, names or addresses, valid `until` a day."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue(*hosts, until=until))
        return context

    def client_context(self, own: Path | None = None) -> ssl.SSLContext:
        """The context of a client that trusts this authority, and has a certificate of its `own` or none."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if own is not None:
            context.load_cert_chain(own)
        return context


def alternative(host: str) -> bytes:
    """A subject alternative name (RFC 5280, 4.2.1.6)."""
    try:
        return der(0x87, ip_address(host).packed)
    except ValueError:
        return der(0x82, host.encode())
