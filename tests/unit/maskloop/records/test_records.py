from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from maskloop.ledger.port import Entry, make_entry
from maskloop.records.kinds import RECORDS, ApprovalDecided, Check, CycleClosed, read_record, write_record
from tests.fakes.ledger import FakeLedger

GOLDEN = Path(__file__).parents[3] / "records"


def golden(kind: str, version: str = "v1") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((GOLDEN / version / f"{kind}.json").read_text())
    return content


def entry_of(kind: str, payload: dict[str, Any]) -> Entry:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    return make_entry(1, kind, now, "anna", "c1", payload, "", 1, "0" * 64)


def only_what_is_in(written: Any, read: Any) -> Any:
    """Leave out of what was read the fields that came after it was written."""
    if isinstance(written, dict):
        return {name: only_what_is_in(value, read[name]) for name, value in written.items()}
    if isinstance(written, list) and len(written) == len(read):
        return [only_what_is_in(*both) for both in zip(written, read, strict=True)]
    return read


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("v*/*.json")), ids=lambda file: file.stem)
def test_records_of_every_released_version_stay_readable(file: Path) -> None:
    written = json.loads(file.read_text())
    record = read_record(entry_of(written["kind"], written["payload"]))
    assert record is not None
    assert only_what_is_in(written["payload"], record.model_dump(mode="json")) == written["payload"]


def test_every_kind_has_a_golden_file() -> None:
    assert {file.stem for file in (GOLDEN / "v1").glob("*.json")} >= set(RECORDS)


@pytest.mark.parametrize("kind", sorted(RECORDS))
def test_every_record_reads_as_a_sentence(kind: str) -> None:
    record = read_record(entry_of(kind, golden(kind)["payload"]))
    assert record is not None
    sentence = record.sentence()
    assert len(sentence) > 15
    assert not sentence.endswith(".")
    assert "{" not in sentence


@pytest.mark.parametrize("kind", sorted(RECORDS))
def test_a_record_comes_back_from_the_ledger_as_it_was(kind: str) -> None:
    ledger = FakeLedger()
    record = RECORDS[kind].model_validate(golden(kind)["payload"])
    entry = write_record(ledger, record, actor="anna", cycle_id="c1")
    assert read_record(entry) == record
    assert (entry.kind, entry.actor, entry.cycle_id) == (kind, "anna", "c1")


def test_a_kind_from_the_future_is_passed_over() -> None:
    assert read_record(entry_of("moon.landed", {})) is None


def test_a_field_from_the_future_is_ignored() -> None:
    payload = {**golden("cycle.closed")["payload"], "mood": "good"}
    assert read_record(entry_of("cycle.closed", payload)) == CycleClosed(
        outcome="promoted", reason="version 2 serves"
    )


def test_a_check_is_never_infinite_or_nan() -> None:
    with pytest.raises(ValidationError):
        Check(name="x", outcome="pass", measured=float("nan"), required=0.5, reason="")


def test_a_record_cannot_be_changed() -> None:
    record = ApprovalDecided.model_validate(golden("approval.decided")["payload"])
    with pytest.raises(ValidationError):
        record.decision = "rejected"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "gate", "subject"),
    [
        ("iou.mean", "iou.mean", ""),
        ("iou.class.bolt.m8", "iou.class", "bolt.m8"),
        ("drop.class.mean", "drop.class", "mean"),
        ("drop.source.(small sources together)", "drop.source", "(small sources together)"),
        ("slice.cycle-2", "slice", "cycle-2"),
        ("slo.errors", "slo.errors", ""),
        ("iou.classes", "iou.classes", ""),
    ],
)
def test_a_check_from_before_gates_were_written_down_tells_its_gate_and_subject(
    name: str, gate: str, subject: str
) -> None:
    old = {"name": name, "outcome": "pass", "measured": 0.8, "required": 0.7, "reason": "it holds"}
    check = Check.model_validate(old)
    assert (check.gate, check.subject) == (gate, subject)
    assert Check.model_validate_json(check.model_dump_json()) == check


def test_a_check_that_names_its_gate_is_taken_at_its_word() -> None:
    check = Check(
        name="iou.class.nut",
        outcome="pass",
        measured=0.8,
        required=0.7,
        reason="",
        gate="iou",
        subject="class.nut",
    )
    assert (check.gate, check.subject) == ("iou", "class.nut")
