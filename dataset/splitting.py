"""Who trains and who tests: pictures that belong together are in one split, for ever.

Pictures belong together when they share a group key, or when their 64-bit difference hashes are nearly equal
(frames of one scene, tiles of one photograph, a copy saved again). A group's split follows from the hash of
its key and never changes, whatever comes in later.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.problems import Problem
from dataset.samples import Split
from maskloop.digest import digest_bytes

_GREY: Final = (299, 587, 114)
_JOINT: Final = " + "
"""A picture's group names every key that tied it, so that each still ties what comes later."""
_ROWS, _COLUMNS = 8, 9


@dataclass(frozen=True)
class Newcomer:
    """A picture that is in no version yet."""

    digest: str
    name: str
    declared_group: str
    difference_hash: int


@dataclass(frozen=True)
class Resident:
    """A picture that some version holds; its group and split stand."""

    digest: str
    name: str
    group: str
    split: Split
    difference_hash: int


@dataclass(frozen=True)
class Place:
    """Where a new picture goes."""

    group: str
    split: Split


@dataclass(frozen=True)
class SplitPlan:
    """A place for each new picture that can have one.

    Attributes:
        places: By picture digest.
        problems: Pictures left out because they tie a training group to a test group (errors), and pictures
            that follow their group into another split than the declared one (warnings).
    """

    places: Mapping[str, Place]
    problems: tuple[Problem, ...]


def assign_splits(
    newcomers: Sequence[Newcomer],
    residents: Sequence[Resident],
    *,
    val_percent: float,
    test_percent: float,
    near_duplicate_distance_bits: int = 3,
    group_pattern: str = "",
    declared: Split | None = None,
) -> SplitPlan:
    """Give every new picture a group and a split.

    Args:
        newcomers: Pictures without a place, each digest once.
        residents: All pictures that have a place, in any version.
        val_percent: Share of groups for validation, 0..100.
        test_percent: Share of groups for testing, 0..100.
        near_duplicate_distance_bits: Pictures whose hashes differ in at most so many bits are one group.
        group_pattern: Regular expression; file names matching with equal captured groups are one group.
        declared: The split of new groups, instead of the hash.
    """
    ties = _tied_together(newcomers, residents, near_duplicate_distance_bits, group_pattern)
    splits_held: dict[str, set[Split]] = defaultdict(set)
    keys_held: dict[str, set[str]] = defaultdict(set)
    for resident in residents:
        root = ties.find(_parts(resident.group)[0])
        splits_held[root].add(resident.split)
        keys_held[root].update(_parts(resident.group))
    tied_newcomers: dict[str, list[Newcomer]] = defaultdict(list)
    for newcomer in newcomers:
        tied_newcomers[ties.find(newcomer.digest)].append(newcomer)
    places: dict[str, Place] = {}
    problems: list[Problem] = []
    for root, tied in tied_newcomers.items():
        if len(splits_held[root]) > 1:
            problems += [_bridge(newcomer, splits_held[root]) for newcomer in tied]
            continue
        keys = {newcomer.digest: _keys(newcomer, group_pattern) for newcomer in tied}
        key = min(keys_held[root] or set().union(*keys.values()) or keys)
        held = next(iter(splits_held[root]), None)
        split = held or declared or hashed_split(key, val_percent, test_percent)
        places |= {digest: Place(_JOINT.join(sorted(own | {key})), split) for digest, own in keys.items()}
        if declared and split != declared:
            problems += [_follows_group(newcomer, split, declared) for newcomer in tied]
    return SplitPlan(places, tuple(problems))


def hashed_split(group: str, val_percent: float, test_percent: float) -> Split:
    """Return a group's split, from its key alone.

    >>> [hashed_split(f"scene-{number}", 15, 20) for number in range(4)]
    ['train', 'val', 'train', 'train']
    """
    position = int(digest_bytes(f"split:{group}".encode())[:12], 16) / 16**12 * 100.0
    if position < test_percent:
        return "test"
    return "val" if position < test_percent + val_percent else "train"


def group_key(name: str, group_pattern: str) -> str:
    """Return what a file name's group is called, or an empty string if the pattern does not match.

    >>> group_key("plant3_cam1_frame0042.png", r"(plant\\d+)_cam\\d+_frame(\\d\\d)")
    'plant3/00'
    """
    match = re.search(group_pattern, name) if group_pattern else None
    if match is None:
        return ""
    return "/".join(part or "" for part in match.groups()) or match.group()


def difference_hash(pixels: NDArray[np.uint8]) -> int:
    """Return a 64-bit hash of a picture's look that changes little with scale, compression or brightness.

    The picture (H, W, 3) is averaged to 8 x 9 grey cells; each bit says whether a cell is brighter than its
    left neighbour. Source: N. Krawetz, "Kind of Like That", 2013 (dHash).
    """
    height, width = pixels.shape[:2]
    rows, columns = np.arange(_ROWS + 1) * height // _ROWS, np.arange(_COLUMNS + 1) * width // _COLUMNS
    bands = [pixels[top : max(bottom, top + 1)] for top, bottom in itertools.pairwise(rows)]
    greys = np.stack([band.sum(axis=0, dtype=np.int64) @ _GREY for band in bands])
    sums = np.add.reduceat(greys, columns[:-1], axis=1)
    cells = sums / (np.maximum(np.diff(rows), 1)[:, np.newaxis] * np.maximum(np.diff(columns), 1))
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")


class _Ties:
    """Union-find over names of groups and digests of pictures."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        path = []
        while (parent := self._parent.setdefault(name, name)) != name:
            path.append(name)
            name = parent
        self._parent.update(dict.fromkeys(path, name))
        return name

    def tie(self, one: str, other: str) -> None:
        self._parent[self.find(one)] = self.find(other)


def _tied_together(
    newcomers: Sequence[Newcomer], residents: Sequence[Resident], distance_bits: int, group_pattern: str
) -> _Ties:
    ties = _Ties()
    for resident in residents:
        first, *others = _parts(resident.group)
        key = group_key(resident.name, group_pattern)
        for other in (*others, *filter(None, (key,))):
            ties.tie(first, other)
    for newcomer in newcomers:
        for key in _keys(newcomer, group_pattern):
            ties.tie(newcomer.digest, key)
    nodes = [_parts(resident.group)[0] for resident in residents]
    nodes += [newcomer.digest for newcomer in newcomers]
    looks = [resident.difference_hash for resident in residents]
    looks += [newcomer.difference_hash for newcomer in newcomers]
    hashes = np.array(looks, dtype=np.uint64)
    for newcomer in newcomers:
        distances = np.bitwise_count(hashes ^ np.uint64(newcomer.difference_hash))
        for neighbour in np.flatnonzero(distances <= distance_bits):
            ties.tie(newcomer.digest, nodes[neighbour])
    return ties


def _keys(newcomer: Newcomer, group_pattern: str) -> set[str]:
    keys = (newcomer.declared_group, group_key(newcomer.name, group_pattern))
    return {part for key in keys for part in _parts(key)} - {""}


def _parts(group: str) -> list[str]:
    return group.split(_JOINT)


def _bridge(newcomer: Newcomer, splits: set[Split]) -> Problem:
    message = (
        f"it belongs to groups in different splits ({', '.join(sorted(splits))}); in neither it could stay"
    )
    return Problem("error", "bridges-splits", newcomer.name, message, picture=newcomer.name)


def _follows_group(newcomer: Newcomer, split: Split, declared: Split) -> Problem:
    message = f"declared for {declared}, but its group is in {split} since an earlier version; it follows"
    return Problem("warning", "follows-group", newcomer.name, message)
