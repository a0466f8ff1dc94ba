"""Templates: what is written into a page is escaped, and nothing is left out silently."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from maskloop.pages.templates import open_template


def test_what_is_written_into_a_page_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "page.html.j2").write_text("<b>{{ name }}</b>")
    assert open_template(tmp_path / "page.html.j2").render(name="<bolt>") == "<b>&lt;bolt&gt;</b>"


def test_a_name_that_is_not_given_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.html.j2").write_text("{{ name }}")
    with pytest.raises(UndefinedError, match="name"):
        open_template(tmp_path / "page.html.j2").render()


def test_a_page_includes_what_lies_beside_it_and_in_other_folders(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for folder, name in ((own, "beside"), (other, "elsewhere")):
        folder.mkdir()
        (folder / f"{name}.html.j2").write_text(f"{name};")
    (own / "page.html.j2").write_text('{% include "beside.html.j2" %}{% include "elsewhere.html.j2" %}')
    assert open_template(own / "page.html.j2", other).render() == "beside;elsewhere;"
