"""What commands share when they run: the workspace they open, and where an answer is printed."""

from __future__ import annotations

import functools
import getpass
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import click
from pydantic import BaseModel
from rich.console import Console

from flows.workspace.telling import Teller, TerminalTeller, make_table
from flows.workspace.wiring import App, open_app
from maskloop.errors import MaskloopError, StoppedError


class Output:
    """Where a command's answer goes: JSON for machines on standard output, or sentences and tables."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._has_answered = False

    def answer(self, value: Any, show: Callable[[], None]) -> None:
        """Print ``value`` as JSON if that was asked for, else call ``show``."""
        self._has_answered = True
        if self.as_json:
            click.echo(json.dumps(_plain(value), indent=1, ensure_ascii=False))
        else:
            show()

    @contextmanager
    def errors_in_json(self) -> Iterator[None]:
        """Answer in JSON what an error says, if that was asked for and the body has not answered yet."""
        try:
            yield
        except MaskloopError as error:
            if self.as_json and not self._has_answered:
                outcome = "stopped" if isinstance(error, StoppedError) else "refused"
                said = {
                    "outcome": outcome,
                    "said": str(error),
                    "changed": False,
                    "exit_code": error.exit_code,
                }
                self.answer(said, lambda: None)
            raise

    def sentences(self, sentences: Sequence[str], teller: Teller) -> None:
        """Print sentences on standard output, except those that its reader has just read on standard error.

        On a terminal one person reads both streams. Where the streams are separate, each is complete.
        """
        terminal = teller if isinstance(teller, TerminalTeller) and is_one_stream() else None
        for sentence in sentences:
            if terminal is None or not terminal.has_said(sentence):
                click.echo(sentence)

    def table(self, rows: Sequence[dict[str, Any]], title: str) -> None:
        """Print rows as a table on standard output."""
        if rows:
            Console().print(make_table(rows, title))


class WorkspaceOpener(Protocol):
    """Opens the workspace of a command."""

    def __call__(self, root: Path, *, teller: Teller, actor: str) -> App:
        """Open it. Raises ConfigurationError if its settings or its path cannot be used."""
        ...


def with_output(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command's function an `Output`; with ``--json`` its errors are answered in JSON too."""

    @functools.wraps(function)
    def run(*, as_json: bool, **options: Any) -> None:
        out = Output(as_json)
        with out.errors_in_json():
            function(out=out, **options)

    return run


def open_workspace(
    root: Path, *, actor: str = "", teller: Teller | None = None, workers: int | None = None
) -> App:
    """Open the workspace of a command, telling its story on standard error unless to another teller.

    ``workers`` takes the place of the settings' own number of them.
    """
    context = click.get_current_context(silent=True)
    opener: WorkspaceOpener = (context and context.obj) or open_app
    app = opener(root, teller=teller or TerminalTeller(), actor=actor)
    return app if workers is None else replace(app, workspace=replace(app.workspace, workers=workers))


def is_one_stream() -> bool:
    """Tell whether standard output and standard error go to the same terminal, file or pipe."""
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):  # one of them is closed, or no file at all
        return False


def user_name() -> str:
    """Return the name of the person at the keyboard."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, datetime) else value
