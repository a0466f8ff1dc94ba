"""What every trainer, predictor, exporter and machine does: the fakes, and torch with few weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dataset.labelled_pictures import DatasetVersion
from dataset.pictures.decoding import decode_picture
from dataset.raw.conversion import PictureConversion
from maskloop.errors import ConfigurationError, IntegrityError, NotFoundError, StoppedError, StorageError
from maskloop.settings.workspace_settings import Settings, parse_settings
from models.artifacts.manifest import ArtifactFacts
from models.loading.request import TrainingRequest
from models.ports import Exporter, Machine, Predictors, TrainedModel, Trainer
from tests.fakes.loop_world import World
from tests.fakes.model_ports import (
    CLASS_NAMES,
    SIDE_PX,
    FakeExporter,
    FakeMachine,
    FakePredictors,
    FakeTrainer,
    draw_picture,
)

SETTINGS = {
    "model": {
        "backbone": "small",
        "weights": "scratch",
        "min_size_px": 32,
        "max_size_px": 64,
        "fpn_channels": 8,
        "box_head_width": 16,
        "mask_head_layers": [8],
        "mask_head_width": 8,
        "norm": "batch",
    },
    "training": {"batch_size": 2, "warmup_steps": 1, "device": "cpu", "checkpoint_every_steps": 1},
}


@dataclass(frozen=True)
class Parts:
    """One implementation of every port."""

    trainer: Trainer
    predictors: Predictors
    machine: Machine
    exporter: Callable[[], Exporter]


def torch_exporter() -> Exporter:
    pytest.importorskip("openvino")
    from models.exports.exporter import TorchExporter

    return TorchExporter()


@pytest.fixture(params=["fake", "torch"])
def parts(request: pytest.FixtureRequest) -> Iterator[Parts]:
    if request.param == "fake":
        yield Parts(FakeTrainer(checkpoint_every_steps=1), FakePredictors(), FakeMachine(), FakeExporter)
        return
    import torch

    from models.answering.predictors import TorchPredictors
    from models.machine import TorchMachine
    from models.training.trainer import TorchTrainer

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Parts(TorchTrainer(), TorchPredictors(), TorchMachine(), torch_exporter)
    torch.set_num_threads(before)


@pytest.fixture
def settings() -> Settings:
    return parse_settings(SETTINGS)


@pytest.fixture
def version(tmp_path: Path) -> DatasetVersion:
    return World(tmp_path / "workspace").label(range(12))


@pytest.fixture
def request_(version: DatasetVersion, settings: Settings, tmp_path: Path) -> TrainingRequest:
    return TrainingRequest(version, settings, tmp_path / "run", steps=2, learning_rate=0.01, device="cpu")


def train(
    trainer: Trainer, request: TrainingRequest, *, stop_after: int = 0
) -> tuple[TrainedModel | None, list[int], list[int]]:
    """Train; return the model, or None if it was stopped, and the steps that were told and saved."""
    told: list[int] = []
    saved: list[int] = []

    def on_step(step: int, losses: object, rate: float, pictures_per_s: float, wait_percent: float) -> None:
        told.append(step)

    try:
        trained = trainer.train(
            request,
            on_step=on_step,
            on_evaluation=lambda _step, _metrics: None,
            progress=lambda _done, _total: None,
            on_checkpoint=saved.append,
            should_stop=lambda: bool(told) and told[-1] == stop_after,
        )
    except StoppedError:
        return None, told, saved
    return trained, told, saved


@pytest.fixture
def artifact(parts: Parts, request_: TrainingRequest, settings: Settings, tmp_path: Path) -> tuple[Path, str]:
    """A trained model that was saved, and its weights digest."""
    trained, *_ = train(parts.trainer, request_)
    assert trained is not None
    facts = ArtifactFacts(CLASS_NAMES, settings.model, 0.5, dataset_tag="data-v1")
    manifest = trained.save(tmp_path / "model", facts)
    assert (manifest.class_names, manifest.dataset_tag) == (CLASS_NAMES, "data-v1")
    return tmp_path / "model", manifest.weights_digest


# --- training ----------------------------------------------------------------------------------------


def test_every_step_is_told_and_saved_steps_are_not_taken_again(
    parts: Parts, request_: TrainingRequest
) -> None:
    stopped, told, saved = train(parts.trainer, request_, stop_after=1)
    assert (stopped, told, saved) == (None, [1], [1])
    trained, told, _ = train(parts.trainer, request_)
    assert trained is not None
    assert (told, trained.steps_done) == ([2], 2)
    assert trained.seconds > 0


def test_losses_have_a_total_and_its_parts(parts: Parts, request_: TrainingRequest) -> None:
    heard: list[dict[str, float]] = []
    parts.trainer.train(
        request_,
        on_step=lambda _step, losses, *_: heard.append(dict(losses)),
        on_evaluation=lambda _step, _metrics: None,
        progress=lambda _done, _total: None,
        on_checkpoint=lambda _step: None,
        should_stop=lambda: False,
    )
    for losses in heard:
        assert losses.pop("loss/total") == pytest.approx(sum(losses.values()))
        assert losses
        assert all(name.startswith("loss/") for name in losses)


def test_a_model_is_calibrated_only_where_a_class_has_enough_instances(
    parts: Parts, request_: TrainingRequest, version: DatasetVersion
) -> None:
    trained, *_ = train(parts.trainer, request_)
    assert trained is not None
    found = trained.calibrate(
        version.by_split["val"],
        lambda picture: decode_picture(version.path(picture).read_bytes(), max_mpx=1.0),
        class_names=CLASS_NAMES,
        min_instances=1000,
        device="cpu",
    )
    assert dict(found) == {}


def test_a_folder_that_is_there_is_not_overwritten(
    parts: Parts, request_: TrainingRequest, settings: Settings, artifact: tuple[Path, str]
) -> None:
    trained, *_ = train(parts.trainer, request_)
    assert trained is not None
    with pytest.raises(StorageError):
        trained.save(artifact[0], ArtifactFacts(CLASS_NAMES, settings.model, 0.5))


def test_anchors_have_one_row_of_sizes_for_each_stride(parts: Parts, settings: Settings) -> None:
    shapes, strides_px = parts.trainer.present_anchors(settings.model)
    assert len(shapes.sizes_px) == len(strides_px)
    assert list(strides_px) == sorted(strides_px)
    own = settings.model.model_copy(update={"anchor_sizes_px": ((14,), (22,))})
    assert parts.trainer.present_anchors(own)[0].sizes_px == ((14,), (22,))


def test_a_preview_shows_the_pictures_of_the_training_with_their_instances(
    parts: Parts, request_: TrainingRequest, version: DatasetVersion
) -> None:
    seen = parts.trainer.preview(request_, lambda path: decode_picture(path.read_bytes(), max_mpx=1.0))
    pixels, truth = next(iter(seen))
    assert pixels.shape == (SIDE_PX, SIDE_PX, 3)
    assert truth.picture_id in {picture.name for picture in version.by_split["train"]}


# --- answering ---------------------------------------------------------------------------------------


def test_a_loaded_model_answers_every_picture_in_order(parts: Parts, artifact: tuple[Path, str]) -> None:
    directory, digest = artifact
    predictor = parts.predictors.load(directory, expected_digest=digest, device="cpu")
    assert (predictor.class_names, predictor.weights_digest) == (CLASS_NAMES, digest)
    wide = np.zeros((8, 24, 3), np.uint8)
    answers = predictor.predict([draw_picture(0)[0], wide])
    sizes = [(one.detections.height_px, one.detections.width_px) for one in answers]
    assert sizes == [(SIDE_PX, SIDE_PX), (8, 24)]
    for one in answers:
        assert one.embedding.dtype == np.float32
        assert np.isfinite(one.embedding).all()
        assert one.seconds > 0


def test_nothing_below_the_lowest_score_asked_for_is_told(parts: Parts, artifact: tuple[Path, str]) -> None:
    predictor = parts.predictors.load(artifact[0], device="cpu")
    (answer,) = predictor.predict([draw_picture(0)[0]], min_score=1.0)
    assert len(answer.detections) == 0


def test_a_model_reads_pictures_as_the_data_it_was_trained_on(
    parts: Parts, request_: TrainingRequest, settings: Settings, tmp_path: Path
) -> None:
    trained, *_ = train(parts.trainer, request_)
    assert trained is not None
    twelve = PictureConversion((0.0, 4096.0))
    manifest = trained.save(
        tmp_path / "model", ArtifactFacts(CLASS_NAMES, settings.model, 0.5, conversion=twelve)
    )
    assert manifest.conversion == twelve
    assert parts.predictors.load(tmp_path / "model", device="cpu").conversion == twelve


def test_other_weights_than_those_recorded_are_refused(parts: Parts, artifact: tuple[Path, str]) -> None:
    directory, digest = artifact
    assert parts.predictors.verify(directory, expected_digest=digest).weights_digest == digest
    for refuse in (parts.predictors.verify, parts.predictors.load):
        with pytest.raises(IntegrityError):
            refuse(directory, expected_digest="f" * 64)


def test_where_there_is_no_model_none_is_found(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for ask in (parts.predictors.verify, parts.predictors.load):
        with pytest.raises(NotFoundError):
            ask(tmp_path / "empty")


# --- the machine -------------------------------------------------------------------------------------


def test_a_machine_says_what_it_has_and_refuses_what_it_has_not(parts: Parts) -> None:
    assert parts.machine.device("cpu") == "cpu"
    with pytest.raises(ConfigurationError):
        parts.machine.device("abacus")
    assert {"cpu", "gpu", "threads", "torch"} <= parts.machine.environment().keys()
    assert parts.machine.count_cores("cpu") >= 1
    assert not parts.machine.uses_bf16("fp32", "cpu")


# --- exports -----------------------------------------------------------------------------------------


def test_an_export_answers_for_the_model_and_is_known_by_its_digest(
    parts: Parts, artifact: tuple[Path, str], tmp_path: Path
) -> None:
    from models.exports.manifest import export_digest

    exporter, (directory, weights_digest) = parts.exporter(), artifact
    exporter.check_format("openvino")
    written = exporter.write(
        tmp_path / "export",
        directory,
        "openvino",
        expected_digest=weights_digest,
        calibration=[],
        progress=lambda _done, _total: None,
    )
    digest = export_digest(tmp_path / "export")
    assert exporter.verify(tmp_path / "export", expected_digest=digest) == written
    assert written.format == "openvino"
    assert exporter.load(tmp_path / "export", expected_digest=digest).weights_digest == weights_digest
    with pytest.raises(IntegrityError):
        exporter.verify(tmp_path / "export", expected_digest="f" * 64)
    shutil.rmtree(tmp_path / "export")
    with pytest.raises(NotFoundError):
        exporter.verify(tmp_path / "export")
