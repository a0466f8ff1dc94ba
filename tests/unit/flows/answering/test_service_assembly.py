"""The service of a workspace: what the ledger says serves, what is seen becomes samples, pairs and labels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from dataset.pictures.decoding import encode_png
from flows.answering.model_assembly import choose_settings
from flows.answering.service_assembly import (
    RunningService,
    create_service,
    find_what_is_too_large,
    make_application,
    open_others,
)
from flows.deciding.decisions import decide_by_hand
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.rollouts.rollout import roll_back_last_change
from maskloop.errors import ConfigurationError, RefusedError, UnavailableError
from maskloop.settings.workspace_settings import ServingSettings
from serving.http.app import create_app
from serving.residency.memory import MIB
from tests.fakes.loop_world import World
from tests.fakes.model_ports import draw_picture

PNG = encode_png(draw_picture(500)[0])


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A workspace with labelled pictures; promotions happen at once, unless a test is about rollouts."""
    is_about_rollouts = "rollout" in request.node.name
    made = World(tmp_path / "workspace", rollout="" if is_about_rollouts else "enabled = false")
    made.label(range(12))
    return made


def promote_first(world: World) -> None:
    run_turn(world.app(), starts_from="first-weights")
    world.tag_version("1", "approved", by="anna")
    reconcile(world.app())


def serve(
    world: World,
    story: Callable[[httpx.AsyncClient, RunningService], Awaitable[Any]],
    *,
    others: Mapping[str, Any] = MappingProxyType({}),
    **settings: Any,
) -> Any:
    """Tell a story to the service of a world, through ASGI."""

    async def told() -> Any:
        running = create_service(world.app(), ServingSettings(**{"refresh_s": 0.02, **settings}), others)

        @asynccontextmanager
        async def lifespan(_app: object) -> AsyncIterator[None]:
            async with running.for_as_long_as_it_serves():
                yield

        first, *beside = (model.service for model in running.models)
        app = create_app(first, lifespan=lifespan, needs_keys=False, others=beside)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://service") as client,
        ):
            return await story(client, running)

    return asyncio.run(told())


