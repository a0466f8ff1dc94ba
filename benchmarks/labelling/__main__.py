"""How many labels a drift costs, by how they are chosen: ``python -m benchmarks.labelling``.

A champion is trained on the demo's first camera. Production then comes from two cameras (``mixed``: 70 % from
the old one, 30 % from a new one) or from the new one alone (``replaced``). Of 600 production pictures some
are labelled and the champion is taught them as `maskloop retrain` does it; held-out pictures of both cameras,
the same for all, say how good it has become. A curve is one seed: of production, choice and training.

Every row is written as soon as it is measured, and an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.labelling.choosing import WAYS, Production, look_at_production
from benchmarks.labelling.pictures import MIXES, NEW, OLD, Pictures, draw_pictures
from benchmarks.labelling.training import measure_iou, teach, train_champion
from benchmarks.provenance import describe_run
from maskloop.settings.workspace_settings import Settings, load_settings, parse_settings
from models.artifacts.model_folder import load_model

RUNS: Final = Path(__file__).resolve().parent / "runs"
PRESET: Final = Path(__file__).resolve().parents[2] / "configs" / "demo.toml"
NUMBERS: Final = (10, 25, 50)
MANY: Final = 100
"""What the others are compared with: the result of this many labels at random."""

Row = Mapping[str, Any]


def main() -> None:
    """Measure what is not measured yet, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labelling", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="curves of each kind (default: 3)")
    parser.add_argument("--mix", choices=sorted(MIXES), action="append", help="default: both")
    parser.add_argument("--tables", action="store_true", help="print what is measured already")
    wanted = parser.parse_args()
    file = RUNS / "curves.json"
    rows = json.loads(file.read_text())["rows"] if file.exists() else []
    if not wanted.tables:
        torch.set_num_threads(1)
        for row in measure_curves(rows, seeds=range(wanted.seeds), mixes=wanted.mix or list(MIXES)):
            rows.append(row)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"made": describe_run(), "rows": rows}, indent=1) + "\n")
            print(json.dumps(row), flush=True)
    for mix in MIXES:
        print(f"\n{mix}\n\n{to_markdown([row for row in rows if row['mix'] == mix])}")


def measure_curves(rows: Sequence[Row], *, seeds: Sequence[int], mixes: Sequence[str]) -> Iterator[Row]:
    """Yield a row for each training that ``rows`` does not hold yet."""
    known = {(row["mix"], row["seed"], row["way"], row["labels"]) for row in rows}
    for seed in seeds:
        for mix in mixes:
            settings = make_settings(seed)
            wanted = [(way, num) for num in (*NUMBERS, MANY) for way in WAYS if num < MANY or way == "random"]
            missing = [one for one in [("none", 0), *wanted] if (mix, seed, *one) not in known]
            if missing:
                pictures = draw_pictures(RUNS / "pictures", settings, mix=mix, seed=seed)
                train_champion(RUNS / "champion", pictures, make_settings(0))
                production = look_at_production(RUNS / "champion", pictures, settings, seed=seed)
                for way, num in missing:
                    yield measure(pictures, production, settings, mix=mix, seed=seed, way=way, num=num)


def measure(
    pictures: Pictures, production: Production, settings: Settings, *, mix: str, seed: int, way: str, num: int
) -> Row:
    """Choose, teach and measure once; the way ``none`` measures the champion itself."""
    chosen = WAYS[way](production, num, seed) if num else []
    champion = RUNS / "champion"
    model = teach(champion, pictures, chosen, settings) if chosen else load_model(champion)[0]
    from_new = {one.digest for one in pictures.version.pictures if one.source == NEW}
    return {
        "mix": mix,
        "seed": seed,
        "way": way,
        "labels": num,
        "iou_new": round(measure_iou(model, pictures, pictures.held_out(NEW)), 4),
        "iou_old": round(measure_iou(model, pictures, pictures.held_out(OLD)), 4),
        "from_new": len(from_new & set(chosen)),
        "verdict": production.verdict,
    }


def make_settings(seed: int) -> Settings:
    """Return the demo's settings with a seed, without evaluations on the way."""
    plain: dict[str, Any] = load_settings(PRESET).model_dump(mode="json", exclude_none=True)
    quick = {"evaluate_every_steps": plain["training"]["steps"], "num_workers": 0, "device": "cpu"}
    plain["training"] |= quick | {"seed": seed}
    return parse_settings(plain)


def to_markdown(rows: Sequence[Row]) -> str:
    """Return a table: mean IoU on the new camera and its range over the seeds, and the old camera's mean."""
    lines = [["labels", "chosen by", "seeds", "new camera", "old camera", "of the new camera"], ["---"] * 6]
    ways = ["none", *WAYS]
    keys = sorted({(row["labels"], ways.index(row["way"])) for row in rows})
    for num, way in keys:
        own = [row for row in rows if row["labels"] == num and row["way"] == ways[way]]
        new = [row["iou_new"] for row in own]
        lines.append(
            [
                str(num),
                ways[way],
                str(len(own)),
                f"{statistics.mean(new):.3f} ({min(new):.3f}-{max(new):.3f})",
                f"{statistics.mean(row['iou_old'] for row in own):.3f}",
                f"{statistics.mean(row['from_new'] for row in own):.1f}",
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
