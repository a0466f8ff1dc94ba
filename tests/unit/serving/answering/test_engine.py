from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from maskloop.errors import IntegrityError, MaskloopError, NotFoundError, RefusedError, UnavailableError
from maskloop.settings.workspace_settings import ServingSettings
from serving.answering.batching import MicroBatcher
from serving.answering.engine import Engine
from serving.answering.hosting import ModelHost
from serving.answers import PairedAnswer
from tests.fakes.serving_world import (
    FakePredictor,
    FakeSource,
    Gate,
    RememberingObserver,
    make_picture,
    passes_of,
)


class World:
    """An engine over a fake source."""

    def __init__(self, source: FakeSource | None = None) -> None:
        self.source = source or FakeSource()
        self.observer = RememberingObserver()
        self.pairs: list[PairedAnswer] = []
        self.settings = ServingSettings()

    def run(self, story: Callable[[Engine], Awaitable[Any]]) -> Any:
        async def told() -> Any:
            host = ModelHost(self.source, self.observer)
            batcher = MicroBatcher(self.settings)
            engine = Engine(host, batcher, self.settings, observer=self.observer, on_pair=self.pairs.append)
            try:
                await host.refresh()
                return await story(engine)
            finally:
                await engine.close()
                host.close()

        return asyncio.run(told())


async def finish_mirrors(engine: Engine) -> None:
    await asyncio.gather(*engine._mirrors)


def test_an_answer_names_the_version_that_gave_it() -> None:
    answer = World().run(lambda engine: engine.answer(make_picture()))
    assert answer.model.served.version == "1"
    assert len(answer.prediction.detections) == 1
    assert set(answer.stages_s) == {"queue", "model"}


def test_without_a_champion_nothing_is_answered_and_the_reason_is_said() -> None:
    world = World(FakeSource(trouble=NotFoundError("nothing serves yet")))
    with pytest.raises(UnavailableError, match="nothing serves yet"):
        world.run(lambda engine: engine.answer(make_picture()))


def test_a_new_champion_takes_over_and_requests_that_began_before_end_with_the_old_one() -> None:
    gate = Gate()
    world = World(FakeSource(options={"1": {"before": lambda pictures: None}}))

    async def story(engine: Engine) -> Any:
        predictor = engine.host.hosted.champion.predictor
        assert isinstance(predictor, FakePredictor)
        predictor.before = gate
        began_before = asyncio.create_task(engine.answer(make_picture("a")))
        assert await asyncio.to_thread(gate.arrived.wait, 20)
        world.source.champion = "2"
        await engine.host.refresh()
        came_after = asyncio.create_task(engine.answer(make_picture("b")))
        await asyncio.sleep(0)
        gate.opened.set()
        return await asyncio.gather(began_before, came_after)

    old, new = world.run(story)
    assert (old.model.served.version, new.model.served.version) == ("1", "2")


@pytest.mark.parametrize(
    "trouble", [UnavailableError("the ledger is away"), IntegrityError("other bytes"), RefusedError("no")]
)
def test_trouble_with_what_is_wanted_leaves_what_serves(trouble: MaskloopError) -> None:
    world = World()

    async def story(engine: Engine) -> Any:
        world.source.trouble = trouble
        await engine.host.refresh()
        return await engine.answer(make_picture()), engine.host.problem

    answer, problem = world.run(story)
    assert answer.model.served.version == "1"
    assert str(trouble) in problem


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one() -> None:
    world = World()

    async def story(engine: Engine) -> Any:
        world.source.champion, world.source.load_trouble = "2", IntegrityError("not finite")
        await engine.host.refresh()
        return await engine.answer(make_picture())

    assert world.run(story).model.served.version == "1"


def test_a_model_is_loaded_once_and_warmed_before_it_answers() -> None:
    world = World()

    async def story(engine: Engine) -> Any:
        for _ in range(5):
            await engine.host.refresh()
        return passes_of(engine.host.hosted.champion)

    assert len(world.run(story)) >= 2
    assert world.source.loaded == ["1"]


