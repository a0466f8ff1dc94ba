"""The best settings as a fragment of `maskloop.toml`, and as a difference to the present file. Pure."""

from __future__ import annotations

import difflib
from typing import Any

import tomlkit
from tomlkit.items import InlineTable, Table

from maskloop.errors import ConfigurationError
from models.search.space import Values


def changed_values(present: Values, best: Values) -> Values:
    """Return what is not as it is now.

    >>> changed_values({"training.batch_size": 2, "training.clip_norm": 1.0}, {"training.batch_size": 4})
    {'training.batch_size': 4}
    """
    return {path: value for path, value in best.items() if value != present.get(path)}


def write_fragment(values: Values, remarks: tuple[str, ...]) -> str:
    """Return values as TOML, as `maskloop.toml` takes it, below remarks."""
    document = tomlkit.document()
    for remark in remarks:
        document.add(tomlkit.comment(remark))
    _set_values(document, values)
    return tomlkit.dumps(document).rstrip() + "\n"


def apply_values(text: str, values: Values) -> str:
    """Return a settings file with values in their places; comments and everything else stay as they are.

    Raises:
        ConfigurationError: if the text is not TOML.
    """
    try:
        document = tomlkit.parse(text)
    except tomlkit.exceptions.ParseError as error:
        raise ConfigurationError(f"this is not valid TOML: {error}", where="maskloop.toml") from error
    _set_values(document, values)
    return tomlkit.dumps(document)


def show_difference(before: str, after: str) -> str:
    """Return what changes from one text of `maskloop.toml` to another, as `diff -u` does."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        "maskloop.toml",
        "maskloop.toml (best trial)",
        n=2,
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _set_values(document: tomlkit.TOMLDocument, values: Values) -> None:
    set_apart: list[Table] = []
    for path, value in values.items():
        *tables, name = path.split(".")
        table: Any = document
        for each in tables:
            if each not in table:
                is_inline = isinstance(table, InlineTable)
                is_between = isinstance(table, Table) and len(table) > 0
                table[each] = tomlkit.inline_table() if is_inline else tomlkit.table()
                set_apart += [table[each]] if is_between and not is_inline else []
            table = table[each]
        table[name] = value
    for one in set_apart:
        one.add(tomlkit.nl())
