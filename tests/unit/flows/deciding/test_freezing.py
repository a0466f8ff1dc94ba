"""While the quality budget is spent the policy promotes nothing; people may, and it thaws by itself."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from flows.deciding.decisions import decide_by_hand
from flows.deciding.freezing import find_freeze
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.notifications.notices import find_notices
from flows.pages.status import describe_status
from flows.rollouts.rollout import advance_rollout, describe_rollout
from maskloop.records.kinds import ApprovalDecided, CycleWaiting
from tests.fakes.crashing import Countdown, Killed
from tests.fakes.loop_world import World
from tests.fakes.quality import tell_quality
from tests.fakes.rollout_world import ROLLOUT, position, traffic

AUTO = '[approval]\npolicy = "auto"\n'


def with_champion(tmp_path: Path, *, rollout: str = "enabled = false") -> World:
    """Version 1 serves, promoted by the policy."""
    world = World(tmp_path / "workspace", settings=AUTO, rollout=rollout)
    world.label(range(12))
    run_turn(world.app(), starts_from="first-weights")
    reconcile(world.app())
    assert world.alias("champion") == "1"
    return world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return with_champion(tmp_path)


def retrain(world: World) -> None:
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")
    reconcile(world.app())


def test_a_spent_quality_budget_keeps_the_policy_from_promoting_and_says_why_and_what_to_do(
    world: World,
) -> None:
    tell_quality(world, 0.4)
    retrain(world)
    assert world.alias("champion") == "1"
    waiting = world.last_cycle.waiting
    assert waiting is not None
    assert waiting.waiting_for == "approval"
    assert waiting.reason.startswith("the quality budget of version 1 is spent: mean mask IoU 0.40")
    assert "maskloop approve 2 --by NAME" in waiting.way_out
    assert "maskloop approve 2 --by NAME" in describe_status(world.app()).to_text()


def test_a_kept_budget_or_too_few_labels_leave_the_policy_alone(world: World) -> None:
    tell_quality(world, 0.9)
    retrain(world)
    assert world.alias("champion") == "2"


def test_the_policy_goes_on_by_itself_once_labels_show_the_promised_quality(world: World) -> None:
    tell_quality(world, 0.4)
    retrain(world)
    tell_quality(world, 0.95, num=400)
    reconcile(world.app())
    assert world.alias("champion") == "2"
    assert world.of_kind(ApprovalDecided)[-1].via == "policy"


def test_the_policy_goes_on_once_the_bad_labels_are_older_than_the_window(world: World) -> None:
    tell_quality(world, 0.4)
    retrain(world)
    world.clock.advance(days=31)
    reconcile(world.app())
    assert world.alias("champion") == "2"


def test_a_person_s_approval_promotes_although_the_policy_is_frozen(world: World) -> None:
    tell_quality(world, 0.4)
    retrain(world)
    decided = decide_by_hand(world.app(), "2", "approved", by="anna", why="it knows the new lamp")
    assert decided.is_new
    reconcile(world.app())
    assert world.alias("champion") == "2"


def test_a_reviewer_in_mlflow_approves_although_the_policy_is_frozen(world: World) -> None:
    tell_quality(world, 0.4)
    retrain(world)
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    assert world.alias("champion") == "2"


def test_the_freeze_ends_with_another_champion(world: World) -> None:
    tell_quality(world, 0.4)
    retrain(world)
    decide_by_hand(world.app(), "2", "approved", by="anna", why="")
    reconcile(world.app())
    assert find_freeze(world.state, world.app().settings, world.clock.now()) is None


def test_a_yes_that_the_policy_said_before_is_held_back_after_a_restart_until_a_person_says_it_too(
    world: World,
) -> None:
    """The process dies between the decision and the promotion, and labels come meanwhile."""
    tell_quality(world, 0.4)
    retrain(world)
    tell_quality(world, 0.95, num=400)
    for number in range(1, 100):
        with suppress(Killed):
            reconcile(world.app(countdown=Countdown(number)))
        if world.last_cycle.phase != "judged":
            break
        world.clock.advance(hours=1)  # the leases of the dead process end
    assert (world.last_cycle.phase, world.alias("champion")) == ("approved", "1")
    world.clock.advance(hours=1)
    tell_quality(world, 0.1, num=4000)

    reconcile(world.app())
    assert (world.last_cycle.phase, world.alias("champion")) == ("approved", "1")
    num_entries = len(world.ledger.entries())
    reconcile(world.app())
    assert len(world.ledger.entries()) == num_entries
    assert world.of_kind(CycleWaiting)[-1].reason.startswith("the quality budget of version 1 is spent")

    assert decide_by_hand(world.app(), "2", "approved", by="anna", why="").is_new
    reconcile(world.app())
    assert world.alias("champion") == "2"


def test_a_rollout_that_the_policy_approved_stays_at_its_share_while_it_is_frozen(tmp_path: Path) -> None:
    world = with_champion(tmp_path, rollout=ROLLOUT)
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")
    reconcile(world.app())
    traffic(world, 90)
    advance_rollout(world.app())
    assert position(world) == ("progressing", 5.0)

    tell_quality(world, 0.4)
    traffic(world, 90)
    world.clock.advance(minutes=6)
    assert advance_rollout(world.app()) == []
    assert position(world) == ("progressing", 5.0)
    assert describe_rollout(world.app(), "cycle-2")["waits_for"] == "an approval"
    reconcile(world.app())
    assert world.last_cycle.waiting is not None
    assert world.last_cycle.waiting.waiting_for == "approval"

    decide_by_hand(world.app(), "2", "approved", by="anna", why="")
    advance_rollout(world.app())
    assert position(world) == ("progressing", 50.0)


def test_the_notice_names_the_class_since_when_and_the_version_that_a_rollback_brings_back(
    world: World,
) -> None:
    retrain(world)
    assert world.alias("champion") == "2"
    tell_quality(world, 0.4)
    first = world.clock.now()
    tell_quality(world, 0.4)
    (notice,) = find_notices(world.state, world.app().settings, world.clock.now())
    assert (notice.event, notice.since) == ("quality", first)
    assert dict(notice.facts)["model"] == "version 2"
    assert dict(notice.facts)["class"] == "bolt (mask IoU 0.40)"
    assert "maskloop rollback --why ...   (version 1 serves again)" in notice.commands
    freeze = find_freeze(world.state, world.app().settings, world.clock.now())
    assert freeze is not None
    assert freeze.rollback_target == "1"
    assert "`maskloop rollback --why WHY` brings version 1 back" in freeze.way_out("3")
