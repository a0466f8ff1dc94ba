"""Templates of HTML pages: whatever is written into one is escaped, and a name it misses is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


@cache
def open_template(file: Path, *more_folders: Path) -> Template:
    """Return the Jinja template in a file, which may include those beside it and in other folders."""
    environment = Environment(
        loader=FileSystemLoader([file.parent, *more_folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(file.name)
