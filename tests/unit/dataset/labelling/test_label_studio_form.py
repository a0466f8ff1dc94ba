from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from dataset.labelling.label_studio_form import read_classes, write_interface, write_task
from dataset.labelling.port import DrawnInstance, LabelTask
from maskloop.errors import DataError
from maskloop.masks import encode_masks
from maskloop.pages.class_colours import class_colour
from tests.fakes.label_scene import SCENE


def drawn(name: str, score: float | None = None) -> DrawnInstance:
    (one,) = [each for each in SCENE if each.name == name]
    return DrawnInstance(one.class_name, encode_masks(one.mask[None])[0], one.is_crowd, score)


def task_of(*pre_labels: DrawnInstance) -> LabelTask:
    picture = b"a picture"
    return LabelTask(
        "s1", "d" * 64, picture, ".png", (80, 100), "belt", "r1", "drift", "dark", "7", pre_labels
    )


def test_an_interface_holds_every_class_for_both_brush_and_polygon() -> None:
    interface = write_interface(("nut", 'a "b" & <c>'))
    assert read_classes(interface) == {"nut", 'a "b" & <c>'}
    assert interface.count('value="nut"') == 2


def test_an_interface_begins_with_the_reason_and_shows_classes_above_the_picture_in_their_colours() -> None:
    root = ElementTree.fromstring(write_interface(("nut", "bolt")))
    order = [one.tag for one in root.iter() if one.tag in ("Header", "BrushLabels", "PolygonLabels", "Image")]
    assert order == ["Header", "Header", "Header", "BrushLabels", "Header", "PolygonLabels", "Image"]
    colours = [[label.get("background") for label in tag] for tag in root.iter() if tag.tag in order[3:6:2]]
    own = ["#" + "".join(f"{level:02x}" for level in class_colour(index)) for index in (0, 1)]
    assert colours == [own, own]


@pytest.mark.parametrize("interface", ["<View>", "", '<!DOCTYPE x [<!ENTITY a "b">]><View/>'])
def test_an_interface_that_is_none_is_refused(interface: str) -> None:
    with pytest.raises(DataError, match="labelling interface"):
        read_classes(interface)


def test_a_task_without_answers_has_no_prediction() -> None:
    assert set(write_task(task_of(), "/data/upload/1/a.png", "brush")) == {"data"}
    assert set(write_task(task_of(drawn("crowd")), "/data/upload/1/a.png", "brush")) == {"data"}


def test_an_answer_is_one_region_with_its_score_and_the_task_their_mean() -> None:
    task = write_task(task_of(drawn("ring", 0.75), drawn("dot", 0.25)), "/a.png", "brush")
    (prediction,) = task["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("version 7", 0.5)
    assert [one["score"] for one in prediction["result"]] == [0.75, 0.25]
    assert {(one["type"], one["original_width"], one["original_height"]) for one in prediction["result"]} == {
        ("brushlabels", 100, 80)
    }


def test_only_masks_of_one_part_without_a_hole_become_polygons_when_asked_for() -> None:
    task = write_task(task_of(drawn("ring"), drawn("two"), drawn("dot"), drawn("edge")), "/a.png", "polygon")
    results = task["predictions"][0]["result"]
    assert [one["type"] for one in results] == ["brushlabels"] * 2 + ["polygonlabels"] * 2
    points = np.array(results[3]["value"]["points"])
    assert sorted({*points[:, 0].tolist()}) == [80.0, 100.0]
    assert sorted({*points[:, 1].tolist()}) == [75.0, 100.0]
