from __future__ import annotations

import pytest

from maskloop.errors import NotFoundError, RefusedError, UnavailableError
from maskloop.ledger.port import Lease
from maskloop.records.kinds import AliasTampered, Outcome, read_record, write_record
from maskloop.settings.workspace_settings import ApprovalSettings
from registry.champion.promotion import promote, reconcile_aliases, recover, rollback
from registry.gates.blessing import blessing_id_of
from tests.fakes.registry_world import RegistryWorld


@pytest.fixture
def world() -> RegistryWorld:
    return RegistryWorld()


def test_an_approved_candidate_becomes_champion_everywhere(world: RegistryWorld) -> None:
    candidate = world.approved()
    reconcile_aliases(world.ledger, world.store)
    assert world.alias("challenger") == candidate.version
    world.promote(candidate)
    assert world.state.champion is not None
    assert world.state.champion.weights_digest == candidate.weights_digest
    assert world.alias("champion") == candidate.version
    assert world.alias("challenger") == ""
    assert world.store.version(candidate.version).tags["status"] == "champion"


def test_the_previous_champion_is_named_and_retired(world: RegistryWorld) -> None:
    first, second = world.promoted(), world.promoted()
    champion = world.state.champion
    assert champion is not None
    assert (champion.previous_version, champion.epoch) == (first.version, 2)
    assert world.store.version(first.version).tags["status"] == "retired"
    assert world.store.version(second.version).tags["status"] == "champion"


def test_promoting_twice_changes_nothing(world: RegistryWorld) -> None:
    candidate = world.promoted()
    before = world.state.last_sequence
    world.promote(candidate)
    assert world.state.last_sequence == before


def refusal_of(world: RegistryWorld, candidate) -> str:
    """Return why a promotion is refused; it must leave everything as it was."""
    before = (world.state.last_sequence, world.alias("champion"))
    with pytest.raises(RefusedError) as refused:
        world.promote(candidate)
    assert (world.state.last_sequence, world.alias("champion")) == before
    return str(refused.value)


def test_what_nobody_judged_is_refused(world: RegistryWorld) -> None:
    assert "not judged" in refusal_of(world, world.candidate())


def test_what_the_gates_failed_is_refused_even_with_an_approval(world: RegistryWorld) -> None:
    candidate = world.candidate()
    world.decide(world.judge(candidate, "fail"))
    assert "gates failed" in refusal_of(world, candidate)


def test_what_nobody_approved_is_refused(world: RegistryWorld) -> None:
    candidate = world.candidate()
    world.judge(candidate)
    assert "nobody has approved" in refusal_of(world, candidate)


def test_a_rejection_is_final(world: RegistryWorld) -> None:
    candidate = world.candidate()
    verdict = world.judge(candidate)
    world.decide(verdict, "rejected", by="otto")
    world.decide(verdict, "approved")
    assert "otto rejected" in refusal_of(world, candidate)


def test_the_policy_alone_cannot_approve_an_inconclusive_verdict(world: RegistryWorld) -> None:
    candidate = world.candidate()
    world.decide(world.judge(candidate, "inconclusive"), via="policy")
    assert "needs a person" in refusal_of(world, candidate)


def test_a_person_can_approve_an_inconclusive_verdict(world: RegistryWorld) -> None:
    candidate = world.candidate()
    world.decide(world.judge(candidate, "inconclusive"))
    world.promote(candidate)
    assert world.alias("champion") == candidate.version


def test_an_expired_approval_is_refused(world: RegistryWorld) -> None:
    candidate = world.approved()
    world.clock.advance(days=14)
    assert "expired" in refusal_of(world, candidate)


def test_the_requester_cannot_be_the_second_pair_of_eyes(world: RegistryWorld) -> None:
    world.settings = ApprovalSettings(four_eyes=True)
    candidate = world.candidate(requested_by="Anna")
    world.decide(world.judge(candidate), by="anna ")
    assert "asked for this training" in refusal_of(world, candidate)


def test_a_verdict_against_an_earlier_champion_is_refused(world: RegistryWorld) -> None:
    late = world.approved()
    world.promoted()
    assert "another champion" in refusal_of(world, late)


def test_a_changed_verdict_no_longer_fits_its_blessing(world: RegistryWorld) -> None:
    candidate = world.candidate()
    verdict = world.judge(candidate)
    forged = verdict.model_copy(update={"data_tag": "data-v2"})
    write_record(world.ledger, forged, cycle_id="c1")
    world.decide(forged)
    assert "does not fit its own digest" in refusal_of(world, candidate)


def test_a_verdict_that_contradicts_its_own_checks_is_refused(world: RegistryWorld) -> None:
    candidate = world.candidate()
    forged = world.judge(candidate, "fail").model_copy(update={"outcome": "pass"})
    forged = forged.model_copy(update={"blessing_id": blessing_id_of(forged)})
    write_record(world.ledger, forged, cycle_id="c1")
    world.decide(forged)
    assert "does not fit" in refusal_of(world, candidate)


