"""The routes that every picture takes: documented by FastAPI, their parameters read here.

FastAPI looks through a route's dependencies at each request. That is a quarter of what the service's own
code costs a prediction, so these routes call their guards and read query and headers themselves, with the
models that the documentation shows.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from serving.keys import ApiKey
from serving.schemas import Asked, CallerHeaders

_Model = TypeVar("_Model", bound=BaseModel)
_UNASKED: Final = Asked()


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

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what FastAPI calls with each request."""
        guards = [one.dependency for one in self.dependencies if one.dependency]

        async def handle(request: Request) -> Response:
            for guard in guards:
                await guard(request)
            asked = _read(Asked, request.query_params, "query") if request.query_params else _UNASKED
            caller = recognise(request, _read(CallerHeaders, request.headers, "header"))
            answer = await self.endpoint(request, asked, caller)
            if isinstance(answer, Response):
                return answer
            return Response(answer.model_dump_json(), media_type="application/json")

        return handle


def _read(model: type[_Model], values: Mapping[str, str], place: str) -> _Model:
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise RequestValidationError(
            [{**one, "loc": (place, *one["loc"])} for one in error.errors()]
        ) from error
