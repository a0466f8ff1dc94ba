"""The validation loss is the training's own loss, without a gradient, chance, or anything learned from it."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from maskloop.masks import encode_masks
from models.loading.batches import TrainingBatch
from models.loading.examples import read_example
from models.network.build import build_model
from models.operations.mask_targets import make_target
from models.training.determinism import seeded
from models.training.training_loop import train
from models.validation.loss import MAX_PICTURES, measure_losses

CPU = torch.device("cpu")
PARTS = ("loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg")


def measured(shapes, model, pictures, **training):
    settings = shapes.tiny_settings(precision="fp32", **training).training
    return measure_losses(
        model, pictures, lambda picture: shapes.draw(int(picture.file[:-4]))[0], training=settings, device=CPU
    )


def drawing_all(settings):
    """Settings under which every anchor and every proposal is drawn, so that chance has no part."""
    return settings.model.model_copy(update={"anchors_per_picture": 2**20, "rois_per_picture": 2**12})


def test_it_is_the_loss_of_a_training_step_on_the_same_pictures(shapes):
    """A step of a network whose norms have no statistics of a batch, where every region is drawn."""
    torch.manual_seed(0)
    settings = shapes.tiny_settings()
    model = build_model(drawing_all(settings).model_copy(update={"norm": "group"}), num_classes=2)
    pictures = [shapes.make_picture(index) for index in range(4)]
    batch = as_batch(shapes, pictures)
    with torch.no_grad(), seeded(0, 0):
        step = model.train()(batch.images, batch.targets)
    validation = measured(shapes, model.eval(), pictures, batch_size=4)
    assert validation == pytest.approx({name: float(loss) for name, loss in step.items()}, rel=1e-5)
    assert set(validation) == set(PARTS)


def as_batch(shapes, pictures):
    examples = [read_example(each, shapes.draw(int(each.file[:-4]))[0]) for each in pictures]
    targets = [
        make_target(each.crops, each.labels, height_px=each.size_px[0], width_px=each.size_px[1])
        for each in examples
    ]
    images = [torch.from_numpy(each.pixels.copy()).permute(2, 0, 1) for each in examples]
    return TrainingBatch(images, targets, tuple(each.name for each in pictures))


def test_it_draws_nothing_from_torchs_generator_and_is_the_same_again(shapes, tiny_model):
    pictures = [shapes.make_picture(index) for index in range(5)]
    model = tiny_model.eval()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    weights = {name: each.clone() for name, each in model.state_dict().items()}
    first = measured(shapes, model, pictures)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert measured(shapes, model, pictures) == first
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(weights[name], each) for name, each in model.state_dict().items())
    assert all(each.grad is None for each in model.parameters())


@pytest.mark.parametrize("fast_parts", [(), ("heads",), ("proposals", "preparation")])
def test_a_network_of_torchvisions_own_parts_has_the_same_loss(shapes, fast_parts):
    settings = drawing_all(shapes.tiny_settings())
    torch.manual_seed(0)
    ours = build_model(settings, num_classes=2).eval()
    stock = build_model(settings, num_classes=2, fast_parts=fast_parts).eval()
    stock.load_state_dict(ours.state_dict())
    pictures = [shapes.make_picture(index) for index in range(3)]
    state = torch.get_rng_state()
    assert measured(shapes, stock, pictures) == pytest.approx(measured(shapes, ours, pictures), rel=1e-4)
    assert torch.equal(torch.get_rng_state(), state)


def test_it_is_the_mean_over_the_first_pictures_alone(shapes, tiny_model):
    pictures = [shapes.make_picture(index) for index in range(MAX_PICTURES + 3)]
    model = tiny_model.eval()
    assert measured(shapes, model, pictures) == measured(shapes, model, pictures[:MAX_PICTURES])


def test_what_lies_in_a_crowd_region_of_a_validation_picture_counts_for_nothing(shapes):
    """Everything but the instance is a crowd: no background is left to be wrong about.

    At 64 px a side there is no padding, which would be background beside the crowd.
    """
    torch.manual_seed(0)
    settings = drawing_all(shapes.tiny_settings()).model_copy(update={"min_size_px": 64, "max_size_px": 64})
    model = build_model(settings, num_classes=2).eval()
    picture = shapes.make_picture(0)
    (one,) = picture.instances
    whole = encode_masks(np.ones((1, shapes.SIDE_PX, shapes.SIDE_PX), dtype=bool))[0]
    crowded = dataclasses.replace(
        picture, instances=(one, dataclasses.replace(one, mask=whole, is_crowd=True))
    )
    with torch.no_grad():
        model.rpn.head.cls_logits.bias.fill_(20.0)  # every anchor is held for an object
    plain, ignoring = measured(shapes, model, [picture]), measured(shapes, model, [crowded])
    assert plain["loss_objectness"] > 5.0
    assert ignoring["loss_objectness"] < 1e-3


def test_a_training_that_learns_by_heart_shows_it(shapes, tmp_path):
    """One training picture, whose loss falls below that of the validation pictures."""
    dataset = shapes.make_dataset(num_train=1, num_val=4)
    settings = shapes.tiny_settings(evaluate_every_steps=30)
    request = shapes.make_request(tmp_path, settings, steps=60, dataset=dataset)
    result = train(request, load_picture=shapes.load_picture)
    last = result.history[-1]
    assert math.isfinite(last["loss/total"])
    assert last["training_loss"] < last["loss/total"]
    assert last["loss/total"] == pytest.approx(
        sum(last[f"loss/{name.removeprefix('loss_')}"] for name in PARTS)
    )
