"""The routes: what each takes, what it answers, and how it looks in the documentation."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from maskloop.errors import MaskloopError
from serving.intake import read_form, read_picture
from serving.keys import ApiKey, Scope, UnauthorisedError
from serving.problems import PROBLEMS, ClientLeftError, problem_of
from serving.schemas import (
    BatchAnswer,
    BatchItem,
    FeedbackAnswer,
    FeedbackRequest,
    MaskFormat,
    ModelAnswer,
    PredictAnswer,
)
from serving.service import Asked, Service

_Answer = TypeVar("_Answer")
_ID = r"^[A-Za-z0-9._:-]{1,128}$"
_PICTURE: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
_ONE_PICTURE_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/jpeg": _PICTURE,
            "image/png": _PICTURE,
            "image/webp": _PICTURE,
            "application/octet-stream": _PICTURE,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["picture"],
                    "properties": {"picture": {"type": "string", "format": "binary"}},
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["picture"],
                    "properties": {"picture": {"type": "string", "format": "byte"}},
                },
                "example": {
                    "picture": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAA"
                },
            },
        },
    }
}
_MANY_PICTURES_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["pictures"],
                    "properties": {
                        "pictures": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            }
        },
    }
}


def read_parameters(
    masks: Annotated[MaskFormat, Query(description="How masks are written.")] = "rle",
    min_score: Annotated[
        float | None, Query(ge=0, le=1, description="Leave out lower scores. Default: the model's own.")
    ] = None,
    max_instances: Annotated[int, Query(ge=1, le=1000)] = 300,
    tile_px: Annotated[
        int, Query(ge=0, le=8192, description="Cut large pictures into tiles of this side; 0: do not.")
    ] = 0,
    tile_overlap_px: Annotated[int, Query(ge=0, le=4096)] = 0,
    source: Annotated[
        str, Query(pattern=r"^[\w .:/-]{1,64}$", description="Where the picture comes from, for the loop.")
    ] = "production",
) -> Asked:
    """Gather the parameters of a prediction."""
    return Asked(masks, min_score, max_instances, tile_px, tile_overlap_px, source)


Parameters = Annotated[Asked, Depends(read_parameters)]
RequestId = Annotated[
    str | None,
    Header(pattern=_ID, description="Names the answer. The same id is the same request, sent again."),
]
StickyKey = Annotated[
    str | None,
    Header(max_length=256, description="A client's name: it stays with one model during a rollout."),
]


def make_router(service: Service, *, needs_keys: bool) -> APIRouter:
    """Return the routes of version 1."""
    router = APIRouter(prefix="/v1")

    def allowed(scope: Scope) -> Any:
        def check(request: Request) -> ApiKey | None:
            return authorise(service, request, scope, needs_keys=needs_keys)

        return Depends(check)

    @router.post("/predict", responses=PROBLEMS, openapi_extra=_ONE_PICTURE_BODY, tags=["predict"])
    async def predict(
        request: Request,
        asked: Parameters,
        key: Annotated[ApiKey | None, allowed("predict")],
        x_request_id: RequestId = None,
        x_sticky_key: StickyKey = None,
    ) -> PredictAnswer:
        """Find the instances in one JPEG, PNG or WebP picture."""
        request_id = _name(request, x_request_id)
        data = await read_picture(request)
        sticky = _sticky(x_sticky_key, key, request_id)
        answer = service.predict(data, asked, request_id=request_id, key=sticky)
        return await _unless_client_leaves(request, answer)

    @router.post("/predict/batch", responses=PROBLEMS, openapi_extra=_MANY_PICTURES_BODY, tags=["predict"])
    async def predict_batch(
        request: Request,
        asked: Parameters,
        key: Annotated[ApiKey | None, allowed("predict")],
        x_request_id: RequestId = None,
        x_sticky_key: StickyKey = None,
    ) -> BatchAnswer:
        """Find the instances in several pictures; one that cannot be answered costs only itself."""
        request_id = _name(request, x_request_id)
        files = await read_form(request, "pictures", max_files=service.settings.max_pictures_per_request)
        sticky = _sticky(x_sticky_key, key, request_id)

        async def answer_one(number: int, name: str, data: bytes) -> BatchItem:
            own_id = f"{request_id}.{number}"
            try:
                answer = await service.predict(data, asked, request_id=own_id, key=sticky)
            except MaskloopError as error:
                return BatchItem(file=name, problem=problem_of(error, own_id))
            return BatchItem(file=name, answer=answer)

        one_by_one = (answer_one(number, *file) for number, file in enumerate(files))
        return BatchAnswer(results=await _unless_client_leaves(request, _gather(*one_by_one)))

    @router.post(
        "/overlay",
        responses={**PROBLEMS, 200: {"content": {"image/png": {}}, "description": "The picture, drawn on."}},
        openapi_extra=_ONE_PICTURE_BODY,
        response_class=Response,
        tags=["predict"],
    )
    async def overlay(
        request: Request,
        asked: Parameters,
        key: Annotated[ApiKey | None, allowed("predict")],
        x_request_id: RequestId = None,
        x_sticky_key: StickyKey = None,
    ) -> Response:
        """Draw what was found onto the picture, for people."""
        request_id = _name(request, x_request_id)
        data = await read_picture(request)
        sticky = _sticky(x_sticky_key, key, request_id)
        drawing = service.draw(data, asked, request_id=request_id, key=sticky)
        png = await _unless_client_leaves(request, drawing)
        return Response(png, media_type="image/png", headers={"X-Request-Id": request_id})

    @router.post("/feedback", responses=PROBLEMS, tags=["feedback"])
    async def feedback(
        request: Request, said: FeedbackRequest, key: Annotated[ApiKey | None, allowed("feedback")]
    ) -> FeedbackAnswer:
        """Say whether an answer was right, or what it should have been."""
        _name(request, None)
        by = key.name if key else "anonymous"
        becomes_a_label = await asyncio.to_thread(service.take_feedback, said, by)
        return FeedbackAnswer(request_id=said.request_id, becomes_a_label=becomes_a_label)

    @router.get("/model", responses=PROBLEMS, tags=["service"])
    async def model(request: Request, key: Annotated[ApiKey | None, allowed("predict")]) -> ModelAnswer:
        """Say which model serves, and what it knows."""
        _name(request, None)
        return service.describe_model()

    return router


def make_public_router(service: Service, *, needs_keys: bool) -> APIRouter:
    """Return the routes for machines that watch the service."""
    router = APIRouter(tags=["service"])

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Answer as long as the process lives."""
        return {"status": "alive"}

    @router.get("/readyz", responses={503: PROBLEMS[503]})
    async def readyz() -> Response:
        """Answer 200 once a model is loaded and warmed, and until the service stops."""
        problem = service.why_not_ready()
        if problem:
            return JSONResponse({"status": "not ready", "reason": problem}, 503, {"Retry-After": "1"})
        return JSONResponse({"status": "ready"})

    @router.get("/metrics", response_class=Response, responses={401: PROBLEMS[401], 403: PROBLEMS[403]})
    async def metrics(request: Request) -> Response:
        """Answer Prometheus."""
        authorise(service, request, "metrics", needs_keys=needs_keys)
        body, content_type = service.render_metrics()
        return Response(body, headers={"Content-Type": content_type})

    return router


