"""Pictures that belong together but are in different splits, and groups too large to be split.

Splits are decided once, when a picture comes in, and stand. So what was torn before a pattern was set, or by
an earlier version of maskloop, is found here and told, not moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np

from dataset.ingestion.name_groups import NamePattern, group_key, may_be_parts, suggest_pattern
from dataset.ingestion.splitting import is_large_group
from dataset.labelled_pictures import LabelledPicture, Split
from dataset.pictures.looks import alike_pairs, near_pairs, standardised
from dataset.problems import DataProblem


class Placed(Protocol):
    """A picture that has a place."""

    @property
    def name(self) -> str:
        """The file name it came with."""
        ...

    @property
    def group(self) -> str:
        """Pictures of one group are in one split."""
        ...

    @property
    def split(self) -> Split:
        """Where it is."""
        ...


@dataclass(frozen=True)
class LargestGroup:
    """The group with the most pictures.

    Attributes:
        num_groups: Of all pictures.
        num_pictures: In this one.
        split: Where they all are.
        example: Names of two of them, or of the only one.
        is_large: It holds so much of the data that the shares of the splits cannot come out.
    """

    num_groups: int
    num_pictures: int
    split: Split
    example: tuple[str, ...]
    is_large: bool


def largest_group(pictures: Sequence[Placed]) -> LargestGroup | None:
    """Return the largest group, or None without pictures."""
    sizes = Counter(picture.group for picture in pictures)
    if not sizes:
        return None
    group, size = max(sizes.items(), key=lambda one: (one[1], one[0]))
    members = [picture for picture in pictures if picture.group == group]
    names = tuple(sorted(picture.name for picture in members)[:2])
    return LargestGroup(len(sizes), size, members[0].split, names, is_large_group(size, len(pictures)))


@dataclass(frozen=True)
class NameLeaks:
    """What file names say about who belongs together.

    Attributes:
        pattern: The proposal for ``data.group_pattern``.
        num_apart: Of its groups, those whose pictures nothing ties.
        num_torn: Of these, those with pictures in more than one split.
        torn_example: Names of two pictures of one of these, in different splits; or none.
    """

    pattern: NamePattern
    num_apart: int
    num_torn: int
    torn_example: tuple[str, ...]

    def sentence(self) -> str:
        """Return it for people."""
        one, other = self.torn_example or self.pattern.example
        parts = f"{self.pattern.num_pictures} file names look like parts of {self.pattern.num_groups}"
        if self.num_torn:
            return f"{parts} pictures, and {self.num_torn} of these are in two splits: {one} and {other}"
        return f"{parts} pictures, such as {one} and {other}, and nothing keeps them in one split"


def find_name_leaks(pictures: Sequence[Placed]) -> NameLeaks | None:
    """Return what names say that no group follows, or None if they say nothing or all groups follow."""
    suggested = suggest_pattern([picture.name for picture in pictures])
    if suggested is None:
        return None
    apart = [members for members in _by_name(pictures, suggested.pattern) if _is_apart(members)]
    torn = [members for members in apart if len({picture.split for picture in members}) > 1]
    if not apart:
        return None
    return NameLeaks(suggested, len(apart), len(torn), _torn_pair(torn[0]) if torn else ())


def find_torn(pictures: Sequence[Placed], group_pattern: str) -> tuple[tuple[str, str], ...]:
    """Return two names of each group of ``data.group_pattern`` that is in more than one split."""
    groups = _by_name(pictures, group_pattern)
    return tuple(_torn_pair(members) for members in groups if len({one.split for one in members}) > 1)


def warn_of_names(pictures: Sequence[Placed], newcomers: frozenset[str]) -> tuple[DataProblem, ...]:
    """Propose a pattern for a batch that has none.

    Args:
        pictures: All pictures with a place, those of the batch included.
        newcomers: Names of the batch's new pictures; if none is in a group, there is nothing new to say.
    """
    if not may_be_parts(newcomers):
        return ()
    leaks = find_name_leaks(pictures)
    if leaks is None or not any(group_key(name, leaks.pattern.pattern) for name in newcomers):
        return ()
    hint = f"set {leaks.pattern.setting} under [data] in maskloop.toml"
    if leaks.num_torn:
        hint += ", in a new workspace: places once given stand"
    return (DataProblem("warning", "names-suggest-groups", leaks.pattern.example[0], leaks.sentence(), hint),)


def find_alike_across_splits(
    pictures: Sequence[LabelledPicture],
    difference_hashes: Mapping[str, int],
    cells_of: Callable[[LabelledPicture], bytes | None],
    distance_bits: int,
) -> tuple[tuple[LabelledPicture, LabelledPicture], ...]:
    """Return pairs of pictures that look alike and are in different splits.

    Args:
        pictures: Of one version.
        difference_hashes: By digest.
        cells_of: Reads a picture's grey cells; asked once for each picture whose hash is near another's. None
            for one that cannot be read, which is alike to none.
        distance_bits: ``data.near_duplicate_distance_bits``.
    """
    hashes = np.array([difference_hashes[picture.digest] for picture in pictures], np.uint64)
    splits = np.array([picture.split for picture in pictures])
    blocks = [
        pairs[splits[pairs[:, 0]] != splits[pairs[:, 1]]] for pairs in near_pairs(hashes, distance_bits)
    ]
    near = np.concatenate([np.zeros((0, 2), np.int64), *blocks])
    asked, rows = np.unique(near, return_inverse=True)
    cells = [cells_of(pictures[number]) for number in asked.tolist()]
    can_be_read = np.array([one is not None for one in cells], dtype=bool)
    rows = rows.reshape(-1, 2)
    alike = asked[alike_pairs(rows[can_be_read[rows].all(axis=1)], standardised(cells))]
    return tuple((pictures[one], pictures[other]) for one, other in sorted(alike.tolist()))


def _by_name(pictures: Sequence[Placed], pattern: str) -> list[list[Placed]]:
    groups: dict[str, list[Placed]] = {}
    for picture in sorted(pictures, key=lambda picture: picture.name):
        if key := group_key(picture.name, pattern):
            groups.setdefault(key, []).append(picture)
    return [members for members in groups.values() if len(members) > 1]


def _is_apart(members: Sequence[Placed]) -> bool:
    return len({picture.group for picture in members}) > 1


def _torn_pair(members: Sequence[Placed]) -> tuple[str, str]:
    return next((one.name, other.name) for one, other in combinations(members, 2) if one.split != other.split)
