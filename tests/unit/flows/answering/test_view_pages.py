from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.answering.view_pages import MAX_AGE_S, ViewPages, make_in_own_process
from flows.views.page import ViewName
from maskloop.errors import DataError, NotFoundError, UnavailableError
from maskloop.workspace import Workspace
from serving.telemetry.metrics import Metrics


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "maskloop.toml").write_text("[gates]\n")
    made = Workspace(root)
    made.reports_dir.mkdir(parents=True)
    return made


class Makes:
    """Writes a page that says how often it was made, and with which figures."""

    def __init__(self) -> None:
        self.made: list[tuple[ViewName, str]] = []

    def __call__(self, root: Path, view: ViewName, figures: str) -> None:
        self.made.append((view, figures))
        Workspace(root).view_page(view).write_text(f"<p>{view} {len(self.made)}")


@pytest.fixture
def makes() -> Makes:
    return Makes()


@pytest.fixture
def pages(workspace: Workspace, makes: Makes) -> Iterator[ViewPages]:
    return ViewPages(workspace, lambda: (b"up 1\n", "text/plain"), makes)  # type: ignore[return-value]


def test_a_view_is_made_with_the_services_own_figures_and_shown_as_it_is_while_it_is_young(
    pages: ViewPages, makes: Makes, workspace: Workspace
) -> None:
    assert pages.read("on-call.html") == (b"<p>on-call 1", ".html")
    assert pages.read("on-call.html") == (b"<p>on-call 1", ".html")
    assert makes.made == [("on-call", "up 1\n")]
    file = workspace.view_page("on-call")
    old = file.stat().st_mtime - MAX_AGE_S - 1
    os.utime(file, (old, old))
    assert pages.read("on-call.html")[0] == b"<p>on-call 2"


def test_many_who_ask_at_once_have_a_view_made_once(pages: ViewPages, makes: Makes) -> None:
    threads = [threading.Thread(target=pages.read, args=("debug.html",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(makes.made) == 1


def test_other_pages_are_shown_as_they_lie_there(
    pages: ViewPages, makes: Makes, workspace: Workspace
) -> None:
    page = workspace.reports_dir / "drift" / "w1" / "drift.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>drift")
    assert pages.read("drift/w1/drift.html") == (b"<p>drift", ".html")
    assert makes.made == []


@pytest.mark.parametrize(
    "name",
    [
        "../maskloop.toml",
        "../../secret.html",
        "/etc/hostname",
        "nothing.html",
        "drift",
        "folder.html",
        "",
        "a.toml",
        "\0.html",
        "\ud800.html",
        "a" * 300 + ".html",
    ],
)
def test_nothing_outside_the_reports_and_no_other_kind_of_file_is_shown(
    pages: ViewPages, workspace: Workspace, name: str
) -> None:
    (workspace.root.parent / "secret.html").write_text("secret")
    (workspace.reports_dir / "a.toml").write_text("key = 1")
    (workspace.reports_dir / "folder.html").mkdir()
    with pytest.raises(NotFoundError, match="there is no such page"):
        pages.read(name)


def test_a_link_that_leads_out_of_the_reports_is_not_followed(pages: ViewPages, workspace: Workspace) -> None:
    (workspace.root / "private.html").write_text("private")
    (workspace.reports_dir / "link.html").symlink_to(workspace.root / "private.html")
    with pytest.raises(NotFoundError):
        pages.read("link.html")


def test_a_process_of_its_own_makes_the_view_of_a_workspace_in_which_nothing_serves(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    figures = Metrics("parts").render()[0].decode()
    make_in_own_process(workspace.root, "on-call", figures)
    text = workspace.view_page("on-call").read_text(encoding="utf-8")
    assert "no service of this workspace runs here" not in text
    with pytest.raises(DataError, match="no page of figures"):
        make_in_own_process(workspace.root, "executive", "{not figures")


def test_a_view_that_takes_too_long_is_given_up_and_its_process_ended(workspace: Workspace) -> None:
    with pytest.raises(UnavailableError, match="the debug view could not be made"):
        make_in_own_process(workspace.root, "debug", "", timeout_s=0.01)
    assert multiprocessing.active_children() == []


def test_making_a_view_leaves_nothing_open_without_the_collector(workspace: Workspace) -> None:
    with pytest.raises(UnavailableError):  # what the first process of all opens stays
        make_in_own_process(workspace.root, "debug", "", timeout_s=0.01)
    gc.disable()
    try:
        before = psutil.Process().num_fds()
        with pytest.raises(UnavailableError):
            make_in_own_process(workspace.root, "debug", "", timeout_s=0.01)
        assert psutil.Process().num_fds() == before
    finally:
        gc.enable()
