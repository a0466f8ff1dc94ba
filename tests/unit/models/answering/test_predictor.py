import numpy as np
import pytest
import torch

from maskloop.errors import IntegrityError, PictureError
from maskloop.settings.model_settings import PredictionSettings
from models.answering.inference import copy_for_inference
from models.answering.predictor import TorchPredictor
from models.artifacts.manifest import ArtifactFacts
from models.artifacts.model_folder import save_artifact
from models.network.parts import parts_of


@pytest.fixture
def predictor(artifact):
    folder, manifest = artifact
    return TorchPredictor.load(folder, expected_digest=manifest.weights_digest, device="cpu")


def _pictures(*sizes):
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in sizes]


def test_a_prediction_has_masks_of_the_pictures_size(predictor, artifact):
    _, manifest = artifact
    predictions = predictor.predict(_pictures((48, 48), (48, 48), (60, 90)))
    assert [p.detections.masks_NHW().shape[1:] for p in predictions] == [(48, 48), (48, 48), (60, 90)]
    for prediction in predictions:
        found = prediction.detections
        assert len(found) > 0
        assert set(found.class_indices.tolist()) <= {0, 1}
        assert (np.diff(found.scores) <= 0).all()
        assert prediction.embedding.shape == (8,)
        assert prediction.embedding.dtype == np.float32
        assert prediction.seconds > 0
    assert predictor.class_names == ("square", "disc")
    assert predictor.weights_digest == manifest.weights_digest


@pytest.mark.parametrize("shortcuts", [True, False])
def test_predictions_are_those_of_torchvision(tiny_model, shapes, shortcuts):
    picture = _pictures((48, 48))[0]
    predictor = TorchPredictor(
        tiny_model, class_names=shapes.CLASS_NAMES, device=torch.device("cpu"), shortcuts=shortcuts
    )
    ours = predictor.predict([picture])[0].detections
    with torch.inference_mode():
        theirs = tiny_model([torch.from_numpy(picture).permute(2, 0, 1).float() / 255])[0]
    np.testing.assert_allclose(ours.boxes_xyxy, theirs["boxes"].numpy(), atol=1e-4)
    np.testing.assert_array_equal(ours.class_indices, theirs["labels"].numpy() - 1)
    np.testing.assert_array_equal(ours.masks_NHW(), (theirs["masks"][:, 0] > 0.5).numpy())


@pytest.mark.parametrize("shortcuts", [True, False])
def test_a_model_that_is_trained_on_may_keep_its_weights(tiny_model, shapes, shortcuts):
    before = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    predictor = TorchPredictor(
        tiny_model, class_names=shapes.CLASS_NAMES, device=torch.device("cpu"), shortcuts=shortcuts
    )
    predictor.predict(_pictures((48, 48)))
    assert not tiny_model.training
    assert all(parameter.requires_grad for parameter in tiny_model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny_model.state_dict().items())


def test_a_picture_does_not_change_with_its_neighbours(predictor):
    pictures = _pictures((48, 48), (60, 90), (48, 48))
    together = predictor.predict(pictures)
    for picture, prediction in zip(pictures, together, strict=True):
        alone = predictor.predict([picture])[0]
        np.testing.assert_allclose(alone.embedding, prediction.embedding, atol=1e-5)
        np.testing.assert_allclose(alone.detections.scores, prediction.detections.scores, atol=1e-5)


def test_a_minimum_score_leaves_the_rest_out(predictor):
    picture = _pictures((48, 48))
    everything = predictor.predict(picture)[0].detections
    floor = float(np.median(everything.scores))
    some = predictor.predict(picture, min_score=floor)[0].detections
    assert len(some) == (everything.scores >= floor).sum() < len(everything)


def test_nothing_found_is_an_empty_answer(predictor):
    found = predictor.predict(_pictures((48, 48)), min_score=1.0)[0].detections
    assert len(found) == 0
    assert found.masks_NHW().shape == (0, 48, 48)
    assert predictor.predict([]) == []


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((48, 48), np.uint8),
        np.zeros((48, 48, 1), np.uint8),
        np.zeros((48, 48, 4), np.uint8),
        np.zeros((48, 48, 3), np.float32),
        np.zeros((0, 48, 3), np.uint8),
    ],
)
def test_only_rgb_bytes_are_a_picture(predictor, picture):
    with pytest.raises(PictureError, match="must be uint8"):
        predictor.predict([picture])


