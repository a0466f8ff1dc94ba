"""The table of speed and growth: measured row by row, and published without a hand in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.table.__main__ import measure_rows
from benchmarks.table.growing import measure_long_life
from benchmarks.table.lines import Line, Row
from benchmarks.table.page import PAGE, PUBLISHED, read_block, render, with_block
from benchmarks.table.rows import ENVIRONMENTS, ROWS, measure_row

MACHINE = {"commit": "a", "command": "x", "date": "2026-01-01", "processor": "P", "instruction set": "AVX2"}


def test_the_table_on_the_page_is_the_one_that_was_measured():
    measured = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert read_block(PAGE.read_text(encoding="utf-8")) == render(measured)
    assert {int(number) for number in measured["rows"]} == set(ROWS)


def test_a_page_keeps_what_stands_around_the_block():
    text = f"above{PAGE.read_text(encoding='utf-8')}below"
    changed = with_block(text, "\nother\n")
    assert read_block(changed) == "\nother\n"
    assert with_block(changed, read_block(text)) == text


@pytest.mark.parametrize(
    ("bound", "value", "goal", "is_reached"),
    [
        ("at most", 1.2, 1.3, True),
        ("at most", 1.4, 1.3, False),
        ("at least", 8.5, 8.0, True),
        ("at least", 7.9, 8.0, False),
        ("at most", 1.0, None, None),
    ],
)
def test_a_line_tells_whether_it_is_what_was_asked_for(bound, value, goal, is_reached):
    line = Line("x", value, bound=bound, goal=goal)
    assert line.is_reached is is_reached
    row = Row("a row", (line,), "a remark")
    assert Row.from_json(json.loads(json.dumps(row.to_json()))) == row


def test_what_is_reached_is_bold_and_a_row_without_figures_says_why():
    lines = (
        Line("a", 1.234, goal=1.3, figures={"CPU s": 2.0}),
        Line("b", 1234.5, "MB", "at least", 2000.0),
        Line("c", 1.04, ""),
    )
    rows = {
        "10": {"seconds": 1.0, "row": Row("late", (), "needs more").to_json()},
        "2": {"seconds": 1.0, "row": Row("early", lines).to_json()},
    }
    told = render({"machine": MACHINE, "date": "2026-01-01", "rows": rows}).splitlines()
    assert "| 2 early | a | **1.23 x** | ≤ 1.3 | CPU s: 2 |" in told
    assert "| 2 early | b | 1,234 MB | ≥ 2,000 |  |" in told
    assert "| 2 early | c | 1.04 |  |  |" in told
    assert "| 10 late | needs more |" in told


def test_a_run_goes_on_with_the_rows_that_are_missing_and_another_commit_begins_anew(tmp_path: Path):
    path, ran, said = tmp_path / "runs" / "table.json", list[int](), list[str]()

    def measure(number: int) -> dict[str, object]:
        ran.append(number)
        if number == 2 and ran.count(2) == 1:
            raise KeyboardInterrupt
        return Row(f"row {number}").to_json()

    def run(
        machine: dict[str, str], numbers: tuple[int, ...] = (1, 2), *, again: bool = False
    ) -> dict[str, Any]:
        return measure_rows(numbers, measure, machine, path, again=again, say=said.append)

    with pytest.raises(KeyboardInterrupt):
        run(MACHINE)
    assert [*json.loads(path.read_text())["rows"]] == ["1"]
    run({**MACHINE, "command": "y", "date": "2026-01-02"})
    assert ran == [1, 2, 2]
    run(MACHINE, (1,), again=True)
    assert ran == [1, 2, 2, 1]
    told = run({**MACHINE, "commit": "b"})
    assert ran == [1, 2, 2, 1, 1, 2]
    assert [*told["rows"]] == ["1", "2"]
    assert any("row 2 took" in line for line in said)


def test_rows_that_others_measure_say_so_and_every_row_has_its_environment():
    assert measure_row(5, quick=True).remark
    assert measure_row(8, quick=True).lines == ()
    assert measure_row(10, quick=True).remark.startswith("needs a workspace")
    assert set(ENVIRONMENTS) == set(ROWS) == set(range(1, 11))


@pytest.mark.slow
def test_a_long_life_is_measured_in_small():
    row = measure_long_life(True)
    assert len(row.lines) == 4
    assert all(line.value >= 0.0 or "power" in line.name for line in row.lines)


@pytest.mark.slow
def test_reading_and_average_precision_are_measured_in_small():
    for number in (2, 3):
        row = measure_row(number, quick=True)
        assert row.lines
        assert all(line.value > 0.0 for line in row.lines)
