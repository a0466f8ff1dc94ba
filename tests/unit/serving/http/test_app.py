"""What every answer has: an id, a log line, a metric; and what none has: anything of the server."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from maskloop.errors import IntegrityError, StorageError
from serving.access.key_book import ApiKey
from serving.access.keys import KeyStore
from tests.fakes.key_book import FakeKeyBook
from tests.fakes.service_world import PNG, ServiceWorld
from tests.fakes.serving_world import FakeSource

SECRET_PLACE = "/srv/parts/.maskloop/keys.db"


def explode(_pictures: Any) -> None:
    if _pictures[0].shape[0] == 16:
        raise RuntimeError(f"cannot open {SECRET_PLACE}")


def fail_with(error: Exception) -> Any:
    def fail(*_arguments: Any) -> bool:
        raise error

    return fail


# --- request ids -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/predict", 200),
        ("GET", "/v1/model", 200),
        ("GET", "/v1/predict", 405),
        ("POST", "/v1/nothing", 404),
        ("POST", "/v1/predict?masks=painted", 422),
        ("POST", "/v1/feedback", 422),
        ("GET", "/healthz", 200),
        ("GET", "/docs", 200),
    ],
)
def test_every_answer_names_its_request(world: ServiceWorld, method: str, path: str, status: int) -> None:
    answer = world.run(lambda client: client.request(method, path, content=PNG))
    assert answer.status_code == status
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert answer.json()["status"] == status


def test_a_clients_own_id_comes_back_and_may_be_used_again(world: ServiceWorld) -> None:
    async def story(client: httpx.AsyncClient) -> list[httpx.Response]:
        headers = {"X-Request-Id": "line-7:0042"}
        return [await client.post("/v1/predict", content=PNG, headers=headers) for _ in range(2)]

    for answer in world.run(story):
        assert answer.status_code == 200
        assert answer.headers["x-request-id"] == answer.json()["request_id"] == "line-7:0042"
    assert [picture.request_id for picture, *_ in world.samples.offered] == ["line-7:0042"] * 2


@pytest.mark.parametrize("wanted", ["a b", "x" * 101, "ü", "a\tb"])
def test_an_invalid_request_id_is_refused_under_a_generated_one(world: ServiceWorld, wanted: str) -> None:
    answer = world.post(content=PNG, headers={"X-Request-Id": wanted.encode()})
    assert answer.status_code == 422
    assert answer.headers["x-request-id"] != wanted


# --- what strangers must not read --------------------------------------------------------------------


def test_an_unexpected_error_is_a_plain_problem_and_its_trace_is_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = ServiceWorld(tmp_path, source=FakeSource(options={"1": {"before": explode}}))

    async def story(client: httpx.AsyncClient) -> tuple[httpx.Response, httpx.Response]:
        failed = await client.post("/v1/predict", content=PNG)
        return failed, await client.get("/v1/model")

    failed, after = world.run(story)
    assert (failed.status_code, after.status_code) == (500, 200)
    assert failed.json()["detail"] == "something unexpected happened; the service's log says what"
    assert SECRET_PLACE not in failed.text
    assert failed.headers["x-request-id"] in caplog.text
    assert SECRET_PLACE in caplog.text
    assert world.observer.of("request")[0]["cause"] == "unexpected"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StorageError(f"could not write {SECRET_PLACE}", where=SECRET_PLACE), 500),
        (IntegrityError("the log is damaged", where=SECRET_PLACE), 503),
        (OSError(28, "No space left on device", SECRET_PLACE), 500),
    ],
)
def test_trouble_of_the_server_names_no_place(tmp_path: Path, error: Exception, status: int) -> None:
    world = ServiceWorld(tmp_path)
    world._give_feedback = fail_with(error)  # type: ignore[method-assign]
    answer = world.post("/v1/feedback", json={"request_id": "r1", "verdict": "right"})
    assert answer.status_code == status
    assert "/srv" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


def test_damaged_keys_admit_nobody_and_show_no_path(tmp_path: Path) -> None:
    class Damaged(FakeKeyBook):
        def all(self) -> Sequence[ApiKey]:
            raise IntegrityError("the API keys cannot be read", where=str(tmp_path / "keys.db"))

    world = ServiceWorld(tmp_path, needs_keys=True)
    world.keys = KeyStore(Damaged())
    answer = world.post(content=PNG, key="mlk_000000000000_x")
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text


# --- hosts -------------------------------------------------------------------------------------------


def test_other_hosts_are_refused_but_probes_may_ask_by_address(world: ServiceWorld) -> None:
    world.trusted_hosts = ("localhost", "*.example.com")

    async def story(client: httpx.AsyncClient) -> list[httpx.Response]:
        asked = [
            ("localhost:8080", "/v1/model"),
            ("a.example.com", "/v1/model"),
            ("evil.example", "/v1/model"),
            ("evil.example", "/docs"),
            ("10.0.0.7:8080", "/readyz"),
        ]
        return [await client.get(path, headers={"Host": host}) for host, path in asked]

    answers = world.run(story)
    assert [answer.status_code for answer in answers] == [200, 200, 400, 400, 200]
    assert "serving.trusted_hosts" in answers[2].json()["detail"]


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-origin", 200), ("none", 200)])
def test_a_page_of_another_site_cannot_ask_without_a_key(world: ServiceWorld, site: str, status: int) -> None:
    assert world.post(content=PNG, headers={"Sec-Fetch-Site": site}).status_code == status


# --- telling -----------------------------------------------------------------------------------------


def test_a_request_is_told_once_with_its_version_and_without_its_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = ServiceWorld(tmp_path, needs_keys=True)
    key = world.keys.add("line 7")
    with caplog.at_level(logging.INFO, logger="maskloop.serving.requests"):
        answer = world.post(content=PNG, key=key)
    (line,) = [json.loads(one.message) for one in caplog.records if one.name.endswith("requests")]
    assert (line["path"], line["status"], line["version"]) == ("/v1/predict", 200, "1")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["key"] == key.split("_")[1]
    assert key.split("_", 2)[2] not in caplog.text
    (told,) = world.observer.of("request")
    assert (told["status"], told["version"], told["cause"]) == (200, "1", "")


def test_requests_that_are_not_answered_yet_are_told_and_probes_are_not(world: ServiceWorld) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        posts = [
            client.post("/v1/predict", content=PNG, headers={"content-type": "image/png"}) for _ in range(3)
        ]
        await asyncio.gather(*posts, client.post("/v1/predict", content=b"no picture"))
        await client.get("/readyz")

    world.run(story)
    numbers = [facts["number"] for told, facts in world.observer.told if told == "in flight"]
    assert max(numbers) == 4
    assert numbers[-1] == 0
    assert len(numbers) == 8


def test_a_refused_request_is_told_with_its_cause(world: ServiceWorld) -> None:
    world.post(content=b"no picture")
    world.post("/v1/predict?max_instances=0", content=PNG)
    world.get("/healthz")
    causes = [(told["status"], told["cause"]) for told in world.observer.of("request")]
    assert causes == [(415, "unsupported"), (422, "bad_request")]


def test_a_span_is_opened_below_the_callers(world: ServiceWorld) -> None:
    class Spans:
        trace_id = "1" * 32

        def __init__(self) -> None:
            self.opened: list[tuple[str, dict[bytes, bytes]]] = []
            self.facts: dict[str, Any] = {}

        def span(self, name: str, *, headers: Any) -> Any:
            self.opened.append((name, dict(headers)))
            return self

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: Any) -> None:
            pass

        def set(self, name: str, value: Any) -> None:
            self.facts[name] = value

        def close(self) -> None:
            pass

    spans = Spans()
    world.tracer = spans
    answer = world.post(content=PNG, headers={"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"})
    assert answer.headers["X-Trace-Id"] == spans.trace_id
    ((name, headers),) = spans.opened
    assert name == "POST /v1/predict"
    assert b"traceparent" in headers
    assert spans.facts == {"http.response.status_code": 200, "maskloop.model_version": "1"}


# --- the documentation -------------------------------------------------------------------------------


def test_the_documentation_needs_no_other_machine(world: ServiceWorld) -> None:
    async def story(client: httpx.AsyncClient) -> dict[str, httpx.Response]:
        page = await client.get("/docs")
        assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        return {"page": page, **{asset: await client.get(asset) for asset in assets}}

    answers = world.run(story)
    assert len(answers) >= 4
    assert all(answer.status_code == 200 for answer in answers.values())
    assert not re.search(r"https?://(?!service)", answers["page"].text)


def test_a_service_with_keys_says_so_in_its_documentation(tmp_path: Path) -> None:
    open_one, guarded = (
        ServiceWorld(tmp_path, needs_keys=needs).get("/openapi.json").json() for needs in (False, True)
    )
    assert "securitySchemes" not in open_one["components"]
    assert guarded["paths"]["/v1/predict"]["post"]["security"] == [{"HTTPBearer": []}]
