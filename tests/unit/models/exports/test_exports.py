"""A model in another format answers as the model does, and is run only if every byte is the recorded one."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models.detection import MaskRCNN

from maskloop.errors import ConfigurationError, ExportError, IntegrityError, NotFoundError
from maskloop.settings.model_settings import ModelSettings
from models.answering.inference import copy_for_inference, find_regions, keep_choosing_alone
from models.answering.predictor import TorchPredictor
from models.artifacts.manifest import ArtifactManifest
from models.artifacts.model_folder import load_model
from models.exports import formats as exports
from models.exports import onnx_format, openvino_format
from models.exports.formats import check_format, load_export, verify_export, write_export
from models.exports.graphs import graphs_of, level_names
from models.exports.manifest import CLASSIFY, EXPORT_FORMATS, GRAPHS, OUTLINE, SCAN, export_digest
from models.exports.quantisation_samples import gather_samples
from models.exports.running import parts_running
from models.network.build import build_model
from models.operations.convolutions import LeanConv2d

BACKBONES = ("small", "mobilenet_v3", "resnet18", "resnet50_v2")
CPU = torch.device("cpu")
Trained = tuple[MaskRCNN, ArtifactManifest]


def has(*packages):
    return all(importlib.util.find_spec(name) for name in packages)


needs_openvino = pytest.mark.skipif(not has("openvino"), reason="openvino is not installed")
needs_nncf = pytest.mark.skipif(not has("openvino", "nncf"), reason="openvino or nncf is not installed")
needs_onnx = pytest.mark.skipif(not has(*onnx_format.PACKAGES), reason="an ONNX package is not installed")
their_warnings = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


class ArrayFormat:
    """Stands in for a library: a graph is "converted" to a file that names it, and torch runs it."""

    SUFFIX, RUNTIME, PACKAGES, CALIBRATION_PACKAGES = ".xml", "json", (), ()

    def __init__(self) -> None:
        self.graphs: dict[str, Any] = {}
        self.samples: dict[str, Any] = {}
        self.error: Exception | None = None

    def convert(self, graph, file, samples):
        if self.error:
            raise self.error
        print("a library that talks")
        self.graphs[file.stem], self.samples[file.stem] = graph, samples
        file.write_text(file.stem)

    def load(self, file, num_threads, num_beside=1):
        return run_in_torch(self.graphs[file.read_text()])


def run_in_torch(graph):
    def run(array):
        assert array.flags.c_contiguous
        with torch.no_grad():
            return [each.contiguous().numpy() for each in graph.module(torch.from_numpy(array))]

    return run


@pytest.fixture
def form(monkeypatch):
    made = ArrayFormat()
    monkeypatch.setattr(exports, "openvino_format", made)
    return made


@pytest.fixture
def trained(artifact):
    """The model of the artifact and its manifest."""
    folder, manifest = artifact
    return load_model(folder)[0], manifest


def draw_pictures(shapes, count=4):
    return [shapes.draw(index)[0] for index in range(count)]


def calibration_of(shapes):
    return [(f"{index:064d}", picture) for index, picture in enumerate(draw_pictures(shapes))]


def assert_same(ours, theirs, *, atol=1e-4):
    assert len(theirs) > 0
    np.testing.assert_allclose(ours.boxes_xyxy, theirs.boxes_xyxy, atol=10 * atol)
    np.testing.assert_allclose(ours.insides, theirs.insides, rtol=1e-3, atol=100 * atol)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=atol)
    np.testing.assert_array_equal(ours.class_indices, theirs.class_indices)


# --- graphs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", BACKBONES)
def test_graphs_in_the_place_of_a_models_networks_give_the_models_answer(backbone):
    torch.manual_seed(0)
    sizes = {"min_size_px": 96, "max_size_px": 128, "test_proposals": 50, "max_detections": 10}
    settings = ModelSettings(backbone=backbone, weights="scratch", min_score=0.0, **sizes)
    model = build_model(settings, num_classes=3).eval()
    graphs = graphs_of(model)
    parts = parts_running({name: run_in_torch(graphs[name]) for name in GRAPHS}, level_names(graphs[SCAN]))
    batch = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        theirs, means, _ = find_regions(copy_for_inference(model, CPU), batch, 0.0)
        ours, our_means, is_finite = find_regions(keep_choosing_alone(model), batch, 0.0, parts)
    assert bool(is_finite)
    torch.testing.assert_close(our_means, means, rtol=1e-4, atol=1e-4)
    for found, wanted in zip(ours, theirs, strict=True):
        assert len(wanted.boxes) == len(found.boxes) == 10
        torch.testing.assert_close(found.scores, wanted.scores, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(found.boxes, wanted.boxes, rtol=1e-3, atol=0.02)
        torch.testing.assert_close(found.masks, wanted.masks, rtol=1e-2, atol=1e-3)


def test_a_picture_with_nothing_in_it_asks_for_no_masks(trained, shapes):
    model, manifest = trained
    graphs = graphs_of(model)
    parts = parts_running({name: run_in_torch(graphs[name]) for name in GRAPHS}, level_names(graphs[SCAN]))
    predictor = TorchPredictor(
        keep_choosing_alone(model), class_names=manifest.class_names, device=CPU, shortcuts=False, parts=parts
    )
    (found,) = predictor.predict(draw_pictures(shapes, 1), min_score=1.0)
    assert len(found.detections) == 0


def test_a_program_takes_pictures_of_any_size_and_number(trained):
    program = graphs_of(trained[0])[SCAN].capture().module()
    for shape in ((1, 64, 64, 3), (3, 96, 160, 3)):
        fine = program(torch.zeros(shape))[0]
        assert fine.shape == (shape[0], shape[1] // 4, shape[2] // 4, 8)


def test_wide_convolutions_are_captured_as_the_ones_exporters_know():
    model = build_model(ModelSettings(backbone="resnet18", weights="scratch"), num_classes=3)
    for graph in graphs_of(model).values():
        assert not any(isinstance(each, LeanConv2d) for each in graph.module.modules())
        called = {str(node.target) for node in graph.capture().graph.nodes}
        assert not [name for name in called if "nnpack" in name]


def test_graphs_leave_the_model_as_it_was(trained):
    model, _ = trained
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    level_names(graphs_of(model)[SCAN])
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


# --- samples ---------------------------------------------------------------------------------------


def test_samples_are_what_each_graph_is_given(trained, shapes):
    model, _ = trained
    graphs, seen = graphs_of(model), []
    samples = gather_samples(model.eval(), draw_pictures(shapes), progress=lambda *at: seen.append(at))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(samples[SCAN]) == 4
    for name in GRAPHS:
        for sample in samples[name]:
            assert sample.dtype == np.float32
            assert sample.shape[3] == graphs[name].example.shape[3]
            assert 0 < len(sample) <= 64
    assert {sample.shape[1:3] for sample in samples[CLASSIFY]} == {(7, 7)}
    assert max(len(sample) for sample in samples[OUTLINE]) <= 16
    assert samples[SCAN][0].shape == (1, 64, 64, 3)


# --- files -----------------------------------------------------------------------------------------


def test_an_export_loads_as_a_predictor_that_answers_as_the_model_does(trained, shapes, form, tmp_path):
    model, manifest = trained
    written = write_export(tmp_path / "export", model, manifest, "openvino")
    predictor = load_export(tmp_path / "export", expected_digest=export_digest(tmp_path / "export"))
    assert written == verify_export(tmp_path / "export")
    assert sorted(written.files) == ["classify.xml", "outline.xml", "scan.xml"]
    assert (predictor.class_names, predictor.weights_digest) == (shapes.CLASS_NAMES, manifest.weights_digest)
    assert predictor.score_threshold == manifest.score_threshold
    theirs = TorchPredictor(model, class_names=shapes.CLASS_NAMES, device=CPU)
    pictures = draw_pictures(shapes)
    for ours, wanted in zip(predictor.predict(pictures), theirs.predict(pictures), strict=True):
        assert_same(ours.detections, wanted.detections)
        np.testing.assert_allclose(ours.embedding, wanted.embedding, atol=1e-4)


def test_eight_bits_are_calibrated_with_pictures_whose_digests_are_written_down(
    trained: Trained, shapes, form, tmp_path
):
    pictures = calibration_of(shapes)
    written = write_export(tmp_path / "export", *trained, "openvino-int8", calibration=pictures)
    assert written.calibration_digests == tuple(digest for digest, _ in pictures)
    assert all(len(form.samples[name]) for name in GRAPHS)


def test_full_precision_needs_no_pictures(trained: Trained, shapes, form, tmp_path):
    written = write_export(tmp_path / "e", *trained, "openvino", calibration=calibration_of(shapes))
    assert written.calibration_digests == ()
    assert form.samples == dict.fromkeys(GRAPHS)


def test_eight_bits_without_pictures_are_refused(trained: Trained, form, tmp_path):
    with pytest.raises(ExportError, match="no pictures"):
        write_export(tmp_path / "export", *trained, "openvino-int8")
    assert not (tmp_path / "export").exists()


def test_what_an_exporter_cannot_do_is_said_in_its_own_words_and_leaves_nothing(
    trained: Trained, form, tmp_path
):
    form.error = RuntimeError("aten::roi_align is not supported\n  at line 3")
    said = r"scan as openvino: RuntimeError: aten::roi_align is not supported$"
    with pytest.raises(ExportError, match=said):
        write_export(tmp_path / "export", *trained, "openvino")
    assert list(tmp_path.glob("*export*")) == []


def test_an_exporter_that_talks_does_not_get_into_the_answer(trained: Trained, form, tmp_path, capsys):
    write_export(tmp_path / "export", *trained, "openvino")
    said = capsys.readouterr()
    assert said.out == ""
    assert "a library that talks" in said.err


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("scan.xml", "scam", "do not match the digest"),
        ("export.json", "{}", "not an export's manifest"),
        ("export.json", "not json", "not an export's manifest"),
    ],
)
def test_a_changed_file_is_refused(trained: Trained, form, tmp_path, file, text, said):
    write_export(tmp_path / "export", *trained, "openvino")
    (tmp_path / "export" / file).write_text(text)
    with pytest.raises(IntegrityError, match=said):
        load_export(tmp_path / "export")


def test_another_export_than_the_recorded_one_is_refused(trained: Trained, form, tmp_path):
    write_export(tmp_path / "export", *trained, "openvino")
    with pytest.raises(IntegrityError, match="not the export that was recorded"):
        load_export(tmp_path / "export", expected_digest="0" * 64)


def test_a_manifest_that_leaves_a_graph_out_is_refused(trained: Trained, form, tmp_path):
    write_export(tmp_path / "export", *trained, "openvino")
    path = tmp_path / "export" / "export.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]["outline.xml"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match=r"does not name outline\.xml"):
        verify_export(tmp_path / "export")


def test_a_folder_without_an_export_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"export\.json is missing"):
        load_export(tmp_path)


@pytest.mark.parametrize("wanted", EXPORT_FORMATS)
def test_a_package_that_is_missing_is_named(wanted, monkeypatch):
    monkeypatch.setattr(exports, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"openvino|onnx.*Install maskloop\[export\]"):
        check_format(wanted)


def test_a_missing_package_to_run_an_export_is_named(trained: Trained, form, tmp_path, monkeypatch):
    write_export(tmp_path / "export", *trained, "openvino")
    monkeypatch.setattr(exports, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match="runs openvino is not installed"):
        load_export(tmp_path / "export")


def test_onnx_has_no_eight_bits(trained, tmp_path):
    model, _ = trained
    with pytest.raises(ConfigurationError, match="OpenVINO"):
        onnx_format.convert(graphs_of(model)[SCAN], tmp_path / "scan.onnx", [])


# --- the libraries themselves ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [pytest.param("openvino", marks=needs_openvino), pytest.param("onnx", marks=needs_onnx)],
)
@their_warnings
def test_a_library_computes_what_torch_computes(wanted, trained, shapes, tmp_path):
    model, manifest = trained
    write_export(tmp_path / "export", model, manifest, wanted)
    exported = load_export(tmp_path / "export")
    theirs = TorchPredictor(model, class_names=shapes.CLASS_NAMES, device=CPU)
    random = np.random.default_rng(0)
    others = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((60, 90), (90, 60))]
    pictures = [*draw_pictures(shapes), *others]
    for ours, wanted_one in zip(exported.predict(pictures), theirs.predict(pictures), strict=True):
        assert_same(ours.detections, wanted_one.detections)


@needs_nncf
@their_warnings
def test_eight_bits_compute_almost_what_torch_computes(trained, shapes, tmp_path):
    """Of the first network the maps alone: proposals of a network that never learned come out as zeros."""
    model, manifest = trained
    write_export(tmp_path / "e", model, manifest, "openvino-int8", calibration=calibration_of(shapes))
    samples = gather_samples(model.eval(), draw_pictures(shapes))
    for name, graph in graphs_of(model).items():
        file, sample = tmp_path / "e" / f"{name}.xml", samples[name][0]
        pairs = zip(openvino_format.load(file, 1)(sample), run_in_torch(graph)(sample), strict=True)
        for ours, theirs in [*pairs][:2]:
            error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs - theirs.mean())
            assert 0.0 < error < 0.1
        assert "FakeQuantize" in file.read_text()


@needs_nncf
def test_nothing_is_reported_to_anyone_and_nothing_laid_into_the_home_folder(tmp_path):
    code = "from models.exports.runtimes import import_silenced as get; print(get('nncf').Dataset([]))"
    code += "; print(get('openvino').convert_model.__name__)"
    home = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=home, check=True, capture_output=True)
    assert not (tmp_path / "intel").exists()
