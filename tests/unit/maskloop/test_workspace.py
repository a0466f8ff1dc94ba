from __future__ import annotations

from pathlib import Path

import pytest

from maskloop.errors import ConfigurationError
from maskloop.workspace import Workspace


def places(workspace: Workspace) -> dict[str, Path]:
    names = [name for name, value in vars(Workspace).items() if isinstance(value, property)]
    names = [name for name in names if name.endswith(("_dir", "_file"))]
    return {name: getattr(workspace, name) for name in names}


def test_naming_a_workspace_touches_no_disk(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "nowhere")
    assert len(places(workspace)) >= 11
    assert not workspace.root.exists()


def test_all_but_the_users_files_lie_in_the_folder_git_ignores(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    mine = {name: place for name, place in places(workspace).items() if workspace.state_dir in place.parents}
    assert places(workspace).keys() - mine.keys() == {"data_dir", "settings_file", "state_dir"}
    assert len(set(places(workspace).values())) == len(places(workspace))


def test_settings_are_read_once_and_only_when_asked_for(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(ConfigurationError, match="not a workspace"):
        workspace.settings  # noqa: B018
    workspace.settings_file.write_text('model_name = "bolts"\n')
    assert workspace.settings.model_name == "bolts"
    workspace.settings_file.unlink()
    assert workspace.settings.model_name == "bolts"


def test_a_number_of_workers_takes_the_place_of_the_settings_own(tmp_path: Path) -> None:
    cluster = "[training]\nbatch_size = 4\n[training.cluster]\nworkers = 3\nleast_workers = 3\n"
    (tmp_path / "maskloop.toml").write_text(cluster)
    assert Workspace(tmp_path).settings.training.cluster.workers == 3
    other = Workspace(tmp_path, workers=2).settings.training.cluster
    assert (other.workers, other.least_workers) == (2, 2)
    with pytest.raises(ConfigurationError, match="has none for each of 5 workers"):
        Workspace(tmp_path, workers=5).settings  # noqa: B018
