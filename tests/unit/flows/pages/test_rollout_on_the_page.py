"""What the approval page tells of a rollout, while it goes on and afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dataset.pictures.decoding import encode_png
from flows.deciding.decisions import decide_by_hand
from flows.loop.reconcile import reconcile
from flows.pages.evidence_pack import refresh_pack
from maskloop.records.kinds import RolloutMoved
from serving.rollout.checks import CHECKS
from serving.rollout.pairs import Comparison, KeptPair
from tests.fakes.loop_world import World
from tests.fakes.model_ports import CLASS_NAMES, ColourPredictor, draw_picture
from tests.unit.flows.pages.test_evidence_pack import edit_settings, page_of, tag_of, with_champion

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
