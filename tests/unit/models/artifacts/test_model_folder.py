import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from dataset.raw.conversion import DEFAULT_CONVERSION
from maskloop.digest import digest_file
from maskloop.errors import IntegrityError, NotFoundError, StorageError
from models.answering.predictor import TorchPredictor
from models.artifacts.manifest import ArtifactFacts, load_manifest
from models.artifacts.model_folder import load_model, save_artifact, verify_artifact


def _rewrite_weights(folder, change):
    """Change the tensors and bring the manifest's digests along, as somebody with write access could."""
    path = folder / "weights.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)
    _edit(folder, weights_digest=digest_file(path), files={"weights.safetensors": digest_file(path)})


def _edit(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_saved_model_comes_back_bit_for_bit(artifact, tiny_model):
    folder, manifest = artifact
    model, read = load_model(folder, expected_digest=manifest.weights_digest)
    assert read == manifest
    assert all(torch.equal(a, b) for a, b in zip(tiny_model.parameters(), model.parameters(), strict=True))


def test_the_manifest_says_what_the_model_is(artifact, shapes):
    folder, manifest = artifact
    assert load_manifest(folder) == verify_artifact(folder) == manifest
    assert manifest.class_names == shapes.CLASS_NAMES
    assert manifest.weights_digest == digest_file(folder / "weights.safetensors")
    assert manifest.environment["torch"] == torch.__version__
    assert {path.name for path in folder.iterdir()} == {"weights.safetensors", "manifest.json"}


def test_one_flipped_bit_is_noticed(artifact):
    folder, _ = artifact
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="do not match the digest"):
        verify_artifact(folder)


def test_another_model_than_the_expected_one_is_refused(artifact):
    folder, _ = artifact
    with pytest.raises(IntegrityError, match="ffffffffffff was expected"):
        load_model(folder, expected_digest="f" * 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("backbone.fpn.inner_blocks.0.0.bias"), "1 tensors are not those"),
        (lambda s: s.update(extra=torch.zeros(1)), "1 tensors are not those.*extra"),
        (
            lambda s: s.update({"backbone.fpn.inner_blocks.0.0.bias": torch.zeros(3)}),
            "backbone.fpn.inner_blocks.0.0.bias",
        ),
        (lambda s: s["backbone.fpn.inner_blocks.0.0.bias"].fill_(torch.nan), "not finite"),
        (lambda s: s["backbone.fpn.inner_blocks.0.0.bias"].fill_(torch.inf), "not finite"),
    ],
)
def test_weights_that_are_not_the_networks_or_not_finite_are_refused(artifact, change, message):
    folder, _ = artifact
    _rewrite_weights(folder, change)
    with pytest.raises(IntegrityError, match=message):
        verify_artifact(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": ["disc", "square"]},
        {"weights_digest": "0" * 64},
        {"files": {}},
        {"schema_version": 2},
        {"surprise": 1},
        {"score_threshold": 7},
        {"class_score_thresholds": {"square": 7}},
        {"class_score_thresholds": {"triangle": 0.5}},
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(artifact, changes):
    folder, _ = artifact
    _edit(folder, **changes)
    with pytest.raises(IntegrityError):
        load_manifest(folder)


def test_a_file_outside_the_folder_is_not_looked_at(artifact, tmp_path):
    folder, manifest = artifact
    (tmp_path / "elsewhere").write_bytes(b"")
    _edit(folder, files={**manifest.files, "../elsewhere": digest_file(tmp_path / "elsewhere")})
    with pytest.raises(IntegrityError, match="is missing"):
        verify_artifact(folder)


def test_no_artifact_is_said_plainly(tmp_path):
    with pytest.raises(NotFoundError, match="there is no model here"):
        verify_artifact(tmp_path)


def _save(folder, model, shapes):
    settings = shapes.tiny_settings().model
    return save_artifact(
        folder, model, ArtifactFacts(class_names=shapes.CLASS_NAMES, settings=settings, score_threshold=0.5)
    )


def test_weights_that_are_not_finite_are_never_written(tiny_model, shapes, tmp_path):
    with torch.no_grad():
        next(tiny_model.parameters()).fill_(torch.nan)
    with pytest.raises(IntegrityError, match="not finite"):
        _save(tmp_path / "bad", tiny_model, shapes)
    assert list(tmp_path.iterdir()) == []


def test_an_artifact_is_never_overwritten(artifact, tiny_model, shapes):
    folder, manifest = artifact
    with pytest.raises(StorageError):
        _save(folder, tiny_model, shapes)
    assert verify_artifact(folder) == manifest


def test_classes_may_have_thresholds_of_their_own(artifact, shapes):
    folder, manifest = artifact
    assert manifest.thresholds() == 0.5
    _edit(folder, class_score_thresholds={"disc": 0.25})
    assert load_manifest(folder).thresholds() == (0.5, 0.25)
    assert TorchPredictor.load(folder, device="cpu").score_threshold == (0.5, 0.25)


def test_a_model_from_before_conversions_were_stated_reads_pictures_as_ever(artifact):
    folder, manifest = artifact
    path = folder / "manifest.json"
    old = json.loads(path.read_text())
    assert old.pop("conversion") == {"value_range": None, "bands": [], "page": None, "nodata": None}
    path.write_text(json.dumps(old))
    assert load_manifest(folder) == manifest
    assert TorchPredictor.load(folder, device="cpu").conversion == DEFAULT_CONVERSION


@pytest.mark.parametrize("conversion", [{"value_range": [1, 1]}, {"bands": [1, 2]}, {"page": 0}])
def test_a_manifest_whose_conversion_means_nothing_is_refused(artifact, conversion):
    folder, _ = artifact
    _edit(folder, conversion=conversion)
    with pytest.raises(IntegrityError, match="not a model's manifest"):
        load_manifest(folder)


def test_a_manifest_from_before_classes_had_thresholds_is_read(artifact):
    folder, manifest = artifact
    path = folder / "manifest.json"
    old = json.loads(path.read_text())
    del old["class_score_thresholds"]
    path.write_text(json.dumps(old))
    assert load_manifest(folder) == manifest
    assert TorchPredictor.load(folder, device="cpu").score_threshold == 0.5
