"""What can be wrong with data, said as data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Problem:
    """One thing worth saying about a batch.

    Attributes:
        severity: ``error`` costs the named picture (or the batch), ``warning`` may be a mistake,
            ``info`` was put right.
        code: Short and stable, for programs.
        where: A place in the COCO file (``/annotations/7``) or a file name.
        message: One sentence for people.
        hint: What to do about it.
        picture: The picture an error quarantines; an error without one blocks the batch.
    """

    severity: Severity
    code: str
    where: str
    message: str
    hint: str = ""
    picture: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.severity}: {self.where}: {self.message}{hint}"


def collapsed(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Put errors first, each of them; tell warnings, then remarks, once per code with their number.

    >>> odd = [Problem("info", "text-id", f"/images/{n}", "ids are text") for n in range(3)]
    >>> [str(problem) for problem in collapsed(odd)]
    ['info: /images/0: ids are text (and 2 more like this)']
    """
    errors, others = [], defaultdict(list)
    for problem in problems:
        if problem.severity == "error":
            errors.append(problem)
        else:
            others[(problem.severity, problem.code)].append(problem)
    told = [
        _told_once(alike) for _, alike in sorted(others.items(), key=lambda item: item[0][0], reverse=True)
    ]
    return (*errors, *told)


def _told_once(alike: list[Problem]) -> Problem:
    first = alike[0]
    if len(alike) == 1:
        return first
    more = f"and {len(alike) - 1} more like this"
    return replace(first, hint=f"{first.hint}; {more}" if first.hint else more)
