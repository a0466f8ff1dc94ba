"""`maskloop init`: what it makes, what it leaves alone, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from maskloop.settings.workspace_settings import load_settings


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.parametrize("preset", ["laptop", "gpu"])
def test_init_makes_a_workspace_and_leaves_what_is_there(preset: str, run: Any, tmp_path: Path) -> None:
    root = tmp_path / "new"
    answer = json.loads(run("init", root, "--preset", preset, "--name", "bolts", "--json").out)
    assert answer == {"workspace": str(root), "settings": str(root / "maskloop.toml"), "remarks": []}
    assert load_settings(root / "maskloop.toml").model_name == "bolts"
    schedules = (root / "prefect.yaml").read_text()
    assert "@model_name@" not in schedules
    assert 'name: "bolts"' in schedules
    assert git(root, "status", "--porcelain") == ""
    assert {"maskloop.toml", "prefect.yaml"} <= set(git(root, "ls-files").splitlines())
    (root / "maskloop.toml").write_text("[gates]\nmin_mean_iou = 0.5\n")
    again = run("init", root)
    assert again.code == 0
    assert f"git -C {root} add maskloop.toml" in again.out
    assert load_settings(root / "maskloop.toml").required_gates().min_mean_iou == 0.5


def test_init_says_that_a_preset_had_no_effect_on_settings_that_were_there(run: Any, tmp_path: Path) -> None:
    (tmp_path / "maskloop.toml").write_text('model_name = "bolts"\n')
    ran = run("init", tmp_path, "--preset", "gpu", "--name", "nuts")
    assert ran.code == 0
    assert "--preset gpu and --name nuts had no effect: maskloop.toml was there" in ran.out
    assert "move it away and run the same command again" in ran.out
    assert "had no effect" not in run("init", tmp_path, "--name", "bolts").out
    assert (tmp_path / "maskloop.toml").read_text() == 'model_name = "bolts"\n'


def test_init_in_a_repository_with_commits_leaves_committing_to_the_user(run: Any, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "mine")
    said = run("init", tmp_path).out
    assert "Settings and schedules belong in git" in said
    assert git(tmp_path, "log", "--format=%s") == "mine"


def test_init_and_every_other_command_refuse_a_path_that_cuts_off_the_names_of_databases(
    run: Any, tmp_path: Path
) -> None:
    root = tmp_path / "parts?"
    ran = run("init", root)
    assert ran.code == 78
    assert "question mark" in ran.err
    assert not root.exists()
    root.mkdir()
    (root / "maskloop.toml").write_text("")
    assert run("status", "-w", root).code == 78
    assert [path.name for path in tmp_path.iterdir()] == ["parts?"]


def test_a_path_with_a_blank_is_quoted_in_what_to_do_next(run: Any, tmp_path: Path) -> None:
    assert f"maskloop train -w '{tmp_path / 'my parts'}'" in run("init", tmp_path / "my parts").out


def test_init_refuses_a_file(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run("init", tmp_path / "file")
    assert ran.code == 77
    assert "a workspace is a folder" in ran.err