@pytest.mark.parametrize(
    "part", ["backbone.body", "rpn.head", "roi_heads.box_predictor", "roi_heads.mask_predictor"]
)
def test_a_model_full_of_nan_is_an_error_and_not_a_quiet_model(tiny_model, shapes, part):
    with torch.no_grad():
        for parameter in tiny_model.get_submodule(part).parameters():
            parameter.fill_(torch.nan)
    predictor = TorchPredictor(tiny_model, class_names=shapes.CLASS_NAMES, device=torch.device("cpu"))
    with pytest.raises(IntegrityError, match="not finite"):
        predictor.predict(_pictures((48, 48)))


def test_a_picture_of_which_scaling_would_leave_nothing_is_refused(predictor):
    thin = np.zeros((1, 20_000, 3), np.uint8)
    with pytest.raises(PictureError, match="20000 x 1 px is too thin"):
        predictor.predict([thin])
    assert len(predictor.predict([np.zeros((1, 40, 3), np.uint8)])) == 1


def _in_bf16(model, shapes, monkeypatch, *, is_computed):
    monkeypatch.setattr("models.answering.predictor.computes_bf16", lambda _device: is_computed)
    return TorchPredictor(model, class_names=shapes.CLASS_NAMES, device=torch.device("cpu"), precision="bf16")


def test_in_bf16_only_the_networks_round_and_what_lies_between_is_float32(tiny_model, shapes, monkeypatch):
    predictor = _in_bf16(tiny_model, shapes, monkeypatch, is_computed=True)
    inner = predictor._model
    networks = (inner.backbone, inner.rpn.head, inner.roi_heads.box_predictor, inner.roi_heads.mask_predictor)
    assert {each.dtype for network in networks for each in network.parameters()} == {torch.bfloat16}
    assert {each.dtype for each in tiny_model.parameters()} == {torch.float32}
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    regions = torch.rand(3, 8, 7, 7, generator=torch.Generator().manual_seed(1))
    rounded, exact = predictor._parts, parts_of(copy_for_inference(tiny_model, torch.device("cpu")))
    with torch.inference_mode():
        for ours, theirs in zip(_scanned(rounded, pictures), _scanned(exact, pictures), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05 * float(theirs.abs().max()))
        labels = torch.tensor([1, 2, 1])
        ours, theirs = (each.outline(regions, labels) for each in (rounded, exact))
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.02)
    found = predictor.predict(_pictures((48, 48)))[0].detections
    assert len(found) > 0
    assert found.boxes_xyxy.dtype == np.float32


def _scanned(parts, pictures):
    maps, objectness, deltas = parts.scan(pictures)
    return [*maps.values(), *objectness, *deltas]


def test_a_device_that_does_not_compute_bf16_answers_in_float32_and_says_so(
    tiny_model, shapes, monkeypatch, caplog
):
    predictor = _in_bf16(tiny_model, shapes, monkeypatch, is_computed=False)
    assert "does not compute in bfloat16" in caplog.text
    plain = TorchPredictor(tiny_model, class_names=shapes.CLASS_NAMES, device=torch.device("cpu"))
    ours, theirs = (each.predict(_pictures((48, 48)))[0].detections for each in (predictor, plain))
    np.testing.assert_array_equal(ours.scores, theirs.scores)


def test_a_model_answers_in_the_precision_its_settings_name(shapes, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr("models.answering.predictor.computes_bf16", lambda _device: True)
    settings = shapes.tiny_settings().model
    settings = settings.model_copy(update={"prediction": PredictionSettings(precision="bf16")})
    save_artifact(
        tmp_path / "model",
        tiny_model,
        ArtifactFacts(
            class_names=shapes.CLASS_NAMES, settings=settings, score_threshold=0.5, dataset_tag="data-v1"
        ),
    )
    predictor = TorchPredictor.load(tmp_path / "model", device="cpu")
    assert next(predictor._model.backbone.parameters()).dtype == torch.bfloat16
