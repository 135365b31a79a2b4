"""The proxy under a path of an application of one's own: `uvicorn starlette_mount:app`.

Clients have the base URL http://127.0.0.1:8000/openai/v1. FastAPI mounts it alike: `FastAPI(lifespan=lifespan)`, then
`app.mount("/openai", PortableMiddleware(upstream))`.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from unpinned import Policy, PortableMiddleware, ReverseProxy

upstream = ReverseProxy.to(os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"))


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Close the connections to upstream at the end: mounted apps have no lifespan of their own."""
    yield
    await upstream.close()


async def hello(_request: Request) -> PlainTextResponse:
    """The rest of the application."""
    return PlainTextResponse("hello")


app = Starlette(
    routes=[Route("/hello", hello), Mount("/openai", PortableMiddleware(upstream, Policy(mode="auto")))],
    lifespan=lifespan,
)
