"""The debug view: which cycle is chosen, and what is said where evidence is gone."""

from __future__ import annotations

import shutil

import pytest

from flows.deciding.decisions import decide_by_hand
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.views.debug import MAX_SAMPLES, Debug, choose_cycle, gather_debug, read_samples
from flows.views.gathered import gather_facts
from flows.views.history import read_history
from maskloop.errors import NotFoundError
from maskloop.files import write_text
from monitoring.samples.windows import WINDOW_FILE
from tests.fakes.incident_stories import Story
from tests.fakes.loop_world import World
from tests.unit.flows.views.test_history import candidate, tell, training, verdict


def with_two_versions(world: World) -> None:
    """Version 1 serves; version 2 waits for its decision."""
    run_turn(world.app(), starts_from="first-weights")
    decide_by_hand(world.app(), "1", "approved", by="anna", why="good")
    reconcile(world.app())
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")
    reconcile(world.app())


def gather(world: World, *, version: str = "", cycle: str = "") -> Debug:
    app = world.app()
    asked = {"version": version, "cycle": cycle}
    return gather_debug(app.ledger, app.workspace, lambda: app.tracker, gather_facts(app), **asked)


def subject(story: Story, *, version: str = "", cycle: str = "") -> tuple[str, str]:
    found, said = choose_cycle(story.ledger, story.state, version=version, cycle=cycle)
    return (found.id if found else ""), said


def test_what_serves_is_shown_unless_something_else_is_asked_for() -> None:
    story = Story()
    assert subject(story) == ("", "nothing was trained yet")
    tell(story, "cycle-1", training())
    assert subject(story) == ("cycle-1", "cycle-1, the newest; there is no version yet")
    tell(story, "cycle-2", candidate("1"), verdict("1"))
    assert subject(story) == ("cycle-2", "version 1, the newest; nothing serves yet")
    story.serve("1")
    tell(story, "cycle-3", candidate("2"), verdict("2"))
    assert subject(story) == ("cycle-2", "version 1, which serves")
    assert subject(story, version="2") == ("cycle-3", "version 2")
    assert subject(story, cycle="cycle-1") == ("cycle-1", "cycle-1")


@pytest.mark.parametrize("asked", [{"version": "7"}, {"cycle": "cycle-7"}, {"version": "../../etc"}])
def test_what_is_unknown_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(NotFoundError):
        subject(Story(), **asked)


def test_a_version_comes_with_curves_evidence_origin_and_entries(world: World) -> None:
    with_two_versions(world)
    view = gather(world)
    assert (view.subject, view.version, view.others) == ("version 1, which serves", "1", ("2",))
    assert [one.what for one in view.facts] == ["data", "parent", "run", "verdict", "approval", "champion"]
    assert view.training["training loss"] == ((2.0, 0.5),)
    assert view.evidence is not None
    assert view.evidence.diagnoses
    assert view.entries[0]["kind"] == "cycle.closed"
    assert view.missing == ()


def test_pictures_are_left_out_for_machines(world: World) -> None:
    with_two_versions(world)
    view = gather(world)
    assert view.evidence is not None
    assert view.evidence.pictures[0].panels
    bare = view.without_pictures().evidence
    assert bare is not None
    assert bare.pictures[0].caption == view.evidence.pictures[0].caption
    assert bare.pictures[0].panels == ()


def test_evidence_that_is_not_here_is_fetched_from_mlflow(world: World) -> None:
    with_two_versions(world)
    shutil.rmtree(world.workspace.verdict_dir("1"))
    view = gather(world)
    assert view.evidence is not None
    assert view.missing == ()


def test_an_away_mlflow_is_said_and_the_rest_is_shown(world: World) -> None:
    with_two_versions(world)
    shutil.rmtree(world.workspace.verdict_dir("1"))
    world.tracker.is_offline = True
    view = gather(world)
    (missing,) = view.missing
    assert missing.startswith("curves and evidence are not in this workspace, and MLflow cannot be asked:")
    assert (view.evidence, view.training) == (None, {})
    assert view.verdict is not None


def test_evidence_that_is_gone_everywhere_is_said_and_curves_still_come(world: World) -> None:
    with_two_versions(world)
    shutil.rmtree(world.workspace.verdict_dir("1"))
    for run in world.tracker.runs.values():
        run.files.clear()
    view = gather(world)
    assert view.missing == (
        "what judging kept is gone, here and in MLflow; the verdict itself is in the ledger",
    )
    assert view.training["training loss"] == ((2.0, 0.5),)


def test_samples_are_read_from_beside_the_page_of_their_window(world: World) -> None:
    story = Story()
    story.window("drift", report=".maskloop/reports/drift/w/index.html")
    (window,) = read_history(story.ledger).windows
    assert read_samples(world.workspace, window).num_samples == 0
    ids = [f"sample-{number}" for number in range(MAX_SAMPLES + 3)]
    file = world.workspace.reports_dir / "drift" / "w" / WINDOW_FILE
    write_text(file, str(ids).replace("'", '"'))
    samples = read_samples(world.workspace, window)
    assert (samples.num_samples, samples.first_ids) == (MAX_SAMPLES + 3, tuple(ids[:MAX_SAMPLES]))
    write_text(file, "half a fi")
    assert read_samples(world.workspace, window).num_samples == 0
