"""Where a workspace keeps what: workspaces of every release have these paths, so they never change."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskloop.errors import ConfigurationError
from maskloop.workspace import Workspace, refuse_unusable_place

ROOT = Path("/srv/bolts")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("settings_file", "maskloop.toml"),
        ("data_dir", "data"),
        ("state_dir", ".maskloop"),
        ("ledger_file", ".maskloop/ledger.db"),
        ("pairs_file", ".maskloop/rollouts/pairs.db"),
        ("slices_dir", ".maskloop/slices"),
        ("samples_dir", ".maskloop/samples"),
        ("quotas_file", ".maskloop/samples/quotas.db"),
        ("keys_file", ".maskloop/keys.db"),
        ("keys_file_before", ".maskloop/keys.json"),
        ("sketches_file", ".maskloop/samples/sketches.db"),
        ("training_dir", ".maskloop/training"),
        ("tuning_dir", ".maskloop/tuning"),
        ("datasets_dir", ".maskloop/datasets"),
        ("models_dir", ".maskloop/models"),
        ("exports_dir", ".maskloop/exports"),
        ("reports_dir", ".maskloop/reports"),
        ("loop_page", ".maskloop/reports/loop.html"),
        ("mlflow_dir", ".maskloop/mlflow"),
        ("prefect_dir", ".maskloop/prefect"),
        ("locks_dir", ".maskloop/locks"),
    ],
)
def test_everything_lies_where_earlier_releases_left_it(name: str, place: str) -> None:
    assert getattr(Workspace(ROOT), name) == ROOT / place


def test_what_was_kept_about_a_verdict_lies_in_a_folder_of_its_version() -> None:
    folder = ROOT / ".maskloop/reports/verdicts/version-4"
    assert Workspace(ROOT).verdict_dir("4") == folder
    assert Workspace(ROOT).verdict_page("4") == folder / "evidence.html"


def is_refused(place: Path) -> bool:
    try:
        refuse_unusable_place(place)
    except ConfigurationError:
        return True
    return False


@pytest.mark.parametrize("place", ["/srv/bolts", "/srv/größe & co", "/srv/a#b%20c"])
def test_a_folder_of_almost_any_name_may_be_a_workspace(place: str) -> None:
    assert not is_refused(Path(place))


@pytest.mark.parametrize("place", ["/srv/why?", "/wh?t/bolts"])
def test_a_question_mark_anywhere_in_the_path_is_refused_with_the_way_out(place: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        refuse_unusable_place(Path(place))
    assert str(refused.value) == (
        "a workspace's path cannot hold a question mark: it would cut off the names of databases "
        f"({place}). Choose another folder, or rename this one"
    )
