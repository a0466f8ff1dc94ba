"""The command line: every command by purpose. A command's own module is imported when the command runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from flows.console.command_line import CommandLine
from flows.usage import (
    data,
    decisions,
    intake,
    labelling,
    loop,
    models,
    on_call,
    overview,
    serving,
    workspace,
)
from maskloop.errors import MaskloopError
from maskloop.files import EXPLAINED, storage_error

if TYPE_CHECKING:
    from flows.console.output import WorkspaceOpener

SECTIONS: Final = {
    "To begin with": (
        workspace.INIT,
        intake.INGEST,
        models.TRAIN,
        decisions.APPROVE,
        workspace.UP,
    ),
    "Look": (
        overview.STATUS,
        overview.HISTORY,
        overview.LINEAGE,
        loop.REPORT,
        on_call.METRICS,
        on_call.SLO,
        on_call.INCIDENTS,
    ),
    "Train": (
        models.RETRAIN,
        models.DISTIL,
        models.TUNE,
        models.JUDGE,
        loop.RECONCILE,
        decisions.ABANDON,
    ),
    "Decide what serves": (
        decisions.REJECT,
        loop.PROMOTE,
        decisions.ROLLBACK,
        decisions.ROLLOUT,
    ),
    "Production": (
        serving.SERVE,
        serving.PREDICT,
        serving.BATCH,
        serving.VIDEO,
        loop.MONITOR,
        loop.TRENDS,
        intake.FEEDBACK,
        labelling.LABEL,
        on_call.NOTIFY,
        serving.KEYS,
        serving.ENGINES,
        serving.PLAN,
        workspace.UPGRADE,
    ),
    "Data and models": (
        data.DATA,
        models.EXPORT,
        models.BENCHMARK,
    ),
    "Try it": (workspace.DEMO, on_call.GAMEDAY),
}
cli = CommandLine(
    "maskloop",
    SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help=(
        "Keep a Mask R-CNN good in production: versioned data, training, gates, approval, drift, retraining."
    ),
)
click.version_option(package_name="maskloop")(cli)


def main(arguments: Sequence[str] | None = None, *, opener: WorkspaceOpener | None = None) -> None:
    """Run the command line; every error of ours becomes a plain sentence and its exit code.

    Args:
        arguments: Default: those of this process.
        opener: Opens the workspace that a command names. Default: from its folder.
    """
    try:
        cli.main(args=list(arguments) if arguments is not None else None, prog_name="maskloop", obj=opener)
    except MaskloopError as error:
        _fail(error)
    except OSError as error:
        if error.errno not in EXPLAINED:
            raise
        _fail(storage_error(error, Path(error.filename or ".")))


def _fail(error: MaskloopError) -> None:
    click.echo(f"error: {error}", err=True)
    sys.exit(error.exit_code)
