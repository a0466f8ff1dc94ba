"""The detector's state as one file, replaced as a whole: samples looked at and evidence never disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from monitoring.array_file import Arrays, read_array_file, write_array_file
from monitoring.sequential.detector import Detector
from monitoring.sequential.evidence import Alarm, Evidence

SCHEMA_VERSION: Final = 1
_ARRAYS: Final = ("counts", "values", "num_missing")


def save_detector(detector: Detector, file: Path) -> None:
    """Write the state, atomically. Raises StorageError."""
    arrays: dict[str, NDArray[Any]] = {}
    for number, evidence in enumerate(detector.evidence.values()):
        arrays |= {f"{name} {number}": getattr(evidence, name) for name in _ARRAYS}
    head = {
        "schema_version": SCHEMA_VERSION,
        "weights_digest": detector.weights_digest,
        "baseline_digest": detector.baseline_digest,
        "seen": list(detector.seen),
        "since_counted": dict(detector.since_counted),
        "clock": _write_time(detector.clock),
        "began": _write_time(detector.began),
        "cycle_ended": _write_time(detector.cycle_ended),
        "newcomers_asked": _write_time(detector.newcomers_asked),
        "sources": [_describe(evidence) for evidence in detector.evidence.values()],
    }
    write_array_file(file, head, arrays)


def load_detector(file: Path) -> Detector | None:
    """Read the state; None if there is none yet.

    Raises:
        ConfigurationError: if a newer maskloop has written it.
        IntegrityError: if it is damaged.
    """
    if not file.is_file():
        return None
    return read_array_file(
        file,
        _build,
        known=SCHEMA_VERSION,
        what="the drift detector's state",
        hint="delete the file; the detector then begins anew with the newest samples",
    )


def _build(head: Mapping[str, Any], arrays: Arrays) -> Detector:
    evidence = [_read(one, number, arrays) for number, one in enumerate(head["sources"])]
    return Detector(
        head["weights_digest"],
        head["baseline_digest"],
        {one.source: one for one in evidence},
        tuple(head["seen"]),
        head["since_counted"],
        _read_time(head["clock"]),
        _read_time(head["began"]),
        _read_time(head["cycle_ended"]),
        _read_time(head.get("newcomers_asked", "")),
    )


def _describe(evidence: Evidence) -> dict[str, Any]:
    alarm = asdict(evidence.alarm) | {"at": evidence.alarm.at.isoformat()} if evidence.alarm else None
    return {
        "source": evidence.source,
        "reference_digest": evidence.reference_digest,
        "num_scenes": evidence.num_scenes,
        "alarm": alarm,
    }


def _read(head: Mapping[str, Any], number: int, arrays: Arrays) -> Evidence:
    alarm = head["alarm"]
    return Evidence(
        source=head["source"],
        reference_digest=head["reference_digest"],
        num_scenes=head["num_scenes"],
        alarm=Alarm(**{**alarm, "at": datetime.fromisoformat(alarm["at"])}) if alarm else None,
        **{name: arrays[f"{name} {number}"] for name in _ARRAYS},
    )


def _write_time(at: datetime | None) -> str:
    return at.isoformat() if at else ""


def _read_time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
