"""What is read and judged of a rollout under way, second by second."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from maskloop.masks import Rle, encode_masks
from monitoring.samples.corrections import Correction
from serving.rollout.corrected import DropReader
from serving.rollout.pairs import Comparison, KeptPair, PairReader
from tests.fakes.correction_log import FakeCorrectionLog
from tests.fakes.pair_log import FakePairLog
from tests.fakes.serving_world import detect

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHAMPION_ROWS, CHALLENGER_ROWS = 3, 2
THIRD = pytest.approx(1 / 3)


class CountingPairLog(FakePairLog):
    """Remembers which answers were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_for: list[list[str]] = []

    def find(self, cycle_id: str, request_ids: Sequence[str]) -> Sequence[KeptPair]:
        self.asked_for.append(list(request_ids))
        return super().find(cycle_id, request_ids)


class CountingCorrectionLog(FakeCorrectionLog):
    """Remembers how often corrections were read."""

    num_reads = 0

    def newest(self, limit: int) -> Sequence[Correction]:
        self.num_reads += 1
        return super().newest(limit)


class Rollout:
    """Both logs, and what reads them."""

    def __init__(self) -> None:
        self.pairs, self.corrections = CountingPairLog(), CountingCorrectionLog()
        self._comparisons, self._drops = PairReader(self.pairs), DropReader(self.corrections, self.pairs)

    def answer(self, request_id: str, *, cycle_id: str = "cycle-2", challenger_fails: bool = False) -> None:
        challenger = None if challenger_fails else detect(draw(CHALLENGER_ROWS))
        comparison = Comparison(cycle_id, request_id, "champion")
        self.pairs.add(KeptPair(comparison, detect(draw(CHAMPION_ROWS)), challenger, ("bolt", "nut")))

    def correct(self, request_id: str, num_rows: int | None = CHAMPION_ROWS) -> None:
        instances = None if num_rows is None else (("bolt", mask(num_rows)),)
        self.corrections.add(Correction(request_id, NOON, "anna", "wrong", instances))

    def drops(self, cycle_id: str = "cycle-2") -> tuple[float, ...]:
        return self._drops.read(cycle_id, self._comparisons.read(cycle_id))


def draw(num_rows: int) -> np.ndarray:
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[2 : 2 + num_rows, 3:9] = 255
    return pixels


def mask(num_rows: int) -> Rle:
    return encode_masks(draw(num_rows)[None, ..., 0] > 0)[0]


@pytest.fixture
def rollout() -> Rollout:
    return Rollout()


def test_a_drop_is_the_champions_agreement_with_the_correction_minus_the_challengers(
    rollout: Rollout,
) -> None:
    rollout.answer("r1")
    rollout.answer("r2")
    rollout.correct("r1")
    assert rollout.drops() == (THIRD,)  # 18 of 18 px, and 12 of 18
    rollout.correct("r2", CHALLENGER_ROWS)
    assert rollout.drops() == (THIRD, pytest.approx(-1 / 3))


def test_each_corrected_pair_is_read_once(rollout: Rollout) -> None:
    for name in ("r1", "r2", "r3"):
        rollout.answer(name)
    rollout.correct("r1")
    rollout.drops()
    rollout.drops()
    rollout.answer("r4")
    rollout.drops()
    rollout.correct("r3")
    assert rollout.drops() == (THIRD, THIRD)
    assert rollout.pairs.asked_for == [["r1"], ["r3"]]


def test_corrections_are_read_only_after_a_new_one_has_arrived(rollout: Rollout) -> None:
    rollout.answer("r1")
    rollout.drops()
    assert rollout.corrections.num_reads == 0
    rollout.correct("r1")
    for _ in range(5):
        rollout.drops()
    assert rollout.corrections.num_reads == 1


def test_a_second_correction_of_a_picture_replaces_its_drop(rollout: Rollout) -> None:
    rollout.answer("r1")
    rollout.correct("r1")
    rollout.drops()
    rollout.correct("r1", CHALLENGER_ROWS)
    assert rollout.drops() == (pytest.approx(-1 / 3),)
    rollout.correct("r1", None)
    assert rollout.drops() == ()


def test_a_correction_may_arrive_before_its_pair(rollout: Rollout) -> None:
    rollout.correct("r1")
    assert rollout.drops() == ()
    assert rollout.pairs.asked_for == []
    rollout.answer("r1")
    assert rollout.drops() == (THIRD,)


def test_drops_come_in_the_order_of_the_answers(rollout: Rollout) -> None:
    rollout.answer("r1")
    rollout.answer("r2")
    rollout.correct("r2", CHALLENGER_ROWS)
    rollout.drops()
    rollout.correct("r1")
    assert rollout.drops() == (THIRD, pytest.approx(-1 / 3))


def test_a_picture_that_one_side_did_not_answer_has_no_drop_and_is_not_asked_for_again(
    rollout: Rollout,
) -> None:
    rollout.answer("r1", challenger_fails=True)
    rollout.correct("r1")
    assert rollout.drops() == ()
    assert rollout.drops() == ()
    assert rollout.pairs.asked_for == [["r1"]]


def test_another_rollout_has_drops_of_its_own(rollout: Rollout) -> None:
    rollout.answer("r1")
    rollout.correct("r1")
    assert rollout.drops() == (THIRD,)
    assert rollout.drops("cycle-3") == ()
    rollout.answer("r1", cycle_id="cycle-3")
    assert rollout.drops("cycle-3") == (THIRD,)
