"""The pictures a rollout failed on: kept when it is rolled back, asked about when a candidate is judged.

The champion's answers are the reference until a person corrects them. A candidate that differs from the
champion on a slice may be the better one, so the difference alone is inconclusive and needs a person's
decision. Once people have corrected most of a slice, it is a gate like any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from dataset.pictures.orientation import orient_size, undo
from evaluation.agreement import compare_with_truth
from evaluation.instances import GroundTruth
from flows.evidence.evaluate import load_picture
from maskloop.digest import digest_bytes, digest_value
from maskloop.errors import IntegrityError, MaskloopError, StorageError
from maskloop.files import directory_written_atomically
from maskloop.records.kinds import Check, Outcome, SliceRecorded
from maskloop.schema import refuse_newer
from maskloop.state.loop_state import Rollout
from models.answering.instance_json import read_instances, write_instances
from models.ports import Predictor
from monitoring.samples.corrections import Correction, CorrectionLog
from registry.gates.gate import Finding
from registry.gates.gates import SLICE
from serving.rollout.checks import find_check
from serving.rollout.corrected import truth_of
from serving.rollout.pairs import KeptPair, PairLog

NEWEST_SLICES: Final = 5
"""Older ones are not asked about any more: their pictures are of another time."""
_CORRECTED_SHARE: Final = 0.5
_FILE: Final = "slice.json"
_VERSION: Final = 2
_NEVER_WRITTEN: Final = {"score": 1.0, "box_xyxy": (0.0, 0.0, 0.0, 0.0)}
"""What version 1 left out of an instance; a reference is compared by class and mask alone."""


def keep_slice(
    pairs: PairLog, slices_dir: Path, rollout: Rollout, *, max_pictures: int
) -> SliceRecorded | None:
    """Keep the pictures a rollout failed on; twice keeps them once.

    Args:
        pairs: Both models' answers.
        slices_dir: Each slice has a folder here, named after the rollout's cycle.
        rollout: The one that failed.
        max_pictures: The worst so many are kept.

    Returns:
        What is to be recorded; None if it failed on none: it was only slow, or stopped by a person, or no
        picture may be kept.
    """
    checks = rollout.moved.checks if rollout.moved else ()
    failed = [check for check in checks if check.outcome == "fail"]
    if all((row := find_check(check)) and row.is_about_time for check in failed):
        return None
    worst = pairs.worst(rollout.cycle_id, max_pictures)
    kept = [pair for pair in worst if pair.picture and pair.champion is not None]
    if not kept:
        return None
    slice_id = rollout.cycle_id
    directory = slices_dir / slice_id
    if not directory.exists():
        try:
            _write_pictures(directory, kept)
        except StorageError:
            if not (directory / _FILE).exists():  # else another replica was faster
                raise
    return SliceRecorded(
        slice_id=slice_id,
        weights_digest=rollout.started.weights_digest,
        reference_digest=rollout.started.champion_digest,
        num_pictures=len(_read_pictures(directory)),
        pictures_digest=_digest_of(directory),
        failed_checks=tuple(check.name for check in failed),
        required_agreement=_half_way(kept, rollout.started.required_agreement),
    )


def _half_way(pairs: Sequence[KeptPair], required_agreement: float) -> float:
    """Ask for half the way from what the failed challenger showed on these pictures to what was asked of it.

    The pictures were selected because the challenger was worst on them, and most pairs of models agree less
    on them than elsewhere.
    """
    shown = float(np.mean([pair.comparison.agreement for pair in pairs]))
    return min(required_agreement, (shown + required_agreement) / 2)


def check_slices(
    slices: Sequence[SliceRecorded],
    predictor: Predictor,
    corrections: CorrectionLog,
    slices_dir: Path,
    *,
    max_mpx: float,
) -> list[Check]:
    """Ask a candidate about the newest slices. Whatever is wrong with one makes it inconclusive."""
    return [
        _check_slice(record, predictor, corrections, slices_dir / record.slice_id, max_mpx)
        for record in slices[-NEWEST_SLICES:]
    ]


def kept_pictures(slices_dir: Path, slices: Sequence[SliceRecorded]) -> frozenset[str]:
    """Return the sha256 of each picture of the newest slices, as received; without those that are gone."""
    directories = [slices_dir / one.slice_id for one in slices[-NEWEST_SLICES:]]
    files = [file for directory in directories if directory.is_dir() for file in directory.iterdir()]
    return frozenset(file.name for file in files if file.name != _FILE)


def judge_slice(record: SliceRecorded, agreements: Sequence[float], num_corrected: int) -> Check:
    """Judge a candidate by its agreement with each picture's reference. Pure.

    Args:
        record: Names what is required.
        agreements: 0..1, one for each picture.
        num_corrected: How many of the references are a person's.
    """
    measured = float(np.mean(agreements))
    is_good = measured >= record.required_agreement
    is_certain = num_corrected >= _CORRECTED_SHARE * len(agreements)
    outcome: Outcome = "pass" if is_good else "fail" if is_certain else "inconclusive"
    whose = f"{num_corrected} of {len(agreements)} references by people, the others by the champion"
    reason = (
        f"agreement {measured:.3f} on the pictures an earlier challenger failed on ({record.slice_id}), "
        f"{record.required_agreement:.3f} is required; {whose}"
    )
    return _check(record, outcome, measured, reason)


@dataclass(frozen=True, eq=False)
class _SlicePicture:
    """One kept picture.

    Attributes:
        file: Its bytes as received.
        request_id: Names the answer.
        orientation: Of the file, 1 to 8.
        instances: The champion's answer, see `write_instances`.
        turned_by: The orientation that turns those instances upright; 1 where they already are.
    """

    file: Path
    request_id: str
    orientation: int
    instances: Sequence[Mapping[str, Any]]
    turned_by: int


def _check_slice(
    record: SliceRecorded, predictor: Predictor, log: CorrectionLog, directory: Path, max_mpx: float
) -> Check:
    try:
        if not directory.exists() or _digest_of(directory) != record.pictures_digest:
            raise IntegrityError("its pictures are not there any more, or were changed", where=str(directory))
        pictures = _read_pictures(directory)
        corrections = log.get([picture.request_id for picture in pictures])
        corrected = {key: one for key, one in corrections.items() if one.instances is not None}
        agreements = [_measure(predictor, picture, corrected, max_mpx) for picture in pictures]
    except MaskloopError as error:
        return _check(record, "inconclusive", None, f"{record.slice_id}: {error}")
    return judge_slice(record, agreements, len(corrected))


def _measure(
    predictor: Predictor, picture: _SlicePicture, corrected: Mapping[str, Correction], max_mpx: float
) -> float:
    pixels = load_picture(picture.file, max_mpx)
    (prediction,) = predictor.predict([pixels])
    size_px = pixels.shape[:2]
    if correction := corrected.get(picture.request_id):
        truth = truth_of(correction, predictor.class_names, picture.orientation, size_px=size_px)
    else:
        truth = _reference_of(picture, predictor.class_names, size_px)
    return compare_with_truth(
        truth, prediction.detections, score_threshold=predictor.score_threshold
    ).agreement


def _reference_of(
    picture: _SlicePicture, class_names: Sequence[str], size_px: tuple[int, int]
) -> GroundTruth:
    found = read_instances(
        picture.instances,
        class_names,
        orientation=picture.turned_by,
        stored_size_px=orient_size(*size_px, undo(picture.turned_by)),
    )
    return GroundTruth(
        picture_id=picture.request_id,
        source="",
        height_px=size_px[0],
        width_px=size_px[1],
        class_indices=found.class_indices,
        masks=found.masks,
        is_crowd=np.zeros(len(found), dtype=bool),
    )


def _write_pictures(directory: Path, pairs: Sequence[KeptPair]) -> None:
    rows = []
    with directory_written_atomically(directory) as beside:
        for pair in pairs:
            assert pair.picture is not None  # noqa: S101 - checked by the caller
            name = digest_bytes(pair.picture)
            (beside / name).write_bytes(pair.picture)
            rows.append({"file": name, **_describe(pair)})
        (beside / _FILE).write_text(
            json.dumps({"schema_version": _VERSION, "pictures": rows}), encoding="utf-8"
        )


def _describe(pair: KeptPair) -> dict[str, Any]:
    assert pair.champion is not None  # noqa: S101 - checked by the caller
    return {
        "request_id": pair.comparison.request_id,
        "orientation": pair.orientation,
        "instances": write_instances(pair.champion, pair.class_names, orientation=pair.orientation),
    }


def _read_pictures(directory: Path) -> list[_SlicePicture]:
    try:
        content = json.loads((directory / _FILE).read_text(encoding="utf-8"))
        refuse_newer(content["schema_version"], _VERSION, what="a slice", where=str(directory))
        is_stored = content["schema_version"] > 1  # before, instances were written in the upright picture
        return [
            _SlicePicture(
                directory / row["file"],
                row["request_id"],
                row["orientation"],
                row["instances"] if is_stored else [{**_NEVER_WRITTEN, **one} for one in row["instances"]],
                row["orientation"] if is_stored else 1,
            )
            for row in content["pictures"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError("a slice cannot be read", where=str(directory)) from error


def _digest_of(directory: Path) -> str:
    files = sorted(file for file in directory.iterdir() if file.is_file())
    return digest_value([[file.name, digest_bytes(file.read_bytes())] for file in files])


def _check(record: SliceRecorded, outcome: Outcome, measured: float | None, reason: str) -> Check:
    return SLICE.check(Finding(outcome, measured, reason, record.slice_id), record.required_agreement)
