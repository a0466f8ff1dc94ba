import io

import numpy as np
import pytest
from PIL import Image

from evaluation.overlays import (
    choose_examples,
    choose_regressions,
    draw_overlay,
    draw_truth,
    encode_png,
    montage,
    outline,
)
from maskloop.pages.class_colours import class_colour

A, B = (3, 3, 12, 12), (10, 10, 20, 20)
GREY = np.full((20, 20, 3), 100, dtype=np.uint8)


def test_small_pictures_are_enlarged_and_the_original_stays_untouched(annotated, detected):
    picture = GREY.copy()
    drawn = draw_overlay(picture, detected((0, A, 0.9)), annotated((0, A)), ("bolt",))
    assert drawn.shape == (520, 520, 3)
    assert drawn.dtype == np.uint8
    assert (picture == GREY).all()


def test_pictures_of_512_px_keep_their_size(detected):
    from evaluation.instances import Detections

    none = Detections(
        512, 300, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ()
    )
    picture = np.full((512, 300, 3), 7, dtype=np.uint8)
    np.testing.assert_array_equal(draw_overlay(picture, none, None, ()), picture)


def test_a_detection_is_tinted_in_its_class_colour_and_the_rest_is_not(detected):
    drawn = draw_overlay(GREY, detected((2, A, 0.9)), None, ("bolt", "nut", "gear"))
    middle = drawn[26 * 7, 26 * 7].astype(int)
    expected = 100 + 0.35 * (np.array(class_colour(2)) - 100)
    assert np.abs(middle - expected).max() <= 1
    assert (drawn[26 * 18, 26 * 18] == 100).all()


@pytest.mark.parametrize("long_side_px", [40, 200])
def test_a_picture_is_drawn_as_large_as_asked_with_masks_in_their_place(detected, long_side_px):
    drawn = draw_overlay(GREY, detected((0, A, 0.9)), None, ("",), long_side_px=long_side_px)
    assert drawn.shape == (long_side_px, long_side_px, 3)
    k = long_side_px / 20
    assert (drawn[int(9 * k), int(7 * k)] != 100).any(), "inside the mask"
    assert (drawn[int(17 * k), int(17 * k)] == 100).all(), "outside"


def test_annotations_drawn_alone_have_their_class_colour_and_no_dashes(annotated):
    drawn = draw_truth(GREY, annotated((2, A)), ("bolt", "nut", "gear"))
    expected = 100 + 0.35 * (np.array(class_colour(2)) - 100)
    assert np.abs(drawn[26 * 8, 26 * 8].astype(int) - expected).max() <= 1
    assert not (drawn == 20).all(axis=2).any()
    with pytest.raises(ValueError, match="annotations"):
        draw_truth(GREY[:10], annotated((2, A)), ("bolt", "nut", "gear"))


def test_a_missed_instance_is_dashes_without_colour(annotated, detected):
    drawn = draw_overlay(GREY, detected(), annotated((0, A)), ("bolt",))
    colours = {tuple(colour) for colour in drawn.reshape(-1, 3).tolist()}
    assert colours == {(100, 100, 100), (255, 255, 255), (20, 20, 20)}


def test_labels_stay_inside_the_picture_at_every_edge(detected):
    found = detected((0, (0, 0, 2, 2), 0.9), (0, (18, 18, 20, 20), 0.8))
    assert (
        draw_overlay(GREY, found, None, ("a name much longer than the picture is wide " * 3,)).shape[0] == 520
    )


def test_crowded_pictures_are_drawn_without_labels(detected):
    found = detected(*[(0, A, 0.9)] * 41)
    assert (draw_overlay(GREY, found, None, ("bolt",))[26 * 2] == 100).all()


def test_parts_of_different_size_are_refused(detected):
    with pytest.raises(ValueError, match="differ in size"):
        draw_overlay(np.zeros((10, 20, 3), np.uint8), detected(), None, ())


def test_the_outline_of_a_square_is_its_rim():
    square = np.zeros((9, 9), dtype=bool)
    square[1:8, 1:8] = True
    rim = outline(square, width_px=2)
    assert rim.sum() == 7 * 7 - 3 * 3
    assert not rim[3:6, 3:6].any()


def test_a_montage_holds_every_picture_in_reading_order():
    pictures = [np.full((30, 40, 3), value, dtype=np.uint8) for value in (10, 20, 40)]
    sheet = montage(pictures, ["one", "two", "a caption that is far too long for its cell"], columns=2)
    cell_height, cell_width = 30 + 22 + 6, 40 + 6
    assert sheet.shape == (2 * cell_height + 6, 2 * cell_width + 6, 3)
    for value, row, column in [(10, 0, 0), (20, 0, 1), (40, 1, 0)]:
        top, left = 6 + row * cell_height, 6 + column * cell_width
        assert (sheet[top : top + 30, left : left + 40] == value).all()


def test_a_montage_of_nothing_or_without_captions_is_refused():
    with pytest.raises(ValueError, match="0 pictures"):
        montage([], [], columns=2)
    with pytest.raises(ValueError, match="1 pictures, 0 captions"):
        montage([GREY], [], columns=2)


def test_a_png_comes_back_as_it_went():
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(picture)))), picture)


def test_examples_are_ranked_by_iou_over_instances_and_false_positives(table):
    chosen = choose_examples(
        table(
            [[0.9], [0.9], [0.1], [0], [1.2], [0]],
            [[1], [1], [1], [0], [2], [0]],
            num_false_positives=[[0], [2], [0], [0], [0], [1]],
        ),
        each=2,
    )
    assert chosen.best == ("000", "004")
    assert chosen.median == ("001",)
    assert chosen.worst == ("002", "005")


@pytest.mark.parametrize(
    ("num_pictures", "sizes"), [(0, (0, 0, 0)), (1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1))]
)
def test_few_pictures_are_never_shown_twice(table, num_pictures, sizes):
    values = np.linspace(0, 1, num_pictures)[:, None]
    chosen = choose_examples(table(values, np.ones_like(values)))
    groups = (chosen.best, chosen.median, chosen.worst)
    assert tuple(map(len, groups)) == sizes
    assert len(set(sum(groups, ()))) == num_pictures


def test_the_largest_regressions_come_first_and_gains_not_at_all(table):
    ones = [[1], [1], [1], [1]]
    champion, candidate = table([[0.9], [0.9], [0.9], [0.9]], ones), table([[0.5], [0.1], [0.9], [1.0]], ones)
    assert choose_regressions(candidate, champion, count=3) == ("001", "000")
    with pytest.raises(ValueError, match="same pictures"):
        choose_regressions(candidate, table([[1]], [[1]]))
