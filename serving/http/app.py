"""The web application: routes, guards, errors in plain words, one log line for each request."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maskloop.errors import ConfigurationError, MaskloopError
from serving.answering.service import Service
from serving.http.endpoints import (
    add_views,
    make_models_router,
    make_picture_router,
    make_public_router,
    make_router,
)
from serving.http.intake import BodyLimit
from serving.http.managed import Platform, make_managed_router
from serving.http.named_models import NamedModels
from serving.http.picture_routes import PictureRoutes
from serving.http.problems import (
    UnknownHostError,
    headers_of,
    problem_of,
    refuse_parameter,
    status_of,
    title_of,
)
from serving.schemas import REQUEST_ID, Problem
from serving.telemetry.spans import NO_TRACER, Tracer

_log = logging.getLogger("maskloop.serving")
_request_log = logging.getLogger("maskloop.serving.requests")
_BODY_TIMEOUT_S: Final = 15.0
_MAX_KNOWN_HOSTS: Final = 100
_DESCRIPTION: Final = """
Send a picture to `/v1/predict`, or to `/v1/overlay` to see it drawn. Every answer names the model version
that gave it and the blessing that let it serve. `/v1/feedback` takes corrections, which become labels.
`/v1/models` lists the models; `/v1/models/NAME/predict`, or the header `X-Model: NAME`, asks a certain one.
"""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    service: Service,
    *,
    lifespan: Lifespan,
    needs_keys: bool,
    trusted_hosts: Sequence[str] = ("*",),
    tracer: Tracer = NO_TRACER,
    platform: Platform | None = None,
    others: Sequence[Service] = (),
    refused: Mapping[str, str] = MappingProxyType({}),
) -> FastAPI:
    """Build the application.

    Args:
        service: What answers where a request names no model.
        lifespan: Starts and stops what runs beside the requests.
        needs_keys: Without a valid API key nothing but health is answered.
        trusted_hosts: Host headers that are accepted.
        tracer: Opens spans.
        platform: A managed endpoint that asks by routes of its own, and has checked who asks.
        others: What answers for the other models.
        refused: Other models that nothing answers for, by name, each with the reason.

    Raises:
        ConfigurationError: if the platform's routes are routes of ours.
    """
    services = [service, *others]
    app, pictures = _make_app(
        service, needs_keys=needs_keys, lifespan=lifespan, why_not_ready=partial(_why_not_ready, services)
    )
    app.include_router(make_models_router(services, refused, needs_keys=needs_keys))
    counted, open_to_all = ["/v1/"], ["/healthz", "/readyz"]
    if platform:
        _add_platform(app, service, platform)
        counted.append(platform.predict_route)
        open_to_all.append(platform.health_route)
    guards = _Guards(trusted_hosts, open_to_all, tuple(counted), tracer)
    guards.add_to(app, service, pictures)
    apps: dict[str, FastAPI] = {}
    for other in others:
        apps[other.name], pictures = _make_app(other, needs_keys=needs_keys)
        guards.add_to(apps[other.name], other, pictures)
    app.add_middleware(NamedModels, name=service.name, others=apps)
    return app


def _make_app(
    service: Service,
    *,
    needs_keys: bool,
    lifespan: Lifespan | None = None,
    why_not_ready: Callable[[], str] | None = None,
) -> tuple[FastAPI, APIRouter]:
    """Return the application of one model, without guards, and its routes that take pictures."""
    app = FastAPIOffline(
        title=f"maskloop: {service.model_name}",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
    )
    pictures = make_picture_router(service, needs_keys=needs_keys)
    app.include_router(pictures)
    app.include_router(make_router(service, needs_keys=needs_keys))
    app.include_router(make_public_router(service, needs_keys=needs_keys, why_not_ready=why_not_ready))
    add_views(app, service, needs_keys=needs_keys)
    return app, pictures


def _why_not_ready(services: Sequence[Service]) -> str:
    """Return why nothing can be answered: a model that cannot costs only itself."""
    problems = [service.why_not_ready() for service in services]
    return "; ".join(problems) if all(problems) else ""


@dataclass(frozen=True)
class _Guards:
    """What every request passes before a route, and what tells of it."""

    trusted_hosts: Sequence[str]
    open_to_all: Sequence[str]
    counted: tuple[str, ...]
    tracer: Tracer

    def add_to(self, app: FastAPI, service: Service, pictures: APIRouter) -> None:
        _answer_errors(app)
        app.add_middleware(PictureRoutes, routes=pictures.routes)
        max_bytes = int(service.settings.max_body_mb * 1e6)
        app.add_middleware(BodyLimit, max_bytes=max_bytes, timeout_s=_BODY_TIMEOUT_S)
        app.add_middleware(TrustedHosts, allowed_hosts=list(self.trusted_hosts), open_to_all=self.open_to_all)
        app.add_middleware(RequestLog, service=service, tracer=self.tracer, counted=self.counted)


def _add_platform(app: FastAPI, service: Service, platform: Platform) -> None:
    ours = set(app.openapi()["paths"])
    app.openapi_schema = None
    if taken := sorted(ours & {platform.health_route, platform.predict_route}):
        raise ConfigurationError(
            f"the managed endpoint asks by {taken[0]}, which is a route of the service",
            hint="give it other routes, such as /health and /predict",
        )
    app.include_router(make_managed_router(service, platform))


class TrustedHosts:
    """ASGI middleware: Host headers that are accepted; health probes may use an address.

    Starlette decides; its own refusal is plain text and goes nowhere.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: Sequence[str], open_to_all: Sequence[str]) -> None:
        self._app, self._open_to_all = app, frozenset(open_to_all)
        self._guard = TrustedHostMiddleware(_trust, allowed_hosts=allowed_hosts)
        self._known: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse other hosts."""
        if scope["type"] == "http" and scope["path"] not in self._open_to_all:
            host = next((value for name, value in scope["headers"] if name == b"host"), b"")
            if host not in self._known:
                await self._check(scope, receive)
                self._remember(host)
        await self._app(scope, receive, send)

    async def _check(self, scope: Scope, receive: Receive) -> None:
        await self._guard(scope, receive, _ignore)
        if "is_trusted" not in scope["state"]:
            raise UnknownHostError(
                "the Host header names another service",
                hint="serving.trusted_hosts lists what is accepted",
            )

    def _remember(self, host: bytes) -> None:
        if len(self._known) < _MAX_KNOWN_HOSTS:  # a pattern may accept any number
            self._known.add(host)


async def _trust(scope: Scope, _receive: Receive, _send: Send) -> None:
    scope["state"]["is_trusted"] = True


async def _ignore(_message: Message) -> None:
    pass


class RequestLog:
    """ASGI middleware: a name, a log line, a metric and a span for each request; never its key or picture.

    Unhandled errors are answered here, so that their responses carry all of this too.
    """

    def __init__(self, app: ASGIApp, *, service: Service, tracer: Tracer, counted: tuple[str, ...]) -> None:
        self._app, self._service, self._tracer, self._counted = app, service, tracer, counted
        self._num_in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and tell how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        state = scope.setdefault("state", {})
        state["request_id"] = _name_request(scope["headers"])

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                names = [(b"x-request-id", state["request_id"].encode())]
                if state["trace_id"]:
                    names.append((b"x-trace-id", state["trace_id"].encode()))
                message["headers"] = [*message["headers"], *names]
            await send(message)

        with self._tracer.span(f"{scope['method']} {scope['path']}", headers=scope["headers"]) as span:
            state["trace_id"] = span.trace_id
            self._count(scope["path"], 1)
            try:
                await self._app(scope, receive, watched)
            except Exception as error:
                answer = _answer(error, state)
                if status:  # half an answer is out already
                    raise
                await answer(scope, receive, watched)
            finally:
                span.set("http.response.status_code", status)
                span.set("maskloop.model_version", state.get("version", ""))
                self._count(scope["path"], -1)
                self._tell(state, scope["path"], status, time.perf_counter() - started)

    def _count(self, path: str, change: int) -> None:
        if path.startswith(self._counted):
            self._num_in_flight += change
            self._service.observer.requests_in_flight(self._num_in_flight)

    def _tell(self, state: dict[str, Any], path: str, status: int, seconds: float) -> None:
        if not path.startswith(self._counted):
            return
        cause, version = state.get("cause", ""), state.get("version", "")
        self._service.observer.request_ended(status=status, cause=cause, version=version, seconds=seconds)
        key = state.get("key")
        line = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": state["request_id"],
            "model": self._service.name,
            "path": path,
            "status": status,
            "version": version,
            "key": key.id if key else "",
            "ms": round(seconds * 1000, 1),
            **({"cause": cause} if cause else {}),
            **({"trace_id": state["trace_id"]} if state["trace_id"] else {}),
        }
        _request_log.info(json.dumps(line))


def _name_request(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the name the client gave the request, or a new one."""
    for name, value in headers:
        if name == b"x-request-id" and re.fullmatch(REQUEST_ID, value.decode("latin-1")):
            return value.decode("latin-1")
    return uuid.uuid4().hex


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(MaskloopError)
    async def ours(request: Request, error: Exception) -> JSONResponse:
        return _answer(error, request.scope["state"])

    @app.exception_handler(RequestValidationError)
    async def parameters(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
        return await ours(request, refuse_parameter(error.errors()[0]))

    @app.exception_handler(HTTPException)
    async def routing(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
        if isinstance(error.__cause__, MaskloopError):  # ours, met while FastAPI read the body
            return await ours(request, error.__cause__)
        request.state.cause = "bad_request"
        problem = Problem(
            title=title_of(error.status_code),
            status=error.status_code,
            detail=str(error.detail),
            request_id=request.state.request_id,
        )
        return _write(problem, dict(error.headers or {}))


def _answer(error: Exception, state: dict[str, Any]) -> JSONResponse:
    """Put an error into words for the client, and into a word for the metrics and the log."""
    state["cause"] = status_of(error)[1]
    if state["cause"] == "unexpected":
        _log.error("an unexpected error in request %s", state["request_id"], exc_info=error)
    return _write(problem_of(error, state["request_id"]), headers_of(error))


def _write(problem: Problem, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse(problem.model_dump(), problem.status, headers, media_type="application/problem+json")
