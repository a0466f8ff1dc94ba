"""Managed endpoints ask by their own routes, in their own words, and get the answers that everybody gets."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from maskloop.errors import ConfigurationError, UnavailableError
from maskloop.settings.workspace_settings import ServingSettings
from serving.access.keys import KeyStore
from serving.http.managed import find_platform, listen_for
from serving.http.server import decide_on_keys
from tests.fakes.key_book import FakeKeyBook
from tests.fakes.service_world import PNG, ServiceWorld

ROUTES = {"AIP_HEALTH_ROUTE": "/health", "AIP_PREDICT_ROUTE": "/predict", "AIP_HTTP_PORT": "7080"}
IN_BASE64 = base64.b64encode(PNG).decode()
IMAGE = {"content-type": "image/png"}


@pytest.fixture
def sagemaker(tmp_path: Path) -> ServiceWorld:
    world = ServiceWorld(tmp_path, needs_keys=True)
    world.platform = find_platform("sagemaker", {})
    return world


@pytest.fixture
def vertex(tmp_path: Path) -> ServiceWorld:
    world = ServiceWorld(tmp_path, needs_keys=True)
    world.platform = find_platform("vertex", ROUTES)
    return world


def ask_vertex(world: ServiceWorld, content: Any) -> httpx.Response:
    return world.post("/predict", json=content)


# --- SageMaker -------------------------------------------------------------------------------------------


def test_a_ping_is_answered_once_a_model_is_warm(sagemaker: ServiceWorld) -> None:
    answer = sagemaker.get("/ping")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_ping_says_why_no_model_is_warm(sagemaker: ServiceWorld) -> None:
    sagemaker.source.trouble = UnavailableError("nothing was promoted yet")
    answer = sagemaker.get("/ping")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "nothing was promoted yet" in answer.json()["detail"]


def test_an_invocation_gets_the_answer_that_predict_gives(sagemaker: ServiceWorld) -> None:
    key = sagemaker.keys.add("client")
    mine = sagemaker.post("/invocations", content=PNG, headers=IMAGE).json()
    usual = sagemaker.post("/v1/predict", content=PNG, headers=IMAGE, key=key).json()

    assert mine["instances"] == usual["instances"] != []
    assert mine["model"] == usual["model"]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (IMAGE, PNG),
        ({"content-type": "application/octet-stream"}, PNG),
        ({"content-type": "application/json"}, json.dumps({"picture": IN_BASE64}).encode()),
    ],
)
def test_bytes_and_json_are_both_taken(sagemaker: ServiceWorld, headers: Any, body: bytes) -> None:
    answer = sagemaker.post("/invocations", content=body, headers=headers)
    assert answer.status_code == 200
    assert len(answer.json()["instances"]) == 1


def test_custom_attributes_are_the_parameters_that_have_no_query(sagemaker: ServiceWorld) -> None:
    said = {**IMAGE, "x-amzn-sagemaker-custom-attributes": "masks=none&min_score=0.1"}
    (found,) = sagemaker.post("/invocations", content=PNG, headers=said).json()["instances"]
    assert found["mask"] is None


def test_a_misspelt_attribute_is_refused_by_name(sagemaker: ServiceWorld) -> None:
    said = {**IMAGE, "x-amzn-sagemaker-custom-attributes": "mask=none"}
    answer = sagemaker.post("/invocations", content=PNG, headers=said)
    assert answer.status_code == 422
    assert "mask: there is no such parameter" in answer.json()["detail"]


def test_the_name_that_the_caller_gave_names_the_answer(sagemaker: ServiceWorld) -> None:
    said = {**IMAGE, "x-amzn-sagemaker-inference-id": "shelf-7"}
    assert sagemaker.post("/invocations", content=PNG, headers=said).json()["request_id"] == "shelf-7"


def test_a_name_that_is_none_is_left_out(sagemaker: ServiceWorld) -> None:
    said = {**IMAGE, "x-amzn-sagemaker-inference-id": "shelf 7"}
    answer = sagemaker.post("/invocations", content=PNG, headers=said)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-type": "text/csv"}, b"1,2", 415),
        (IMAGE, b"no picture", 415),
        ({"content-type": "application/json"}, b"{", 422),
        (IMAGE, bytes(3_000_000), 413),
    ],
)
def test_what_cannot_be_answered_has_the_status_that_it_has_everywhere(
    tmp_path: Path, headers: Any, body: bytes, status: int
) -> None:
    world = ServiceWorld(tmp_path, max_body_mb=2.0)
    world.platform = find_platform("sagemaker", {})
    assert world.post("/invocations", content=body, headers=headers).status_code == status


def test_invocations_are_counted_and_sampled_like_all_predictions(sagemaker: ServiceWorld) -> None:
    sagemaker.post("/invocations", content=PNG, headers=IMAGE)
    sagemaker.get("/ping")

    assert [facts["status"] for told, facts in sagemaker.observer.told if told == "request"] == [200]
    assert len(sagemaker.samples.offered) == 1


def test_every_other_route_still_asks_for_a_key(sagemaker: ServiceWorld) -> None:
    assert sagemaker.post("/v1/predict", content=PNG, headers=IMAGE).status_code == 401
    assert sagemaker.get("/metrics").status_code == 401


def test_without_a_platform_its_routes_are_none_of_ours(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path)
    assert world.get("/ping").status_code == 404
    assert world.post("/invocations", content=PNG, headers=IMAGE).status_code == 404


# --- Vertex AI -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "instance", [{"b64": IN_BASE64}, {"picture": IN_BASE64}, {"picture": {"b64": IN_BASE64}}, IN_BASE64]
)
def test_an_instance_is_a_picture_in_base64(vertex: ServiceWorld, instance: Any) -> None:
    answer = ask_vertex(vertex, {"instances": [instance]})
    (prediction,) = answer.json()["predictions"]
    assert len(prediction["answer"]["instances"]) == 1


def test_there_is_one_prediction_for_each_instance_and_a_bad_one_costs_only_itself(
    vertex: ServiceWorld,
) -> None:
    broken = {"b64": base64.b64encode(b"no picture").decode()}
    asked = {"instances": [broken, {"b64": IN_BASE64}, {"url": "gs://bucket/a.png"}]}
    answer = ask_vertex(vertex, asked)
    first, second, third = answer.json()["predictions"]

    assert answer.status_code == 200
    assert (first["problem"]["status"], second["problem"], third["problem"]["status"]) == (415, None, 422)
    assert len(second["answer"]["instances"]) == 1


def test_a_request_of_which_nothing_can_be_answered_is_refused(vertex: ServiceWorld) -> None:
    answer = ask_vertex(vertex, {"instances": [{"b64": "not base64!"}]})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_parameters_count_for_every_instance(vertex: ServiceWorld) -> None:
    asked = {"instances": [{"b64": IN_BASE64}] * 2, "parameters": {"masks": "none"}}
    predictions = ask_vertex(vertex, asked).json()["predictions"]
    assert [one["answer"]["instances"][0]["mask"] for one in predictions] == [None, None]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"instances": []}, "0 instances came; 1 to 16 are answered"),
        ({"instances": [{"b64": IN_BASE64}] * 17}, "17 instances came"),
        ({"instances": {"b64": IN_BASE64}}, "instances must be a list"),
        ({"instances": [IN_BASE64], "parameters": {"score": 1}}, "score: there is no such parameter"),
    ],
)
def test_a_request_of_another_form_is_refused_in_words(vertex: ServiceWorld, asked: Any, said: str) -> None:
    answer = ask_vertex(vertex, asked)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_the_health_route_that_vertex_names_is_open_under_any_host(vertex: ServiceWorld) -> None:
    vertex.trusted_hosts = ("parts.example.org",)
    assert vertex.get("/health").status_code == 200
    assert ask_vertex(vertex, {"instances": [IN_BASE64]}).status_code == 400


# --- which platform, and where ---------------------------------------------------------------------------


def test_vertex_says_where_it_asks_by_its_variables() -> None:
    found = find_platform("vertex", ROUTES)
    assert found
    assert (found.health_route, found.predict_route, found.port) == ("/health", "/predict", 7080)


def test_the_routes_that_vertex_takes_by_default_are_routes() -> None:
    health = "/v1/endpoints/123/deployedModels/456"
    routes = {"AIP_HEALTH_ROUTE": health, "AIP_PREDICT_ROUTE": f"{health}:predict"}
    assert find_platform("vertex", routes)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"AIP_PREDICT_ROUTE": "predict"},
        {"AIP_PREDICT_ROUTE": "/health"},
        {"AIP_PREDICT_ROUTE": "/{name}"},
        {"AIP_HTTP_PORT": "http"},
    ],
)
def test_variables_that_make_no_sense_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="AIP_HEALTH_ROUTE"):
        find_platform("vertex", {**ROUTES, **wrong} if wrong else {})


def test_a_route_that_is_ours_cannot_be_the_platforms(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path)
    world.platform = find_platform("vertex", {**ROUTES, "AIP_PREDICT_ROUTE": "/v1/predict"})
    with pytest.raises(ConfigurationError, match="a route of the service"):
        world.make_app()


def test_a_platform_is_listened_for_where_it_asks_unless_told_otherwise() -> None:
    settings, platform = ServingSettings(), find_platform("vertex", ROUTES)
    asked = listen_for(platform, settings, {})
    told = listen_for(platform, settings.model_copy(update={"port": 0}), {"port": 0})

    assert (asked.host, asked.port) == ("0.0.0.0", 7080)
    assert (told.host, told.port) == ("0.0.0.0", 0)
    assert listen_for(None, settings, {}) == settings


def test_a_managed_endpoint_needs_no_key_to_start_and_closes_everything_else(tmp_path: Path) -> None:
    settings = ServingSettings(host="0.0.0.0", platform="sagemaker")
    assert decide_on_keys(settings, KeyStore(FakeKeyBook())) is True
