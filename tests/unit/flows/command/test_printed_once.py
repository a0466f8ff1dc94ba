"""What a command says while it works is not said again to whoever reads its answer on the same screen."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from flows.command.main import main
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from tests.fakes.loop_stories import first_champion, judged
from tests.fakes.loop_world import World

Run = Callable[..., tuple[str, str]]


@contextmanager
def opened(file: Path) -> Iterator[int]:
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def run(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command with its two outputs in two files, or in one; returns what is in them."""

    def opener(root: Path, *, teller: Teller, actor: str) -> App:
        return replace(world.app(), teller=teller)

    def call(*arguments: str, apart: bool = False) -> tuple[str, str]:
        out, err = tmp_path / "out", tmp_path / ("err" if apart else "out")
        out.write_text("")
        err.write_text("")
        with opened(out) as one, opened(err) as other, monkeypatch.context() as streams:
            streams.setattr(sys, "stdout", os.fdopen(os.dup(one), "w"))
            streams.setattr(sys, "stderr", os.fdopen(os.dup(other), "w"))
            with pytest.raises(SystemExit) as ended:
                main(list(arguments), opener=opener)
            sys.stdout.close()
            sys.stderr.close()
        assert not ended.value.code
        return " ".join(out.read_text().split()), " ".join(err.read_text().split())

    return call


def test_on_one_screen_a_decision_is_said_once(world: World, run: Run) -> None:
    version = judged(world)
    said, _ = run("approve", version, "--by", "anna", "--why", "better on nuts")
    assert said == "anna approved version 1 (cli): better on nuts"
    repeated, _ = run("approve", version, "--by", "anna")
    assert repeated == ("nothing is recorded: version 1 was approved already by anna (cli): better on nuts")


def test_on_one_screen_an_alias_put_back_is_said_once_by_reconcile_and_by_promote(
    world: World, run: Run
) -> None:
    first_champion(world)
    for command in ("reconcile", "promote"):
        world.models.delete_alias("champion")
        said, _ = run(command)
        assert said == "the alias champion was gone but belongs to version 1; what serves did not change"
    assert run("reconcile")[0] == "nothing is due"
    assert run("promote")[0] == "nothing is approved"


def test_on_one_screen_a_drift_check_without_a_window_says_once_what_it_waits_for(
    world: World, run: Run
) -> None:
    first_champion(world)
    assert run("monitor")[0] == "0 new samples so far; a drift check needs 50"


def test_apart_both_outputs_are_complete(world: World, run: Run) -> None:
    out, err = run("approve", judged(world), "--by", "anna", apart=True)
    assert out == err == "anna approved version 1 (cli)"


def test_on_one_screen_json_is_not_shortened_and_starts_where_the_sentences_end(
    world: World, run: Run
) -> None:
    said, _ = run("approve", judged(world), "--by", "anna", "--json")
    sentence, brace, answer = said.partition("{")
    assert sentence == "anna approved version 1 (cli) "
    assert json.loads(brace + answer)["by"] == "anna"


def test_apart_json_alone_is_on_standard_output(world: World, run: Run) -> None:
    first_champion(world)
    world.models.delete_alias("champion")
    out, err = run("reconcile", "--json", apart=True)
    assert json.loads(out) == {"done": [err], "failed": []}
