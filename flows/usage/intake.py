"""What `maskloop ingest` and `feedback` take."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from flows.console.command_line import CommandGroup, make_command

LABEL_FORMATS: Final = (
    "coco",
    "cvat",
    "datumaro",
    "label-studio",
    "labelme",
    "labelme-xml",
    "masks",
    "supervisely",
    "via",
    "yolo",
)
"""The keys of `dataset.readers.table.FORMATS`, which takes longer to import than help may take."""
INGEST: Final = make_command(
    "ingest",
    "flows.command.intake:ingest",
    """Validate labelled pictures and add them to the data as a version.

LABELS is a file, a folder or a ZIP archive as a labelling tool wrote it. Whether it is taken or refused, a
report with every problem, what to do about it and pictures to look at is written to .maskloop/reports.
""",
    click.Argument(["annotations"], metavar="LABELS", type=click.Path(path_type=Path)),
    click.Option(
        ["--images"],
        type=click.Path(path_type=Path),
        help=(
            "Folder that the file names are relative to. Default: the one near the file that holds the most."
        ),
    ),
    click.Option(
        ["--source"], default="", help="Where the pictures come from; gates look at each source alone."
    ),
    click.Option(
        ["--split"], type=click.Choice(["train", "val", "test"]), help="Default: by hash of a group key."
    ),
    click.Option(
        ["--model-labels"], is_flag=True, help="A model made these labels and a person has reviewed them."
    ),
    click.Option(["--allow-schema-change"], is_flag=True, help="Accept new, missing or renamed classes."),
    click.Option(
        ["--add"],
        is_flag=True,
        help="Pictures that are in already keep their labels and get these besides.",
    ),
    click.Option(
        ["--replace"],
        is_flag=True,
        help=(
            "These labels replace those of pictures that are in already, also where that takes a class away."
        ),
    ),
    click.Option(
        ["--crowds-are-instances"],
        is_flag=True,
        help="Every annotation marked as a crowd is one object: CVAT and others mark brush masks so.",
    ),
    click.Option(
        ["--crowds-are-regions"],
        is_flag=True,
        help="Annotations marked as crowds do hold many objects, also where a class has nothing else.",
    ),
    click.Option(
        ["--frame"],
        type=click.Choice(["stored", "upright"]),
        help="Where masks of photographs that EXIF turns were drawn: on the file as stored, or upright.",
    ),
    click.Option(
        ["--format", "label_format"],
        type=click.Choice(LABEL_FORMATS),
        help="The format of the labels. Default: told by content.",
    ),
    click.Option(
        ["--mend"],
        is_flag=True,
        help="Undo what the labelling tool's export did to masks, where that is possible.",
    ),
    click.Option(
        ["--annotator"],
        metavar="NAME",
        default="",
        help="Whose annotation counts where a picture has several: number, mail address or name.",
    ),
)

FEEDBACK_LIST: Final = make_command(
    "list",
    "flows.command.intake:feedback_list",
    "List what people said, what became of it, and how often each version was wrong.",
    click.Option(["--limit"], default=20, show_default=True, help="At most this many, the newest first."),
)

FEEDBACK_INGEST: Final = make_command(
    "ingest",
    "flows.command.intake:feedback_ingest",
    "Take the corrections that wait into the data, as labelled pictures.",
    click.Option(["--again"], is_flag=True, help="Try those again that were refused before."),
)

FEEDBACK: Final = CommandGroup(
    "feedback",
    [
        FEEDBACK_LIST,
        FEEDBACK_INGEST,
    ],
    help="Look at what people said about answers, and make labels of it.",
)
