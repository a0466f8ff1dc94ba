import numpy as np
import pytest

from monitoring.selection.views import VIEWS, View, choose_views
from tests.fakes.selection_data import SIDE_PX, answer

PIXELS = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)


def test_the_first_view_is_the_picture_itself():
    found = answer((0, 0.9, (1, 2, 5, 9)))
    assert np.array_equal(VIEWS[0].show(PIXELS), PIXELS)
    assert VIEWS[0].bring_back(found) is found


def test_what_is_found_in_a_mirrored_view_lies_mirrored_in_the_picture():
    view = View("mirrored", is_mirrored=True)
    assert np.array_equal(view.show(PIXELS), PIXELS[:, ::-1])
    back = view.bring_back(answer((1, 0.9, (1, 2, 5, 9))))
    assert back.boxes_xyxy.tolist() == [[SIDE_PX - 5, 2, SIDE_PX - 1, 9]]
    assert np.array_equal(back.masks_NHW(), answer((1, 0.9, (15, 2, 19, 9))).masks_NHW())


@pytest.mark.parametrize(("gain", "expected"), [(0.8, [0, 80, 204]), (1.25, [0, 125, 255])])
def test_a_gain_multiplies_pixels_up_to_white(gain, expected):
    pixels = np.array([[[0, 100, 255]]], np.uint8)
    assert View("lit", gain).show(pixels).tolist() == [[expected]]


def test_where_a_mirror_image_is_of_another_class_no_view_is_mirrored():
    assert not any(view.is_mirrored for view in choose_views(may_mirror=False))
    assert choose_views(may_mirror=True) == VIEWS
