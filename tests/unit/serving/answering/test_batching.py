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
from serving.answering.lines import Line
from serving.observing import SilentObserver
from tests.fakes.serving_world import Gate, RememberingObserver, make_model, make_picture, passes_of


def run(story: Callable[[Line], Awaitable[Any]], **settings: Any) -> Any:
    return run_both(lambda _batcher, line: story(line), **settings)


def run_both(story: Callable[[MicroBatcher, Line], Awaitable[Any]], **settings: Any) -> Any:
    async def told() -> Any:
        batcher = MicroBatcher(ServingSettings(**settings))
        try:
            return await story(batcher, batcher.open_line(SilentObserver()))
        finally:
            await batcher.drain(5)

    return asyncio.run(told())


async def reached(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.arrived.wait, 20)


def start(line: Line, model: Any, name: str, **options: Any) -> asyncio.Task[Any]:
    options = {"deadline_s": 20, **options}
    return asyncio.create_task(line.submit(model, make_picture(name), **options))


def test_pictures_that_come_while_the_model_is_busy_share_the_next_pass() -> None:
    gate = Gate()
    model = make_model(before=gate)

    async def story(line: Line) -> Any:
        first = start(line, model, "a")
        await reached(gate)
        others = [start(line, model, name) for name in "bcd"]
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

    async def story(batcher: MicroBatcher, line: Line) -> None:
        assert not batcher.is_computing
        first = start(line, model, "a")
        await reached(gate)
        assert batcher.is_computing
        gate.opened.set()
        await first
        assert not batcher.is_computing

    run_both(story)


def test_no_pass_holds_more_than_settings_allow_or_two_models() -> None:
    gate = Gate()
    one, other = make_model("1", before=gate), make_model("2")

    async def story(line: Line) -> Any:
        line.seconds_per_picture = 0.001
        first = start(line, one, "a")
        await reached(gate)
        rest = [start(line, other if name in "xy" else one, name) for name in "bxcydef"]
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

    async def story(line: Line) -> None:
        first = start(line, model, "a")
        await reached(gate)
        second = start(line, model, "b")
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

    async def story(line: Line) -> None:
        first = start(line, model, "a")
        await reached(gate)
        with pytest.raises(DeadlineError, match=r"within 0\.01 s"):
            await line.submit(model, make_picture("b"), deadline_s=0.01)
        gate.opened.set()
        await first

    run(story)
    assert passes_of(model) == [1]


def test_who_would_wait_too_long_is_refused_at_once_and_told_when_to_come_back() -> None:
    gate = Gate()
    model = make_model(before=gate)

    async def story(line: Line) -> float:
        line.seconds_per_picture = 1.5
        first = start(line, model, "a", deadline_s=20)
        await reached(gate)
        second = start(line, model, "b")
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as refused:
            await line.submit(model, make_picture("c"), deadline_s=20)
        gate.opened.set()
        await asyncio.gather(first, second)
        return refused.value.retry_after_s

    assert run(story, max_queue_s=2.0) == pytest.approx(3.0)


def test_before_anything_was_measured_the_queue_is_bounded_by_its_length() -> None:
    gate = Gate()
    model = make_model(before=gate)

    async def story(line: Line) -> None:
        first = start(line, model, "a")
        await reached(gate)
        waiting = [start(line, model, name) for name in "bcde"]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await line.submit(model, make_picture("f"), deadline_s=20)
        gate.opened.set()
        await asyncio.gather(first, *waiting)

    run(story, max_batch=2)


def test_live_pictures_are_computed_before_shadow_work() -> None:
    gate, order = Gate(), []
    live = make_model("1", before=gate)
    shadow = make_model("2", before=lambda _pictures: order.append("shadow"))
    live_later = make_model("3", before=lambda _pictures: order.append("live"))

    async def story(line: Line) -> None:
        first = start(line, live, "a")
        await reached(gate)
        tasks = [start(line, shadow, "s", shadow=True), start(line, live_later, "b")]
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

    async def story(line: Line) -> Any:
        first = start(line, model, "a")
        await reached(gate)
        dark = asyncio.create_task(line.submit(model, make_picture("dark", value=0), deadline_s=20))
        good = start(line, model, "b")
        await asyncio.sleep(0)
        gate.opened.set()
        return await asyncio.gather(first, dark, good, return_exceptions=True)

    first, dark, good = run(story)
    assert isinstance(dark, PictureError)
    assert len(first.prediction.detections) == len(good.prediction.detections) == 1


def test_draining_answers_what_was_accepted_and_accepts_nothing_more() -> None:
    gate = Gate()
    model = make_model(before=gate)

    async def story(batcher: MicroBatcher, line: Line) -> Any:
        accepted = [start(line, model, "a")]
        await reached(gate)
        accepted += [start(line, model, name) for name in "bc"]
        await asyncio.sleep(0)
        draining = asyncio.create_task(batcher.drain(20))
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="stopping"):
            await line.submit(model, make_picture("d"), deadline_s=20)
        gate.opened.set()
        await draining
        return await asyncio.gather(*accepted)

    assert len(run_both(story)) == 3


