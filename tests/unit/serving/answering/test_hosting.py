"""Which models are in memory: the champion first, trouble said once and without places, old ones let go."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from dataset.raw.conversion import PictureConversion
from maskloop.errors import IntegrityError, UnavailableError
from serving.answering.hosting import ModelHost
from serving.answers import EngineUse, HostedModel, Role, Wanted
from serving.observing import SilentObserver
from serving.telemetry.periodic import in_thread, repeat, running
from tests.fakes.serving_world import FakeSource


class Watching(SilentObserver):
    def __init__(self) -> None:
        self.changes: list[Wanted] = []
        self.engines: list[list[str]] = []

    def serving_changed(self, wanted: Wanted) -> None:
        self.changes.append(wanted)

    def engines_changed(self, models: Sequence[HostedModel]) -> None:
        self.engines.append([model.engine.name for model in models])


class PickySource(FakeSource):
    """Cannot load challengers, in whatever way a test wants; counts the attempts."""

    error: Exception = RuntimeError("CUDA out of memory")
    attempts = 0
    before: Callable[[], None] = staticmethod(lambda: None)

    def load(self, served: Any, role: Role) -> HostedModel:
        if role == "challenger":
            self.before()
            self.attempts += 1
            raise self.error
        return super().load(served, role)


def tell(source: FakeSource, story: Callable[[ModelHost], Awaitable[Any]]) -> tuple[Any, Watching]:
    async def told() -> tuple[Any, Watching]:
        watching = Watching()
        host = ModelHost(source, watching)
        try:
            return await story(host), watching
        finally:
            host.close()

    return asyncio.run(told())


def test_after_a_restart_the_champion_answers_before_its_challenger_is_loaded() -> None:
    source = PickySource()
    source.roll_out("2", share_percent=5.0)
    seen: list[bool] = []

    async def story(host: ModelHost) -> None:
        source.before = lambda: seen.append(host.is_ready)
        await host.refresh()

    tell(source, story)
    assert seen == [True]


def test_memory_is_settled_once_for_each_model_before_it_answers() -> None:
    source, answering = FakeSource(), list[bool]()

    async def story() -> None:
        host = ModelHost(source, Watching(), settle=lambda: answering.append(host.is_ready))
        await host.refresh()
        await host.refresh()
        source.roll_out("2", share_percent=5.0)
        await host.refresh()
        host.close()

    asyncio.run(story())
    assert answering == [False, True]


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), IntegrityError("other bytes")])
def test_a_challenger_that_cannot_be_loaded_is_left_alone_for_a_while_then_tried_again(
    error: Exception,
) -> None:
    source = PickySource()
    source.error = error
    source.roll_out("2", share_percent=5.0)

    async def story(host: ModelHost) -> list[int]:
        counted = []
        for _ in range(3):
            await host.refresh()
            counted.append(source.attempts)
        assert host.hosted.challenger is None
        assert host.hosted.traffic.share_percent == 0.0
        assert host.problem == ""
        host._try_again_at = 0.0
        await host.refresh()
        return [*counted, source.attempts]

    counted, watching = tell(source, story)
    assert counted == [1, 1, 1, 2]
    assert [change.challenger for change in watching.changes] == [None]


def test_a_challenger_that_reads_pictures_otherwise_than_the_champion_answers_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = FakeSource(options={"2": {"conversion": PictureConversion((0.0, 4096.0))}})
    source.roll_out("2", share_percent=5.0)

    async def story(host: ModelHost) -> tuple[object, str]:
        await host.refresh()
        await host.refresh()
        return host.hosted.challenger, host.problem

    assert tell(source, story)[0] == (None, "")
    assert source.loaded == ["1", "2"]
    assert "values 0 to 4096, and the champion under the full 16-bit range" in caplog.text


def test_trouble_is_logged_once_with_its_place_and_told_without(caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource(trouble=UnavailableError("the ledger does not answer", where="/srv/ledger.db"))

    async def story(host: ModelHost) -> list[str]:
        for _ in range(3):
            await host.refresh()
        problems = [host.problem]
        source.trouble = None
        await host.refresh()
        return [*problems, host.problem]

    with caplog.at_level(logging.WARNING):
        problems, _ = tell(source, story)
    assert problems == ["the ledger does not answer", ""]
    assert caplog.text.count("/srv/ledger.db") == 1


def test_whatever_a_model_raises_while_it_is_loaded_is_told_without_its_words() -> None:
    source = FakeSource(options={"1": {"before": lambda _pictures: 1 / 0}})

    async def story(host: ModelHost) -> str:
        await host.refresh()
        return host.problem

    assert tell(source, story)[0] == "the model cannot be loaded"


def test_a_champion_answers_in_torch_until_its_engine_is_known_and_is_then_loaded_into_that() -> None:
    source = FakeSource(engines={"1": None})

    async def story(host: ModelHost) -> list[str]:
        seen = []
        for engine in (None, EngineUse("openvino", "twice as fast"), EngineUse("openvino", "twice as fast")):
            source.engines["1"] = engine
            await host.refresh()
            seen.append(host.hosted.champion.engine.name)
        return seen

    seen, watching = tell(source, story)
    assert seen == ["torch", "openvino", "openvino"]
    assert source.loaded == ["1", "1"]
    assert watching.engines == [["torch"], ["openvino"]]


def test_why_torch_answers_is_learned_without_loading_the_model_again() -> None:
    source = FakeSource(engines={"1": None})

    async def story(host: ModelHost) -> str:
        await host.refresh()
        source.engines["1"] = EngineUse("torch", "openvino is slower")
        await host.refresh()
        return host.hosted.champion.engine.reason

    assert tell(source, story)[0] == "openvino is slower"
    assert source.loaded == ["1"]


def test_a_challenger_waits_for_its_engine_and_the_champion_serves_on() -> None:
    source = FakeSource(engines={"2": None})
    source.roll_out("2", share_percent=5.0)

    async def story(host: ModelHost) -> list[Any]:
        await host.refresh()
        before = (host.hosted.challenger, host.hosted.traffic.share_percent)
        source.engines["2"] = EngineUse("openvino", "")
        await host.refresh()
        challenger = host.hosted.challenger
        return [*before, challenger and challenger.engine.name, host.hosted.traffic.share_percent]

    assert tell(source, story)[0] == [None, 0.0, "openvino", 5.0]


def test_an_engine_that_fails_is_replaced_by_torch_at_the_next_look() -> None:
    source = FakeSource(engines={"1": EngineUse("openvino", "")})

    async def story(host: ModelHost) -> str:
        await host.refresh()
        source.engines["1"] = EngineUse("torch", "openvino failed")
        await host.refresh()
        return host.hosted.champion.engine.name

    assert tell(source, story)[0] == "torch"


def test_a_replaced_champion_leaves_memory() -> None:
    source = FakeSource()

    async def story(host: ModelHost) -> Any:
        await host.refresh()
        old = weakref.ref(host.hosted.champion.predictor)
        source.champion = "2"
        await host.refresh()
        gc.collect()
        return old()

    assert tell(source, story)[0] is None


def test_work_in_the_background_goes_on_after_trouble_which_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1
        if calls in (2, 3):
            raise UnavailableError("it is away")
        if calls in (5, 6):
            raise ValueError("a bug")

    async def story() -> None:
        async with running(repeat("counting", in_thread(work), every_s=0.0)):
            while calls < 8:
                await asyncio.sleep(0.001)

    with caplog.at_level(logging.WARNING, logger="maskloop.serving"):
        asyncio.run(story())
    said = [one.getMessage() for one in caplog.records]
    assert said == [
        "counting: it is away",
        "counting: works again",
        "counting failed",
        "counting: ValueError: a bug",
        "counting: works again",
    ]
