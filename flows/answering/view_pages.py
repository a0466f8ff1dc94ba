"""The pages of the workspace as the service shows them: views made anew, all others as they lie there.

A view reads the whole history, so a process of its own makes it: pictures are answered meanwhile, and its
memory is given back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from flows.views.page import VIEWS, ViewName, write_views
from flows.workspace.wiring import open_app
from maskloop.errors import MaskloopError, NotFoundError, UnavailableError
from maskloop.workspace import Workspace
from serving.telemetry.reading import read_service_figures

MAX_AGE_S: Final = 60.0
"""A view younger than this is shown as it is, so that reloading a page costs nothing."""
_TIMEOUT_S: Final = 120.0
_MOST_NAMED: Final = 200
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
        try:
            file = (folder / name).resolve()
            is_shown = file.is_relative_to(folder) and file.suffix in SHOWN and not file.is_dir()
        except (OSError, ValueError):  # no file has such a name: too long, or with a zero byte
            is_shown = False
        if not is_shown:
            raise NotFoundError("there is no such page", where=name[:_MOST_NAMED])
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


def make_in_own_process(root: Path, view: ViewName, figures: str, *, timeout_s: float = _TIMEOUT_S) -> None:
    """Write a view, in a process that ends afterwards, or is ended.

    Raises:
        UnavailableError: if that takes too long, or the process ends before it has said anything.
        MaskloopError: what the process raised.
    """
    context = get_context("spawn")
    heard, said = context.Pipe(duplex=False)
    child = context.Process(target=_write_and_tell, args=(said, root, view, figures), daemon=True)
    child.start()
    said.close()  # else the end of the process would not be heard
    try:
        if not heard.poll(timeout_s):
            raise EOFError
        error = heard.recv()
    except EOFError as nothing:
        raise UnavailableError(
            f"the {view} view could not be made", hint=f"`maskloop report {view}` says why"
        ) from nothing
    finally:
        child.kill()
        child.join()
        child.close()
        heard.close()
    if error is not None:
        raise error


def write_one_view(root: Path, view: ViewName, figures: str) -> None:
    """Write a view of a workspace with the figures of its service."""
    write_views(open_app(root, actor="service"), (view,), figures=read_service_figures(figures))


def _write_and_tell(said: Connection, root: Path, view: ViewName, figures: str) -> None:
    error: MaskloopError | None = None
    try:
        write_one_view(root, view, figures)
    except MaskloopError as raised:
        error = raised
    said.send(error)
