"""What a replica reads from the record besides the versions."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from flows.answering.model_source import NoveltyOnceMeasured
from maskloop.blobs.folder import FolderBlobs
from maskloop.blobs.shared_files import SharedFiles
from monitoring.drift.baseline import save_baseline
from monitoring.drift.novelty import MIN_PICTURES
from tests.fakes.drift_data import baseline_of, draw
from tests.fakes.loop_world import World

DIGEST = "w" * 64


def measure_own_pictures(world: World, num: int) -> None:
    """Keep a baseline of so many pictures, as the monitor does."""
    baseline = baseline_of(draw(np.random.default_rng(0), num), DIGEST)
    save_baseline(baseline, world.workspace.baseline_dir(DIGEST) / "0000.npz")


def once_measured(world: World, store: FolderBlobs | None = None) -> NoveltyOnceMeasured:
    shared = SharedFiles(world.workspace.state_dir, store)
    return NoveltyOnceMeasured(world.workspace.baseline_dir(DIGEST), shared, out_of_distribution_percent=1.0)


def test_out_of_distribution_pictures_are_reported_once_the_champions_own_were_measured(world: World) -> None:
    novelty = once_measured(world)
    strange = np.full(8, 100.0, np.float32)
    novelty.look()
    assert novelty.score(strange) is None

    measure_own_pictures(world, MIN_PICTURES)
    novelty.look()
    found = novelty.score(strange)
    assert found is not None
    assert (found.score, found.is_out_of_distribution) == (1.0, True)


def test_a_model_with_too_few_pictures_of_its_own_says_so_once_and_answers_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    measure_own_pictures(world, MIN_PICTURES - 1)
    novelty = once_measured(world)
    novelty.look()
    novelty.look()
    assert novelty.score(np.zeros(8, np.float32)) is None
    assert [record.message for record in caplog.records] == [
        "strange pictures cannot be told: the model has too few held-out pictures of its own"
    ]


def test_pictures_that_another_host_measured_are_brought_from_the_shared_files(
    world: World, tmp_path: Path
) -> None:
    measure_own_pictures(world, MIN_PICTURES)
    store, own = FolderBlobs(tmp_path / "shared"), world.workspace.baseline_dir(DIGEST)
    assert SharedFiles(world.workspace.state_dir, store).send(own) == 1
    shutil.rmtree(own)
    novelty = once_measured(world, store)
    novelty.look()
    novelty.look()
    found = novelty.score(np.full(8, 100.0, np.float32))
    assert found is not None
    assert found.is_out_of_distribution
