"""The pictures of a learning curve: the champion's own, those of production, and held-out ones of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from dataset.coco.document import read_coco
from dataset.ingestion.ingest import find_pictures, stage
from dataset.ingestion.plan import IngestOptions, plan_ingest
from dataset.labelled_pictures import DatasetVersion, LabelledPicture, Split
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.versions.catalog import fingerprint, read_catalog, write_catalog
from maskloop.settings.workspace_settings import Settings

OLD: Final = "old source"
NEW: Final = "new source"


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
        """Return the test pictures of one source."""
        return tuple(one for one in self.version.by_split["test"] if one.source == source)

    def from_source(self, source: str) -> tuple[str, ...]:
        """Return the digests of production's pictures of one source."""
        pool = set(self.pool)
        return tuple(
            one.digest for one in self.version.pictures if one.digest in pool and one.source == source
        )


def join_pictures(
    root: Path,
    own: Sequence[LabelledPicture],
    pool: Sequence[LabelledPicture],
    tests: Sequence[LabelledPicture],
) -> Pictures:
    """Put batches that `take_batch` took below ``root`` together; ``own`` may have validation pictures."""
    names = read_catalog(root / Path(own[0].file).parts[0]).class_names
    by_digest = {one.digest: one for one in [*own, *pool, *tests]}
    pictures = tuple(by_digest[digest] for digest in sorted(by_digest))
    version = DatasetVersion("data-v1", fingerprint(names, pictures), "", "", names, pictures, root)
    chosen_from = tuple(sorted(one.digest for one in pool))
    return Pictures(version, chosen_from, tuple(one.digest for one in own if one.split == "train"))


def take_batch(folder: Path, annotations: Path, settings: Settings) -> None:
    """Take drawn pictures into a folder of their own, with its catalog, as an ingest does."""
    coco, images_dir = read_coco(annotations), annotations.parent / "images"
    options = IngestOptions(source="drawn")
    with SandboxedDecoder(DecodingLimits(max_mpx=settings.data.max_picture_mpx)) as decoder:
        found = find_pictures(coco, images_dir, decoder)
        plan = plan_ingest(coco, found, options, settings, previous=None, residents=(), tag="data-v1")
        stage(folder, plan, images_dir, decoder)
    write_catalog(folder, plan.catalog)


def read_batch(root: Path, name: str, source: str, split: Split | None) -> list[LabelledPicture]:
    """Return a batch below ``root``, of a source and, if not None, in one split."""
    changes: dict[str, Any] = {"source": source} | ({"split": split} if split else {})
    catalog = read_catalog(root / name)
    return [replace(one, file=f"{name}/{one.file}", **changes) for one in catalog.pictures]
