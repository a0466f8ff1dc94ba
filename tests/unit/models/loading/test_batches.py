import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dataset.labelled_pictures import LabelledInstance
from maskloop.errors import ConfigurationError, DataError
from maskloop.masks import decode_masks, encode_masks
from maskloop.settings.model_settings import AugmentationSettings, TrainingSettings
from models.loading.batches import BatchStream, PictureCache, jitter_colours, make_example
from models.operations.mask_targets import read_crops

PLAIN = TrainingSettings(horizontal_flip=0.0, vertical_flip=0.0, colour_jitter=0.0)


def _example(picture, pixels, settings, seed=0):
    return make_example(picture, pixels, settings, np.random.default_rng(seed))


def _dense(target):
    height, width = target["size_px"].tolist()
    masks = np.zeros((len(target["labels"]), height, width), bool)
    for mask, crop in zip(masks, read_crops(target), strict=True):
        left, top, right, bottom = crop.box_xyxy
        mask[top:bottom, left:right] = crop.pixels
    return masks


@pytest.fixture
def corner(shapes):
    """A picture with one instance: rows 2..4, columns 1..6."""
    mask = np.zeros((1, shapes.SIDE_PX, shapes.SIDE_PX), bool)
    mask[0, 2:5, 1:7] = True
    instance = LabelledInstance(1, encode_masks(mask)[0])
    return dataclasses.replace(shapes.make_picture(0), instances=(instance,))


def test_a_target_has_tight_boxes_and_labels_from_one(shapes, corner):
    pixels = shapes.draw(0)[0]
    image, target = _example(corner, pixels, PLAIN)
    assert target["boxes"].tolist() == target["crop_boxes"].tolist() == [[1.0, 2.0, 7.0, 5.0]]
    assert target["labels"].tolist() == [2]
    assert target["crop_pixels"].tolist() == [1] * 18
    assert target["size_px"].tolist() == [shapes.SIDE_PX] * 2
    np.testing.assert_array_equal(image.numpy(), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("flips", "box"),
    [
        ({"horizontal_flip": 1.0}, [41.0, 2.0, 47.0, 5.0]),
        ({"vertical_flip": 1.0}, [1.0, 43.0, 7.0, 46.0]),
    ],
)
def test_a_flip_turns_picture_masks_and_boxes_together(shapes, corner, flips, box):
    pixels = shapes.draw(0)[0]
    settings = PLAIN.model_copy(update=flips)
    image, target = _example(corner, pixels, settings)
    axis = 2 if "horizontal_flip" in flips else 1
    np.testing.assert_array_equal(image.numpy(), np.flip(pixels.transpose(2, 0, 1), axis))
    assert target["boxes"].tolist() == target["crop_boxes"].tolist() == [box]


@given(seed=st.integers(0, 1000))
def test_a_flipped_crop_is_the_flipped_mask_in_its_tight_box(shapes, seed):
    settings = TrainingSettings(horizontal_flip=1.0, vertical_flip=seed % 2, colour_jitter=0.0)
    pixels, mask, _ = shapes.draw(seed)
    _, target = _example(shapes.make_picture(seed), pixels, settings, seed)
    expected = np.flip(mask[0], (0, 1) if seed % 2 else 1)
    rows, columns = np.nonzero(expected)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert target["boxes"][0].tolist() == box
    crop = expected[box[1] : box[3], box[0] : box[2]]
    assert target["crop_pixels"].tolist() == crop.ravel().astype(int).tolist()


def test_crowds_and_empty_masks_are_not_targets(shapes, corner):
    empty = LabelledInstance(0, encode_masks(np.zeros((1, shapes.SIDE_PX, shapes.SIDE_PX)))[0])
    crowd = dataclasses.replace(corner.instances[0], is_crowd=True)
    picture = dataclasses.replace(corner, instances=(empty, crowd))
    _, target = _example(picture, shapes.draw(0)[0], PLAIN)
    assert target["boxes"].shape == (0, 4)
    assert target["crop_pixels"].shape == (0,)


def test_colours_are_jittered_and_stay_in_range(shapes, corner):
    pixels = shapes.draw(0)[0]
    plain, _ = _example(corner, pixels, PLAIN)
    jittered, _ = _example(corner, pixels, PLAIN.model_copy(update={"colour_jitter": 0.5}))
    assert not torch.equal(plain, jittered)
    assert jittered.dtype == torch.uint8


@pytest.mark.parametrize("strength", [0.05, 0.5, 1.0])
def test_jittered_colours_are_the_exact_ones_rounded(shapes, strength):
    pixels = shapes.draw(0)[0]
    contrast, brightness, *channels = np.random.default_rng(3).uniform(1 - strength, 1 + strength, 5)
    exact = ((pixels - pixels.mean()) * contrast + pixels.mean()) * channels * brightness
    jittered = jitter_colours(pixels, strength, np.random.default_rng(3))
    np.testing.assert_allclose(jittered, exact.clip(0, 255), atol=0.5 + 1e-9)


def test_a_cached_picture_is_not_shared_with_the_batch(shapes, corner):
    pixels = shapes.draw(0)[0]
    pixels.flags.writeable = False
    image, _ = _example(corner, pixels, PLAIN)
    image.zero_()
    assert pixels.any()


