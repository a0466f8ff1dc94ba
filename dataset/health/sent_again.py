"""Pictures of the data that production sends too, and labelled instances in what it sends.

A picture is the same file or looks like it; an instance is the same to the pixel. A model knows those
already, so whatever is measured on its answer says little about production. A picture that production sent
first and that was labelled afterwards is no such case: the model that answered it had not seen it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset.health.copies import Sighting
from dataset.labelled_pictures import LabelledPicture
from dataset.pictures.looks import MIN_CORRELATION, near_pairs, standardised
from dataset.version_store import tag_number

_MOST_READ: Final = 3
"""Sent pictures whose cells are compared with those of one picture of the data, the newest first."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A picture that production sent, as far as it is compared.

    Attributes:
        digest: sha256 of the file's bytes.
        difference_hash: 64 bits of its look; None if that is not known.
        known: Number of the newest data version that the model which answered it may have seen; 0 for none.
    """

    digest: str
    difference_hash: int | None
    known: int


@dataclass(frozen=True)
class SentAgain:
    """A picture of the data that production sends.

    Attributes:
        picture: Of the data.
        row: Of the newest sent picture that is the same or alike.
        num_sent: Sent pictures that are the same, or whose hash is near.
        is_same: The bytes are the same.
        likeness: Correlation of the cells of both, 0.95 to 1; 1 if the bytes are the same.
    """

    picture: LabelledPicture
    row: int
    num_sent: int
    is_same: bool
    likeness: float


@dataclass(frozen=True)
class SentInstances:
    """Instances of one picture of the data that lie in pictures that production sends.

    Attributes:
        picture: Of the data.
        labels: Positions of these instances, sorted.
        row: Of the newest sent picture with one of them.
        num_sent: Sent pictures with one of them.
        left_px: Of the box of its first instance, in that sent picture.
        top_px: The same.
    """

    picture: LabelledPicture
    labels: tuple[int, ...]
    row: int
    num_sent: int
    left_px: int
    top_px: int


@dataclass(frozen=True)
class _Kind:
    """Sent pictures of one hash whose models knew the same data: the newest row, and how many there are."""

    row: int
    num_sent: int


def find_sent_again(
    pictures: Sequence[LabelledPicture],
    hashes: Mapping[str, int],
    sent: Sequence[Sent],
    distance_bits: int,
    cells_of: Callable[[LabelledPicture], bytes | None],
    cells_of_sent: Callable[[int], bytes | None],
) -> tuple[SentAgain, ...]:
    """Return the pictures that production sends, the most often sent first.

    The time grows with the number of pictures and of sent ones, not with their product.

    Args:
        pictures: Of one version.
        hashes: 64-bit hash of each picture's look, by digest.
        sent: What production sent, newest first.
        distance_bits: Hashes that differ in more bits are of different pictures; below 0 no two are alike.
        cells_of: Reads a picture's grey cells; asked only if its hash is near that of a sent one. None if it
            cannot be read; it is then alike to none.
        cells_of_sent: The same of a row of ``sent``.
    """
    by_digest, by_hash = _group(sent)
    near = _near_hashes({hashes[one.digest] for one in pictures}, set(by_hash), distance_bits)
    found: list[SentAgain] = []
    for picture in pictures:
        number = tag_number(picture.added_in)
        same = [row for row in by_digest.get(picture.digest, ()) if sent[row].known >= number]
        if same:
            found.append(SentAgain(picture, same[0], len(same), is_same=True, likeness=1.0))
            continue
        kinds = sorted(
            (
                kind
                for other in near.get(hashes[picture.digest], ())
                for known, kind in by_hash[other].items()
                if known >= number
            ),
            key=lambda kind: kind.row,
        )
        if kinds and (own := cells_of(picture)) is not None:
            rows = [kind.row for kind in kinds[:_MOST_READ]]
            likeness = _correlate(own, [cells_of_sent(row) for row in rows])
            first = next((place for place, value in enumerate(likeness) if value >= MIN_CORRELATION), None)
            if first is not None:
                num_sent = sum(kind.num_sent for kind in kinds)
                found.append(
                    SentAgain(picture, rows[first], num_sent, is_same=False, likeness=likeness[first])
                )
    return tuple(sorted(found, key=lambda one: (not one.is_same, -one.num_sent, one.picture.digest)))


def group_sightings(
    sightings: Iterable[tuple[str, Sighting]], sent: Sequence[Sent], whole: Sequence[SentAgain]
) -> tuple[SentInstances, ...]:
    """Return the pictures whose instances lie in what production sends, those with most of them first.

    Args:
        sightings: Each with the digest of the sent picture that it is in.
        sent: What production sent, newest first.
        whole: Pictures that production sends as a whole; their instances are not told again.
    """
    told = {one.picture.digest for one in whole}
    rows_by_digest: dict[str, list[int]] = defaultdict(list)
    for row, one in enumerate(sent):
        rows_by_digest[one.digest].append(row)
    seen: dict[str, list[tuple[int, Sighting]]] = defaultdict(list)
    for digest, sighting in sightings:
        picture = sighting.place.picture
        number = tag_number(picture.added_in)
        rows = [row for row in rows_by_digest[digest] if sent[row].known >= number]
        if rows and picture.digest not in told:
            seen[picture.digest] += [(row, sighting) for row in rows]
    found = []
    for each in seen.values():
        row, first = min(each, key=lambda pair: (pair[0], pair[1].place.label))
        labels = tuple(sorted({sighting.place.label for _, sighting in each}))
        num_sent = len({row for row, _ in each})
        found.append(SentInstances(first.place.picture, labels, row, num_sent, first.left_px, first.top_px))
    return tuple(sorted(found, key=lambda one: (-len(one.labels), -one.num_sent, one.picture.digest)))


def _group(sent: Sequence[Sent]) -> tuple[dict[str, list[int]], dict[int, dict[int, _Kind]]]:
    """Return the rows of each digest, and by hash and known version the newest row and how many there are."""
    by_digest: dict[str, list[int]] = defaultdict(list)
    rows: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, one in enumerate(sent):
        by_digest[one.digest].append(row)
        if one.difference_hash is not None:
            rows[one.difference_hash][one.known].append(row)
    kinds = {
        value: {known: _Kind(each[0], len(each)) for known, each in by_known.items()}
        for value, by_known in rows.items()
    }
    return by_digest, kinds


def _near_hashes(ours: set[int], theirs: set[int], distance_bits: int) -> dict[int, list[int]]:
    """Return for each of our hashes those of theirs that are near it."""
    if distance_bits < 0:
        return {}
    near: dict[int, list[int]] = defaultdict(list)
    for both in ours & theirs:
        near[both].append(both)
    values = np.array(sorted(ours | theirs), np.uint64)  # each once, so that equal ones make no pairs
    is_ours, is_theirs = (np.isin(values, np.array(sorted(one), np.uint64)) for one in (ours, theirs))
    for pairs in near_pairs(values, distance_bits):
        for left, right in (pairs.T, pairs.T[::-1]):
            crosses = is_ours[left] & is_theirs[right]
            for one, other in zip(
                values[left[crosses]].tolist(), values[right[crosses]].tolist(), strict=True
            ):
                near[one].append(other)
    return near


def _correlate(own: bytes, others: Sequence[bytes | None]) -> list[float]:
    """Return the correlation of cells with those of others; NaN where these are unknown."""
    cells = standardised([own, *others])
    return [min(float(value), 1.0) for value in cells[1:] @ cells[0]]  # rounding may exceed it
