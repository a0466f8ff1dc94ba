import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.samples import Instance
from maskloop.errors import DataError
from maskloop.masks import encode_masks
from maskloop.settings import TrainingSettings
from models.batches import BatchStream, PictureCache, make_example

PLAIN = TrainingSettings(horizontal_flip=0.0, vertical_flip=0.0, colour_jitter=0.0)


def _example(picture, pixels, settings, seed=0):
    return make_example(picture, pixels, settings, np.random.default_rng(seed))


@pytest.fixture
def corner(shapes):
    """A picture with one instance: rows 2..4, columns 1..6."""
    mask = np.zeros((1, shapes.SIDE_PX, shapes.SIDE_PX), bool)
    mask[0, 2:5, 1:7] = True
    instance = Instance(1, encode_masks(mask)[0])
    return dataclasses.replace(shapes.make_picture(0), instances=(instance,))


def test_a_target_has_tight_boxes_and_labels_from_one(shapes, corner):
    pixels = shapes.draw(0)[0]
    image, target = _example(corner, pixels, PLAIN)
    assert target["boxes"].tolist() == [[1.0, 2.0, 7.0, 5.0]]
    assert target["labels"].tolist() == [2]
    assert target["masks"].sum() == 18
    np.testing.assert_array_equal((image * 255).round().numpy(), pixels.transpose(2, 0, 1))


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
    np.testing.assert_array_equal((image * 255).round().numpy(), np.flip(pixels.transpose(2, 0, 1), axis))
    assert target["boxes"].tolist() == [box]
    x0, y0, x1, y1 = (int(side) for side in box)
    assert target["masks"][0, y0:y1, x0:x1].all()


@given(seed=st.integers(0, 1000))
def test_boxes_always_enclose_their_masks(shapes, seed):
    settings = TrainingSettings(horizontal_flip=0.5, vertical_flip=0.5)
    _, target = _example(shapes.make_picture(seed), shapes.draw(seed)[0], settings, seed)
    rows, columns = np.nonzero(target["masks"][0].numpy())
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert target["boxes"][0].tolist() == box


def test_crowds_and_empty_masks_are_not_targets(shapes, corner):
    empty = Instance(0, encode_masks(np.zeros((1, shapes.SIDE_PX, shapes.SIDE_PX)))[0])
    crowd = dataclasses.replace(corner.instances[0], is_crowd=True)
    picture = dataclasses.replace(corner, instances=(empty, crowd))
    _, target = _example(picture, shapes.draw(0)[0], PLAIN)
    assert target["boxes"].shape == (0, 4)
    assert target["masks"].shape == (0, shapes.SIDE_PX, shapes.SIDE_PX)


def test_colours_are_jittered_and_stay_in_range(shapes, corner):
    pixels = shapes.draw(0)[0]
    plain, _ = _example(corner, pixels, PLAIN)
    jittered, _ = _example(corner, pixels, PLAIN.model_copy(update={"colour_jitter": 0.5}))
    assert not np.allclose(plain, jittered)
    assert 0.0 <= jittered.min() <= jittered.max() <= 1.0


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
