"""No training begins on data with a finding that blocks; it is asked once a version, and costs no attempt."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.deciding.decisions import decide_by_hand
from flows.health.kept_check import FoundKind, KeptCheck, find_blocking, keep_check, read_check
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from maskloop.errors import ConfigurationError, RefusedError
from maskloop.records.kinds import CycleWaiting, TrainingFailed, TrainingStarted
from maskloop.settings.workspace_settings import parse_settings
from tests.fakes.loop_world import World


def with_finding(world: World, kind: str, *, champion: str = "") -> None:
    """Keep a check of the current version that found something of a kind."""
    version = world.data.current()
    assert version
    found = {kind: FoundKind(3, "a.png and b.png")}
    keep_check(
        world.workspace.check_file,
        KeptCheck(version.tag, version.fingerprint, "2026-01-01T00:00:00+00:00", champion, 0, found),
    )


def opened(tmp_path: Path, policy: str = "") -> World:
    world = World(tmp_path / "own", settings=f"[data]\n{policy}")
    world.label(range(12))
    return world


def test_leaks_block_and_other_kinds_warn_unless_the_settings_say_otherwise() -> None:
    kinds = ("alike", "torn", "copied", "twice", "missing", "location")
    check = KeptCheck("data-v1", "f", "", "", 0, dict.fromkeys(kinds, FoundKind(1, "it")))
    assert find_blocking(check, {}) == ("alike", "torn", "copied")
    assert find_blocking(check, {"alike": "warn", "torn": "ignore", "twice": "block"}) == ("copied", "twice")


def test_a_kind_that_does_not_exist_is_an_error_of_the_settings() -> None:
    with pytest.raises(ConfigurationError, match=r"data\.check_policy\.leaks"):
        parse_settings({"data": {"check_policy": {"leaks": "block"}}})


def test_no_training_begins_and_the_error_says_what_was_found_and_the_way_on(tmp_path: Path) -> None:
    world = opened(tmp_path)
    with_finding(world, "copied")
    with pytest.raises(RefusedError) as refused:
        run_turn(world.app(), starts_from="first-weights")
    assert "the data check of data-v1 found what no training begins with" in str(refused.value)
    assert "The same instance in several splits (3), first: a.png and b.png" in str(refused.value)
    assert 'check_policy = { copied = "warn" }' in str(refused.value)
    assert world.of_kind(TrainingStarted) == world.of_kind(TrainingFailed) == []


def test_a_held_cycle_waits_without_new_entries_and_goes_on_when_the_finding_is_gone(tmp_path: Path) -> None:
    world = opened(tmp_path)
    with_finding(world, "copied")
    with pytest.raises(RefusedError):
        run_turn(world.app(), starts_from="first-weights")
    num_entries = world.state.last_sequence
    assert world.last_cycle.waiting is not None
    assert "blocks" not in world.last_cycle.phase
    for _ in range(3):
        reconcile(world.app())
    assert world.state.last_sequence == num_entries
    assert len(world.of_kind(CycleWaiting)) == 1
    world.label(range(12, 15))
    reconcile(world.app())
    assert world.last_cycle.candidate is not None


def test_a_kind_that_only_warns_holds_nothing(tmp_path: Path) -> None:
    world = opened(tmp_path, 'check_policy = { copied = "warn" }')
    with_finding(world, "copied")
    assert run_turn(world.app(), starts_from="first-weights").candidate is not None


def test_a_version_that_was_not_checked_is_checked_once_and_what_was_found_is_kept(tmp_path: Path) -> None:
    world = opened(tmp_path)
    run_turn(world.app(), starts_from="first-weights")
    kept = read_check(world.workspace.check_file)
    assert kept is not None
    assert (kept.tag, kept.found) == ("data-v1", {})
    assert world.workspace.check_page.exists()
    decide_by_hand(world.app(), "1", "rejected", by="rita", why="once more")
    reconcile(world.app())
    world.clock.advance(hours=1)
    run_turn(world.app(), starts_from="first-weights")
    assert len(world.of_kind(TrainingStarted)) == 2
    assert read_check(world.workspace.check_file) == kept
