"""What two ranks compute together, in float64, for `test_two_ranks.py` to hold against one process.

Run as a program it is one of them: ``python two_ranks.py FOLDER RANK``. What it found lies in
``FOLDER/RANK.pt`` when it ends.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from maskloop.errors import StoppedError
from maskloop.settings.workspace_settings import GateSettings, Settings, parse_settings
from models.imports import without_compiler

with without_compiler():
    from models.loading.batches import TrainingBatch
    from models.network.build import build_model
    from models.ranks.group import ALONE, Ranks, joined_ranks
    from models.ranks.learning import Classroom
    from models.ranks.places import share_places
    from models.training.training_loop import train
    from tests.unit.models import shapes
    from tests.unit.models.training.test_training_step import draw_batch, make_settings

SIZES = [(64, 90), (40, 52), (64, 64), (52, 70), (64, 72)]
NETWORKS: dict[str, dict[str, Any]] = {
    "small": {"backbone": "small", "norm": "batch", "anchor_sizes_px": [[14], [28]]},
    "resnet18": {"backbone": "resnet18", "norm": "frozen_batch"},
    "resnet50_v2": {"backbone": "resnet50_v2", "norm": "batch"},
}
COUNTS = {"all": [2, 1, 3, 1, 2], "none on one": [2, 1, 3, 0, 0], "none at all": [0, 0, 0, 0, 0]}
"""Instances of each picture. The second rank has the last two."""


def learn_once(name: str, counts: list[int], parts: int, ranks: Ranks) -> dict[str, Any]:
    """Return losses and gradients of one batch, means over the ranks, and the norms' statistics."""
    settings = make_settings(**NETWORKS[name])
    torch.manual_seed(0)
    model = build_model(settings, num_classes=3).double().train()
    training = parse_settings(
        {"training": {"batch_size": len(counts), "cluster": {"workers": 2}, "batch_parts": parts}}
    ).training
    classroom = Classroom(model, ranks, training)
    pictures, targets = draw_batch(counts, SIZES)
    losses: dict[str, float] = {}
    own = share_places(len(counts), parts=parts, count=ranks.count, rank=ranks.rank)
    whole = share_places(len(counts), parts=parts, count=1, rank=0)
    for number, places in enumerate(own):
        batch = TrainingBatch([pictures[at] for at in places], [targets[at] for at in places], ())
        with classroom.in_session(3, places, is_last_part=number == parts - 1):
            found = classroom.learner(batch.images, batch.targets)
            found = {key: each * len(whole[number]) / len(counts) for key, each in found.items()}
            for key, each in found.items():
                losses[key] = losses.get(key, 0.0) + float(ranks.mean(each))
            sum(found.values()).backward()
    gradients = {key: each.grad for key, each in model.named_parameters() if each.grad is not None}
    return {"losses": losses, "gradients": gradients, "buffers": dict(model.named_buffers())}


def settings_of_run(**training: Any) -> Settings:
    """Batches of three pictures, so one rank has two; five steps, judged twice."""
    cluster = {"workers": 2}
    known = {"batch_size": 3, "ema_decay": 0.5, "precision": "fp32", "cluster": cluster}
    settings = shapes.tiny_settings(**{**known, "evaluate_every_steps": 3, **training})
    every_score = GateSettings(score_threshold=0.0)
    changed: Settings = settings.model_copy(update={"gates": every_score})
    return changed


def run(folder: Path, ranks: Ranks, *, stop_at: int = 0, **training: Any) -> dict[str, Any]:
    """Train five steps and return the model's weights, the history, and what was told."""
    told: list[tuple[int, float]] = []
    request = shapes.make_request(
        folder, settings_of_run(**training), steps=5, dataset=shapes.make_dataset(8, 5)
    )
    result = train(
        request,
        load_picture=shapes.load_picture,
        on_step=lambda step, losses, *_: told.append((step, losses["loss/total"])),
        should_stop=lambda: stop_at == len(told),
        ranks=ranks,
    )
    return {"weights": result.model.state_dict(), "history": [*result.history], "told": told}


def stop_and_go_on(folder: Path, ranks: Ranks) -> dict[str, Any]:
    """Stop after step 3, by the first rank's will alone, and go on."""
    try:
        run(folder, ranks, stop_at=3 if ranks.is_first else 1)
    except StoppedError as error:
        return {**run(folder, ranks), "said": str(error)}
    raise AssertionError("it did not stop")


def compute(folder: Path, ranks: Ranks = ALONE) -> dict[str, Any]:
    """Return everything that the test compares."""
    torch.set_num_threads(1)
    learned = {
        (name, which, parts): learn_once(name, COUNTS[which], parts, ranks) for name, which, parts in CASES
    }
    return {
        "learned": learned,
        "run": run(folder / "run", ranks),
        "stopped": stop_and_go_on(folder / "stopped", ranks),
    }


CASES = [
    ("small", "all", 1), ("small", "none on one", 1), ("small", "all", 2), ("small", "none at all", 1),
    ("resnet18", "all", 1), ("resnet50_v2", "none on one", 1),
]  # fmt: skip


def main() -> None:
    """Be one rank."""
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save(compute(folder, joined_ranks()), folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
