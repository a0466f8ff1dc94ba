"""The page of the ten figures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from flows.metrics.figure import Figure
from maskloop.files import write_text
from maskloop.pages.templates import open_template
from registry.evidence.approval_page import TEMPLATE as STYLED
from registry.wording import when

_TEMPLATE: Final = Path(__file__).with_name("metrics.html.j2")
WORDS: Final = {True: "kept", False: "missed", None: "–"}


def write_metrics_page(file: Path, figures: Sequence[Figure], *, model_name: str, now: datetime) -> Path:
    """Write the page and return its path. Raises StorageError if it cannot be written."""
    text = open_template(_TEMPLATE, STYLED.parent).render(
        figures=figures, model_name=model_name, now=now, when=when, words=WORDS, write=write_value
    )
    write_text(file, text)
    return file


def write_value(value: float | None) -> str:
    """Write a value with as many digits as tell something.

    >>> write_value(0.8123), write_value(0.0), write_value(182.34), write_value(12.3), write_value(None)
    ('0.812', '0', '182', '12.3', '–')
    """
    if value is None:
        return "–"
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
