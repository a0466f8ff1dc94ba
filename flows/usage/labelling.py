"""What `maskloop label` takes."""

from __future__ import annotations

from typing import Final

import click

from flows.console.command_line import CommandGroup, make_command

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
        LABEL_PUSH,
        LABEL_PULL,
        LABEL_STATUS,
    ],
    help="Send pictures to a labelling tool and take the labels back.",
)
