"""ASGI middleware around the driver: ids, access facts, errors, limits and the recording of answers."""
