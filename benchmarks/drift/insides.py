"""A change inside the masks of one class alone: ``python -m benchmarks.drift.insides``.

The demo's champion (that of `benchmarks.labelling`, trained if it is not there) answers the demo's pictures.
In those of production every object of one class gets stripes within its own outline, as brushed metal has.
Windows are judged with the numbers about the insides of masks and without; unchanged pictures, divided by lot
into reference and window, say how often each verdict is wrong. At the end stands what the numbers cost.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.labelling.pictures import NEW, Pictures
from benchmarks.labelling.scenarios import SCENARIOS
from benchmarks.labelling.training import load_picture
from benchmarks.provenance import describe_run
from dataset.labelled_pictures import LabelledPicture
from dataset.synthetic.parts import CLASS_NAMES
from evaluation.instances import Detections
from maskloop.masks import decode_masks
from maskloop.settings.workspace_settings import MonitoringSettings
from models.answering.insides import describe_insides
from models.answering.predictor import TorchPredictor
from monitoring.drift.baseline import build_baseline
from monitoring.drift.verdict import DriftVerdict, judge_drift
from monitoring.features.class_insides import INSIDE_FEATURES
from monitoring.features.observation import Observation
from monitoring.features.table import observe
from monitoring.samples.values import Sample
from monitoring.samples.windows import Window

CHANGED: Final = "gear"
AMPLITUDES: Final = (0.0, 12.0, 18.0, 25.0)
"""Of the stripes, in grey levels."""
WINDOW: Final = 120
NUM_REFERENCE: Final = 200
_STRIPE_PX: Final = 4.0
_SEEDS: Final = (0, 1)
_START: Final = datetime(2026, 3, 1, tzinfo=UTC)
_INSIDE: Final = tuple(kind.prefix for kind in INSIDE_FEATURES)


@dataclass(frozen=True)
class Bench:
    """What is measured with.

    Attributes:
        predictor: The champion.
        settings: Of the verdict.
        rng: Draws windows.
        num_channels: Of the maps that regions are cut from.
    """

    predictor: TorchPredictor
    settings: MonitoringSettings
    rng: np.random.Generator
    num_channels: int


def main() -> None:
    """Print one line of JSON for each row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift.insides", description=__doc__)
    parser.add_argument("--windows", type=int, default=30, help="with a change (default: 30)")
    parser.add_argument("--quiet-windows", type=int, default=300, help="without (default: 300)")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    scenario = SCENARIOS["mixed"]
    settings = scenario.settings(0)
    drawn = [scenario.pictures(seed) for seed in _SEEDS]
    predictor = TorchPredictor.load(scenario.train_champion(drawn[0]), device="cpu")
    bench = Bench(predictor, settings.monitoring, np.random.default_rng(0), settings.model.fpn_channels)
    print(json.dumps({"made": describe_run()}), flush=True)
    own = _answer(bench, drawn[0], drawn[0].version.by_split["val"], 0.0)
    production = [_production_of(pictures) for pictures in drawn]
    for amplitude in AMPLITUDES:
        changed = _answer(bench, drawn[0], production[0], amplitude)
        for row in measure_windows(bench, own, changed, wanted.windows):
            print(json.dumps({"amplitude": amplitude, **row}), flush=True)
    usual = [_answer(bench, *pair, 0.0) for pair in zip(drawn, production, strict=True)]
    print(json.dumps(measure_quiet(bench, [*own, *usual[0], *usual[1]], wanted.quiet_windows)), flush=True)
    print(json.dumps(measure_cost(bench, drawn[0], production[0][:200])), flush=True)


def measure_windows(
    bench: Bench, own: Sequence[Observation], changed: Sequence[Observation], num: int
) -> Iterator[dict[str, Any]]:
    """Yield how often windows are drift and which classes are named, with the insides and without."""
    for name, without in (("with insides", ()), ("without", _INSIDE)):
        outcomes: Counter[str] = Counter()
        named: Counter[str] = Counter()
        effects, cause = [], ""
        for _ in range(num):
            chosen = bench.rng.permutation(len(changed))[:WINDOW]
            verdict = _judge(bench, own, [changed[index] for index in chosen], without)
            outcomes[verdict.outcome] += 1
            named.update(one.class_name for one in verdict.classes if one.outcome == "drift")
            inside = [one.effect for one in verdict.signals if one.name.startswith(_INSIDE)]
            effects.append(max(inside, default=0.0))
            cause = verdict.cause or cause
        yield {
            "verdict": name,
            "windows": num,
            "outcomes": outcomes,
            "named": named,
            "largest effect inside": round(float(np.mean(effects)), 2),
            "a cause": cause,
        }


