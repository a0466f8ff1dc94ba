"""Several models behind one address: each has the routes of a service of one model, below its name.

``/v1/models/NAME/predict`` is ``/v1/predict`` of the model NAME, ``/v1/models/NAME/metrics`` its
``/metrics``, and so on. A request that names none, by its path or the header ``X-Model``, is for the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

_BELOW: Final = "/v1/models/"
_HEADER: Final = b"x-model"
_OF_VERSION_1: Final = frozenset(("predict", "predict/batch", "overlay", "feedback", "model"))


class NamedModels:
    """ASGI middleware: leads a request to the application of the model that it names.

    Names that are none go on as they came, and are answered as what cannot be found.

    Args:
        app: Of the first model.
        name: Of the first model.
        others: Applications of the others, by name.
    """

    def __init__(self, app: ASGIApp, *, name: str, others: Mapping[str, ASGIApp]) -> None:
        self._app, self._name, self._others = app, name, others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lead one request."""
        named = find_model(scope["path"], scope["headers"]) if scope["type"] == "http" else None
        if named is None:
            await self._app(scope, receive, send)
            return
        name, path = named
        if name == self._name:
            await self._app({**scope, "path": path}, receive, send)
        elif name in self._others:
            below = f"{scope.get('root_path', '')}{_BELOW}{name}"
            await self._others[name]({**scope, "path": path, "root_path": below}, receive, send)
        else:
            await self._app({**scope, "path": f"{_BELOW}{name}"}, receive, send)


def find_model(path: str, headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str] | None:
    """Return the model that a request names, and the path that a service of that model alone would have.

    >>> find_model("/v1/models/weeds/predict", []), find_model("/v1/predict", [(b"x-model", b"weeds")])
    (('weeds', '/v1/predict'), ('weeds', '/v1/predict'))
    >>> find_model("/v1/models/weeds/metrics", []), find_model("/v1/models/weeds", [])
    (('weeds', '/metrics'), ('weeds', '/v1/model'))
    >>> find_model("/v1/models", []), find_model("/v1/predict", []), find_model("/v1/models/", [])
    (None, None, None)
    """
    if path.startswith(_BELOW):
        name, _, rest = path.removeprefix(_BELOW).partition("/")
        if not name:
            return None
        if not rest:
            return name, "/v1/model"
        return name, f"/v1/{rest}" if rest in _OF_VERSION_1 else f"/{rest}"
    if not path.startswith("/v1/") or path == "/v1/models":
        return None
    named = next((value for name, value in headers if name == _HEADER), b"")
    return (named.decode("latin-1"), path) if named else None
