"""Every file and page below `.maskloop` that a document names is one that the loop really writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.incidents.page import write_incident_page
from flows.intake.batch_intake import ingest
from flows.learning.preview import write_preview
from flows.loop.reconcile import reconcile
from flows.pages.loop_report import write_report
from flows.pages.status import describe_status
from flows.workspace.servers import start_process, stop_process
from maskloop.errors import DataError
from tests.fakes.loop_stories import judged
from tests.fakes.loop_world import World

ROOT = Path(__file__).resolve().parents[4]
DOCUMENTS = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "runbooks").glob("*.md")]
NAMED = re.compile(r"`\"?\.maskloop/([\w*./-]+)")


def documented() -> set[str]:
    """Return every path below `.maskloop` that a document names, as it stands there."""
    return {
        path.rstrip("/") for file in DOCUMENTS for path in NAMED.findall(file.read_text(encoding="utf-8"))
    }


def refuse_a_batch(world: World) -> None:
    picture = {"id": 1, "file_name": "gone.png", "width": 8, "height": 8}
    batch = {"images": [picture], "annotations": [], "categories": [{"id": 1, "name": "bolt"}]}
    file = world.workspace.root / "batch.json"
    file.write_text(json.dumps(batch))
    with pytest.raises(DataError, match=r"ingest-batch"):
        ingest(world.app(), file, file.parent)


def write_log(world: World) -> None:
    from flows.workspace.servers import _log_file

    log = _log_file(world.workspace, "worker")
    stop_process(start_process(["true"], log, {}, world.workspace.root))


def judge_and_find_all_pages_up_to_date(world: World) -> None:
    judged(world)
    for _ in range(2):  # the first writes the page again: the cycle waits for a decision by now
        reconcile(world.app())


WRITTEN: dict[str, Callable[[World], object]] = {
    "reports": lambda world: write_report(world.app(), None),
    "reports/loop.html": lambda world: write_report(world.app(), None),
    "reports/incidents.html": lambda world: write_incident_page(world.app()),
    "reports/ingest-*.html": refuse_a_batch,
    "reports/preview.png": lambda world: write_preview(world.app()),
    "reports/verdicts/version-N/evidence.html": judged,
    "approval-pages.json": judge_and_find_all_pages_up_to_date,
    "training": judged,
    "models": judged,
    "logs": write_log,
    "keys.db": lambda world: world.app().keys.add("camera", scopes=("predict",)),
}
"""By path, what writes it."""


def workspace_paths(world: World) -> set[str]:
    """Return what the workspace itself gives a place to."""
    workspace = world.workspace
    kept = {
        workspace.ledger_file,
        workspace.pairs_file.parent,
        workspace.samples_dir,
        workspace.slices_dir,
        workspace.datasets_dir,
        workspace.exports_dir,
        workspace.engines_dir,
        workspace.tuning_dir,
        workspace.keys_file_before,
        workspace.mlflow_dir,
        workspace.prefect_dir,
        workspace.locks_dir,
        world.workspace.baseline_dir("x").parent,
        workspace.root / workspace.settings.data.remote,
        workspace.root / workspace.settings.labelling.folder,
    }
    return {str(path.relative_to(workspace.state_dir)) for path in kept}


SHOWN_BY = {
    "reports/data-report.html": ("../health/test_data_report.py", 'told["page"]'),
    "reports/data-check.html": ("../health/test_data_check.py", "data-check.html"),
    "reports/gameday.html": ("../gameday/test_gameday.py", "test_the_page_tells_each_step"),
    "reports/drift": ("../drift/test_monitor.py", "test_status_names_the_page_of_the_last_drift_check"),
    "tuning/SEARCH/best.toml": ("../tuning/test_story.py", "fragment_file"),
    "engines/*/*-crash.txt": ("../engines/test_engine_decisions.py", "-crash.txt"),
    "samples/pictures": ("../../../contracts/test_sample_log.py", "picture"),
    "known-files.json": ("../../dataset/versions/test_revision.py", "known-files.json"),
    "processes.json": ("../workspace/test_leftovers.py", "processes.json"),
    "seen-labels.json": ("../labelling/test_pull_unchanged.py", "seen-labels.json"),
    "servers.json": ("../workspace/test_servers.py", "servers.json"),
}
"""Written by what costs a story of its own: the test that shows it."""


def test_every_documented_path_is_written_by_something(world: World) -> None:
    assert documented() == documented() & ({*WRITTEN, *SHOWN_BY} | workspace_paths(world))
    for file, words in SHOWN_BY.values():
        assert words in (Path(__file__).parent / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", WRITTEN)
def test_a_documented_path_is_there_once_it_was_written(path: str, world: World) -> None:
    WRITTEN[path](world)
    pattern = path.replace("version-N", "version-1")
    assert list(world.workspace.state_dir.glob(pattern)), pattern


def test_status_names_the_page_a_person_decides_by(world: World) -> None:
    version = judged(world)
    page = world.workspace.root / f".maskloop/reports/verdicts/version-{version}/evidence.html"
    assert page.exists()
    assert str(page) in describe_status(world.app()).to_text()