def test_a_pass_that_hangs_is_abandoned_when_the_shutdown_time_is_over() -> None:
    gate = Gate()
    model = make_model(before=gate)

    async def story(batcher: MicroBatcher, line: Line) -> Any:
        stuck = start(line, model, "a")
        await reached(gate)
        waiting = start(line, model, "b")
        await asyncio.sleep(0)
        await batcher.drain(0.01)
        outcomes = await asyncio.gather(stuck, waiting, return_exceptions=True)
        gate.opened.set()
        return outcomes

    assert [type(outcome) for outcome in run_both(story)] == [asyncio.CancelledError] * 2
    assert passes_of(model) == [1]


def test_an_idle_model_waits_for_more_pictures_until_the_batch_is_full() -> None:
    model = make_model()

    async def story(line: Line) -> list[int]:
        first = start(line, model, "a")
        await asyncio.sleep(0)
        before = list(passes_of(model))
        await asyncio.gather(first, start(line, model, "b"))
        return before

    assert run(story, max_batch=2, batch_wait_ms=60_000) == []
    assert passes_of(model) == [2]


def test_an_idle_model_waits_for_more_pictures_no_longer_than_the_setting() -> None:
    model = make_model()
    run(lambda line: start(line, model, "a"), max_batch=2, batch_wait_ms=1)
    assert passes_of(model) == [1]


def test_passes_are_counted_and_timed() -> None:
    observer = RememberingObserver()

    async def story() -> None:
        batcher = MicroBatcher(ServingSettings())
        line = batcher.open_line(observer)
        await line.submit(make_model("7"), make_picture(), deadline_s=20)
        await batcher.drain(5)

    asyncio.run(story())
    (batch,) = observer.of("batch")
    assert (batch["role"], batch["version"], batch["size"]) == ("champion", "7", 1)
    assert batch["seconds"] > 0
    assert np.isfinite(batch["seconds"])


def test_a_challenger_that_hangs_delays_no_other_request() -> None:
    hangs = Gate()
    champion, challenger = make_model("1"), make_model("2", "challenger", before=hangs)

    async def story(line: Line) -> list[str]:
        stuck = start(line, challenger, "a", shadow=True)
        await reached(hangs)
        answered = [await start(line, champion, name) for name in "bcd"]
        hangs.opened.set()
        await stuck
        return [answer.model.served.version for answer in answered]

    assert run(story) == ["1", "1", "1"]


def test_shadow_work_waits_while_anybody_waits_for_either_model() -> None:
    busy = Gate()
    champion, challenger = make_model("1", before=busy), make_model("2", "challenger")

    async def story(line: Line) -> Any:
        line.seconds_per_picture = 0.001
        first = start(line, champion, "a")
        await reached(busy)
        second = start(line, champion, "b")
        shadow = start(line, challenger, "c", shadow=True)
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
        batcher = MicroBatcher(ServingSettings(max_batch=8), cores=cores)
        line = batcher.open_line(SilentObserver())
        first = start(line, model, "a")
        await reached(gate)
        others = [start(line, model, name) for name in "bcdefghi"]
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
        batcher = MicroBatcher(ServingSettings(), cores=CountedCores())
        line = batcher.open_line(SilentObserver())
        stuck = start(line, challenger, "a")
        await reached(hangs)
        answers = [await start(line, champion, name) for name in "bc"]
        hangs.opened.set()
        await stuck
        await batcher.drain(5)
        return answers

    assert [answer.model.served.version for answer in asyncio.run(story())] == ["1", "1"]


def test_the_pictures_of_one_model_wait_no_longer_because_another_one_has_a_long_line() -> None:
    gate, order = Gate(), list[str]()

    def crowd(pictures: Sequence[Any]) -> None:
        order.append("crowded")
        gate(pictures)

    crowded = make_model("1", before=crowd)
    quiet = make_model("2", before=lambda _pictures: order.append("quiet"))

    async def story(batcher: MicroBatcher, line: Line) -> Any:
        other = batcher.open_line(SilentObserver())
        line.seconds_per_picture = other.seconds_per_picture = 0.01
        first = start(line, crowded, "a")
        await reached(gate)
        many = [start(line, crowded, f"b{number}") for number in range(100)]
        await asyncio.sleep(0)
        few = [start(other, quiet, f"c{number}") for number in range(3)]
        await asyncio.sleep(0)
        waits = line.waiting_s, other.waiting_s
        gate.opened.set()
        await asyncio.gather(first, *many, *few)
        return waits

    long_s, short_s = run_both(story, max_batch=1)
    assert order[:8].count("quiet") == 3
    assert short_s < 0.1 < 1.0 < long_s


def test_a_full_line_refuses_its_own_model_alone() -> None:
    gate = Gate()
    crowded, quiet = make_model("1", before=gate), make_model("2")

    async def story(batcher: MicroBatcher, line: Line) -> str:
        other = batcher.open_line(SilentObserver())
        line.seconds_per_picture, other.seconds_per_picture = 1.5, 0.5
        tasks = [start(line, crowded, "a")]
        await reached(gate)
        tasks.append(start(line, crowded, "b"))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await line.submit(crowded, make_picture("c"), deadline_s=20)
        answered = start(other, quiet, "d")
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(*tasks)
        return str((await answered).model.served.version)

    assert run_both(story, max_queue_s=2.0) == "2"
