"""How the certificates of upstream, and of an https:// proxy on the way, are verified."""

import ssl


def client_context(ca_file: str | None = None) -> ssl.SSLContext:
    """A context that trusts the system's certificate authorities, or those in `ca_file` alone; always verifying."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    # RFC 9112, 9.8: a response delimited by the connection's end is complete only if TLS announces that end.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context
