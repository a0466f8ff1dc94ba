"""`maskloop history`: the newest entries, pages of older ones, one cycle, or everything."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flows.command.main import cli, main
from flows.usage.overview import NUM_SHOWN
from maskloop.ledger.sql_ledger import SqlLedger
from maskloop.records.kinds import CycleOpened, TriggerSuppressed, write_record
from maskloop.workspace import Workspace

NUM_ENTRIES = 120


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with 120 entries: number 7 opens a cycle, every other sets a request aside."""
    root = tmp_path_factory.mktemp("workspace")
    (root / "maskloop.toml").write_text("[gates]\n")
    ledger = SqlLedger.at(Workspace(root).ledger_file)
    for number in range(1, NUM_ENTRIES + 1):
        if number == 7:
            opened = CycleOpened(trigger_key="t", reason="manual", detail="rita asked for it")
            write_record(ledger, opened, cycle_id="cycle-1")
        else:
            write_record(ledger, TriggerSuppressed(trigger_key=f"k{number}.", reason="no"))
    ledger.close()
    return root


def told(root: Path, *arguments: str) -> list[str]:
    done = CliRunner().invoke(cli, ["history", *arguments, "-w", str(root)])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def numbers(root: Path, *arguments: str) -> list[int]:
    entries: list[dict[str, Any]] = json.loads("\n".join(told(root, *arguments, "--json")))
    return [entry["sequence"] for entry in entries]


def test_the_newest_entries_are_shown_and_how_to_see_the_earlier_ones(workspace: Path) -> None:
    first, *lines = told(workspace)
    assert first == f"earlier entries: `maskloop history --before {NUM_ENTRIES - NUM_SHOWN + 1}`, or --all"
    assert len(lines) == NUM_SHOWN
    assert "k71." in lines[0]
    assert "k120." in lines[-1]


def test_pages_lead_to_the_first_entry(workspace: Path) -> None:
    assert "k21." in told(workspace, "--before", "71")[1]
    last_page = told(workspace, "--before", "21")
    assert "k1." in last_page[0]
    assert len(last_page) == 20


def test_all_entries_are_shown_if_asked_for_and_in_json(workspace: Path) -> None:
    assert len(told(workspace, "--all")) == NUM_ENTRIES
    assert numbers(workspace) == list(range(1, NUM_ENTRIES + 1))


def test_a_number_of_entries_can_be_asked_for(workspace: Path) -> None:
    assert numbers(workspace, "--newest", "3") == [118, 119, 120]
    assert numbers(workspace, "--newest", "3", "--before", "10") == [7, 8, 9]


def test_one_cycle_is_shown_from_its_beginning(workspace: Path) -> None:
    (line,) = told(workspace, "--cycle", "cycle-1")
    assert "rita asked for it" in line
    assert numbers(workspace, "--cycle", "cycle-1") == [7]
    assert told(workspace, "--cycle", "cycle-9") in ([], [""])


def test_a_changed_entry_is_named_where_it_is_read(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = shutil.copytree(workspace, tmp_path / "changed")
    with sqlite3.connect(Workspace(changed).ledger_file) as database:
        database.execute("DROP TRIGGER entries_no_update")
        database.execute("UPDATE entries SET actor = 'mallory' WHERE sequence = 3")
    database.close()
    assert len(told(changed)) == NUM_SHOWN + 1
    for asked in (["--all"], ["--before", "4"]):
        with pytest.raises(SystemExit) as ended:
            main(["history", *asked, "-w", str(changed)])
        assert ended.value.code not in (0, None)
        assert "the ledger was changed by hand (entry 3)" in capsys.readouterr().err
