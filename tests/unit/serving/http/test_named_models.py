"""Several models at one address: each has its routes, version and keys; a broken one costs only itself."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskloop.errors import UnavailableError
from serving.client import Client
from serving.http.named_models import find_model
from serving.residency.memory import MIB, Memory
from tests.fakes.live_service import live
from tests.fakes.service_world import PNG, ServiceWorld
from tests.fakes.serving_world import FakeSource


@pytest.fixture
def world(tmp_path: Path) -> ServiceWorld:
    """A service of the models parts, weeds and rust; versions 1, 7 and 9."""
    return with_models(tmp_path)


def with_models(directory: Path, **options: Any) -> ServiceWorld:
    made = ServiceWorld(directory, **options)
    made.others = {"weeds": FakeSource(champion="7"), "rust": FakeSource(champion="9")}
    return made


def versions(world: ServiceWorld, *asked: tuple[str, str]) -> list[Any]:
    """Ask each path with a header that names a model, or none; give version or status."""

    async def story(client: httpx.AsyncClient) -> list[Any]:
        found = []
        for path, name in asked:
            headers = {"X-Model": name} if name else {}
            answer = await client.post(path, content=PNG, headers=headers)
            found.append(answer.json()["model"]["version"] if answer.is_success else answer.status_code)
        return found

    answered: list[Any] = world.run(story)
    return answered


def test_a_request_is_answered_by_the_model_that_its_path_or_its_header_names(world: ServiceWorld) -> None:
    asked = (
        ("/v1/predict", ""),
        ("/v1/predict", "weeds"),
        ("/v1/models/weeds/predict", ""),
        ("/v1/models/rust/predict", "weeds"),
        ("/v1/models/parts/predict", ""),
        ("/v1/models/nothing/predict", ""),
        ("/v1/predict", "nothing"),
    )
    assert versions(world, *asked) == ["1", "7", "7", "9", "1", 404, 404]


def test_every_route_of_a_service_is_there_for_each_model(world: ServiceWorld) -> None:
    async def story(client: httpx.AsyncClient) -> list[int]:
        below = "/v1/models/weeds"
        files = [("pictures", ("a.png", PNG))]
        said = {"request_id": "r1", "verdict": "right"}
        return [
            (await client.post(f"{below}/predict/batch", files=files)).status_code,
            (await client.post(f"{below}/overlay", content=PNG)).status_code,
            (await client.post(f"{below}/feedback", json=said)).status_code,
            (await client.get(f"{below}/model")).status_code,
            (await client.get(below)).status_code,
            (await client.get(f"{below}/readyz")).status_code,
            (await client.get(f"{below}/metrics")).status_code,
            (await client.get(f"{below}/docs")).status_code,
            (await client.post(f"{below}/v1/predict", content=PNG)).status_code,
        ]

    assert world.run(story) == [200] * 9


def test_the_documentation_of_a_model_tries_its_own_routes(world: ServiceWorld) -> None:
    schema = world.get("/v1/models/weeds/openapi.json").json()
    assert schema["servers"] == [{"url": "/v1/models/weeds"}]
    assert "servers" not in world.get("/openapi.json").json()


def test_a_list_names_every_model_with_its_state_version_and_memory(tmp_path: Path) -> None:
    world = with_models(tmp_path)
    world.memory = Memory(25, keep_s=0.0)
    world.refused = {"mould": "there is no workspace"}
    for source in (world.source, *world.others.values()):
        source.num_bytes = 10 * MIB
    world.others["rust"].trouble = UnavailableError("the ledger does not answer")

    rows = world.get("/v1/models").json()["models"]
    shown = [(row["name"], row["state"], row["version"], row["memory_mib"], row["problem"]) for row in rows]
    assert shown == [
        ("parts", "loaded", "1", 10.0, ""),
        ("weeds", "loaded", "7", 10.0, ""),
        ("rust", "refused", "", 0.0, "the ledger does not answer"),
        ("mould", "refused", "", 0.0, "there is no workspace"),
    ]


def test_a_broken_model_costs_only_its_own_requests(tmp_path: Path) -> None:
    world = with_models(tmp_path)
    world.refused = {"mould": "there is no workspace"}
    world.source.trouble = world.others["rust"].trouble = UnavailableError("the ledger does not answer")

    async def story(client: httpx.AsyncClient) -> list[Any]:
        return [
            (await client.post("/v1/predict", content=PNG)).status_code,
            (await client.post("/v1/models/mould/predict", content=PNG)).json()["status"],
            (await client.post("/v1/models/weeds/predict", content=PNG)).status_code,
            (await client.get("/readyz")).status_code,
            (await client.get("/v1/models/rust/readyz")).status_code,
        ]

    assert world.run(story) == [503, 503, 200, 200, 503]


def test_models_that_do_not_fit_together_take_turns_and_each_request_is_answered(tmp_path: Path) -> None:
    world = with_models(tmp_path)
    world.memory = Memory(15, keep_s=0.0)
    for source in (world.source, *world.others.values()):
        source.num_bytes = 10 * MIB
    world.samples.offered = deque(maxlen=0)  # a remembered answer would hold its model in memory

    async def story(client: httpx.AsyncClient) -> list[str]:
        names = ["parts", "weeds", "rust"] * 5
        answers = await asyncio.gather(
            *(client.post(f"/v1/models/{name}/predict", content=PNG) for name in names)
        )
        return [answer.json().get("model", answer.json()).get("version", answer.text) for answer in answers]

    assert world.run(story) == ["1", "7", "9"] * 5


def test_a_key_for_certain_models_asks_and_sees_no_other(tmp_path: Path) -> None:
    world = with_models(tmp_path, needs_keys=True)
    key = world.keys.add("farm", models=["weeds"])

    async def story(client: httpx.AsyncClient) -> list[Any]:
        listed = (await client.get("/v1/models")).json()["models"]
        return [
            (await client.post("/v1/models/weeds/predict", content=PNG)).status_code,
            (await client.post("/v1/predict", content=PNG)).status_code,
            (await client.post("/v1/models/rust/predict", content=PNG)).status_code,
            (await client.get("/v1/models/rust/metrics")).status_code,
            (await client.post("/v1/models/nothing/predict", content=PNG)).status_code,
            [row["name"] for row in listed],
        ]

    assert world.run(story, key=key) == [200, 403, 403, 403, 403, ["weeds"]]
    assert world.get("/v1/models/nothing/predict").status_code == 401


def test_each_model_has_a_page_of_figures_of_its_own(world: ServiceWorld) -> None:
    assert world.get("/metrics").text == world.get("/v1/models/parts/metrics").text == "up 1\n"
    assert world.get("/v1/models/weeds/metrics").text == "up{of='weeds'} 1\n"


def test_a_client_asks_the_model_that_it_was_made_for(world: ServiceWorld) -> None:
    with live(world) as url, Client(url) as first, Client(url, model="weeds") as weeds:
        assert first.predict(PNG).model.version == "1"
        assert weeds.predict(PNG).model.version == weeds.model().model.version == "7"
        assert [row.name for row in weeds.models().models] == ["parts", "weeds", "rust"]


def test_a_model_with_all_its_requests_in_flight_refuses_the_next_and_says_when_to_come_back(
    tmp_path: Path,
) -> None:
    world = with_models(tmp_path, max_in_flight=1)

    async def story(client: httpx.AsyncClient) -> list[Any]:
        assert world.service is not None
        async with world.service.engine.host.place.use():
            refused = await client.post("/v1/predict", content=PNG)
            other = await client.post("/v1/models/weeds/predict", content=PNG)
        return [refused.status_code, refused.headers["retry-after"], other.status_code]

    assert world.run(story) == [429, "1", 200]
    assert "quota" in [told["cause"] for told in world.observer.of("request")]


@given(st.text(), st.binary(max_size=20))
def test_any_path_and_header_names_one_model_or_none(path: str, header: bytes) -> None:
    named = find_model(f"/v1/{path}", [(b"x-model", header)])
    if named is not None:
        name, rest = named
        assert name
        assert rest.startswith("/")
        assert find_model(rest, []) is None or path.startswith("models/")
