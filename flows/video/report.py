"""What a video run reports: counts, what was smoothed, jitter before and after, and what it cost."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from flows.video.tally import Tally
from flows.video.video_folder import VideoFolder, VideoRun
from maskloop.files import write_text
from maskloop.settings.model_settings import BatchSettings

OVERLAY_FILE: Final = "overlay.mp4"
_REPORT_FILE: Final = "report.json"


@dataclass(frozen=True)
class HowTold:
    """What the second pass was asked for: a report of the same is not made again.

    Attributes:
        file: The answers.
        smoothing_frames: Frames on either side that take part.
        lost_s: How long an object may stay unseen.
        overlay: Whether the answers are drawn into a video.
    """

    file: str
    smoothing_frames: int
    lost_s: float
    overlay: bool


@dataclass(frozen=True)
class VideoReport:
    """What a run did, what was measured, and what it cost.

    Attributes:
        file: The answers.
        overlay_file: The video with the answers drawn into it; empty if none was asked for.
        tracks_file: A row for each object.
        set_aside_file: What has no answer, with the reasons.
        version: The version that answered.
        weights_digest: Its weights.
        num_frames: That could be read, broken ones included.
        num_frames_stated: What the file says; 0 if it does not.
        num_answered: Frames with an answer.
        num_set_aside: Frames and parts of the file without one.
        num_doubtful: Answered frames that may be smeared: something before them was broken.
        longest_gap_s: Between two frames.
        num_tracks: Objects that were followed.
        num_missed: How often an object was not found between two frames in which it was; none is filled in.
        num_instances: Told.
        num_below_threshold: Of them, those that the model found below its threshold; their track lies above.
        num_smoothed: Of them, those whose mask smoothing changed.
        smoothed_iou: Mean IoU of changed masks with the measured ones; None if there are none.
        smoothing_frames: Frames on either side that took part; 0: what was measured is told.
        lost_s: How long an object could stay unseen until its track ended.
        num_rest_pairs: Pairs of consecutive frames in which an object was at rest; the figures below are of
            them.
        jitter_before: 1 minus the mean IoU of the measured masks in such a pair; None without pairs.
        jitter_after: Of the told masks.
        score_jitter_before: Mean change of the measured score in such a pair.
        score_jitter_after: Of the told score.
        num_done_before: Frames that an earlier call had answered.
        seconds: Of this call.
        frames_per_s: Frames that this call answered, for each second of it.
        compute_hours: That all calls needed to read and answer.
        cost: At `batch.price_per_hour`; None if no price is set.
        currency: Of the cost.
    """

    file: str
    overlay_file: str
    tracks_file: str
    set_aside_file: str
    version: str
    weights_digest: str
    num_frames: int
    num_frames_stated: int
    num_answered: int
    num_set_aside: int
    num_doubtful: int
    longest_gap_s: float
    num_tracks: int
    num_missed: int
    num_instances: int
    num_below_threshold: int
    num_smoothed: int
    smoothed_iou: float | None
    smoothing_frames: int
    lost_s: float
    num_rest_pairs: int
    jitter_before: float | None
    jitter_after: float | None
    score_jitter_before: float | None
    score_jitter_after: float | None
    num_done_before: int
    seconds: float
    frames_per_s: float
    compute_hours: float
    cost: float | None
    currency: str


def find_report(folder: VideoFolder, how: HowTold) -> VideoReport | None:
    """Return the report of an earlier call that asked for the same, if all that it wrote is still there."""
    try:
        known = msgspec.json.decode((folder.path / _REPORT_FILE).read_bytes(), type=VideoReport)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    files = [known.file, known.tracks_file, known.set_aside_file, *filter(None, [known.overlay_file])]
    then = HowTold(known.file, known.smoothing_frames, known.lost_s, bool(known.overlay_file))
    return known if then == how and all(Path(file).exists() for file in files) else None


def write_report(
    folder: VideoFolder,
    run: VideoRun,
    tally: Tally,
    how: HowTold,
    settings: BatchSettings,
    *,
    num_before: int,
    seconds: float,
) -> VideoReport:
    """Write the tracks, what was set aside and the report; return the report. Raises StorageError."""
    shards = [(shard.losses, shard.seconds) for shard in folder.shards()]
    hours = sum(took_s for _, took_s in shards) / 3600
    jitter = tally.jitter()
    tracks, set_aside = folder.path / "tracks.csv", folder.path / "set-aside.csv"
    _write_table(tracks, tally.rows(run.class_names))
    losses = [(None, at_s, reason) for own, _ in shards for at_s, reason in own]
    apart = [*tally.set_aside, *losses]
    _write_table(
        set_aside, ({"frame": frame, "time_s": at_s, "reason": reason} for frame, at_s, reason in apart)
    )
    report = VideoReport(
        file=how.file,
        overlay_file=str(folder.path / OVERLAY_FILE) if how.overlay else "",
        tracks_file=str(tracks),
        set_aside_file=str(set_aside),
        version=run.version,
        weights_digest=run.weights_digest,
        num_frames=tally.num_frames,
        num_frames_stated=run.num_frames_stated,
        num_answered=tally.num_answered,
        num_set_aside=len(apart),
        num_doubtful=tally.num_doubtful,
        longest_gap_s=tally.longest_gap_s,
        num_tracks=len(tally.tracks),
        num_missed=tally.num_missed,
        num_instances=tally.num_instances,
        num_below_threshold=tally.num_below_threshold,
        num_smoothed=tally.num_smoothed,
        smoothed_iou=tally.sum_iou / tally.num_smoothed if tally.num_smoothed else None,
        smoothing_frames=how.smoothing_frames,
        lost_s=how.lost_s,
        num_rest_pairs=jitter.num_pairs,
        jitter_before=jitter.before,
        jitter_after=jitter.after,
        score_jitter_before=jitter.score_before,
        score_jitter_after=jitter.score_after,
        num_done_before=num_before,
        seconds=round(seconds, 1),
        frames_per_s=round((tally.num_frames - num_before) / seconds, 3),
        compute_hours=hours,
        cost=settings.cost_of(hours),
        currency=settings.currency,
    )
    write_text(folder.path / _REPORT_FILE, json.dumps(asdict(report), indent=1) + "\n")
    return report


def _write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows that share their keys as CSV."""
    listed = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(listed, [*row])
            writer.writeheader()
        writer.writerow(row)
    write_text(path, listed.getvalue())
