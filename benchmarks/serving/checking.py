"""Is every answer what the named version's weights give for that picture?

Bare answers are computed beforehand, alone and in small and full batches, because the last bits of a pass may
depend on how many pictures share it: a score or a coordinate may then round the other way. An answer is right
if it is one of these; how many pictures have more than one is counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.serving.bare import BareModel
from benchmarks.serving.plans import Sent

Instances = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Expected:
    """The right answers of some versions.

    Attributes:
        by_version: For each version and each picture the answers that are right.
        num_ambiguous: Pictures that two versions answer alike, so that a mix-up would not be seen.
        num_batch_dependent: Answers that depend on the size of the batch, over all pictures and versions.
    """

    by_version: Mapping[str, Sequence[frozenset[str]]]
    num_ambiguous: int
    num_batch_dependent: int

    def is_right(self, version: str, picture: int, instances: Instances) -> bool:
        """Tell whether that version gives exactly these instances for that picture."""
        known = self.by_version.get(version)
        return known is not None and canonical(instances) in known[picture]


def compute_expected(
    directories: Mapping[str, Path], pictures: Path, *, max_batch: int, threads: int | None = None
) -> Expected:
    """Let the bare model of each version answer every picture, alone, by threes and in full batches.

    With as many threads as the service's processes have: they too decide about the last bits.
    """
    by_version: dict[str, list[frozenset[str]]] = {}
    for version, directory in directories.items():
        with BareModel(directory, pictures, threads=threads) as bare:
            runs = [bare.answers(batch=batch) for batch in (1, 3, max_batch)]
        by_version[version] = [frozenset(map(canonical, each)) for each in zip(*runs, strict=True)]
    return Expected(by_version, _count_ambiguous(by_version), _count_dependent(by_version))


def count_wrong(answers: Sequence[Sent], expected: Expected) -> tuple[int, Counter[str]]:
    """Return how many answers are wrong, and how many each version gave."""
    wrong, versions = 0, Counter[str]()
    for sent in answers:
        told = sent.answer()
        version = told["model"]["version"]
        versions[version] += 1
        wrong += not expected.is_right(version, sent.picture, told["instances"])
    return wrong, versions


def canonical(instances: Instances) -> str:
    """Return instances as text that is equal exactly if they are."""
    return json.dumps(
        [[one["class_name"], one["score"], list(one["box_xyxy"]), one["mask"]] for one in instances],
        sort_keys=True,
    )


def _count_ambiguous(by_version: Mapping[str, Sequence[frozenset[str]]]) -> int:
    """Count the pictures for which two versions share an answer."""
    count = 0
    for answers in zip(*by_version.values(), strict=True):
        count += sum(map(len, answers)) > len(frozenset().union(*answers))
    return count


def _count_dependent(by_version: Mapping[str, Sequence[frozenset[str]]]) -> int:
    return sum(len(right) > 1 for answers in by_version.values() for right in answers)
