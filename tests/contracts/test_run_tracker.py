"""What every run tracker promises; run on the fake and on MLflow."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from maskloop.errors import NotFoundError
from registry.ports import RunTracker
from tests.fakes.run_tracker import FakeRunTracker

pytestmark = pytest.mark.filterwarnings(
    "ignore:::mlflow", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


class FakeView:
    """Looks at what was recorded."""

    def __init__(self, tracker: FakeRunTracker) -> None:
        self.tracker = tracker

    def params(self, run_id: str) -> Mapping[str, str]:
        return self.tracker.runs[run_id].params

    def metric(self, run_id: str, name: str) -> list[tuple[int, float]]:
        return self.tracker.runs[run_id].metrics[name]

    def file(self, run_id: str, path: str) -> bytes:
        return self.tracker.runs[run_id].files[path]

    def picture(self, run_id: str, path: str) -> Any:
        return self.tracker.runs[run_id].pictures[path]

    def datasets(self, run_id: str) -> list[tuple[str, str]]:
        return [(one["name"], one["context"]) for one in self.tracker.runs[run_id].datasets]

    def status(self, run_id: str) -> str:
        return self.tracker.runs[run_id].status


class MlflowView:
    def __init__(self, uri: str, folder: Path) -> None:
        from mlflow import MlflowClient

        self.client, self.folder = MlflowClient(uri, uri), folder

    def params(self, run_id: str) -> Mapping[str, str]:
        return dict(self.client.get_run(run_id).data.params)

    def metric(self, run_id: str, name: str) -> list[tuple[int, float]]:
        given = {true: given for given, true in self.true_names(run_id).items()}
        name = given.get(name, name)
        return [(one.step, one.value) for one in self.client.get_metric_history(run_id, name)]

    def true_names(self, run_id: str) -> Mapping[str, str]:
        """Read MLflow's names and the true ones as a person would, from the run's files."""
        if not any(file.path == "names.json" for file in self.client.list_artifacts(run_id)):
            return {}
        names: Mapping[str, str] = json.loads(self.file(run_id, "names.json"))
        return names

    def file(self, run_id: str, path: str) -> bytes:
        return Path(self.client.download_artifacts(run_id, path, str(self.folder))).read_bytes()

    def picture(self, run_id: str, path: str) -> Any:
        from PIL import Image

        return np.asarray(Image.open(self.client.download_artifacts(run_id, path, str(self.folder))))

    def datasets(self, run_id: str) -> list[tuple[str, str]]:
        inputs = self.client.get_run(run_id).inputs.dataset_inputs
        return [(one.dataset.name, one.tags[0].value) for one in inputs]

    def status(self, run_id: str) -> str:
        return str(self.client.get_run(run_id).info.status).lower()


@pytest.fixture(params=["fake", "mlflow"])
def tracked(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[RunTracker, Any]:
    if request.param == "fake":
        fake = FakeRunTracker()
        return fake, FakeView(fake)
    from registry.mlflow_adapter.tracker import MlflowRunTracker

    uri = request.getfixturevalue("mlflow_uri")
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    return MlflowRunTracker(uri, "Default"), MlflowView(uri, downloads)


Tracked = tuple[RunTracker, Any]


def test_the_same_key_opens_the_same_run(tracked: Tracked) -> None:
    tracker, view = tracked
    run_id = tracker.open_run("c1:it's 1", name="training", tags={"cycle": "c1"})
    assert view.status(run_id) == "running"
    tracker.close_run(run_id, "failed")
    assert view.status(run_id) == "failed"
    assert tracker.open_run("c1:it's 1", name="training", tags={}) == run_id
    assert view.status(run_id) == "running"
    assert tracker.open_run("c1:2", name="training", tags={}) != run_id
    tracker.close_run(run_id, "finished")
    assert view.status(run_id) == "finished"


def test_params_keep_their_first_value(tracked: Tracked) -> None:
    tracker, view = tracked
    run_id = tracker.open_run("k", name="n", tags={})
    tracker.log_params(run_id, {"steps": 400, "backbone": "small"})
    tracker.log_params(run_id, {"steps": 500, **{f"p{number}": number for number in range(150)}})
    assert view.params(run_id)["steps"] == "400"
    assert len(view.params(run_id)) == 152


def test_recorded_params_are_read_back_as_text(tracked: Tracked) -> None:
    tracker, _ = tracked
    run_id = tracker.open_run("k", name="n", tags={})
    assert tracker.params(run_id) == {}
    tracker.log_params(run_id, {"training.learning_rate": 2e-4, "training.augmentation": {"crop": 0.5}})
    assert tracker.params(run_id) == {
        "training.learning_rate": "0.0002",
        "training.augmentation": "{'crop': 0.5}",
    }
    with pytest.raises(NotFoundError):
        tracker.params("0" * 32)


def test_metrics_keep_their_steps_also_when_not_finite(tracked: Tracked) -> None:
    tracker, view = tracked
    run_id = tracker.open_run("k", name="n", tags={})
    tracker.log_metrics(run_id, {"loss": 2.5}, step=1)
    tracker.log_metrics(run_id, {"loss": float("nan")}, step=2)
    (first, second) = view.metric(run_id, "loss")
    assert first == (1, 2.5)
    assert second[0] == 2
    assert math.isnan(second[1])


def test_a_figure_is_read_back_by_step(tracked: Tracked) -> None:
    tracker, _ = tracked
    run_id = tracker.open_run("k", name="n", tags={})
    for step, value in ((20, 0.5), (10, 0.25)):
        tracker.log_metrics(run_id, {"train/loss/total": value, "iou/screw (M6)": 1.0}, step=step)
    assert tracker.metric_history(run_id, "train/loss/total") == ((10, 0.25), (20, 0.5))
    assert tracker.metric_history(run_id, "iou/screw (M6)") == ((10, 1.0), (20, 1.0))
    assert tracker.metric_history(run_id, "validation/loss") == ()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.text(max_size=300), min_size=1, max_size=8, unique=True))
@example(names=["screw (M6)", "screw [M6]", "screw _M6_", "c++ clip", "50 % worn, bent"])
@example(names=["nut/bolt", "nut/", "a//b", "/", "..", ".", "", " ", "a/../b", "line\nend", "x\n"])
@example(names=["Öse", "电池", "🔩", "O\u0308se", "\ud800", "\x00", "a" * 500, "a" * 499 + "b"])
def test_a_figure_of_a_class_with_any_name_is_recorded_and_found_by_its_true_name(
    tracked: Tracked, names: list[str]
) -> None:
    tracker, view = tracked
    run_id = tracker.open_run("k", name="n", tags={})
    figures = {f"validation/iou/{name}": number / 8 for number, name in enumerate(names)}
    tracker.log_metrics(run_id, figures, step=1)
    for name, value in figures.items():
        assert view.metric(run_id, name)[-1] == (1, value)


def test_the_true_names_of_an_earlier_process_are_kept(tracked: Tracked, mlflow_uri: str) -> None:
    tracker, view = tracked
    run_id = tracker.open_run("k", name="n", tags={})
    tracker.log_metrics(run_id, {"iou/screw (M6)": 0.5}, step=1)
    if isinstance(view, MlflowView):
        from registry.mlflow_adapter.tracker import MlflowRunTracker

        tracker = MlflowRunTracker(mlflow_uri, "Default")
    tracker.log_metrics(run_id, {"iou/screw (M8)": 0.25}, step=1)
    assert view.metric(run_id, "iou/screw (M6)") == [(1, 0.5)]
    assert view.metric(run_id, "iou/screw (M8)") == [(1, 0.25)]


def test_a_table_replaces_the_one_before(tracked: Tracked) -> None:
    tracker, view = tracked
    run_id = tracker.open_run("k", name="n", tags={})
    for iou in (0.5, 0.8):
        tracker.log_table(run_id, [{"class": "nut", "iou": iou}], "tables/classes.csv")
    assert view.file(run_id, "tables/classes.csv") == b"class,iou\nnut,0.8\n"
    tracker.log_table(run_id, [{"class": "nut", "iou": None}], "tables/classes.json")
    assert b"null" in view.file(run_id, "tables/classes.json")


def test_text_pictures_and_files_come_back_unchanged(tracked: Tracked, tmp_path: Path) -> None:
    tracker, view = tracked
    run_id = tracker.open_run("k", name="n", tags={})
    tracker.log_text(run_id, "<p>ü</p>", "verdict/page.html")
    assert view.file(run_id, "verdict/page.html").decode() == "<p>ü</p>"
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    tracker.log_picture(run_id, picture, "pictures/worst.png")
    np.testing.assert_array_equal(view.picture(run_id, "pictures/worst.png"), picture)
    (tmp_path / "manifest.json").write_text("{}")
    tracker.log_file(run_id, tmp_path / "manifest.json", "artifact")
    assert view.file(run_id, "artifact/manifest.json") == b"{}"


def test_a_recorded_text_can_be_read_again_and_a_missing_one_is_not_found(tracked: Tracked) -> None:
    tracker, _ = tracked
    run_id = tracker.open_run("k", name="n", tags={})
    for text in ("<p>ü</p>", "<p>newer</p>\r\n"):
        tracker.log_text(run_id, text, "approval/evidence.html")
        assert tracker.read_text(run_id, "approval/evidence.html") == text
    with pytest.raises(NotFoundError):
        tracker.read_text(run_id, "approval/other.html")
    with pytest.raises(NotFoundError):
        tracker.read_text("0" * 32, "approval/evidence.html")


def test_files_of_a_folder_come_back_together_and_a_missing_folder_is_not_found(
    tracked: Tracked, tmp_path: Path
) -> None:
    tracker, _ = tracked
    run_id = tracker.open_run("k", name="n", tags={})
    for name in ("scan.xml", "scan.bin"):
        (tmp_path / name).write_text(name)
        tracker.log_file(run_id, tmp_path / name, "exports/openvino/1")
    tracker.log_text(run_id, "{}", "exports/openvino/1/report.json")
    tracker.log_text(run_id, "{}", "exports/openvino/2/report.json")
    fetched = tracker.fetch_files(run_id, "exports/openvino/1", tmp_path / "fetched" / "1")
    assert sorted(file.name for file in fetched.iterdir()) == ["report.json", "scan.bin", "scan.xml"]
    assert (fetched / "scan.bin").read_text() == "scan.bin"
    with pytest.raises(NotFoundError):
        tracker.fetch_files(run_id, "exports/onnx/1", tmp_path / "fetched" / "2")
    assert not (tmp_path / "fetched" / "2").exists()


def test_a_run_is_found_by_its_key_without_being_opened(tracked: Tracked) -> None:
    tracker, view = tracked
    assert tracker.find_run("drift:it's w1") == ""
    run_id = tracker.open_run("drift:it's w1", name="drift", tags={})
    tracker.close_run(run_id, "finished")
    assert tracker.find_run("drift:it's w1") == run_id
    assert view.status(run_id) == "finished"


def test_where_a_server_shows_a_file_is_known_without_one(tracked: Tracked) -> None:
    tracker, _ = tracked
    run_id = tracker.open_run("k", name="n", tags={})
    as_training = "?workflowType=machine_learning"  # else MLflow's page begins with prompts and traces
    assert tracker.route(run_id) == f"#/experiments/0/runs/{run_id}{as_training}"
    route = tracker.route(run_id, "drift/index.html")
    assert route == f"#/experiments/0/runs/{run_id}/artifacts/drift/index.html{as_training}"


def test_the_data_a_run_read_is_recorded(tracked: Tracked) -> None:
    tracker, view = tracked
    run_id = tracker.open_run("k", name="n", tags={})
    for context in ("training", "test"):
        tracker.log_dataset(
            run_id,
            name=f"parts {context}",
            tag="data-v1",
            fingerprint="f" * 64,
            dvc_md5="0" * 32,
            context=context,
            num_pictures=600,
        )
    assert sorted(view.datasets(run_id)) == [("parts test", "test"), ("parts training", "training")]


def test_a_run_that_does_not_exist_is_not_found(tracked: Tracked) -> None:
    tracker, _ = tracked
    with pytest.raises(NotFoundError):
        tracker.log_params("0" * 32, {"a": 1})
    with pytest.raises(NotFoundError):
        tracker.log_metrics("0" * 32, {"a": 1}, step=0)


def test_without_a_server_there_is_no_address(tracked: Tracked) -> None:
    tracker, _ = tracked
    assert tracker.url("1") == tracker.version_url("1") == ""
