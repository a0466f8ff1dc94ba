"""Where runs lie in MLflow, and what happens when a person deletes something there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from maskloop.errors import NotFoundError, RefusedError
from registry.mlflow_adapter.model_store import MlflowModelStore
from registry.mlflow_adapter.tracker import MlflowRunTracker

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow import MlflowClient

pytestmark = pytest.mark.filterwarnings(
    "ignore:::mlflow", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
NAME = "metal-parts"


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(mlflow_uri, mlflow_uri)


@pytest.fixture
def tracker(mlflow_uri: str) -> MlflowRunTracker:
    return MlflowRunTracker(mlflow_uri, NAME)


def experiment_id(client: MlflowClient, name: str = NAME) -> str:
    found = client.get_experiment_by_name(name)
    assert found is not None
    return str(found.experiment_id)


def names_in(client: MlflowClient, name: str) -> list[str]:
    return [run.info.run_name for run in client.search_runs([experiment_id(client, name)])]


def test_trials_lie_below_their_search_apart_from_trainings(
    tracker: MlflowRunTracker, client: MlflowClient
) -> None:
    search = tracker.open_run("search:a", name="search a", tags={}, kind="search")
    trial = tracker.open_run("search:a:1", name="trial 1", tags={}, kind="search", parent_id=search)
    assert names_in(client, f"{NAME} searches") == ["trial 1", "search a"]
    assert client.get_run(trial).data.tags["mlflow.parentRunId"] == search
    assert tracker.open_run("search:a:1", name="trial 1", tags={}, kind="search", parent_id=search) == trial
    assert tracker.find_run("search:a") == search


def test_drift_checks_lie_apart_from_trainings_and_both_open_as_model_training(
    tracker: MlflowRunTracker, client: MlflowClient
) -> None:
    tracker.open_run("cycle-1:a", name="train cycle-1 data-v1", tags={})
    drift = tracker.open_run("drift:w1", name="drift check 11-30 01:30: drifted", tags={}, kind="drift check")
    assert names_in(client, NAME) == ["train cycle-1 data-v1"]
    assert names_in(client, f"{NAME} drift checks") == ["drift check 11-30 01:30: drifted"]
    for name in (NAME, f"{NAME} drift checks"):
        tags = client.get_experiment(experiment_id(client, name)).tags
        assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert tracker.find_run("drift:w1") == drift
    apart = experiment_id(client, f"{NAME} drift checks")
    assert tracker.route(drift) == f"#/experiments/{apart}/runs/{drift}?workflowType=machine_learning"


def test_a_drift_check_recorded_among_trainings_by_an_earlier_release_is_found(
    tracker: MlflowRunTracker, client: MlflowClient
) -> None:
    old = tracker.open_run("drift:w0", name="drift quiet w0", tags={})
    assert tracker.find_run("drift:w0") == old
    assert (
        tracker.route(old)
        == f"#/experiments/{experiment_id(client)}/runs/{old}?workflowType=machine_learning"
    )


def test_a_kind_that_a_person_chose_for_an_experiment_is_kept(
    tracker: MlflowRunTracker, client: MlflowClient
) -> None:
    made = client.create_experiment(NAME, tags={"mlflow.experimentKind": "genai_development"})
    tracker.open_run("cycle-1:a", name="n", tags={})
    assert client.get_experiment(made).tags["mlflow.experimentKind"] == "genai_development"


def test_an_experiment_deleted_in_mlflow_is_restored_with_its_runs(
    tracker: MlflowRunTracker, client: MlflowClient, mlflow_uri: str
) -> None:
    run_id = tracker.open_run("cycle-1:a", name="n", tags={})
    client.delete_experiment(experiment_id(client))
    for opening in (tracker, MlflowRunTracker(mlflow_uri, NAME)):  # the same process, and another
        assert opening.open_run("cycle-1:a", name="n", tags={}) == run_id
    opening.log_metrics(run_id, {"loss": 1.0}, step=1)
    assert client.get_run(run_id).info.lifecycle_stage == "active"


def test_a_run_deleted_in_mlflow_is_restored_when_it_is_opened_and_only_then(
    tracker: MlflowRunTracker, client: MlflowClient
) -> None:
    run_id = tracker.open_run("cycle-1:a", name="n", tags={})
    client.delete_run(run_id)
    assert tracker.find_run("cycle-1:a") == run_id
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    assert tracker.open_run("cycle-1:a", name="n", tags={}) == run_id
    assert client.get_run(run_id).info.lifecycle_stage == "active"


def test_writing_to_what_was_deleted_is_refused_with_the_command_that_brings_it_back(
    tracker: MlflowRunTracker, client: MlflowClient, mlflow_uri: str
) -> None:
    run_id = tracker.open_run("cycle-1:a", name="n", tags={})
    client.delete_run(run_id)
    with pytest.raises(RefusedError) as refused:
        tracker.log_metrics(run_id, {"loss": 1.0}, step=1)
    assert refused.value.exit_code == 77
    assert f"MLFLOW_TRACKING_URI={mlflow_uri} mlflow runs restore --run-id {run_id}" in str(refused.value)


def test_the_commands_of_the_hints_are_mlflows() -> None:
    from mlflow.experiments import restore_experiment
    from mlflow.runs import restore_run

    options = [option for command in (restore_experiment, restore_run) for option in command.params]
    assert [name for option in options for name in option.opts if name.endswith("-id")] == [
        "--experiment-id",
        "--run-id",
    ]


def test_a_version_deleted_in_mlflow_is_not_found_and_the_hint_says_what_goes_on(
    mlflow_uri: str, tmp_path: Path
) -> None:
    store = MlflowModelStore(mlflow_uri, NAME, tmp_path)
    with pytest.raises(NotFoundError, match="has no version 3") as missing:
        store.fetch("3", tmp_path / "model")
    assert "`maskloop train` makes another" in str(missing.value)
