"""What `maskloop init`, `upgrade`, `up` and `demo` take."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from flows.console.command_line import make_command

INIT: Final = make_command(
    "init",
    "flows.command.workspace:init",
    "Make DIRECTORY a workspace: settings, schedules, git and DVC.",
    click.Argument(["directory"], type=click.Path(path_type=Path)),
    click.Option(
        ["--preset"],
        type=click.Choice(["laptop", "gpu", "demo"]),
        help=(
            "laptop (default): small network. gpu: ResNet-50 FPN v2 from COCO weights. "
            "demo: for the generator."
        ),
    ),
    click.Option(["--name", "model_name"], default="", help="The registered model's name."),
    takes_workspace=False,
)

UPGRADE: Final = make_command(
    "upgrade",
    "flows.command.workspace:upgrade",
    """Create the databases of the workspace, or upgrade them.

Every command does that for the databases it opens. Where PostgreSQL's tables belong to another user, run
this as that user after each upgrade of maskloop. Run it too after setting servers.blob_url: it
sends what was kept before.
""",
)

UP: Final = make_command(
    "up",
    "flows.command.workspace:up",
    "Run the servers, the schedules and the service until Ctrl-C.",
    click.Option(["--check"], is_flag=True, help="Start everything, say where it is, and stop again."),
)

DEMO: Final = make_command(
    "demo",
    "flows.command.demo:demo",
    """Run one whole turn of the loop on generated pictures.

With --labels, the drift alarm sends pictures to a labelling tool by itself. A stand-in for a person labels
them there, and the loop takes the labels back and retrains.
""",
    click.Argument(["directory"], type=click.Path(path_type=Path), default="demo"),
    click.Option(["--pictures"], default=600, show_default=True, help="Pictures in the first batch."),
    click.Option(
        ["--labels"],
        default="",
        metavar="folder|LABEL_STUDIO_URL",
        help="Label in a folder, or in the Label Studio server at this address, whose access token is in "
        "LABEL_STUDIO_API_KEY. Default: a labelled batch is ingested.",
    ),
    takes_workspace=False,
)
