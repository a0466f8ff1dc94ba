"""The adapters over HTTP: a real server on loopback, and one that does not answer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from maskloop.errors import NotFoundError, UnavailableError
from registry.mlflow_adapter.model_store import MlflowModelStore
from registry.mlflow_adapter.tracker import MlflowRunTracker

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::mlflow", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture
def server(mlflow_template: Path, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    (tmp_path / "mlflow.db").write_bytes(mlflow_template.read_bytes())
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--workers", "1"),
        *("--artifacts-destination", str(tmp_path / "artifacts")),
    ]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=tmp_path,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,
        )
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 180
    while not is_healthy(url):
        assert process.poll() is None, (tmp_path / "server.log").read_text()[-2000:]
        assert time.monotonic() < deadline, "the server did not start"
    yield url
    os.killpg(process.pid, 15)
    process.wait(30)


def test_a_whole_registration_over_http(server: str, tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    (artifact / "model.safetensors").write_bytes(b"weights")
    tracker = MlflowRunTracker(server, "maskloop", model_name="mask-rcnn", system_metrics_every_s=0.2)
    run_id = tracker.open_run("c1:1", name="training", tags={"cycle": "c1"})
    tracker.log_params(run_id, {"steps": 3})
    tracker.log_metrics(run_id, {"loss": 0.5, "bad": float("nan")}, step=1)
    tracker.log_picture(run_id, np.zeros((4, 4, 3), np.uint8), "pictures/x.png")
    tracker.log_text(run_id, "<p>verdict</p>", "approval/evidence.html")
    assert tracker.read_text(run_id, "approval/evidence.html") == "<p>verdict</p>"
    with pytest.raises(NotFoundError):
        tracker.read_text(run_id, "approval/other.html")
    assert tracker.find_run("c1:1") == run_id
    tracker.close_run(run_id, "finished")
    store = MlflowModelStore(server, "mask-rcnn", ROOT)
    assert store.with_alias("champion") is None
    made = store.register(artifact, run_id=run_id, weights_digest="d" * 64, tags={"approval": "pending"})
    assert store.register(artifact, run_id=run_id, weights_digest="d" * 64, tags={}) == made
    store.set_alias("champion", made.version)
    found = store.with_alias("champion")
    assert found is not None
    assert found.aliases == ("champion",)
    fetched = store.fetch(made.version, tmp_path / "copy")
    assert (fetched / "model.safetensors").read_bytes() == b"weights"
    with pytest.raises(NotFoundError):
        store.set_alias("champion", "99")
    store.delete_alias("challenger")
    assert tracker.url(run_id).startswith(f"{server}/#/experiments/")
    assert tracker.url(run_id) == f"{server}/{tracker.route(run_id)}"
    assert tracker.version_url("1") == f"{server}/#/models/mask-rcnn/versions/1?workflowType=machine_learning"


def test_a_server_that_is_not_there_is_said_in_plain_words_and_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    address = f"http://me:secret@127.0.0.1:{free_port()}"
    store, began = MlflowModelStore(address, "mask-rcnn", ROOT), time.monotonic()
    with pytest.raises(UnavailableError, match="MLflow does not answer") as raised:
        store.with_alias("champion")
    with pytest.raises(UnavailableError):
        MlflowRunTracker(address, "x").open_run("k", name="n", tags={})
    with pytest.raises(UnavailableError):
        store.fetch("1", tmp_path / "copy")
    assert time.monotonic() - began < 60
    assert "secret" not in str(raised.value)
