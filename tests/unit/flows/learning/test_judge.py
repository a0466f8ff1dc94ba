"""A candidate is judged: which verdict, on what, and what a death in between leaves behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dataset.labelled_pictures import DatasetVersion
from flows.evidence.evaluate import ModelOnPictures, evaluate_model
from flows.learning.candidate_training import train_candidate
from flows.learning.dossier import Contest
from flows.learning.judge import judge_candidate, reach_verdict
from flows.loop.cycles import open_cycle, record_trigger
from flows.loop.turn import run_turn
from flows.workspace.wiring import App
from maskloop.errors import DataError, RefusedError, UnavailableError
from maskloop.records.kinds import (
    AgreementMeasured,
    CandidateRegistered,
    Check,
    JudgingStarted,
    VerdictReached,
)
from maskloop.settings.workspace_settings import GateSettings
from maskloop.state.cycle_state import Cycle
from tests.fakes.crashing import Countdown, Killed
from tests.fakes.loop_world import World
from tests.fakes.model_ports import ColourPredictor

GATES = GateSettings(min_instances=2, min_pictures=2, resamples=200)


CHAMPION_DIGEST = "d" * 64


def measure(version: DatasetVersion, quality: float) -> ModelOnPictures:
    """Let a model that covers this share of each instance predict the test pictures."""
    return evaluate_model(
        ColourPredictor(quality),
        version,
        version.by_split["test"],
        score_threshold=0.5,
        max_detections=10,
        max_mpx=1.0,
        progress=lambda *_: None,
    )


def make_contest(
    version: DatasetVersion, candidate: ModelOnPictures, champion: ModelOnPictures | None = None
) -> Contest:
    registered = CandidateRegistered(
        version="2",
        weights_digest="c" * 64,
        run_id="run-2",
        data_tag=version.tag,
        data_fingerprint=version.fingerprint,
        seconds=60.0,
        requested_by="rita",
    )
    return Contest(version, registered, candidate, champion, CHAMPION_DIGEST if champion else "")


def alive() -> None:
    """Hold the lease."""


@pytest.fixture
def version(world: World) -> DatasetVersion:
    """Twelve pictures; the four of the test show a bolt and a nut each."""
    found = world.data.current()
    assert found is not None
    return found


# --- the verdict on a contest -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidate", "champion", "outcome"),
    [
        (0.9, None, "pass"),
        (0.5, None, "fail"),  # below min_class_iou = 0.6
        (0.9, 0.9, "pass"),
        (0.8, 0.9, "fail"),  # a drop of 0.1 in every picture; max_class_iou_drop = 0.05
        (0.9, 0.8, "pass"),
    ],
)
def test_the_gates_judge_a_candidate_on_its_own_and_against_the_champion(
    version: DatasetVersion, candidate: float, champion: float | None, outcome: str
) -> None:
    other = None if champion is None else measure(version, champion)
    contest = make_contest(version, measure(version, candidate), other)
    verdict = reach_verdict(contest, GATES, seed=0, more_checks=[])
    assert verdict.outcome == outcome
    assert (verdict.candidate_version, verdict.data_tag) == ("2", "data-v1")
    assert verdict.champion_digest == ("" if champion is None else CHAMPION_DIGEST)


def test_a_check_that_the_test_pictures_do_not_tell_counts_like_the_others(version: DatasetVersion) -> None:
    contest = make_contest(version, measure(version, 0.9))
    failed = Check(name="slice.s", outcome="fail", measured=0.5, required=0.8, reason="it forgot the belt")
    plain = reach_verdict(contest, GATES, seed=0, more_checks=[])
    asked = reach_verdict(contest, GATES, seed=0, more_checks=[failed])
    assert (plain.outcome, asked.outcome) == ("pass", "fail")
    assert asked.checks == (*plain.checks, failed)


def test_the_same_contest_gives_the_same_blessing_and_another_policy_or_champion_another(
    version: DatasetVersion,
) -> None:
    candidate, champion = measure(version, 0.9), measure(version, 0.9)
    stricter = GATES.model_copy(update={"min_mean_iou": 0.8})
    contest = make_contest(version, candidate, champion)
    ids = [
        reach_verdict(one, gates, seed=0, more_checks=[]).blessing_id
        for one, gates in [
            (contest, GATES),
            (contest, GATES),
            (contest, stricter),
            (make_contest(version, candidate), GATES),
        ]
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


# --- judging the candidate of a cycle -----------------------------------------------------------------


def candidate_of(world: World, app: App) -> Cycle:
    """Train a first model and do not judge it."""
    record_trigger(app.journal, "schedule:1", "schedule", "a test", starts_from="first-weights")
    cycle_id = open_cycle(app.journal, "schedule:1")
    train_candidate(app, world.state.cycles[cycle_id], alive, lambda: False)
    return world.state.cycles[cycle_id]


def test_a_verdict_is_recorded_published_in_the_run_and_shown_on_the_version(world: World) -> None:
    world.trainer.quality = 0.9
    app = world.app()
    verdict = judge_candidate(app, candidate_of(world, app), alive)
    assert world.of_kind(VerdictReached) == [verdict]
    assert (verdict.outcome, verdict.champion_digest) == ("pass", "")
    tags = world.models.version("1").tags
    assert (tags["verdict"], tags["approval"]) == ("pass", "pending")
    (run,) = world.tracker.runs.values()
    assert run.status == "finished"
    assert run.metrics["test/iou/bolt"] == [(0, pytest.approx(0.9))]
    assert VerdictReached.model_validate_json(run.files["verdict/verdict.json"]) == verdict
    assert world.last_cycle.phase == "judged"


def test_the_agreement_of_both_sides_with_the_labels_is_recorded_before_the_verdict(world: World) -> None:
    run_turn(world.app(), starts_from="first-weights")
    kinds = [type(record) for record in world.records]
    assert kinds.index(AgreementMeasured) < kinds.index(VerdictReached)


def test_a_yes_from_before_the_verdict_counts_for_nothing(world: World) -> None:
    app = world.app()
    cycle = candidate_of(world, app)
    world.tag_version("1", "approved", by="anna")
    judge_candidate(app, cycle, alive)
    assert world.models.version("1").tags["approval"] == "pending"


def test_a_cycle_without_a_candidate_has_nothing_to_judge(world: World) -> None:
    record_trigger(world.app().journal, "schedule:1", "schedule", "a test", starts_from="first-weights")
    cycle_id = open_cycle(world.app().journal, "schedule:1")
    with pytest.raises(RefusedError, match="no candidate to judge"):
        judge_candidate(world.app(), world.state.cycles[cycle_id], alive)


def test_data_without_test_pictures_are_named_with_the_way_out(tmp_path: Path) -> None:
    world = World(tmp_path / "without")
    world.label(range(4))  # three to train on, one to validate
    world.label(range(4, 12))
    app = world.app()
    cycle = candidate_of(world, app)
    assert cycle.candidate is not None
    of_version_1 = cycle.candidate.model_copy(update={"data_tag": "data-v1"})
    with pytest.raises(DataError, match="no test pictures") as caught:
        judge_candidate(app, replace(cycle, candidate=of_version_1), alive)
    assert caught.value.where == "data-v1"
    assert "--split test" in caught.value.hint
    assert world.of_kind(VerdictReached) == []


def test_a_judge_that_lost_its_lease_between_pictures_records_no_verdict(world: World) -> None:
    app = world.app()
    cycle = candidate_of(world, app)

    def lost() -> None:
        raise UnavailableError("the lease was lost")

    with pytest.raises(UnavailableError):
        judge_candidate(app, cycle, lost)
    assert len(world.of_kind(JudgingStarted)) == 1
    assert world.of_kind(VerdictReached) == []
    assert "verdict" not in world.models.version("1").tags


def test_a_judge_killed_at_any_write_reaches_one_verdict_when_it_judges_again(tmp_path: Path) -> None:
    def killed_at(number: int) -> tuple[World, Cycle] | None:
        world = World(tmp_path / f"workspace-{number}")
        world.label(range(12))
        cycle = candidate_of(world, world.app())
        try:
            judge_candidate(world.app(countdown=Countdown(number)), cycle, alive)
        except Killed:
            return world, cycle
        return None

    number = 0
    while found := killed_at(number := number + 1):
        world, cycle = found
        assert world.of_kind(VerdictReached) == [], "the record comes last"
        verdict = judge_candidate(world.app(), cycle, alive)
        assert world.of_kind(VerdictReached) == [verdict]
        assert len(world.of_kind(AgreementMeasured)) == 1
        assert world.models.version("1").tags["verdict"] == "pass"
        assert [run.status for run in world.tracker.runs.values()] == ["finished"]
    assert number > 15
