"""Commands are declared without their work, which is imported when they run; an answer is text or JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from flows.console.command_line import CommandGroup, CommandLine, Work, make_command
from flows.console.output import Output, with_output
from maskloop.errors import NotFoundError, RefusedError

COLOURS = """
def paint(*, root, as_json, colour, coats):
    print(f"{root} {as_json} {colour} {coats}")
"""


@pytest.fixture
def colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the path of a function in a module that nothing has imported yet."""
    (tmp_path / "colours_of_a_test.py").write_text(COLOURS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "colours_of_a_test", raising=False)
    return "colours_of_a_test:paint"


def paint(path: str) -> click.Command:
    return make_command(
        "paint",
        path,
        "Paint the wall. It dries in a day.",
        click.Argument(["colour"]),
        click.Option(["--coats"], default=1, help="Coats of paint."),
    )


def test_the_module_of_a_command_is_imported_when_it_runs_not_for_its_help(colours: str) -> None:
    told = CliRunner().invoke(paint(colours), ["--help"])
    assert "Paint the wall. It dries in a day." in told.output
    assert "colours_of_a_test" not in sys.modules

    done = CliRunner().invoke(paint(colours), ["green", "--coats", "3", "--json", "-w", "house"])
    assert done.output == "house True green 3\n"


def test_a_command_that_is_called_wrongly_is_refused_before_its_module_is_imported(colours: str) -> None:
    done = CliRunner().invoke(paint(colours), ["green", "--coats", "many"])
    assert done.exit_code == 2
    assert "'many' is not a valid integer" in done.output
    assert "colours_of_a_test" not in sys.modules


def test_a_command_without_a_workspace_has_no_option_for_one(colours: str) -> None:
    command = make_command("paint", colours, "Paint.", takes_workspace=False)
    assert [parameter.name for parameter in command.params] == ["as_json"]


def test_a_path_that_leads_nowhere_fails_when_it_is_loaded() -> None:
    with pytest.raises(AttributeError, match="no_such_command"):
        Work("flows.console.output:no_such_command").load()


def test_a_group_lists_its_commands_in_the_order_of_their_declaration(colours: str) -> None:
    names = ("paint", "brush", "dry")
    commands = [make_command(name, colours, f"Begin to {name}. Then wait.") for name in names]
    told = CliRunner().invoke(CommandGroup("wall", commands, help="Walls."), ["--help"]).output
    listed = told.partition("Commands:\n")[2].splitlines()
    assert [line.split(maxsplit=1) for line in listed] == [[name, f"Begin to {name}."] for name in names]


def test_the_command_line_lists_its_commands_by_section(colours: str) -> None:
    one, other = (make_command(name, colours, f"Go {name}.") for name in ("up", "down"))
    line = CommandLine("lift", {"Rise": [one], "Descend": [other]})
    told = CliRunner().invoke(line, ["--help"]).output
    assert [
        text.strip() for text in told.partition("Rise:")[2].partition("Exit codes:")[0].split("\n\n")
    ] == [
        "up  Go up.",
        "Descend:\n  down  Go down.",
        "",
    ]


def test_an_answer_is_printed_as_json_or_shown_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    @with_output
    def weigh(root: Path, out: Output) -> None:
        out.answer({"folder": str(root), "kg": 3}, lambda: click.echo("3 kg"))

    weigh(root=Path("house"), as_json=False)
    assert capsys.readouterr().out == "3 kg\n"
    weigh(root=Path("house"), as_json=True)
    assert json.loads(capsys.readouterr().out) == {"folder": "house", "kg": 3}


@pytest.mark.parametrize(
    ("error", "code"), [(NotFoundError("it is not there"), 66), (RefusedError("it must not be"), 77)]
)
def test_an_error_is_answered_in_json_with_its_exit_code_and_raised(
    error: NotFoundError | RefusedError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    @with_output
    def fail(out: Output) -> None:
        raise error

    with pytest.raises(type(error)):
        fail(as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "outcome": "refused",
        "said": str(error),
        "changed": False,
        "exit_code": code,
    }
    with pytest.raises(type(error)):
        fail(as_json=False)
    assert capsys.readouterr().out == ""


def test_an_error_after_the_answer_is_not_answered_a_second_time(capsys: pytest.CaptureFixture[str]) -> None:
    @with_output
    def answer_then_fail(out: Output) -> None:
        out.answer({"export": "it differs"}, lambda: None)
        raise RefusedError("it is not attached")

    with pytest.raises(RefusedError):
        answer_then_fail(as_json=True)
    assert json.loads(capsys.readouterr().out) == {"export": "it differs"}
