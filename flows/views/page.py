"""The views as files: one page each, and beside them the script of the chart library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from flows.metrics.page import WORDS, write_value
from flows.pages.loop_report import relative_address
from flows.views.chart import Chart, draw
from flows.views.debug import MAX_WINDOWS, Debug, gather_debug
from flows.views.drawings import (
    draw_cycle_hours,
    draw_drift,
    draw_estimates,
    draw_iou,
    draw_precision_recall,
    draw_training,
    draw_training_cost,
)
from flows.views.executive import Executive, make_executive
from flows.views.gathered import Gathered, gather_facts
from flows.views.on_call import OnCall, make_on_call
from flows.views.waiting import Waiting
from flows.workspace.wiring import App
from maskloop.files import write_bytes, write_text
from maskloop.pages.class_colours import class_colour
from maskloop.pages.templates import open_template
from maskloop.wording import count, span
from maskloop.workspace import Workspace
from registry.evidence.approval_page import OUTCOMES
from registry.evidence.approval_page import TEMPLATE as APPROVAL_TEMPLATE
from registry.evidence.diagnosis import KINDS_IN_WORDS, MAX_CURVES, calibration_in_words
from registry.evidence.judged_evidence import SIGNS, worst_checks_first
from registry.wording import figure, sentence, signed, when
from serving.telemetry.reading import ServiceFigures

if TYPE_CHECKING:
    from markupsafe import Markup

ViewName = Literal["executive", "on-call", "debug"]
View = Executive | OnCall | Debug
VIEWS: Final[tuple[ViewName, ...]] = get_args(ViewName)
SCRIPT_FILE: Final = "plotly.min.js"
_HERE: Final = Path(__file__).parent
_MAX_CHART_VERSIONS: Final = 20
"""Of the on-call page, which shows what changed last."""


@dataclass(frozen=True)
class Header:
    """What stands above every view.

    Attributes:
        name: Of the view.
        model_name: Of the registered model.
        workspace: Name of its folder.
        as_of: When the page was made, UTC.
        last_sequence: Of the newest entry of the ledger that it shows.
        champion: The version that serves; empty for none.
        views: Relative addresses of all views, by name; of those that are there.
        pages: Relative addresses of other pages, by what they are about.
    """

    name: ViewName
    model_name: str
    workspace: str
    as_of: datetime
    last_sequence: int
    champion: str
    views: Mapping[str, str]
    pages: Mapping[str, str]


@dataclass(frozen=True)
class Written:
    """A view that was written.

    Attributes:
        page: Its file.
        view: What it says.
    """

    page: Path
    view: View


def write_views(
    app: App,
    names: Sequence[ViewName] = VIEWS,
    *,
    output: Path | None = None,
    version: str = "",
    cycle: str = "",
    url: str = "",
    key: str = "",
    figures: ServiceFigures | None = None,
) -> dict[ViewName, Written]:
    """Write views from facts that are gathered once, and return what they say.

    Args:
        app: The workspace.
        names: Of the views.
        output: The file of a single view; by default each has its own in the workspace's reports.
        version: That the debug view shows; by default the one that serves.
        cycle: That the debug view shows; not together with ``version``.
        url: Of the service whose figures are shown; empty: the one that `maskloop up` runs.
        key: An API key that may read figures.
        figures: What the service counts, where that is known already.

    Raises:
        NotFoundError: if there is no such version or cycle.
        StorageError: if a page cannot be written.
    """
    found = gather_facts(app, url=url, key=key, service=figures)
    views: dict[ViewName, View] = {}
    for name in names:
        if name == "executive":
            views[name] = make_executive(found)
        elif name == "on-call":
            views[name] = make_on_call(found)
        else:
            views[name] = gather_debug(
                app.ledger, app.workspace, lambda: app.tracker, found, version=version, cycle=cycle
            )
    written = {}
    for name, view in views.items():
        path = output or app.workspace.view_page(_name_file(name, version, cycle))
        header = make_header(app.workspace, found, name, path, written=() if output else names)
        text = render_view(header, view, min_effect=app.settings.monitoring.min_effect)
        _put_script(path.parent)
        write_text(path, text)
        written[name] = Written(path, view)
    return written


def _name_file(name: ViewName, version: str, cycle: str) -> str:
    """Return the name of a view's page: a version or cycle that was asked for has a page of its own."""
    if name != "debug" or not (version or cycle):
        return name
    return f"debug-version-{version}" if version else f"debug-{cycle}"


