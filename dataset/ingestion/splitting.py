"""Who trains and who tests: pictures that belong together are in one split, for ever.

Pictures belong together when they share a group key, or when they look alike (frames of one scene, a copy
saved again): their 64-bit difference hashes are nearly equal, and so are their grey cells. Tiles of one
photograph do not look alike; their names tell (`dataset.ingestion.name_groups`). A group's split follows from
the hash of its key and never changes, whatever comes in later.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.ingestion.name_groups import group_key
from dataset.labelled_pictures import Split
from dataset.pictures.looks import alike_pairs, near_pairs, near_pairs_between, standardised
from dataset.problems import DataProblem
from maskloop.digest import digest_bytes

_JOINT: Final = " + "
"""A picture's group names every key that tied it, so that each still ties what comes later."""
_MAX_PERCENT_IN_ONE_GROUP: Final = 20.0
_MIN_LARGE_GROUP: Final = 5


@dataclass(frozen=True)
class Newcomer:
    """A picture that is in no version yet. Its cells are None where only the hash is known."""

    digest: str
    name: str
    declared_group: str
    difference_hash: int
    cells: bytes | None = None


@dataclass(frozen=True)
class Resident:
    """A picture that some version holds; its group and split stand."""

    digest: str
    name: str
    group: str
    split: Split
    difference_hash: int
    cells: bytes | None = None


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
        problems: Pictures left out because they tie a training group to a test group (errors), pictures that
            follow their group into another split than the declared one, and groups that hold so much of the
            batch that the shares of the splits cannot come out (warnings).
        group_sizes: New pictures in each group that got some.
    """

    places: Mapping[str, Place]
    problems: tuple[DataProblem, ...]
    group_sizes: tuple[int, ...] = ()


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
        near_duplicate_distance_bits: Pictures whose hashes differ in at most so many bits are one group,
            unless their cells differ.
        group_pattern: Regular expression; file names matching with equal captured groups are one group.
        declared: The split of new groups, instead of the hash.
    """
    ties = _tied_together(newcomers, residents, near_duplicate_distance_bits, group_pattern)
    splits_held: dict[str, set[Split]] = defaultdict(set)
    keys_held: dict[str, set[str]] = defaultdict(set)
    tied_newcomers: dict[str, list[Newcomer]] = defaultdict(list)
    for newcomer in newcomers:
        tied_newcomers[ties.root(newcomer.digest)].append(newcomer)
    for resident in residents:
        root = ties.root(resident.group.partition(_JOINT)[0])
        if root in tied_newcomers:
            splits_held[root].add(resident.split)
            keys_held[root].update(_parts(resident.group))
    places: dict[str, Place] = {}
    problems: list[DataProblem] = []
    sizes: list[int] = []
    for root, tied in tied_newcomers.items():
        if len(splits_held[root]) > 1:
            problems += [_bridge(newcomer, splits_held[root]) for newcomer in tied]
            continue
        keys = {newcomer.digest: _keys(newcomer, group_pattern) for newcomer in tied}
        key = min(keys_held[root] or set().union(*keys.values()) or keys)
        held = next(iter(splits_held[root]), None)
        split = held or declared or hashed_split(key, val_percent, test_percent)
        sizes.append(len(tied))
        places |= {digest: Place(_JOINT.join(sorted(own | {key})), split) for digest, own in keys.items()}
        if declared and split != declared:
            problems += [_follows_group(newcomer, split, declared) for newcomer in tied]
        if declared is None and is_large_group(len(tied), len(newcomers)):
            problems.append(_large_group(tied, len(newcomers), split, group_pattern))
    return SplitPlan(places, tuple(problems), tuple(sizes))


def hashed_split(group: str, val_percent: float, test_percent: float) -> Split:
    """Return a group's split, from its key alone.

    >>> [hashed_split(f"scene-{number}", 15, 20) for number in range(4)]
    ['train', 'val', 'train', 'train']
    """
    position = int(digest_bytes(f"split:{group}".encode())[:12], 16) / 16**12 * 100.0
    if position < test_percent:
        return "test"
    return "val" if position < test_percent + val_percent else "train"


def is_large_group(num_tied: int, num_pictures: int) -> bool:
    """Say whether a group of that many pictures, out of so many, upsets the shares of the splits."""
    return num_tied >= _MIN_LARGE_GROUP and 100.0 * num_tied > _MAX_PERCENT_IN_ONE_GROUP * num_pictures


