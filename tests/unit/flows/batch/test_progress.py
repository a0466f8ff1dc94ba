"""What a failure means: others are not touched by it, and every unit comes out once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.batch.plan import Scene, Shard, Stretch
from flows.batch.progress import MAX_FAILURES, Schedule, Task, part_of
from flows.batch.results import ShardResult, UnitResult
from flows.runs.kept import pack, unpack

SCENE = Scene(10, 30, tile_px=10, overlap_px=0)


def answer(task: Task) -> ShardResult:
    units = [unit for one in part_of(task).stretches for unit in one.units()]
    told = tuple(
        UnitResult(unit.name, unit.first_tile if unit.scene else None, num_tiles=1) for unit in units
    )
    return ShardResult(task.shard.number, told, seconds=1.0)


def take(schedule: Schedule) -> Task:
    task = schedule.take()
    assert task is not None
    return task


def test_shards_are_taken_in_order_until_none_is_left() -> None:
    schedule = Schedule(iter([Shard(0, (Stretch("a"),)), Shard(3, (Stretch("b"),))]))
    first, second = take(schedule), take(schedule)

    assert (first.shard.number, second.shard.number, schedule.take()) == (0, 3, None)
    assert schedule.finish(second.number, answer(second)) == answer(second)
    assert schedule.num_underway == 1


def test_a_shard_that_fails_is_tried_unit_by_unit_and_comes_out_in_its_order() -> None:
    shard = Shard(7, (Stretch("a"), Stretch("scene", SCENE, 1, 2)))
    schedule = Schedule(iter([shard]))
    assert schedule.fail(take(schedule).number, "the worker died") is None
    tasks = [take(schedule) for _ in range(3)]
    assert [part_of(task) for task in tasks] == [
        Shard(7, (Stretch("a"),)),
        Shard(7, (Stretch("scene", SCENE, 1, 1),)),
        Shard(7, (Stretch("scene", SCENE, 2, 1),)),
    ]
    assert schedule.finish(tasks[2].number, answer(tasks[2])) is None
    assert schedule.finish(tasks[0].number, answer(tasks[0])) is None
    whole = schedule.finish(tasks[1].number, answer(tasks[1]))
    assert whole is not None
    assert [(unit.name, unit.tile) for unit in whole.units] == [("a", None), ("scene", 1), ("scene", 2)]
    assert whole.seconds == 3.0


def test_a_unit_that_fails_every_time_is_set_aside_with_the_last_reason() -> None:
    schedule = Schedule(iter([Shard(0, (Stretch("a"), Stretch("poison")))]))
    schedule.fail(take(schedule).number, "the worker was ended by SIGKILL")
    good = take(schedule)
    for _ in range(MAX_FAILURES - 1):
        assert schedule.fail(take(schedule).number, "the worker was ended by SIGKILL") is None
    last = take(schedule)
    schedule.finish(good.number, answer(good))
    whole = schedule.fail(last.number, "out of memory")

    assert whole is not None
    assert [unit.error for unit in whole.units] == ["", "out of memory (4 times)"]
    assert schedule.take() is None


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), max_size=6),
    poison=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 3))),
    chance=st.randoms(use_true_random=False),
)
def test_whoever_fails_when_every_unit_comes_out_exactly_once(
    sizes: list[int], poison: set[tuple[int, int]], chance: object
) -> None:
    """Poison always fails; other tasks fail at random, but a unit by itself never so often."""
    shards = [
        Shard(number, tuple(Stretch(f"{number}/{unit}") for unit in range(size)))
        for number, size in enumerate(sizes)
    ]
    poisoned = {f"{number}/{unit}" for number, unit in poison}
    schedule = Schedule(iter(shards))
    underway: list[Task] = []
    finished: list[ShardResult] = []
    while True:
        while len(underway) < 3 and (task := schedule.take()):
            underway.append(task)
        if not underway:
            break
        task = underway.pop(chance.randrange(len(underway)))  # type: ignore[attr-defined]
        names = {one.name for one in part_of(task).stretches}
        by_chance = task.failures < MAX_FAILURES - 1 and chance.random() < 0.3  # type: ignore[attr-defined]
        if names & poisoned or by_chance:
            done = schedule.fail(task.number, "it failed")
        else:
            done = schedule.finish(task.number, answer(task))
        if done:
            finished.append(done)
    units = [(unit.name, bool(unit.error)) for one in finished for unit in one.units]

    assert sorted(units) == sorted(
        (one.name, one.name in poisoned) for shard in shards for one in shard.stretches
    )
    assert sorted(one.number for one in finished) == [shard.number for shard in shards]


def test_a_result_is_the_same_after_it_was_kept_and_its_bytes_depend_on_it_alone() -> None:
    result = ShardResult(3, (UnitResult("a", height_px=4, width_px=5, num_tiles=1),), 1.5, 2)

    assert unpack(pack(result), ShardResult) == result
    assert pack(result) == pack(unpack(pack(result), ShardResult))
