"""Figures of `maskloop video`: ``python -m benchmarks.video WORKSPACE``.

The champion of the workspace sees metal parts, as after `make demo`. Films of the conveyor belt, whose truth
is known, are packed as H.264 and answered. Told are identity switches, mask IoU with the truth and jitter,
before and after smoothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.provenance import describe_run
from dataset.synthetic.film import FilmFrame, shoot_film
from dataset.synthetic.parts import CLASS_NAMES
from dataset.videos.writing import written_video
from evaluation.matching import assign
from flows.video.report import VideoReport
from flows.video.story import VideoRequest, video
from flows.workspace.wiring import open_app
from maskloop.masks import Rle, encode_masks, mask_iou, rle_from_coco

_RATE = 25.0
_LEAST_IOU = 0.5


@dataclass
class Comparison:
    """What was told of a film, held against its truth.

    Attributes:
        num_parts: True parts in frames.
        iou_before: Sum of the mask IoU of each true part with the measured mask that fits; 0 where none does.
        iou_after: With the told mask of the same instance.
        num_found: True parts with an instance of their class and an IoU of 0.5 or more.
        num_false: Told instances that are none of them.
        num_switches: How often the track of a true part is another one than where it was found before.
        track_of: The track by which each true part was last found.
    """

    num_parts: int = 0
    iou_before: float = 0.0
    iou_after: float = 0.0
    num_found: int = 0
    num_false: int = 0
    num_switches: int = 0
    track_of: dict[int, int] = field(default_factory=dict)

    def add(self, truth: FilmFrame, told: Mapping[str, Any]) -> None:
        """Compare one frame."""
        side = truth.pixels.shape[0]
        masks, instances = encode_masks(truth.masks), told["instances"]
        measured = [_read(one, "measured_segmentation", side) for one in instances]
        smooth = [_read(one, "segmentation", side) for one in instances]
        before = mask_iou(masks, measured)
        for row, class_index in enumerate(truth.class_indices):
            for column, one in enumerate(instances):
                if one["class_name"] != CLASS_NAMES[class_index]:
                    before[row, column] = 0.0
        self.num_parts += len(masks)
        self.num_false += len(instances)
        for row, column in zip(*assign(before), strict=True):
            if before[row, column] < _LEAST_IOU:
                continue
            self.num_found += 1
            self.num_false -= 1
            self.iou_before += float(before[row, column])
            self.iou_after += float(mask_iou([masks[row]], [smooth[column]])[0, 0])
            part, track = truth.numbers[row], instances[column]["track_id"]
            self.num_switches += self.track_of.get(part, track) != track
            self.track_of[part] = track


def _read(one: Mapping[str, Any], name: str, side: int) -> Rle:
    return rle_from_coco(one.get(name, one["segmentation"]), side, side)


def answer_film(
    workspace: Path, seed: int, num_frames: int, side_px: int, smoothing: Sequence[int]
) -> list[tuple[Comparison, VideoReport]]:
    """Shoot a film, answer it once, and compare what is told with the truth, for each half window."""
    film = [*shoot_film(seed, num_frames=num_frames, side_px=side_px)]
    results = []
    with tempfile.TemporaryDirectory(prefix="maskloop-video-") as folder:
        file = Path(folder) / "film.mp4"
        with written_video(file, rate=_RATE) as write:
            for number, frame in enumerate(film):
                write(frame.pixels, number / _RATE)
        for smoothing_frames in smoothing:
            request = VideoRequest(
                str(file),
                Path(folder) / "answers",
                wanted="jsonl",
                overlay=False,
                sample_gap_s=0.0,
                smoothing_frames=smoothing_frames,
            )
            report = video(open_app(workspace), request)
            comparison = Comparison()
            for frame, line in zip(film, Path(report.file).read_text().splitlines(), strict=True):
                comparison.add(frame, json.loads(line))
            results.append((comparison, report))
    return results


def summarise(films: Iterable[tuple[Comparison, VideoReport]]) -> dict[str, Any]:
    """Return the figures of several films together; jitter is weighted by the pairs at rest."""
    compared, reports = (list(each) for each in zip(*films, strict=True))
    num_parts = sum(one.num_parts for one in compared)
    pairs = np.array([one.num_rest_pairs for one in reports], float)

    def at_rest(name: str) -> float:
        return float(np.average([getattr(one, name) or 0.0 for one in reports], weights=pairs))

    return {
        "films": len(reports),
        "frames": sum(one.num_frames for one in reports),
        "true_parts_in_frames": num_parts,
        "found": sum(one.num_found for one in compared) / num_parts,
        "false_instances": sum(one.num_false for one in compared),
        "identity_switches": sum(one.num_switches for one in compared),
        "tracks": sum(one.num_tracks for one in reports),
        "missed_between_frames": sum(one.num_missed for one in reports),
        "told_below_threshold": sum(one.num_below_threshold for one in reports),
        "masks_changed": sum(one.num_smoothed for one in reports) / sum(one.num_instances for one in reports),
        "mask_iou_before": sum(one.iou_before for one in compared) / sum(one.num_found for one in compared),
        "mask_iou_after": sum(one.iou_after for one in compared) / sum(one.num_found for one in compared),
        "pairs_at_rest": int(pairs.sum()),
        "jitter_before": at_rest("jitter_before"),
        "jitter_after": at_rest("jitter_after"),
        "score_jitter_before": at_rest("score_jitter_before"),
        "score_jitter_after": at_rest("score_jitter_after"),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.video", description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--films", type=int, default=8)
    parser.add_argument("--frames", type=int, default=75, help="of each film")
    parser.add_argument("--side", type=int, default=128, help="of each frame, in px")
    parser.add_argument(
        "--smooth", type=int, nargs="+", default=[0, 1, 3, 5], help="frames on either side that take part"
    )
    asked = parser.parse_args()
    films = [
        answer_film(asked.workspace, seed, asked.frames, asked.side, asked.smooth)
        for seed in range(1, asked.films + 1)
    ]
    by_window = {
        f"{frames} frames on either side": summarise(results)
        for frames, results in zip(asked.smooth, zip(*films, strict=True), strict=True)
    }
    print(json.dumps({"run": describe_run(), "figures": by_window}, indent=1))


if __name__ == "__main__":
    main()
