"""What a replica reads from the record besides the versions."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from flows.answering.model_source import NoveltyOnceMeasured
from monitoring.drift.novelty import Novelty
from tests.fakes.loop_world import World


def test_strange_pictures_are_told_as_soon_as_the_models_own_were_measured(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, embedding = world.app(), np.zeros(4, np.float32)
    novelty = NoveltyOnceMeasured(app, "w" * 64)
    novelty.look()
    assert novelty.score(embedding) is None

    fitted = SimpleNamespace(score=lambda _embedding: Novelty(0.9, False))
    monkeypatch.setattr("monitoring.drift.baseline.load_baseline", lambda _file: None)
    monkeypatch.setattr("monitoring.drift.novelty.fit_novelty", lambda _baseline, **_percent: fitted)
    app.baseline_dir("w" * 64).mkdir(parents=True)
    (app.baseline_dir("w" * 64) / "all.npz").write_bytes(b"")
    novelty.look()
    assert novelty.score(embedding) == Novelty(0.9, False)


def test_a_model_with_too_few_pictures_of_its_own_says_so_once_and_answers_on(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = world.app()
    monkeypatch.setattr("monitoring.drift.baseline.load_baseline", lambda _file: None)
    monkeypatch.setattr("monitoring.drift.novelty.fit_novelty", lambda _baseline, **_percent: None)
    app.baseline_dir("w" * 64).mkdir(parents=True)
    (app.baseline_dir("w" * 64) / "all.npz").write_bytes(b"")
    novelty = NoveltyOnceMeasured(app, "w" * 64)
    novelty.look()
    novelty.look()
    assert novelty.score(np.zeros(4, np.float32)) is None
    assert [record.message for record in caplog.records] == [
        "strange pictures cannot be told: the model has too few held-out pictures of its own"
    ]
