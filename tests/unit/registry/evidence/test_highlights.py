"""What the first lines claim holds against every figure that was judged, whatever was measured."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.instances import IouTable
from maskloop.settings.workspace_settings import GateSettings
from registry.evidence.approval_page import ApprovalPage
from registry.evidence.judged_evidence import class_rows, source_rows
from registry.gates.drops import measure_drops
from registry.gates.gates import judge
from tests.fakes.approval_pages import approval_page, evidence, verdict
from tests.fakes.iou_tables import iou_table

GATES = GateSettings(resamples=200, min_pictures=2, min_instances=2)
SOURCES = ("new",) * 4 + ("old",) * 4
IOUS = st.lists(st.floats(0, 1), min_size=6, max_size=6)


def page_of(old: list[float], new: list[float]) -> ApprovalPage:
    """Judge three classes on two sources; each class of a source has one IoU throughout."""

    def table(ious: list[float]) -> IouTable:
        rows = np.array([ious[:3]] * 4 + [ious[3:]] * 4)
        return iou_table(rows, class_names=("bolt", "nut", "gear"), sources=SOURCES)

    candidate, champion = table(new), table(old)
    checks = judge(candidate, champion, GATES, latency_p95_ms=None, seed=0)
    found = evidence(
        *class_rows(candidate, champion, checks, GATES, seed=0),
        source_rows=source_rows(candidate, champion, GATES, seed=0),
    )
    return approval_page(verdict=verdict(*checks), evidence=found)


@settings(max_examples=80, deadline=None)
@given(old=IOUS, new=IOUS)
def test_the_first_lines_never_deny_a_loss_that_any_figure_shows(old: list[float], new: list[float]) -> None:
    page = page_of(old, new)
    assert page.evidence is not None
    said = " ".join(sentence for _, sentence in page.highlights())
    drops = [row.drop for row in page.evidence.rows] + [row.drop for row in page.evidence.source_rows]
    shown = [drop for drop in drops if drop is not None]
    judged = [
        c.measured for c in page.verdict.checks if c.name.startswith("drop.") and c.measured is not None
    ]
    has_lost = max(*shown, *judged) > 0
    claims_none = "every class gained" in said or "no class lost" in said
    assert claims_none == (not has_lost)
    assert has_lost == ("fell by" in said or "largest loss" in said)


@settings(max_examples=40, deadline=None)
@given(old=IOUS, new=IOUS)
def test_every_check_that_did_not_pass_comes_before_the_ones_that_did(
    old: list[float], new: list[float]
) -> None:
    page = page_of(old, new)
    outcomes = [check.outcome for check in page.verdict.checks]
    doubtful = min(6, sum(outcome != "pass" for outcome in outcomes))
    signs = [sign for sign, _ in page.highlights()]
    assert "✓" not in signs[:doubtful]
    if "fail" in outcomes:
        assert signs[0] == "✗"


def test_one_figure_has_one_interval_in_the_check_and_in_the_rows() -> None:
    page = page_of([0.9] * 6, [0.9, 0.9, 0.9, 0.7, 0.9, 0.9])
    (check,) = [check for check in page.verdict.checks if check.name == "drop.class.bolt"]
    assert page.evidence is not None
    row = page.evidence.rows[0]
    assert row.drop_low is not None
    assert row.drop_high is not None
    assert f"(change between {-row.drop_high:+.3f} and {-row.drop_low:+.3f})" in check.reason
    (source,) = [r for r in page.evidence.source_rows if (r.source, r.name) == ("old", "bolt")]
    (old,) = [c for c in page.verdict.checks if c.name == "drop.source.old"]
    assert source.drop_high is not None
    assert f"(change between {-source.drop_high:+.3f} and" in old.reason


def test_drops_are_measured_as_counted_by_hand() -> None:
    """Four pictures of each source, five instances of each class: bolts fall by .2 on one of two sources."""
    page = page_of([0.9] * 6, [0.9, 0.9, 0.9, 0.7, 0.9, 0.9])
    assert page.evidence is not None
    drops = {(row.source, row.name): row.drop for row in page.evidence.source_rows}
    assert drops["old", "bolt"] is not None
    assert abs(drops["old", "bolt"] - 0.2) < 1e-9
    assert abs((drops["old", ""] or 0.0) - 0.2 / 3) < 1e-9
    assert drops["new", "bolt"] == 0.0
    assert abs((page.evidence.rows[0].drop or 0.0) - 0.1) < 1e-9
    assert {(row.num_instances) for row in page.evidence.source_rows if row.name} == {20}


def test_a_class_without_instances_on_a_source_has_no_row_there() -> None:
    counts = np.array([[5, 5]] * 4 + [[5, 0]] * 4)
    table = iou_table([[0.9, 0.9]] * 8, num_instances=counts, class_names=("bolt", "nut"), sources=SOURCES)
    drops = measure_drops(table, table, GATES, seed=0)
    assert [(drop.source, drop.name) for drop in drops if not drop.is_mean] == [
        ("", "bolt"),
        ("", "nut"),
        ("new", "bolt"),
        ("new", "nut"),
        ("old", "bolt"),
    ]
