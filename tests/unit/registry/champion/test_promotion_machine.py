"""Any order of decisions, accidents and crashes: what must hold holds after every step."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from maskloop.errors import IntegrityError, MaskloopError
from maskloop.folding.fold import fold
from maskloop.ledger.port import check_chain
from maskloop.records.kinds import CandidateRegistered, ChampionChanged, Outcome, read_record
from registry.champion.aliases import expected_aliases
from registry.champion.promotion import promote, reconcile_aliases, recover, rollback
from registry.champion.serving_copy import blessing_of, champion_copy
from tests.fakes.crashing import Countdown, Killed, crashing
from tests.fakes.registry_world import RegistryWorld, verify_weights

crash_points = st.integers(min_value=0, max_value=25)
moments = st.sampled_from(["before", "after"])
outcomes: st.SearchStrategy[Outcome] = st.sampled_from(["pass", "pass", "inconclusive", "fail"])


class Promotions(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = RegistryWorld()
        self.candidates: list[CandidateRegistered] = []
        self.highest_epoch = 0
        self.is_settled = True
        self._folder = tempfile.TemporaryDirectory()
        self.models_dir = Path(self._folder.name)

    def teardown(self) -> None:
        self._folder.cleanup()

    def pick(self, data: st.DataObject) -> CandidateRegistered:
        return data.draw(st.sampled_from(self.candidates))

    def on_disk(self, weights_digest: str) -> bool:
        return (self.models_dir / weights_digest).exists()

    # --- what the loop and people do --------------------------------------------------------------

    @precondition(lambda self: not self.world.store.is_offline)
    @rule(outcome=outcomes)
    def train_and_judge(self, outcome: Outcome) -> None:
        candidate = self.world.candidate()
        self.candidates.append(candidate)
        self.world.judge(candidate, outcome)

    @precondition(lambda self: self.candidates)
    @rule(
        data=st.data(),
        decision=st.sampled_from(["approved", "approved", "rejected"]),
        via=st.sampled_from(["cli", "policy"]),
    )
    def decide(self, data: st.DataObject, decision: str, via: str) -> None:
        verdict = self.world.state.verdicts[self.pick(data).weights_digest]
        self.world.decide(verdict, decision, via=via)

    @precondition(lambda self: self.candidates)
    @rule(data=st.data(), outcome=outcomes)
    def judge_again(self, data: st.DataObject, outcome: Outcome) -> None:
        self.world.judge(self.pick(data), outcome)

    @precondition(lambda self: self.candidates)
    @rule(data=st.data(), crash_at=crash_points, moment=moments)
    def promote(self, data: st.DataObject, crash_at: int, moment: str) -> None:
        candidate, countdown = (
            self.pick(data),
            Countdown(crash_at, "after" if moment == "after" else "before"),
        )
        self.is_settled = False
        with suppress(MaskloopError, Killed):
            promote(
                crashing(self.world.ledger, countdown),
                crashing(self.world.store, countdown),
                cycle_id=self.world.cycle_of(candidate),
                weights_digest=candidate.weights_digest,
                settings=self.world.settings,
                why="it passed",
                clock=self.world.clock,
            )

    @rule(data=st.data(), crash_at=crash_points)
    def rollback(self, data: st.DataObject, crash_at: int) -> None:
        versions = [None, *(candidate.version for candidate in self.candidates)]
        countdown = Countdown(crash_at)
        self.is_settled = False
        with suppress(MaskloopError, Killed):
            rollback(
                crashing(self.world.ledger, countdown),
                crashing(self.world.store, countdown),
                to_version=data.draw(st.sampled_from(versions)),
                by="otto",
                why="",
            )

    @rule(hours=st.sampled_from([1, 24 * 15]))
    def time_passes(self, hours: int) -> None:
        self.world.clock.advance(hours=hours)

    # --- what happens to them ---------------------------------------------------------------------

    @precondition(lambda self: self.candidates)
    @rule(data=st.data(), alias=st.sampled_from(["champion", "challenger"]))
    def somebody_moves_an_alias(self, data: st.DataObject, alias: str) -> None:
        with suppress(MaskloopError):
            self.world.store.set_alias(alias, self.pick(data).version)
        self.is_settled = False

    @rule(alias=st.sampled_from(["champion", "challenger"]))
    def somebody_deletes_an_alias(self, alias: str) -> None:
        with suppress(MaskloopError):
            self.world.store.delete_alias(alias)
        self.is_settled = False

    @precondition(lambda self: self.candidates)
    @rule(data=st.data())
    def somebody_deletes_a_version(self, data: st.DataObject) -> None:
        with suppress(KeyError):
            self.world.store.delete_version_by_hand(self.pick(data).version)
        self.is_settled = False

    @rule(is_offline=st.booleans())
    def the_registry_goes_and_comes(self, is_offline: bool) -> None:
        self.world.store.is_offline = is_offline

    @rule()
    def reconcile(self) -> None:
        self.world.clock.advance(minutes=5)
        with suppress(MaskloopError):
            recover(self.world.ledger, self.world.store)
            reconcile_aliases(self.world.ledger, self.world.store)
            self.is_settled = True
            assert reconcile_aliases(self.world.ledger, self.world.store) == []

    # --- what must hold ---------------------------------------------------------------------------

    @invariant()
    def every_champion_was_blessed_approved_and_moved_once_per_epoch(self) -> None:
        entries = self.world.ledger.entries()
        check_chain(entries)
        epochs = []
        for index, entry in enumerate(entries):
            record = read_record(entry)
            if isinstance(record, ChampionChanged):
                assert blessing_of(fold(entries[: index + 1])).outcome != "fail"
                epochs.append(record.epoch)
        assert epochs == sorted(set(epochs))
        assert fold(entries).epoch >= self.highest_epoch
        self.highest_epoch = fold(entries).epoch

    @invariant()
    def a_champion_exists_for_ever_and_returns_only_by_rollback(self) -> None:
        seen: set[str] = set()
        for serving in self.world.state.serving:
            if serving.change.cause == "promotion":
                assert serving.change.weights_digest not in seen
            else:
                assert serving.change.weights_digest in seen
            seen.add(serving.change.weights_digest)

    @invariant()
    def what_serves_is_the_ledgers_champion_or_nothing(self) -> None:
        champion = self.world.state.champion
        was_on_disk = champion is not None and self.on_disk(champion.weights_digest)
        try:
            served = champion_copy(self.world.state, self.world.fetch, self.models_dir, verify_weights)
        except IntegrityError:
            raise
        except MaskloopError:
            assert not was_on_disk, "a champion on disk serves whatever happens"
            return
        assert champion is not None
        assert served.weights_digest == champion.weights_digest

    @invariant()
    def after_a_tick_the_aliases_say_what_the_ledger_says(self) -> None:
        store = self.world.store
        if not self.is_settled or store.is_offline:
            return
        known = {version.version for version in store.versions()}
        for alias, expected in expected_aliases(self.world.state).items():
            found = self.world.alias(alias)
            if alias == "champion":
                assert found == (expected if expected in known else "")
        assert not self.world.alias("champion") or self.world.alias("champion") != self.world.alias(
            "challenger"
        )


TestPromotions = Promotions.TestCase
TestPromotions.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
