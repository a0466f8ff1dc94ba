"""Who makes room: the budget is never exceeded, who answers is never unloaded, and everybody gets a turn."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.residency.room import Decision, Need, Resident, decide_room

BUDGET = 100


def decide(need: Need, *residents: Resident, keep_s: float = 0.0, now_s: float = 100.0) -> Decision:
    return decide_room(need, residents, budget_bytes=BUDGET, keep_s=keep_s, now_s=now_s)


def test_what_fits_is_granted_and_nobody_goes() -> None:
    assert decide(Need("c", 40), Resident("a", 60)) == Decision("grant")


def test_the_idle_model_that_was_used_longest_ago_goes_first() -> None:
    old, new = Resident("a", 50, last_used_s=2.0), Resident("b", 50, last_used_s=1.0)
    assert decide(Need("c", 10), old, new).unload == ("b",)


def test_no_more_models_go_than_have_to() -> None:
    models = [Resident(name, 20, last_used_s=at) for at, name in enumerate("abcde")]
    assert decide(Need("f", 30), *models).unload == ("a", "b")


def test_memory_that_is_on_its_way_out_is_waited_for() -> None:
    assert decide(Need("c", 50), Resident("a", 50, leaving_bytes=50)) == Decision("wait")


def test_a_busy_model_is_closed_once_it_has_had_its_time() -> None:
    busy = Resident("a", 80, num_using=1, loaded_s=95.0)
    assert decide(Need("c", 50), busy, keep_s=10.0) == Decision("wait", again_in_s=5.0)
    assert decide(Need("c", 50), busy, keep_s=5.0) == Decision("wait", close=("a",))


def test_a_closed_model_goes_when_it_has_answered() -> None:
    closed = Resident("a", 80, num_using=1, is_closing=True)
    assert decide(Need("c", 50), closed) == Decision("wait")
    assert decide(Need("c", 50), replace(closed, num_using=0)) == Decision("wait", unload=("a",))


def test_a_new_champion_takes_its_predecessor_s_memory_only_if_nothing_else_suffices() -> None:
    need = Need("a", 60, may_replace_itself=True)
    assert decide(need, Resident("a", 40), Resident("b", 60)).unload == ("b",)
    assert decide(need, Resident("a", 50), Resident("b", 50)).unload == ("b", "a")


def test_a_challenger_never_takes_the_memory_of_its_champion() -> None:
    assert decide(Need("a", 60), Resident("a", 50), Resident("b", 50)).outcome == "refuse"


def test_at_the_start_nobody_goes_for_what_comes_later_in_the_list() -> None:
    assert decide(Need("c", 50, may_displace=False), Resident("a", 60)) == Decision("refuse")


residents = st.lists(
    st.builds(
        Resident,
        name=st.sampled_from("abcdef"),
        kept_bytes=st.integers(0, 40),
        loading_bytes=st.integers(0, 10),
        leaving_bytes=st.integers(0, 10),
        num_using=st.integers(0, 2),
        last_used_s=st.floats(0, 100),
        loaded_s=st.floats(0, 100),
        is_closing=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda one: one.name,
)
needs = st.builds(
    Need, st.sampled_from("abcdef"), st.integers(0, 150), st.booleans(), may_replace_itself=st.booleans()
)


@given(needs, residents, st.floats(0, 50))
def test_whatever_is_granted_is_within_the_budget_and_whatever_is_unloaded_is_idle(
    need: Need, models: list[Resident], keep_s: float
) -> None:
    decision = decide(need, *models, keep_s=keep_s)
    by_name = {one.name: one for one in models}
    if decision.outcome == "grant":
        assert sum(one.all_bytes for one in models) + need.num_bytes <= BUDGET
        assert not decision.unload + decision.close
    assert all(by_name[name].num_using == 0 for name in decision.unload)
    assert all(by_name[name].num_using > 0 for name in decision.close)
    if not need.may_replace_itself:
        assert need.name not in decision.unload + decision.close
    if not need.may_displace:
        assert decision.outcome != "wait"


@dataclass
class Model:
    """A simulated model: its size, and how many requests it answers."""

    size: int
    is_loaded: bool = False
    is_closing: bool = False
    answering: list[int] = field(default_factory=list)
    """Steps that each accepted request still takes."""
    loaded_s: float = 0.0
    last_used_s: float = 0.0

    def describe(self, name: str) -> Resident:
        return Resident(
            name,
            kept_bytes=self.size * self.is_loaded,
            num_using=len(self.answering),
            last_used_s=self.last_used_s,
            loaded_s=self.loaded_s,
            is_closing=self.is_closing,
        )


@settings(max_examples=60)
@given(
    st.lists(st.integers(10, BUDGET), min_size=2, max_size=5),
    st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=30, max_size=60),
    st.integers(0, 5),
    st.integers(1, 4),
)
def test_every_model_that_is_asked_for_is_loaded_in_bounded_time_however_busy_the_others_are(
    sizes: list[int], asked: list[list[int]], keep_s: int, num_steps: int
) -> None:
    """Loaded models are asked without a pause, the others as the example says; requests take a few steps."""
    models = {str(number): Model(size) for number, size in enumerate(sizes)}
    line: list[tuple[str, int]] = []
    longest_s = len(models) * (keep_s + num_steps + 3)
    for now_s in range(len(asked) + len(models) * longest_s):
        for number in asked[now_s] if now_s < len(asked) else []:
            name = str(number % len(models))
            if not models[name].is_loaded and name not in [waiting for waiting, _ in line]:
                line.append((name, now_s))
        for model in models.values():
            model.answering = [left - 1 for left in model.answering if left > 1]
            if model.is_loaded and not model.is_closing:
                model.answering.append(num_steps)
        if line:
            name, since_s = line[0]
            decision = decide_room(
                Need(name, models[name].size),
                [model.describe(each) for each, model in models.items()],
                budget_bytes=BUDGET,
                keep_s=keep_s,
                now_s=now_s,
            )
            assert decision.outcome != "refuse"
            for gone in decision.unload:
                assert not models[gone].answering
                models[gone].is_loaded = models[gone].is_closing = False
            for closed in decision.close:
                models[closed].is_closing = True
            if decision.outcome == "grant":
                models[name].is_loaded, models[name].loaded_s = True, now_s
                line.pop(0)
            assert now_s - since_s <= longest_s
        assert sum(model.size for model in models.values() if model.is_loaded) <= BUDGET
    assert not line


@pytest.mark.parametrize("num_bytes", [BUDGET + 1, 10 * BUDGET])
def test_what_is_larger_than_the_budget_is_refused_whoever_could_go(num_bytes: int) -> None:
    assert decide(Need("c", num_bytes), Resident("a", 60)) == Decision("refuse")
