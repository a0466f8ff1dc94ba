"""How often a class is said to look otherwise, wrongly and rightly: ``python -m benchmarks.health.looks``.

Random batches of one data set show the same objects as the rest of it, so every report is a false alarm. Then
something is changed in the batch: the names of two classes are exchanged; one class's objects are those of
another; or the camera is another one, which must not be reported. Figures are printed as JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.health.__main__ import RUNS
from benchmarks.health.photographs import open_versions
from benchmarks.provenance import describe_run
from dataset.health.instance_looks import PictureLooks, measure_picture
from dataset.health.look_changes import find_look_changes
from dataset.labelled_pictures import LabelledInstance
from dataset.synthetic.parts import CLASS_NAMES
from dataset.synthetic.scene import photograph_scene
from flows.evidence.evaluate import load_picture
from maskloop.masks import encode_masks

SPLITS: Final = 200
BATCHES: Final = (20, 50)
MOST_OLD: Final = 200
_REPEATS: Final = 3
_CAMERA_BATCHES: Final = 40
_SIDE_PX: Final = 128
_DRAWN: Final = 400
_MAX_MPX: Final = 25.0
_SHIFTS: Final = ("new_camera", "darkness", "noise", "blur", "new_background", "new_object_look")
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Measured:
    """The looks of one data set.

    Attributes:
        class_names: Of its classes.
        looks: Of its pictures.
        others: Of pictures under another camera, by what was changed.
    """

    class_names: Sequence[str]
    looks: Sequence[PictureLooks]
    others: Mapping[str, Sequence[PictureLooks]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.health.looks", description=__doc__)
    parser.add_argument("data", nargs="*", choices=sorted(MEASURES), help="Default: all.")
    figures: dict[str, Any] = dict(describe_run())
    for name in parser.parse_args().data or sorted(MEASURES):
        data = MEASURES[name]()
        figures[name] = {"pictures": len(data.looks)} | {
            f"batches of {number}": describe_batches(data, number) for number in BATCHES
        }
    print(json.dumps(figures, indent=1))


def describe_batches(data: Measured, number: int) -> dict[str, Any]:
    """Count reports among batches of a number of pictures."""
    rng, num_classes = np.random.default_rng(0), len(data.class_names)
    reports = [find_look_changes(old, new, num_classes) for old, new in draw(data.looks, number, SPLITS, rng)]
    figures: dict[str, Any] = {"nothing changed": f"{sum(map(bool, reports))} of {SPLITS}"}
    for name, others in data.others.items():
        pairs = [
            (old, choose(others, number, rng)) for old, _ in draw(data.looks, number, _CAMERA_BATCHES, rng)
        ]
        found = [find_look_changes(old, new, num_classes) for old, new in pairs]
        figures[f"camera: {name}"] = f"{sum(map(bool, found))} of {len(found)}"
    if num_classes > 1:
        figures["two names exchanged"] = count_found(data, number, rng, exchange, is_ordered=False)
        figures["one class's objects replaced by another's"] = count_found(
            data, number, rng, substitute, is_ordered=True
        )
    return figures


def count_found(
    data: Measured,
    number: int,
    rng: np.random.Generator,
    change: Callable[[PictureLooks, int, int], PictureLooks],
    *,
    is_ordered: bool,
) -> dict[str, Any]:
    """Change every pair of classes in turn and count where one of the changed ones is reported, or others."""
    num_classes = len(data.class_names)
    pairs = itertools.permutations if is_ordered else itertools.combinations
    num_found = num_others = num_all = 0
    missed: dict[str, int] = {}
    for one, other in pairs(range(num_classes), 2):
        changed = {one} if is_ordered else {one, other}
        for old, new in draw(data.looks, number, _REPEATS, rng):
            batch = [change(looks, one, other) for looks in new]
            found = {each.class_index for each in find_look_changes(old, batch, num_classes)}
            num_all += 1
            num_found += bool(found & changed)
            num_others += bool(found - changed)
            if not found & changed:
                name = f"{data.class_names[one]} and {data.class_names[other]}"
                missed[name] = missed.get(name, 0) + 1
    often = {name: times for name, times in missed.items() if 2 * times > _REPEATS}
    return {"found": f"{num_found} of {num_all}", "another class named": num_others, "mostly missed": often}


def exchange(looks: PictureLooks, one: int, other: int) -> PictureLooks:
    """Exchange the names of two classes."""
    renamed = {one: other, other: one}
    return replace(
        looks, by_class={renamed.get(index, index): values for index, values in looks.by_class.items()}
    )


def substitute(looks: PictureLooks, one: int, other: int) -> PictureLooks:
    """Let the objects of another class be those of one."""
    by_class = {index: values for index, values in looks.by_class.items() if index not in (one, other)}
    if other in looks.by_class:
        by_class[one] = by_class[other] = looks.by_class[other]
    return replace(looks, by_class=by_class)


def draw(
    looks: Sequence[PictureLooks], number: int, times: int, rng: np.random.Generator
) -> Iterator[tuple[list[PictureLooks], list[PictureLooks]]]:
    """Draw data and batches from one data set, at random."""
    for _ in range(times):
        order = rng.permutation(len(looks)).tolist()
        yield (
            [looks[place] for place in order[number : number + MOST_OLD]],
            [looks[place] for place in order[:number]],
        )


def choose(looks: Sequence[PictureLooks], number: int, rng: np.random.Generator) -> list[PictureLooks]:
    """Draw a batch from other pictures."""
    return [looks[place] for place in rng.permutation(len(looks))[:number].tolist()]


def measure_drawn() -> Measured:
    """Draw the demo's pictures, and others of the same kind under its shifts."""

    def look(numbers: range, shift: str | None) -> list[PictureLooks]:
        scenes = ((number, photograph_scene(0, number, side_px=_SIDE_PX, shift=shift)) for number in numbers)
        return [
            measure_picture(
                scene.pixels,
                tuple(map(LabelledInstance, scene.class_indices, encode_masks(scene.masks))),
                str(number),
            )
            for number, scene in scenes
        ]

    later = range(_DRAWN, _DRAWN + _DRAWN // 4)
    return Measured(CLASS_NAMES, look(range(_DRAWN), None), {shift: look(later, shift) for shift in _SHIFTS})


def measure_carparts() -> Measured:
    """Look at all photographs, and at a part of them as other cameras see them."""
    cameras: dict[str, Callable[[Pixels], Pixels]] = {
        "bluish and flat": lambda pixels: as_seen((pixels * 0.66 + 54.0) * np.array((0.72, 0.94, 1.3))),
        "dark": lambda pixels: as_seen(pixels * 0.3),
        "grey": lambda pixels: as_seen(np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2)),
    }
    looks, names = look_at("carparts", ("checked", "other"))
    others = {name: look_at("carparts", ("other",), camera)[0] for name, camera in cameras.items()}
    return Measured(names, looks, others)


def measure_nuclei() -> Measured:
    """Look at fluorescence, and at stained tissue as the other camera."""
    looks, names = look_at("nuclei", ("checked", "other"))
    return Measured(names, looks, {"stained tissue": look_at("nuclei", ("stained",))[0]})


def look_at(
    name: str, sources: Sequence[str], camera: Callable[[Pixels], Pixels] = lambda pixels: pixels
) -> tuple[list[PictureLooks], Sequence[str]]:
    """Measure the pictures of some sources of published photographs."""
    version, _ = open_versions(name, RUNS / name / "workspace")
    chosen = [picture for picture in version.pictures if picture.source in sources]
    looks = [
        measure_picture(
            camera(load_picture(version.path(picture), _MAX_MPX)), picture.instances, picture.group
        )
        for picture in chosen
    ]
    return looks, version.class_names


def as_seen(values: NDArray[Any]) -> Pixels:
    """Round to uint8."""
    return np.asarray(np.floor(np.clip(values, 0.0, 255.0) + 0.5), dtype=np.uint8)


MEASURES: Final = {"drawn": measure_drawn, "carparts": measure_carparts, "nuclei": measure_nuclei}

if __name__ == "__main__":
    main()