async def until(condition: Callable[[], Any]) -> None:
    """Wait for what runs beside the requests; the limit only ends a test that has failed."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def version_of(running: RunningService) -> str:
    return running.models[0].host.hosted.champion.served.version if running.models[0].host.is_ready else ""


def test_a_service_waits_for_the_first_promotion_and_then_answers(world: World) -> None:
    async def story(client: httpx.AsyncClient, running: RunningService) -> tuple[int, int, str]:
        early = await client.post("/v1/predict", content=PNG)
        await asyncio.to_thread(promote_first, world)
        await until(lambda: version_of(running) == "1")
        answer = await client.post("/v1/predict", content=PNG)
        return early.status_code, answer.status_code, answer.json()["model"]["version"]

    assert serve(world, story) == (503, 200, "1")


def test_a_worker_among_others_has_its_model_before_it_accepts(world: World) -> None:
    promote_first(world)

    async def story(_client: httpx.AsyncClient, running: RunningService) -> str:
        return version_of(running)

    assert serve(world, story, workers=2) == "1"


def test_a_worker_among_others_that_finds_no_model_accepts_and_says_so(world: World) -> None:
    async def story(client: httpx.AsyncClient, _running: RunningService) -> tuple[int, str]:
        answer = await client.get("/readyz")
        return answer.status_code, answer.json()["detail"]

    status, said = serve(world, story, workers=2)
    assert status == 503
    assert "nothing serves yet" in said


def test_an_answer_becomes_a_sample_and_feedback_about_it_a_label(world: World) -> None:
    promote_first(world)

    async def story(client: httpx.AsyncClient, running: RunningService) -> dict[str, Any]:
        await until(lambda: running.models[0].host.is_ready)
        headers = {"X-Request-Id": "r1"}
        answer = (await client.post("/v1/predict?source=line+7", content=PNG, headers=headers)).json()
        await until(lambda: world.samples.get("r1") is not None)
        instances = [{"class_name": one["class_name"], "mask": one["mask"]} for one in answer["instances"]]
        said = {"request_id": "r1", "verdict": "wrong", "instances": instances}
        heard = (await client.post("/v1/feedback", json=said)).json()
        unknown = await client.post("/v1/feedback", json={"request_id": "r2", "verdict": "right"})
        await until(lambda: 'outcome="kept"' in running.models[0].metrics.render()[0].decode())
        figures = (await client.get("/metrics")).text
        return {"heard": heard, "unknown": unknown.status_code, "figures": figures}

    found = serve(world, story)
    sample = world.samples.get("r1")
    assert sample is not None
    assert (sample.source, sample.model_version) == ("line 7", "1")
    assert found["heard"] == {"request_id": "r1", "becomes_a_label": True}
    assert found["unknown"] == 404
    assert 'maskloop_samples_total{outcome="kept"} 1.0' in found["figures"]
    assert 'maskloop_requests_total{cause="",status="200",version="1"} 1.0' in found["figures"]


def test_in_a_rollout_both_models_are_compared_and_the_replica_moves_it_on(world: World) -> None:
    promote_first(world)
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")

    async def story(client: httpx.AsyncClient, running: RunningService) -> dict[str, Any]:
        await until(lambda: running.models[0].host.is_ready and running.models[0].host.hosted.challenger)
        assert (await client.post("/v1/predict", content=PNG)).json()["model"]["version"] == "1"
        described = (await client.get("/v1/model")).json()["rollout"]
        await until(lambda: world.pairs.comparisons("cycle-2"))
        await asyncio.to_thread(decide_by_hand, world.app(), "2", "rejected", by="anna", why="no")
        await until(lambda: running.models[0].host.hosted.challenger is None)
        await until(lambda: world.state.rollouts["cycle-2"].phase == "rolled-back")
        return dict(described)

    described = serve(world, story)
    assert (described["rollout"], described["phase"], described["share_percent"]) == (
        "cycle-2",
        "shadow",
        0.0,
    )
    (comparison,) = world.pairs.comparisons("cycle-2")
    assert comparison.agreement == 1.0


def test_a_rollback_reaches_the_running_service(world: World) -> None:
    promote_first(world)
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")
    world.tag_version("2", "approved", by="anna")

    async def story(client: httpx.AsyncClient, running: RunningService) -> list[str]:
        await until(lambda: version_of(running) == "1")
        await asyncio.to_thread(reconcile, world.app())
        await until(lambda: version_of(running) == "2")
        before = await client.post("/v1/predict", content=PNG)
        await asyncio.to_thread(
            roll_back_last_change, world.app(), to_version=None, by="anna", why="it is worse"
        )
        await until(lambda: version_of(running) == "1")
        after = await client.post("/v1/predict", content=PNG)
        return [answer.json()["model"]["version"] for answer in (before, after)]

    assert serve(world, story) == ["2", "1"]


def test_without_its_ledger_the_service_answers_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    promote_first(world)

    async def story(client: httpx.AsyncClient, running: RunningService) -> int:
        await until(lambda: running.models[0].host.is_ready)

        def away(*_arguments: Any, **_options: Any) -> Any:
            raise UnavailableError("the ledger does not answer")

        monkeypatch.setattr(world.ledger, "entries", away)
        await until(lambda: "does not answer" in running.models[0].host.problem)
        return (await client.post("/v1/predict", content=PNG)).status_code

    assert serve(world, story) == 200


def test_answers_are_written_as_samples_before_the_service_ends(world: World) -> None:
    promote_first(world)

    async def story(client: httpx.AsyncClient, running: RunningService) -> None:
        await until(lambda: running.models[0].host.is_ready)
        for number in range(20):
            headers = {"X-Request-Id": f"r{number}"}
            await client.post("/v1/predict", content=PNG, headers=headers)

    serve(world, story)
    assert all(world.samples.get(f"r{number}") for number in range(20))


def test_an_application_is_not_made_for_strangers(tmp_path: Path) -> None:
    (tmp_path / "maskloop.toml").write_text("")
    with pytest.raises(ConfigurationError, match="no API key yet"):
        make_application(tmp_path, ServingSettings(host="0.0.0.0"))
    application = make_application(tmp_path, ServingSettings())
    assert application.title == "maskloop: mask-rcnn"


def test_memory_that_load_has_added_is_laid_onto_large_pages_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid: list[None] = []
    monkeypatch.setattr("flows.answering.service_assembly.use_large_pages", lambda: laid.append(None))
    monkeypatch.setattr("flows.answering.service_assembly._LARGE_PAGES_EVERY_S", 0.02)

    async def story(_client: httpx.AsyncClient, _running: RunningService) -> int:
        await until(lambda: len(laid) > 2)
        return len(laid)

    assert serve(world, story) > 2


def test_two_workspaces_answer_side_by_side_and_each_keeps_its_own_samples(
    world: World, tmp_path: Path
) -> None:
    other = World(tmp_path / "other", rollout="enabled = false")
    other.label(range(12))
    promote_first(world)

    async def story(client: httpx.AsyncClient, running: RunningService) -> list[Any]:
        early = await client.post("/v1/models/weeds/predict", content=PNG)
        await asyncio.to_thread(promote_first, other)
        await until(lambda: all(model.host.is_ready for model in running.models))
        headers = {"X-Request-Id": "w1"}
        late = await client.post("/v1/models/weeds/predict", content=PNG, headers=headers)
        first = await client.post("/v1/predict", content=PNG)
        await until(lambda: other.samples.get("w1") is not None)
        pages = [(await client.get(path)).text for path in ("/metrics", "/v1/models/weeds/metrics")]
        counted = ['maskloop_requests_total{cause="",status="200",version="1"} 1.0' in page for page in pages]
        return [early.status_code, late.status_code, first.status_code, counted]

    assert serve(world, story, others={"weeds": other.app()}) == [503, 200, 200, [True, True]]
    assert world.samples.get("w1") is None


def test_a_rollback_of_one_model_leaves_the_others_as_they_are(world: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other", rollout="enabled = false")
    other.label(range(12))
    for each in (world, other):
        promote_first(each)
        each.label(range(12, 24))
        run_turn(each.app(), starts_from="champion")
        each.tag_version("2", "approved", by="anna")
        reconcile(each.app())

    async def story(client: httpx.AsyncClient, running: RunningService) -> list[str]:
        await until(lambda: all(model.host.is_ready for model in running.models))
        await asyncio.to_thread(
            roll_back_last_change, other.app(), to_version=None, by="anna", why="it is worse"
        )
        await until(lambda: running.models[1].host.hosted.champion.served.version == "1")
        answers = [await client.post(f"/v1/{at}predict", content=PNG) for at in ("", "models/weeds/")]
        return [answer.json()["model"]["version"] for answer in answers]

    assert serve(world, story, others={"weeds": other.app()}) == ["2", "1"]


def test_a_workspace_that_cannot_be_opened_costs_only_its_own_model(tmp_path: Path) -> None:
    for name, settings in (("first", ""), ("broken", "serving = 3")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "maskloop.toml").write_text(settings)
    folders = {"broken": "../broken", "missing": str(tmp_path / "nowhere")}
    others, refused = open_others(tmp_path / "first", "parts", ServingSettings(models=folders))
    assert others == {}
    assert refused.keys() == {"broken", "missing"}


@pytest.mark.parametrize("models", [{"parts": "../other"}, {"a": "."}, {"a": "../other", "b": "../other"}])
def test_two_models_have_neither_one_name_nor_one_workspace(tmp_path: Path, models: dict[str, str]) -> None:
    for name in ("first", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "maskloop.toml").write_text("")
    with pytest.raises(ConfigurationError, match="is served already"):
        open_others(tmp_path / "first", "parts", ServingSettings(models=models))


def test_a_model_has_its_workspace_s_settings_but_for_what_all_models_share() -> None:
    own = ServingSettings(request_timeout_s=5.0, workers=8, port=1, max_in_flight=4)
    settings = choose_settings(own, ServingSettings(request_timeout_s=9.0, workers=2, port=99))
    assert (settings.request_timeout_s, settings.max_in_flight) == (5.0, 4)
    assert (settings.workers, settings.port) == (2, 99)


def test_models_that_never_fit_are_named_before_the_service_starts(tmp_path: Path) -> None:
    for name, size in (("small", 1), ("large", 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(b"0" * size * MIB)
    folders = {name: tmp_path / name for name in ("small", "large", "unknown")}
    settings = ServingSettings(memory_mib=4.0, workers=2)
    assert find_what_is_too_large(folders, settings).keys() == {"large"}
    with pytest.raises(RefusedError, match="large takes 3 MiB, and all models of a worker together may take"):
        find_what_is_too_large({"large": tmp_path / "large"}, settings)
