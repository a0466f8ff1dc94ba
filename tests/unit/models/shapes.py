"""A data set small enough to train on in a second: bright squares and discs on a dark ground.

Run as a program it trains on that data set, so that a test can kill it:
``python shapes.py FOLDER [--die-at STEP] [--beside]``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np

from dataset.labelled_pictures import DatasetVersion, LabelledInstance, LabelledPicture, Split
from maskloop.digest import digest_bytes
from maskloop.masks import encode_masks
from maskloop.settings.workspace_settings import GateSettings, Settings, parse_settings

SIDE_PX = 48
CLASS_NAMES = ("square", "disc")


def tiny_settings(**training):
    """A network of a few thousand weights, and ten steps."""
    model = {
        "backbone": "small",
        "weights": "scratch",
        "min_size_px": SIDE_PX,
        "max_size_px": 2 * SIDE_PX,
        "anchor_sizes_px": [[14], [22]],
        "anchor_aspect_ratios": [1.0],
        "fpn_channels": 8,
        "box_head_width": 16,
        "mask_head_layers": [8],
        "mask_head_width": 8,
        "mask_roi_size_px": 7,
        "roi_sampling_ratio": 1,
        "train_proposals_before_nms": 50,
        "train_proposals": 20,
        "test_proposals_before_nms": 50,
        "test_proposals": 20,
        "rois_per_picture": 8,
        "anchors_per_picture": 16,
        "norm": "batch",
    }
    defaults = {
        "batch_size": 2,
        "warmup_steps": 2,
        "evaluate_every_steps": 4,
        "checkpoint_every_steps": 2,
        "device": "cpu",
    }
    return parse_settings({"model": model, "training": {**defaults, **training}})


def draw(index: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return pixels (48, 48, 3), one mask (1, 48, 48) and its class index."""
    random = np.random.default_rng(index)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    centre_y, centre_x = random.integers(14, SIDE_PX - 14, 2)
    radius, kind = int(random.integers(7, 11)), index % 2
    dy, dx = np.abs(y - centre_y), np.abs(x - centre_x)
    mask = (np.maximum(dy, dx) if kind == 0 else np.hypot(dy, dx)) <= radius
    pixels = random.integers(0, 60, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    pixels[mask] += np.uint8(150)
    return pixels, mask[None], kind


def make_picture(index: int, split: Split = "train") -> LabelledPicture:
    """Describe picture ``index``; its digest is that of its pixels."""
    pixels, mask, kind = draw(index)
    return LabelledPicture(
        digest=digest_bytes(pixels.tobytes()),
        file=f"{index}.png",
        name=f"shape_{index}.png",
        width_px=SIDE_PX,
        height_px=SIDE_PX,
        source="table",
        group=str(index),
        split=split,
        added_in="data-v1",
        label_origin="human",
        instances=(LabelledInstance(kind, encode_masks(mask)[0]),),
    )


def make_dataset(num_train: int = 8, num_val: int = 4) -> DatasetVersion:
    """Return a data version whose pictures are drawn, not read; see `load_picture`."""
    pictures = [make_picture(index) for index in range(num_train)]
    pictures += [make_picture(1000 + index, "val") for index in range(num_val)]
    ordered = tuple(sorted(pictures, key=lambda picture: picture.digest))
    return DatasetVersion("data-v1", "fingerprint", "md5", "commit", CLASS_NAMES, ordered, Path("drawn"))


def load_picture(path: Path) -> np.ndarray:
    """Draw the picture that a path of the data set names."""
    return draw(int(path.stem))[0]


def make_request(folder: Path, settings: Settings | None = None, *, steps: int = 10, **changes):
    """Return a request to train ``steps`` steps on the CPU with checkpoints in ``folder``."""
    from models.loading.request import TrainingRequest

    chosen = settings or tiny_settings(ema_decay=0.5)
    known = {"dataset": make_dataset(), "learning_rate": 0.01, "device": "cpu", **changes}
    return TrainingRequest(settings=chosen, checkpoint_dir=folder, steps=steps, **known)


def main() -> None:
    """Train; with ``--die-at N`` kill this process without warning as step N ends.

    With ``--beside``, evaluate beside the steps.
    """
    import torch

    from models.training.training_loop import train

    torch.set_num_threads(1)
    die_at = int(sys.argv[3]) if "--die-at" in sys.argv else -1

    def on_step(step, *_):
        if step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = tiny_settings(ema_decay=0.5, evaluate_beside="--beside" in sys.argv)
    train(make_request(Path(sys.argv[1]), settings), on_step=on_step, load_picture=load_picture)


def settings_beside(**training):
    """Evaluated at steps 3, 6, 9 and 10 of 10; what the network hardly believes counts too, so IoU differ."""
    known = {"ema_decay": 0.5, "evaluate_every_steps": 3, "evaluate_beside": True, **training}
    return tiny_settings(**known).model_copy(update={"gates": GateSettings(score_threshold=0.0)})


def judges_alive():
    return [each for each in threading.enumerate() if each.name.startswith("judge")]


if __name__ == "__main__":
    main()
