"""The core inside an application: transports of httpx and httpx2 that perform an `Exchange`, without a server.

`Portable` holds what an application set and what its requests share. A request becomes a `Call`, which performs the
steps of its exchange by the loop that every driver uses. It does so over an `Io`: the synchronous one never waits, so
that the same coroutine runs without an event loop. Nothing here imports a server, or reads an environment.
"""
