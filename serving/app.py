"""The web application: routes, guards, errors in plain words, one log line for each request."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from maskloop.errors import MaskloopError
from serving.endpoints import make_public_router, make_router
from serving.intake import BodyLimit
from serving.problems import headers_of, problem_of, status_of, title_of
from serving.schemas import Problem
from serving.service import Service
from serving.tracing import NO_TRACER, Tracer

_log = logging.getLogger("maskloop.serving.requests")
_BODY_TIMEOUT_S: Final = 15.0
_DESCRIPTION: Final = """
Send a picture to `/v1/predict`, or to `/v1/overlay` to see it drawn. Every answer names the model version
that gave it and the blessing that let it serve. `/v1/feedback` takes corrections, which become labels.
"""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    service: Service,
    *,
    lifespan: Lifespan,
    needs_keys: bool,
    trusted_hosts: Sequence[str] = ("*",),
    tracer: Tracer = NO_TRACER,
) -> FastAPI:
    """Put the application together.

    Args:
        service: What answers.
        lifespan: Starts and stops what runs beside the requests.
        needs_keys: Without a valid API key nothing but health is answered.
        trusted_hosts: Host headers that are accepted.
        tracer: Opens spans.
    """
    app = FastAPIOffline(
        title=f"maskloop: {service.model_name}",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
    )
    app.include_router(make_router(service, needs_keys=needs_keys))
    app.include_router(make_public_router(service, needs_keys=needs_keys))
    _answer_errors(app)
    max_bytes = int(service.settings.max_body_mb * 1e6)
    app.add_middleware(BodyLimit, max_bytes=max_bytes, timeout_s=_BODY_TIMEOUT_S)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(trusted_hosts))
    app.add_middleware(RequestLog, service=service, tracer=tracer)
    return app


class RequestLog:
    """ASGI middleware: one log line, one metric and one span for each request; never its key or picture."""

    def __init__(self, app: Any, *, service: Service, tracer: Tracer) -> None:
        self._app, self._service, self._tracer = app, service, tracer

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Pass a request on and tell how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        state = scope.setdefault("state", {})

        async def watched(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                request_id = state.get("request_id", "")
                if request_id:
                    message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        path = scope["path"]
        with self._tracer.span(f"{scope['method']} {path}", headers=scope["headers"]) as span:
            try:
                await self._app(scope, receive, watched)
            finally:
                seconds = time.perf_counter() - started
                span.set("http.response.status_code", status)
                span.set("maskloop.model_version", state.get("version", ""))
                if path.startswith("/v1/"):
                    self._tell(state, path, status, seconds)

    def _tell(self, state: MutableMapping[str, Any], path: str, status: int, seconds: float) -> None:
        cause, version = state.get("cause", ""), state.get("version", "")
        self._service.observer.request_ended(status=status, cause=cause, version=version, seconds=seconds)
        line = {
            "request_id": state.get("request_id", ""),
            "path": path,
            "status": status,
            "version": version,
            "key": state.get("key_id", ""),
            "ms": round(seconds * 1000, 1),
            **({"cause": cause} if cause else {}),
        }
        _log.info(json.dumps(line))


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(MaskloopError)
    async def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, MaskloopError)  # noqa: S101 - registered for nothing else
        request.state.cause = status_of(error)[1]
        problem = problem_of(error, getattr(request.state, "request_id", ""))
        return _answer(problem, headers_of(error))

    @app.exception_handler(RequestValidationError)
    async def parameters(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
        request.state.cause = "bad_request"
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return _answer(_problem(request, 422, f"{place}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def routing(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
        request.state.cause = "bad_request"
        return _answer(_problem(request, error.status_code, str(error.detail)), dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        request.state.cause = "unexpected"
        _log.error("an unexpected error", exc_info=error)
        return _answer(_problem(request, 500, "an unexpected error; the service's log has it"))


def _problem(request: Request, status: int, detail: str) -> Problem:
    request_id = getattr(request.state, "request_id", "")
    return Problem(title=title_of(status), status=status, detail=detail, request_id=request_id)


def _answer(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(problem.model_dump(), problem.status, headers, media_type="application/problem+json")


def no_lifespan(_app: FastAPI) -> AbstractAsyncContextManager[None]:
    """Start and stop nothing."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def nothing() -> AsyncIterator[None]:
        yield

    return nothing()
