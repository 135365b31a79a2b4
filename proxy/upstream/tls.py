"""Whom upstream's certificate must come from."""

import ssl


def trusting(ca_file: str | None = None) -> ssl.SSLContext:
    """A context that trusts the system's certificate authorities, or those in `ca_file` alone; always verifying."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    # RFC 9112, 9.8: an answer delimited by the connection's end is complete only if TLS says that this was the end.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context
