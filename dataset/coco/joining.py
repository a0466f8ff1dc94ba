"""Several COCO files become one: classes are the same by name, and pictures and annotations get new ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dataset.coco.document import CocoFile, identifier


def join_files(files: Sequence[CocoFile]) -> CocoFile:
    """Return one file with the pictures, annotations and classes of all; at least one is needed.

    What cannot be matched, such as an annotation of a picture that its file does not list, stays unmatched.
    The tool is the one that wrote all of them.
    """
    numbers: dict[str, int] = {}
    categories: list[Any] = []
    images: list[Any] = []
    annotations: list[Any] = []
    for coco in files:
        classes = _join_categories(coco.categories, numbers, categories)
        pictures: dict[Any, int] = {}
        for image in coco.images:
            key = identifier(image.get("id")) if isinstance(image, dict) else None
            if key is not None:
                pictures.setdefault(key, len(images) + 1)
                image = {**image, "id": pictures[key]}
            images.append(image)
        annotations += [
            _renumbered(one, number, pictures, classes)
            for number, one in enumerate(coco.annotations, start=len(annotations) + 1)
        ]
    tools = {coco.tool for coco in files}
    return replace(
        files[0],
        images=tuple(images),
        annotations=tuple(annotations),
        categories=tuple(categories),
        tool=tools.pop() if len(tools) == 1 else "",
        problems=tuple(problem for coco in files for problem in coco.problems),
    )


def _join_categories(
    listed: Sequence[Any], numbers: dict[str, int], categories: list[Any]
) -> Mapping[Any, int]:
    """Add classes of a name that is new; return the new ids by the file's own."""
    classes = {}
    for category in listed:
        name = category.get("name") if isinstance(category, dict) else None
        key = identifier(category.get("id")) if isinstance(category, dict) else None
        if not isinstance(name, str) or key is None:
            categories.append(category)
            continue
        if name.strip() not in numbers:
            numbers[name.strip()] = len(numbers) + 1
            categories.append({**category, "id": numbers[name.strip()]})
        classes[key] = numbers[name.strip()]
    return classes


def _renumbered(annotation: Any, number: int, pictures: Mapping[Any, int], classes: Mapping[Any, int]) -> Any:
    if not isinstance(annotation, dict):
        return annotation
    picture, category = (identifier(annotation.get(key)) for key in ("image_id", "category_id"))
    ids = {"id": number, "image_id": pictures.get(picture), "category_id": classes.get(category)}
    return {**annotation, **ids}
