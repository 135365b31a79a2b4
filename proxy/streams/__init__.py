"""Connections after HTTP: byte streams, and two of them joined to a tunnel. It does not know what the bytes mean."""
