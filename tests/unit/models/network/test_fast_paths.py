"""Nothing falls back in silence: with settings as they come, the slow ways are never taken.

Each slow function is watched while our network predicts, learns or is evaluated, and must not be called; and
while the stock network does the same, where it must be, so that what is watched is really the slow way.
"""

import importlib
from functools import wraps

import numpy as np
import pytest
import torch
from torchvision.ops.misc import FrozenBatchNorm2d

from benchmarks.speed.evaluate import draw_instances, run_coco_eval
from evaluation.model_evaluation import evaluate
from models.answering.predictor import TorchPredictor
from models.devices import computes_bf16
from models.network.build import build_model, build_stock_model
from models.training.run import Run
from models.training.training_loop import train
from tests.unit.models.training.test_training_step import draw_batch, make_settings, to_dense

DETECTION = "torchvision.models.detection"
ALWAYS_SLOW = (
    f"{DETECTION}.anchor_utils:AnchorGenerator.forward",
    f"{DETECTION}.transform:_resize_image_and_masks",
    "torchvision.ops.misc:FrozenBatchNorm2d.forward",
)
SLOW_IN_PREDICTION = (
    *ALWAYS_SLOW,
    f"{DETECTION}.transform:paste_masks_in_image",
    f"{DETECTION}.roi_heads:maskrcnn_inference",
    f"{DETECTION}.roi_heads:RoIHeads.forward",
    "torchvision.ops.poolers:MultiScaleRoIAlign.forward",
)
SLOW_IN_TRAINING = (
    *ALWAYS_SLOW,
    f"{DETECTION}.transform:GeneralizedRCNNTransform.normalize",
    f"{DETECTION}.transform:GeneralizedRCNNTransform.batch_images",
    f"{DETECTION}.rpn:RegionProposalNetwork.forward",
    f"{DETECTION}.rpn:RegionProposalNetwork.compute_loss",
    f"{DETECTION}.roi_heads:project_masks_on_boxes",
    f"{DETECTION}.roi_heads:RoIHeads.select_training_samples",
    f"{DETECTION}._utils:Matcher.__call__",
    f"{DETECTION}._utils:BalancedPositiveNegativeSampler.__call__",
)
SHARED_WITH_PREDICTION = {
    f"{DETECTION}.transform:GeneralizedRCNNTransform.normalize",
    f"{DETECTION}.transform:GeneralizedRCNNTransform.batch_images",
    f"{DETECTION}.rpn:RegionProposalNetwork.forward",
}
"""Slow in training alone, and how a prediction prepares its few pictures."""
SHARED_WITH_TRAINING = {"torchvision.ops.poolers:MultiScaleRoIAlign.forward"}
"""Slow on the CPU without a gradient alone."""
SLOW_IN_EVALUATION = ("pycocotools.cocoeval:COCOeval.evaluate", "pycocotools.cocoeval:COCOeval.computeIoU")
SIDE_PX = 64
SETTINGS = make_settings("resnet18", min_score=0.0, max_detections=5)


@pytest.fixture
def watch(monkeypatch):
    """Watch functions, written ``module:name``; returns how often each was called, if it was."""
    calls: dict[str, int] = {}

    def watch_one(place):
        module, _, path = place.partition(":")
        *owners, name = path.split(".")
        owner = importlib.import_module(module)
        for each in owners:
            owner = getattr(owner, each)
        original = getattr(owner, name)

        @wraps(original)
        def counted(*args, **named):
            calls[place] = calls.get(place, 0) + 1
            return original(*args, **named)

        monkeypatch.setattr(owner, name, counted)

    def watch_all(*places):
        for place in places:
            watch_one(place)
        return calls

    return watch_all


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return build_stock_model(SETTINGS, num_classes=3), build_model(SETTINGS, num_classes=3, pretrained=False)


@pytest.fixture
def request_to_train(shapes, tmp_path):
    """Build a request for one step of a network with the usual norms, over pictures of the network's size."""

    def build(**training):
        settings = shapes.tiny_settings(**training)
        model = settings.model.model_copy(
            update={"backbone": "resnet18", "norm": "frozen_batch", "anchor_sizes_px": ()}
        )
        return shapes.make_request(tmp_path, settings.model_copy(update={"model": model}), steps=1)

    return build


def draw_picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def predictor_of(model):
    return TorchPredictor(model, class_names=("a", "b", "c"), device=torch.device("cpu"))


# --- prediction ---------------------------------------------------------------------------------------


def test_prediction_takes_no_slow_way(networks, watch):
    answer = predictor_of(networks[1])
    called = watch(*SLOW_IN_PREDICTION)
    (found,) = answer.predict([draw_picture()])
    assert len(found.detections) > 0
    assert called == {}


def test_stock_prediction_takes_all_of_them(networks, watch):
    called = watch(*SLOW_IN_PREDICTION)
    picture = torch.from_numpy(draw_picture()).permute(2, 0, 1).float() / 255
    with torch.inference_mode():
        networks[0].eval()([picture])
    assert set(called) == set(SLOW_IN_PREDICTION)