def make_header(
    workspace: Workspace, found: Gathered, name: ViewName, path: Path, *, written: Sequence[ViewName] = ()
) -> Header:
    """Make what stands above a view, with links from ``path`` to what is there.

    Args:
        workspace: The workspace.
        found: The facts that all views share.
        name: Of the view.
        path: Its file.
        written: The views that are written with it.
    """
    pages = {
        **found.status.pages,
        "M1 to M10": workspace.metrics_page,
        "the data": workspace.data_page,
    }
    for verdict in found.history.newest_verdicts:
        pages[f"evidence on version {verdict.version}"] = workspace.verdict_page(verdict.version)
        pages[f"debug version {verdict.version}"] = workspace.view_page(f"debug-version-{verdict.version}")
    for window in found.history.windows:
        if window.judged.report:
            pages[window.judged.window_id] = workspace.root / window.judged.report
    views = {one: workspace.view_page(one) for one in VIEWS}
    return Header(
        name=name,
        model_name=found.settings.model_name,
        workspace=found.workspace,
        as_of=found.now,
        last_sequence=found.state.last_sequence,
        champion=found.state.champion.version if found.state.champion else "",
        views={
            one: relative_address(file, path.parent)
            for one, file in views.items()
            if one in written or file.exists()
        },
        pages={about: relative_address(file, path.parent) for about, file in pages.items() if file.exists()},
    )


def render_view(header: Header, view: View, *, min_effect: float = 0.3) -> str:
    """Return the page. Pure. It needs no server and no network, and without scripts it has all figures.

    Args:
        header: What stands above it.
        view: What it says.
        min_effect: The smallest drift effect that matters, 0..1.
    """
    template = _HERE / f"{header.name.replace('-', '_')}.html.j2"
    return open_template(template, APPROVAL_TEMPLATE.parent).render(
        header=header,
        view=view,
        charts=_draw_charts(view, min_effect),
        training=[draw(one) for one in draw_training(view.training)] if isinstance(view, Debug) else [],
        script=Path(_HERE / "charts.js").read_text(encoding="utf-8"),
        script_file=SCRIPT_FILE,
        precision_recall=lambda diagnosis: draw(draw_precision_recall(diagnosis)),
        page_of=lambda waiting: _page_of(waiting, header),
        class_colour=lambda index: "#{:02x}{:02x}{:02x}".format(*class_colour(index)),
        calibration=calibration_in_words,
        worst_checks_first=worst_checks_first,
        ago=lambda at: span(header.as_of - at),
        seconds=lambda number: span(timedelta(seconds=number)),
        kinds=KINDS_IN_WORDS,
        max_curves=MAX_CURVES,
        max_windows=MAX_WINDOWS,
        signs=SIGNS,
        words=OUTCOMES,
        kept=WORDS,
        write=write_value,
        figure=figure,
        signed=signed,
        sentence=sentence,
        when=when,
        span=span,
        count=count,
    )


def _page_of(waiting: Waiting, header: Header) -> str:
    return header.pages.get(waiting.page, "")


def _draw_charts(view: View, min_effect: float) -> dict[str, Markup | None]:
    drawn: dict[str, Chart | None]
    if isinstance(view, Executive):
        drawn = {"iou": draw_iou(view.versions), "cost": draw_training_cost(view.attempts)}
    elif isinstance(view, OnCall):
        drawn = {
            "drift": draw_drift(view.windows, min_effect),
            "estimates": draw_estimates(view.windows),
            "iou": draw_iou(view.versions[-_MAX_CHART_VERSIONS:]),
            "hours": draw_cycle_hours(view.all_cycles),
        }
    else:
        windows = view.windows[::-1]
        drawn = {"drift": draw_drift(windows, min_effect), "estimates": draw_estimates(windows)}
    return {name: draw(chart) if chart else None for name, chart in drawn.items()}


def _put_script(folder: Path) -> None:
    """Put the chart library beside the pages, once."""
    source = files("plotly").joinpath("package_data", SCRIPT_FILE).read_bytes()
    place = folder / SCRIPT_FILE
    if not place.exists() or place.stat().st_size != len(source):
        write_bytes(place, source)