def test_other_weights_behind_the_same_version_are_refused(world: RegistryWorld) -> None:
    candidate = world.approved()
    world.store.set_tag(candidate.version, "x", "y")
    stored = world.store._versions[candidate.version]
    world.store._versions[candidate.version] = type(stored)(**{**vars(stored), "weights_digest": "0" * 64})
    assert "does not hold the weights" in refusal_of(world, candidate)


def test_a_retired_version_returns_only_by_rollback(world: RegistryWorld) -> None:
    first = world.promoted()
    world.promoted()
    verdict = world.judge(first)
    world.decide(verdict)
    assert "retired" in refusal_of(world, first)


def test_while_somebody_else_promotes_one_is_told_to_wait(world: RegistryWorld) -> None:
    candidate = world.approved()
    assert isinstance(world.ledger.take_lease("promotion", ttl_s=60), Lease)
    with pytest.raises(UnavailableError, match="already running"):
        world.promote(candidate)


def test_of_two_changes_with_one_epoch_the_ledger_keeps_the_first(world: RegistryWorld) -> None:
    """Without the lease, as after a long pause: the second finds its epoch taken and moves nothing."""
    one, other = world.approved(), world.approved()
    stale = world.ledger.entries()

    class LateReader:
        def __getattr__(self, name: str) -> object:
            return getattr(world.ledger, name)

        def entries(self, *, after: int = 0) -> object:
            return stale

    world.promote(one)
    with pytest.raises(RefusedError, match="somebody else"):
        promote(
            LateReader(),  # type: ignore[arg-type]
            world.store,
            cycle_id="c2",
            weights_digest=other.weights_digest,
            settings=world.settings,
            why="late",
            clock=world.clock,
        )
    assert world.alias("champion") == one.version


# --- rollback ------------------------------------------------------------------------------------


def test_rollback_brings_back_the_champion_before(world: RegistryWorld) -> None:
    first, second = world.promoted(), world.promoted()
    change = rollback(world.ledger, world.store, by="otto", why="it misses bolts")
    assert (change.version, change.previous_version, change.cause) == (
        first.version,
        second.version,
        "rollback",
    )
    assert world.alias("champion") == first.version
    assert world.state.serving[-1].actor == "otto"
    assert world.store.version(second.version).tags["status"] == "retired"


def test_rolling_back_twice_goes_further_back_and_never_to_the_bad_one(world: RegistryWorld) -> None:
    first, _, _ = world.promoted(), world.promoted(), world.promoted()
    rollback(world.ledger, world.store, by="otto", why="")
    change = rollback(world.ledger, world.store, by="otto", why="")
    assert change.version == first.version
    with pytest.raises(RefusedError, match="no earlier champion"):
        rollback(world.ledger, world.store, by="otto", why="")


def test_a_version_that_was_rolled_back_needs_a_new_verdict_to_return(world: RegistryWorld) -> None:
    world.promoted()
    bad = world.promoted()
    rollback(world.ledger, world.store, by="otto", why="")
    with pytest.raises(RefusedError, match="itself rolled back from"):
        rollback(world.ledger, world.store, to_version=bad.version, by="otto", why="")
    world.decide(world.judge(bad))
    assert rollback(world.ledger, world.store, to_version=bad.version, by="otto", why="").version == "2"


def test_rollback_to_a_named_earlier_champion(world: RegistryWorld) -> None:
    first, _, _ = world.promoted(), world.promoted(), world.promoted()
    rollback(world.ledger, world.store, to_version=first.version, by="otto", why="")
    assert world.alias("champion") == first.version


def test_rollback_to_what_never_served_is_refused(world: RegistryWorld) -> None:
    world.promoted()
    world.approved()
    with pytest.raises(RefusedError, match="never served"):
        rollback(world.ledger, world.store, to_version="2", by="otto", why="")


def test_rollback_to_a_version_that_is_not_there_says_so(world: RegistryWorld) -> None:
    world.promoted()
    with pytest.raises(NotFoundError, match="no version 99"):
        rollback(world.ledger, world.store, to_version="99", by="otto", why="")


def test_rollback_to_what_serves_already_is_refused(world: RegistryWorld) -> None:
    candidate = world.promoted()
    with pytest.raises(RefusedError, match="serves already"):
        rollback(world.ledger, world.store, to_version=candidate.version, by="otto", why="")


def test_rollback_before_any_promotion_is_refused(world: RegistryWorld) -> None:
    world.candidate()
    with pytest.raises(RefusedError):
        rollback(world.ledger, world.store, to_version="1", by="otto", why="")


def test_rollback_works_while_the_registry_is_away_and_its_alias_follows_later(world: RegistryWorld) -> None:
    first, second = world.promoted(), world.promoted()
    world.store.is_offline = True
    change = rollback(world.ledger, world.store, by="otto", why="it misses bolts")
    assert (change.version, change.alias_moved) == (first.version, False)
    assert world.state.champion == change
    world.store.is_offline = False
    assert world.alias("champion") == second.version
    assert reconcile_aliases(world.ledger, world.store) == [], "our own unfinished move is no tampering"
    assert world.alias("champion") == first.version