def measure_quiet(bench: Bench, usual: Sequence[Observation], num: int) -> dict[str, Any]:
    """Return how many windows of unchanged pictures are drift, and how many have a certain signal."""
    alarms: Counter[str] = Counter()
    certain: Counter[str] = Counter()
    for _ in range(num):
        order = bench.rng.permutation(len(usual))
        before = [usual[index] for index in order[:NUM_REFERENCE]]
        after = [usual[index] for index in order[NUM_REFERENCE : NUM_REFERENCE + WINDOW]]
        for name, without in (("with insides", ()), ("without", _INSIDE)):
            verdict = _judge(bench, before, after, without)
            rate = bench.settings.false_alarm_rate
            alarms[name] += verdict.outcome == "drift"
            certain[name] += any(one.corrected_p_value <= rate for one in verdict.signals)
    return {"quiet windows": num, "pictures": len(usual), "alarms": alarms, "a certain signal": certain}


def measure_cost(bench: Bench, pictures: Pictures, some: Sequence[LabelledPicture]) -> dict[str, Any]:
    """Return the CPU time of an answer and of the insides in it, and the bytes of a sample's features."""
    pixels = [load_picture(pictures.version.path(one)) for one in some]
    rounds = []
    for _ in range(3):
        start = time.process_time()
        answers = [bench.predictor.predict([each])[0].detections for each in pixels]
        rounds.append((time.process_time() - start) / len(some))
    num = round(float(np.mean([len(answer) for answer in answers])))
    names = bench.predictor.class_names
    rows = [
        observe(each, _sure(bench, answer), names).features
        for each, answer in zip(pixels, answers, strict=True)
    ]
    inside = [{name: row[name] for name in row if name.startswith(_INSIDE)} for row in rows]
    return {
        "instances": num,
        "CPU ms of an answer": round(1000.0 * min(rounds), 2),
        "of it insides": round(_time_insides(num, bench.num_channels), 3),
        "CPU ms of 100 insides of 256 channels": round(_time_insides(100, 256), 2),
        "bytes of a sample's features": round(float(np.mean([len(json.dumps(row)) for row in rows]))),
        "of them insides": round(float(np.mean([len(json.dumps(row)) for row in inside]))),
    }


def _time_insides(num: int, channels: int) -> float:
    """Return CPU ms, the least of twenty."""
    regions, masks = torch.rand(num, channels, 14, 14), torch.rand(num, 28, 28)
    took = []
    for _ in range(20):
        start = time.process_time()
        describe_insides(regions, masks)
        took.append(1000.0 * (time.process_time() - start))
    return min(took)


def brush(
    pixels: NDArray[np.uint8], picture: LabelledPicture, class_index: int, amplitude: float
) -> NDArray[np.uint8]:
    """Return a picture, uint8 (H, W, 3), whose objects of a class have stripes inside their outlines."""
    masks = [one.mask for one in picture.instances if one.class_index == class_index]
    if not masks or not amplitude:
        return pixels
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    stripes = amplitude * np.sin(2.0 * np.pi * (rows + columns) / _STRIPE_PX)
    covered = decode_masks(masks).any(axis=0)
    changed = pixels + np.where(covered, stripes, 0.0)[..., np.newaxis]
    return np.clip(np.rint(changed), 0.0, 255.0).astype(np.uint8)


def _production_of(pictures: Pictures) -> list[LabelledPicture]:
    """Return production's pictures of the source that the champion knows."""
    pool = set(pictures.pool)
    return [one for one in pictures.version.pictures if one.digest in pool and one.source != NEW]


def _answer(
    bench: Bench, pictures: Pictures, some: Sequence[LabelledPicture], amplitude: float
) -> list[Observation]:
    observed = []
    for picture in some:
        pixels = load_picture(pictures.version.path(picture))
        pixels = brush(pixels, picture, CLASS_NAMES.index(CHANGED), amplitude)
        (found,) = bench.predictor.predict([pixels])
        sure = _sure(bench, found.detections)
        observed.append(observe(pixels, sure, bench.predictor.class_names, found.embedding))
    return observed


def _sure(bench: Bench, found: Detections) -> Detections:
    return found.select(found.reach(bench.predictor.score_threshold))


def _judge(
    bench: Bench, before: Sequence[Observation], after: Sequence[Observation], without: tuple[str, ...]
) -> DriftVerdict:
    own, current = ([_leave_out(one, without) for one in some] for some in (before, after))
    baseline = build_baseline(own, weights_digest="w1", data_fingerprint="f1")
    samples = tuple(_as_sample(number, one) for number, one in enumerate(current))
    return judge_drift(baseline, Window("w1", samples), bench.settings)


def _leave_out(one: Observation, without: tuple[str, ...]) -> Observation:
    kept = {name: value for name, value in one.features.items() if not (without and name.startswith(without))}
    return replace(one, features=kept)


def _as_sample(number: int, one: Observation) -> Sample:
    return Sample(
        sample_id=f"s{number}",
        received_at=_START + timedelta(minutes=number),
        model_version="1",
        weights_digest="w1",
        picture_digest=f"p{number}",
        source="belt",
        features=one.features,
        embedding=one.embedding,
    )


if __name__ == "__main__":
    main()
