"""The modules that a bundle needs: everything some modules import, and what that imports, and so on."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = (
    "maskloop",
    "dataset",
    "evaluation",
    "models",
    "monitoring",
    "registry",
    "serving",
    "flows",
)


@dataclass(frozen=True)
class ImportedCode:
    """What a module imports, directly or not; for type checkers alone is left out.

    Attributes:
        files: Of our modules, below the repository, sorted.
        others: Packages that are neither ours nor Python's, wherever in a module they are imported.
    """

    files: tuple[Path, ...]
    others: frozenset[str]


def find_imported(*modules: str) -> ImportedCode:
    """Return everything that modules of ours import, themselves included."""
    waiting, files, others = [*modules], set[Path](), set[str]()
    while waiting:
        file = _file_of(waiting.pop())
        if file in files:
            continue
        files.add(file)
        waiting += [
            ".".join(parent.parts) for parent in file.parents if (ROOT / parent / "__init__.py").exists()
        ]
        for name, part in _imports(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            top = name.partition(".")[0]
            if top in PACKAGES:
                deeper = f"{name}.{part}"
                waiting.append(deeper if part and (ROOT / _file_of(deeper)).exists() else name)
            elif top not in sys.stdlib_module_names:
                others.add(top)
    return ImportedCode(tuple(sorted(files)), frozenset(others))


def _file_of(module: str) -> Path:
    """Return where a module lies, below the repository."""
    path = Path(*module.split("."))
    return path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")


def _imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Give what is imported: the module, and a name from it or nothing."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, "") for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield from ((child.module, alias.name) for alias in child.names)
        else:
            yield from _imports(child)
