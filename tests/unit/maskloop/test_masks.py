"""The guard in front of pycocotools: whatever crashed, hung or misled it is refused before it gets there."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maskloop.errors import MaskError
from maskloop.masks import (
    Rle,
    areas_px,
    boxes_xyxy,
    crop_mask,
    decode_masks,
    encode_masks,
    mask_iou,
    place_mask,
    place_masks,
    rle_from_coco,
    unite_masks,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pycocotools import mask as pycocotools_mask

TRIANGLE = [1, 1, 9, 1, 5, 9]
mask_batches = arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, max_side=12))


def rle(size, counts):
    return {"size": size, "counts": counts}


# --- what killed pycocotools (the letters are those of the fault catalogue) ----------------------------

CRAFTED = {
    "P1 null": ([[0, 0, None, 0, 10, 10]], 20, 20),
    "P1 nan": ([[0, 0, float("nan"), 0, 10, 10]], 20, 20),
    "P1 infinity": ([[0, 0, float("inf"), 0, 10, 10]], 20, 20),
    "P1 minus infinity": ([[0, 0, float("-inf"), 0, 10, 10]], 20, 20),
    "P1 1e308": ([[0, 0, 1e308, 0, 10, 10]], 20, 20),
    "P1 whole number beyond a float": ([[0, 0, 10**400, 0, 10, 10]], 20, 20),
    "P2 far away": ([[0, 0, 4e8, 0, 4e8, 3, 0, 3]], 20, 20),
    "P3 ten million": ([[0, 0, 1e7, 0, 10, 10]], 20, 20),
    "P4 a million vertices": ([[0.5] * 2_000_000], 1000, 1000),
    "P4 many polygons of too many vertices together": ([[0.5] * 200_000] * 3, 1000, 1000),
    "P4 many polygons of absurd length together": ([[0, 0, 60_000, 60_000] * 50] * 4, 1000, 1000),
    "P4 outline of absurd length": ([[0, 0, 60_000, 60_000] * 200], 1000, 1000),
    "R1 number goes on": (rle([4, 4], "P"), 4, 4),
    "R1 number goes on, bytes": (rle([4, 4], b"1o"), 4, 4),
    "R2 huge runs": (rle([4, 4], [0, 0, 0] + [0, 0, 2**31, 2**31] * 5000), 4, 4),
    "R2 one beyond 64 bits": (rle([4, 4], [2**70]), 4, 4),
    "R3 too short": (rle([256, 256], "01"), 256, 256),
    "R3 empty": (rle([256, 256], ""), 256, 256),
    "R3 empty list": (rle([256, 256], []), 256, 256),
    "R4 a million squared": (rle([2**20, 2**20], "01"), 2**20, 2**20),
    "R5 65536 squared": (rle([65536, 65536], "oooo3oooo3"), 65536, 65536),
    "I1 sum too small": (rle([4, 4], [5, 5]), 4, 4),
    "I1 sum too large": (rle([4, 4], [10, 10]), 4, 4),
    "I3 more runs than pixels": (rle([1, 1], "0" * 100_000), 1, 1),
    "I3 more runs than pixels, list": (rle([1, 1], [0] * 100_000 + [1]), 1, 1),
    "I5 2^31 squared": (rle([2**31, 2**31], "0"), 2**31, 2**31),
    "B1 no pixels": (rle([0, 0], [0, 3]), 0, 0),
    "B1 height beyond 32 bits": (rle([2**32, 1], [0, 3]), 2**32, 1),
    "B2 three numbers": ([[0.0, 0.0, 4.0]], 20, 20),
    "B2 no numbers": ([[]], 20, 20),
    "B2 array": (np.array([[0.0, 0.0, 4.0]]), 20, 20),
    "two points": ([[0, 0, 4, 4]], 20, 20),
    "odd": ([[0, 0, 4, 4, 2, 8, 1]], 20, 20),
    "no polygons": ([], 20, 20),
    "nested": ([[[0, 0], [4, 4], [2, 8]]], 20, 20),
    "text": (["0,0,4,4,2,8"], 20, 20),
    "text numbers": ([["0", "0", "4", "0", "4", "4"]], 20, 20),
    "boolean": ([[0, 0, True, 0, 4, 4]], 20, 20),
    "nothing": (None, 20, 20),
    "size of another picture": (rle([4, 5], [20]), 5, 4),
    "size missing": ({"counts": [20]}, 4, 5),
    "size is text": (rle("45", [20]), 4, 5),
    "counts missing": ({"size": [4, 5]}, 4, 5),
    "negative run": (rle([4, 4], [20, -4]), 4, 4),
    "fraction": (rle([4, 4], [8.0, 8.0]), 4, 4),
    "boolean run": (rle([1, 1], [True]), 1, 1),
    "character below": (rle([4, 4], "/@"), 4, 4),
    "character above": (rle([4, 4], "p@"), 4, 4),
    "not ascii": (rle([4, 4], "é"), 4, 4),
    "seven characters a number": (rle([4, 4], "PPPPPPPP0"), 4, 4),
    "picture height is a fraction": ([TRIANGLE], 20.0, 20),
    "picture height is boolean": ([TRIANGLE], True, 20),
}


@pytest.mark.parametrize(("segmentation", "height", "width"), CRAFTED.values(), ids=CRAFTED.keys())
def test_crafted_input_raises_a_mask_error(segmentation, height, width):
    with pytest.raises(MaskError):
        rle_from_coco(segmentation, height, width)


@pytest.mark.parametrize(
    ("height", "width"), [(0, 4), (4, 0), (32_769, 1), (20_000, 20_000), ("4", 4), (-1, -1)]
)
def test_sizes_no_picture_has_are_refused(height, width):
    with pytest.raises(MaskError):
        Rle.checked(height, width, "@")


@pytest.mark.parametrize("shape", [(4, 4), (0, 0, 4), (1, 4, 0), (1, 1, 40_000)])
def test_arrays_that_are_no_masks_are_refused(shape):
    with pytest.raises(MaskError):
        encode_masks(np.zeros(shape, dtype=bool))


def test_masks_of_different_sizes_are_never_mixed():
    """pycocotools would decode them shifted, and overlap them for ever (I1, I2)."""
    small, large = encode_masks(np.ones((1, 2, 2)))[0], encode_masks(np.ones((1, 3, 3)))[0]
    for attempt in (lambda: decode_masks([small, large]), lambda: mask_iou([small], [large])):
        with pytest.raises(MaskError, match="different sizes"):
            attempt()


def test_no_masks_are_nothing_and_reach_no_native_code():
    """R6, I4, I5: pycocotools reads beyond its buffers there."""
    one = encode_masks(np.ones((1, 2, 2)))
    assert encode_masks(np.zeros((0, 3, 4))) == ()
    assert decode_masks([], height_px=3, width_px=4).shape == (0, 3, 4)
    assert areas_px([]).shape == (0,)
    assert boxes_xyxy([]).shape == (0, 4)
    assert mask_iou([], one).shape == (0, 1)
    assert mask_iou(one, []).shape == (1, 0)


# --- what must go through ---------------------------------------------------------------------------


@given(mask_batches)
def test_masks_come_back_as_they_went(masks):
    rles = encode_masks(masks)
    np.testing.assert_array_equal(decode_masks(rles), masks)
    np.testing.assert_array_equal(areas_px(rles), masks.sum(axis=(1, 2)))


@given(mask_batches)
def test_everything_pycocotools_encodes_is_accepted_as_text_and_bytes(masks):
    for mask, plain in zip(masks, encode_masks(masks), strict=True):
        native = pycocotools_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        height_px, width_px = mask.shape
        assert Rle.checked(height_px, width_px, native["counts"]) == plain
        assert rle_from_coco(json.loads(json.dumps(plain.to_coco())), height_px, width_px) == plain
        assert areas_px([plain])[0] == pycocotools_mask.area(native)
        x, y, width, height = pycocotools_mask.toBbox(native)
        np.testing.assert_array_equal(boxes_xyxy([plain])[0], [x, y, x + width, y + height])


@given(mask_batches)
def test_uncompressed_runs_mean_the_same(masks):
    for mask, plain in zip(masks, encode_masks(masks), strict=True):
        assert rle_from_coco(rle([*mask.shape], uncompressed(mask)), *mask.shape) == plain


def uncompressed(mask):
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(pixels)) + 1
    runs = np.diff([0, *changes, len(pixels)]).tolist()
    return [0, *runs] if pixels[0] else runs


def test_large_masks_with_long_runs_come_back():
    """Numbers of five characters, negative differences, and both directions of change."""
    masks = np.zeros((2, 3000, 2000), dtype=bool)
    masks[0, 100:2900:7, 300:1500] = True
    masks[1, :, 1999] = True
    np.testing.assert_array_equal(
        decode_masks([Rle.checked(3000, 2000, r.counts) for r in encode_masks(masks)]), masks
    )


def test_any_nonzero_value_is_foreground():
    """pycocotools splits a mask of 0 and 255 into two regions."""
    values = np.array([[[0, 255], [1, 0]]], dtype=np.uint8)
    np.testing.assert_array_equal(decode_masks(encode_masks(values)), values != 0)


def test_more_masks_than_fit_a_byte_have_areas():
    """pycocotools 2.0.11 raises OverflowError from 256 masks on."""
    masks = np.tri(600, 16, dtype=bool)[:, None, :]
    np.testing.assert_array_equal(areas_px(encode_masks(masks)), masks.sum(axis=(1, 2)))


@given(mask_batches, st.randoms(use_true_random=False))
def test_iou_is_that_of_the_pixels_and_a_crowd_counts_the_first_area_only(masks, random):
    rles, crowd = encode_masks(masks), [random.random() < 0.5 for _ in masks]
    flat = masks.reshape(len(masks), -1).astype(np.int64)
    shared, area = flat @ flat.T, flat.sum(axis=1)
    union = np.where(crowd, area[:, None], area[:, None] + area - shared)
    expected = np.divide(shared, union, out=np.zeros(shared.shape), where=shared > 0)
    np.testing.assert_allclose(mask_iou(rles, rles, crowd), expected, atol=1e-12)


def test_polygons_are_merged_into_one_mask():
    both = decode_masks([rle_from_coco([[0, 0, 4, 0, 4, 4, 0, 4], [6, 6, 10, 6, 10, 10, 6, 10]], 12, 12)])[0]
    assert both.sum() == 32
    assert both[:4, :4].all()
    assert both[6:10, 6:10].all()


@given(mask_batches)
def test_a_union_holds_the_pixels_of_any_mask(masks):
    if len(masks):
        assert np.array_equal(decode_masks([unite_masks(encode_masks(masks))])[0], masks.any(axis=0))


def test_polygons_reaching_out_of_the_picture_are_cut_off():
    assert areas_px([rle_from_coco([[-50, -50, 50, -50, 50, 50, -50, 50]], 10, 10)])[0] == 100


@given(st.lists(st.floats(-200, 200), min_size=6, max_size=16).filter(lambda numbers: len(numbers) % 2 == 0))
def test_any_sensible_polygon_is_accepted_and_stays_in_the_picture(polygon):
    area = areas_px([rle_from_coco([polygon], 30, 40)])[0]
    assert 0 <= area <= 1200


# --- fuzz -------------------------------------------------------------------------------------------


def decoded_one_by_one(counts):
    """The same decoding, spelt out character by character; None where the text is malformed."""
    runs: list[int] = []
    value, shift = 0, 0
    for character in counts:
        bits = character - 48
        if not 0 <= bits <= 63 or shift >= 30:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        value -= (1 << shift) if bits & 16 else 0
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    return runs if shift == 0 else None


@settings(max_examples=3000, deadline=None)
@given(
    st.one_of(st.binary(max_size=30), st.lists(st.integers(48, 111), max_size=30).map(bytes)),
    st.integers(1, 12),
    st.integers(1, 12),
)
def test_random_counts_never_crash_and_are_accepted_only_if_they_add_up(counts, height, width):
    runs = decoded_one_by_one(counts)
    fits = bool(runs) and min(runs) >= 0 and sum(runs) == height * width and len(runs) <= height * width + 1
    try:
        accepted = Rle.checked(height, width, counts)
    except MaskError:
        assert not fits
    else:
        assert fits
        assert areas_px([accepted])[0] == sum(runs[1::2]) == decode_masks([accepted]).sum()


@settings(max_examples=1000, deadline=None)
@given(mask_batches, st.data())
def test_a_damaged_code_is_refused_or_still_adds_up(masks, data):
    """Almost-right text gets further than random bytes."""
    height, width = masks.shape[1:]
    counts = bytearray(encode_masks(masks[:1])[0].counts)
    position = data.draw(st.integers(0, len(counts) - 1))
    counts[position] = data.draw(st.integers(48, 111))
    try:
        accepted = Rle.checked(height, width, bytes(counts))
    except MaskError:
        return
    assert sum(decoded_one_by_one(bytes(counts))) == height * width
    assert 0 <= mask_iou([accepted], encode_masks(masks[:1]))[0, 0] <= 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.sampled_from(["size", "counts"]), inner),
    max_leaves=20,
)


@settings(max_examples=1000, deadline=None)
@given(json_values)
def test_anything_json_can_hold_is_a_mask_or_a_mask_error(value):
    try:
        accepted = rle_from_coco(value, 4, 4)
    except MaskError:
        return
    assert 0 <= areas_px([accepted])[0] <= 16


# --- parts of large pictures -----------------------------------------------------------------------------


@given(masks=mask_batches)
def test_a_mask_taken_out_of_a_picture_and_put_back_is_the_same(masks):
    height, width = masks.shape[1:]
    for mask, one in zip(masks, encode_masks(masks), strict=True):
        left, top, pixels = crop_mask(one)
        rows, columns = pixels.shape
        assert pixels.sum() == mask.sum()
        assert (pixels == mask[top : top + rows, left : left + columns]).all()
        placed = place_mask(pixels, left_px=left, top_px=top, height_px=height, width_px=width)
        assert placed == one


@given(mask=arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=8)), left=st.integers(0, 5))
def test_a_small_mask_lies_where_it_was_put(mask, left):
    height, width = mask.shape[0] + 3, mask.shape[1] + 5
    whole = np.zeros((height, width), bool)
    whole[2 : 2 + mask.shape[0], left : left + mask.shape[1]] = mask
    placed = place_mask(mask, left_px=left, top_px=2, height_px=height, width_px=width)
    assert placed == encode_masks(whole[None])[0]


@given(masks=mask_batches, rows=st.integers(0, 2), columns=st.integers(0, 2))
def test_small_masks_put_at_once_are_those_put_one_by_one(masks, rows, columns):
    size = {"height_px": masks.shape[1] + rows, "width_px": masks.shape[2] + columns}
    parts = [(columns, rows, mask) for mask in masks]
    one_by_one = tuple(place_mask(mask, left_px=columns, top_px=rows, **size) for mask in masks)
    assert place_masks(iter(parts), **size) == one_by_one
    whole = np.zeros((len(masks), size["height_px"], size["width_px"]), bool)
    whole[:, rows:, columns:] = masks
    assert one_by_one == encode_masks(whole)


def test_no_small_masks_and_empty_ones_are_nothing():
    assert place_masks([], height_px=4, width_px=4) == ()
    nothing = encode_masks(np.zeros((1, 4, 4), bool))
    for shape in ((0, 0), (0, 3), (3, 0)):
        assert place_masks([(1, 1, np.zeros(shape, bool))], height_px=4, width_px=4) == nothing


def test_a_mask_is_not_put_outside_the_picture():
    for left, top in ((-1, 0), (0, -1), (3, 0), (0, 3)):
        with pytest.raises(MaskError, match="inside the picture"):
            place_mask(np.ones((2, 2), bool), left_px=left, top_px=top, height_px=4, width_px=4)
