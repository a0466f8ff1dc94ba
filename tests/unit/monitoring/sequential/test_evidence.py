"""e-values by hand, and by counting all cases; what the evidence does with them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.drift.baseline import Baseline
from monitoring.sequential.bets import NUM_BETS, SHAPES, cell_probabilities, shape_of
from monitoring.sequential.evidence import (
    CREDIT,
    EVIDENCE_SHARE,
    LONGEST_GAP,
    QUARTER,
    SHORTEST_GAP,
    Evidence,
    add_scene,
    begin_evidence,
    e_values,
    needed_evidence,
)
from monitoring.sequential.scoring import MISSING, Column, Scorer, fit_scorer
from tests.fakes.drift_data import CONTINUOUS, NOON, baseline_of, draw

HOUR = timedelta(hours=1)


def scorer_of(*values: float) -> Scorer:
    """Return a scorer of one number, whose reference has these values."""
    rising = np.sort(np.asarray(values, np.float64))
    return Scorer(
        "r",
        (Column("brightness", rising, np.sort(np.random.default_rng(9).random(len(rising)))),),
        ("brightness",),
        None,
    )


def add(
    evidence: Evidence, scorer: Scorer, cell: int, *, gap: timedelta = HOUR, needed: float = 1e9
) -> Evidence:
    return add_scene(evidence, scorer, np.array([cell]), at=NOON, gap=gap, needed=needed)


# --- bets ----------------------------------------------------------------------------------------


@given(st.integers(0, 300))
def test_each_bet_is_a_probability_of_each_cell(num_reference: int) -> None:
    table = cell_probabilities(num_reference)
    assert table.shape == (num_reference + 1, NUM_BETS)
    assert (table > 0).all()
    assert table.sum(axis=0) == pytest.approx(1.0)


def test_bets_favour_the_cells_that_their_shape_is_called_after() -> None:
    table = cell_probabilities(9)
    likeliest: dict[str, set[int]] = {shape_of(bet): set() for bet in range(NUM_BETS)}
    for bet in range(NUM_BETS):
        likeliest[shape_of(bet)].add(int(table[:, bet].argmax()))
    assert list(likeliest) == list(SHAPES)
    assert (likeliest["falls"], likeliest["rises"]) == ({0}, {9})
    assert likeliest["spreads"] <= {0, 9}
    assert likeliest["narrows"] <= {4, 5}


# --- e-values ------------------------------------------------------------------------------------


def test_the_first_e_value_is_the_bet_over_an_even_chance_for_each_cell() -> None:
    """With one reference value, a fall ``1 - (1 - u) ** 2`` gives the lower of two cells 3/4."""
    found = e_values(2, np.array([0, 0]), 0)
    assert found[0] == pytest.approx(0.75 / 0.5)


def test_a_cell_that_scenes_fell_into_before_is_less_of_a_surprise() -> None:
    """Two scenes in the lower cell: the urn expects the third there with (1 + 2) / (2 + 2)."""
    assert e_values(2, np.array([2, 0]), 0)[0] == pytest.approx(0.75 / 0.75)
    assert e_values(2, np.array([2, 0]), 1)[0] == pytest.approx(0.25 / 0.25)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_the_mean_e_value_is_1_with_the_urns_probabilities(before: list[int]) -> None:
    counts = np.asarray(before, np.int64)
    num_cells = len(counts)
    chances = (1 + counts) / (num_cells + counts.sum())
    mean = sum(chance * e_values(num_cells, counts, cell) for cell, chance in enumerate(chances))
    assert mean == pytest.approx(1.0)


def test_all_orders_of_independent_values_fall_into_cells_with_the_urns_probabilities() -> None:
    """Counted exactly: two reference values and three scenes, all 120 orders equally likely."""
    num_reference, counted = 2, Counter[tuple[int, ...]]()
    for order in permutations(range(5)):
        reference = sorted(order[:num_reference])
        counted[tuple(sum(one > edge for edge in reference) for one in order[num_reference:])] += 1
    for cells, times in counted.items():
        chance = Fraction(1)
        for number, cell in enumerate(cells):
            chance *= Fraction(1 + cells[:number].count(cell), num_reference + 1 + number)
        assert Fraction(times, 120) == chance


def test_the_mean_evidence_is_the_time_that_passed_and_the_credit() -> None:
    """Counted exactly over all orders, so for any continuous distribution; for each bet by itself."""
    totals = np.zeros(NUM_BETS)
    for order in permutations(range(5)):
        scorer = scorer_of(*order[:2])
        evidence = begin_evidence("camera", scorer, credit=0.01)
        for value in order[2:]:
            evidence = add(evidence, scorer, scorer.columns[0].place(value, 0.5))
        totals += evidence.values[0]
    assert totals / 120 == pytest.approx(0.01 + 3 * (HOUR / QUARTER))


# --- evidence ------------------------------------------------------------------------------------


def test_the_evidence_is_a_shiryaev_roberts_sum_weighted_by_the_time_between_scenes() -> None:
    scorer = scorer_of(0.5)
    evidence = begin_evidence("camera", scorer, credit=0.0)
    for _ in range(2):
        evidence = add(evidence, scorer, 0)
    step = HOUR / QUARTER
    first, second = 0.75 / 0.5, 0.75 / (2 / 3)
    assert evidence.values[0, 0] == pytest.approx(second * (first * step + step))


def test_an_alarm_names_the_number_how_it_changed_and_the_scene_and_stays() -> None:
    scorer = scorer_of(*np.linspace(0.0, 1.0, 40))
    evidence = begin_evidence("camera", scorer, credit=CREDIT)
    needed = needed_evidence(1.0, 1)
    for _ in range(20):
        evidence = add(evidence, scorer, 40, needed=needed)
    assert evidence.alarm is not None
    assert (evidence.alarm.name, evidence.alarm.shape) == ("brightness", "rises")
    assert evidence.num_scenes == evidence.alarm.num_scenes < 10
    assert evidence.share(needed) == 1.0
    assert "brightness rises in pictures of camera" in evidence.alarm.sentence()


def test_a_missing_value_is_no_evidence_and_is_counted() -> None:
    scorer = scorer_of(0.5)
    before = begin_evidence("camera", scorer, credit=0.25)
    after = add(before, scorer, MISSING)
    assert (after.values == 0.25 + HOUR / QUARTER).all()
    assert (after.num_scenes, after.num_missing.tolist(), after.counts.sum()) == (1, [1], 0)


@pytest.mark.parametrize(
    ("gap", "counted"),
    [(timedelta(days=-3), SHORTEST_GAP), (timedelta(), SHORTEST_GAP), (timedelta(days=400), LONGEST_GAP)],
)
def test_a_clock_that_stands_still_or_jumps_counts_as_a_second_or_a_day(
    gap: timedelta, counted: timedelta
) -> None:
    scorer = scorer_of(0.5)
    after = add(begin_evidence("camera", scorer, credit=0.0), scorer, MISSING, gap=gap)
    assert after.values[0, 0] == pytest.approx(counted / QUARTER)


def test_the_mean_time_to_a_false_alarm_is_at_least_what_the_budget_asks() -> None:
    """The bound of the docstring, integrated numerically for several budgets and numbers."""
    for budget in (0.25, 1.0, 4.0, 20.0):
        for num_numbers in (1, 17, 60):
            needed = needed_evidence(budget, num_numbers)
            quarters = np.linspace(0.0, 40.0 / budget, 400_001)
            chance = np.minimum(1.0, num_numbers * (quarters + CREDIT) / needed)
            mean_quarters = float(np.trapezoid(1.0 - chance, quarters))
            assert mean_quarters == pytest.approx(1.0 / (EVIDENCE_SHARE * budget), rel=1e-3)


def test_a_stricter_budget_and_more_numbers_ask_for_more_evidence() -> None:
    assert needed_evidence(0.25, 10) > needed_evidence(1.0, 10) > needed_evidence(1.0, 5)


# --- numbers -------------------------------------------------------------------------------------


def test_equal_values_are_put_in_order_by_lot() -> None:
    column = Column("count", np.array([1.0, 2.0, 2.0, 2.0, 3.0]), np.array([0.5, 0.2, 0.4, 0.6, 0.5]))
    assert [column.place(2.0, lot) for lot in (0.1, 0.3, 0.5, 0.9)] == [1, 2, 3, 4]
    assert [column.place(value, 0.5) for value in (0.0, 1.5, 9.0, np.nan)] == [0, 1, 5, MISSING]


def test_a_scene_gets_the_same_lots_each_time_it_is_placed() -> None:
    scorer = fit_scorer(baseline_of(draw(np.random.default_rng(0), 60)))
    [numbers] = scorer.measure(draw(np.random.default_rng(1), 1))
    assert scorer.place(numbers, "s1").tolist() == scorer.place(numbers, "s1").tolist()


def test_features_are_compared_with_all_scenes_and_the_embedding_with_those_its_fit_has_not_seen() -> None:
    seen = draw(np.random.default_rng(0), 60)
    scorer = fit_scorer(baseline_of(seen))
    sizes = {column.name: len(column.values) for column in scorer.columns}
    assert {sizes[name] for name in CONTINUOUS} == {60}
    assert {size for name, size in sizes.items() if name.startswith("embedding")} == {30}
    assert scorer.projection is not None
    embeddings = np.array([one.embedding for one in seen])
    assert int(scorer.projection.has_seen(embeddings).sum()) == 30


def test_a_number_of_too_few_reference_scenes_is_not_watched_and_named() -> None:
    scorer = fit_scorer(baseline_of(draw(np.random.default_rng(0), 30)))
    assert dict(scorer.unwatched) == {"embedding": "30 reference scenes have one, 40 are needed"}
    nothing = fit_scorer(baseline_of(draw(np.random.default_rng(0), 10)))
    assert nothing.columns == ()
    assert nothing.unwatched["brightness"] == "10 reference scenes have one, 20 are needed"


def test_a_feature_that_is_not_measured_any_more_is_not_watched_and_named() -> None:
    values = np.random.default_rng(0).normal(size=(40, 1))
    old = Baseline("w", "f", ("glitter",), values, np.zeros((0, 0), np.float32))
    assert fit_scorer(old).unwatched["glitter"] == "not measured any more"


def test_a_constant_column_is_no_evidence_until_it_changes() -> None:
    scorer = scorer_of(*[0.0] * 30)
    rng = np.random.default_rng(0)
    needed = needed_evidence(1.0, 1)
    evidence = begin_evidence("camera", scorer, credit=CREDIT)
    for _ in range(200):
        cell = scorer.columns[0].place(0.0, float(rng.random()))
        evidence = add(evidence, scorer, cell, needed=needed)
    assert evidence.alarm is None
    for _ in range(10):
        evidence = add(evidence, scorer, scorer.columns[0].place(1.0, 0.5), needed=needed)
    assert evidence.alarm is not None
