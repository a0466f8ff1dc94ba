"""The page of the data, as one file: charts and small pictures lie in it, so it needs no network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from dataset.health.histograms import Bin, Example
from dataset.labelled_pictures import SPLITS
from flows.evidence.evaluate import load_picture
from flows.health.drawing import draw_labels
from flows.health.findings import TITLES
from flows.health.report import DataReport
from maskloop.errors import IntegrityError, PictureError
from maskloop.files import write_text
from maskloop.pages.embedded_pictures import embed_picture
from maskloop.pages.templates import open_template
from maskloop.wording import count
from registry.evidence.approval_page import TEMPLATE as APPROVAL_TEMPLATE
from registry.evidence.charts import COLOURS, bar_chart
from registry.wording import sentence, when

_TEMPLATE: Final = Path(__file__).with_name("data_report.html.j2")
THUMBNAIL_PX: Final = 176
MAX_HISTORY: Final = 100
MAX_SOURCES: Final = 40
MAX_SIZES: Final = 12


def write_report_page(file: Path, report: DataReport, max_mpx: float) -> Path:
    """Write the page and return its path.

    Args:
        file: An HTML file; an earlier one is overwritten.
        report: What it says.
        max_mpx: Pictures larger than this are not decoded.

    Raises:
        StorageError: if it cannot be written.
    """
    text = open_template(_TEMPLATE, APPROVAL_TEMPLATE.parent).render(
        report=report,
        data=report.overview,
        charts=draw_charts(report),
        examples=draw_thumbnails(report, max_mpx),
        history=report.history[::-1][:MAX_HISTORY],
        num_left_out=max(0, len(report.history) - MAX_HISTORY),
        titles=TITLES,
        blocking=report.blocking,
        splits=SPLITS,
        split_colours=dict(zip(SPLITS, COLOURS, strict=False)),
        max_sources=MAX_SOURCES,
        max_sizes=MAX_SIZES,
        count=count,
        sentence=sentence,
        when=when,
    )
    write_text(file, text)
    return file


def draw_charts(report: DataReport) -> list[Markup]:
    """Draw the histograms: instances in a picture, and sizes of instances."""
    return [
        bar_chart(title, x_title, y_title, _as_bars(bins))
        for title, x_title, y_title, bins in (
            (
                "Pictures by their number of instances",
                "instances in a picture",
                "pictures",
                report.instances_of_picture,
            ),
            (
                "Instances by size: the side of a square as large",
                "side of a square as large, px",
                "instances",
                report.extents_px,
            ),
        )
        if bins
    ]


def draw_thumbnails(report: DataReport, max_mpx: float) -> list[dict[str, Any]]:
    """Draw the examples of each class; a picture that cannot be read is left out.

    Returns:
        The ``name`` of each class that has examples, and its ``pictures`` with ``url`` and ``said``.
    """
    by_picture: Mapping[int, list[Example]] = defaultdict(list)
    for example in report.examples:
        by_picture[example.row].append(example)
    urls: dict[Example, str] = {}
    for row, examples in by_picture.items():  # each picture is decoded once
        picture = report.version.pictures[row]
        try:
            pixels = load_picture(report.version.path(picture), max_mpx)
        except (OSError, PictureError, IntegrityError):
            continue
        for example in examples:
            drawn = draw_labels(pixels, picture, (example.label,), long_side_px=THUMBNAIL_PX)
            urls[example] = embed_picture(drawn, max_side_px=THUMBNAIL_PX)
    rows: dict[int, list[dict[str, str]]] = defaultdict(list)
    for example in report.examples:
        if example in urls:
            said = f"{example.said}: {report.version.pictures[example.row].name}"
            rows[example.class_index].append({"url": urls[example], "said": said})
    return [{"name": report.version.class_names[index], "pictures": drawn} for index, drawn in rows.items()]


def _as_bars(bins: Sequence[Bin]) -> list[tuple[str, float]]:
    return [(one.name, float(one.number)) for one in bins]