def test_anchors_are_made_once_for_pictures_of_one_size(networks, watch):
    answer = predictor_of(networks[1])
    called = watch(f"{DETECTION}.anchor_utils:AnchorGenerator.grid_anchors")
    for seed in range(3):
        answer.predict([draw_picture(seed)])
    assert list(called.values()) == [1]


def test_no_norm_is_left_in_what_answers(networks):
    """A trained norm computes too, unless it is folded away."""
    trained = build_model(make_settings("resnet18", norm="batch"), num_classes=3, pretrained=False)
    for model in (networks[1], trained):
        modules = [*predictor_of(model)._model.modules()]
        assert not any(isinstance(each, torch.nn.BatchNorm2d | FrozenBatchNorm2d) for each in modules)


@pytest.mark.skipif(not torch.backends.nnpack.is_available(), reason="this torch has no NNPACK")
def test_large_maps_are_convolved_with_fewer_products(watch):
    wide = make_settings("resnet18", fpn_channels=128, min_size_px=96, max_size_px=192)
    answer = predictor_of(build_model(wide, num_classes=3, pretrained=False))
    called = watch("torch:_nnpack_spatial_convolution")
    answer.predict([np.zeros((96, 96, 3), dtype=np.uint8)])
    assert called != {}


# --- training -----------------------------------------------------------------------------------------


def test_a_training_step_takes_no_slow_way(request_to_train, shapes, watch):
    called = watch(*SLOW_IN_TRAINING)
    run = Run(request_to_train(), torch.device("cpu"), shapes.load_picture)
    run.take_step(next(iter(run.stream.from_step(0))), None)
    assert run.state.step == 1
    assert called == {}


def test_a_stock_training_step_takes_all_of_them(networks, watch):
    called = watch(*SLOW_IN_TRAINING)
    pictures, targets = draw_batch([2], sizes=[(SIDE_PX, SIDE_PX)])
    dense = [{**to_dense(target), "boxes": target["boxes"].float()} for target in targets]
    losses = networks[0].train()([picture.float() / 255 for picture in pictures], dense)
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert set(called) == set(SLOW_IN_TRAINING)


def test_a_whole_training_with_its_evaluation_takes_no_slow_way(request_to_train, shapes, watch):
    called = watch(
        *set(SLOW_IN_TRAINING) - SHARED_WITH_PREDICTION, *set(SLOW_IN_PREDICTION) - SHARED_WITH_TRAINING
    )
    result = train(request_to_train(), load_picture=shapes.load_picture)
    assert "mean_iou" in result.history[-1]
    assert called == {}


def test_pictures_travel_as_bytes_and_masks_as_crops(request_to_train, shapes):
    run = Run(request_to_train(), torch.device("cpu"), shapes.load_picture)
    batch = next(iter(run.stream.from_step(0)))
    assert {image.dtype for image in batch.images} == {torch.uint8}
    assert all(
        "masks" not in target and target["crop_pixels"].dtype == torch.uint8 for target in batch.targets
    )


def test_the_optimizer_updates_all_weights_in_one_pass(request_to_train, shapes):
    for optimizer in ("adamw", "sgd"):
        run = Run(request_to_train(optimizer=optimizer), torch.device("cpu"), shapes.load_picture)
        assert all(group["fused"] for group in run.optimizer.param_groups)


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("bf16", torch.bfloat16),
        ("fp32", torch.float32),
        ("auto", torch.bfloat16 if computes_bf16(torch.device("cpu")) else torch.float32),
    ],
)
def test_maps_are_of_the_precision_that_was_set_and_have_channels_last(
    request_to_train, shapes, precision, expected
):
    seen = []
    run = Run(request_to_train(precision=precision), torch.device("cpu"), shapes.load_picture)
    run.model.backbone.register_forward_hook(lambda _module, given, maps: seen.append((given[0], maps)))
    run.take_step(next(iter(run.stream.from_step(0))), None)
    ((batch, maps),) = seen
    assert {each.dtype for each in maps.values()} == {expected}
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in (batch, *maps.values()))
    kernels = [each for each in run.model.backbone.parameters() if each.ndim == 4]
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in kernels)


# --- evaluation ---------------------------------------------------------------------------------------


def test_an_evaluation_does_without_pycocotools_evaluator_and_decodes_no_mask(watch):
    detections, truths = draw_instances(3, num_classes=4, seed=0)
    called = watch(*SLOW_IN_EVALUATION, "maskloop.masks:decode_masks", "evaluation.instances:decode_masks")
    evaluate(detections, truths, class_names=tuple("abcd"), score_threshold=0.5)
    assert called == {}


def test_pycocotools_evaluator_is_what_was_watched(watch):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    detections, truths = draw_instances(3, num_classes=4, seed=0)
    called = watch(*SLOW_IN_EVALUATION)
    run_coco_eval(COCO, COCOeval, detections, truths, "segm")
    assert set(called) == set(SLOW_IN_EVALUATION)