def test_rollback_to_a_deleted_version_moves_nothing(world: RegistryWorld) -> None:
    first, second = world.promoted(), world.promoted()
    world.store.delete_version_by_hand(first.version)
    with pytest.raises(NotFoundError):
        rollback(world.ledger, world.store, by="otto", why="")
    assert world.alias("champion") == second.version
    assert world.state.changing is None


@pytest.mark.parametrize(("outcome", "decision"), [("fail", "approved"), ("pass", "rejected")])
def test_rollback_to_what_was_since_found_bad_is_refused(
    world: RegistryWorld, outcome: Outcome, decision: str
) -> None:
    first, second = world.promoted(), world.promoted()
    world.decide(world.judge(first, outcome), decision)
    with pytest.raises(RefusedError):
        rollback(world.ledger, world.store, by="otto", why="")
    assert world.alias("champion") == second.version


def test_a_promoter_that_slept_while_others_went_on_does_not_keep_the_alias(world: RegistryWorld) -> None:
    slow, quick = world.approved(), world.candidate()

    class SlowStore:
        """The process sleeps just before it moves the alias; meanwhile its lease ends."""

        has_slept = False

        def __getattr__(self, name: str) -> object:
            if name == "set_alias" and not self.has_slept:
                self.has_slept = True
                world.clock.advance(minutes=5)
                recover(world.ledger, world.store)
                world.decide(world.judge(quick))
                world.promote(quick)
            return getattr(world.store, name)

    change = promote(
        world.ledger,
        SlowStore(),  # type: ignore[arg-type]
        cycle_id="c1",
        weights_digest=slow.weights_digest,
        settings=world.settings,
        why="slow",
        clock=world.clock,
    )
    assert change.epoch == 1
    assert world.state.champion is not None
    assert world.state.champion.version == quick.version
    assert world.alias("champion") == quick.version


# --- what people do by hand ----------------------------------------------------------------------


def recorded(world: RegistryWorld) -> list[AliasTampered]:
    records = (read_record(entry) for entry in world.ledger.entries())
    return [record for record in records if isinstance(record, AliasTampered)]


def test_a_champion_moved_by_hand_is_put_back_and_recorded(world: RegistryWorld) -> None:
    champion, other = world.promoted(), world.candidate()
    world.store.set_alias("champion", other.version)
    tampered = reconcile_aliases(world.ledger, world.store)
    expected = AliasTampered(alias="champion", found_version=other.version, expected_version=champion.version)
    assert tampered == recorded(world) == [expected]
    assert world.alias("champion") == champion.version
    assert reconcile_aliases(world.ledger, world.store) == []


def test_a_champion_named_by_hand_before_any_promotion_is_removed(world: RegistryWorld) -> None:
    world.store.set_alias("champion", world.candidate().version)
    (tampered,) = reconcile_aliases(world.ledger, world.store)
    assert "belongs nowhere" in tampered.sentence()
    assert world.alias("champion") == ""


def test_a_removed_champion_alias_is_put_back_and_recorded(world: RegistryWorld) -> None:
    champion = world.promoted()
    world.store.delete_alias("champion")
    (tampered,) = reconcile_aliases(world.ledger, world.store)
    assert tampered.found_version == ""
    assert world.alias("champion") == champion.version


def test_a_deleted_champion_is_reported_once_and_still_the_champion(world: RegistryWorld) -> None:
    champion = world.promoted()
    world.store.delete_version_by_hand(champion.version)
    assert len(reconcile_aliases(world.ledger, world.store)) == 1
    assert reconcile_aliases(world.ledger, world.store) == []
    assert len(recorded(world)) == 1
    assert world.state.champion is not None


def test_a_challenger_moved_by_hand_is_put_back_and_recorded(world: RegistryWorld) -> None:
    champion, challenger = world.promoted(), world.approved()
    reconcile_aliases(world.ledger, world.store)
    world.store.set_alias("challenger", champion.version)
    (tampered,) = reconcile_aliases(world.ledger, world.store)
    assert tampered.alias == "challenger"
    assert world.alias("challenger") == challenger.version


def test_the_challenger_of_a_rejected_candidate_is_dropped_without_alarm(world: RegistryWorld) -> None:
    candidate = world.candidate()
    verdict = world.judge(candidate)
    reconcile_aliases(world.ledger, world.store)
    world.decide(verdict, "rejected")
    assert reconcile_aliases(world.ledger, world.store) == []
    assert world.alias("challenger") == ""


def test_what_the_gates_failed_is_no_challenger(world: RegistryWorld) -> None:
    world.judge(world.candidate(), "fail")
    reconcile_aliases(world.ledger, world.store)
    assert world.alias("challenger") == ""
