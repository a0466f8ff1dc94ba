"""Where a decision stands, after each thing that can happen to a candidate."""

from __future__ import annotations

import pytest

from maskloop.records.kinds import (
    CandidateRegistered,
    CycleClosed,
    CycleWaiting,
    RolloutMoved,
    RolloutPhase,
    RolloutStarted,
    WaitingFor,
    write_record,
)
from registry.approval.decision_status import DecisionStatus, status_of_decision
from registry.champion.promotion import rollback
from tests.fakes.registry_world import RegistryWorld


@pytest.fixture
def world() -> RegistryWorld:
    return RegistryWorld()


def standing(world: RegistryWorld, candidate: CandidateRegistered) -> DecisionStatus:
    return status_of_decision(world.state.cycles[world.cycle_of(candidate)], world.state)


def wait(world: RegistryWorld, candidate: CandidateRegistered, waiting_for: WaitingFor) -> None:
    record = CycleWaiting(waiting_for=waiting_for, reason="something is missing", way_out="wait")
    write_record(world.ledger, record, cycle_id=world.cycle_of(candidate))


def close(world: RegistryWorld, candidate: CandidateRegistered, outcome: str, reason: str) -> None:
    record = CycleClosed.model_validate({"outcome": outcome, "reason": reason})
    write_record(world.ledger, record, cycle_id=world.cycle_of(candidate))


def test_a_judged_candidate_waits_for_a_decision(world: RegistryWorld) -> None:
    candidate = world.candidate()
    world.judge(candidate)
    assert standing(world, candidate) == DecisionStatus(
        "open", "It waits for a person's decision", "", "decide"
    )
    wait(world, candidate, "approval")
    assert standing(world, candidate).sentence == "Something is missing."


def test_what_the_gates_fail_cannot_be_approved(world: RegistryWorld) -> None:
    candidate = world.candidate()
    world.judge(candidate, "fail")
    assert standing(world, candidate).headline == "It cannot be approved"


def test_a_yes_can_be_taken_back_and_one_that_lapsed_is_asked_for_again(world: RegistryWorld) -> None:
    candidate = world.approved()
    assert (standing(world, candidate).headline, standing(world, candidate).next) == (
        "It is approved",
        "take back",
    )
    assert standing(world, candidate).sentence == "By anna, at the command line: a test said so."
    wait(world, candidate, "rollout")
    assert standing(world, candidate).next == "take back"
    wait(world, candidate, "approval")
    assert (standing(world, candidate).kind, standing(world, candidate).next) == ("open", "decide")


def test_a_no_is_said_with_its_reason(world: RegistryWorld) -> None:
    candidate = world.candidate()
    world.decide(world.judge(candidate), "rejected")
    assert standing(world, candidate).headline == "It was rejected"
    close(world, candidate, "rejected", "it misses bolts")
    assert standing(world, candidate) == DecisionStatus("no", "The turn ended: rejected", "It misses bolts.")


def test_a_champion_serves_until_another_does_or_it_is_rolled_back(world: RegistryWorld) -> None:
    first = world.approved()
    world.promote(first)
    assert (standing(world, first).headline, standing(world, first).next) == ("It serves", "roll back")
    close(world, first, "promoted", "it serves")
    assert standing(world, first).headline == "It serves"
    second = world.promoted()
    assert standing(world, first).headline == "It served and was replaced"
    rollback(world.ledger, world.store, by="otto", why="it is slow")
    assert standing(world, second).headline == "It served and was rolled back from"
    assert standing(world, second).kind == "no"
    assert "it is slow" in standing(world, second).sentence
    assert standing(world, first).headline == "It serves"


@pytest.mark.parametrize(
    ("phase", "headline"),
    [
        ("shadow", "It is approved"),
        ("aborting", "Its rollout was stopped"),
        ("rolled-back", "Its rollout was stopped"),
    ],
)
def test_a_stopped_rollout_is_a_no(world: RegistryWorld, phase: RolloutPhase, headline: str) -> None:
    world.promoted()
    candidate = world.approved()
    champion = world.state.champion
    assert champion is not None
    started = RolloutStarted(
        version=candidate.version,
        weights_digest=candidate.weights_digest,
        blessing_id="b" * 64,
        champion_version=champion.version,
        champion_digest=champion.weights_digest,
        steps_percent=(100.0,),
        required_agreement=0.5,
        settings_digest="s" * 64,
    )
    moved = RolloutMoved(event="e", phase=phase, share_percent=0.0, reason="it misses things")
    for record in (started, moved):
        write_record(world.ledger, record, cycle_id=world.cycle_of(candidate))
    assert standing(world, candidate).headline == headline
    assert ("It misses things." in standing(world, candidate).sentence) == (phase != "shadow")
