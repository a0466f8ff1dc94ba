"""The approval page over fakes: what it shows after each step, and how it is caught up."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation import overlays
from flows.deciding.decisions import decide_by_hand
from flows.evidence.judged import PAGE_PATH
from flows.loop.cycles import record_trigger
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.pages.evidence_pack import refresh_pack, refresh_packs
from flows.rollouts.rollout import roll_back_last_change
from flows.workspace.telling import SilentTeller
from maskloop.records.kinds import DriftJudged, write_record
from maskloop.workspace import Workspace
from tests.fakes.approval_pages import Reader
from tests.fakes.crashing import Countdown, every_crash_point
from tests.fakes.loop_world import World

MAX_PAGE_BYTES = 2_000_000


class Listener(SilentTeller):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def judged(world: World) -> str:
    cycle = run_turn(world.app(), starts_from="first-weights")
    assert cycle.candidate is not None
    return cycle.candidate.version


def with_champion(world: World, *, quality: float = 0.9) -> str:
    """Let version 1 serve and version 2 wait for its decision."""
    world.tag_version(judged(world), "approved", by="anna")
    reconcile(world.app())
    world.label(range(12, 24))
    world.trainer.quality = quality
    run_turn(world.app(), starts_from="champion")
    return "2"


def page_of(world: World, version: str) -> Reader:
    return Reader(text_of(world, version))


def text_of(world: World, version: str) -> str:
    run = world.tracker.runs[world.models.version(version).run_id]
    page = run.files[PAGE_PATH].decode()
    kept = world.workspace.reports_dir / "verdicts" / f"version-{version}" / "evidence.html"
    without_links = re.sub(r"<nav.*?</nav>\n", "", kept.read_text())
    assert without_links == page, "the copy in the workspace"
    return page


def tag_of(world: World, version: str) -> str:
    return world.models.version(version).tags["evidence"]


# --- what it shows -----------------------------------------------------------------------------------


def test_a_judged_version_has_its_page_on_the_run_and_a_link_in_its_description(world: World) -> None:
    version = judged(world)
    page = page_of(world, version)
    assert "✓ The gates pass this candidate" in page.text
    assert "? It waits for a person's decision." in page.text
    assert "rita , 2026-03-02 09:00 UTC (manual): rita asked for it" in page.text
    description = world.models.descriptions[version]
    assert f"#/experiments/0/runs/{world.models.version(version).run_id}/artifacts/{PAGE_PATH}" in description


def test_the_page_says_what_the_candidate_was_made_of(world: World) -> None:
    text = page_of(world, with_champion(world)).text
    champion = world.state.champion
    assert champion is not None
    started = world.last_cycle.training
    assert started is not None
    for identity in (champion.weights_digest, started.settings_digest, started.code_revision, started.run_id):
        assert identity in text
    assert "version 1, trained on" in text
    assert "From data-v1, which the champion was trained on, to data-v2." in text
    assert "belt 12 0 0" in text, "twelve new pictures of that source"
    assert "bolt 12 0 12 24" in text
    assert "✓ The gates in maskloop.toml are those of the verdict" in text
    assert "10 ms, 95 % within 10 ms; the champion 10 ms" in text


def test_the_worst_regressions_are_shown_as_annotated_by_champion_and_by_candidate(
    world: World,
) -> None:
    world.artist = overlays
    version = with_champion(world, quality=0.8)
    page = page_of(world, version)
    assert "lost most" in page.text
    assert "champion 0.90, candidate 0.80" in page.text
    assert "annotated champion candidate" in page.text
    assert page.tags.count("img") == 12
    assert len(text_of(world, version)) < MAX_PAGE_BYTES


def test_a_drift_turn_names_the_verdict_that_asked_and_links_its_page(world: World) -> None:
    with_champion(world)
    decide_by_hand(world.app(), "2", "rejected", by="anna", why="no")
    reconcile(world.app())
    for window, features in (("w1", ("noise", "count")), ("w2", ("sharpness",))):
        drift = drift_verdict(window, features)
        if window == "w2":  # a later one asked for nothing
            record_trigger(
                world.app().journal, "drift:a:b:w1", "drift", "the input has drifted since window w1"
            )
        write_record(world.ledger, drift)
    world.tracker.open_run("drift:w1", name="drift", tags={})
    world.label(range(24, 36))
    reconcile(world.app())
    text = page_of(world, "3").text
    assert "What drifted, strongest first: noise, count ." in text
    assert ".maskloop/reports/drift/w1/index.html" in text
    assert "sharpness" not in text
    route = "#/experiments/0/runs/run-drift:w1/artifacts/drift/index.html?workflowType=machine_learning"
    assert f"[the drift page]({route})" in world.models.descriptions["3"]


def drift_verdict(window: str, features: tuple[str, ...]) -> DriftJudged:
    return DriftJudged(
        outcome="drift",
        reason="there is more noise",
        window_id=window,
        num_samples=100,
        missing_percent=0.0,
        baseline_digest="b" * 64,
        weights_digest="a" * 64,
        threshold_digest="t" * 64,
        drifted_features=features,
        report=f".maskloop/reports/drift/{window}/index.html",
    )


def test_gates_edited_since_the_verdict_show_at_the_next_reconcile(world: World) -> None:
    version = judged(world)
    edit_settings(world, "resamples = 200", "resamples = 200\nmin_mean_iou = 0.95")
    reconcile(world.app())
    text = page_of(world, version).text
    assert "! The gates were edited since the verdict: min_mean_iou was 0.7 and is 0.95 now" in text
    assert "The gates were edited" in world.models.descriptions[version]


def edit_settings(world: World, old: str, new: str) -> None:
    file = world.workspace.settings_file
    file.write_text(file.read_text().replace(old, new))
    world.workspace = Workspace(world.workspace.root)


def test_four_eyes_name_who_may_not_approve(world: World) -> None:
    version = judged(world)
    edit_settings(world, "[gates]", "[approval]\nfour_eyes = true\n\n[gates]")
    reconcile(world.app())
    assert "Four eyes: rita asked for this training and cannot approve it" in page_of(world, version).text


# --- it follows the record ---------------------------------------------------------------------------


def test_the_page_follows_decision_promotion_and_rollback(world: World) -> None:
    version = with_champion(world)
    decide_by_hand(world.app(), version, "approved", by="anna", why="better on nuts")
    refresh_packs(world.app())
    text = page_of(world, version).text
    assert "✓ It is approved." in text
    assert "anna approved version 2 (cli): better on nuts" in text
    reconcile(world.app())
    assert "✓ It serves." in page_of(world, version).text
    assert "✓ It served and was replaced." in page_of(world, "1").text
    roll_back_last_change(world.app(), to_version=None, by="otto", why="it is slow")
    reconcile(world.app())
    assert "✗ It served and was rolled back from." in page_of(world, version).text
    assert "it is slow" in page_of(world, version).text


def test_a_rejection_shows_its_reason_and_a_withdrawn_approval_shows_both(world: World) -> None:
    version = judged(world)
    decide_by_hand(world.app(), version, "approved", by="anna", why="fine")
    decide_by_hand(world.app(), version, "rejected", by="bob", why="not fine")
    reconcile(world.app())
    text = page_of(world, version).text
    assert "✗ The turn ended: rejected." in text
    assert "anna approved version 1 (cli): fine" in text
    assert "bob rejected version 1 (cli): not fine (this overturns the yes by anna)" in text
    assert "To decide" not in world.models.descriptions[version]


def test_what_the_gates_fail_is_shown_too(world: World) -> None:
    world.trainer.quality = 0.3
    version = judged(world)
    text = page_of(world, version).text
    assert "✗ The gates fail this candidate" in text
    assert "Nobody can approve a version the gates failed" in text


def test_writing_it_again_changes_nothing_and_writes_only_what_is_due(world: World) -> None:
    version = with_champion(world)
    reconcile(world.app())
    before, tag = text_of(world, version), tag_of(world, version)
    world.clock.advance(hours=5)
    world.tracker.runs[world.models.version("1").run_id].files.pop(PAGE_PATH)
    refresh_packs(world.app())
    assert PAGE_PATH not in world.tracker.runs[world.models.version("1").run_id].files, "it was not due"
    refresh_pack(world.app(), "cycle-2")
    assert (text_of(world, version), tag_of(world, version)) == (before, tag)


def test_a_note_that_is_ahead_of_the_ledger_holds_no_page_back(world: World) -> None:
    with_champion(world)
    reconcile(world.app())
    note = world.workspace.state_dir / "approval-pages.json"
    assert json.loads(note.read_text()) == {"up_to_entry": world.state.last_sequence}
    note.write_text('{"up_to_entry": 100000}')
    world.models.set_tag("1", "evidence", "of another ledger")
    refresh_packs(world.app())
    assert tag_of(world, "1").startswith("up to entry")


# --- what goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("away", ["models", "tracker"])
def test_an_unreachable_mlflow_delays_the_page_until_the_next_reconcile(world: World, away: str) -> None:
    version = judged(world)
    getattr(world, away).is_offline = True
    listener = Listener()
    app = replace(world.app(), teller=listener)
    decide_by_hand(app, version, "rejected", by="anna", why="no")
    refresh_packs(app)
    assert any(
        "the approval page waits" in said or "the approval pages wait" in said for said in listener.said
    )
    getattr(world, away).is_offline = False
    reconcile(world.app())
    assert "anna rejected version 1" in page_of(world, version).text


def test_wherever_writing_is_interrupted_the_next_reconcile_completes_it(tmp_path: Path) -> None:
    worlds: list[World] = []

    def write_until_killed(countdown: Countdown) -> None:
        worlds.append(World(tmp_path / str(len(worlds))))
        worlds[-1].label(range(12))
        version = judged(worlds[-1])
        worlds[-1].models.set_tag(version, "evidence", "something older")
        worlds[-1].models.describe(version, "old")
        refresh_pack(worlds[-1].app(countdown=countdown), "cycle-1")

    for point in every_crash_point(write_until_killed):
        world = worlds[-1]
        world.clock.advance(hours=1)  # the dead one's lease
        refresh_packs(world.app())
        assert world.models.descriptions["1"].startswith("## ✓"), point
        assert tag_of(world, "1").startswith("up to entry"), point


def test_only_one_process_writes_a_page_at_a_time(world: World) -> None:
    version = judged(world)
    before = tag_of(world, version)
    world.models.set_tag(version, "evidence", "old")
    lease = world.ledger.take_lease("the approval page of cycle-1", ttl_s=60)
    assert lease
    refresh_packs(world.app())
    assert tag_of(world, version) == "old"
    world.ledger.free_lease(lease)
    refresh_packs(world.app())
    assert tag_of(world, version) == before


def test_a_version_or_run_deleted_by_hand_stops_nothing(world: World) -> None:
    version = with_champion(world)
    world.tracker.runs.pop(world.models.version("1").run_id)
    world.models.set_tag("1", "evidence", "old")
    reconcile(world.app())
    assert "artifacts" not in world.models.descriptions["1"], "no link to what is not there"
    assert tag_of(world, "1") != "old", "it is not tried for ever"
    world.models.delete_version_by_hand(version)
    refresh_pack(world.app(), "cycle-2")
    reconcile(world.app())


def test_versions_that_ended_before_there_were_pages_are_left_alone(world: World) -> None:
    version = judged(world)
    decide_by_hand(world.app(), version, "rejected", by="anna", why="no")
    reconcile(world.app())
    world.models.set_tag(version, "evidence", "")
    world.models.describe(version, "as it was")
    refresh_packs(world.app())
    assert world.models.descriptions[version] == "as it was"


def test_figures_that_are_gone_here_are_read_back_from_the_run_and_their_loss_is_said(world: World) -> None:
    version = judged(world)
    kept = world.workspace.reports_dir / "verdicts" / f"version-{version}" / "evidence.json"
    before = text_of(world, version)
    kept.write_text("{ broken")
    refresh_pack(world.app(), "cycle-1")
    assert text_of(world, version) == before
    world.tracker.runs[world.models.version(version).run_id].files.pop("verdict/evidence.json")
    refresh_pack(world.app(), "cycle-1")
    assert "The figures by class were not kept" in page_of(world, version).text


def test_an_unknown_or_unjudged_cycle_has_no_page(world: World) -> None:
    refresh_pack(world.app(), "cycle-99")
    record_trigger(world.app().journal, "k", "manual", "x")
    reconcile(world.app(), start_work=lambda _cycle: None)
    refresh_pack(world.app(), "cycle-1")
    assert world.models.versions() == ()
