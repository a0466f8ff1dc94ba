"""Several views of a picture make one answer."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from evaluation.instances import NUM_INSIDES
from maskloop.errors import ConfigurationError
from maskloop.settings.model_settings import ModelSettings
from models.answering.inference import DrawnRegions, copy_for_inference, find_regions
from models.answering.predictor import TorchPredictor
from models.answering.views import find_regions_in_views, mirror_boxes
from models.artifacts.manifest import ArtifactFacts
from models.artifacts.model_folder import load_model, save_artifact
from models.network.build import build_model
from models.network.fast_parts import ALL_FAST_PARTS
from models.network.preparation import View

CPU = torch.device("cpu")
HEIGHT_PX, WIDTH_PX = 96, 128
MIRRORED = (View(), View(is_mirrored=True))


def build(backbone="small", **changes):
    torch.manual_seed(0)
    sizes = {"min_size_px": HEIGHT_PX, "max_size_px": WIDTH_PX, "test_proposals": 100, "max_detections": 20}
    heads = {"fpn_channels": 64, "box_head_width": 128, "mask_head_layers": (64, 64), "mask_head_width": 64}
    settings = ModelSettings(
        backbone=backbone, weights="scratch", norm="batch", **{**sizes, **heads, **changes}
    )
    return build_model(settings, num_classes=3).eval()


def draw(count=2):
    coarse = torch.rand(count, 3, 12, 16, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, size=(HEIGHT_PX, WIDTH_PX), mode="bilinear")


def answer(model, batch, views, min_score=0.0):
    model.transform.views = views
    with torch.inference_mode():
        return find_regions_in_views(model, batch, min_score)


def assert_alike(ours, theirs, tolerance=1e-4):
    assert len(ours.boxes) == len(theirs.boxes) > 5
    for name in ("boxes", "scores", "labels", "masks"):
        torch.testing.assert_close(
            getattr(ours, name), getattr(theirs, name), rtol=tolerance, atol=tolerance, msg=name
        )


@pytest.mark.parametrize("changes", [{}, {"prediction": {"soft_nms": "gaussian"}}], ids=str)
def test_one_view_is_the_answer_without_views(changes):
    model, batch = build(**changes), draw()
    with torch.inference_mode():
        plain, means, _ = find_regions(model, batch, 0.0)
    ours, own_means, is_finite = answer(model, batch, (View(),))
    for one, other in zip(ours, plain, strict=True):
        assert_alike(one, other)
    assert torch.equal(own_means, means)
    assert bool(is_finite)


def test_the_same_view_twice_adds_nothing():
    model, batch = build(), draw()
    once, twice = (answer(model, batch, views)[0] for views in ((View(),), (View(), View())))
    for one, other in zip(once, twice, strict=True):
        assert_alike(one, other)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("backbone", ["small", "resnet18"])
def test_with_mirrored_views_a_mirrored_picture_has_the_mirrored_answer(backbone, fast):
    model, batch = build(backbone), draw(1)
    model = copy_for_inference(model, CPU) if fast else model
    (one,), (other,) = (answer(model, each, MIRRORED)[0] for each in (batch, batch.flip(-1)))
    back = mirror_boxes(other.boxes, WIDTH_PX)
    same = box_iou(back, one.boxes)
    same[other.labels[:, None] != one.labels] = 0.0
    best = same.argmax(dim=1)
    assert len(one.boxes) == len(other.boxes) == len(best.unique()) > 5
    torch.testing.assert_close(back, one.boxes[best], rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(other.scores, one.scores[best], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(other.masks.flip(-1), one.masks[best], rtol=1e-3, atol=1e-3)


def test_without_mirrored_views_it_has_not():
    model, batch = build(), draw(1)
    (one,), (other,) = (answer(model, each, (View(),))[0] for each in (batch, batch.flip(-1)))
    assert not torch.allclose(one.scores[:5], other.scores[:5], atol=1e-4)


def test_masks_are_the_mean_of_what_the_views_draw(monkeypatch):
    model, batch = build(), draw(1)
    drawn: list[torch.Tensor] = []

    def remember(*given):
        masks = torch.full((len(given[4]), 28, 28), 0.2 + 0.6 * len(drawn))
        masks[..., 0] = 0.0
        drawn.append(masks)
        return DrawnRegions(masks, masks, torch.full((len(masks), NUM_INSIDES), float(len(drawn))))

    monkeypatch.setattr("models.answering.views.draw_regions", remember)
    (found,), _, _ = answer(model, batch, MIRRORED)
    assert found.masks[..., 1:-1].unique().tolist() == pytest.approx([0.5])
    assert found.masks[..., 0].unique().tolist() == pytest.approx([0.4])  # 0 here, 0.8 in the mirror
    assert found.masks[..., -1].unique().tolist() == pytest.approx([0.1])
    assert found.insides.unique().tolist() == [1.0]  # as the first view, which is not mirrored, shows them


def test_a_scaled_view_sees_the_picture_larger_and_answers_in_its_px():
    model, batch = build(), draw(1)
    sizes = []
    model.backbone.register_forward_hook(lambda _m, inputs, _o: sizes.append(tuple(inputs[0].shape[-2:])))
    (found,), _, _ = answer(model, batch, (View(), View(scale=1.5)))
    assert sizes == [(96, 128), (160, 192)]  # 144 x 192, padded
    assert found.boxes.min() >= 0.0
    assert found.boxes[:, 2].max() <= WIDTH_PX
    assert found.boxes[:, 3].max() <= HEIGHT_PX
    assert found.boxes[:, 2].max() > WIDTH_PX / 2


def test_nothing_wanted_is_nothing_and_numbers_that_are_not_finite_are_told():
    model, batch = build(), draw(2)
    regions, _, is_finite = answer(model, batch, MIRRORED, min_score=1.1)
    assert [len(each.boxes) for each in regions] == [0, 0]
    assert bool(is_finite)
    with torch.no_grad():
        model.roi_heads.mask_predictor.mask_fcn_logits.bias.fill_(torch.nan)
    assert not bool(answer(model, batch, MIRRORED)[2])


def test_settings_choose_the_views_and_an_artifact_keeps_them(tmp_path):
    wanted = {"mirrored": True, "extra_scales": (1.5,), "soft_nms": "linear"}
    settings = ModelSettings(
        backbone="small",
        weights="scratch",
        min_size_px=48,
        max_size_px=96,
        test_proposals=100,
        max_detections=20,
        prediction=wanted,
    )
    model = build_model(settings, num_classes=2)
    views = (View(), View(is_mirrored=True), View(1.5), View(1.5, is_mirrored=True))
    assert model.transform.views == views
    save_artifact(
        tmp_path / "model",
        model,
        ArtifactFacts(class_names=("a", "b"), settings=settings, score_threshold=0.5),
    )
    loaded, manifest = load_model(tmp_path / "model")
    assert manifest.model == settings
    assert loaded.transform.views == views
    assert loaded.roi_heads.suppression.method == "linear"
    looked = []
    loaded.backbone.register_forward_hook(lambda _m, inputs, _o: looked.append(inputs[0].shape))
    predictor = TorchPredictor(loaded, class_names=("a", "b"), device=CPU, shortcuts=False)
    (prediction,) = predictor.predict([np.zeros((48, 64, 3), np.uint8)])
    assert len(looked) == 4
    assert np.isfinite(prediction.embedding).all()


def test_a_network_as_it_comes_has_one_view_and_hard_suppression():
    model = build()
    assert model.transform.views == (View(),)
    assert model.roi_heads.suppression.method == "off"


@pytest.mark.parametrize("wanted", [{"mirrored": True}, {"extra_scales": (2.0,)}, {"soft_nms": "linear"}])
@pytest.mark.parametrize("left_out", ["heads", "preparation"])
def test_what_torchvisions_own_parts_cannot_do_is_refused(wanted, left_out):
    settings = ModelSettings(backbone="small", weights="scratch", prediction=wanted)
    parts = [each for each in ALL_FAST_PARTS if each != left_out]
    with pytest.raises(ConfigurationError, match=f"Leave {left_out} in training.fast_parts"):
        build_model(settings, num_classes=1, fast_parts=parts)
    build_model(ModelSettings(backbone="small", weights="scratch"), num_classes=1, fast_parts=parts)


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_suppression_tells_more_and_no_score_rises(method):
    wide = {"fpn_channels": 256, "box_head_width": 1024, "max_detections": 300}
    hard, soft = (build(prediction={"soft_nms": each}, **wide) for each in ("off", method))
    with torch.inference_mode():
        (few,), (many,) = (find_regions(model, draw(1), 0.0)[0] for model in (hard, soft))
        forward = soft([draw(1)[0]])[0]
    assert len(many.boxes) > len(few.boxes)
    assert (many.scores.diff() <= 0).all()
    assert many.scores.max() <= few.scores.max() + 1e-6
    torch.testing.assert_close(forward["scores"], many.scores)
