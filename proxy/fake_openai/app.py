"""The fake API as an ASGI app: every route under every prefix by which clients reach the real one.

Composition only.
"""

from typing import TypedDict, Unpack

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from . import control, conversations, refusals, routes
from .http import Work, answered, endpoint
from .refusal_streams import Shape
from .state import Encrypted, ForeignIds, Instance, Options, Profile

# Azure has both /openai/v1/responses and /openai/responses?api-version=….
PREFIXES = ("/v1", "", "/openai/v1", "/openai", "/openai/deployments/{deployment}")

TABLE: tuple[tuple[str, str, Work], ...] = (
    ("POST", "/responses", routes.create),
    ("POST", "/responses/input_tokens", routes.input_tokens),
    ("POST", "/responses/compact", routes.compact),
    ("GET", "/responses/{response}", routes.retrieve),
    ("DELETE", "/responses/{response}", routes.delete),
    ("POST", "/responses/{response}/cancel", routes.cancel),
    ("GET", "/responses/{response}/input_items", routes.input_items),
    ("POST", "/conversations", conversations.create),
    ("GET", "/conversations/{conversation}", conversations.retrieve),
    ("POST", "/conversations/{conversation}", conversations.update),
    ("DELETE", "/conversations/{conversation}", conversations.delete),
    ("GET", "/conversations/{conversation}/items", conversations.list_items),
    ("POST", "/conversations/{conversation}/items", conversations.add_items),
    ("GET", "/conversations/{conversation}/items/{item}", conversations.retrieve_item),
    ("DELETE", "/conversations/{conversation}/items/{item}", conversations.delete_item),
    ("GET", "/models", routes.models),
    ("GET", "/models/{model}", routes.model),
)


class Settings(TypedDict, total=False):
    """The options of an instance, see `Options`."""

    instance: str
    organization: str | None
    keys: frozenset[str] | None
    profile: Profile
    encrypted: Encrypted
    zero_data_retention: bool
    foreign_ids: ForeignIds
    delay: float
    refusals: Shape
    socket_age: float


def build(**options: Unpack[Settings]) -> ASGIApp:
    """One instance of the fake API."""
    instance = Instance(Options(**options))
    api = [
        Route(prefix + path, endpoint(instance, work), methods=[method])
        for prefix in PREFIXES
        for method, path, work in TABLE
    ]
    app = Starlette(routes=[*control.routes(instance), *api], exception_handlers={HTTPException: _unserved})
    app.state.instance = instance
    return app


async def _unserved(request: Request, error: Exception) -> Response:
    """A path or method that is not there, and a body that broke off."""
    path = request.url.path
    refusal = refusals.no_such_url(request.method, path)
    if isinstance(error, HTTPException) and error.status_code == 405:
        refusal = refusals.not_allowed(request.method, path)
    return answered(refusal.body(), refusal.status)
