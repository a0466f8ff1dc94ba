"""A verdict as a page a reviewer can read, and as the Markdown beside the version in MLflow."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from evaluation.bootstrap import paired_drop
from evaluation.instances import IouTable
from maskloop.records import Check, Outcome, VerdictReached
from maskloop.settings import GateSettings
from registry.gates import outcome_of

if TYPE_CHECKING:
    from jinja2 import Template

Picture = tuple[str, NDArray[np.uint8]]
"""A caption and uint8 (H, W, 3) RGB."""
SIGNS: Final[Mapping[Outcome, str]] = {"pass": "✓", "inconclusive": "?", "fail": "✗"}
_HEADLINES: Final[Mapping[Outcome, str]] = {
    "pass": "The gates pass this candidate",
    "inconclusive": "The gates cannot tell: a person has to decide",
    "fail": "The gates fail this candidate",
}


@dataclass(frozen=True)
class ClassRow:
    """One class's line in the table; None where there is nothing to say."""

    name: str
    num_instances: int
    candidate_iou: float | None
    champion_iou: float | None
    drop: float | None
    drop_low: float | None
    drop_high: float | None
    floor: float
    outcome: Outcome

    @property
    def sign(self) -> str:
        """The outcome as a sign, for whoever cannot see the colour."""
        return SIGNS[self.outcome]


def class_rows(
    candidate: IouTable,
    champion: IouTable | None,
    checks: Sequence[Check],
    gates: GateSettings,
    *,
    seed: int,
) -> tuple[ClassRow, ...]:
    """Put each class's figures together, with the two-sided interval of its drop at ``gates.confidence``."""
    drops = (
        paired_drop(candidate, champion, resamples=gates.resamples, confidence=gates.confidence, seed=seed)
        if champion
        else None
    )
    candidate_iou = candidate.class_iou()
    champion_iou = champion.class_iou() if champion else None
    return tuple(
        ClassRow(
            name=name,
            num_instances=int(candidate.num_instances[:, index].sum()),
            candidate_iou=_known(candidate_iou[index]),
            champion_iou=_known(champion_iou[index]) if champion_iou is not None else None,
            drop=_known(drops.drop[index]) if drops else None,
            drop_low=_known(drops.low[index]) if drops else None,
            drop_high=_known(drops.high[index]) if drops else None,
            floor=gates.class_iou_floors.get(name, gates.min_class_iou),
            outcome=_outcome_for_class(name, checks),
        )
        for index, name in enumerate(candidate.class_names)
    )


def verdict_page(
    verdict: VerdictReached,
    *,
    rows: Sequence[ClassRow],
    pictures: Sequence[Picture] = (),
    model_name: str = "",
    run_url: str = "",
    champion_version: str = "",
) -> str:
    """Write a verdict as one self-contained HTML page: outcome first, then why, then what to do.

    Args:
        verdict: What the gates said.
        rows: From `class_rows`.
        pictures: Overlays worth a look, such as the worst regressions; shown inline as PNG.
        model_name: Of the registered model.
        run_url: Of the training run.
        champion_version: The version it was compared with.
    """
    return _template().render(
        verdict=verdict,
        headline=_HEADLINES[verdict.outcome],
        summary=verdict.sentence(),
        sign=SIGNS[verdict.outcome],
        signs=SIGNS,
        rows=rows,
        checks=_worst_first(verdict.checks),
        pictures=[(caption, _data_url(picture)) for caption, picture in pictures],
        model_name=model_name,
        run_url=run_url,
        champion_version=champion_version,
        figure=_figure,
        signed=_signed,
    )


def verdict_markdown(verdict: VerdictReached, *, rows: Sequence[ClassRow], page_url: str = "") -> str:
    """Write a verdict as Markdown for the version's description in MLflow."""
    lines = [
        f"## {SIGNS[verdict.outcome]} {_HEADLINES[verdict.outcome]}",
        "",
        f"{_plain(verdict.sentence())}.",
        "",
        "| | class | IoU | champion | drop | floor |",
        "|---|---|---|---|---|---|",
        *(_markdown_row(row) for row in rows),
        "",
        *(f"- {SIGNS[c.outcome]} {_plain(c.reason)}" for c in _worst_first(verdict.checks)),
        "",
        f"Judged on {verdict.data_tag} (`{verdict.data_fingerprint[:12]}`), blessing "
        f"`{verdict.blessing_id[:12]}`.",
        "",
        *([f"[The whole page, with pictures]({page_url})", ""] if page_url else []),
        _how_to_decide(verdict),
    ]
    return "\n".join(lines) + "\n"


def _how_to_decide(verdict: VerdictReached) -> str:
    if verdict.outcome == "fail":
        return "Nobody can approve a version the gates failed."
    return (
        "**To decide:** under *Tags*, click the pencil beside `approval` and enter `approved` or `rejected`; "
        f"or run `maskloop approve {verdict.candidate_version} --by NAME`."
    )


def _markdown_row(row: ClassRow) -> str:
    cells = (
        row.sign,
        _plain(row.name),
        _figure(row.candidate_iou),
        _figure(row.champion_iou),
        _signed(row.drop),
        _figure(row.floor),
    )
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Keep names that come with the data from becoming table cells, markup or links."""
    return "".join(f"\\{char}" if char in r"\|[]<>*_`!" else char for char in text.replace("\n", " "))


def _outcome_for_class(name: str, checks: Sequence[Check]) -> Outcome:
    about = [check for check in checks if check.name in (f"iou.class.{name}", f"drop.class.{name}")]
    return outcome_of(about) if about else "inconclusive"


def _worst_first(checks: Sequence[Check]) -> list[Check]:
    order: list[Outcome] = ["fail", "inconclusive", "pass"]
    return sorted(checks, key=lambda check: order.index(check.outcome))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def _data_url(picture: NDArray[np.uint8]) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("verdict.html.j2")
