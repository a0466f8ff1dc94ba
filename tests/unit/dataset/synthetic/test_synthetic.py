import json
from pathlib import Path

import numpy as np
import pytest

from dataset.coco.document import read_coco
from dataset.pictures.decoding import decode_picture
from dataset.storage.dvc_objects import pinned_md5
from dataset.synthetic.draw import Draw
from dataset.synthetic.generation import SHIFTS, build_demo_catalog, generate, stored_png
from dataset.synthetic.parts import CLASS_NAMES, OVERSAMPLING, draw_part
from dataset.synthetic.scene import photograph_scene
from maskloop.digest import digest_bytes
from maskloop.errors import ConfigurationError
from tests.fakes.dvc_hash import directory_md5

ROOT = Path(__file__).parents[4]
PINNED_NUMBERS = [854167119, 114967827, 394289215]
PINNED_FIELD = "27d4fe867de0fe86"
LOOKS = [shift for shift in SHIFTS if shift != "label_swap"]


def scene(index, shift=None):
    return photograph_scene(0, index, side_px=128, shift=shift)


@pytest.mark.slow
def test_the_default_output_ingested_is_what_data_dvc_pins(tmp_path):
    build_demo_catalog(tmp_path / "data")
    assert directory_md5(tmp_path / "data") == pinned_md5(ROOT / "data.dvc")


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        generate(tmp_path / name, num_pictures=3)
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(names) == 4
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)


def test_a_later_start_draws_the_same_scenes(tmp_path):
    generate(tmp_path / "all", num_pictures=4)
    generate(tmp_path / "end", num_pictures=2, first_index=2)
    name = "images/belt_000003.png"
    assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "end" / name).read_bytes()


def test_another_seed_is_another_stream():
    other = photograph_scene(1, 0, side_px=128, shift=None)
    assert not np.array_equal(other.pixels, scene(0).pixels)


def test_every_scene_has_parts_whose_visible_masks_never_overlap():
    for index in range(20):
        masks = scene(index).masks
        assert 1 <= len(masks) <= 5
        assert masks.sum(axis=0).max() == 1
        assert masks.sum(axis=(1, 2)).min() >= 90


def test_no_part_is_mostly_hidden_or_outside():
    """Each shows at least 60 % of what the smallest of 40 of its kind would show alone."""
    light = (-0.4, -0.5, 0.77)
    smallest_px = [
        min(draw_part(Draw(n), class_index, light).covered.sum() for n in range(40)) / OVERSAMPLING**2
        for class_index in range(len(CLASS_NAMES))
    ]
    for index in range(40):
        found = scene(index)
        for class_index, mask in zip(found.class_indices, found.masks, strict=True):
            assert mask.sum() >= 0.6 * smallest_px[class_index]


def test_all_classes_occur_often_and_nuts_washers_and_gears_have_holes():
    scenes = [scene(index) for index in range(40)]
    counts = np.bincount([c for s in scenes for c in s.class_indices], minlength=len(CLASS_NAMES))
    assert counts.min() >= 20
    holes = 0
    for s in scenes:
        for class_index, mask in zip(s.class_indices, s.masks, strict=True):
            rows, columns = np.nonzero(mask)
            middle = mask[int(rows.mean()), int(columns.mean())]
            holes += CLASS_NAMES[class_index] != "bolt" and not middle
    assert holes > 0.5 * counts[1:].sum()


@pytest.mark.parametrize("shift", LOOKS)
def test_a_shift_changes_the_look_and_leaves_parts_and_masks(shift):
    usual, shifted = scene(5), scene(5, shift)
    assert usual.class_indices == shifted.class_indices
    assert np.array_equal(usual.masks, shifted.masks)
    assert np.abs(usual.pixels.astype(int) - shifted.pixels).mean() > 3


def test_the_label_swap_changes_labels_only(tmp_path):
    usual = json.loads(generate(tmp_path / "a", num_pictures=6).read_text())
    swapped = json.loads(generate(tmp_path / "b", num_pictures=6, shift="label_swap").read_text())
    pairs = {
        (a["category_id"], b["category_id"])
        for a, b in zip(usual["annotations"], swapped["annotations"], strict=True)
    }
    assert pairs == {(1, 1), (2, 3), (3, 2), (4, 4)}
    assert all(
        (tmp_path / "a" / "images" / image["file_name"]).read_bytes()
        == (tmp_path / "b" / "images" / image["file_name"]).read_bytes()
        for image in usual["images"]
    )


def test_an_unknown_shift_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="new_camera"):
        generate(tmp_path, shift="earthquake")


def test_the_annotations_are_coco(tmp_path):
    coco = read_coco(generate(tmp_path, num_pictures=2, progress=lambda done, total: None))
    assert [category["name"] for category in coco.categories] == list(CLASS_NAMES)
    assert [image["file_name"] for image in coco.images] == ["belt_000000.png", "belt_000001.png"]
    assert all((tmp_path / "images" / image["file_name"]).is_file() for image in coco.images)


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 7, 3), (300, 200, 3)])
def test_stored_pngs_are_read_by_any_decoder(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(decode_picture(stored_png(pixels), max_mpx=1), pixels)


class TestDraw:
    def test_the_stream_is_fixed_for_ever(self):
        draw = Draw(1, 2, 3)
        numbers = [draw.integer(0, 10**9) for _ in range(3)]
        field = Draw(7).clouds(20, 30, 8)
        assert numbers == PINNED_NUMBERS
        assert digest_bytes((field * 2**20).astype("<i8").tobytes())[:16] == PINNED_FIELD

    def test_noise_is_uniform(self):
        noise = Draw(1).noise(200, 200)
        assert noise.min() >= 0.0
        assert noise.max() < 1.0
        assert noise.mean() == pytest.approx(0.5, abs=0.01)
        assert Draw(2).grain(200, 200).std() == pytest.approx(1.0, abs=0.02)
