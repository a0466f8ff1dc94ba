from __future__ import annotations

from pathlib import Path

import pytest

from flows.demo.story import NUM_REQUESTED, make_demo_workspace
from flows.workspace.telling import TerminalTeller
from maskloop.errors import RefusedError


@pytest.mark.parametrize(
    ("labels", "tool", "url", "num_requested"),
    [
        ("", "folder", "", 0),
        ("folder", "folder", "", NUM_REQUESTED),
        ("http://127.0.0.1:8080", "label-studio", "http://127.0.0.1:8080", NUM_REQUESTED),
    ],
)
def test_an_alarm_of_the_demo_asks_for_labels_only_where_a_tool_was_named(
    labels: str, tool: str, url: str, num_requested: int, tmp_path: Path
) -> None:
    settings = make_demo_workspace(tmp_path / "demo", TerminalTeller(), labels).settings.labelling
    assert (settings.tool, settings.url, settings.request_on_drift) == (tool, url, num_requested)
    assert settings.project.startswith("maskloop demo 20") == bool(url)


def test_a_folder_that_no_demo_made_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(RefusedError, match="not a demo"):
        make_demo_workspace(tmp_path, TerminalTeller())
    assert (tmp_path / "mine").read_text() == "kept"
