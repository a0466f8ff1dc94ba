"""Problems found in a batch, as values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

Severity = Literal["error", "warning", "info"]
_GRAVITY: Final = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class DataProblem:
    """One finding about a batch.

    Attributes:
        severity: ``error`` costs the named picture (or the batch), ``warning`` may be a mistake,
            ``info`` was put right.
        code: Short and stable, for programs.
        where: A place in the COCO file (``/annotations/7``) or a file name.
        message: One sentence for people.
        hint: What to do about it.
        picture: The picture an error quarantines; an error without one blocks the batch.
        example: A picture to look at.
        count: How many like this were found.
    """

    severity: Severity
    code: str
    where: str
    message: str
    hint: str = ""
    picture: str = ""
    example: str = ""
    count: int = 1

    @property
    def shown_in(self) -> str:
        """The picture it can be seen in, or an empty string."""
        return self.picture or self.example

    def __str__(self) -> str:
        more = f"and {self.count - 1} more like this" if self.count > 1 else ""
        hint = "; ".join(filter(None, (self.hint, more)))
        return f"{self.severity}: {self.where}: {self.message}" + (f" ({hint})" if hint else "")


def collapsed(problems: Iterable[DataProblem]) -> tuple[DataProblem, ...]:
    """Return all errors, then one warning and one remark per code with its count.

    >>> odd = [DataProblem("info", "text-id", f"/images/{n}", "ids are text") for n in range(3)]
    >>> [str(problem) for problem in collapsed(odd)]
    ['info: /images/0: ids are text (and 2 more like this)']
    """
    each = tuple(problems)
    errors = tuple(problem for problem in each if problem.severity == "error")
    return (*errors, *by_kind(problem for problem in each if problem.severity != "error"))


def by_kind(problems: Iterable[DataProblem]) -> tuple[DataProblem, ...]:
    """Tell each severity and code once: its first problem, with the number of all. The gravest come first."""
    alike: dict[tuple[str, str], list[DataProblem]] = defaultdict(list)
    for problem in problems:
        alike[(problem.severity, problem.code)].append(problem)
    told = [replace(each[0], count=sum(one.count for one in each)) for each in alike.values()]
    return tuple(sorted(told, key=lambda problem: _GRAVITY[problem.severity]))
