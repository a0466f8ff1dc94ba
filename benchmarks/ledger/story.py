"""A ledger as years of use leave it: cycles of 16 entries, most promoted, some rejected or failed.

Every entry is written by its record class. The chain is the real one; only the writing is done in one
transaction, where the loop takes one for each entry.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from maskloop.digest import canonical_json, digest_value
from maskloop.ledger.port import FIRST_PREVIOUS, SCHEMA_VERSION, Entry, make_entry, write_time
from maskloop.ledger.sql_ledger import SqlLedger
from maskloop.records import kinds
from maskloop.workspace import Workspace
from registry.gates.blessing import make_verdict

ENTRIES_PER_CYCLE = 16
_START = datetime(2025, 1, 1, tzinfo=UTC)
_STEP = timedelta(minutes=30)
_CLASSES = ("bolt", "nut", "washer", "gear")
_OTHER_GATES = ("iou.mean", "precision", "recall", "iou.source.belt", "calibration", "latency")
_GATES = (*(f"iou.class.{name}" for name in _CLASSES), *_OTHER_GATES)


@dataclass
class Story:
    """Tells cycle after cycle; knows what serves and which data version is the newest.

    Attributes:
        entries: Everything so far, chained.
        champions: Version and weights digest of all champions that nobody rolled back from.
        epoch: Of the newest change of champion.
        num_versions: Registered so far.
    """

    entries: list[Entry] = field(default_factory=list)
    champions: list[tuple[str, str]] = field(default_factory=list)
    epoch: int = 0
    num_versions: int = 0

    def tell(self, num_cycles: int) -> Story:
        """Add so many cycles: every 7th is rejected, every 11th fails, every 17th is rolled back."""
        for number in range(1, num_cycles + 1):
            before = len(self.entries)
            self._tell_cycle(number)
            while len(self.entries) - before < ENTRIES_PER_CYCLE:
                self._judge_drift(f"{number}.{len(self.entries)}", "quiet")
        return self

    def _tell_cycle(self, number: int) -> None:
        cycle, key = f"cycle-{number}", f"drift:{number}"
        self._ingest(number)
        self._judge_drift(str(number), "drift")
        detail = f"drift found in pictures of belt (window {number})"
        self._write(
            kinds.TriggerRecorded(trigger_key=key, reason="drift", detail=detail), key=f"trigger:{key}"
        )
        opened = kinds.CycleOpened(
            trigger_key=key, reason="drift", detail=detail, baseline_tag=f"data-v{number}"
        )
        self._write(opened, cycle, key=f"cycle:{key}")
        if number % 11 == 0:
            self._fail(cycle)
        else:
            self._train_and_judge(number, cycle, outcome="fail" if number % 7 == 0 else "pass")
        if number % 17 == 0 and len(self.champions) > 1:
            self._roll_back()

    def _ingest(self, number: int) -> None:
        record = kinds.VersionIngested(
            tag=f"data-v{number}",
            fingerprint=digest_value(["data", number]),
            dvc_md5=digest_value(["md5", number])[:32],
            git_commit=digest_value(["commit", number])[:40],
            source="belt",
            num_pictures=600 + 20 * number,
            num_new_pictures=20,
            num_new_labelled=20,
            num_quarantined=0,
            balance={"pictures": 20, "kept": 20},
        )
        self._write(record, key=f"data:{record.fingerprint}:{record.tag}")

    def _judge_drift(self, window: str, outcome: str) -> None:
        record = kinds.DriftJudged.model_validate(
            {
                "outcome": outcome,
                "reason": "brightness and sharpness moved (compared with all sources)",
                "window_id": digest_value(["window", window]),
                "num_samples": 120,
                "missing_percent": 0.0,
                "baseline_digest": digest_value("baseline"),
                "weights_digest": self.champions[-1][1] if self.champions else "",
                "threshold_digest": digest_value("thresholds"),
                "drifted_features": ("brightness", "sharpness") if outcome == "drift" else (),
                "report": f".maskloop/reports/drift/{window}/index.html",
                "sources": ("belt",),
            }
        )
        self._write(record, key=f"drift:{record.window_id}")

    def _start_training(self, cycle: str, attempt: int) -> None:
        record = kinds.TrainingStarted(
            attempt=attempt,
            data_tag=f"data-v{cycle.removeprefix('cycle-')}",
            data_fingerprint=digest_value(["data", cycle]),
            settings_digest=digest_value("settings"),
            code_revision=digest_value("code")[:40],
            parent_digest=self.champions[-1][1] if self.champions else "",
            run_id=digest_value(["run", cycle])[:32],
            device="cpu",
        )
        self._write(record, cycle)

    def _fail(self, cycle: str) -> None:
        for attempt in (1, 2, 3):
            self._start_training(cycle, attempt)
            self._write(kinds.TrainingFailed(attempt=attempt, reason="the loss became NaN in step 12"), cycle)
        closed = kinds.CycleClosed(outcome="failed", reason="3 attempts without progress: NaN in step 12")
        self._write(closed, cycle, key=f"closed:{cycle}")

    def _train_and_judge(self, number: int, cycle: str, *, outcome: str) -> None:
        self.num_versions += 1
        version, weights = str(self.num_versions), digest_value(["weights", number])
        self._start_training(cycle, 1)
        self._write(kinds.TrainingAdvanced(attempt=1, step=50, steps=100), cycle)
        candidate = kinds.CandidateRegistered(
            version=version,
            weights_digest=weights,
            run_id=digest_value(["run", cycle])[:32],
            data_tag=f"data-v{number}",
            data_fingerprint=digest_value(["data", cycle]),
            seconds=95.0,
            requested_by="maskloop",
        )
        self._write(candidate, cycle)
        self._write(kinds.JudgingStarted(attempt=1, version=version), cycle)
        agreement = kinds.AgreementMeasured(
            weights_digest=weights, agreement=0.8, num_pictures=120, data_tag=f"data-v{number}"
        )
        self._write(agreement, cycle)
        verdict = self._judge(candidate, outcome)
        self._write(verdict, cycle)
        if outcome == "fail":
            self._decide(cycle, verdict, "rejected")
            closed = kinds.CycleClosed(outcome="rejected", reason="the gates failed it")
        else:
            waiting = kinds.CycleWaiting(
                waiting_for="approval", reason="nobody has decided yet", way_out="`maskloop approve`"
            )
            self._write(waiting, cycle)
            self._decide(cycle, verdict, "approved")
            self._change_champion(version, weights, "promotion", cycle)
            closed = kinds.CycleClosed(outcome="promoted", reason="the candidate serves")
        self._write(closed, cycle, key=f"closed:{cycle}")

    def _judge(self, candidate: kinds.CandidateRegistered, outcome: str) -> kinds.VerdictReached:
        checks = [
            kinds.Check.model_validate(
                {
                    "name": name,
                    "outcome": outcome if name == "iou.mean" else "pass",
                    "measured": 0.79,
                    "required": 0.75,
                    "reason": f"{name} is 0.79, at least 0.75 is required",
                }
            )
            for name in _GATES
        ]
        return make_verdict(
            checks,
            candidate_version=candidate.version,
            candidate_digest=candidate.weights_digest,
            champion_digest=self.champions[-1][1] if self.champions else "",
            data_tag=candidate.data_tag,
            data_fingerprint=candidate.data_fingerprint,
            policy_digest=digest_value("policy"),
            evaluated_pictures_digest=digest_value(["pictures", candidate.data_tag]),
        )

    def _decide(self, cycle: str, verdict: kinds.VerdictReached, decision: str) -> None:
        record = kinds.ApprovalDecided.model_validate(
            {
                "decision": decision,
                "version": verdict.candidate_version,
                "weights_digest": verdict.candidate_digest,
                "blessing_id": verdict.blessing_id,
                "by": "anna" if decision == "approved" else "the policy",
                "why": "it looks right",
                "via": "cli" if decision == "approved" else "policy",
            }
        )
        self._write(record, cycle, actor=record.by)

    def _roll_back(self) -> None:
        version, weights = self.champions[-2]
        self._change_champion(version, weights, "rollback", "")
        del self.champions[-3:-1]

    def _change_champion(self, version: str, weights: str, cause: str, cycle: str) -> None:
        self.epoch += 1
        before = self.champions[-1] if self.champions else ("", "")
        change = {
            "epoch": self.epoch,
            "version": version,
            "weights_digest": weights,
            "previous_version": before[0],
            "previous_digest": before[1],
            "cause": cause,
            "why": "it passed",
        }
        changing, changed = f"champion.changing:{self.epoch}", f"champion.changed:{self.epoch}"
        self._write(kinds.ChampionChanging.model_validate(change), cycle, actor="anna", key=changing)
        self._write(kinds.ChampionChanged.model_validate(change), cycle, actor="anna", key=changed)
        self.champions.append((version, weights))

    def _write(
        self, record: kinds.Record, cycle: str = "", *, actor: str = "maskloop", key: str = ""
    ) -> None:
        number = len(self.entries) + 1
        previous = self.entries[-1].digest if self.entries else FIRST_PREVIOUS
        payload = record.model_dump(mode="json")
        at = _START + number * _STEP
        self.entries.append(
            make_entry(number, record.kind, at, actor, cycle, payload, key, SCHEMA_VERSION, previous)
        )


def write_story(root: Path, num_cycles: int, teller: Story | None = None) -> Story:
    """Write a workspace whose ledger tells so many cycles, by default those of `Story`."""
    root.mkdir(parents=True)
    (root / "maskloop.toml").write_text("[gates]\n\n[rollout]\nenabled = false\n", encoding="utf-8")
    file = Workspace(root).ledger_file
    SqlLedger.at(file).close()
    story = (teller or Story()).tell(num_cycles)
    with sqlite3.connect(file) as connection:
        connection.executemany(
            "INSERT INTO entries (sequence, kind, at, actor, cycle, payload, key, schema_version, "
            "previous_digest, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _rows(story.entries),
        )
    connection.close()
    return story


def _rows(entries: list[Entry]) -> Iterator[tuple[object, ...]]:
    for entry in entries:
        yield (
            entry.sequence,
            entry.kind,
            write_time(entry.at),
            entry.actor,
            entry.cycle_id,
            canonical_json(entry.payload),
            entry.key or None,
            entry.schema_version,
            entry.previous_digest,
            entry.digest,
        )
