"""Samples wait on the device within bounds, over restarts, and each goes to the cloud once."""

from __future__ import annotations

import pytest

from maskloop.errors import StorageError
from serving.edge.outbox import Kept, Outbox, Sent, choose_dropped
from tests.fakes.ledger import FakeClock
from tests.fakes.serving_world import make_answer, make_picture


class World:
    """An outbox, and what it told."""

    def __init__(self, folder, *, max_bytes: int = 10_000, rate: float = 1.0, uncertain: str = "") -> None:
        self.told: list[str] = []
        self.folder, self.clock = folder, FakeClock()
        self.options = {"max_bytes": max_bytes, "rate": rate}
        self.uncertain = uncertain
        self.outbox = self.open()

    def open(self) -> Outbox:
        return Outbox(
            self.folder,
            is_uncertain=lambda answer: answer.model.served.version == self.uncertain,
            clock=self.clock,
            tell=self.told.append,
            **self.options,  # type: ignore[arg-type]
        )

    def offer(self, *ids: str, version: str = "1") -> None:
        for request_id in ids:
            self.outbox.offer(make_picture(request_id), make_answer(version), source="line 1")

    def write(self) -> None:
        """Wait until everything is written, as a stop does, and go on."""
        self.outbox.close()
        self.outbox = self.open()

    def waiting(self) -> list[str]:
        """Return the ids that wait, oldest first, and take them out."""
        found = []
        while oldest := self.outbox.oldest():
            found.append(oldest[1].request_id)
            self.outbox.remove(oldest[0])
        return found


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "outbox")
    yield made
    made.outbox.close()


def test_what_is_kept_is_found_again_after_a_restart_oldest_first(world):
    for number in range(3):
        world.offer(f"r{number}")
        world.clock.advance(seconds=1)
        world.write()
    name, sample = world.outbox.oldest()
    assert sample == Sent("r0", "line 1", b"bytes of r0")
    assert world.outbox.counts()[0] == 3
    assert world.waiting() == ["r0", "r1", "r2"]
    assert world.told == ["kept"] * 3
    assert name.endswith(".sample")


def test_the_same_request_again_is_kept_once(world):
    world.offer("r1", "r1")
    world.write()
    world.offer("r1")
    world.write()
    assert world.told == ["kept", "repeated", "repeated"]
    assert world.waiting() == ["r1"]


def test_chance_keeps_the_share_that_the_cloud_service_draws_too_and_doubt_keeps_the_rest(tmp_path):
    world = World(tmp_path / "outbox", rate=0.0, uncertain="2")
    world.offer("sure")
    world.offer("unsure", version="2")
    world.write()
    assert sorted(world.told) == ["kept", "not_chosen"]
    assert world.waiting() == ["unsure"]
    world.outbox.close()


def test_a_failure_is_no_sample(world):
    world.outbox.offer(make_picture("r1"), None, error="broken")
    assert world.told == ["not_chosen"]


def test_what_the_cloud_got_meanwhile_is_forgotten(world):
    world.offer("r1", "r2")
    world.outbox.forget("r1")
    world.outbox.forget("never kept")
    world.write()
    assert world.waiting() == ["r2"]


def test_a_full_outbox_drops_the_oldest_and_counts_it_for_ever(tmp_path):
    world = World(tmp_path / "outbox", max_bytes=150)
    for number in range(6):
        world.offer(f"r{number}")
        world.clock.advance(seconds=1)
        world.write()
    waiting, num_bytes, dropped = world.outbox.counts()
    assert waiting + dropped == 6
    assert 0 < num_bytes <= 150
    assert world.told.count("dropped") == dropped > 0
    assert world.waiting() == [f"r{number}" for number in range(dropped, 6)]
    world.outbox.close()


def test_neither_kind_of_sample_drives_the_other_out():
    chance = [Kept(f"{number:03d}", "chance", 10) for number in range(10)]
    uncertain = [Kept(f"{number:03d}", "uncertain", 10) for number in range(10, 100)]
    dropped = choose_dropped([*chance, *uncertain], 300)
    assert {one.kind for one in dropped} == {"uncertain"}
    left = [one for one in [*chance, *uncertain] if one not in dropped]
    assert sum(one.num_bytes for one in left) == 300
    assert left[10:] == uncertain[-20:]


def test_a_sample_larger_than_the_outbox_is_dropped_and_nothing_else(tmp_path):
    world = World(tmp_path / "outbox", max_bytes=10)
    world.offer("r1")
    world.write()
    assert (world.told, world.waiting()) == (["dropped"], [])
    world.outbox.close()


def test_a_damaged_sample_is_counted_and_holds_nothing_up(world):
    world.offer("r1")
    world.clock.advance(seconds=1)
    world.write()
    world.offer("r2")
    world.write()
    first = min(world.folder.glob("*.sample"))
    first.write_bytes(b"\x00\x01")
    assert world.waiting() == ["r2"]
    assert world.outbox.counts()[2] == 1


def test_a_disk_that_takes_nothing_costs_samples_and_no_answer(tmp_path, monkeypatch):
    def fail(*_args):
        raise StorageError("the disk is full")

    monkeypatch.setattr("serving.edge.outbox.write_bytes", fail)
    world = World(tmp_path / "outbox")
    world.offer("r1")
    world.write()
    assert world.told == ["unwritten"]
    world.outbox.close()