def test_a_batch_follows_from_seed_and_step_alone(shapes):
    dataset = shapes.make_dataset()
    plan = [dataset.pictures[:3]] * 4
    settings = TrainingSettings(vertical_flip=0.5)
    stream = BatchStream(PictureCache(dataset, shapes.load_picture), plan, settings)
    whole, resumed = list(stream.from_step(0)), list(stream.from_step(2))
    for one, other in zip(whole[2:], resumed, strict=True):
        assert all((a == b).all() for a, b in zip(one.images, other.images, strict=True))
    assert not all((a == b).all() for a, b in zip(whole[0].images, whole[1].images, strict=True))


def test_pictures_are_read_once_while_there_is_room(shapes):
    dataset, reads = shapes.make_dataset(), []

    def load(path):
        reads.append(path)
        return shapes.load_picture(path)

    one_picture_bytes = shapes.SIDE_PX**2 * 3
    cache = PictureCache(dataset, load, limit_bytes=one_picture_bytes)
    for _ in range(2):
        for picture in dataset.pictures[:2]:
            cache.pixels(picture)
    assert len(reads) == 3  # the first is kept, the second read twice


def test_a_picture_of_another_size_than_recorded_is_refused(shapes):
    cache = PictureCache(shapes.make_dataset(), lambda _: np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(DataError, match="not as recorded"):
        cache.pixels(shapes.make_picture(0))


@given(seed=st.integers(0, 300))
def test_by_default_an_example_is_what_flips_and_colours_make_of_the_dense_masks(shapes, seed):
    """The same draws in the same order as ever, so that a training gives the weights it gave before."""
    picture, pixels = shapes.make_picture(seed), shapes.draw(seed)[0]
    settings = TrainingSettings(horizontal_flip=0.5, vertical_flip=0.5, colour_jitter=0.3)
    image, target = _example(picture, pixels, settings, seed)
    random, masks = np.random.default_rng(seed), decode_masks([picture.instances[0].mask])
    for chance, axis in ((0.5, 2), (0.5, 1)):
        if random.random() < chance:
            pixels, masks = np.flip(pixels, axis - 1), np.flip(masks, axis)
    np.testing.assert_array_equal(image.permute(1, 2, 0), jitter_colours(pixels, 0.3, random))
    np.testing.assert_array_equal(_dense(target), masks)


def test_instances_are_pasted_from_other_pictures_of_the_plan(shapes):
    dataset = shapes.make_dataset(num_train=2, num_val=0)
    settings = PLAIN.model_copy(update={"augmentation": AugmentationSettings(copy_paste=1.0)})
    stream = BatchStream(
        PictureCache(dataset, shapes.load_picture),
        [[dataset.pictures[0]], [dataset.pictures[1]]] * 20,
        settings,
    )
    labels = [stream.make(step).targets[0]["labels"].tolist() for step in range(0, 40, 2)]
    own = dataset.pictures[0].instances[0].class_index + 1
    other = dataset.pictures[1].instances[0].class_index + 1
    assert [own] in labels
    assert any(other in each for each in labels)


def test_every_variant_is_a_target_that_torchvision_takes(shapes):
    extra = AugmentationSettings(scale_range=(0.5, 2.0), crop=0.5, copy_paste=0.5, mosaic=0.5)
    dataset = shapes.make_dataset()
    settings = TrainingSettings(vertical_flip=0.5, augmentation=extra)
    stream = BatchStream(PictureCache(dataset, shapes.load_picture), [dataset.pictures] * 5, settings)
    for step in range(5):
        batch = stream.make(step)
        for image, target in zip(batch.images, batch.targets, strict=True):
            assert _dense(target).shape == (len(target["labels"]), *image.shape[1:])
            assert (target["boxes"][:, 2:] > target["boxes"][:, :2]).all()
            assert target["boxes"].dtype == torch.float32


def test_a_mirrored_class_that_the_data_do_not_have_is_said_before_anything_is_trained(shapes):
    settings = TrainingSettings(augmentation=AugmentationSettings(mirrored_classes=(("disc", "ring"),)))
    with pytest.raises(ConfigurationError, match="no class of the data is called ring"):
        BatchStream(PictureCache(shapes.make_dataset(), shapes.load_picture), [], settings)


def test_workers_share_the_pictures_of_the_data_set_and_the_cache_as_they_are(shapes, monkeypatch):
    dataset, seen = shapes.make_dataset(), []
    cache = PictureCache(dataset, shapes.load_picture)

    def spy(picture, pixels, *args, **more):
        seen.append((picture, pixels))
        return make_example(picture, pixels, *args, **more)

    monkeypatch.setattr("models.loading.batches.make_example", spy)
    for workers in (0, 1, 4):
        settings = TrainingSettings(num_workers=workers)
        assert len(list(BatchStream(cache, [dataset.pictures[:4]] * 8, settings).from_step(0))) == 8
    own = {id(picture) for picture in dataset.pictures}
    assert {id(picture) for picture, _ in seen} <= own
    assert len({id(pixels) for _, pixels in seen[32:]}) == 4  # decoded once, in the first round


def test_no_more_batches_are_made_ahead_than_there_are_workers(shapes):
    dataset, made = shapes.make_dataset(), []

    class Counting(BatchStream):
        def make(self, step):
            made.append(step)
            return super().make(step)

    cache, settings = PictureCache(dataset, shapes.load_picture), TrainingSettings(num_workers=2)
    stream = Counting(cache, [dataset.pictures[:1]] * 50, settings).from_step(0)
    next(stream)
    stream.close()
    assert len(made) <= 3