def authorise(service: Service, request: Request, scope: Scope, *, needs_keys: bool) -> ApiKey | None:
    """Return the key of a request, if it has a valid one, and count the request.

    Raises:
        UnauthorisedError: if it has none and needs one, or it is not valid.
        ForbiddenError: if the key may not do this.
        RateLimitedError: if its owner asks too often.
    """
    kind, _, presented = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and presented:
        key = service.keys.check(presented.strip(), scope)
        service.limiter.count(key.id, key.rate_limit)
        request.state.key_id = key.id
        return key
    if needs_keys:
        raise UnauthorisedError("an API key is needed", hint="send Authorization: Bearer KEY")
    service.limiter.count(request.client.host if request.client else "unknown")
    return None


def _name(request: Request, wanted: str | None) -> str:
    request.state.request_id = wanted or uuid.uuid4().hex
    name: str = request.state.request_id
    return name


def _sticky(wanted: str | None, key: ApiKey | None, request_id: str) -> str:
    return wanted or (key.id if key else request_id)


async def _gather(*items: Awaitable[BatchItem]) -> list[BatchItem]:
    return list(await asyncio.gather(*items))


async def _unless_client_leaves(request: Request, work: Awaitable[_Answer]) -> _Answer:
    """Do the work, and give it up if nobody waits for it any more."""
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request.receive))
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise ClientLeftError("the client has left")
    finally:
        doing.cancel()
        leaving.cancel()


async def _left(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
