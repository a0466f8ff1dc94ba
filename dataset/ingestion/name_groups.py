"""File names that tell which pictures were one: tiles of a photograph, frames of a film, copies of a picture.

Nothing is grouped by a name unless settings say so (``data.group_pattern``); this proposes the setting. The
running numbers of cameras (IMG_0001, or 001 to 999 for each day) are not taken for tiles: few names come
before them, or they are long.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

_END: Final = r"\.\w+$"
_WORDS: Final = "tile|patch|crop|slice|chip|scaled|aug|copy|frame"
_MARKED: Final = (
    r"^(.+)\.rf\.[0-9a-fA-F]{8,}",
    r"^(.+?)__\d+__\d+___\d+" + _END,
    rf"^(.+?)[_.-](?:{_WORDS})s?[_.-]?\d+",
)
"""Roboflow's copies, the tiles of aerial pictures, and words that say it."""
_NUMBERED: Final = (
    r"^(.*\D.*?)[_-]\d{1,5}(?:[_-]\d{1,5}){1,3}" + _END,
    r"^(.*\D.*?)[_-]\d{1,2}" + _END,
)
"""Rows and columns, or corners in px; running numbers of at most two digits."""
_DATE: Final = re.compile(r"(?:19|20)\d\d[_.-]?[01]\d[_.-]?[0-3]\d$")
_MIN_GROUPS: Final = 3
_MIN_PERCENT_GROUPED: Final = 10.0
_MAX_PERCENT_IN_ONE: Final = 34.0
_MIN_PERCENT_BEGINNING: Final = 80.0


@dataclass(frozen=True)
class NamePattern:
    """A proposal for ``data.group_pattern``.

    Attributes:
        pattern: The regular expression; its captured part names the group.
        num_pictures: Pictures it puts into groups of two or more.
        num_groups: Those groups.
        example: Two names of one group.
    """

    pattern: str
    num_pictures: int
    num_groups: int
    example: tuple[str, str]

    @property
    def setting(self) -> str:
        """The line for ``[data]`` in maskloop.toml."""
        return f"group_pattern = '{self.pattern}'"


def suggest_pattern(names: Sequence[str]) -> NamePattern | None:
    """Return the pattern by which these file names fall into groups, or None if they tell of none.

    >>> tiles = [f"{photo}_scaled_{tile}.png" for photo in ("oak", "elm", "ash") for tile in range(4)]
    >>> suggest_pattern(tiles).example
    ('ash_scaled_0.png', 'ash_scaled_1.png')
    >>> suggest_pattern([f"IMG_{number:04d}.jpg" for number in range(400)]) is None
    True
    """
    distinct = sorted(set(names))
    for pattern in (*_MARKED, *_NUMBERED):
        groups = {key: one for key, one in names_by_group(distinct, pattern).items() if len(one) > 1}
        if _tell_of_parts(groups, len(distinct)) and (pattern in _MARKED or _count_parts(groups)):
            first = groups[min(groups)]
            return NamePattern(pattern, sum(map(len, groups.values())), len(groups), (first[0], first[1]))
    return None


def may_be_parts(names: Iterable[str]) -> bool:
    """Say whether any of these file names could be in a group of a proposal of `suggest_pattern`."""
    return any(group_key(name, pattern) for name in names for pattern in (*_MARKED, *_NUMBERED))


def names_by_group(names: Sequence[str], pattern: str) -> dict[str, list[str]]:
    """Return the names that a pattern matches, by what it captures, as `splitting.group_key` does."""
    groups = defaultdict(list)
    for name in names:
        if key := group_key(name, pattern):
            groups[key].append(name)
    return dict(groups)


def group_key(name: str, group_pattern: str) -> str:
    """Return what a file name's group is called, or an empty string if the pattern does not match.

    >>> group_key("plant3_cam1_frame0042.png", r"(plant\\d+)_cam\\d+_frame(\\d\\d)")
    'plant3/00'
    """
    match = re.search(group_pattern, name) if group_pattern else None
    if match is None:
        return ""
    return "/".join(part or "" for part in match.groups()) or match.group()


def _tell_of_parts(groups: Mapping[str, list[str]], num_names: int) -> bool:
    """A few names with very many pictures each are cameras or days, not photographs."""
    sizes = [len(names) for names in groups.values()]
    return (
        len(sizes) >= _MIN_GROUPS
        and 100.0 * sum(sizes) >= _MIN_PERCENT_GROUPED * num_names
        and 100.0 * max(sizes) <= _MAX_PERCENT_IN_ONE * num_names
    )


def _count_parts(groups: Mapping[str, list[str]]) -> bool:
    """Numbers of parts begin with 0 or 1 in each group, and there are more groups than parts in one."""
    if any(map(_DATE.search, groups)) or median(map(len, groups.values())) > len(groups):
        return False
    beginning = 0
    for key, names in groups.items():
        ends = [name[len(key) :].rpartition(".")[0] for name in names]
        counted = [[int(number) for number in re.findall(r"\d+", end)] for end in ends]
        lowest = [min(column) for column in zip(*counted, strict=False)]
        beginning += 2 * sum(number <= 1 for number in lowest) >= len(lowest)
    return 100.0 * beginning >= _MIN_PERCENT_BEGINNING * len(groups)
