"""What `maskloop data` takes: versions, classes, audits, checks, previews, anchors and exports."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from flows.console.command_line import CommandGroup, make_command
from flows.console.parameters import WHY, by


def _png_file(_context: click.Context, _parameter: click.Parameter, file: Path | None) -> Path | None:
    if file is not None and file.suffix.lower() != ".png":
        raise click.BadParameter(f"the sheet is a PNG file: its name must end with .png, not {file.name!r}")
    return file


DATA_LIST: Final = make_command(
    "list",
    "flows.command.data:data_list",
    "List the data versions.",
)

DATA_RESTORE: Final = make_command(
    "restore",
    "flows.command.data:data_restore",
    """Bring data/ and data.dvc back to a version, byte for byte.

The next training and ingest build on it. No version is deleted.
""",
    click.Argument(["tag"]),
    by("brings it back"),
    WHY,
)

DATA_CLASSES: Final = make_command(
    "classes",
    "flows.command.data:data_classes",
    """Show the classes of the current data, or drop, rename and merge them as a new version.

Each option may be given several times. The versions before stay as they are.
""",
    click.Option(["--drop", "drops"], multiple=True, metavar="CLASS", help="Take a class out of the schema."),
    click.Option(
        ["--rename", "renames"], multiple=True, nargs=2, metavar="OLD NEW", help="Give a class a new name."
    ),
    click.Option(
        ["--merge", "merges"],
        multiple=True,
        nargs=2,
        metavar="CLASS INTO",
        help="Give its instances to another class.",
    ),
    click.Option(
        ["--drop-instances"], is_flag=True, help="Agree that the instances of dropped classes are lost."
    ),
    by("asks for it"),
    WHY,
)

DATA_DIFF: Final = make_command(
    "diff",
    "flows.command.data:data_diff",
    "Say which pictures and instances changed between two versions.",
    click.Argument(["old"]),
    click.Argument(["new"]),
)

DATA_VERIFY: Final = make_command(
    "verify",
    "flows.command.data:data_verify",
    "Re-hash everything the remote holds for a version, and name what is missing or altered.",
    click.Argument(["tag"]),
    click.Option(
        ["--mend"], is_flag=True, help="Push again what the remote lacks, from DVC's cache or data/."
    ),
    click.Option(
        ["--sample"],
        type=click.IntRange(min=0),
        help="Re-hash only so many files, drawn at random; compare sizes and checksums of the others.",
    ),
)

DATA_AUDIT: Final = make_command(
    "audit",
    "flows.command.data:data_audit",
    """Find pictures that belong together in different splits, and files that contain a location.

In the current version. Exit code 1 if anything was found; each finding says what to do.
""",
)

DATA_CHECK: Final = make_command(
    "check",
    "flows.command.data:data_check",
    """Check the labels: repeats, leaks between splits, outliers, and what the champion contradicts.

In the current version, `data audit` included. A page with the gravest examples is written to
.maskloop/reports/data-check.html. Exit code 1 if the audit found something, an instance is labelled twice or
copied into another split, or production sends what the model that answered had in its data; the rest is for
people to judge.
""",
    click.Option(
        ["--compare", "num_compared"],
        type=click.IntRange(0),
        default=200,
        show_default=True,
        help="Pictures that the champion is asked about, newest first; 0 asks it nothing.",
    ),
)

DATA_REPORT: Final = make_command(
    "report",
    "flows.command.data:data_report",
    """Write the page of the data: classes, sizes, splits, sources, history, examples, newest problems.

It is one file, .maskloop/reports/data-report.html, that needs no network. Default: the current version.
""",
    click.Argument(["tag"], default=""),
)

DATA_PREVIEW: Final = make_command(
    "preview",
    "flows.command.data:data_preview",
    """Draw training pictures as the network gets them: flipped, scaled, pasted, with their masks.

They are the very first ones of a training with the present settings. Default: the current version.
""",
    click.Argument(["tag"], default=""),
    click.Option(
        ["--output"],
        type=click.Path(path_type=Path),
        callback=_png_file,
        help="A .png file. Default: .maskloop/reports/preview.png",
    ),
    click.Option(
        ["--count"], type=click.IntRange(1, 100), default=12, show_default=True, help="Pictures shown."
    ),
)

DATA_ANCHORS: Final = make_command(
    "anchors",
    "flows.command.data:data_anchors",
    """Say how many training boxes the anchors reach, and which anchors would reach more.

A box is reached if an anchor overlaps it with the IoU in the column; one is small if its area is below
32 x 32 px as the network sees it. Default: the current version.
""",
    click.Argument(["tag"], default=""),
)

EXPORT_FORMATS: Final = ("coco", "fiftyone", "datumaro", "label-studio", "labelme", "yolo")
"""The keys of `dataset.exports.table.FORMATS`, which takes longer to import than help may take."""
DATA_EXPORT: Final = make_command(
    "export",
    "flows.command.data:data_export",
    """Write a data version for another tool, as a folder or ZIP archive.

Its labels are read back and compared first. If the format does not hold all of them, it is said which, and
nothing is written without --accept-loss. Default: the current version.
""",
    click.Option(["--version", "tag"], default="", metavar="TAG", help="The data version, e.g. data-v3."),
    click.Option(
        ["--format", "export_format"], type=click.Choice(EXPORT_FORMATS), required=True, help="What to write."
    ),
    click.Option(
        ["--out", "target"],
        type=click.Path(path_type=Path),
        required=True,
        help="A folder that does not exist or is empty, or a file that ends with .zip.",
    ),
    click.Option(["--split"], type=click.Choice(["train", "val", "test"]), help="Default: all three."),
    click.Option(
        ["--accept-loss"], is_flag=True, help="Write what the format holds, even if that is not everything."
    ),
)

DATA: Final = CommandGroup(
    "data",
    [
        DATA_LIST,
        DATA_REPORT,
        DATA_CLASSES,
        DATA_DIFF,
        DATA_RESTORE,
        DATA_VERIFY,
        DATA_AUDIT,
        DATA_CHECK,
        DATA_PREVIEW,
        DATA_ANCHORS,
        DATA_EXPORT,
    ],
    help="Look at data versions, compare, restore, export, change classes.",
)
