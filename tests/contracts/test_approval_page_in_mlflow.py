"""The approval page through the real MLflow: an artifact of the run, linked from the description."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.deciding.decision_log import DecisionLog
from flows.deciding.decisions import settle_tags
from flows.evidence.judged import PAGE_PATH
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.pages.evidence_pack import refresh_packs
from registry.mlflow_adapter.model_store import MlflowModelStore
from registry.mlflow_adapter.tracker import MlflowRunTracker
from tests.fakes.approval_pages import Reader
from tests.fakes.loop_world import World, leave_alone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::mlflow", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]
ROOT = Path(__file__).parents[2]


def test_a_reviewer_finds_the_page_decides_by_tags_and_the_page_follows(
    mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    leave_alone(monkeypatch)
    world = World(tmp_path / "workspace")
    world.models = MlflowModelStore(mlflow_uri, "mask-rcnn", ROOT)  # type: ignore[assignment]
    world.tracker = MlflowRunTracker(mlflow_uri, "Default")  # type: ignore[assignment]
    world.label(range(12))
    run_turn(world.app(), starts_from="first-weights")

    client = MlflowClient(mlflow_uri, mlflow_uri)
    version = client.get_model_version("mask-rcnn", "1")
    assert (
        f"](#/experiments/0/runs/{version.run_id}/artifacts/{PAGE_PATH}?workflowType=machine_learning)"
        in version.description
    )
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    page = Path(client.download_artifacts(version.run_id, PAGE_PATH, str(downloads))).read_text("utf-8")
    assert "? It waits for a person's decision." in Reader(page).text

    shown = version.tags["evidence"]
    refresh_packs(world.app())
    assert client.get_model_version("mask-rcnn", "1").tags["evidence"] == shown, "nothing was due"

    client.set_model_version_tag("mask-rcnn", "1", "approved_by", "anna")
    client.set_model_version_tag("mask-rcnn", "1", "approval", "approved")
    reconcile(world.app())
    page = Path(client.download_artifacts(version.run_id, PAGE_PATH, str(downloads))).read_text("utf-8")
    assert "✓ It serves." in Reader(page).text
    assert "anna approved version 1 (mlflow)" in Reader(page).text
    assert "It serves" in client.get_model_version("mask-rcnn", "1").description
    app = world.app()
    assert settle_tags(DecisionLog(app.ledger, app.state, app.models, app.teller)) == []
