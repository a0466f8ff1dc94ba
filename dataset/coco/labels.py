"""The label schema: reading it from COCO categories, and noticing when it or the mix of labels changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.coco.document import CocoFile, Identifier, identifier
from dataset.problems import DataProblem

_TOTAL_VARIATION_WARNED: Final = 0.15
_CHANCE_WARNED: Final = 0.001
_SCHEMA_HINT: Final = "pass --allow-schema-change to change them, or restore the classes in maskloop.toml"
_VANISHED_HINT: Final = (
    "list every class in the file's categories, also those without objects, or pass --allow-schema-change; "
    "`maskloop data classes --drop` takes a class out of the schema for good"
)


@dataclass(frozen=True)
class BatchClasses:
    """The categories a COCO file lists.

    Attributes:
        names: All of them, by category id.
        unused: Those that no annotation names.
        umbrellas: Unused ones that another category gives as its ``supercategory``. Roboflow's exports begin
            with one: it is the project's name.
        is_complete: Whether a class that is missing is missing on purpose: formats without a list of classes
            only name those of their objects.
    """

    names: tuple[str, ...]
    unused: frozenset[str] = frozenset()
    umbrellas: frozenset[str] = frozenset()
    is_complete: bool = True


def read_batch_classes(coco: CocoFile) -> BatchClasses:
    """Return the classes of a batch; `read_categories` says what is wrong with them."""
    names = read_categories(coco.categories, [])
    used = {identifier(one.get("category_id")) for one in coco.annotations if isinstance(one, dict)}
    unused = frozenset(name for key, name in names.items() if key not in used)
    above = frozenset(filter(None, map(_name_above, coco.categories)))
    return BatchClasses(tuple(names.values()), unused, unused & above, coco.declares_classes)


def _name_above(category: Any) -> str:
    """Return the name of the group a category belongs to, or an empty string."""
    above = category.get("supercategory") if isinstance(category, dict) else None
    name = category.get("name") if isinstance(category, dict) else None
    return above.strip() if isinstance(above, str) and above != name else ""


def read_categories(categories: Sequence[Any], problems: list[DataProblem]) -> dict[Identifier, str]:
    """Map category ids to trimmed names, by id; what is wrong with them is added to ``problems``."""
    names: dict[Identifier, str] = {}
    for number, category in enumerate(categories):
        where = f"/categories/{number}"
        key = identifier(category.get("id")) if isinstance(category, dict) else None
        name = category.get("name") if isinstance(category, dict) else None
        if key is None or not isinstance(name, str) or not name.strip():
            hint = "give each category an id, a number or text, and a name that is not empty"
            problems.append(
                DataProblem("error", "bad-category", where, "a category needs an id and a name", hint)
            )
            continue
        if name != name.strip():
            message = f"the name {name!r} has blanks or line ends around it; they were trimmed"
            problems.append(DataProblem("warning", "category-name-trimmed", where, message))
        if key in names:
            message = f"category id {key!r} is used twice"
            hint = "give each category an id of its own, and say so in its annotations"
            problems.append(DataProblem("error", "category-id-twice", where, message, hint))
        names[key] = name.strip()
    for name, count in Counter(names.values()).items():
        if count > 1:
            message = f"{count} categories are called {name!r}"
            problems.append(
                DataProblem(
                    "error", "category-name-twice", "/categories", message, "merge them or rename one"
                )
            )
    return dict(sorted(names.items(), key=lambda item: (isinstance(item[0], str), item[0])))


def settle_schema(
    *,
    configured: tuple[str, ...],
    previous: tuple[str, ...],
    incoming: BatchClasses,
    allow_change: bool,
) -> tuple[tuple[str, ...], tuple[DataProblem, ...]]:
    """Decide the label schema of the next version, and what stands against it.

    A first batch sets the schema, its umbrella categories left out. Later the schema grows only by classes
    that have instances: a category that no annotation uses is a remark. A class of the schema must be among
    the categories, unless the format lists none but those that were drawn.

    Args:
        configured: ``classes`` of the settings, or empty.
        previous: The current version's, or empty.
        incoming: The batch's.
        allow_change: A person has agreed: changes are then warnings, and new classes are appended. A class
            the settings do not name stays an error.
    """
    of_batch = tuple(name for name in incoming.names if name not in incoming.umbrellas)
    target = configured or previous or of_batch
    new = [name for name in incoming.names if name not in target]
    problems = [
        *(_left_out(name) for name in new if name in incoming.unused),
        *(_new_class(name, bool(configured)) for name in new if name not in incoming.unused),
        *(_vanished_class(name) for name in target if name not in incoming.names and incoming.is_complete),
    ]
    if configured and previous and configured != previous:
        message = f"maskloop.toml lists the classes {_listed(configured)}, the data have {_listed(previous)}"
        problems.append(
            DataProblem("error", "schema-changed", "maskloop.toml: classes", message, _SCHEMA_HINT)
        )
    if not allow_change:
        return target, tuple(problems)
    if not configured:
        target += tuple(name for name in new if name not in incoming.unused)
    return target, tuple(_agreed(problem, bool(configured)) for problem in problems)


def _agreed(problem: DataProblem, is_configured: bool) -> DataProblem:
    """Make an error a person has agreed to a warning, without the advice to agree to it."""
    if problem.severity != "error" or (problem.code == "class-new" and is_configured):
        return problem
    return replace(problem, severity="warning", hint="")


def _new_class(name: str, is_configured: bool) -> DataProblem:
    hint = (
        "add it to `classes` in maskloop.toml, or give its annotations a class that is listed there"
        if is_configured
        else "pass --allow-schema-change to add it, or rename the category in the file"
    )
    return DataProblem(
        "error", "class-new", "/categories", f"class {name!r} is not in the label schema", hint
    )


def _vanished_class(name: str) -> DataProblem:
    message = f"class {name!r} is missing from the batch"
    return DataProblem("error", "class-vanished", "/categories", message, _VANISHED_HINT)


def _left_out(name: str) -> DataProblem:
    message = f"category {name!r} was left out: no annotation uses it, and the label schema lacks it"
    return DataProblem("info", "category-unused", "/categories", message)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def compare_label_distribution(
    old_counts: Sequence[int], new_counts: Sequence[int], class_names: Sequence[str]
) -> tuple[DataProblem, ...]:
    """Warn when the batch's mix of classes is clearly not the previous version's.

    Both must hold: the total variation distance, half the summed absolute difference of the shares, is at
    least 0.15, and a chi-square test of homogeneity (Pearson 1900) is beyond its one-in-a-thousand point.
    Instances of one picture are not independent, hence both.

    Args:
        old_counts: Instances per class so far.
        new_counts: Instances per class in the batch.
        class_names: As long as both.
    """
    counts = np.array([old_counts, new_counts], dtype=np.float64)
    names = [name for name, total in zip(class_names, counts.sum(axis=0), strict=True) if total]
    counts = counts[:, counts.sum(axis=0) > 0]
    totals = counts.sum(axis=1, keepdims=True)
    if counts.shape[1] < 2 or not totals.all():
        return ()
    shares = counts / totals
    distance = float(np.abs(shares[0] - shares[1]).sum()) / 2
    if distance < _TOTAL_VARIATION_WARNED or _chance_of(counts) > _CHANCE_WARNED:
        return ()
    most = int(np.abs(shares[0] - shares[1]).argmax())
    message = (
        f"the mix of classes moved by {distance:.2f} (0 the same, 1 nothing in common), most for "
        f"{str(names[most])!r}: {shares[0, most]:.0%} before, {shares[1, most]:.0%} in this batch"
    )
    hint = "fine if production changed; otherwise look for swapped or forgotten labels"
    return (DataProblem("warning", "label-mix-moved", "/annotations", message, hint),)


def _chance_of(counts: NDArray[np.float64]) -> float:
    """Return the p-value of Pearson's test that both rows, float64 (2, C), have the same mix, 0..1."""
    from scipy.special import chdtrc  # the function behind scipy.stats.chi2.sf, without a second of imports

    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    chi_square = ((counts - expected) ** 2 / expected).sum()
    return float(chdtrc(counts.shape[1] - 1, chi_square))
