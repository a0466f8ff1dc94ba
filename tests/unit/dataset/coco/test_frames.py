"""In which frame masks were drawn: on the file as stored, or as EXIF turns it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.coco.frames import DrawnOn, find_frame, leaves_guessed_frame
from dataset.coco.validation import Reading
from dataset.pictures.decoding import orient
from dataset.problems import DataProblem
from maskloop.masks import decode_masks
from tests.fakes.coco_batches import HEIGHT_PX, WIDTH_PX, annotation, coco_content, rectangle
from tests.fakes.judging import codes, found_picture, judge


@pytest.fixture
def content():
    """Three pictures, each with a bolt and a nut; nothing is wrong."""
    return coco_content(range(1, 4))


def sideways(content, orientation, width, height):
    """One picture, stored 40 x 30, turned by EXIF; annotated with the given size."""
    content["images"] = [{"id": 1, "file_name": "a.png", "width": width, "height": height}]
    content["annotations"] = [annotation(1, 1), annotation(2, 1, 2, segmentation=rectangle(20, 3))]
    upright = {"width": HEIGHT_PX, "height": WIDTH_PX} if orientation > 4 else {}
    return {"a.png": found_picture("a.png", orientation=orientation, **upright)}


def test_masks_drawn_on_the_stored_picture_are_turned_with_it(content, tmp_path):
    found = sideways(content, 6, WIDTH_PX, HEIGHT_PX)
    report = judge(content, tmp_path, found)
    mask = decode_masks([report.usable[0].instances[0].mask])[0]
    stored = np.zeros((HEIGHT_PX, WIDTH_PX), dtype=bool)
    stored[3:11, 4:14] = True
    assert codes(report) == ["masks-turned"]
    assert np.array_equal(mask, np.rot90(stored, -1))


def test_a_stored_size_is_no_proof_so_the_turn_is_a_warning_with_a_picture_and_a_way_out(content, tmp_path):
    (told,) = judge(content, tmp_path, sideways(content, 6, WIDTH_PX, HEIGHT_PX)).problems
    assert (told.severity, told.example) == ("warning", "a.png")
    assert "--frame upright" in told.hint


def test_upright_masks_beside_the_stored_size_are_taken_when_somebody_says_so(content, tmp_path):
    found = sideways(content, 6, WIDTH_PX, HEIGHT_PX)
    report = judge(content, tmp_path, found, reading=Reading(frame="upright"))
    mask = decode_masks([report.usable[0].instances[0].mask])[0]
    assert report.problems == ()
    assert mask.shape == (WIDTH_PX, HEIGHT_PX)
    assert mask[3:11, 4:14].all()


@pytest.mark.parametrize("orientation", [2, 3, 4])
@pytest.mark.parametrize("frame", ["stored", "upright"])
def test_one_word_about_the_whole_batch_settles_what_the_size_does_not_show(
    frame, orientation, content, tmp_path
):
    found = sideways(content, orientation, WIDTH_PX, HEIGHT_PX)
    report = judge(content, tmp_path, found, reading=Reading(frame=frame))
    drawn = np.zeros((HEIGHT_PX, WIDTH_PX), dtype=bool)
    drawn[3:11, 4:14] = True
    expected = orient(drawn, orientation) if frame == "stored" else drawn
    assert np.array_equal(decode_masks([report.usable[0].instances[0].mask])[0], expected)


def test_an_entrys_own_frame_counts_more_than_the_batchs(content, tmp_path):
    found = sideways(content, 3, WIDTH_PX, HEIGHT_PX)
    content["images"][0]["frame"] = "upright"
    report = judge(content, tmp_path, found, reading=Reading(frame="stored"))
    assert decode_masks([report.usable[0].instances[0].mask])[0][3:11, 4:14].all()


def test_an_unclear_frame_says_which_option_settles_it(content, tmp_path):
    (problem,) = judge(content, tmp_path, sideways(content, 3, WIDTH_PX, HEIGHT_PX)).problems
    assert "--frame stored" in problem.hint
    assert "--frame upright" in problem.hint


def test_an_outline_that_leaves_a_guessed_frame_shows_that_it_may_be_the_other_one(content, tmp_path):
    found = sideways(content, 6, WIDTH_PX, HEIGHT_PX)
    content["annotations"][1]["segmentation"] = rectangle(x=5, y=HEIGHT_PX - 4, width=8, height=12)
    report = judge(content, tmp_path, found)
    assert codes(report, "error") == ["orientation-unclear"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_label_studios_photographs_get_their_masks_back_on_the_upright_picture(
    orientation, content, tmp_path
):
    """It multiplies per cents of the upright picture by the size of the stored one."""
    found = sideways(content, orientation, WIDTH_PX, HEIGHT_PX)
    upright_width, upright_height = found["a.png"].width_px, found["a.png"].height_px
    truth = rectangle(x=6, y=8, width=12, height=16)[0]
    stretch = (WIDTH_PX / upright_width, HEIGHT_PX / upright_height)
    told = [value * stretch[place % 2] for place, value in enumerate(truth)]
    content["annotations"] = [annotation(1, 1, segmentation=[told])]
    content["info"] = {"contributor": "Label Studio"}
    report = judge(content, tmp_path, found)
    mask = decode_masks([report.usable[0].instances[0].mask])[0]
    expected = np.zeros((upright_height, upright_width), dtype=bool)
    expected[8:24, 6:18] = True
    assert np.array_equal(mask, expected)
    assert ("label-studio-photo" in codes(report, "warning")) == (orientation > 1)


def test_label_studios_photographs_are_read_as_they_stand_when_somebody_says_so(content, tmp_path):
    found = sideways(content, 6, WIDTH_PX, HEIGHT_PX)
    content["info"] = {"contributor": "Label Studio"}
    report = judge(content, tmp_path, found, reading=Reading(frame="stored"))
    assert report.problems == ()
    assert report.usable[0].instances[0].mask.height_px == WIDTH_PX


def test_masks_drawn_on_the_upright_picture_stay(content, tmp_path):
    report = judge(content, tmp_path, sideways(content, 6, HEIGHT_PX, WIDTH_PX))
    assert report.problems == ()
    assert report.usable[0].instances[0].mask.height_px == WIDTH_PX


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_a_turn_that_the_size_does_not_show_is_not_guessed(orientation, content, tmp_path):
    found = sideways(content, orientation, WIDTH_PX, HEIGHT_PX)
    assert codes(judge(content, tmp_path, found), "error") == ["orientation-unclear"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_batch_that_says_its_frame_is_taken_at_its_word(orientation, content, tmp_path):
    found = sideways(content, orientation, WIDTH_PX, HEIGHT_PX)
    content["images"][0]["frame"] = "stored"
    report = judge(content, tmp_path, found)
    stored = np.zeros((HEIGHT_PX, WIDTH_PX), dtype=bool)
    stored[3:11, 4:14] = True
    assert report.problems == ()
    mask = decode_masks([report.usable[0].instances[0].mask])[0]
    assert np.array_equal(mask, orient(stored, orientation))


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_masks_that_are_said_to_be_upright_stay(orientation, content, tmp_path):
    found = sideways(content, orientation, WIDTH_PX, HEIGHT_PX)
    content["images"][0]["frame"] = "upright"
    mask = judge(content, tmp_path, found).usable[0].instances[0].mask
    assert decode_masks([mask])[0][3:11, 4:14].all()


def test_a_frame_that_does_not_fit_the_size_is_not_believed(content, tmp_path):
    found = sideways(content, 6, 80, 60)
    content["images"][0]["frame"] = "stored"
    assert codes(judge(content, tmp_path, found), "error") == ["size-mismatch"]


def test_another_size_is_a_mismatch(content, tmp_path):
    content["images"][0] |= {"width": 80, "height": 60}
    assert codes(judge(content, tmp_path)) == ["size-mismatch"]


def test_another_size_is_shown_as_it_is_written(content, tmp_path):
    content["images"][0] |= {"width": "40 px", "height": [30]}
    (problem,) = judge(content, tmp_path).problems
    assert problem.message == "the file is 40 x 30 px, the annotations are for '40 px' x [30] px"


@pytest.mark.parametrize("missing", [None, 0, -1, 0.0, "0"])
def test_a_missing_size_is_taken_from_the_file(missing, content, tmp_path):
    content["images"][0] |= {"width": missing, "height": missing}
    del content["images"][1]["width"], content["images"][1]["height"]
    assert codes(judge(content, tmp_path)) == ["size-missing"]


def test_a_size_written_as_text_is_read_as_a_number(content, tmp_path):
    content["images"][0] |= {"width": str(WIDTH_PX), "height": f" {HEIGHT_PX}"}
    content["images"][1] |= {"width": float(WIDTH_PX)}
    report = judge(content, tmp_path)
    assert codes(report) == ["size-as-text"]
    assert len(report.usable) == 3


# --- directly: a photograph stored 40 x 30 px that EXIF turns to 30 x 40 ----------------------------------

TURNED = found_picture("a.png", width=30, height=40, orientation=6)
UPRIGHT_SIZE, STORED_SIZE = {"width": 30, "height": 40}, {"width": 40, "height": 30}


def frame_of(record, *, picture=TURNED, said=None, is_label_studio=False):
    return find_frame(record, picture, where="images[0]", said=said, is_label_studio=is_label_studio)


@pytest.mark.parametrize(
    ("record", "said", "frame", "is_guess"),
    [
        (UPRIGHT_SIZE, None, "upright", False),
        (UPRIGHT_SIZE, "stored", "stored", False),
        (STORED_SIZE, None, "stored", True),
        (STORED_SIZE, "stored", "stored", False),
        (STORED_SIZE, "upright", "upright", False),
        (STORED_SIZE | {"frame": "upright"}, "stored", "upright", False),
        (UPRIGHT_SIZE | {"frame": "stored"}, "upright", "stored", False),
        (STORED_SIZE | {"frame": "sideways"}, "upright", "upright", False),
        ({"width": 30}, None, "upright", False),
        ({"height": 30}, None, "stored", True),
    ],
)
def test_the_frame_is_what_the_entry_says_then_what_the_batch_says_then_what_the_size_shows(
    record, said, frame, is_guess
):
    drawn = frame_of(record, said=said)
    assert isinstance(drawn, DrawnOn)
    assert (drawn.frame, drawn.is_guess, drawn.stretch_xy) == (frame, is_guess, (1.0, 1.0))
    assert (drawn.width_px, drawn.height_px) == ((30, 40) if frame == "upright" else (40, 30))


@pytest.mark.parametrize(
    ("record", "codes_told"),
    [
        (UPRIGHT_SIZE, []),
        (STORED_SIZE, ["masks-turned"]),
        ({"height": 30}, ["size-missing", "masks-turned"]),
        ({"width": "40", "height": 30}, ["size-as-text", "masks-turned"]),
        ({"width": "30", "height": 40}, ["size-as-text"]),
    ],
)
def test_a_guess_and_a_size_that_was_mended_are_told(record, codes_told):
    drawn = frame_of(record)
    assert isinstance(drawn, DrawnOn)
    assert [remark.code for remark in drawn.remarks] == codes_told


def test_without_a_size_nothing_tells_the_frame_of_a_turned_picture():
    problem = frame_of({})
    assert isinstance(problem, DataProblem)
    assert (problem.code, problem.severity, problem.where) == ("orientation-unclear", "error", "images[0]")
    assert "--frame" in problem.hint


def test_a_square_picture_shows_no_turn_by_its_size():
    square = found_picture("a.png", width=30, height=30, orientation=6)
    size = {"width": 30, "height": 30}
    unclear = frame_of(size, picture=square)
    assert isinstance(unclear, DataProblem)
    assert unclear.code == "orientation-unclear"
    drawn = frame_of(size, picture=square, said="stored")
    assert isinstance(drawn, DrawnOn)
    assert (drawn.frame, drawn.is_guess) == ("stored", False)


def test_what_is_said_of_a_batch_changes_nothing_for_a_picture_that_exif_leaves_alone():
    plain = found_picture("a.png", width=40, height=30)
    drawn = frame_of(STORED_SIZE, picture=plain, said="stored")
    assert drawn == DrawnOn("upright", height_px=30, width_px=40)
    turned = frame_of(UPRIGHT_SIZE, picture=plain, said="stored")
    assert isinstance(turned, DataProblem)
    assert turned.code == "size-mismatch"


def test_label_studios_outlines_are_stretched_by_upright_over_stored_side():
    drawn = frame_of(STORED_SIZE, is_label_studio=True)
    assert isinstance(drawn, DrawnOn)
    assert (drawn.frame, drawn.width_px, drawn.height_px) == ("upright", 30, 40)
    assert drawn.stretch_xy == (30 / 40, 40 / 30)
    x, y = 40 * drawn.stretch_xy[0], 30 * drawn.stretch_xy[1]
    assert (x, y) == (30, 40), "the corner of the stored frame becomes the corner of the picture"
    assert [remark.code for remark in drawn.remarks] == ["label-studio-photo"]


@pytest.mark.parametrize("record", [UPRIGHT_SIZE, {"width": 40}])
def test_label_studios_outlines_stay_where_the_size_is_upright_or_incomplete(record):
    drawn = frame_of(record, is_label_studio=True)
    assert isinstance(drawn, DrawnOn)
    assert drawn.stretch_xy == (1.0, 1.0)


def test_an_outline_beyond_a_guessed_frame_is_an_error_that_names_the_picture():
    problem = leaves_guessed_frame("a.png", "annotations[3]")
    assert (problem.code, problem.severity) == ("orientation-unclear", "error")
    assert (problem.where, problem.picture) == ("annotations[3]", "a.png")


sides = st.sampled_from([None, 0, 30, 40, "30", 40.0, 77, "wide"])


@given(
    width=sides,
    height=sides,
    own=st.sampled_from([None, "stored", "upright", "?"]),
    said=st.sampled_from([None, "stored", "upright"]),
    orientation=st.integers(1, 8),
    is_label_studio=st.booleans(),
)
def test_a_frame_is_always_one_of_the_pictures_own_two(
    width, height, own, said, orientation, is_label_studio
):
    picture = found_picture("a.png", width=30, height=40, orientation=orientation)
    record = {"width": width, "height": height, "frame": own}
    drawn = frame_of(record, picture=picture, said=said, is_label_studio=is_label_studio)
    if isinstance(drawn, DataProblem):
        assert drawn.severity == "error"
        return
    upright, stored = (30, 40), (40, 30) if orientation > 4 else (30, 40)
    assert (drawn.width_px, drawn.height_px) == (upright if drawn.frame == "upright" else stored)
    assert not drawn.is_guess or own not in ("stored", "upright")
    assert not drawn.is_guess or said is None
    assert {77, "wide"}.isdisjoint({width, height}), "a size that fits neither frame is an error"
