"""A ledger of alarms and what was done about them, written step by step, ten minutes each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from maskloop.folding.fold import fold
from maskloop.records.kinds import (
    CandidateRegistered,
    ChampionChanged,
    ChampionChanging,
    CycleClosed,
    CycleOpened,
    DriftJudged,
    Record,
    RolloutMoved,
    RolloutStarted,
    TrainingFailed,
    VerdictReached,
    write_record,
)
from maskloop.state.incident_state import Incident
from maskloop.state.loop_state import LoopState
from tests.fakes.ledger import FakeClock, FakeLedger


@dataclass
class Story:
    """A ledger that is written minute by minute."""

    clock: FakeClock = field(default_factory=FakeClock)
    ledger: FakeLedger = field(default_factory=FakeLedger)

    def __post_init__(self) -> None:
        self.ledger.clock = self.clock

    def write(self, record: Record, *, cycle: str = "", after_min: float = 10) -> int:
        self.clock.advance(minutes=after_min)
        return write_record(self.ledger, record, cycle_id=cycle, actor="anna").sequence

    def serve(self, version: str, *, cause: str = "promotion", instead: str = "", epoch: int = 1) -> None:
        given = {"epoch": epoch, "version": version, "weights_digest": f"w{version}", "why": "it is good"}
        given |= {"previous_version": instead, "previous_digest": f"w{instead}" if instead else ""}
        self.write(ChampionChanging.model_validate(given | {"cause": cause}))
        self.write(ChampionChanged.model_validate(given | {"cause": cause}))

    def window(self, outcome: str, *, version: str = "1", source: str = "belt", **about: Any) -> int:
        given = {"outcome": outcome, "reason": "it is dark", "window_id": "w", "num_samples": 120}
        given |= {"missing_percent": 0.0, "baseline_digest": "b", "weights_digest": f"w{version}"}
        given |= {"threshold_digest": "t", "drifted_features": ("brightness",), "report": "r.html"}
        return self.write(DriftJudged.model_validate(given | {"sources": (source,)} | about))

    def open_cycle(self, cycle: str, reason: str = "drift", takes_up: tuple[str, ...] = ()) -> None:
        given = {"trigger_key": cycle, "reason": reason, "detail": "a test", "takes_up": takes_up}
        self.write(CycleOpened.model_validate(given), cycle=cycle)

    def fail_cycle(self, cycle: str, attempts: int = 3) -> None:
        for attempt in range(attempts):
            self.write(TrainingFailed(attempt=attempt + 1, reason="out of memory"), cycle=cycle)
        self.write(CycleClosed(outcome="failed", reason="3 attempts without progress"), cycle=cycle)

    def close(self, cycle: str) -> None:
        self.write(CycleClosed(outcome="promoted", reason="the candidate serves"), cycle=cycle)

    def judge(self, cycle: str, version: str = "2") -> None:
        candidate: dict[str, Any] = {"version": version, "weights_digest": f"w{version}"}
        candidate |= {"run_id": "r", "seconds": 1.0}
        candidate |= {"data_tag": "data-v1", "data_fingerprint": "f", "requested_by": "anna"}
        self.write(CandidateRegistered.model_validate(candidate), cycle=cycle)
        verdict = {"blessing_id": "b", "outcome": "pass", "checks": (), "candidate_version": version}
        verdict |= {"candidate_digest": f"w{version}", "champion_digest": "w1", "data_tag": "data-v1"}
        verdict |= {"data_fingerprint": "f", "policy_digest": "p", "evaluated_pictures_digest": "e"}
        self.write(VerdictReached.model_validate(verdict), cycle=cycle)

    def roll_out(self, cycle: str, *events: tuple[str, str]) -> None:
        started: dict[str, Any] = {"version": "2", "weights_digest": "w2"}
        started |= {"blessing_id": "b", "champion_version": "1"}
        started |= {"champion_digest": "w1", "steps_percent": (1.0, 100.0), "required_agreement": 0.9}
        self.write(RolloutStarted.model_validate(started | {"settings_digest": "s"}), cycle=cycle)
        for event, phase in events:
            moved = {"event": event, "phase": phase, "share_percent": 0.0, "reason": "masks too small"}
            self.write(RolloutMoved.model_validate(moved), cycle=cycle)

    @property
    def state(self) -> LoopState:
        return fold(self.ledger.entries())

    @property
    def incidents(self) -> list[Incident]:
        return list(self.state.incidents.values())
