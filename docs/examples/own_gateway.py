"""The middleware around a gateway of one's own, which adds its key and counts: `uvicorn own_gateway:app`."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from unpinned import Policy, PortableMiddleware

BASE_URL = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1")
KEY = os.environ.get("OPENAI_API_KEY", "")
counts = {"attempts": 0}


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """One client for all requests."""
    async with httpx2.AsyncClient(timeout=600) as app.state.client:
        yield


async def responses(request: Request) -> StreamingResponse:
    """Forward one attempt: a refused request comes here again, made portable, before its client sees anything."""
    counts["attempts"] += 1
    fields = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    client: httpx2.AsyncClient = request.app.state.client
    sent = client.build_request("POST", f"{BASE_URL}/responses", content=await request.body(), headers=fields)
    answer = await client.send(sent, stream=True)
    kept = {name: value for name, value in answer.headers.items() if name in ("content-type", "x-request-id")}
    return StreamingResponse(answer.aiter_bytes(), answer.status_code, kept)


app = Starlette(
    routes=[Route("/v1/responses", responses, methods=["POST"])],
    middleware=[Middleware(PortableMiddleware, Policy(mode="recover"))],
    lifespan=lifespan,
)
