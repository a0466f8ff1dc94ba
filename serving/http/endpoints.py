"""The routes: what each takes, what it answers, and how it looks in the documentation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from fastapi.security import HTTPBearer

from maskloop.errors import (
    ForbiddenError,
    NotFoundError,
    OverloadedError,
    UnauthorisedError,
    UnavailableError,
)
from serving.access.key_book import ApiKey, Scope
from serving.answering.service import Service
from serving.http.intake import ClientLeftError, read_form, read_picture
from serving.http.picture_routes import Caller, PictureRoute, recognise
from serving.http.problems import PROBLEMS, problem_of, status_of
from serving.http.view_routes import make_view_router
from serving.openapi_examples import MANY_PICTURES_BODY, ONE_PICTURE_BODY, OVERLAY_ANSWER
from serving.schemas import (
    Asked,
    BatchAnswer,
    BatchItem,
    CallerHeaders,
    FeedbackAnswer,
    FeedbackRequest,
    ModelAnswer,
    ModelsAnswer,
    PredictAnswer,
    ServedModelAnswer,
)

_log = logging.getLogger("maskloop.serving")
_Answer = TypeVar("_Answer")
_NOTHING_KNOWN: Final[dict[str, Any]] = {
    "state": "refused",
    "version": "",
    "weights_digest": "",
    "blessing_id": "",
    "memory_mib": 0.0,
    "in_flight": 0,
}
_UNWATCHED_S: Final = 0.02
"""Most answers are ready by then, so the check for a disconnected client is skipped."""


async def _recognise(request: Request, headers: Annotated[CallerHeaders, Header()]) -> Caller:
    return recognise(request, headers)


AskedFor = Annotated[Asked, Query()]
AskedBy = Annotated[Caller, Depends(_recognise)]


def make_picture_router(service: Service, *, needs_keys: bool) -> APIRouter:
    """Return the routes that take pictures."""
    router = APIRouter(
        prefix="/v1",
        responses=PROBLEMS,
        dependencies=_security(needs_keys),
        route_class=PictureRoute,
        tags=["predict"],
    )
    _add_pictures(router, service, _may("predict", service, needs_keys=needs_keys))
    return router


def make_router(service: Service, *, needs_keys: bool) -> APIRouter:
    """Return the other routes of version 1."""
    router = APIRouter(prefix="/v1", responses=PROBLEMS, dependencies=_security(needs_keys))
    _add_feedback(router, service, _may("feedback", service, needs_keys=needs_keys))
    _add_model(router, service, _may("predict", service, needs_keys=needs_keys))
    return router


def _may(scope: Scope, service: Service, *, needs_keys: bool) -> list[Any]:
    async def check(request: Request) -> None:
        if getattr(request.state, "is_over_capacity", False):
            raise OverloadedError("too many connections are open", retry_after_s=1.0)
        authorise(service, request, scope, needs_keys=needs_keys)

    return [Depends(check)]


def _add_pictures(router: APIRouter, service: Service, may: list[Any]) -> None:
    @router.post(
        "/predict",
        summary="Instances of one picture",
        dependencies=may,
        openapi_extra=ONE_PICTURE_BODY,
    )
    async def predict(request: Request, asked: AskedFor, caller: AskedBy) -> PredictAnswer:
        """Find the instances in one JPEG, PNG or WebP picture."""
        data = await read_picture(request)
        answering = service.predict(data, asked, request_id=caller.request_id, key=caller.sticky_key)
        answer = await unless_client_leaves(request, answering)
        request.state.version = answer.model.version
        return answer

    @router.post(
        "/predict/batch",
        summary="Instances of several pictures",
        dependencies=may,
        openapi_extra=MANY_PICTURES_BODY,
    )
    async def predict_batch(request: Request, asked: AskedFor, caller: AskedBy) -> BatchAnswer:
        """Find the instances in several pictures; one that cannot be answered costs only itself."""
        files = await read_form(request, "pictures", max_files=service.settings.max_pictures_per_request)
        one_by_one = (
            answer_one(service, f"{caller.request_id}.{number}", caller.sticky_key, asked, *file)
            for number, file in enumerate(files)
        )
        results = await unless_client_leaves(request, asyncio.gather(*one_by_one))
        request.state.version = next((item.answer.model.version for item in results if item.answer), "")
        return BatchAnswer(results=results)

    @router.post(
        "/overlay",
        summary="Instances drawn onto the picture",
        dependencies=may,
        responses={200: OVERLAY_ANSWER},
        openapi_extra=ONE_PICTURE_BODY,
        response_class=Response,
    )
    async def overlay(request: Request, asked: AskedFor, caller: AskedBy) -> Response:
        """Draw what was found onto the picture, upright and for people: large pictures are made smaller."""
        data = await read_picture(request)
        drawing = service.draw(data, asked, request_id=caller.request_id, key=caller.sticky_key)
        png, model = await unless_client_leaves(request, drawing)
        request.state.version = model.version
        named = {"X-Model-Version": model.version, "X-Blessing-Id": model.blessing_id}
        return Response(png, media_type="image/png", headers=named)


def _add_feedback(router: APIRouter, service: Service, may: list[Any]) -> None:
    @router.post("/feedback", summary="Judge or correct an answer", dependencies=may, tags=["feedback"])
    async def feedback(said: FeedbackRequest, caller: AskedBy) -> FeedbackAnswer:
        """Say whether an answer was right, or what it should have been."""
        becomes_a_label = await service.take_feedback(said, caller.name)
        return FeedbackAnswer(request_id=said.request_id, becomes_a_label=becomes_a_label)


def _add_model(router: APIRouter, service: Service, may: list[Any]) -> None:
    @router.get("/model", summary="What serves", dependencies=may, tags=["service"])
    async def model() -> ModelAnswer:
        """Say which model serves, and what it knows."""
        return await service.describe_model()


def make_models_router(
    services: Sequence[Service], refused: Mapping[str, str], *, needs_keys: bool
) -> APIRouter:
    """Return the routes about all models of a service; the first one's keys are everybody's.

    Args:
        services: Of the models, in their order.
        refused: Why a model has no service, by name.
        needs_keys: Without a valid API key nothing is answered.
    """
    first = services[0]
    router = APIRouter(prefix="/v1", responses=PROBLEMS, dependencies=_security(needs_keys))

    def admit(request: Request, model: str) -> None:
        authorise(first, request, "predict", needs_keys=needs_keys, model=model)

    @router.get("/models", summary="All models of this service", tags=["service"])
    async def models(request: Request) -> ModelsAnswer:
        """List the models that the key may ask, each with its state; nothing is loaded for that."""
        admit(request, "")
        key: ApiKey | None = request.state.key
        rows = [service.describe_place() for service in services]
        rows += [
            ServedModelAnswer.model_validate({**_NOTHING_KNOWN, "name": name, "problem": problem})
            for name, problem in refused.items()
        ]
        return ModelsAnswer(models=[row for row in rows if key is None or key.may_ask(row.name)])

    @router.api_route("/models/{name}", methods=["GET", "POST"], include_in_schema=False)
    async def missing(request: Request, name: str) -> None:
        """Say why a model does not answer."""
        admit(request, name)
        if name in refused:
            raise UnavailableError(f"{name} does not answer: {refused[name]}")
        raise NotFoundError(f"no model is called {name[:64]}", hint="/v1/models lists them")

    return router


def make_public_router(
    service: Service, *, needs_keys: bool, why_not_ready: Callable[[], str] | None = None
) -> APIRouter:
    """Return the routes for machines that watch the service.

    Args:
        service: Of one model.
        needs_keys: Without a valid API key there are no figures.
        why_not_ready: Says why nothing can be answered; by default this model.
    """
    why_not_ready = why_not_ready or service.why_not_ready
    router = APIRouter(tags=["service"])

    @router.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        """Lead a person who has opened the address to the documentation."""
        return RedirectResponse("docs")

    @router.get("/healthz", summary="Does the process live?")
    async def healthz() -> dict[str, str]:
        """Answer as long as the process lives."""
        return {"status": "alive"}

    @router.get("/readyz", summary="Is a model warm?", responses={503: PROBLEMS[503]})
    async def readyz() -> dict[str, str]:
        """Answer 200 once a model is loaded and warmed, and until the service stops."""
        if problem := why_not_ready():
            raise UnavailableError(problem)
        return {"status": "ready"}

    @router.get(
        "/metrics",
        summary="Figures for Prometheus",
        response_class=PlainTextResponse,
        responses={status: PROBLEMS[status] for status in (401, 403, 429, 503)},
        dependencies=_security(needs_keys),
    )
    async def metrics(request: Request) -> Response:
        """Answer Prometheus."""
        authorise(service, request, "metrics", needs_keys=needs_keys)
        body, content_type = await asyncio.to_thread(service.render_metrics)
        return Response(body, headers={"Content-Type": content_type})

    return router


def add_views(app: FastAPI, service: Service, *, needs_keys: bool) -> None:
    """Add the pages for people, where there are any; a key that shows them has the scope ``views``."""
    if service.read_page is None:
        return

    def admit(request: Request) -> None:
        authorise(service, request, "views", needs_keys=needs_keys, is_page=True)

    app.include_router(make_view_router(service.read_page, security=_security(needs_keys), authorise=admit))


def _security(needs_keys: bool) -> list[Any]:
    """Say in the documentation that a key is needed; `authorise` looks at it."""
    return [Depends(HTTPBearer(auto_error=False, description="An API key."))] if needs_keys else []


def authorise(
    service: Service,
    request: Request,
    scope: Scope,
    *,
    needs_keys: bool,
    is_page: bool = False,
    model: str | None = None,
) -> None:
    """Admit a request, count it, and keep its key, if it has one, as ``request.state.key``.

    A page may be opened from a link in a message or on another site, which sees nothing of it. The request is
    about the service's model, unless another one is named; an empty name is none.

    Raises:
        UnauthorisedError: if it has none and needs one, or it is not valid.
        ForbiddenError: if the key may not do this, or without one a page of another site asks.
        RateLimitedError: if its owner asks too often.
    """
    request.state.key = None
    kind, _, presented = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and presented:
        key = service.keys.check(presented.strip(), scope, model=service.name if model is None else model)
        service.limiter.count(key.id, key.rate_limit)
        request.state.key = key
        return
    if needs_keys:
        raise UnauthorisedError("an API key is needed", hint="send Authorization: Bearer KEY")
    is_opened = is_page and request.headers.get("sec-fetch-dest") == "document"
    if request.headers.get("sec-fetch-site") == "cross-site" and not is_opened:
        raise ForbiddenError("a page of another web site asks", hint="it needs an API key")
    service.limiter.count(request.client.host if request.client else "unknown")


async def answer_one(
    service: Service, request_id: str, sticky_key: str, asked: Asked, file: str, data: bytes
) -> BatchItem:
    """Answer one picture of several; what goes wrong belongs to it alone."""
    try:
        answer = await service.predict(data, asked, request_id=request_id, key=sticky_key)
    except Exception as error:  # noqa: BLE001 - it belongs to this picture alone
        if status_of(error)[1] == "unexpected":
            _log.error("an unexpected error in request %s", request_id, exc_info=error)
        return BatchItem(file=file, problem=problem_of(error, request_id))
    return BatchItem(file=file, answer=answer)


async def unless_client_leaves(request: Request, work: Awaitable[_Answer]) -> _Answer:
    """Do the work, and cancel it once the client has disconnected."""
    mine = asyncio.current_task()
    assert mine is not None  # noqa: S101 - every request is answered in a task

    has_left = False

    async def watch() -> None:
        nonlocal has_left
        await _left(request.receive)
        has_left = True
        mine.cancel()

    watching: asyncio.Task[None] | None = None

    def begin() -> None:
        nonlocal watching
        watching = asyncio.create_task(watch())

    timer = asyncio.get_running_loop().call_later(_UNWATCHED_S, begin)
    try:
        return await work
    except asyncio.CancelledError as error:
        if not has_left:
            raise
        mine.uncancel()
        raise ClientLeftError("the client has left") from error
    finally:
        timer.cancel()
        if watching:
            watching.cancel()


async def _left(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
