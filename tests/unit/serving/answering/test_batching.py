from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from maskloop.errors import DeadlineError, OverloadedError, PictureError, UnavailableError
from maskloop.settings.workspace_settings import ServingSettings
from serving.answering.batching import MicroBatcher
from serving.observing import SilentObserver
from tests.fakes.serving_world import Gate, RememberingObserver, make_model, make_picture, passes_of


def run(story: Callable[[MicroBatcher], Awaitable[Any]], **settings: Any) -> Any:
    async def told() -> Any:
        batcher = MicroBatcher(ServingSettings(**settings), SilentObserver())
        try:
            return await story(batcher)
        finally:
            await batcher.drain(5)

    return asyncio.run(told())


async def reached(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.arrived.wait, 20)


def start(batcher: MicroBatcher, model: Any, name: str, **options: Any) -> asyncio.Task[Any]:
    options = {"deadline_s": 20, **options}
    return asyncio.create_task(batcher.submit(model, make_picture(name), **options))


def test_pictures_that_come_while_the_model_is_busy_share_the_next_pass() -> None:
    gate = Gate()
    model = make_model(before=gate)

    async def story(batcher: MicroBatcher) -> Any:
        first = start(batcher, model, "a")
        await reached(gate)
        others = [start(batcher, model, name) for name in "bcd"]
        await asyncio.sleep(0)
        gate.opened.set()
        return await asyncio.gather(first, *others)

    answers = run(story)
    assert passes_of(model) == [1, 3]
    assert [answer.batch_size for answer in answers] == [1, 3, 3, 3]
    assert all(answer.model is model for answer in answers)


def test_a_batcher_computes_while_a_pass_runs_and_no_longer() -> None:
    gate = Gate()
    model = make_model(before=gate)

    async def story(batcher: MicroBatcher) -> None:
        assert not batcher.is_computing
        first = start(batcher, model, "a")
        await reached(gate)
        assert batcher.is_computing
        gate.opened.set()
        await first
        assert not batcher.is_computing

    run(story)


def test_no_pass_holds_more_than_settings_allow_or_two_models() -> None:
    gate = Gate()
    one, other = make_model("1", before=gate), make_model("2")

    async def story(batcher: MicroBatcher) -> Any:
        batcher._seconds_per_picture = 0.001
        first = start(batcher, one, "a")
        await reached(gate)
        rest = [start(batcher, other if name in "xy" else one, name) for name in "bxcydef"]
        await asyncio.sleep(0)
        gate.opened.set()
        return await asyncio.gather(first, *rest)

    answers = run(story, max_batch=3)
    assert [answer.model.served.version for answer in answers] == list("11212111")
    assert max(passes_of(one)) <= 3
    assert passes_of(other) == [2]


def test_a_cancelled_request_costs_no_pass() -> None:
    gate = Gate()
    model = make_model(before=gate)

    async def story(batcher: MicroBatcher) -> None:
        first = start(batcher, model, "a")
        await reached(gate)
        second = start(batcher, model, "b")
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        await first

    run(story)
    assert passes_of(model) == [1]


def test_a_request_whose_time_ran_out_in_the_queue_costs_no_pass() -> None:
    gate = Gate()
    model = make_model(before=gate)

    async def story(batcher: MicroBatcher) -> None:
        first = start(batcher, model, "a")
        await reached(gate)
        with pytest.raises(DeadlineError, match=r"within 0\.01 s"):
            await batcher.submit(model, make_picture("b"), deadline_s=0.01)
        gate.opened.set()
        await first

    run(story)
    assert passes_of(model) == [1]


def test_who_would_wait_too_long_is_refused_at_once_and_told_when_to_come_back() -> None:
    gate = Gate()
    model = make_model(before=gate)

    async def story(batcher: MicroBatcher) -> float:
        batcher._seconds_per_picture = 1.5
        first = start(batcher, model, "a", deadline_s=20)
        await reached(gate)
        second = start(batcher, model, "b")
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as refused:
            await batcher.submit(model, make_picture("c"), deadline_s=20)
        gate.opened.set()
        await asyncio.gather(first, second)
        return refused.value.retry_after_s

    assert run(story, max_queue_s=2.0) == pytest.approx(3.0)


