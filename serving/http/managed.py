"""Routes by which managed endpoints ask: Amazon SageMaker's and Google Vertex AI's, beside our own.

The platform alone reaches the container and has checked who asks, so these routes need no key of ours. All
others do. Contracts: docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html and
cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ValidationError

from maskloop.errors import ConfigurationError, DataError, OverloadedError, UnavailableError
from maskloop.settings.workspace_settings import ServingSettings
from serving.answering.service import Service
from serving.http.endpoints import answer_one, unless_client_leaves
from serving.http.intake import read_picture
from serving.http.problems import problem_of, refuse_parameter
from serving.schemas import REQUEST_ID, Asked, BatchItem

_SAGEMAKER_NAMES: Final = "x-amzn-sagemaker-inference-id"
_SAGEMAKER_PARAMETERS: Final = "x-amzn-sagemaker-custom-attributes"
_INSTANCES: Final = 'send {"instances": [{"b64": "… base64 …"}], "parameters": {"masks": "rle"}}'


@dataclass(frozen=True)
class Platform:
    """What a managed endpoint expects of its container.

    Attributes:
        name: ``sagemaker`` or ``vertex``.
        health_route: Answers 200 once a model is warm.
        predict_route: Takes pictures.
        port: Where it asks.
    """

    name: str
    health_route: str
    predict_route: str
    port: int


class Predictions(BaseModel):
    """What Vertex AI expects: one prediction for each instance, in their order."""

    predictions: list[BatchItem]


def find_platform(name: str, variables: Mapping[str, str]) -> Platform | None:
    """Return what the platform of a name expects, or None for none.

    Args:
        name: ``serving.platform``.
        variables: The environment; Vertex AI says in it which routes and port it uses.

    Raises:
        ConfigurationError: if a variable that Vertex AI sets is missing or makes no sense.
    """
    if not name:
        return None
    if name == "sagemaker":
        return Platform(name, "/ping", "/invocations", 8080)
    routes = [variables.get(key, "") for key in ("AIP_HEALTH_ROUTE", "AIP_PREDICT_ROUTE")]
    port = variables.get("AIP_HTTP_PORT", "8080")
    is_usable = all(re.fullmatch(r"/[^{}?#\s]+", route) for route in routes) and port.isdigit()
    if not is_usable or routes[0] == routes[1]:
        raise ConfigurationError(
            "Vertex AI says by AIP_HEALTH_ROUTE, AIP_PREDICT_ROUTE and AIP_HTTP_PORT where it asks, and they "
            "are not set, or no two routes and a port",
            hint="elsewhere set them yourself, such as /health, /predict and 8080; or leave serving.platform "
            "empty",
        )
    return Platform(name, routes[0], routes[1], int(port))


def listen_for(
    platform: Platform | None, settings: ServingSettings, named: Mapping[str, Any]
) -> ServingSettings:
    """Return the settings with the address where the platform asks, unless the command line names another."""
    if platform is None:
        return settings
    where = {"host": "0.0.0.0", "port": platform.port}  # noqa: S104 - the platform's network is its own
    return settings.model_copy(update={key: value for key, value in where.items() if key not in named})


def say_who_needs_a_key(platform: Platform | None, *, needs_keys: bool) -> str:
    """Say which requests need an API key, in a sentence.

    >>> say_who_needs_a_key(None, needs_keys=True)
    'Every request needs an API key.'
    >>> say_who_needs_a_key(Platform("sagemaker", "/ping", "/invocations", 8080), needs_keys=True)
    '/ping and /invocations, which sagemaker asks, need no API key; every other request does.'
    """
    if not needs_keys:
        return "No API key is needed."
    if platform is None:
        return "Every request needs an API key."
    routes = f"{platform.health_route} and {platform.predict_route}"
    return f"{routes}, which {platform.name} asks, need no API key; every other request does."


def make_managed_router(service: Service, platform: Platform) -> APIRouter:
    """Return the two routes of a platform."""
    router = APIRouter(tags=["managed endpoint"])

    @router.get(platform.health_route, summary="Is a model warm?")
    async def ping() -> Response:
        """Answer 200 once a model is loaded and warmed, and until the service stops."""
        if problem := service.why_not_ready():
            raise UnavailableError(problem)
        return Response(status_code=200)

    @router.post(platform.predict_route, summary="Instances of one picture, or of several")
    async def invocations(request: Request) -> Response:
        """Take a picture as bytes, a form or JSON, or several as ``{"instances": [...]}``."""
        if getattr(request.state, "is_over_capacity", False):
            raise OverloadedError("too many connections are open", retry_after_s=1.0)
        request.state.key = None
        request_id = _name_of(request)
        if _is_json(request) and (several := _read_instances(await request.body())) is not None:
            return await _answer_all(service, request, request_id, *several)
        data, asked = await read_picture(request), _read_attributes(request)
        answering = service.predict(data, asked, request_id=request_id, key=request_id)
        answer = await unless_client_leaves(request, answering)
        request.state.version = answer.model.version
        return Response(answer.model_dump_json(), media_type="application/json")

    return router


async def _answer_all(
    service: Service, request: Request, request_id: str, pictures: Sequence[bytes | DataError], asked: Asked
) -> Response:
    """Answer each instance by itself; if none can be answered, refuse the request as the first one."""
    limit = service.settings.max_pictures_per_request
    if not 0 < len(pictures) <= limit:
        raise DataError(f"{len(pictures)} instances came; 1 to {limit} are answered", hint=_INSTANCES)
    names = [f"{request_id}.{number}" for number in range(len(pictures))]
    one_by_one = (
        _answer_instance(service, name, request_id, asked, picture)
        for name, picture in zip(names, pictures, strict=True)
    )
    results = await unless_client_leaves(request, asyncio.gather(*one_by_one))
    versions = [one.answer.model.version for one in results if one.answer]
    problem = results[0].problem
    if not versions and problem:
        headers = {"Retry-After": "1"} if problem.status in (429, 503) else {}
        body = problem.model_dump_json()
        return Response(body, problem.status, headers, media_type="application/problem+json")
    request.state.version = versions[0]
    answered = Predictions(predictions=list(results))
    return Response(answered.model_dump_json(), media_type="application/json")


async def _answer_instance(
    service: Service, name: str, sticky_key: str, asked: Asked, picture: bytes | DataError
) -> BatchItem:
    if isinstance(picture, DataError):
        return BatchItem(file=name, problem=problem_of(picture, name))
    return await answer_one(service, name, sticky_key, asked, name, picture)


def _name_of(request: Request) -> str:
    """Return the name that SageMaker's caller gave the request, to which feedback refers; or ours."""
    named = request.headers.get(_SAGEMAKER_NAMES, "")
    return named if re.fullmatch(REQUEST_ID, named) else str(request.state.request_id)


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _read_instances(body: bytes) -> tuple[list[bytes | DataError], Asked] | None:
    """Return pictures and parameters of ``{"instances": ..., "parameters": ...}``; None for another JSON."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None  # `read_picture` says what is wrong
    if not isinstance(content, dict) or "instances" not in content:
        return None
    instances, parameters = content["instances"], content.get("parameters") or {}
    if not isinstance(instances, list) or not isinstance(parameters, dict):
        raise DataError("instances must be a list, and parameters an object", hint=_INSTANCES)
    return [_decode(one) for one in instances], _read_asked(parameters)


def _decode(instance: Any) -> bytes | DataError:
    """Return the bytes of ``{"b64": TEXT}``, ``{"picture": TEXT}`` or ``{"picture": {"b64": TEXT}}``."""
    if isinstance(instance, dict):
        instance = instance.get("picture", instance)
    if isinstance(instance, dict):
        instance = instance.get("b64")
    try:
        if isinstance(instance, str):
            return base64.b64decode(instance, validate=True)
    except (ValueError, binascii.Error):
        pass
    return DataError("the instance holds no picture in base64", hint=_INSTANCES)


def _read_attributes(request: Request) -> Asked:
    """Return the parameters that SageMaker's clients write as attributes: ``masks=none&min_score=0.4``.

    Vertex AI hands on no header of its clients, and SageMaker no query.
    """
    return _read_asked(dict(parse_qsl(request.headers.get(_SAGEMAKER_PARAMETERS, ""))))


def _read_asked(values: Mapping[str, Any]) -> Asked:
    try:
        return Asked.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        raise refuse_parameter({**first, "loc": ("query", *first["loc"])}) from error
