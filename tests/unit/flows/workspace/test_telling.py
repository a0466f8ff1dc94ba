"""What a terminal shows is what was said, whatever the user's names look like."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from flows.workspace.telling import TerminalTeller, make_table

_MARKUP_LIKE = ("bolt [steel]", "bolt [brass]", "on [/off]", "[red]", r"back\[slash", "[link=x]y[/link]")


def shown(rows: list[dict[str, object]], title: str, *, width: int = 400) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(make_table(rows, title))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("name", _MARKUP_LIKE)
def test_a_name_with_square_brackets_is_shown_whole_in_cells_headers_and_titles(name: str) -> None:
    text = shown([{f"IoU of {name}": 0.5, "class": name}], f"classes like {name}")
    assert text.count(name) == 3


@given(
    st.text(
        st.characters(min_codepoint=0x21, max_codepoint=0x7E) | st.sampled_from("äöü[]/\\電池"),
        min_size=1,
        max_size=20,
    )
)
def test_any_printable_name_is_shown_whole(name: str) -> None:
    assert name in shown([{"class": name}], "classes")


def test_a_path_wider_than_its_column_is_continued_on_the_next_line() -> None:
    path = "/labels/camera-2/export-of-monday/annotations.json"
    lines = shown([{"problem": "picture-missing", "where": path}], "problems", width=40).splitlines()
    cells = [line.split("│") for line in lines if line.startswith("│")]
    assert "".join(cell[1].strip() for cell in cells) == "picture-missing"
    assert "".join(cell[2].strip() for cell in cells) == path


@pytest.mark.parametrize("name", _MARKUP_LIKE)
def test_sentences_links_and_progress_show_names_as_they_are(name: str) -> None:
    teller = TerminalTeller()
    teller.console = Console(file=io.StringIO(), width=400, force_terminal=True, color_system=None)
    teller.say(f"class {name}")
    teller.link("key", f"file:///{name}", name)
    with teller.progress(f"training on {name}") as advance:
        advance(1, 2)
    text = teller.console.file.getvalue()  # type: ignore[attr-defined]
    assert f"class {name}" in text
    assert f"{name}: file:///{name}" in text
    assert f"training on {name}" in text
