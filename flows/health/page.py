"""The page of a data check: what was found, kind by kind, with the gravest examples drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from dataset.labelled_pictures import SPLITS
from flows.evidence.evaluate import load_picture
from flows.health.check import DataCheck
from flows.health.drawing import DETECTION_COLOUR, LABEL_COLOUR, LONG_SIDE_PX, OTHER_COLOUR, draw_finding
from flows.health.findings import KINDS
from flows.health.production import EXAMPLES_OF_A_KIND
from maskloop.errors import IntegrityError, PictureError
from maskloop.files import write_text
from maskloop.pages.embedded_pictures import embed_picture
from maskloop.pages.templates import open_template

_TEMPLATE: Final = Path(__file__).with_name("data_check.html.j2")


def write_check_page(file: Path, check: DataCheck, max_mpx: float) -> Path:
    """Write the page and return its path.

    Args:
        file: An HTML file; an earlier one is overwritten.
        check: What was found.
        max_mpx: Pictures larger than this are not decoded.

    Raises:
        StorageError: if it cannot be written.
    """
    kinds = [
        {"key": key, "kind": KINDS[key], "number": number, "examples": list(_draw(check, key, max_mpx))}
        for key, number in check.counts.items()
    ]
    colours = {"label": LABEL_COLOUR, "detection": DETECTION_COLOUR, "other": OTHER_COLOUR}
    text = open_template(_TEMPLATE).render(
        check=check,
        kinds=kinds,
        splits=SPLITS,
        colours={name: "#{:02x}{:02x}{:02x}".format(*colour) for name, colour in colours.items()},
        audited=list(check.audited.values()) or check.audit.sentences()[: not check.audit.told],
        remarks=check.classes.remarks(),
    )
    write_text(file, text)
    return file


def _draw(check: DataCheck, kind: str, max_mpx: float) -> Iterator[dict[str, Any]]:
    for finding in check.of_kind(kind)[:EXAMPLES_OF_A_KIND]:
        try:
            pixels = load_picture(check.version.path(finding.picture), max_mpx)
        except (
            OSError,
            PictureError,
            IntegrityError,
        ):  # told about, not shown
            yield {"finding": finding, "url": "", "sent": ""}
            continue
        drawn = draw_finding(pixels, finding, check.champion.detections.get(finding.picture.digest))
        beside = check.production.shown.get(finding.sample)
        yield {
            "finding": finding,
            "url": embed_picture(drawn, max_side_px=LONG_SIDE_PX),
            "sent": "" if beside is None else embed_picture(beside, max_side_px=LONG_SIDE_PX),
        }
