"""The command line: a table of every command. `--help` imports none of their modules and answers at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from flows.console.command_line import CommandGroup, CommandLine, Row
from maskloop.errors import MaskloopError
from maskloop.files import EXPLAINED, storage_error

if TYPE_CHECKING:
    from flows.console.output import WorkspaceOpener

DATA: Final = CommandGroup(
    "data",
    (
        Row("list", "flows.command.data:data_list", "List the data versions."),
        Row(
            "classes",
            "flows.command.data:data_classes",
            "Show the classes of the current data, or drop, rename and merge them as a new version.",
        ),
        Row(
            "diff",
            "flows.command.data:data_diff",
            "Say which pictures and instances changed between two versions.",
        ),
        Row(
            "restore",
            "flows.command.data:data_restore",
            "Bring data/ and data.dvc back to a version, byte for byte.",
        ),
        Row(
            "verify",
            "flows.command.data:data_verify",
            "Re-hash everything the remote holds for a version, and name what is missing or altered.",
        ),
        Row(
            "audit",
            "flows.command.data:data_audit",
            "Find pictures that belong together in different splits, and files that contain a location.",
        ),
        Row(
            "preview",
            "flows.command.data:data_preview",
            "Draw training pictures as the network gets them: flipped, scaled, pasted, with their masks.",
        ),
        Row(
            "anchors",
            "flows.command.data:data_anchors",
            "Say how many training boxes the anchors reach, and which anchors would reach more.",
        ),
    ),
    help="Look at data versions, compare, restore, and change their classes.",
)
FEEDBACK: Final = CommandGroup(
    "feedback",
    (
        Row(
            "list",
            "flows.command.intake:feedback_list",
            "List what people said, what became of it, and how often each version was wrong.",
        ),
        Row(
            "ingest",
            "flows.command.intake:feedback_ingest",
            "Take the corrections that wait into the data, as labelled pictures.",
        ),
    ),
    help="Look at what people said about answers, and make labels of it.",
)
KEYS: Final = CommandGroup(
    "keys",
    (
        Row("add", "flows.command.serving:keys_add", "Make a key for NAME and print it."),
        Row("list", "flows.command.serving:keys_list", "List the keys, never their secrets."),
        Row("rotate", "flows.command.serving:keys_rotate", "Replace the key KEY_ID and print the new one."),
        Row("revoke", "flows.command.serving:keys_revoke", "End the key KEY_ID at once."),
    ),
    help="Make, list and end the API keys of the service.",
)
ROLLOUT: Final = CommandGroup(
    "rollout",
    (
        Row(
            "show",
            "flows.command.decisions:rollout_show",
            "Show how far the rollout is, what was measured, and what it waits for.",
        ),
        Row(
            "resume",
            "flows.command.decisions:rollout_resume",
            "Resume a paused rollout: give its step more time, or accept it as it is.",
        ),
        Row(
            "stop",
            "flows.command.decisions:rollout_stop",
            "Take the challenger out of all traffic at once; the champion goes on serving.",
        ),
    ),
    help="Look at the rollout under way, and decide about it.",
)
SECTIONS: Final = {
    "To begin with": (
        Row(
            "init",
            "flows.command.workspace:init",
            "Make DIRECTORY a workspace: settings, schedules, git and DVC.",
        ),
        Row(
            "ingest",
            "flows.command.intake:ingest",
            "Validate a COCO batch, add it to the data and make it a version.",
        ),
        Row(
            "train",
            "flows.command.models:train",
            "Train a model on the newest data, judge it, ask for approval.",
        ),
        Row(
            "approve",
            "flows.command.decisions:approve",
            "Approve a judged VERSION; the next reconcile promotes it.",
        ),
        Row(
            "up", "flows.command.workspace:up", "Run the servers, the schedules and the service until Ctrl-C."
        ),
    ),
    "Look": (
        Row(
            "status",
            "flows.command.overview:status",
            "Show what serves, runs, failed or waits, and what to do next.",
        ),
        Row(
            "history",
            "flows.command.overview:history",
            "Tell what happened, the newest entries last.",
        ),
        Row(
            "lineage",
            "flows.command.overview:lineage",
            "Show where a VERSION comes from: data, run, verdict, approval.",
        ),
        Row(
            "report",
            "flows.command.loop:report",
            "Write the page of the loop: what serves, decisions, figures.",
        ),
    ),
    "Train": (
        Row(
            "retrain",
            "flows.command.models:retrain",
            "Train on from the champion with old and new pictures, and judge.",
        ),
        Row(
            "distil",
            "flows.command.models:distil",
            "Train a new network taught by labels and champion, and judge.",
        ),
        Row(
            "judge",
            "flows.command.models:judge",
            "Judge VERSION again under the present gates, without training.",
        ),
        Row(
            "reconcile",
            "flows.command.loop:reconcile",
            "Do whatever is due: train, take decisions from MLflow, promote.",
        ),
        Row("abandon", "flows.command.decisions:abandon", "End an open CYCLE; what serves goes on serving."),
    ),
    "Decide what serves": (
        Row("reject", "flows.command.decisions:reject", "Reject a judged VERSION."),
        Row("promote", "flows.command.loop:promote", "Promote what is approved, now; nothing is trained."),
        Row("rollback", "flows.command.decisions:rollback", "Make an earlier champion serve again."),
        ROLLOUT,
    ),
    "Production": (
        Row(
            "serve",
            "flows.command.serving:serve",
            "Answer pictures over HTTP with the champion until Ctrl-C.",
        ),
        Row(
            "predict",
            "flows.command.serving:predict",
            "Predict on PICTURES with the model that serves, and log them.",
        ),
        Row("monitor", "flows.command.loop:monitor", "Judge the newest production samples for drift."),
        FEEDBACK,
        KEYS,
        Row(
            "upgrade",
            "flows.command.workspace:upgrade",
            "Create the databases of the workspace, or upgrade them.",
        ),
    ),
    "Data and models": (
        DATA,
        Row(
            "export",
            "flows.command.models:export",
            "Export VERSION to a faster format that answers as it does.",
        ),
        Row("benchmark", "flows.command.models:benchmark", "Time MODEL and every export there is of it."),
    ),
    "Try it": (
        Row("demo", "flows.command.demo:demo", "Run one whole turn of the loop on generated pictures."),
    ),
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
