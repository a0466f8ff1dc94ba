"""`maskloop report`: the page of the loop and the three views."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from flows.console.output import Output, open_workspace, with_output
from flows.pages.loop_report import write_report
from flows.views.debug import Debug
from flows.views.page import ViewName, write_views


@with_output
def report(
    root: Path,
    out: Output,
    *,
    view: ViewName | Literal["loop"] | None,
    version: str,
    cycle: str,
    url: str,
    key: str,
    output: Path | None,
) -> None:
    """Write the page of the loop and the three views, or one VIEW."""
    if (version or cycle) and view != "debug":
        raise click.UsageError("--version and --cycle belong to the debug view: `maskloop report debug`")
    if version and cycle:
        raise click.UsageError("--version and --cycle exclude each other")
    app = open_workspace(root)
    if view is not None and view != "loop":
        asked: dict[str, Any] = {"output": output, "version": version, "cycle": cycle, "url": url, "key": key}
        written = write_views(app, (view,), **asked)[view]
        shown = written.view.without_pictures() if isinstance(written.view, Debug) else written.view
        answer = {"page": str(written.page), "view": shown}
        out.answer(answer, lambda: click.echo(str(written.page)))
        return
    views = {} if view or output else write_views(app, url=url, key=key)
    page = write_report(app, output)
    pages: dict[str, Path] = {"loop": page} | {name: one.page for name, one in views.items()}

    def show() -> None:
        for path in pages.values():
            click.echo(str(path))

    told = {name: str(path) for name, path in pages.items()}
    out.answer({"report": str(page), "pages": told}, show)
