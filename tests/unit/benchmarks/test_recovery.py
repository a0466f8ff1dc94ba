"""The changes of source that retrainings are measured on, and the table of what they give back."""

from __future__ import annotations

import numpy as np
from PIL import Image

from benchmarks.labelling.photographs import (
    CARPARTS_SIDE_PX,
    NUCLEI_WINDOW_PX,
    cut_the_middle,
    see_in_other_colours,
    shrink_all,
)
from benchmarks.labelling.scenarios import SCENARIOS
from benchmarks.recovery.__main__ import CHAMPION, RECIPES, to_markdown
from maskloop.masks import decode_masks, encode_masks, rle_from_coco


def test_the_middle_of_a_micrograph_keeps_what_lies_of_each_mask_in_it() -> None:
    side_px = 2 * NUCLEI_WINDOW_PX
    middle = NUCLEI_WINDOW_PX // 2
    masks = np.zeros((2, side_px, side_px), dtype=bool)
    masks[0, middle - 10 : middle + 10, middle : middle + 20] = True  # half of it above the window
    masks[1, :20, :20] = True
    annotations = [{"segmentation": mask.to_coco()} for mask in encode_masks(masks)]

    picture, outlines = cut_the_middle(Image.new("RGB", (side_px, side_px)), annotations)

    assert picture.size == (NUCLEI_WINDOW_PX, NUCLEI_WINDOW_PX)
    assert outlines[1] is None
    kept = decode_masks([rle_from_coco(outlines[0], NUCLEI_WINDOW_PX, NUCLEI_WINDOW_PX)])[0]
    assert kept[:10, :20].all()
    assert kept.sum() == 200


def test_polygons_shrink_with_their_picture() -> None:
    large = Image.new("RGB", (2 * CARPARTS_SIDE_PX, CARPARTS_SIDE_PX))

    picture, outlines = shrink_all(large, [{"segmentation": [[0, 0, 20, 0, 20, 10]]}])

    assert picture.size == (CARPARTS_SIDE_PX, CARPARTS_SIDE_PX // 2)
    assert outlines == [[[0.0, 0.0, 10.0, 0.0, 10.0, 5.0]]]


def test_other_colours_are_beyond_what_colour_jitter_does() -> None:
    """Jitter scales a channel as a line would: of three greys, the middle one stays in the middle."""
    greys = np.repeat(np.array([64, 128, 192], dtype=np.uint8)[np.newaxis, :, np.newaxis], 3, axis=2)

    seen = see_in_other_colours(greys).astype(int)

    assert (seen[0, 2] - seen[0, 1] > 1.5 * (seen[0, 1] - seen[0, 0])).all()
    assert seen[0, 1, 2] > seen[0, 1, 1] > seen[0, 1, 0]


def test_a_recipe_changes_what_it_names_and_nothing_else() -> None:
    scenario = SCENARIOS["carparts"]
    usual = scenario.settings(3).training

    changed = RECIPES["1/3, twice the rate"].settings(scenario, 3).training

    assert changed.retrain_steps == round(usual.retrain_steps / 3)
    assert changed.retrain_learning_rate == 2 * usual.retrain_learning_rate
    same = {"retrain_steps": usual.retrain_steps, "retrain_learning_rate": usual.retrain_learning_rate}
    assert changed.model_copy(update=same) == usual


def test_the_table_compares_with_the_champion_on_its_own_source() -> None:
    rows = [
        {"scenario": "nuclei", "recipe": CHAMPION, "seed": 0, "new": {"a": 0.1}, "old": {"a": 0.8, "b": 0.4}},
        {
            "scenario": "nuclei",
            "recipe": "presets",
            "seed": 0,
            "new": {"a": 0.4},
            "old": {"a": 0.9, "b": 0.3},
        },
        {
            "scenario": "nuclei",
            "recipe": "presets",
            "seed": 1,
            "new": {"a": 0.5},
            "old": {"a": 0.9, "b": 0.2},
        },
    ]

    *_, trained = to_markdown(rows).splitlines()

    assert trained == "| nuclei | presets | 2 | 0.450 (0.400-0.500) | 75% | 0.575 | b -0.150 |"
