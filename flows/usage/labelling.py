"""What `maskloop label` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from flows.console.command_line import CommandGroup, make_command

LABEL_REQUEST: Final = make_command(
    "request",
    "flows.command.intake:label_request",
    """Choose production pictures that are worth a label, each with its reason.

While a drift alarm is the newest verdict, those that carry most of it come first. Then come those that the
champion is unsure about and that show classes with few labels or a low IoU. A share is drawn at random.
Labelled pictures, those of open requests, and pictures that look like one of these or like each other are
left out. While nothing has changed, the same request is shown again.
""",
    click.Option(["--num"], type=click.IntRange(min=1), help="How many. Default: labelling.num_pictures."),
    click.Option(
        ["--out", "out_dir"],
        type=click.Path(path_type=Path, file_okay=False),
        help="Write pictures and the champion's answers into this folder, as a COCO batch to correct.",
    ),
    click.Option(
        ["--fast"],
        is_flag=True,
        help="Rate by what was stored with each answer, without showing pictures to the champion in views.",
    ),
    click.Option(["--more"], is_flag=True, help="Choose further pictures although requests are open."),
)

LABEL_PUSH: Final = make_command(
    "push",
    "flows.command.intake:label_push",
    """Make tasks of the labelling tool from the pictures of a request, with the champion's predictions.

Default: every request that was not pushed yet. Pictures that are tasks already stay as they are; those whose
tasks were deleted come back if their REQUEST is named.
""",
    click.Argument(["request"], default="", required=False),
)

LABEL_PULL: Final = make_command(
    "pull",
    "flows.command.intake:label_pull",
    """Take the labels that people finished in the labelling tool into the data.

Default: of the newest requests. Labels that were changed in the tool replace the older ones. `maskloop
reconcile` does this too, for requests that labels are still to come for.
""",
    click.Argument(["request"], default="", required=False),
)

LABEL_STATUS: Final = make_command(
    "status",
    "flows.command.intake:label_status",
    "Show how far each request for labels has come.",
)

LABEL: Final = CommandGroup(
    "label",
    [
        LABEL_REQUEST,
        LABEL_PUSH,
        LABEL_PULL,
        LABEL_STATUS,
    ],
    help="Choose pictures to label, send them to a tool, take labels back.",
)
