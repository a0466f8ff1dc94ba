"""The routes that every picture takes: documented by FastAPI, called past it.

FastAPI's routing, dependency resolution and response wrapping cost as much as all of the service's own code
for a prediction. These routes are therefore matched by path, call their guards directly, and parse query and
headers with the same models that the documentation shows.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.access.key_book import ApiKey
from serving.http.problems import refuse_parameter
from serving.schemas import Asked, CallerHeaders

Handle = Callable[[Request], Coroutine[Any, Any, Response]]
_Model = TypeVar("_Model", bound=BaseModel)
_UNASKED: Final = Asked()
_CALLER_HEADERS: Final = {str(field.alias).encode() for field in CallerHeaders.model_fields.values()}


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        request_id: Names the answer.
        sticky_key: What stays with one model during a rollout.
        name: Of the API key, or ``anonymous``.
    """

    request_id: str
    sticky_key: str
    name: str


def recognise(request: Request, headers: CallerHeaders) -> Caller:
    """Say who asks, once a guard has let them in and left their key as ``request.state.key``."""
    key: ApiKey | None = request.state.key
    request_id = headers.x_request_id or request.state.request_id
    sticky_key = headers.x_sticky_key or (key.id if key else request_id)
    return Caller(request_id, sticky_key, key.name if key else "anonymous")


class PictureRoute(APIRoute):
    """Calls its dependencies with the request alone, and its function with ``request, asked, caller``."""

    def get_route_handler(self) -> Handle:
        """Return what answers a request."""
        guards = [one.dependency for one in self.dependencies if one.dependency]

        async def handle(request: Request) -> Response:
            for guard in guards:
                await guard(request)
            asked = _read(Asked, request.query_params, "query") if request.query_params else _UNASKED
            caller = recognise(request, _read(CallerHeaders, _find_caller_headers(request.scope), "header"))
            answer = await self.endpoint(request, asked, caller)
            if isinstance(answer, Response):
                return answer
            return Response(answer.model_dump_json(), media_type="application/json")

        return handle


class PictureRoutes:
    """ASGI middleware: answers the picture routes; everything else, errors too, is left to others."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._handles = {
            route.path: route.get_route_handler() for route in routes if isinstance(route, PictureRoute)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        handle = self._handles.get(scope["path"]) if scope["type"] == "http" else None
        if handle is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        response = await handle(Request(scope, receive, send))
        await response(scope, receive, send)


def _find_caller_headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode(): value.decode("latin-1")
        for name, value in reversed(scope["headers"])  # the first of several counts
        if name in _CALLER_HEADERS
    }


def _read(model: type[_Model], values: Mapping[str, str], place: str) -> _Model:
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        raise refuse_parameter({**first, "loc": (place, *first["loc"])}) from error
