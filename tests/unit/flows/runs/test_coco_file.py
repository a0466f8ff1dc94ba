"""One COCO file, written instance by instance."""

from __future__ import annotations

import io
import json

import numpy as np

from flows.runs.coco_file import describe_instance, write_coco_file
from maskloop.masks import encode_masks


def test_annotations_point_to_their_picture_and_class_and_other_lists_stand_beside_them() -> None:
    (mask,) = encode_masks(np.ones((1, 2, 3), dtype=bool))
    nut = describe_instance("nut", 0.87654, (0.0, 0.0, 3.0, 2.0), mask)
    file = io.BytesIO()
    pictures = [
        ({"file_name": "a"}, [nut | {"track_id": 4}]),
        ({"file_name": "b"}, []),
        ({"file_name": "c"}, [nut]),
    ]
    write_coco_file(file, {"description": "x"}, ["bolt", "nut"], pictures, {"videos": [{"id": 1}]})
    told = json.loads(file.getvalue())
    assert [image["id"] for image in told["images"]] == [1, 2, 3]
    assert [(one["id"], one["image_id"], one["category_id"]) for one in told["annotations"]] == [
        (1, 1, 2),
        (2, 3, 2),
    ]
    first = told["annotations"][0]
    assert (first["score"], first["area"], first["bbox"], first["track_id"]) == (
        0.8765,
        6,
        [0.0, 0.0, 3.0, 2.0],
        4,
    )
    assert told["videos"] == [{"id": 1}]


def test_a_file_without_pictures_is_one() -> None:
    file = io.BytesIO()
    write_coco_file(file, {}, ["nut"], [])
    assert json.loads(file.getvalue())["annotations"] == []
