"""ASGI middleware: drivers that perform what the core decides."""
