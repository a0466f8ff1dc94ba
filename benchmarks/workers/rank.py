"""One rank of a measured training: ``python -m benchmarks.workers.rank FOLDER RANK ARRANGEMENT``."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
import torch.distributed as dist

from benchmarks.speed.judging import Case, draw_version
from benchmarks.speed.train import small_network
from maskloop.settings.model_settings import ClusterSettings, ModelSettings, TrainingSettings
from maskloop.settings.workspace_settings import Settings
from models.loading.request import TrainingRequest
from models.ranks.group import ALONE, joined_ranks
from models.training.training_loop import train

UNTIMED_STEPS: Final = 3


@dataclass(frozen=True)
class Arrangement:
    """How a training is spread over a machine.

    Attributes:
        network: One of `NETWORKS`.
        workers: Processes.
        threads: Of each.
        batch_size: Pictures in a step, of all workers.
        steps: That are timed.
        device: ``cpu`` or ``cuda``, then a GPU for each worker.
    """

    network: str
    workers: int
    threads: int
    batch_size: int
    steps: int
    device: str


def networks() -> dict[str, ModelSettings]:
    """Return what is trained, by name: the demo's network, and ResNets with frozen norms."""
    return {
        "small 128": small_network(),
        "resnet18 256": _resnet("resnet18", 256),
        "resnet50 800": _resnet("resnet50", 800),
    }


def _resnet(backbone: str, side_px: int) -> ModelSettings:
    sizes: dict[str, object] = {"min_size_px": side_px, "max_size_px": side_px, "rois_per_picture": 128}
    return ModelSettings.model_validate({"backbone": backbone, "weights": "scratch", **sizes})


def measure(arrangement: Arrangement, folder: Path, rank: int) -> dict[str, float]:
    """Train as one rank; return the seconds of the timed steps by the clock, and of this process's CPUs."""
    torch.set_num_threads(arrangement.threads)
    case = Case("", networks()[arrangement.network], arrangement.batch_size, 0, 0)
    version, pixels = draw_version(case)
    steps = UNTIMED_STEPS + arrangement.steps
    training = TrainingSettings(
        steps=steps,
        batch_size=arrangement.batch_size,
        warmup_steps=0,
        checkpoint_every_steps=steps + 1,
        cluster=ClusterSettings(workers=arrangement.workers),
    )
    request = TrainingRequest(
        dataset=version,
        settings=Settings(model=case.settings, training=training),
        checkpoint_dir=folder,
        steps=steps,
        learning_rate=training.learning_rate,
        device=f"cuda:{rank}" if arrangement.device == "cuda" else "cpu",
    )
    marks: list[tuple[float, float]] = []
    ranks = joined_ranks() if arrangement.workers > 1 else ALONE
    train(
        request,
        on_step=lambda *_: marks.append((time.perf_counter(), time.process_time())),
        load_picture=lambda path: pixels[path.name],
        ranks=ranks,
    )
    (wall_from, cpu_from), (wall_to, cpu_to) = marks[UNTIMED_STEPS - 1], marks[-1]
    return {"wall_s": wall_to - wall_from, "cpu_s": cpu_to - cpu_from}


def main() -> None:
    """Be one rank, and leave what was measured in ``FOLDER/RANK.json``."""
    folder, rank, arrangement = Path(sys.argv[1]), int(sys.argv[2]), Arrangement(**json.loads(sys.argv[3]))
    if arrangement.workers > 1:
        is_gpu = arrangement.device == "cuda"
        if is_gpu:
            torch.cuda.set_device(rank)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if is_gpu else "gloo",
            init_method=f"file://{folder}/meeting",
            rank=rank,
            world_size=arrangement.workers,
        )
    found = measure(arrangement, folder / "run", rank)
    (folder / f"{rank}.json").write_text(json.dumps(found))
    if arrangement.workers > 1:
        dist.destroy_process_group()


def to_json(arrangement: Arrangement) -> str:
    """Return it as this program takes it."""
    return json.dumps(asdict(arrangement))


if __name__ == "__main__":
    main()
