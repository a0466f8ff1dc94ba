"""The pictures of a learning curve: the champion's own, those of production, and held-out ones of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from dataset.coco.document import read_coco
from dataset.ingestion.ingest import find_pictures, stage
from dataset.ingestion.plan import IngestOptions, plan_ingest
from dataset.labelled_pictures import DatasetVersion, LabelledPicture, Split
from dataset.synthetic.generation import generate
from dataset.versions.catalog import Catalog, fingerprint, read_catalog, write_catalog
from maskloop.settings.workspace_settings import Settings

OLD: Final = "old camera"
NEW: Final = "new camera"
SHIFT: Final = "new_camera"
NUM_OWN: Final = 600
NUM_TEST: Final = 120
MIXES: Final[Mapping[str, tuple[int, int]]] = {"mixed": (420, 180), "replaced": (0, 600)}
"""Pictures of the old and of the new camera: production of two lines, or of one with a new camera."""


@dataclass(frozen=True)
class Pictures:
    """All labelled pictures of one curve.

    Attributes:
        version: ``train`` holds the champion's own pictures and those of production; ``test`` those that
            nobody trains on.
        pool: Digests of production's pictures, of which some are chosen.
        own: Digests of the champion's training pictures.
    """

    version: DatasetVersion
    pool: tuple[str, ...]
    own: tuple[str, ...]

    def held_out(self, source: str) -> tuple[LabelledPicture, ...]:
        """Return the test pictures of one camera."""
        return tuple(one for one in self.version.by_split["test"] if one.source == source)


def draw_pictures(root: Path, settings: Settings, *, mix: str, seed: int) -> Pictures:
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
    own = [one for one in own if one.split != "test"]
    names = read_catalog(root / "own").class_names
    pictures = tuple(sorted([*own, *tests, *pool], key=lambda one: one.digest))
    version = DatasetVersion("data-v1", fingerprint(names, pictures), "", "", names, pictures, root)
    chosen_from = tuple(sorted(one.digest for one in pool))
    return Pictures(version, chosen_from, tuple(one.digest for one in own if one.split == "train"))


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
        _take(folder, generate(drawn, num_pictures=count, first_index=first_index, shift=shift), settings)
    catalog: Catalog = read_catalog(folder)
    changes: dict[str, Any] = {"source": source} | ({"split": split} if split else {})
    return [replace(one, file=f"{name}/{one.file}", **changes) for one in catalog.pictures]


def _take(folder: Path, annotations: Path, settings: Settings) -> None:
    coco, images_dir = read_coco(annotations), annotations.parent / "images"
    max_mpx = settings.data.max_picture_mpx
    found = find_pictures(coco, images_dir, max_mpx=max_mpx)
    options = IngestOptions(source="drawn")
    plan = plan_ingest(coco, found, options, settings, previous=None, residents=(), tag="data-v1")
    stage(folder, plan, images_dir, max_mpx=max_mpx)
    write_catalog(folder, plan.catalog)
