"""The demo's pictures: metal parts, seen by the camera that the champion knows and by a new one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.labelling.pictures import NEW, OLD, Pictures, join_pictures, read_batch, take_batch
from dataset.labelled_pictures import LabelledPicture, Split
from dataset.synthetic.generation import generate
from maskloop.settings.workspace_settings import Settings

SHIFT: Final = "new_camera"
NUM_OWN: Final = 600
NUM_TEST: Final = 120
MIXES: Final[Mapping[str, tuple[int, int]]] = {"mixed": (420, 180), "replaced": (0, 600)}
"""Pictures of the old and of the new camera: production of two lines, or of one with a new camera."""


def draw_metal_parts(root: Path, settings: Settings, *, mix: str, seed: int) -> Pictures:
    """Draw the demo's pictures, or find them drawn; the production of each seed is another one.

    Args:
        root: The folder they are written to.
        settings: Of the demo.
        mix: One of `MIXES`.
        seed: Of the production pictures.
    """
    num_old, num_new = MIXES[mix]
    first = 30_000 + 2_000 * seed
    own = _draw(root, "own", settings, OLD, None, first_index=0, count=NUM_OWN)
    tests = [
        *_draw(root, "test-old", settings, OLD, "test", first_index=20_000, count=NUM_TEST),
        *_draw(root, "test-new", settings, NEW, "test", first_index=20_000, count=NUM_TEST),
    ]
    name = f"{mix}-{seed}"
    pool = [
        *_draw(root, f"{name}-old", settings, OLD, "train", first_index=first, count=num_old),
        *_draw(root, f"{name}-new", settings, NEW, "train", first_index=first + 1_000, count=num_new),
    ]
    return join_pictures(root, [one for one in own if one.split != "test"], pool, tests)


def _draw(
    root: Path,
    name: str,
    settings: Settings,
    source: str,
    split: Split | None,
    *,
    first_index: int,
    count: int,
) -> list[LabelledPicture]:
    """Draw a batch into a folder of its own, or read it there; paths are relative to ``root``."""
    if not count:
        return []
    folder = root / name
    if not (folder / "instances.json").exists():
        drawn = root / "drawn" / name
        shift = SHIFT if source == NEW else None
        take_batch(
            folder, generate(drawn, num_pictures=count, first_index=first_index, shift=shift), settings
        )
    return read_batch(root, name, source, split)
