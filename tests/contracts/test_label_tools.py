"""Labelling tools themselves write today what stands among the records, which tests of the readers use.

`make test-labels` installs the tools, each into an environment of its own.
"""

from pathlib import Path

import pytest

from tests.label_tools.environments import LABEL_STUDIO, RECORDS, TOOLS, Tool


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_labelling_tool_writes_what_its_records_say(tool: Tool, tmp_path: Path) -> None:
    if not tool.python.exists():
        pytest.skip("the tool is not installed: make test-labels")
    tool.write_exports(tmp_path)
    assert [path.name for path in tool.records] == sorted(path.name for path in tmp_path.iterdir())
    for folder in tool.records:
        assert contents(tmp_path / folder.name) == contents(folder), folder.name


@pytest.mark.parametrize("tool", [*TOOLS, LABEL_STUDIO], ids=lambda tool: tool.name)
def test_a_tool_s_lock_pins_with_hashes_and_names_no_address(tool: Tool) -> None:
    lock = tool.lock.read_text(encoding="utf-8")
    pinned = [line for line in lock.splitlines() if line[0].isalnum()]
    assert pinned
    assert all(line.endswith("\\") and "==" in line for line in pinned)
    assert "://" not in lock
    assert "--index" not in lock


def test_the_records_name_no_person_and_no_machine() -> None:
    said = b"\n".join(path.read_bytes() for path in RECORDS.rglob("*") if path.is_file())
    assert [word for word in (b"/tmp/", b"/home/", b"/root/", b"localhost") if word in said] == []
