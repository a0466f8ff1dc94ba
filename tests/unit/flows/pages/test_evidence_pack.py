"""The approval page over fakes: what it shows after each step, and how it is caught up."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataset.pictures.decoding import encode_png
from evaluation import overlays
from flows.deciding.decisions import decide_by_hand
from flows.deciding.promotion import roll_back
from flows.evidence.judged import PAGE_PATH
from flows.loop.cycles import record_trigger
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.pages.evidence_pack import refresh_pack, refresh_packs
from flows.workspace.telling import SilentTeller
from maskloop.records.kinds import DriftJudged, RolloutMoved, write_record
from maskloop.workspace import Workspace
from serving.rollout.checks import CHECKS
from serving.rollout.pairs import Comparison, KeptPair
from tests.fakes.approval_pages import Reader
from tests.fakes.crashing import Countdown, every_crash_point
from tests.fakes.loop_world import World
from tests.fakes.model_ports import CLASS_NAMES, ColourPredictor, draw_picture

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
    world.model.quality = quality
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
            record_trigger(world.app(), "drift:a:b:w1", "drift", "the input has drifted since window w1")
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
    roll_back(world.app(), to_version=None, by="otto", why="it is slow")
    reconcile(world.app())
    assert "✗ It served and was rolled back from." in page_of(world, version).text
    assert "it is slow" in page_of(world, version).text


def test_a_no_shows_with_its_reason_and_a_yes_taken_back_with_both(world: World) -> None:
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
    world.model.quality = 0.3
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


# --- what goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("away", ["models", "tracker"])
def test_an_away_mlflow_delays_the_page_until_the_next_reconcile(world: World, away: str) -> None:
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


def test_a_version_or_run_deleted_by_hand_holds_nothing_up(world: World) -> None:
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
    record_trigger(world.app(), "k", "manual", "x")
    reconcile(world.app(), start_work=lambda _app, _cycle: None)
    refresh_pack(world.app(), "cycle-1")
    assert world.models.versions() == ()


# --- the shadow --------------------------------------------------------------------------------------

OF_THE_JUDGING = 9
"""Pictures on the page: three test pictures as annotated, by the champion and by the candidate."""


@pytest.fixture
def shadow(tmp_path: Path) -> World:
    """Version 2 answers in the shadow of version 1 and waits for its reviewer."""
    world = World(tmp_path / "shadow", rollout="min_pictures = 30\nmin_step_pictures = 20")
    world.label(range(12))
    with_champion(world)
    return world


def see(world: World, numbers: range, *, picture: bytes | None = None, **facts: float) -> None:
    """Let both models see some pictures."""
    for number in numbers:
        pixels, _ = draw_picture(number)
        found = ColourPredictor(0.9).predict([pixels])[0].detections
        same: dict[str, Any] = {
            "agreement": 0.9,
            "champion_s": 0.01,
            "challenger_s": 0.012,
            "latency_s": 0.02,
        }
        comparison = Comparison("cycle-2", f"r{number}", "champion", **(same | facts))
        data = encode_png(pixels) if picture is None else picture
        world.pairs.add(KeptPair(comparison, found, found, CLASS_NAMES, 1, data))


def test_the_page_shows_the_shadow_as_it_goes_on(shadow: World) -> None:
    assert "No shadow traffic yet" in page_of(shadow, "2").text
    see(shadow, range(3))
    see(shadow, range(3, 4), agreement=0.1)
    reconcile(shadow.app())
    page = page_of(shadow, "2")
    assert "4 pictures of production were shown to both: the pictures so far cannot tell" in page.text
    assert "champion took 10 ms, 95 % within 10 ms, the challenger 12 ms, 95 % within 12 ms" in page.text
    assert "agreement 0.10, request r3 champion: 2 found challenger: 2 found" in page.text
    assert page.tags.count("img") == OF_THE_JUDGING + 6
    assert all(row.question in page.text for row in CHECKS), "each check of the table is asked"
    see(shadow, range(4, 200))
    reconcile(shadow.app())
    assert "200 pictures of production" in page_of(shadow, "2").text


def test_a_page_is_not_written_for_every_picture(shadow: World) -> None:
    see(shadow, range(130))
    reconcile(shadow.app())
    tag = tag_of(shadow, "2")
    see(shadow, range(130, 140))
    reconcile(shadow.app())
    assert tag_of(shadow, "2") == tag


def test_what_the_rollout_said_stays_when_the_pairs_are_forgotten(shadow: World) -> None:
    see(shadow, range(100))
    reconcile(shadow.app())
    shadow.pairs.forget("cycle-2")
    file = shadow.workspace.reports_dir / "verdicts" / "version-2" / "rollout.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "questions": {}}), encoding="utf-8")
    decide_by_hand(shadow.app(), "2", "rejected", by="anna", why="no")
    page = page_of(shadow, "2")
    assert "Does it see the same things" in page.text, "also of a report kept before it held the questions"
    assert "100 pictures of production" in page.text
    assert "Where the two disagree most" in page.text
    assert "champion took 10 ms" in page.text


def test_without_pairs_and_without_what_was_kept_the_ledger_still_tells_the_checks(shadow: World) -> None:
    see(shadow, range(100), agreement=0.0)
    reconcile(shadow.app())
    moves = shadow.of_kind(RolloutMoved)
    assert [move.phase for move in moves] == ["aborting", "rolled-back"]
    shadow.pairs.forget("cycle-2")
    (shadow.workspace.reports_dir / "verdicts" / "version-2" / "rollout.json").unlink()
    refresh_pack(shadow.app(), "cycle-2")
    text = page_of(shadow, "2").text
    assert "it is worse than the champion" in text
    assert f"{moves[0].num_compared} pictures of production" in text
    assert "Phase rolled-back" in text
    assert "✗ The turn ended: rejected." in text


def test_pictures_of_production_stay_out_where_settings_keep_none(shadow: World) -> None:
    edit_settings(shadow, "[gates]", "[serving.sampling]\nkeep_pictures = false\n\n[gates]")
    see(shadow, range(10))
    reconcile(shadow.app())
    assert page_of(shadow, "2").tags.count("img") == OF_THE_JUDGING


def test_a_picture_that_cannot_be_drawn_costs_only_itself(shadow: World) -> None:
    see(shadow, range(1), picture=b"\x89PNG\r\n\x1a\nbroken", agreement=0.0)
    see(shadow, range(1, 3))
    refresh_pack(shadow.app(), "cycle-2")
    assert page_of(shadow, "2").tags.count("img") == OF_THE_JUDGING + 4
