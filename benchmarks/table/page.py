"""The table as Markdown, in the block of ``docs/results.md`` that nobody edits by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.table.lines import Line, Row
from maskloop.files import write_text

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "results.md"
PUBLISHED: Final = Path(__file__).resolve().parent / "published.json"
_BEGIN: Final = "<!-- table: begin (make bench, then python -m benchmarks.table --publish) -->"
_END: Final = "<!-- table: end -->"


def read_block(text: str) -> str:
    """Return what stands between the marks. Raises ValueError if a mark is missing."""
    return text[text.index(_BEGIN) + len(_BEGIN) : text.index(_END)]


def with_block(text: str, block: str) -> str:
    """Return a page with another block. Raises ValueError if a mark is missing."""
    before, after = text[: text.index(_BEGIN) + len(_BEGIN)], text[text.index(_END) :]
    return f"{before}{block}{after}"


def render(measured: Mapping[str, Any]) -> str:
    """Return the block of what was measured."""
    table = ["| row | measured | value | asked for | from |", "|---|---|---|---|---|"]
    remarks = ["| row | to be known |", "|---|---|"]
    for number, told in sorted(measured["rows"].items(), key=lambda item: int(item[0])):
        row = Row.from_json(told["row"])
        table += [_render_line(number, row, line) for line in row.lines]
        if row.remark:
            remarks.append(f"| {number} {row.title} | {row.remark} |")
    machine = measured["machine"]
    made = f"{machine['processor']}, {machine['instruction set']}, {measured['date']}, `{machine['commit']}`"
    parts = ["\n".join(table), "\n".join(remarks), f"Machine, instruction set, day and commit: {made}."]
    return "\n\n" + "\n\n".join(parts) + "\n\n"


def publish(results: Path) -> None:
    """Make results the published ones, and the page's block their table."""
    text = results.read_text(encoding="utf-8")
    write_text(PUBLISHED, text)
    write_text(PAGE, with_block(PAGE.read_text(encoding="utf-8"), render(json.loads(text))))


def _render_line(number: str, row: Row, line: Line) -> str:
    asked = "" if line.goal is None else f"{'≤' if line.bound == 'at most' else '≥'} {_short(line.goal)}"
    value = f"{_short(line.value)} {line.unit}".strip()
    value = f"**{value}**" if line.is_reached else value
    figures = "; ".join(f"{name}: {_short(figure)}" for name, figure in line.figures.items())
    return f"| {number} {row.title} | {line.name} | {value} | {asked} | {figures} |"


def _short(number: float) -> str:
    return f"{number:.3g}" if abs(number) < 1000 else f"{number:,.0f}"
