"""Whose turn it is: lines that wait at the same time get the same time, whatever each of them holds."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from serving.answering.lines import choose_next, estimate_wait_s

costs_s = st.lists(st.floats(0.001, 2.0), min_size=2, max_size=5)


def serve(costs: list[float], waits: list[list[bool]]) -> list[tuple[int, list[float]]]:
    """Choose a line in each round, of those that wait in it; give the choices and each line's time so far."""
    finished, used, now_s = [0.0] * len(costs), [0.0] * len(costs), 0.0
    rounds = []
    for waiting in waits:
        times = {at: max(finished[at], now_s) for at, is_waiting in enumerate(waiting) if is_waiting}
        chosen = choose_next(times)
        if chosen is not None:
            now_s = times[chosen]
            finished[chosen] = now_s + costs[chosen]
            used[chosen] += costs[chosen]
            rounds.append((chosen, list(used)))
    return rounds


@given(costs_s, st.integers(20, 200))
def test_lines_that_always_wait_never_differ_by_more_than_a_pass_of_each(
    costs: list[float], num_rounds: int
) -> None:
    rounds = serve(costs, [[True] * len(costs)] * num_rounds)
    for _, used in rounds:
        for one, mine_s in enumerate(used):
            for other, theirs_s in enumerate(used):
                assert abs(mine_s - theirs_s) <= costs[one] + costs[other] + 1e-9


@given(costs_s, st.integers(0, 100))
def test_a_line_that_begins_to_wait_is_next_within_one_pass_of_each_other_line(
    costs: list[float], begins_at: int
) -> None:
    num_others = len(costs) - 1
    alone = [[True] * num_others + [False]] * begins_at
    both = [[True] * len(costs)] * (num_others + 1)
    rounds = serve(costs, [*alone, *both])
    assert num_others in [chosen for chosen, _ in rounds[begins_at:]]


@given(costs_s, st.integers(10, 100))
def test_a_line_saves_no_turns_up_while_nobody_waits_in_it(costs: list[float], num_rounds: int) -> None:
    late = [[True] * (len(costs) - 1) + [False]] * num_rounds + [[True] * len(costs)] * num_rounds
    rounds = serve([1.0] * len(costs), late)[num_rounds:]
    in_a_row = [one == other for (one, _), (other, _) in pairwise(rounds)]
    assert not any(in_a_row)


@given(
    st.floats(0.0, 10.0), st.floats(0.0, 5.0), st.lists(st.floats(0.0, 1000.0), max_size=4), st.floats(0, 100)
)
def test_a_longer_line_elsewhere_adds_at_most_what_the_line_itself_takes(
    own_s: float, one_s: float, others_s: list[float], more_s: float
) -> None:
    before = estimate_wait_s(own_s, one_s, others_s)
    after = estimate_wait_s(own_s, one_s, [*others_s, more_s])
    assert own_s <= before <= after <= before + own_s + one_s + 1e-9
