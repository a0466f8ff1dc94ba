"""Which labelled pictures production is compared with, and how many each source has of them."""

from __future__ import annotations

from collections import Counter

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from monitoring.drift.sources import KnownSource


def choose_reference_pictures(version: DatasetVersion, min_per_source: int) -> tuple[LabelledPicture, ...]:
    """Take each source's validation pictures, and its test pictures too where those are too few."""
    chosen: list[LabelledPicture] = []
    for source in sorted({picture.source for picture in version.pictures}):
        validation = [picture for picture in version.by_split["val"] if picture.source == source]
        test = [picture for picture in version.by_split["test"] if picture.source == source]
        chosen += validation if len(validation) >= min_per_source else validation + test
    return tuple(chosen)


def count_known_sources(version: DatasetVersion, min_per_source: int) -> dict[str, KnownSource]:
    """Count the pictures of each source of the champion's data, and those that are its reference."""
    labelled = Counter(picture.source for picture in version.pictures)
    held_out = Counter(picture.source for picture in choose_reference_pictures(version, min_per_source))
    return {source: KnownSource(num, held_out[source]) for source, num in labelled.items()}
