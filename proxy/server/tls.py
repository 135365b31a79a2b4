"""TLS on the listener: the operator's certificate, in use as soon as its files have changed.

Each handshake begins with a look at the files (a `stat` of each, a few microseconds), so that nothing has to wake up
for them. Files that have changed become a new context as a whole, or none: half a renewal, in which the key has not
arrived yet, leaves new connections on what was there before.
"""

import os
import re
import ssl
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from proxy.observers.logs import LOGGER
from proxy.settings import Settings, SettingsError

# RFC 7468, and what OpenSSL reads beside it
_CERTIFICATE: Final = re.compile(r"-----BEGIN (\w+ )?CERTIFICATE-----")
_KEY: Final = re.compile(r"-----BEGIN (\w+ )?PRIVATE KEY-----")


class Files(NamedTuple):
    """The files of a certificate, by path; the key may stand in the certificate's own."""

    certificate: str
    key: str
    client_ca: str | None = None
    """The authorities of which one has to have signed a client's certificate."""

    def state(self) -> tuple[tuple[int, ...], ...]:
        """What changes when one of the files is written or replaced."""
        return tuple(map(_state, filter(None, self)))

    def context(self) -> ssl.SSLContext:
        """A context of what the files hold now. Raises SettingsError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        _check("--tls-cert", self.certificate, _CERTIFICATE, "certificate")
        _check("--tls-key", self.key, _KEY, "private key")
        try:
            context.load_cert_chain(self.certificate, self.key, _refuse_to_ask)
        except (OSError, _PassphraseError) as error:
            raise SettingsError(f"--tls-cert, --tls-key: {self._fault(error)}.") from None
        if self.client_ca is not None:
            _check("--tls-client-ca", self.client_ca, _CERTIFICATE, "certificate")
            _trust(context, self.client_ca)
        return context

    def _fault(self, error: Exception) -> str:
        if isinstance(error, _PassphraseError):
            return f"the key in {self.key} has a passphrase, for which Unpinned cannot ask"
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            return f"the key in {self.key} does not fit the certificate in {self.certificate}"
        return f"{self.certificate} and {self.key} cannot be used ({getattr(error, 'reason', None) or error})"


class _PassphraseError(Exception):
    """A key is encrypted; without this, OpenSSL would ask at the terminal."""


def _refuse_to_ask() -> str:
    raise _PassphraseError


def _check(flag: str, path: str, wanted: re.Pattern[str], what: str) -> None:
    """Raise SettingsError where a file cannot be read, or is something else: OpenSSL says neither which nor what."""
    try:
        text = Path(path).read_text(encoding="latin-1")
    except OSError as error:
        raise SettingsError(f"{flag}: {path} cannot be read: {error.strerror}.") from None
    if not wanted.search(text):
        raise SettingsError(f"{flag}: {path} holds no {what} in PEM format.")


def _trust(context: ssl.SSLContext, client_ca: str) -> None:
    try:
        context.load_verify_locations(cafile=client_ca)
    except ssl.SSLError as error:
        raise SettingsError(f"--tls-client-ca: {client_ca} cannot be used ({error.reason}).") from None
    context.verify_mode = ssl.CERT_REQUIRED


def _state(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)  # noqa: PTH116 -- a third of the time that a Path takes, for each handshake
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev


def listener_context(settings: Settings) -> ssl.SSLContext | None:
    """The context of the listener; None: it speaks HTTP in the clear. Raises SettingsError."""
    if settings.tls_cert is None:
        return None
    return RenewedContext(Files(settings.tls_cert, settings.tls_key or settings.tls_cert, settings.tls_client_ca))


class RenewedContext(ssl.SSLContext):
    """A context whose connections begin under the newest files that can be used."""

    def __new__(cls, *_: object) -> Self:
        """A server's context."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, files: Files) -> None:
        self._files = files
        self._seen = files.state()
        self._newest = files.context()

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection, under new files where there are some."""
        state = self._files.state()
        if state != self._seen:
            self._seen = state
            self._renew()
        return self._newest.wrap_bio(*arguments, **options)

    def _renew(self) -> None:
        try:
            self._newest = self._files.context()
        except SettingsError as fault:
            LOGGER.warning("The certificate's files have changed, and the old certificate stays in use: %s", fault)
        else:
            LOGGER.info("The certificate's files have changed, and are in use")
