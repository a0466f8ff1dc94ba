"""The label schema: reading it from COCO categories, and noticing when it or the mix of labels changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from dataset.coco import Identifier, identifier
from dataset.problems import Problem

_TOTAL_VARIATION_WARNED: Final = 0.15
_Z_ONE_IN_A_THOUSAND: Final = 3.0902


def read_categories(categories: Sequence[Any], problems: list[Problem]) -> dict[Identifier, str]:
    """Map category ids to trimmed names, by id; what is wrong with them is added to ``problems``."""
    names: dict[Identifier, str] = {}
    for number, category in enumerate(categories):
        where = f"/categories/{number}"
        key = identifier(category.get("id")) if isinstance(category, dict) else None
        name = category.get("name") if isinstance(category, dict) else None
        if key is None or not isinstance(name, str) or not name.strip():
            problems.append(Problem("error", "bad-category", where, "a category needs an id and a name"))
            continue
        if name != name.strip():
            message = f"the name {name!r} has blanks or line ends around it; they were trimmed"
            problems.append(Problem("warning", "category-name-trimmed", where, message))
        if key in names:
            problems.append(
                Problem("error", "category-id-twice", where, f"category id {key!r} is used twice")
            )
        names[key] = name.strip()
    for name, count in Counter(names.values()).items():
        if count > 1:
            message = f"{count} categories are called {name!r}"
            problems.append(
                Problem("error", "category-name-twice", "/categories", message, "merge them or rename one")
            )
    return dict(sorted(names.items(), key=lambda item: (isinstance(item[0], str), item[0])))


def compare_label_schema(old: Sequence[str], new: Sequence[str]) -> tuple[Problem, ...]:
    """Say which classes are new and which are gone; either is an error.

    >>> [str(problem.code) for problem in compare_label_schema(("bolt", "nut"), ("bolt", "gear"))]
    ['class-new', 'class-vanished']
    """
    hint = "agree to a new label schema with allow_schema_change, or put the categories right"
    appeared = [
        Problem("error", "class-new", "/categories", f"class {name!r} is not in the label schema", hint)
        for name in new
        if name not in old
    ]
    vanished = [
        Problem("error", "class-vanished", "/categories", f"class {name!r} is missing from the batch", hint)
        for name in old
        if name not in new
    ]
    return (*appeared, *vanished)


def settle_schema(
    *,
    configured: tuple[str, ...],
    previous: tuple[str, ...],
    incoming: tuple[str, ...],
    allow_change: bool,
) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """Decide the label schema of the next version, and what stands against it.

    Args:
        configured: ``classes`` of the settings, or empty.
        previous: The current version's, or empty.
        incoming: The batch's.
        allow_change: A person has agreed: changes are then warnings, and new classes are appended. A class
            the settings do not name stays an error.
    """
    target = configured or previous or incoming
    problems = list(compare_label_schema(target, incoming))
    if configured and previous and configured != previous:
        message = f"the settings' classes {configured} are not the current version's {previous}"
        hint = "agree to it with allow_schema_change, or restore the classes in maskloop.toml"
        problems.append(Problem("error", "schema-changed", "maskloop.toml: classes", message, hint))
    if not allow_change:
        return target, tuple(problems)
    if not configured:
        target += tuple(name for name in incoming if name not in target)
    fatal = {"class-new"} if configured else set()
    return target, tuple(
        problem if problem.code in fatal else replace(problem, severity="warning") for problem in problems
    )


def compare_label_distribution(
    old_counts: Sequence[int], new_counts: Sequence[int], class_names: Sequence[str]
) -> tuple[Problem, ...]:
    """Warn when the batch's mix of classes is clearly not the previous version's.

    Both must hold: the total variation distance, half the summed absolute difference of the shares, is at
    least 0.15, and a chi-square test of homogeneity (Pearson 1900) is beyond its one-in-a-thousand point
    (Wilson and Hilferty's approximation, 1931). Instances of one picture are not independent, hence both.

    Args:
        old_counts: Instances per class so far.
        new_counts: Instances per class in the batch.
        class_names: As long as both.
    """
    counts = np.array([old_counts, new_counts], dtype=np.float64)
    counts, names = counts[:, counts.sum(axis=0) > 0], np.array(class_names)[counts.sum(axis=0) > 0]
    totals = counts.sum(axis=1, keepdims=True)
    if counts.shape[1] < 2 or not totals.all():
        return ()
    shares = counts / totals
    distance = float(np.abs(shares[0] - shares[1]).sum()) / 2
    expected = totals * counts.sum(axis=0) / counts.sum()
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    if distance < _TOTAL_VARIATION_WARNED or chi_square < _chi_square_limit(counts.shape[1] - 1):
        return ()
    most = int(np.abs(shares[0] - shares[1]).argmax())
    message = (
        f"the mix of classes moved by {distance:.2f} (0 the same, 1 nothing in common), most for "
        f"{names[most]!r}: {shares[0, most]:.0%} before, {shares[1, most]:.0%} in this batch"
    )
    hint = "fine if production changed; otherwise look for swapped or forgotten labels"
    return (Problem("warning", "label-mix-moved", "/annotations", message, hint),)


def _chi_square_limit(degrees: int) -> float:
    """Return the 99.9 % point of chi-square, by Wilson and Hilferty's cube."""
    spread = 2.0 / (9.0 * degrees)
    return float(degrees * (1.0 - spread + _Z_ONE_IN_A_THOUSAND * spread**0.5) ** 3)
