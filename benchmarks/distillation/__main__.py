"""What a champion teaches a smaller network: ``python -m benchmarks.distillation [WORKSPACE]``.

Without a workspace it makes one with the demo's pictures, recipe and network and promotes its first champion.
Then the same network with a quarter of the channels is trained, from the same first weights on the same
batches, with and without the champion. All meet the test pictures, which none has seen. With ``--pictures``
the small networks have only some of the labels that the champion had.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
from torchvision.models.detection import MaskRCNN

from benchmarks.rollout.story import prepare
from benchmarks.serving.workspace import FULL, QUICK
from benchmarks.timing import Spread, take_turns
from dataset.labelled_pictures import DatasetVersion
from dataset.pictures.decoding import decode_picture
from flows.workspace.wiring import App, open_app
from maskloop.settings.workspace_settings import Settings, parse_settings
from models.answering.predictor import TorchPredictor
from models.artifacts.model_folder import load_model
from models.loading.batches import PictureCache
from models.loading.request import TrainingRequest
from models.training.training_loop import train
from models.validation.class_iou import measure_class_iou
from registry.champion.serving_copy import ServedModel

RESULTS: Final = Path(__file__).resolve().parent / "runs"
SMALLER: Final = {
    "fpn_channels": 16, "box_head_width": 64, "mask_head_layers": [16, 16], "mask_head_width": 8,
}  # fmt: skip
TEACHER, ALONE, TAUGHT = "champion", "small, labels alone", "small, labels and champion"
_PICTURES_TIMED: Final = 16


@dataclass(frozen=True)
class Line:
    """One network.

    Attributes:
        name: Which one.
        num_weights: How many it has.
        mean_iou: Mean class mask IoU on the test pictures, one for each seed.
        ms: For one picture.
        times_faster: Than the champion, compared round by round.
    """

    name: str
    num_weights: int
    mean_iou: tuple[float, ...]
    ms: Spread
    times_faster: Spread


def main() -> None:
    """Train, measure, print the table and write it below ``runs/``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distillation", description=__doc__)
    parser.add_argument("workspace", nargs="?", type=Path, default=RESULTS / "demo", help="with a champion")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind (default: 3)")
    parser.add_argument("--steps", type=int, help="of each training (default: the workspace's)")
    parser.add_argument("--pictures", type=int, help="labelled ones to train on (default: all)")
    parser.add_argument("--quick", action="store_true", help="a smaller workspace, for a first look")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    if not (wanted.workspace / "maskloop.toml").exists():
        prepare(wanted.workspace, QUICK if wanted.quick else FULL)
    app = open_app(wanted.workspace)
    steps = wanted.steps or app.settings.training.steps
    lines = compare(app, seeds=range(wanted.seeds), steps=steps, num_pictures=wanted.pictures)
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f"distillation-{wanted.pictures or 'all'}.json"
    file.write_text(json.dumps([asdict(line) for line in lines], indent=1) + "\n")
    print(to_markdown(lines))


def compare(app: App, *, seeds: Sequence[int], steps: int, num_pictures: int | None) -> list[Line]:
    """Train a small network with and without the champion for each seed, and measure all."""
    served = app.copies.fetch_champion(app.state())
    champion, manifest = load_model(served.directory, expected_digest=served.weights_digest)
    version = app.data.open(manifest.dataset_tag)
    labelled = sorted(picture.digest for picture in version.by_split["train"])[:num_pictures]
    models: dict[str, list[MaskRCNN]] = {TEACHER: [champion], ALONE: [], TAUGHT: []}
    iou: dict[str, list[float]] = {TEACHER: [_measure(champion, version)], ALONE: [], TAUGHT: []}
    for seed in seeds:
        for name in (ALONE, TAUGHT):
            settings = make_smaller(app.settings, steps=steps, seed=seed)
            model = train_one(settings, version, labelled, served if name == TAUGHT else None)
            models[name].append(model)
            iou[name].append(_measure(model, version))
            print(f"seed {seed}, {name}: mean IoU {iou[name][-1]:.3f}", flush=True)
    rounds = take_turns({name: _predict(own[0], version) for name, own in models.items()}, rounds=15)
    return [
        Line(
            name,
            sum(each.numel() for each in own[0].parameters()),
            tuple(iou[name]),
            Spread.of([1000.0 * seconds / _PICTURES_TIMED for seconds in rounds.wall_s[name]]),
            rounds.times_faster(name, TEACHER, cpu=True),
        )
        for name, own in models.items()
    ]


def make_smaller(settings: Settings, *, steps: int, seed: int) -> Settings:
    """Return the settings with fewer channels."""
    plain: dict[str, Any] = settings.model_dump(mode="json", exclude_none=True)
    plain["model"] |= SMALLER
    plain["training"] |= {"steps": steps, "seed": seed, "device": "cpu"}
    return parse_settings(plain)


def train_one(
    settings: Settings, version: DatasetVersion, labelled: Sequence[str], teacher: ServedModel | None
) -> MaskRCNN:
    """Train from first weights, with a teacher or without one."""
    with TemporaryDirectory() as folder:
        request = TrainingRequest(
            dataset=version,
            settings=settings,
            checkpoint_dir=Path(folder),
            steps=settings.training.steps,
            learning_rate=settings.training.learning_rate,
            device="cpu",
            new_digests=tuple(labelled),
            teacher_artifact=teacher.directory if teacher else None,
            teacher_digest=teacher.weights_digest if teacher else None,
        )
        return train(request).model


def to_markdown(lines: Sequence[Line]) -> str:
    """Return the table; times with their quarters, IoU with its range over the seeds."""
    rows = [["", "weights", "mean IoU", "ms for a picture", "times less CPU"], ["---"] * 5]
    for line in lines:
        iou = f"{statistics.mean(line.mean_iou):.3f}"
        if len(line.mean_iou) > 1:
            iou += f" ({min(line.mean_iou):.3f}-{max(line.mean_iou):.3f})"
        speed = f"{line.times_faster.median:.2f} ({line.times_faster.low:.2f}-{line.times_faster.high:.2f})"
        rows.append([line.name, f"{line.num_weights:,}", iou, f"{line.ms.median:.1f}", speed])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _measure(model: MaskRCNN, version: DatasetVersion) -> float:
    iou: Mapping[str, float] = measure_class_iou(
        model,
        version.by_split["test"],
        PictureCache(version, _load).pixels,
        class_names=version.class_names,
        score_threshold=0.5,
        device=torch.device("cpu"),
    )
    return statistics.mean(iou.values())


def _predict(model: MaskRCNN, version: DatasetVersion) -> Callable[[], object]:
    predictor = TorchPredictor(model, class_names=version.class_names, device=torch.device("cpu"))
    pictures = [_load(version.path(each)) for each in version.by_split["test"][:_PICTURES_TIMED]]
    return lambda: [predictor.predict([picture], min_score=0.5) for picture in pictures]


def _load(path: Path) -> Any:
    return decode_picture(path.read_bytes(), max_mpx=25.0)


if __name__ == "__main__":
    main()
