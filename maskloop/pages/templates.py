"""Templates of HTML pages: whatever is written into one is escaped, and a name it misses is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape


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
    environment.filters["worded"] = show_code
    return environment.get_template(file.name)


def show_code(text: str) -> Markup:
    """Return a sentence as HTML, with what stands between backticks as code; the filter ``worded``.

    >>> show_code("run `maskloop slo` & wait")
    Markup('run <code>maskloop slo</code> &amp; wait')
    """
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts)
    )
