"""Which model answers, when nobody does, what is strange, what people say of it, and the examples shown."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from maskloop.errors import NotFoundError, UnavailableError
from tests.fakes.service_world import PNG, ServiceWorld, write_picture
from tests.fakes.serving_world import FakeSource, Gate

# --- who answers -------------------------------------------------------------------------------------


def test_a_client_with_a_name_stays_with_one_model_during_a_rollout(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path)
    world.source.roll_out("2", share_percent=50.0)

    async def story(client: httpx.AsyncClient) -> dict[str, set[str]]:
        met: dict[str, set[str]] = {}
        for name in [f"camera {number % 8}" for number in range(64)]:
            answer = await client.post("/v1/predict", content=PNG, headers={"X-Sticky-Key": name})
            met.setdefault(name, set()).add(answer.json()["model"]["version"])
        return met

    met = world.run(story)
    assert {"1"} in met.values()
    assert all("1" in versions or versions == {"2"} for versions in met.values())
    assert any("2" in versions for versions in met.values())


def test_a_new_champion_loses_no_request_and_the_old_one_finishes_its_own(tmp_path: Path) -> None:
    gate = Gate()
    world = ServiceWorld(tmp_path, max_batch=4)

    async def story(client: httpx.AsyncClient) -> list[httpx.Response]:
        assert world.service is not None
        host = world.service.engine.host
        host.hosted.champion.predictor.before = gate  # type: ignore[attr-defined]
        before = [asyncio.create_task(client.post("/v1/predict", content=PNG)) for _ in range(3)]
        assert await asyncio.to_thread(gate.arrived.wait, 20)
        world.source.champion = "2"
        await host.refresh()
        after = [asyncio.create_task(client.post("/v1/predict", content=PNG)) for _ in range(3)]
        gate.opened.set()
        return list(await asyncio.gather(*before, *after))

    answers = world.run(story)
    assert {answer.status_code for answer in answers} == {200}
    versions = [answer.json()["model"]["version"] for answer in answers]
    assert versions[0] == "1"
    assert versions[-1] == "2"


def test_the_service_serves_on_while_the_ledger_is_away(world: ServiceWorld) -> None:
    async def story(client: httpx.AsyncClient) -> tuple[int, int]:
        assert world.service is not None
        world.source.trouble = UnavailableError("the ledger is away", where="postgresql://secret")
        await world.service.engine.host.refresh()
        return (await client.post("/v1/predict", content=PNG)).status_code, (
            await client.get("/readyz")
        ).status_code

    assert world.run(story) == (200, 200)


def test_before_there_is_a_model_every_prediction_says_when_to_come_back(tmp_path: Path) -> None:
    world = ServiceWorld(
        tmp_path, source=FakeSource(trouble=NotFoundError("nothing serves yet", where="/srv"))
    )

    async def story(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [
            await client.post("/v1/predict", content=PNG),
            await client.get("/v1/model"),
            await client.get("/readyz"),
            await client.get("/healthz"),
        ]

    *refused, alive = world.run(story)
    for answer in refused:
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "nothing serves yet" in answer.json()["detail"]
        assert "/srv" not in answer.text
    assert alive.json() == {"status": "alive"}


def test_a_stopping_service_says_so_to_whoever_looks_and_answers_on(world: ServiceWorld) -> None:
    async def story(client: httpx.AsyncClient) -> tuple[httpx.Response, httpx.Response]:
        assert world.service is not None
        world.service.engine.announce_stop()
        return await client.get("/readyz"), await client.post("/v1/predict", content=PNG)

    ready, predicted = world.run(story)
    assert ready.status_code == 503
    assert "stopping" in ready.json()["detail"]
    assert predicted.status_code == 200


def test_the_model_is_described(world: ServiceWorld) -> None:
    world.source.roll_out("2", share_percent=5.0)
    described = world.get("/v1/model").json()
    assert described["class_names"] == ["bolt", "nut"]
    assert described["score_threshold"] == 0.5
    assert described["class_score_thresholds"] == {}
    assert described["model"]["version"] == "1"
    assert described["rollout"]["share_percent"] == 5.0
    assert described["rollout"]["rollout"] == "cycle-2", "the field holds the id of the cycle"


# --- too much ----------------------------------------------------------------------------------------


def test_over_capacity_the_answer_comes_at_once_and_before_anything_is_decoded(tmp_path: Path) -> None:
    gate = Gate()
    world = ServiceWorld(tmp_path, max_batch=1, max_queue_s=0.001)

    async def story(client: httpx.AsyncClient) -> tuple[list[httpx.Response], list[httpx.Response]]:
        assert world.service is not None
        await client.post("/v1/predict", content=PNG)
        world.service.engine._line.seconds_per_picture = 1.0
        world.service.engine.host.hosted.champion.predictor.before = gate  # type: ignore[attr-defined]
        first = asyncio.create_task(client.post("/v1/predict", content=PNG))
        assert await asyncio.to_thread(gate.arrived.wait, 20)
        refused = [await client.post("/v1/predict", content=b"not even a picture") for _ in range(3)]
        gate.opened.set()
        return [await first], refused

    (accepted,), refused = world.run(story)
    assert accepted.status_code == 200
    for answer in refused:
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert "more requests come than can be answered" in answer.json()["detail"]
    assert len(world.samples.offered) == 2


def test_an_answer_that_does_not_come_in_time_is_504(tmp_path: Path) -> None:
    gate = Gate()
    world = ServiceWorld(tmp_path, request_timeout_s=0.2)

    async def story(client: httpx.AsyncClient) -> httpx.Response:
        assert world.service is not None
        world.service.engine.host.hosted.champion.predictor.before = gate  # type: ignore[attr-defined]
        answer = await client.post("/v1/predict", content=PNG)
        gate.opened.set()
        return answer

    answer = world.run(story)
    assert answer.status_code == 504
    assert "no answer within 0.2 s" in answer.json()["detail"]


def test_who_asks_too_often_hears_when_to_come_back(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path, rate_limit="2/minute")

    async def story(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [await client.post("/v1/predict", content=PNG) for _ in range(3)]

    *_, last = answers = world.run(story)
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(last.headers["retry-after"]) <= 60


# --- strange pictures --------------------------------------------------------------------------------


class Strange:
    """Finds dark pictures strange."""

    def score(self, embedding: np.ndarray) -> Any:
        from monitoring.drift.novelty import Novelty

        is_strange = bool(embedding[0] < 0.05)
        return Novelty(1.0 if is_strange else 0.2, is_out_of_distribution=is_strange)


@pytest.mark.parametrize(("policy", "status"), [("flag", 200), ("refuse", 422)])
def test_a_strange_picture_is_flagged_or_refused_and_sampled_either_way(
    tmp_path: Path, policy: str, status: int
) -> None:
    world = ServiceWorld(tmp_path, source=FakeSource(novelty=Strange()), when_out_of_distribution=policy)
    dark, bright = (write_picture(pixels=np.full((16, 24, 3), value, np.uint8)) for value in (0, 200))

    async def story(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [await client.post("/v1/predict", content=data) for data in (bright, dark)]

    known, strange = world.run(story)
    assert known.json()["novelty"] == {"score": 0.2, "out_of_distribution": False}
    assert strange.status_code == status
    if policy == "flag":
        assert strange.json()["novelty"]["out_of_distribution"] is True
    else:
        assert "unlike everything the model was trained on" in strange.json()["detail"]
    assert [answer is not None for _, answer, *_ in world.samples.offered] == [True, True]


# --- feedback ----------------------------------------------------------------------------------------


def test_feedback_is_handed_on_with_the_name_of_who_gave_it(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path, needs_keys=True)
    key = world.keys.add("anna", scopes=("feedback",))
    said = {
        "request_id": "r1",
        "verdict": "wrong",
        "instances": [{"class_name": "nut", "mask": [[0, 0, 4, 0, 4, 4]]}],
        "note": "a nut",
    }
    answer = world.post("/v1/feedback", json=said, key=key)
    assert answer.json() == {"request_id": "r1", "becomes_a_label": True}
    ((heard, by),) = world.said
    assert (heard.request_id, heard.verdict, by) == ("r1", "wrong", "anna")


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [
        ({"instances": [{"class_name": "spoon", "mask": []}]}, 422, "no class is called spoon"),
        ({"verdict": "perhaps"}, 422, "body.verdict"),
        ({"surprise": 1}, 422, "body.surprise"),
        ({"request_id": ""}, 422, "body.request_id"),
        ({"request_id": "a\u0000b"}, 404, "no such request"),
        ({"note": "x" * 2001}, 422, "body.note"),
    ],
)
def test_feedback_that_cannot_be_used_says_why(
    world: ServiceWorld, changed: dict[str, Any], status: int, says: str
) -> None:
    answer = world.post("/v1/feedback", json={"request_id": "r1", "verdict": "right", **changed})
    assert answer.status_code == status
    assert says in answer.json()["detail"]


# --- the documentation's own examples ----------------------------------------------------------------


def test_every_example_of_the_documentation_works(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path)

    async def story(client: httpx.AsyncClient) -> list[tuple[str, int]]:
        document = (await client.get("/openapi.json")).json()
        tried = []
        for path, operations in document["paths"].items():
            for operation in operations.values():
                content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
                for example in examples_of(content, document):
                    answer = await client.post(path, json=example)
                    tried.append((path, answer.status_code))
        return tried

    tried = world.run(story)
    assert {path for path, _ in tried} == {"/v1/predict", "/v1/overlay", "/v1/feedback"}
    assert {status for _, status in tried} == {200}


def examples_of(content: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    """Return the examples of a body, also those of the schema it refers to."""
    schema = content.get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    named = [one["value"] for one in content.get("examples", {}).values()]
    return [*named, *(holder["example"] for holder in (content, schema) if "example" in holder)]


def test_examples_of_answers_are_answers(world: ServiceWorld) -> None:
    from serving import schemas

    document = world.get("/openapi.json").json()
    shown = {
        name: schema["example"]
        for name, schema in document["components"]["schemas"].items()
        if "example" in schema
    }
    assert {"PredictAnswer", "Problem", "FeedbackRequest", "ModelAnswer"} <= set(shown)
    for name, example in shown.items():
        getattr(schemas, name).model_validate(example)
