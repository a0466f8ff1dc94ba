"""The pages of the workspace as the service shows them: views made anew, all others as they lie there.

A view reads the whole history, so a process of its own makes it: pictures are answered meanwhile, and its
memory is given back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from flows.views.page import VIEWS, ViewName, write_views
from flows.workspace.wiring import open_app
from maskloop.errors import NotFoundError, UnavailableError
from maskloop.workspace import Workspace
from serving.telemetry.reading import read_service_figures

MAX_AGE_S: Final = 60.0
"""A view younger than this is shown as it is, so that reloading a page costs nothing."""
_TIMEOUT_S: Final = 120.0
SHOWN: Final = (".html", ".js", ".json", ".png", ".jpg", ".svg")

Make = Callable[[Path, ViewName, str], None]


class ViewPages:
    """Reads pages of a workspace's reports; safe in threads.

    Args:
        workspace: Whose pages these are.
        render_figures: Returns the service's own figures, as Prometheus reads them.
        make: Makes a view anew from the workspace's root, its name and the figures.
    """

    def __init__(
        self, workspace: Workspace, render_figures: Callable[[], tuple[bytes, str]], make: Make | None = None
    ) -> None:
        self._workspace, self._render_figures = workspace, render_figures
        self._make = make or make_in_own_process
        self._lock = threading.Lock()

    def read(self, name: str) -> tuple[bytes, str]:
        """Return a page and its kind, ``.html`` for example.

        Args:
            name: The path below the reports, as the links of other pages have it.

        Raises:
            NotFoundError: if there is no such page.
            UnavailableError: if a view could not be made in time.
            StorageError: if it could not be written.
        """
        folder = self._workspace.reports_dir.resolve()
        file = (folder / name).resolve()
        if not file.is_relative_to(folder) or file.suffix not in SHOWN:
            raise NotFoundError("there is no such page", where=name)
        view = next((one for one in VIEWS if file == self._workspace.view_page(one).resolve()), None)
        if view is not None:
            with self._lock:  # whoever waited finds it young
                if not file.exists() or time.time() - file.stat().st_mtime > MAX_AGE_S:
                    self._make(self._workspace.root, view, self._render_figures()[0].decode())
        if not file.is_file():
            raise NotFoundError(
                "there is no such page", where=name, hint="`maskloop report` writes the pages"
            )
        return file.read_bytes(), file.suffix


def make_in_own_process(root: Path, view: ViewName, figures: str) -> None:
    """Write a view, in a process that ends afterwards. Raises UnavailableError if that takes too long."""
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    try:
        pool.submit(write_one_view, root, view, figures).result(_TIMEOUT_S)
    except (TimeoutError, BrokenProcessPool) as error:
        raise UnavailableError(
            f"the {view} view could not be made", hint=f"`maskloop report {view}` says why"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def write_one_view(root: Path, view: ViewName, figures: str) -> None:
    """Write a view of a workspace with the figures of its service."""
    write_views(open_app(root, actor="service"), (view,), figures=read_service_figures(figures))
