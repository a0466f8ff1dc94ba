"""The executive view: headline, months, cost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flows.metrics.figure import Figure, Reading
from flows.views.executive import Month, count_by_month, make_executive, say_headline
from flows.views.history import Attempt, CycleTimes, Deployment, History, NewLabels
from maskloop.state.incident_state import Incident
from tests.fakes.incident_stories import Story
from tests.unit.flows.views.made import facts_of
from tests.unit.flows.views.test_drawings import estimate
from tests.unit.flows.views.test_history import candidate, tell, training, verdict


def figure(name: str, *, is_met: bool | None, value: float = 0.5, of: str = "") -> Figure:
    readings = (Reading(of, value, is_met=is_met),)
    return Figure(name, f"figure {name}", "", "", "", "", "", readings)


def at(month: int, day: int = 1) -> datetime:
    return datetime(2026, month, day, tzinfo=UTC)


def incident(month: int, **more: Any) -> Incident:
    return Incident(f"incident-{month}", "drift", "s", "h", at(month), at(month), **more)


@pytest.mark.parametrize(
    ("outcomes", "champion", "said", "is_well"),
    [
        ((True, None), "2", "Version 2 serves and keeps every target that was measured (1 target)", True),
        ((True, False), "2", "Version 2 serves and misses 1 of 2 targets: figure M2 (M2)", False),
        ((None,), "2", "Version 2 serves; none of its targets was measured", None),
        ((True,), "", "Nothing serves yet", None),
    ],
)
def test_the_headline_says_whether_targets_are_kept(
    outcomes: tuple[bool | None, ...], champion: str, said: str, is_well: bool | None
) -> None:
    figures = [figure(f"M{number}", is_met=one) for number, one in enumerate(outcomes, start=1)]
    assert say_headline(figures, champion) == (said, is_well)


def test_a_month_counts_what_happened_in_it() -> None:
    history = History(
        attempts=(Attempt("c", at(3), 3600.0), Attempt("c", at(3, 2), 1800.0, "NaN")),
        labels=(NewLabels(at(2), "data-v1", 40, 40),),
        cycles=(CycleTimes("cycle-1", "manual", "", at(2)),),
        deployments=(
            Deployment(at(3), "promotion", "1", "", 100.0, "anna", "", ""),
            Deployment(at(3), "rollback", "1", "2", 100.0, "anna", "", ""),
            Deployment(at(3), "rollout: shadow", "2", "1", 0.0, "anna", "", ""),
        ),
    )
    march, february = count_by_month(history, [incident(3)], num_incidents=1)
    assert march == Month("2026-03", 1.5, 0.5, 0, 0, 1, 1, 1)
    assert february == Month("2026-02", 0.0, 0.0, 40, 1, 0, 0, 0)


def test_months_whose_incidents_the_state_forgot_have_no_number() -> None:
    """The oldest incident that is kept is one of December: others of that month may be forgotten."""
    labels = tuple(NewLabels(at(month), "t", 1, 1) for month in (11, 12))
    january = datetime(2027, 1, 5, tzinfo=UTC)
    kept = [incident(12), Incident("incident-9", "drift", "s", "h", january, january)]
    months = count_by_month(History(labels=labels), kept, num_incidents=9)
    assert [(one.name, one.num_incidents) for one in months] == [
        ("2027-01", 1),
        ("2026-12", None),
        ("2026-11", None),
    ]


def test_the_view_adds_up_hours_and_sorts_classes_by_iou() -> None:
    story = Story()
    tell(story, "cycle-1", training(), candidate("1", seconds=7200.0), verdict("1"))
    story.serve("1")
    measured = {"nut": 0.9, "bolt": 0.7, "gear": None}
    readings = tuple(
        Reading(f"class {name}", value, class_name=name, origin="verdict") for name, value in measured.items()
    )
    view = make_executive(facts_of(story, figures=(Figure("M5", "", "", "", "", "", "", readings),)))
    assert (view.training_hours, view.wasted_hours) == (2.0, 0.0)
    assert [one.of for one in view.classes] == ["class bolt", "class nut", "class gear"]
    assert (view.champion, view.serves_since) == ("1", story.clock.now())


def test_estimates_and_labels_of_production_are_no_classes_of_their_own() -> None:
    readings = (
        Reading("class bolt", 0.9, class_name="bolt", origin="verdict"),
        Reading("class bolt, estimated in production", 0.7, class_name="bolt", origin="estimate"),
        Reading("class bolt, by labels of production", 0.6, 0.5, class_name="bolt", origin="labels"),
    )
    view = make_executive(facts_of(Story(), figures=(Figure("M5", "", "", "", "", "", "", readings),)))
    assert [one.of for one in view.classes] == ["class bolt"]
    assert {name: one.value for name, one in view.labelled.items()} == {"bolt": 0.6}


def test_the_newest_estimates_of_what_serves_stand_beside_its_verdict() -> None:
    story = Story()
    story.serve("1")
    story.window("quiet", estimates=(estimate("bolt", 0.7),))
    estimated_at = story.clock.now()
    story.window("quiet")
    story.window("quiet", version="2", estimates=(estimate("bolt", 0.1),))
    view = make_executive(facts_of(story))
    assert (view.estimated_at, view.estimates["bolt"].value) == (estimated_at, 0.7)


def test_only_what_waits_for_a_person_is_shown() -> None:
    story = Story()
    story.serve("1")
    story.window("drift")
    view = make_executive(facts_of(story))
    assert [one.party for one in view.waiting] == ["the person on call"]
    assert [one.id for one in view.open_incidents] == ["incident-1"]


def test_an_empty_workspace_has_a_view() -> None:
    view = make_executive(facts_of(Story()))
    assert (view.headline, view.is_well, view.months) == ("Nothing serves yet", None, ())
