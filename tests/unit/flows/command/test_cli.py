"""The command line: quick, honest about failure, and the same for people and for machines."""

from __future__ import annotations

import errno
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest

from flows.command.main import cli
from flows.console.command_line import CommandGroup, Work, first_sentence
from flows.console.output import Output
from flows.workspace.servers import find_free_port
from flows.workspace.wiring import REPOSITORY, App
from maskloop.errors import EXIT_CODES, MaskloopError
from registry.champion.lineage import Fact

SLOW = {
    *("torch", "mlflow", "prefect", "evidently", "dvc", "pandas", "scipy", "numpy", "PIL"),
    *("sqlalchemy", "pydantic", "jinja2", "rich", "httpx", "fastapi"),
}


def commands(group: click.Group = cli, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Walk the tree; groups themselves are left out."""
    for name, found in group.commands.items():
        if isinstance(found, click.Group):
            yield from commands(found, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", found


ALL = dict(commands())
GROUPS = [name for name, found in cli.commands.items() if isinstance(found, CommandGroup)]


# --- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ["", "data preview", "predict"])
def test_help_imports_few_modules_and_none_that_is_slow(arguments: str) -> None:
    """Modules are counted, because seconds depend on what else the machine does."""
    script = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        "from flows.cli import main; sys.argv[0] = 'maskloop'; main()"
    )
    command = [sys.executable, "-c", script, *arguments.split(), "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: ")
    imported = set(done.stderr.split())
    assert imported & SLOW == set()
    assert len(imported) < 300


def test_the_bare_command_shows_five_commands_to_begin_with_then_the_rest_by_purpose(run: Any) -> None:
    told = run().err + run("--help").out
    begin, _, rest = told.rpartition("To begin with:")[2].partition("\n\n")
    assert [line.split()[0] for line in begin.split("\n") if line] == [
        "init",
        "ingest",
        "train",
        "approve",
        "up",
    ]
    assert rest.index("Look:") < rest.index("Production:") < rest.index("Exit codes:")
    assert "Others:" not in told
    assert "..." not in rest


def test_every_command_of_the_bare_command_has_a_help_of_one_line() -> None:
    lengths = {name: len(first_sentence(command)) for name, command in cli.commands.items()}
    assert {name: length for name, length in lengths.items() if length > 68} == {}


@pytest.mark.parametrize("name", ALL)
def test_the_function_of_a_command_takes_its_parameters_and_describes_what_its_help_describes(
    name: str,
) -> None:
    work = ALL[name].callback
    assert isinstance(work, Work)
    function = inspect.unwrap(work.load())
    given = {parameter.name or "" for parameter in ALL[name].params} - {"as_json"} | {"out"}
    inspect.signature(function).bind(**dict.fromkeys(given))
    described = (inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " ")
    assert described.startswith(first_sentence(ALL[name]))


def test_an_unknown_command_is_refused_with_a_similar_one(run: Any) -> None:
    ran = run("statsu")
    assert ran.code == 2
    assert "No such command 'statsu'" in ran.err
    assert "status" in ran.err


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_shows_the_whole_first_sentence_of_each_of_its_commands(
    name: str, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    group = cli.commands[name]
    assert isinstance(group, CommandGroup)
    told = " ".join(run(name, "--help").out.split())
    for found in group.commands.values():
        assert found.get_short_help_str(1000) in told


def test_no_help_imports_what_is_slow_to_import() -> None:
    """The help of every group and command, in one process."""
    script = """
import sys
from click.testing import CliRunner
from flows.command.main import cli

for arguments in %r:
    assert CliRunner().invoke(cli, [*arguments.split(), "--help"]).exit_code == 0, arguments
print(" ".join(sorted({name.split(".")[0] for name in sys.modules})))
"""
    command = [sys.executable, "-c", script % ["", *GROUPS, *ALL]]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert {"click", "flows"} <= imported
    assert imported & SLOW == set()


@pytest.mark.parametrize("name", ALL)
def test_every_command_says_in_full_sentences_what_it_does(name: str) -> None:
    assert (ALL[name].help or "").strip().endswith(".")
    options = [one for one in ALL[name].params if isinstance(one, click.Option)]
    assert all(option.help for option in options), [option.name for option in options if not option.help]


@pytest.mark.parametrize("name", ALL)
def test_every_command_can_answer_in_json(name: str) -> None:
    assert "--json" in [flag for parameter in ALL[name].params for flag in parameter.opts]


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("init", "demo")])
def test_every_other_command_takes_a_workspace(name: str) -> None:
    assert "--workspace" in [flag for parameter in ALL[name].params for flag in parameter.opts]


def test_the_commands_are_those_that_are_promised() -> None:
    promised = "init ingest train retrain distil tune judge approve reject promote rollback reconcile status"
    promised += " history lineage predict report up demo abandon serve export benchmark upgrade metrics"
    promised += " gameday trends plan batch video engines"
    groups = {
        "data": "classes list report restore diff verify preview anchors audit check export",
        "feedback": "list ingest",
        "label": "request push pull status",
        "incidents": "list show report acknowledge note end postmortem page",
        "notify": "test list",
        "slo": "list rules",
        "keys": "add list revoke rotate",
        "monitor": "check simulate",
        "rollout": "resume show stop",
    }
    in_groups = {f"{group} {verb}" for group, verbs in groups.items() for verb in verbs.split()}
    assert set(ALL) == set(promised.split()) | in_groups


def test_help_tells_every_exit_code(run: Any) -> None:
    told = " ".join(run("--help").out.split())
    assert all(f"{code} {meaning}" in told for code, meaning in EXIT_CODES.items())


def test_every_error_has_a_told_exit_code() -> None:
    def family(kind: type[MaskloopError]) -> Iterator[type[MaskloopError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from family(child)

    assert {kind.exit_code for kind in family(MaskloopError)} <= set(EXIT_CODES)


# --- exit codes and what to do ---------------------------------------------------------------------

ARGUMENTS = {
    "ingest": ["batch.json"],
    "judge": ["1"],
    "approve": ["1"],
    "reject": ["1"],
    "rollback": ["--why", "it is slow"],
    "abandon": ["cycle-1", "--why", "it waits for nothing"],
    "plan": ["--pictures-per-day", "1000"],
    "predict": ["picture.png"],
    "batch": ["pictures", "answers"],
    "video": ["clip.mp4", "answers"],
    "data restore": ["data-v1"],
    "data diff": ["data-v1", "data-v2"],
    "data verify": ["data-v1"],
    "data export": ["--format", "coco", "--out", "out"],
    "keys add": ["camera"],
    "keys rotate": ["0123456789ab"],
    "keys revoke": ["0123456789ab"],
    "rollout stop": ["--why", "it is slow"],
    "slo rules": ["--output", "rules"],
    "gameday": ["all"],
    "incidents show": ["1"],
    "incidents report": ["p95 is 900 ms"],
    "incidents end": ["1", "--why", "p95 is 90 ms"],
    "incidents acknowledge": ["1"],
    "incidents note": ["1", "a new lamp"],
    "incidents postmortem": ["1"],
}


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("init", "demo")])
def test_outside_a_workspace_every_command_says_how_to_make_one(name: str, run: Any, tmp_path: Path) -> None:
    ran = run(*name.split(), *ARGUMENTS.get(name, []), "-w", tmp_path)
    assert (ran.code, ran.out) == (78, "")
    assert "maskloop init DIR" in ran.err
    assert str(tmp_path) in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["ingest", "nowhere.json"], 66, "the annotation file does not exist"),
        (["predict", "nowhere.png"], 66, "nothing serves yet"),
        (["batch", ".", "answers"], 66, "nothing serves yet"),
        (["video", "nowhere.mp4", "answers"], 66, "there is nothing here"),
        (["monitor"], 66, "nothing serves yet"),
        (["lineage"], 66, "nothing serves yet"),
        (["history", "--at", "2026-01-01"], 66, "nothing served at 2026-01-01"),
        (["approve", "7", "--by", "anna"], 66, "nothing waits for a decision on version 7"),
        (["reject", "7", "--by", "anna"], 66, "nothing waits for a decision on version 7"),
        (["retrain"], 77, "Run `maskloop train` for a first model"),
        (["distil"], 77, "Run `maskloop train` for a first model"),
        (["rollback", "--why", "it is slow"], 77, "there is no earlier champion"),
        (["rollback", "9", "--why", "it is slow"], 66, "there is no version 9"),
        (["keys", "add", " "], 78, "an API key needs a name"),
        (["data", "restore", "data-v9"], 66, "there is no data version data-v9"),
        (["data", "verify", "data-v9"], 66, "there is no data version data-v9"),
        (["data", "preview"], 65, "there is nothing to look at yet"),
        (["data", "anchors"], 65, "no boxes yet to fit anchors to"),
        (["rollback"], 2, "Missing option '--why'"),
        (["history", "--at", "yesterday"], 2, "does not match the formats"),
        (["ingest"], 2, "Missing argument"),
        (["batch", ".", "answers", "--tile", "64", "--overlap", "64"], 2, "must be smaller than a tile"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_exit_code(
    arguments: list[str], code: int, says: str, run: Any, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.parent)  # where a batch would put its folder
    ran = run(*arguments, "-w", workspace)
    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert "Traceback" not in ran.err
    if code != 2:
        refused = json.loads(run(*arguments, "--json", "-w", workspace).out)
        assert (refused["outcome"], refused["exit_code"]) == ("refused", code)
        assert says in refused["said"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("[training]\nstepz = 3\n", "unknown setting training.stepz"),
        ("[gates]\nmin_mean_iou = 2\n", "gates.min_mean_iou"),
        ("[gates\n", "not valid TOML"),
    ],
)
def test_wrong_settings_are_named(settings: str, says: str, run: Any, tmp_path: Path) -> None:
    (tmp_path / "maskloop.toml").write_text(settings)
    ran = run("status", "-w", tmp_path)
    assert ran.code == 78
    assert says in ran.err
    assert "maskloop.toml" in ran.err


def test_a_full_disk_is_reported_and_can_be_retried_after_cleaning_up(run: Any, workspace: Path) -> None:
    def full(*_args: object, **_more: object) -> App:
        raise OSError(errno.ENOSPC, "No space left on device", "loop.html")

    ran = run("report", "-w", workspace, opener=full)
    assert ran.code == 74
    assert "the disk is full (loop.html). Free some space" in ran.err


def test_an_unreachable_prefect_server_is_reported(
    run: Any, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{find_free_port()}/api")
    ran = run("reconcile", "-w", workspace)
    assert ran.code == 75
    assert "Prefect does not answer" in ran.err
    assert "maskloop up" in ran.err


def test_a_training_that_could_not_begin_is_not_reported_as_done(run: Any, workspace: Path) -> None:
    ran = run("train", "-w", workspace)
    assert ran.code == 65
    assert "Run `maskloop ingest` first" in ran.err


# --- answers -----------------------------------------------------------------------------------------


def test_an_empty_workspace_answers_in_json_and_nothing_else_on_standard_output(
    run: Any, workspace: Path
) -> None:
    assert json.loads(run("status", "--json", "-w", workspace).out)["champion"] is None
    assert json.loads(run("reconcile", "--json", "-w", workspace).out) == {"done": [], "failed": []}
    assert json.loads(run("promote", "--json", "-w", workspace).out) == {"done": []}
    assert json.loads(run("history", "--json", "-w", workspace).out) == []
    assert json.loads(run("data", "list", "--json", "-w", workspace).out) == []
    report = json.loads(run("report", "--json", "-w", workspace).out)["report"]
    assert "<html" in Path(report).read_text()


def test_classes_are_shown_and_a_change_of_none_is_refused(run: Any, workspace: Path) -> None:
    assert json.loads(run("data", "classes", "--json", "-w", workspace).out) == []
    ran = run("data", "classes", "--drop", "line-parts", "-w", workspace)
    assert ran.code == 66
    assert "Run `maskloop ingest` first" in ran.err


def test_an_empty_workspace_is_told_in_words(run: Any, workspace: Path) -> None:
    assert run("status", "-w", workspace).out.startswith("serving:  nothing yet")
    assert run("reconcile", "-w", workspace).out == "nothing is due\n"
    assert run("promote", "-w", workspace).out == "nothing is approved\n"


def test_databases_are_made_or_upgraded_all_at_once_and_twice_does_no_harm(run: Any, workspace: Path) -> None:
    for _ in range(2):
        said = run("upgrade", "-w", workspace).out
        assert said.startswith("Every database is at the newest version: ledger ")
    assert len(list((workspace / ".maskloop").rglob("*.db"))) == 7
    versions = json.loads(run("upgrade", "--json", "-w", workspace).out)
    assert set(versions) == {"ledger", "pairs", "samples", "corrections", "quotas", "sketches", "keys"}
    assert min(versions.values()) >= 1


def test_the_workspace_may_be_named_by_the_environment(
    run: Any, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKLOOP_WORKSPACE", str(workspace))
    assert run("status").code == 0


def test_answers_with_times_and_mappings_are_plain_json(capsys: pytest.CaptureFixture[str]) -> None:
    fact = Fact("run", {"run_id": "r1"}, "it was trained", datetime(2026, 3, 1, 12, tzinfo=UTC))
    Output(as_json=True).answer([fact], lambda: None)
    (plain,) = json.loads(capsys.readouterr().out)
    assert plain["at"] == "2026-03-01T12:00:00+00:00"
    assert plain["detail"] == {"run_id": "r1"}
