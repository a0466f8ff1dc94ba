"""Which of many old files a new version looks at: a bounded number each time, and all of them in turn.

That a file is there costs a fifth of asking the file system when it changed, so every file has to be there
every time. Size and time of change are compared for those that are due. `maskloop data verify` reads
everything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final

MOST_DUE: Final = 2_000


@dataclass(frozen=True)
class Looks:
    """The looks of one new version.

    Attributes:
        turn: Number of the version; the next one looks at other files.
        most: About so many files are due at once; fewer files than this are all due every time.
    """

    turn: int
    most: int = MOST_DUE

    def due(self, md5s: Iterable[str]) -> frozenset[str]:
        """Return those hashes whose files are looked at, which are the same if this is asked again.

        >>> looks = Looks(turn=3, most=2)
        >>> sorted(looks.due(["0000a", "0001a", "0002a", "0003a"]))
        ['0001a', '0003a']
        >>> sorted(Looks(turn=4, most=2).due(["0000a", "0001a", "0002a", "0003a"]))
        ['0000a', '0002a']
        """
        hashes = frozenset(md5s)
        num_parts = max(1, ceil(len(hashes) / self.most))
        if num_parts == 1:
            return hashes
        begins = {f"{number:04x}" for number in range(self.turn % num_parts, 16**4, num_parts)}
        return frozenset(md5 for md5 in hashes if md5[:4] in begins)


ALL_LOOKS: Final = Looks(0, most=sys.maxsize)
"""Every file is looked at."""


def list_divided(folder: Path) -> set[str]:
    """Return ``ab/name`` of everything in the sub-folders of a folder, which divide many files."""
    found = set[str]()
    for above in _list(folder):
        found.update([f"{above}/{name}" for name in _list(folder / above)])
    return found


def _list(folder: Path) -> list[str]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return os.listdir(folder)  # noqa: PTH208 - of 100,000 files, of which only the names are needed
    return []
