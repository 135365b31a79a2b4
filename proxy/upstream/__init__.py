"""The hop to upstream: a reverse proxy as an ASGI app. It does not know what an item is."""