def test_in_the_shadow_both_answer_and_the_client_gets_the_champions() -> None:
    world = World(FakeSource(options={"2": {"class_index": 1}}))
    world.source.roll_out("2", share_percent=0, mirror_percent=100)

    async def story(engine: Engine) -> Any:
        answer = await engine.answer(make_picture())
        await finish_mirrors(engine)
        return answer

    answer = world.run(story)
    assert answer.model.served.version == "1"
    (pair,) = world.pairs
    assert pair.answered_by == "champion"
    assert pair.challenger.answer is not None
    assert pair.challenger.answer.prediction.detections.class_indices.tolist() == [1]
    assert pair.champion.seconds > 0
    assert world.observer.of("mirrored") == [{"outcome": "compared"}]


def test_at_full_share_the_challenger_answers_and_the_champion_works_in_the_shadow() -> None:
    world = World()
    world.source.roll_out("2", share_percent=100, mirror_percent=100)

    async def story(engine: Engine) -> Any:
        answer = await engine.answer(make_picture())
        await finish_mirrors(engine)
        return answer

    assert world.run(story).model.served.version == "2"
    (pair,) = world.pairs
    assert (pair.answered_by, pair.cycle_id) == ("challenger", "cycle-2")
    assert pair.champion.answer is not None


def test_a_challenger_that_fails_is_replaced_and_the_client_never_sees_it() -> None:
    def crash(pictures: Any) -> None:
        if pictures[0].shape[0] == 16:
            raise RuntimeError("out of memory")

    world = World(FakeSource(options={"2": {"before": crash}}))
    world.source.roll_out("2", share_percent=100)
    answer = world.run(lambda engine: engine.answer(make_picture()))
    assert answer.model.served.version == "1"
    (pair,) = world.pairs
    assert pair.challenger.error == "RuntimeError: out of memory"
    assert pair.answered_by == "challenger"


def test_a_challenger_that_cannot_be_loaded_gets_no_traffic() -> None:
    world = World()

    async def story(engine: Engine) -> Any:
        world.source.roll_out("2", share_percent=100)
        world.source.load_trouble = IntegrityError("other bytes")
        await engine.host.refresh()
        return await engine.answer(make_picture())

    assert world.run(story).model.served.version == "1"


def test_after_a_rollback_no_request_reaches_the_challenger() -> None:
    world = World()
    world.source.roll_out("2", share_percent=100)

    async def story(engine: Engine) -> list[str]:
        before = await engine.answer(make_picture("a"))
        world.source.challenger, world.source.traffic = "", type(world.source.traffic)()
        await engine.host.refresh()
        after = [await engine.answer(make_picture(str(n))) for n in range(20)]
        return [answer.model.served.version for answer in (before, *after)]

    assert world.run(story) == ["2", *["1"] * 20]


def test_whoever_records_pairs_cannot_hurt_a_client() -> None:
    def fail(_pair: PairedAnswer) -> None:
        raise ZeroDivisionError

    world = World()
    world.source.roll_out("2", share_percent=0, mirror_percent=100)

    async def story(engine: Engine) -> Any:
        engine._on_pair = fail
        answer = await engine.answer(make_picture())
        await finish_mirrors(engine)
        return answer

    assert world.run(story).model.served.version == "1"


def test_a_promoted_challenger_is_not_loaded_again() -> None:
    world = World()
    world.source.roll_out("2", share_percent=50)

    async def story(engine: Engine) -> Any:
        world.source.champion, world.source.challenger = "2", ""
        world.source.traffic = type(world.source.traffic)()
        await engine.host.refresh()
        return engine.host.hosted.champion

    champion = world.run(story)
    assert (champion.served.version, champion.role) == ("2", "champion")
    assert world.source.loaded == ["1", "2"]