class _Ties:
    """Things that belong together: a forest in which each thing points to another of its set, or to none.

    Source: B. Galler and M. Fischer, "An improved equivalence algorithm", 1964. What was never tied costs
    nothing: most pictures are a group of their own.
    """

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def root(self, one: str) -> str:
        """Return the thing that stands for all that are tied to one."""
        passed = []
        while (above := self._above.get(one)) is not None:
            passed.append(one)
            one = above
        for each in passed:
            self._above[each] = one
        return one

    def tie(self, one: str, other: str) -> None:
        """Say that two things belong together."""
        root, other_root = self.root(one), self.root(other)
        if root != other_root:
            self._above[other_root] = root


def _tied_together(
    newcomers: Sequence[Newcomer], residents: Sequence[Resident], distance_bits: int, group_pattern: str
) -> _Ties:
    """Return what ties names of groups and digests of pictures."""
    nodes = [resident.group.partition(_JOINT)[0] for resident in residents]
    nodes += [newcomer.digest for newcomer in newcomers]
    ties = _Ties()
    for resident, node in zip(residents, nodes, strict=False):
        for key in _parts(resident.group)[1:]:
            ties.tie(node, key)
        if key := group_key(resident.name, group_pattern):
            ties.tie(node, key)
    for newcomer in newcomers:
        for key in _keys(newcomer, group_pattern):
            ties.tie(newcomer.digest, key)
    everybody = [*residents, *newcomers]
    near, rows = np.unique(_near(residents, newcomers, distance_bits), return_inverse=True)
    cells = standardised([everybody[number].cells for number in near.tolist()])
    for one, other in near[alike_pairs(rows.reshape(-1, 2), cells)].tolist():
        ties.tie(nodes[one], nodes[other])
    return ties


def _near(
    residents: Sequence[Resident], newcomers: Sequence[Newcomer], distance_bits: int
) -> NDArray[np.int64]:
    """Return pairs, int64 (K, 2), of a newcomer and another whose hashes are near; residents count first."""
    old, new = (
        np.array([one.difference_hash for one in some], dtype=np.uint64) for some in (residents, newcomers)
    )
    among = [pairs + len(old) for pairs in near_pairs(new, distance_bits)]
    between = near_pairs_between(old, new, distance_bits) + np.array([0, len(old)])
    return np.concatenate([between, *among])


def _keys(newcomer: Newcomer, group_pattern: str) -> set[str]:
    keys = (newcomer.declared_group, group_key(newcomer.name, group_pattern))
    return {part for key in keys for part in _parts(key)} - {""}


def _parts(group: str) -> list[str]:
    return group.split(_JOINT)


def _bridge(newcomer: Newcomer, splits: set[Split]) -> DataProblem:
    message = (
        f"it belongs to groups in different splits ({', '.join(sorted(splits))}); in neither it could stay"
    )
    return DataProblem("error", "bridges-splits", newcomer.name, message, picture=newcomer.name)


def _large_group(
    tied: Sequence[Newcomer], num_newcomers: int, split: Split, group_pattern: str
) -> DataProblem:
    """Name two of its pictures and what ties them."""
    names = {newcomer.name for newcomer in tied}
    by_key = Counter(key for newcomer in tied for key in _keys(newcomer, group_pattern))
    key, num_named = by_key.most_common(1)[0] if by_key else ("", 0)
    if 2 * num_named >= len(tied):
        names = {newcomer.name for newcomer in tied if key in _keys(newcomer, group_pattern)}
        hint = f"the group is called {key!r}, by data.group_pattern or the annotation file: is it one scene?"
    else:
        hint = (
            "they look alike; if they are different pictures, set data.near_duplicate_distance_bits = -1 in "
            "a new workspace: places once given stand"
        )
    one, other, *_ = sorted(names)
    message = (
        f"{len(tied)} of {num_newcomers} new pictures are one group and all go to {split}, among them {one} "
        f"and {other}"
    )
    return DataProblem("warning", "large-group", one, message, hint, example=one)


def _follows_group(newcomer: Newcomer, split: Split, declared: Split) -> DataProblem:
    message = f"declared for {declared}, but its group is in {split} since an earlier version; it follows"
    return DataProblem("warning", "follows-group", newcomer.name, message)
