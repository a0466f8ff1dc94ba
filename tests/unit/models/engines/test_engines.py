"""Engines beside torch: what makes them equal, and a trial that cannot harm the process that asks for it."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluation.instances import NUM_INSIDES
from models.answering.prediction import Prediction
from models.answering.predictor import TorchPredictor
from models.artifacts.manifest import ArtifactFacts
from models.artifacts.model_folder import save_artifact
from models.engines.choice import EngineName, Trial, TrialRequest, choose_engine
from models.engines.comparing import compare_answers, time_in_turns
from models.engines.engines import LocalEngines
from models.exports.manifest import export_digest
from tests.fakes.serving_world import detect

FORMATS: dict[EngineName, str] = {"openvino": "openvino", "onnx": "onnxruntime"}


def answer(*, embedding: float = 1.0, insides: float = 4.0, is_empty: bool = False) -> Prediction:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[2:6, 2:6] = 0 if is_empty else 255
    found = detect(pixels)
    own = np.full((len(found), NUM_INSIDES), insides, np.float32)
    return Prediction(replace(found, insides=own), np.array([embedding, -2.0], np.float32), 0.1)


def obstacles(other: Prediction) -> tuple[str, ...]:
    compared = compare_answers([answer()], [other], score_threshold=0.5)
    return compared.find_obstacles(min_parity=0.98)


def test_an_engine_with_the_same_instances_and_features_may_answer() -> None:
    assert obstacles(answer(embedding=1.0 + 0.0019, insides=4.07)) == ()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (answer(embedding=1.0 + 0.0021), "embeddings differ by 0.001 of their size, and 0.001 is allowed"),
        (answer(insides=4.1), "insides of masks differ by 0.025 of their size, and 0.02 is allowed"),
        (answer(embedding=float("nan")), "embeddings differ by nan of their size, and 0.001 is allowed"),
    ],
)
def test_features_that_drift_is_measured_in_must_stay_the_same(other: Prediction, said: str) -> None:
    (found,) = obstacles(other)
    assert found.startswith(said[: said.index(" of")][:25])
    assert found.endswith("is allowed")


def test_an_engine_that_misses_an_instance_may_not_answer() -> None:
    found = obstacles(answer(is_empty=True))
    assert any("share found by both is 0.0000" in each for each in found)


def test_pictures_without_instances_show_nothing() -> None:
    nothing = answer(is_empty=True)
    compared = compare_answers([nothing], [nothing], score_threshold=0.5)
    assert "nothing was compared" in compared.find_obstacles(min_parity=0.98)[0]


class Counting:
    """Predicts, and notes whose turn it was."""

    def __init__(self, name: str, turns: list[str]) -> None:
        self.name, self.turns = name, turns

    def predict(self, _pictures: Any) -> None:
        self.turns.append(self.name)


def test_both_predict_in_turns_and_each_begins_every_second_time() -> None:
    turns: list[str] = []
    pictures = [np.zeros((1, 1, 3), np.uint8)]
    ours: Any = Counting("torch", turns)
    theirs: Any = Counting("other", turns)
    time_in_turns(ours, theirs, pictures, budget_s=0.0)
    assert turns == ["other", "torch", "torch", "other", "other", "torch"]


def test_an_engine_that_is_named_is_taken_however_slow_but_never_if_it_answers_otherwise() -> None:
    slow = Trial(engine="onnx", times_faster=0.5, num_pictures=3, mask_iou=1.0)
    assert choose_engine("onnx", [slow])[0] == "onnx"
    assert choose_engine("onnx", [slow.model_copy(update={"obstacles": ("other",)})])[0] == "torch"
    assert choose_engine("auto", [])[0] == "torch"


# --- the trial's process ---------------------------------------------------------------------------


@pytest.fixture
def request_of(shapes: Any, tiny_model: Any, tmp_path: Path) -> Any:
    """Makes a request for the trial of an engine with an untrained model that tells whatever it sees."""
    facts = ArtifactFacts(shapes.CLASS_NAMES, shapes.tiny_settings().model, score_threshold=0.0)
    manifest = save_artifact(tmp_path / "model", tiny_model, facts)
    pictures = {f"{index:04d}": shapes.draw(index)[0] for index in range(3)}
    np.savez(tmp_path / "pictures.npz", **pictures)

    def make(engine: EngineName) -> TrialRequest:
        return TrialRequest(
            artifact=tmp_path / "model",
            weights_digest=manifest.weights_digest,
            engine=engine,
            export=tmp_path / f"export-{engine}",
            pictures=tmp_path / "pictures.npz",
            threads=1,
            min_parity=0.98,
            budget_s=0.0,
            outcome=tmp_path / f"{engine}.json",
        )

    return make


def run_code(code: str) -> LocalEngines:
    return LocalEngines((sys.executable, "-S", "-c", code))


@pytest.mark.parametrize(
    ("code", "said", "is_lasting"),
    [
        ("import os; os.kill(os.getpid(), 11)", "the engine's process ended with SIGSEGV", True),
        ("import os; os.kill(os.getpid(), 15)", "the engine's process ended with SIGTERM", False),
        ("raise SystemExit('no memory')", "the engine's process ended with code 1: no memory", True),
        ("pass", "the engine's process ended with code 0", True),
    ],
)
def test_a_process_that_ends_without_an_outcome_is_an_obstacle(
    request_of: Any, code: str, said: str, is_lasting: bool
) -> None:
    trial = run_code(code).try_out(request_of("openvino"), timeout_s=60, should_stop=lambda: False)
    assert (trial.obstacles, trial.is_lasting) == ((said,), is_lasting)


def test_a_process_that_hangs_or_is_no_longer_wanted_is_ended(request_of: Any) -> None:
    engines, request = run_code("import time; time.sleep(600)"), request_of("openvino")
    trial = engines.try_out(request, timeout_s=0.2, should_stop=lambda: False)
    assert (trial.obstacles, trial.is_lasting) == (("no outcome within 0 s",), False)
    assert engines.try_out(request, timeout_s=60, should_stop=lambda: True).obstacles


@pytest.mark.parametrize("engine", FORMATS)
def test_a_real_engine_passes_its_trial_and_answers_as_torch_does(
    request_of: Any, engine: EngineName
) -> None:
    if importlib.util.find_spec(FORMATS[engine]) is None:
        pytest.skip(f"{FORMATS[engine]} is not installed")
    engines, request = LocalEngines(), request_of(engine)
    trial = engines.try_out(request, timeout_s=300, should_stop=lambda: False)
    assert trial.obstacles == ()
    assert trial.num_instances > 0
    assert trial.times_faster > 0.0
    other = engines.load(request.export, expected_digest=export_digest(request.export), thread_counts=(2, 1))
    own = TorchPredictor.load(request.artifact, device="cpu")
    with np.load(request.pictures) as stored:
        pictures = [stored[name] for name in stored.files]
    assert torch.get_num_threads() == 1
    compared = compare_answers(own.predict(pictures), other.predict(pictures), score_threshold=0.0)
    assert compared.find_obstacles(min_parity=0.98) == ()
    assert engines.key("a" * 64, "auto", 0.98, 1).versions[FORMATS[engine]]
