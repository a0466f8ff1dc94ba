"""Whoever calls a function with arrays is told their shapes and dtypes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("dataset", "evaluation", "flows", "maskloop", "models", "monitoring", "registry", "serving")
ARRAYS = {"NDArray", "ndarray", "Tensor"}
AXIS = r"(?:[A-Z][A-Za-z]{0,2}|\d+|[hw]|…|\.)(?: [+*/-] (?:\d+|[A-Z]))?"
SHAPE = re.compile(rf"\({AXIS}(?:,|(?:, {AXIS})+)\)|\bscalar\b|\bany shape\b")
DTYPE = re.compile(r"\b(?:uint8|uint16|uint32|uint64|int64|int32|bfloat16|float32|float64|bool|any dtype)\b")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def public_functions(module: ast.Module) -> Iterator[tuple[str, Function]]:
    """Yield functions and methods by name, without private ones and those of classes that inherit."""
    for node in module.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not inherits(node):
            methods = (one for one in node.body if isinstance(one, Function))
            yield from ((f"{node.name}.{one.name}", one) for one in methods if not one.name.startswith("_"))


def inherits(node: ast.ClassDef) -> bool:
    """Tell whether a base class may say it already; a port is the first to say it."""
    return any(not (isinstance(base, ast.Name) and base.id == "Protocol") for base in node.bases)


def mentions_arrays(function: Function) -> bool:
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    annotations = [one.annotation for one in every if one and one.annotation]
    annotations += [function.returns] if function.returns else []
    names = (node for one in annotations for node in ast.walk(one))
    return any(
        (isinstance(node, ast.Name) and node.id in ARRAYS)
        or (isinstance(node, ast.Attribute) and node.attr in ARRAYS)
        for node in names
    )


def what_is_missing(function: Function) -> str:
    """Return what the docstring does not say about its arrays; empty for a function without any."""
    if not mentions_arrays(function):
        return ""
    said = ast.get_docstring(function) or ""
    parts = [name for name, pattern in (("a shape", SHAPE), ("a dtype", DTYPE)) if not pattern.search(said)]
    return " and ".join(parts)


@pytest.mark.parametrize("package", PACKAGES)
def test_public_functions_with_arrays_name_a_shape_and_a_dtype(package: str) -> None:
    missing = {}
    for file in sorted((REPOSITORY / package).rglob("*.py")):
        for name, function in public_functions(ast.parse(file.read_text(encoding="utf-8"))):
            if what := what_is_missing(function):
                missing[f"{file.relative_to(REPOSITORY)}:{function.lineno} {name}"] = what
    assert missing == {}


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ('def f(a: NDArray[np.uint8]) -> int: "A picture, uint8 (H, W, 3)."', ""),
        ('def f(a: np.ndarray) -> int: "A picture, (H, W, 3)."', "a dtype"),
        ('def f() -> tuple[Tensor, ...]: "Boxes, float32, x0, y0 (px)."', "a shape"),
        ('def f(a: Sequence[Tensor]) -> int: "Some boxes."', "a shape and a dtype"),
        ('def f(a: Tensor) -> int: "Weights of any shape, float32."', ""),
        ('def f(*, a: int) -> list[int]: "No array."', ""),
        ('def f(a: Tensor) -> int: "The mean, a scalar, float32."', ""),
        ('def f(a: Tensor) -> int: "Boxes (of regions, in px), float32."', "a shape"),
        ('def f(a: Tensor) -> int: "Logits (K, C + 1), float32."', ""),
    ],
)
def test_the_check_sees_what_a_docstring_leaves_out(source: str, missing: str) -> None:
    (function,) = [function for _, function in public_functions(ast.parse(source))]
    assert what_is_missing(function) == missing


def test_private_functions_and_methods_that_inherit_are_not_asked() -> None:
    source = """
def _hidden(a: Tensor) -> int: "Nothing."
class Net(nn.Module):
    def forward(self, x: Tensor) -> Tensor: "Nothing."
class Port(Protocol):
    def predict(self, x: Tensor) -> Tensor: "Nothing."
"""
    assert [name for name, _ in public_functions(ast.parse(source))] == ["Port.predict"]