def test_before_anything_was_measured_the_queue_is_bounded_by_its_length() -> None:
    gate = Gate()
    model = make_model(before=gate)

    async def story(batcher: MicroBatcher) -> None:
        first = start(batcher, model, "a")
        await reached(gate)
        waiting = [start(batcher, model, name) for name in "bcde"]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await batcher.submit(model, make_picture("f"), deadline_s=20)
        gate.opened.set()
        await asyncio.gather(first, *waiting)

    run(story, max_batch=2)


def test_live_pictures_are_computed_before_shadow_work() -> None:
    gate, order = Gate(), []
    live = make_model("1", before=gate)
    shadow = make_model("2", before=lambda _pictures: order.append("shadow"))
    live_later = make_model("3", before=lambda _pictures: order.append("live"))

    async def story(batcher: MicroBatcher) -> None:
        first = start(batcher, live, "a")
        await reached(gate)
        tasks = [start(batcher, shadow, "s", shadow=True), start(batcher, live_later, "b")]
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(first, *tasks)

    run(story)
    assert order == ["live", "shadow"]


def test_one_bad_picture_fails_alone() -> None:
    gate = Gate()

    def refuse_dark(pictures: Any) -> None:
        gate(pictures)
        if any(not pixels.any() for pixels in pictures):
            raise PictureError("too dark")

    model = make_model(before=refuse_dark)

    async def story(batcher: MicroBatcher) -> Any:
        first = start(batcher, model, "a")
        await reached(gate)
        dark = asyncio.create_task(batcher.submit(model, make_picture("dark", value=0), deadline_s=20))
        good = start(batcher, model, "b")
        await asyncio.sleep(0)
        gate.opened.set()
        return await asyncio.gather(first, dark, good, return_exceptions=True)

    first, dark, good = run(story)
    assert isinstance(dark, PictureError)
    assert len(first.prediction.detections) == len(good.prediction.detections) == 1


def test_draining_answers_what_was_accepted_and_accepts_nothing_more() -> None:
    gate = Gate()
    model = make_model(before=gate)

    async def story(batcher: MicroBatcher) -> Any:
        accepted = [start(batcher, model, "a")]
        await reached(gate)
        accepted += [start(batcher, model, name) for name in "bc"]
        await asyncio.sleep(0)
        draining = asyncio.create_task(batcher.drain(20))
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="stopping"):
            await batcher.submit(model, make_picture("d"), deadline_s=20)
        gate.opened.set()
        await draining
        return await asyncio.gather(*accepted)

    assert len(run(story)) == 3


def test_a_pass_that_hangs_is_abandoned_when_the_shutdown_time_is_over() -> None:
    gate = Gate()
    model = make_model(before=gate)

    async def story(batcher: MicroBatcher) -> Any:
        stuck = start(batcher, model, "a")
        await reached(gate)
        waiting = start(batcher, model, "b")
        await asyncio.sleep(0)
        await batcher.drain(0.01)
        outcomes = await asyncio.gather(stuck, waiting, return_exceptions=True)
        gate.opened.set()
        return outcomes

    assert [type(outcome) for outcome in run(story)] == [asyncio.CancelledError] * 2
    assert passes_of(model) == [1]


def test_an_idle_model_waits_for_more_pictures_until_the_batch_is_full() -> None:
    model = make_model()

    async def story(batcher: MicroBatcher) -> list[int]:
        first = start(batcher, model, "a")
        await asyncio.sleep(0)
        before = list(passes_of(model))
        await asyncio.gather(first, start(batcher, model, "b"))
        return before

    assert run(story, max_batch=2, batch_wait_ms=60_000) == []
    assert passes_of(model) == [2]


