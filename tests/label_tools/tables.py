"""The tables about labelling tools, made from the records; a test compares them, so that they stay true.

python -m tests.label_tools.tables    # write them anew
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from dataset.exports.table import FORMATS
from tests.label_tools.catalogue import CATALOGUE, EXPORT_READERS, READERS, WRITTEN_ON, Export
from tests.label_tools.environments import RECORDS, ROOT
from tests.label_tools.measuring import Measured, measure, measure_export, measure_reads
from tests.label_tools.scene import OBJECTS, TURNED

_NAMES: Final = [each.name for each in OBJECTS]


def tabulate_exports() -> Iterator[str]:
    """Yield the table of the scene: tool and export x object, and what ingest says."""
    yield f"| tool | export | drawn as | {' | '.join(_NAMES)} | `maskloop ingest` says |"
    yield f"|---|---|---|{'---|' * len(_NAMES)}---|"
    for tool in CATALOGUE:
        for export in tool.exports:
            if not _is_of_photo(export):
                measured, mended = measure(export.folder), measure(export.folder, is_mending=True)
                cells = " | ".join(_cell(measured, mended, name) for name in _NAMES)
                yield f"| {tool.name} | {export.title} | {export.drawn_as} | {cells} | {_said(measured)} |"


def tabulate_photos() -> Iterator[str]:
    """Yield the table of the photograph that EXIF turns."""
    yield "| tool | export | drawn as | IoU | `maskloop ingest` says |"
    yield "|---|---|---|---|---|"
    for tool in CATALOGUE:
        for export in tool.exports:
            if _is_of_photo(export):
                measured, mended = measure(export.folder), measure(export.folder, is_mending=True)
                cell = _cell(measured, mended, TURNED.name)
                yield f"| {tool.name} | {export.title} | {export.drawn_as} | {cell} | {_said(measured)} |"


def tabulate_reads() -> Iterator[str]:
    """Yield the table of what tools have of maskloop's own COCO."""
    yield f"| tool | by | {' | '.join(_NAMES)} |"
    yield f"|---|---|{'---|' * len(_NAMES)}"
    for folder, (tool, call) in READERS.items():
        measured = measure_reads(folder)
        if measured.refused:
            cells = " | ".join([f"**{measured.refused}**", *([""] * (len(_NAMES) - 1))])
        else:
            cells = " | ".join(_emphasised(measured.cells[name]) for name in _NAMES)
        yield f"| {tool} | {call} | {cells} |"


def tabulate_own_exports() -> Iterator[str]:
    """Yield the table of what maskloop and other tools have of its exports."""
    yield f"| `--format` | read by | with | {' | '.join(_NAMES)} |"
    yield f"|---|---|---|{'---|' * len(_NAMES)}"
    for key in FORMATS:
        rows = [("maskloop", "`maskloop ingest`", measure_export(key))]
        rows += [
            (tool, call, measure_reads(folder))
            for folder, (format_key, tool, call) in EXPORT_READERS.items()
            if format_key == key
        ]
        for tool, call, measured in rows:
            cells = " | ".join(_emphasised(measured.cells[name]) for name in _NAMES)
            yield f"| `{key}` | {tool} | {call} | {cells} |"


def tabulate_records() -> Iterator[str]:
    """Yield the table of the records: folder, tool, version and call."""
    yield f"Written on {WRITTEN_ON}."
    yield ""
    yield "| folder | package | export | drawn as | call |"
    yield "|---|---|---|---|---|"
    for tool in CATALOGUE:
        for export in tool.exports:
            package = f"{tool.package} {tool.version}"
            yield f"| `{export.folder}` | {package} | {export.title} | {export.drawn_as} | {export.call} |"


TABLES: Final[dict[tuple[Path, str], Callable[[], Iterator[str]]]] = {
    (ROOT / "docs" / "labelling.md", "exports"): tabulate_exports,
    (ROOT / "docs" / "labelling.md", "photos"): tabulate_photos,
    (ROOT / "docs" / "labelling.md", "reads"): tabulate_reads,
    (ROOT / "docs" / "labelling.md", "own-exports"): tabulate_own_exports,
    (RECORDS / "README.md", "records"): tabulate_records,
}
"""By page and name: what stands between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``."""


def find_table(page: str, name: str) -> re.Match[str]:
    """Return where a table stands in the text of a page, with its marks."""
    found = re.search(rf"<!-- {name}: begin .*?-->\n(.*?)\n<!-- {name}: end -->", page, re.DOTALL)
    assert found, f"the page has no table {name!r}"
    return found


def main() -> None:
    """Write all tables anew."""
    for (path, name), tabulate in TABLES.items():
        page = path.read_text(encoding="utf-8")
        place = find_table(page, name)
        text = "\n".join(tabulate())
        path.write_text(page[: place.start(1)] + text + page[place.end(1) :], encoding="utf-8")


def _is_of_photo(export: Export) -> bool:
    return "photo" in export.folder


def _cell(measured: Measured, mended: Measured, name: str) -> str:
    """Return what became of an object, and what `--mend` makes of that if it makes anything."""
    before, after = measured.cells[name], mended.cells[name]
    return _emphasised(before) + (f" → {after}" if after != before else "")


def _emphasised(cell: str) -> str:
    """Put what is not right in bold."""
    return cell if cell == "1.000" else f"**{cell}**"


def _said(measured: Measured) -> str:
    if measured.refused:
        return f"not read: {measured.refused}"
    return "<br>".join(f"{one.split()[0]} `{one.split()[1]}`" for one in measured.told) or "nothing"


if __name__ == "__main__":
    main()
