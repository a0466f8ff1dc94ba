"""`maskloop plan` answers people and machines, and says what it does not know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_a_plan_names_replicas_storage_and_where_its_figures_are_from(run: Any, workspace: Path) -> None:
    told = run("plan", "--pictures-per-day", "1000000", "-w", workspace)

    assert told.code == 0
    assert "replicas" in told.out
    assert "(extrapolated)" in told.out
    assert "Extrapolated: 5 figures of this plan come from elsewhere." in told.out
    assert "cost a month" not in told.out


def test_machines_get_all_of_it(run: Any, workspace: Path) -> None:
    prices = ("--replica-hour-price", "2", "--gb-month-price", "0.1")
    card = (
        "--pictures-per-s",
        "100",
        "--p95-alone-ms",
        "20",
        "--picture-kb",
        "500",
        "--gpus-per-replica",
        "1",
    )
    asked = ("--pictures-per-day", "864000", "--p95-ms", "100", *prices, *card, "--json")
    plan = json.loads(run("plan", *asked, "-w", workspace).out)

    assert (plan["replicas"], plan["gpus"]) == (2, 2)
    assert plan["figures"]["pictures_per_s"] == {
        "value": 100.0,
        "source": "named by an option",
        "is_measured_here": False,
    }
    assert plan["cost_a_month"] > 2 * 730 * 2
    assert plan["storage_after_12_months_gb"] > 0


def test_a_promise_that_no_replica_keeps_is_refused(run: Any, workspace: Path) -> None:
    told = run("plan", "--pictures-per-day", "1000", "--p95-ms", "5", "-w", workspace)
    assert told.code == 78
    assert "no number of replicas helps" in told.err
