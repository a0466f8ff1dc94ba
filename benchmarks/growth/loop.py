"""What the loop does again and again, over ever more pictures, samples and cycles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.ledger.story import write_story
from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from dataset.pictures.looks import near_pairs, near_pairs_between
from flows.learning.request import Start, make_request
from maskloop.digest import digest_bytes
from maskloop.settings.workspace_settings import MonitoringSettings, Settings
from monitoring.drift.baseline import build_baseline
from monitoring.drift.references import POOLED
from monitoring.drift.sources import judge_window
from monitoring.features.observation import Observation
from monitoring.samples.sample_log import SqlSampleLog
from monitoring.samples.values import Sample
from monitoring.samples.windows import choose_window

WINDOW: Final = 200
_NUM_NEW: Final = 100
_NEAR_BITS: Final = 3
_FEATURES: Final = ("brightness", "contrast", "saturation", "sharpness", "noise", "count", "mean_score")
_EMBEDDING: Final = 64
_CHAMPION: Final = "w"
_NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)
_ROOT: Final = Path(__file__).resolve().parents[2]
_ASK_LEDGER: Final = _ROOT / "benchmarks" / "ledger" / "measure.py"


def grow_replay(sizes: Sequence[int]) -> Iterator[dict[str, float]]:
    """Make the request of a retraining whose training pictures are half new."""
    for size in sizes:
        pictures = tuple(_picture(number, "data-v2" if number % 2 else "data-v1") for number in range(size))
        version = DatasetVersion("data-v2", "f", "", "", ("part",), pictures, Path("data"))
        start = Start(Path("weights"), _CHAMPION, "data-v1")

        def make(version: DatasetVersion = version, start: Start = start) -> object:
            return make_request(Settings(), version, start, folder=Path("cycle"), draw_weights={})

        yield {"size": size, "request_s": _least_cpu_s(make)}


def grow_near_duplicates(sizes: Sequence[int]) -> Iterator[dict[str, float]]:
    """Look for near-duplicates among all pictures, and between 100 new ones and all others."""
    random = np.random.default_rng(0)
    for size in sizes:
        hashes = random.integers(0, 2**64, size, dtype=np.uint64)
        new = hashes[:_NUM_NEW] ^ np.uint64(1)
        yield {
            "size": size,
            "among_all_s": _least_cpu_s(lambda hashes=hashes: list(near_pairs(hashes, _NEAR_BITS))),  # type: ignore[misc]
            "of_100_new_s": _least_cpu_s(
                lambda hashes=hashes, new=new: near_pairs_between(hashes, new, _NEAR_BITS)  # type: ignore[misc]
            ),
        }


def grow_verdict(sizes: Sequence[int]) -> Iterator[dict[str, float]]:
    """Judge the newest 200 samples of a log that holds ever more, all others judged before."""
    random = np.random.default_rng(0)
    own = [Observation(*_draw(random)) for _ in range(150)]
    references = {POOLED: build_baseline(own, weights_digest=_CHAMPION, data_fingerprint="f")}
    settings = MonitoringSettings()
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="growth-") as folder:
            log = SqlSampleLog(Path(folder), keep_pictures=0)
            fill_log(log, size, random)

            def judge(log: SqlSampleLog = log) -> object:
                pending = log.newest(10 * WINDOW, weights_digest=_CHAMPION, pending_only=True)
                planned = choose_window(pending, weights_digest=_CHAMPION, settings=settings)
                return judge_window(references, planned.window, settings)

            seconds = {
                "verdict_s": _least_cpu_s(judge),
                "read_s": _least_cpu_s(
                    lambda log=log: log.newest(10 * WINDOW, weights_digest=_CHAMPION, pending_only=True)  # type: ignore[misc]
                ),
                "prune_s": _least_cpu_s(lambda log=log: log.prune(_NOW)),  # type: ignore[misc]
            }
            log.close()
            yield {"size": size, **seconds}


def grow_reconcile(sizes: Sequence[int]) -> Iterator[dict[str, float]]:
    """Reconcile when nothing is due, after ever more cycles."""
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        warm = Path(folder) / "warm"
        write_story(warm, 3)
        for size in sizes:
            root = Path(folder) / str(size)
            write_story(root, size)
            command = [sys.executable, str(_ASK_LEDGER), str(warm), str(root), "reconcile", "3"]
            environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
            done = subprocess.run(
                command, cwd=_ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
            )
            told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
            yield {"size": size, "reconcile_s": told["reconcile"]}


def fill_log(log: SqlSampleLog, size: int, random: np.random.Generator) -> None:
    """Add so many samples, one a second; the newest 200 are pending and all others were skipped."""
    for number in range(size):
        features, embedding = _draw(random)
        sample = Sample(
            sample_id=f"s{number}",
            received_at=_NOW - timedelta(seconds=size - number),
            model_version="1",
            weights_digest=_CHAMPION,
            picture_digest=f"d{number}",
            source="line 1",
            features=features,
            embedding=embedding,
        )
        log.add(sample, skip_reason="" if number >= size - WINDOW else "judged before")


def _picture(number: int, added_in: str) -> LabelledPicture:
    digest = digest_bytes(str(number).encode())
    name = f"{number}.png"
    return LabelledPicture(digest, name, name, 128, 128, "line 1", digest, "train", added_in, "human", ())


def _draw(random: np.random.Generator) -> tuple[dict[str, float], tuple[float, ...]]:
    values = random.normal(size=len(_FEATURES))
    return dict(zip(_FEATURES, values.tolist(), strict=True)), tuple(random.normal(size=_EMBEDDING))


def _least_cpu_s(run: Callable[[], Any], rounds: int = 3) -> float:
    """Return the least CPU seconds of some rounds, after one that does not count."""
    run()
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    return min(seconds)
