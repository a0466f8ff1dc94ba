"""An export answers without torch as it does with it, at every size and setting."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from evaluation.parity import compare_pictures, summarise_parity
from maskloop.digest import digest_file
from maskloop.errors import ConfigurationError, IntegrityError, PictureError
from maskloop.settings.model_settings import ModelSettings
from models.answering.predictor import TorchPredictor
from models.artifacts.manifest import ArtifactManifest
from models.artifacts.model_folder import load_model
from models.edge.predictor import ArrayPredictor, load_without_torch
from models.exports.graphs import graphs_of, level_names, steps_of
from models.exports.manifest import EXPORT_FILE, GRAPHS, SCAN, ExportManifest
from models.network.build import build_model

SIZES = {"min_size_px": 96, "max_size_px": 160, "test_proposals": 60, "max_detections": 20, "min_score": 0.0}
SETTINGS = {
    "several maps": {"backbone": "mobilenet_v3"},
    "one map": {"backbone": "small"},
    "linear suppression": {"backbone": "small", "prediction": {"soft_nms": "linear"}},
    "gaussian suppression": {"backbone": "small", "prediction": {"soft_nms": "gaussian"}},
    "one mask for all classes": {"backbone": "small", "class_agnostic_masks": True},
}
SHAPES = ((96, 96), (70, 131), (300, 210), (160, 33))


def draw(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Return blobs of colour on noise, uint8 (H, W, 3)."""
    random = np.random.default_rng(seed)
    picture = random.integers(0, 80, (*shape, 3), dtype=np.uint8)
    for _ in range(6):
        top, left = random.integers(0, shape[0]), random.integers(0, shape[1])
        picture[top : top + 30, left : left + 25] = random.integers(100, 255, 3)
    return picture


def run_in_torch(graph):
    """Return what runs a graph in torch."""

    def run(array):
        assert array.flags.c_contiguous
        with torch.no_grad():
            return [each.contiguous().numpy() for each in graph.module(torch.from_numpy(array))]

    return run


def manifest_of(model, source: ArtifactManifest, files: dict[str, str]) -> ExportManifest:
    graphs = graphs_of(model)
    return ExportManifest(
        format="openvino",
        model=source,
        levels=level_names(graphs[SCAN]),
        steps=steps_of(model),
        files=files,
        environment={},
        created_at="2026-01-01T00:00:00+00:00",
    )


def compare(theirs, ours):
    pairs = zip(theirs, ours, strict=True)
    return summarise_parity(
        [compare_pictures(one.detections, two.detections, score_threshold=0.0) for one, two in pairs]
    )


@pytest.fixture
def exported(artifact, tmp_path):
    """The folder of an export whose graphs torch runs, and what loads them."""
    model, source = load_model(artifact[0])
    folder, graphs = tmp_path / "export", graphs_of(model)
    folder.mkdir()
    for name in GRAPHS:
        (folder / f"{name}.xml").write_text(name)
    files = {file.name: digest_file(file) for file in folder.iterdir()}
    (folder / EXPORT_FILE).write_text(manifest_of(model, source, files).model_dump_json())
    return folder, lambda file, _threads: run_in_torch(graphs[file.read_text()])


@pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS.keys())
def test_arrays_find_what_torch_finds(changes, artifact):
    torch.manual_seed(1)
    settings = ModelSettings.model_validate({"weights": "scratch", **SIZES, **changes})
    model = build_model(settings, num_classes=2).eval()
    graphs = graphs_of(model)
    runs = {name: run_in_torch(graphs[name]) for name in GRAPHS}
    pictures = [draw(shape, seed) for seed, shape in enumerate(SHAPES)]
    torch_s = TorchPredictor(model, class_names=artifact[1].class_names, device=torch.device("cpu"))
    theirs = torch_s.predict(pictures)
    ours = ArrayPredictor(runs, manifest_of(model, artifact[1], {}), steps_of(model)).predict(pictures)
    parity = compare(theirs, ours)
    assert parity.num_either > 10
    assert parity.share_both > 0.97
    assert parity.mask_iou > 0.99
    for one, other in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(other.embedding, one.embedding, rtol=1e-3, atol=1e-4)


def test_a_folder_is_verified_loaded_and_answers(artifact, exported, shapes):
    folder, load = exported
    pictures = [shapes.draw(index)[0] for index in range(4)]
    theirs = TorchPredictor.load(artifact[0], device="cpu").predict(pictures)
    predictor = load_without_torch(folder, load=load)
    assert predictor.class_names == artifact[1].class_names
    assert predictor.weights_digest == artifact[1].weights_digest
    parity = compare(theirs, predictor.predict(pictures))
    assert parity.num_either
    assert (parity.share_both, round(parity.mask_iou, 2)) == (1.0, 1.0)
    assert parity.largest_score_shift < 1e-4


def test_what_has_no_instance_above_the_score_asked_for_answers_with_nothing(exported, shapes):
    folder, load = exported
    (nothing,) = load_without_torch(folder, load=load).predict([shapes.draw(0)[0]], min_score=1.0)
    assert len(nothing.detections) == 0


def test_an_export_of_a_version_before_says_that_it_must_be_made_again(exported):
    folder, load = exported
    manifest = ExportManifest.model_validate_json((folder / EXPORT_FILE).read_bytes())
    (folder / EXPORT_FILE).write_text(manifest.model_copy(update={"steps": None}).model_dump_json())
    with pytest.raises(ConfigurationError, match="Export the model again"):
        load_without_torch(folder, load=load)


def test_a_model_of_several_views_is_refused_in_words(exported):
    folder, load = exported
    manifest = ExportManifest.model_validate_json((folder / EXPORT_FILE).read_bytes())
    assert manifest.steps is not None
    steps = manifest.steps.model_copy(update={"num_views": 2})
    (folder / EXPORT_FILE).write_text(manifest.model_copy(update={"steps": steps}).model_dump_json())
    with pytest.raises(ConfigurationError, match="2 views"):
        load_without_torch(folder, load=load)


def test_a_changed_file_is_refused_before_it_is_loaded(exported):
    folder, _ = exported
    (folder / "scan.xml").write_text("something else")
    with pytest.raises(IntegrityError, match=r"scan\.xml"):
        load_without_torch(folder, load=lambda _file, _threads: pytest.fail("it was loaded"))


def test_a_package_that_is_missing_is_named(exported):
    def load(_file, _threads):
        raise ModuleNotFoundError("no", name="openvino")

    with pytest.raises(ConfigurationError, match="is not installed: openvino"):
        load_without_torch(exported[0], load=load)


@pytest.mark.parametrize("picture", [np.zeros((4, 4), np.uint8), np.zeros((1, 999, 3), np.uint8)])
def test_what_is_no_picture_is_refused(exported, picture):
    folder, load = exported
    with pytest.raises(PictureError):
        load_without_torch(folder, load=load).predict([picture])


def test_numbers_that_are_not_finite_are_an_error(exported):
    folder, load = exported

    def broken(file, threads):
        run = load(file, threads)
        return lambda array: [each * np.nan for each in run(array)] if file.stem == SCAN else run(array)

    with pytest.raises(IntegrityError, match="not finite"):
        load_without_torch(folder, load=broken).predict([draw((96, 96))])
