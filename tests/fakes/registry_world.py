"""Everything a promotion needs, in memory: a ledger, a store, and the steps that lead to a decision."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from maskloop.digest import digest_bytes, digest_file
from maskloop.errors import IntegrityError
from maskloop.folding.fold import fold
from maskloop.records.kinds import (
    ApprovalDecided,
    CandidateRegistered,
    Check,
    CycleClosed,
    CycleOpened,
    Outcome,
    VerdictReached,
    write_record,
)
from maskloop.settings.workspace_settings import ApprovalSettings
from maskloop.state.loop_state import LoopState
from registry.champion.promotion import promote
from registry.gates.blessing import make_verdict
from tests.fakes.ledger import FakeClock, FakeLedger
from tests.fakes.model_store import FakeModelStore

WEIGHTS_FILE = "model.safetensors"


def verify_weights(directory: Path, weights_digest: str) -> None:
    """Stand in for the verification of a real artifact: one file, one digest."""
    file = directory / WEIGHTS_FILE
    if not file.exists() or digest_file(file) != weights_digest:
        raise IntegrityError("the weights do not match their digest", where=str(directory))


def check(outcome: Outcome = "pass", name: str = "iou.mean") -> Check:
    return Check(name=name, outcome=outcome, measured=0.8, required=0.7, reason=f"it is a {outcome}")


@dataclass
class RegistryWorld:
    clock: FakeClock = field(default_factory=FakeClock)
    settings: ApprovalSettings = field(default_factory=ApprovalSettings)
    store: FakeModelStore = field(default_factory=FakeModelStore)

    def __post_init__(self) -> None:
        self.ledger = FakeLedger(self.clock)
        self._num_cycles = 0

    @property
    def state(self) -> LoopState:
        return fold(self.ledger.entries())

    def candidate(self, *, requested_by: str = "rita") -> CandidateRegistered:
        """Open a cycle, train something, register it."""
        self._num_cycles += 1
        cycle, weights = f"c{self._num_cycles}", f"weights {self._num_cycles}".encode()
        opened = CycleOpened(trigger_key=cycle, reason="manual", detail="a test asked for it")
        write_record(self.ledger, opened, actor=requested_by, cycle_id=cycle)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / WEIGHTS_FILE).write_bytes(weights)
            registered = self.store.register(
                Path(folder), run_id=f"run-{cycle}", weights_digest=digest_bytes(weights), tags={}
            )
        record = CandidateRegistered(
            version=registered.version,
            weights_digest=registered.weights_digest,
            run_id=registered.run_id,
            data_tag="data-v1",
            data_fingerprint="f" * 64,
            seconds=60.0,
            requested_by=requested_by,
        )
        write_record(self.ledger, record, cycle_id=cycle)
        return record

    def cycle_of(self, candidate: CandidateRegistered) -> str:
        return next(c.id for c in self.state.cycles.values() if c.candidate == candidate)

    def judge(self, candidate: CandidateRegistered, outcome: Outcome = "pass") -> VerdictReached:
        champion = self.state.champion
        verdict = make_verdict(
            [check(outcome)],
            candidate_version=candidate.version,
            candidate_digest=candidate.weights_digest,
            champion_digest=champion.weights_digest if champion else "",
            data_tag="data-v1",
            data_fingerprint="f" * 64,
            policy_digest="p" * 64,
            evaluated_pictures_digest="e" * 64,
        )
        write_record(self.ledger, verdict, cycle_id=self.cycle_of(candidate))
        return verdict

    def decide(
        self, verdict: VerdictReached, decision: str = "approved", *, by: str = "anna", via: str = "cli"
    ) -> ApprovalDecided:
        record = ApprovalDecided.model_validate(
            {
                "decision": decision,
                "version": verdict.candidate_version,
                "weights_digest": verdict.candidate_digest,
                "blessing_id": verdict.blessing_id,
                "by": by,
                "why": "a test said so",
                "via": via,
            }
        )
        cycles = self.state.cycles.values()
        cycle = next(
            c.id for c in cycles if c.candidate and c.candidate.weights_digest == verdict.candidate_digest
        )
        write_record(self.ledger, record, cycle_id=cycle)
        return record

    def approved(self) -> CandidateRegistered:
        """Return a candidate that may be promoted."""
        candidate = self.candidate()
        self.decide(self.judge(candidate))
        return candidate

    def promoted(self) -> CandidateRegistered:
        """Return a candidate that has become champion."""
        candidate = self.approved()
        self.promote(candidate)
        cycle = self.cycle_of(candidate)
        write_record(self.ledger, CycleClosed(outcome="promoted", reason="it serves"), cycle_id=cycle)
        return candidate

    def promote(self, candidate: CandidateRegistered) -> None:
        promote(
            self.ledger,
            self.store,
            cycle_id=self.cycle_of(candidate),
            weights_digest=candidate.weights_digest,
            settings=self.settings,
            why="it passed",
            clock=self.clock,
        )

    def fetch(self, version: str, _weights_digest: str, directory: Path) -> None:
        self.store.fetch(version, directory)

    def alias(self, alias: str) -> str:
        found = self.store.with_alias(alias)
        return found.version if found else ""
