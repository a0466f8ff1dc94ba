"""What the page of the loop says, and how it is drawn. Pure: the same facts give the same page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from maskloop.pages.templates import open_template
from maskloop.wording import count
from registry.evidence.approval_page import OUTCOMES
from registry.evidence.approval_page import TEMPLATE as APPROVAL_TEMPLATE
from registry.evidence.charts import NEUTRAL, Axis, Line, fit_axis, line_chart
from registry.evidence.diagnosis import MAX_CURVES
from registry.evidence.judged_evidence import SIGNS
from registry.evidence.model_charts import precision_recall_chart, training_charts
from registry.wording import figure, sentence, when

if TYPE_CHECKING:
    from markupsafe import Markup

    from dataset.versions.overview import Overview
    from maskloop.records.kinds import DriftJudged
    from maskloop.state.cycle_state import Cycle
    from maskloop.state.incident_state import Incident
    from maskloop.state.loop_state import Serving
    from registry.evidence.judged_evidence import JudgedEvidence

_TEMPLATE: Final = Path(__file__).with_name("report.html.j2")
MAX_HISTORY: Final = 200
"""Lines; earlier ones are counted."""
MAX_SIZES: Final = 8
MAX_WITH_PICTURES: Final = 2
"""Turns shown with pictures: each takes up to a megabyte."""
MAX_OPEN_TABLES: Final = 3
MAX_CLASS_LINES: Final = 7


@dataclass(frozen=True)
class VersionFigures:
    """One judged version.

    Attributes:
        version: Of the registered model.
        judged_at: UTC.
        data_tag: What it was trained and judged on.
        verdict: What the gates said.
        fate: What became of it, in a few words.
        class_iou: Class mask IoU by name on the test pictures; None for a class without instances there.
    """

    version: str
    judged_at: datetime
    data_tag: str
    verdict: str
    fate: str
    class_iou: dict[str, float | None]

    @property
    def mean_iou(self) -> float | None:
        """Over the classes with a figure."""
        known = [iou for iou in self.class_iou.values() if iou is not None]
        return math.fsum(known) / len(known) if known else None


@dataclass(frozen=True)
class Turn:
    """One turn of the loop.

    Attributes:
        cycle: What was recorded.
        rows: Class IoU by source, of candidate and champion.
        page: Relative address of its approval page; empty if there is none.
        evidence: What judging kept.
    """

    cycle: Cycle
    rows: tuple[dict[str, Any], ...]
    page: str
    evidence: JudgedEvidence | None

    @property
    def state(self) -> str:
        """How it ended, or where it is."""
        return self.cycle.closed.outcome if self.cycle.closed else self.cycle.phase


@dataclass(frozen=True)
class LoopPage:
    """Everything the page says.

    Attributes:
        model_name: Of the registered model.
        as_of: When it was written, UTC.
        last_sequence: Of the newest entry of the ledger that it shows.
        serving: None before anything served.
        data: The newest data version in words.
        drift: When the newest window was judged, and what came out.
        drift_page: Relative address; empty if there is none.
        samples: Number of production samples by what became of them.
        versions: Judged versions, oldest first.
        shown: The version whose training and errors are drawn, and why that one.
        evidence: Of that version.
        overview: What the newest data version holds; None if it could not be read.
        turns: Those that are open and the newest that have ended, newest first.
        num_earlier_turns: That are not among them.
        history: The newest entries as sentences, oldest first, `MAX_HISTORY` of them.
        incidents: Those that go on, oldest first.
        incident_page: Relative address; empty if there is none.
        views: Relative addresses of the views that were written, by name.
    """

    model_name: str
    as_of: datetime
    last_sequence: int
    serving: Serving | None
    data: str
    drift: tuple[datetime, DriftJudged] | None
    drift_page: str
    samples: dict[str, int]
    versions: tuple[VersionFigures, ...]
    shown: str
    evidence: JudgedEvidence | None
    overview: Overview | None
    turns: tuple[Turn, ...]
    num_earlier_turns: int
    history: tuple[dict[str, Any], ...]
    incidents: tuple[Incident, ...] = ()
    incident_page: str = ""
    views: Mapping[str, str] = field(default_factory=dict)

    @property
    def open_turns(self) -> list[Turn]:
        """Those that have not ended, oldest first."""
        return [turn for turn in reversed(self.turns) if not turn.cycle.closed]


def render_loop_page(page: LoopPage) -> str:
    """Write the page. It needs no server and no network to be read; its links are relative."""
    return open_template(_TEMPLATE, APPROVAL_TEMPLATE.parent).render(
        page=page,
        evidence=page.evidence,
        versions_chart=draw_versions(page.versions),
        charts=training_charts(page.evidence.training) if page.evidence else [],
        precision_recall=precision_recall_chart,
        max_curves=MAX_CURVES,
        history=page.history[::-1],
        num_left_out=page.history[0]["sequence"] - 1 if page.history else 0,
        max_sizes=MAX_SIZES,
        max_with_pictures=MAX_WITH_PICTURES,
        max_open_tables=MAX_OPEN_TABLES,
        splits=("train", "val", "test"),
        figure=figure,
        sentence=sentence,
        when=when,
        count=count,
        signs=SIGNS,
        words=OUTCOMES,
    )


def draw_versions(versions: Sequence[VersionFigures]) -> Markup | None:
    """Draw each class's IoU over the versions, and their mean; None without figures.

    If there are more than seven classes, the seven worst of the newest version are drawn.
    """
    known = [one for one in versions if one.mean_iou is not None and one.version.isdigit()]
    if not known:
        return None
    newest = known[-1].class_iou
    names = sorted(newest, key=lambda name: (newest[name] is None, newest[name] or 0.0))[:MAX_CLASS_LINES]
    means = tuple((float(one.version), one.mean_iou or 0.0) for one in known)
    lines = [Line("mean of all classes", means, style=NEUTRAL)]
    lines += [
        Line(
            name,
            tuple((float(one.version), iou) for one in known if (iou := one.class_iou.get(name)) is not None),
            style=place,
        )
        for place, name in enumerate(newest)
        if name in names
    ]
    x = fit_axis("version", [float(one.version) for one in known], whole=True)
    return line_chart("mask IoU of each class over versions", x, Axis("mask IoU", 0.0, 1.0), lines)
