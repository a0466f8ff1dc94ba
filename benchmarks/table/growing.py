"""Row 9: what a long life costs, over sizes that grow a hundredfold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import Final

from benchmarks.growth.loop import grow_near_duplicates, grow_reconcile, grow_replay, grow_verdict
from benchmarks.table.lines import Line, Row

_SAMPLES: Final = (1_000, 10_000, 100_000)
_PICTURES: Final = (8_000, 32_000, 118_000)


@dataclass(frozen=True)
class _Subject:
    """What is measured at each size, which of its figures, and how it may grow: a ratio or a power."""

    name: str
    figure: str
    grow: Callable[[Sequence[int]], Iterator[dict[str, float]]]
    sizes: tuple[int, ...]
    goal: float
    is_ratio: bool = False


_SUBJECTS: Final = (
    _Subject(
        "verdict over 200 of {} samples",
        "verdict_s",
        grow_verdict,
        (1_000, 10_000, 100_000),
        1.2,
        is_ratio=True,
    ),
    _Subject("replay list of {} pictures", "request_s", grow_replay, _PICTURES, 1.1),
    _Subject("near-duplicates among {} pictures", "among_all_s", grow_near_duplicates, _PICTURES, 1.3),
    _Subject("idle reconcile after {} cycles", "reconcile_s", grow_reconcile, (100, 1_000, 5_000), 0.5),
)


def measure_long_life(quick: bool) -> Row:
    """Measure all at each size; a ratio of the largest and the smallest, or the power of growth."""
    lines = []
    for one in _SUBJECTS:
        sizes = [max(3 + place, size // 100) for place, size in enumerate(one.sizes)] if quick else one.sizes
        found = [told[one.figure] for told in one.grow(sizes)]
        figures = {f"{size:,}, CPU ms": 1000.0 * seconds for size, seconds in zip(sizes, found, strict=True)}
        ratio = found[-1] / max(found[0], 1e-9)
        said, first = one.name.format(f"{sizes[-1]:,}"), f"{sizes[0]:,}"
        if one.is_ratio:
            lines.append(Line(f"{said}, beside {first}", ratio, goal=one.goal, figures=figures))
            continue
        power = log(max(ratio, 1e-9)) / log(sizes[-1] / sizes[0])
        lines.append(
            Line(f"{said}, power of the growth from {first}", power, "", "at most", one.goal, figures)
        )
    return Row("a long life", tuple(lines), "power of the growth: 0 is flat, 1 is linear, 2 is quadratic")
