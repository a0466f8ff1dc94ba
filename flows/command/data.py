"""`maskloop data`: look at data versions and what training sees of them, compare them, bring them back."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from dataset.ingestion.class_changes import ClassChange
from dataset.labelled_pictures import LabelledPicture, Split
from dataset.versions.difference import compare_versions
from flows.console.output import Output, open_workspace, user_name, with_output
from flows.exporting.data_export import export_data
from flows.health.kept_check import find_blocking
from flows.health.policy import check_and_keep
from flows.health.report import report_data
from flows.health.report_page import write_report_page
from flows.intake.audit import audit_data
from flows.intake.data_changes import change_classes, count_classes, find_damage, restore_version
from flows.learning.anchors import report_anchors
from flows.learning.preview import write_preview
from maskloop.records.kinds import VersionIngested, read_record
from maskloop.wording import count


@with_output
def data_list(root: Path, out: Output) -> None:
    """List the data versions."""
    entries = open_workspace(root).ledger.find(kinds=(VersionIngested.kind,))
    rows = [record.model_dump(mode="json") for entry in entries if (record := read_record(entry))]
    shown = [
        {
            "version": row["tag"],
            "source": row["source"],
            "pictures": row["num_pictures"],
            "newly labelled": row["num_new_labelled"],
            "mended": _list_mends(row["mended"]),
        }
        for row in rows
    ]
    out.answer(rows, lambda: out.table(shown, "data versions"))


def _list_mends(mended: dict[str, int]) -> str:
    return ", ".join(f"{number} {code}" for code, number in sorted(mended.items()))


@with_output
def data_restore(root: Path, out: Output, *, tag: str, by: str, why: str) -> None:
    """Bring data/ and data.dvc back to a version, byte for byte."""
    version = restore_version(open_workspace(root), tag, by=by or user_name(), why=why)
    out.answer(
        {"tag": version.tag, "fingerprint": version.fingerprint, "pictures": len(version.pictures)},
        lambda: click.echo(f"data/ is {version.tag}: {count(len(version.pictures), 'picture')}"),
    )


@with_output
def data_classes(
    root: Path,
    out: Output,
    *,
    drops: tuple[str, ...],
    renames: tuple[tuple[str, str], ...],
    merges: tuple[tuple[str, str], ...],
    drop_instances: bool,
    by: str,
    why: str,
) -> None:
    """Show the classes of the current data, or drop, rename and merge them as a new version."""
    app = open_workspace(root)
    if drops or renames or merges:
        change = ClassChange(drops, renames, merges)
        done = change_classes(app, change, by=by or user_name(), why=why, drop_instances=drop_instances)
        named = app.settings.classes
        remark = (
            f"maskloop.toml lists other classes: set `classes = {json.dumps(list(done.class_names))}` there, "
            "or the next ingest is refused"
            if named and named != done.class_names
            else ""
        )
        out.answer(
            {**done.model_dump(mode="json"), "remark": remark},
            lambda: out.sentences([done.sentence(), *([remark] if remark else [])], app.teller),
        )
        return
    rows = count_classes(app.data)
    out.answer(rows, lambda: out.table(rows, "classes of the current data"))


@with_output
def data_diff(root: Path, out: Output, *, old: str, new: str) -> None:
    """Say which pictures and instances changed between two versions."""
    store = open_workspace(root).data
    found = compare_versions(store.open(old), store.open(new))
    changes = {"added": found.added, "removed": found.removed, "relabelled": found.relabelled}
    counted = list(found.instances_per_class.items())
    crowds = found.crowds_per_class.items()
    counted += [(f"{name} (crowd regions)", counts) for name, counts in crowds if any(counts)]
    rows = [
        {"class": name, old: counts[0], new: counts[1], "change": counts[1] - counts[0]}
        for name, counts in counted
    ]

    def show() -> None:
        for name, pictures in changes.items():
            names = ", ".join(picture.name for picture in pictures[:10])
            more = ", ..." if len(pictures) > 10 else ""
            click.echo(f"{len(pictures)} pictures {name}" + (f": {names}{more}" if pictures else ""))
        out.table(rows, "instances by class")

    out.answer(
        {
            **{
                name: [describe_picture(picture) for picture in pictures]
                for name, pictures in changes.items()
            },
            "instances": rows,
        },
        show,
    )


def describe_picture(picture: LabelledPicture) -> dict[str, str | int]:
    """Return what identifies a picture, as plain data."""
    return {
        "name": picture.name,
        "digest": picture.digest,
        "split": picture.split,
        "source": picture.source,
        "labels": picture.label_origin,
        "instances": sum(not one.is_crowd for one in picture.instances),
        "crowds": sum(one.is_crowd for one in picture.instances),
        "mended": ", ".join(picture.mended),
    }


@with_output
def data_verify(root: Path, out: Output, *, tag: str, mend: bool, sample: int | None) -> None:
    """Re-hash everything the remote holds for a version, and name what is missing or altered."""
    app = open_workspace(root)
    if mend:
        app.data.mend(tag)
    damage = find_damage(app.data, tag, sample=sample)

    def show() -> None:
        out.table(damage, f"missing or altered in the remote: {tag}")
        by_sample = f", by a sample of {sample} and what the remote says" if sample is not None else ""
        cure = f"Mend it from the files at hand: maskloop data verify {tag} --mend"
        click.echo(cure if damage else f"{tag} is whole{by_sample}")

    out.answer(damage, show)
    if damage:
        sys.exit(1)


@with_output
def data_audit(root: Path, out: Output) -> None:
    """Find pictures that belong together in different splits, and files that contain a location."""
    app = open_workspace(root)
    found = audit_data(app.data, app.settings.data, app.teller)
    out.answer(asdict(found), lambda: click.echo("\n".join(found.sentences())))
    if not found.is_clean:
        sys.exit(1)


@with_output
def data_check(root: Path, out: Output, *, num_compared: int) -> None:
    """Check the labels: repeats, leaks between splits, outliers, and what the champion contradicts."""
    app = open_workspace(root)
    check, kept = check_and_keep(app, num_compared=num_compared)
    page, blocking = app.workspace.check_page, find_blocking(kept, app.settings.data.check_policy)
    said = check.sentences()
    if blocking:
        said.append(f"No training begins on these data: {', '.join(blocking)} (data.check_policy)")
    out.answer(
        {**check.to_json(), "blocks training": list(blocking), "page": str(page)},
        lambda: click.echo("\n".join([*said, f"Look at the examples: {page}"])),
    )
    if not check.is_clean:
        sys.exit(1)


@with_output
def data_report(root: Path, out: Output, *, tag: str) -> None:
    """Write the page of the data: classes, sizes, splits, sources, history, examples, newest problems."""
    app = open_workspace(root)
    report = report_data(app, tag)
    page = write_report_page(app.workspace.data_page, report, app.settings.data.max_picture_mpx)
    out.answer(
        {**report.to_json(), "page": str(page)},
        lambda: click.echo("\n".join([*report.sentences(), f"The page: {page}"])),
    )


@with_output
def data_preview(root: Path, out: Output, *, tag: str, output: Path | None, count: int) -> None:
    """Draw training pictures as the network gets them: flipped, scaled, pasted, with their masks."""
    sheet = write_preview(open_workspace(root), output, tag=tag, count=count)
    out.answer(
        {
            "sheet": str(sheet.file),
            "tag": sheet.tag,
            "pictures": sheet.num_pictures,
            "asked": sheet.num_asked,
            "instances": sheet.num_instances,
        },
        lambda: click.echo(sheet.sentence()),
    )


@with_output
def data_anchors(root: Path, out: Output, *, tag: str) -> None:
    """Say how many training boxes the anchors reach, and which anchors would reach more."""
    app = open_workspace(root)
    report = report_anchors(app.data, app.settings.model, app.trainer, tag)
    rows = [report.present.row("present"), report.fitted.row("fitted")]

    def show() -> None:
        out.table(rows, f"training boxes of {report.tag} that anchors reach")
        if lost := report.what_is_lost():
            click.echo(
                f"with IoU 0.7 the present anchors reach more {' and '.join(lost)}: weigh what you need"
            )
        click.echo(f"for [model] in maskloop.toml, before a first training:\n{report.fitted.as_settings()}")

    out.answer({**asdict(report), "settings": report.fitted.as_settings()}, show)


@with_output
def data_export(
    root: Path,
    out: Output,
    *,
    tag: str,
    export_format: str,
    target: Path,
    split: Split | None,
    accept_loss: bool,
) -> None:
    """Write a data version for another tool, as a folder or ZIP archive."""
    app = open_workspace(root)
    report = export_data(
        app.data, app.teller, target, key=export_format, tag=tag, split=split, accepts_losses=accept_loss
    )
    out.answer(
        {
            "tag": report.tag,
            "format": export_format,
            "target": str(report.target),
            "pictures": report.num_pictures,
            "instances": report.num_instances,
            "losses": report.rows,
        },
        lambda: click.echo("\n".join(report.sentences())),
    )
