"""The Prometheus rules of objectives: which windows, which limits, and what cannot be written."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flows.slo.rules import BURNS, write_duration, write_rules
from maskloop.errors import ConfigurationError
from monitoring.slo.objective import Objective

BOUNDS_S = (0.1, 0.25, 1.0)


def rules_of(*objectives: Objective, scale: float = 1.0) -> dict[str, dict[str, Any]]:
    written = yaml.safe_load(write_rules(objectives, bounds_s=BOUNDS_S, scale=scale))
    rules = [rule for group in written["groups"] for rule in group["rules"]]
    return {rule.get("alert") or rule["record"]: rule for rule in rules}


def limits(expression: str) -> list[float]:
    """Return the limits of the shares, products worked out."""
    return [float(a) * float(b) for a, b in re.findall(r"> ([\d.]+) \* ([\d.]+)", expression)]


def test_a_page_comes_at_the_burn_rates_14_4_and_6_and_a_ticket_at_3_and_1() -> None:
    rules = rules_of(Objective("availability", "availability", 0.999))
    page, ticket = rules["MaskloopAvailabilityBurnsFast"], rules["MaskloopAvailabilityBurnsSlowly"]
    assert limits(page["expr"]) == pytest.approx([0.0144, 0.0144, 0.006, 0.006])
    assert limits(ticket["expr"]) == pytest.approx([0.003, 0.003, 0.001, 0.001])
    assert re.findall(r":rate(\w+)\{", page["expr"]) == ["1h", "5m", "6h", "30m"]
    assert re.findall(r":rate(\w+)\{", ticket["expr"]) == ["1d", "2h", "3d", "6h"]
    assert (page["labels"]["severity"], ticket["labels"]["severity"]) == ("page", "ticket")


def test_the_same_shares_of_a_shorter_budget_are_lower_burn_rates() -> None:
    assert [burn.factor(7.0) for burn in BURNS] == pytest.approx([3.36, 1.4, 0.7, 7 / 30])


def test_a_pair_that_can_never_fire_is_left_out() -> None:
    """With a fifth of the answers allowed to be late, all late is a burn rate of 5."""
    rules = rules_of(Objective("slow", "latency", 0.8, within_s=0.25))
    assert "MaskloopSlowBurnsFast" not in rules
    assert limits(rules["MaskloopSlowBurnsSlowly"]["expr"]) == pytest.approx([0.6, 0.6, 0.2, 0.2])
    assert "slo:maskloop_bad_ratio:rate1h" not in rules


def test_an_objective_that_no_pair_can_miss_has_no_group() -> None:
    loose = Objective("loose", "latency", 0.5, window_days=90.0, within_s=0.25)
    assert "maskloop-slo-loose" not in write_rules([loose], bounds_s=[0.25])


def test_the_budget_of_drift_is_recorded_and_its_ticket_is_that_of_the_drift_itself() -> None:
    rules = rules_of(Objective("drift", "drift", 0.95))
    assert [name for name in rules if name.startswith("Maskloop")] == []
    assert {"slo:maskloop_bad_ratio:rate2h", "slo:maskloop_bad_ratio:rate3d"} <= rules.keys()


def test_late_answers_that_were_paged_for_are_not_paged_for_again_by_their_budget() -> None:
    rules = rules_of(Objective("latency", "latency", 0.99, within_s=0.25))
    page, ticket = (rules[f"MaskloopLatencyBurns{pace}"]["expr"] for pace in ("Fast", "Slowly"))
    assert page.rstrip().endswith('{alertname="MaskloopLatencyP95",alertstate="firing"}[6h])')
    assert "unless" not in ticket


def test_every_recorded_share_is_looked_at_and_every_looked_at_share_is_recorded() -> None:
    rules = rules_of(Objective("availability", "availability", 0.999))
    looked_at = set(re.findall(r"slo:\w+:\w+", "".join(r["expr"] for r in rules.values() if "alert" in r)))
    assert looked_at == {name for name in rules if name.startswith("slo:")}


def test_an_objective_gives_its_alerts_its_name() -> None:
    rules = rules_of(Objective("slow-answers", "latency", 0.99, within_s=1.0))
    assert "MaskloopSlowAnswersBurnsFast" in rules
    assert 'le="1.0"' in rules["slo:maskloop_bad_ratio:rate1h"]["expr"]


def test_a_limit_that_the_service_does_not_count_is_refused_with_those_that_it_does() -> None:
    with pytest.raises(ConfigurationError, match="slow is about 300 ms, which nothing counts") as error:
        rules_of(Objective("slow", "latency", 0.99, within_s=0.3))
    assert "100, 250, 1000" in error.value.hint


def test_a_scale_shortens_every_time_and_no_name() -> None:
    rules = rules_of(Objective("availability", "availability", 0.999), scale=1 / 600)
    assert "[6s]" in rules["slo:maskloop_bad_ratio:rate1h"]["expr"]
    assert "[500ms]" in rules["slo:maskloop_bad_ratio:rate5m"]["expr"]
    assert rules["MaskloopAvailabilityBurnsFast"]["for"] == "100ms"


def test_texts_stay_what_they_are_when_their_lines_are_broken() -> None:
    rule = rules_of(Objective("quality", "quality", 0.7))["MaskloopQualityBudgetSpent"]
    assert '{{ . | first | label "version" }} back' in rule["annotations"]["command"]
    assert "\n" not in "".join(rule["annotations"].values())


@given(st.integers(1, 10**9))
def test_a_duration_is_written_to_the_millisecond(number_ms: int) -> None:
    units_ms = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
    number, unit = re.fullmatch(r"(\d+)(\w+)", write_duration(number_ms / 1000)).groups()  # type: ignore[union-attr]
    assert int(number) * units_ms[unit] == number_ms