def test_an_idle_model_waits_for_more_pictures_no_longer_than_the_setting() -> None:
    model = make_model()
    run(lambda batcher: start(batcher, model, "a"), max_batch=2, batch_wait_ms=1)
    assert passes_of(model) == [1]


def test_passes_are_counted_and_timed() -> None:
    observer = RememberingObserver()

    async def story() -> None:
        batcher = MicroBatcher(ServingSettings(), observer)
        await batcher.submit(make_model("7"), make_picture(), deadline_s=20)
        await batcher.drain(5)

    asyncio.run(story())
    (batch,) = observer.of("batch")
    assert (batch["role"], batch["version"], batch["size"]) == ("champion", "7", 1)
    assert batch["seconds"] > 0
    assert np.isfinite(batch["seconds"])


def test_a_challenger_that_hangs_delays_no_other_request() -> None:
    hangs = Gate()
    champion, challenger = make_model("1"), make_model("2", "challenger", before=hangs)

    async def story(batcher: MicroBatcher) -> list[str]:
        stuck = start(batcher, challenger, "a", shadow=True)
        await reached(hangs)
        answered = [await start(batcher, champion, name) for name in "bcd"]
        hangs.opened.set()
        await stuck
        return [answer.model.served.version for answer in answered]

    assert run(story) == ["1", "1", "1"]


def test_shadow_work_waits_while_anybody_waits_for_either_model() -> None:
    busy = Gate()
    champion, challenger = make_model("1", before=busy), make_model("2", "challenger")

    async def story(batcher: MicroBatcher) -> Any:
        batcher._seconds_per_picture = 0.001
        first = start(batcher, champion, "a")
        await reached(busy)
        second = start(batcher, champion, "b")
        shadow = start(batcher, challenger, "c", shadow=True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert passes_of(challenger) == []
        busy.opened.set()
        return await asyncio.gather(first, second, shadow)

    run(story)
    assert passes_of(challenger) == [1]


class CountedCores:
    """Four cores; remembers how many each thread was given."""

    def __init__(self) -> None:
        self.by_thread: dict[str, int] = {}

    def count(self) -> int:
        return 4

    def use(self, count: int) -> None:
        self.by_thread[threading.current_thread().name] = count

    def of_this_thread(self) -> int:
        return self.by_thread[threading.current_thread().name]


def test_one_picture_gets_all_cores_and_many_share_them_side_by_side() -> None:
    cores, gate = CountedCores(), Gate()
    together = threading.Barrier(4, timeout=20)
    seen: list[tuple[int, int]] = []

    def watch(pictures: Sequence[Any]) -> None:
        seen.append((len(pictures), cores.of_this_thread()))
        if len(seen) == 1:
            gate(pictures)
        else:
            together.wait()

    model = make_model(before=watch)

    async def story() -> None:
        batcher = MicroBatcher(ServingSettings(max_batch=8), SilentObserver(), cores=cores)
        first = start(batcher, model, "a")
        await reached(gate)
        others = [start(batcher, model, name) for name in "bcdefghi"]
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(first, *others)
        await batcher.drain(5)

    asyncio.run(story())
    assert seen[0] == (1, 4)
    assert seen[1:] == [(2, 1)] * 4


def test_a_challenger_that_hangs_on_all_cores_leaves_the_champion_its_own_lanes() -> None:
    hangs = Gate()
    champion, challenger = make_model("1"), make_model("2", "challenger", before=hangs)

    async def story() -> Any:
        batcher = MicroBatcher(ServingSettings(), SilentObserver(), cores=CountedCores())
        stuck = start(batcher, challenger, "a")
        await reached(hangs)
        answers = [await start(batcher, champion, name) for name in "bc"]
        hangs.opened.set()
        await stuck
        await batcher.drain(5)
        return answers

    assert [answer.model.served.version for answer in asyncio.run(story())] == ["1", "1"]
