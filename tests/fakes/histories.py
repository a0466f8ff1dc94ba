"""Ledgers that any use of the loop might leave, drawn by Hypothesis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from maskloop.records.kinds import (
    AgreementMeasured,
    ApprovalDecided,
    CandidateRegistered,
    ChampionChangeAbandoned,
    ChampionChanged,
    ChampionChanging,
    Check,
    CycleClosed,
    CycleOpened,
    CycleWaiting,
    DriftJudged,
    RolloutMoved,
    RolloutStarted,
    SliceRecorded,
    TrainingFailed,
    TrainingStarted,
    TriggerRecorded,
    VerdictReached,
    VersionIngested,
    VersionRestored,
    write_record,
)
from tests.fakes.ledger import FakeClock, FakeLedger

ACTIONS = ("ingest", "restore", "drift", "train", "fail", "judge again", "roll back", "stop a promotion")


@dataclass
class History:
    """Writes a ledger, one action after the other; cycles follow each other, the last may stay open."""

    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.ledger = FakeLedger(self.clock)
        self.num_cycles = self.num_versions = self.num_windows = self.epoch = 0
        self.candidates: dict[str, CandidateRegistered] = {}
        self.served: list[CandidateRegistered] = []
        self.tags: list[str] = []

    def act(self, action: str, choice: int, outcome: int) -> None:
        """Do one thing; ``choice`` picks what it is done to, ``outcome`` how it ends."""
        self.clock.advance(minutes=choice * 7 - 10)
        if action == "ingest":
            self._ingest(choice)
        elif action == "restore" and self.tags:
            self._restore(self.tags[choice % len(self.tags)])
        elif action == "drift":
            self._judge_drift(("drift", "quiet", "inconclusive")[outcome % 3], choice)
        elif action == "train":
            self._train(f"w{choice}" if outcome % 4 == 0 else f"w{choice}-{self.num_cycles}", outcome)
        elif action == "fail":
            self._fail()
        elif action == "judge again" and self.candidates:
            cycle = list(self.candidates)[choice % len(self.candidates)]
            self._judge_again(cycle, outcome)
        elif action == "roll back" and len(self.served) > 1:
            target = self.served[choice % (len(self.served) - 1)]
            self._change_champion(target, "rollback", "")
        elif action == "stop a promotion" and self.served:
            self._change_champion(self.served[-1], "rollback", "", is_abandoned=True)

    def _write(self, record: Any, cycle: str = "", key: str = "") -> None:
        write_record(self.ledger, record, actor="anna", cycle_id=cycle, key=key)

    def _ingest(self, num_labelled: int) -> None:
        self.tags.append(f"data-v{len(self.tags) + 1}")
        self._write(
            VersionIngested(
                tag=self.tags[-1],
                fingerprint="f",
                dvc_md5="m",
                git_commit="c",
                source="belt",
                num_pictures=100,
                num_new_pictures=num_labelled,
                num_new_labelled=num_labelled,
                num_quarantined=0,
            )
        )

    def _restore(self, tag: str) -> None:
        restored = VersionRestored(tag=tag, previous_tag="", fingerprint="f", num_pictures=1, by="anna")
        self._write(restored)

    def _judge_drift(self, outcome: str, choice: int) -> None:
        self.num_windows += 1
        weights = self.served[-1].weights_digest if self.served else "none"
        self._write(
            DriftJudged.model_validate(
                {
                    "outcome": outcome,
                    "reason": "it is dark",
                    "window_id": f"window {self.num_windows}",
                    "num_samples": 100,
                    "missing_percent": 0.0,
                    "baseline_digest": "b",
                    "weights_digest": weights if choice else "others",
                    "threshold_digest": "t",
                    "drifted_features": (),
                    "report": "",
                    "sources": (f"camera {choice}",),
                }
            )
        )

    def _open(self, *, rejudges: str = "") -> str:
        self.num_cycles += 1
        cycle, key = f"cycle-{self.num_cycles}", f"t{self.num_cycles}"
        reason = "manual" if self.num_cycles % 2 else "drift"
        asked = {"trigger_key": key, "reason": reason, "detail": "a test", "rejudges": rejudges}
        self._write(TriggerRecorded.model_validate(asked), key=f"trigger:{key}")
        self._write(CycleOpened.model_validate(asked), cycle)
        return cycle

    def _start(self, cycle: str) -> None:
        self._write(
            TrainingStarted(
                attempt=1,
                data_tag=self.tags[-1] if self.tags else "",
                data_fingerprint="f",
                settings_digest="s",
                code_revision="c",
                parent_digest="",
                run_id="r",
                device="cpu",
            ),
            cycle,
        )

    def _train(self, weights: str, outcome: int) -> None:
        cycle = self._open()
        self._start(cycle)
        self.num_versions += 1
        candidate = CandidateRegistered(
            version=str(self.num_versions),
            weights_digest=weights,
            run_id="r",
            data_tag=self.tags[-1] if self.tags else "",
            data_fingerprint="f",
            seconds=1.0,
            requested_by="rita" if outcome % 2 else "otto",
        )
        self.candidates[cycle] = candidate
        self._write(candidate, cycle)
        self._decide(cycle, candidate, outcome)

    def _judge_again(self, judged: str, outcome: int) -> None:
        cycle = self._open(rejudges=judged)
        self.candidates[cycle] = self.candidates[judged]
        self._decide(cycle, self.candidates[judged], outcome)

    def _fail(self) -> None:
        cycle = self._open()
        self._start(cycle)
        self._write(TrainingFailed(attempt=1, reason="NaN"), cycle)
        self._write(CycleClosed(outcome="failed", reason="NaN"), cycle)

    def _decide(self, cycle: str, candidate: CandidateRegistered, outcome: int) -> None:
        weights, version = candidate.weights_digest, candidate.version
        agreed = AgreementMeasured(weights_digest=weights, agreement=0.5, num_pictures=9, data_tag="data-v1")
        self._write(agreed, cycle)
        check = Check(name="iou.mean", outcome="pass", measured=0.8, required=0.7, reason="fine")
        self._write(
            VerdictReached(
                blessing_id=f"blessing of {cycle}",
                outcome="pass",
                checks=(check,),
                candidate_version=version,
                candidate_digest=weights,
                champion_digest=self.served[-1].weights_digest if self.served else "",
                data_tag="data-v1",
                data_fingerprint="f",
                policy_digest="p",
                evaluated_pictures_digest="e",
            ),
            cycle,
        )
        if outcome == 7:
            self._write(CycleWaiting(waiting_for="approval", reason="nobody", way_out="decide"), cycle)
            self._write(CycleClosed(outcome="abandoned", reason="nobody decided"), cycle)
            return
        if outcome in (5, 6):
            self._roll_out(cycle, candidate, is_good=outcome == 5)
        decision = "rejected" if outcome == 1 else "approved"
        decided = {
            "decision": decision,
            "version": version,
            "weights_digest": weights,
            "blessing_id": f"blessing of {cycle}",
            "by": "anna",
            "why": "",
            "via": "cli",
        }
        self._write(ApprovalDecided.model_validate(decided), cycle)
        if decision == "approved" and outcome != 6:
            self._change_champion(candidate, "promotion", cycle)
        closed = "promoted" if decision == "approved" and outcome != 6 else "rejected"
        self._write(CycleClosed.model_validate({"outcome": closed, "reason": "it ended"}), cycle)

    def _roll_out(self, cycle: str, candidate: CandidateRegistered, *, is_good: bool) -> None:
        weights = candidate.weights_digest
        self._write(
            RolloutStarted(
                version=candidate.version,
                weights_digest=weights,
                blessing_id="b",
                champion_version="1",
                champion_digest="c",
                steps_percent=(10.0, 100.0),
                required_agreement=0.5,
                settings_digest="s",
            ),
            cycle,
        )
        phases = ("progressing", "promoted") if is_good else ("paused", "aborting", "rolled-back")
        for phase in phases:
            moved = {"event": "step", "phase": phase, "share_percent": 10.0, "reason": "a test"}
            self._write(RolloutMoved.model_validate(moved), cycle)
        if not is_good:
            self._write(
                SliceRecorded(
                    slice_id=cycle,
                    weights_digest=weights,
                    reference_digest="c",
                    num_pictures=3,
                    pictures_digest="p",
                    failed_checks=("agreement",),
                ),
                cycle,
            )

    def _change_champion(
        self, to: CandidateRegistered, cause: str, cycle: str, *, is_abandoned: bool = False
    ) -> None:
        self.epoch += 1
        before = self.served[-1] if self.served else None
        change = {
            "epoch": self.epoch,
            "version": to.version,
            "weights_digest": to.weights_digest,
            "previous_version": before.version if before else "",
            "previous_digest": before.weights_digest if before else "",
            "cause": cause,
            "why": "a test",
        }
        self._write(ChampionChanging.model_validate(change), cycle)
        if is_abandoned:
            self._write(ChampionChangeAbandoned(epoch=self.epoch, version=to.version, reason="gone"), cycle)
            return
        self._write(ChampionChanged.model_validate(change), cycle)
        self.served.append(to)


def _write_history(actions: list[tuple[str, int, int]]) -> FakeLedger:
    history = History()
    for action, choice, outcome in actions:
        history.act(action, choice, outcome)
    return history.ledger


ledgers = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 5), st.integers(0, 7)), max_size=25
).map(_write_history)
