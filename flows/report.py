"""One HTML page about the loop: what serves, how good it is, every decision, and pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flows.status import describe_status, tell_history
from flows.wiring import App
from maskloop.errors import NotFoundError
from maskloop.files import write_text
from maskloop.state import Cycle

if TYPE_CHECKING:
    from evaluation.instances import IouTable

PAGE = "loop.html"
APPROVAL_PAGE = "evidence.html"


def write_report(app: App, output: Path | None) -> Path:
    """Write the page and return its path; it needs no server and no network to be read."""
    from jinja2 import Environment, StrictUndefined

    path = output or app.workspace.reports_dir / PAGE
    template = Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    status = describe_status(app)
    drift_page = app.workspace.root / status.state.drift[-1][1].report if status.state.drift else None
    page = environment.from_string(template).render(
        model_name=app.settings.model_name,
        serving=status.state.serving[-1] if status.state.serving else None,
        data=status.state.versions[-1] if status.state.versions else None,
        drift=status.state.drift[-1][1] if status.state.drift else None,
        drift_page=drift_page.as_uri() if drift_page and drift_page.exists() else "",
        samples=status.sample_counts,
        contests=[_describe_contest(app, cycle) for cycle in reversed(status.state.cycles.values())],
        history=tell_history(app),
    )
    write_text(path, page)
    return path


def save_iou_rows(
    app: App, version: str, candidate: IouTable, champion: IouTable | None
) -> list[dict[str, Any]]:
    """Keep a contest's class IoU by source in the workspace, and return it as rows."""
    rows = iou_rows(candidate, champion)
    write_text(contest_folder(app, version) / "iou_by_source.json", json.dumps(rows, indent=1))
    return rows


def iou_rows(candidate: IouTable, champion: IouTable | None) -> list[dict[str, Any]]:
    """Return one row per source and class: instances, and the class IoU of candidate and champion."""
    rows = []
    for source in sorted(set(candidate.sources)):
        new = candidate.only_source(source)
        old = champion.only_source(source).class_iou() if champion else None
        for index, name in enumerate(candidate.class_names):
            rows.append(
                {
                    "source": source,
                    "class": name,
                    "instances": int(new.num_instances[:, index].sum()),
                    "candidate": _finite(new.class_iou()[index]),
                    "champion": _finite(old[index]) if old is not None else None,
                }
            )
    return rows


def comparison_rows(
    app: App, old_version: str, new_version: str, *, old_source: str, new_source: str
) -> list[dict[str, Any]]:
    """Return per class: the old model before drift and on the new source, the new model on both."""
    first = {(row["source"], row["class"]): row for row in read_iou_rows(app, old_version)}
    second = {(row["source"], row["class"]): row for row in read_iou_rows(app, new_version)}
    names = list(dict.fromkeys(name for _, name in second))
    rows = [
        {
            "class": name,
            "before": first[old_source, name]["candidate"],
            "drifted": second[new_source, name]["champion"],
            "after": second[new_source, name]["candidate"],
            "old_source": second[old_source, name]["candidate"],
        }
        for name in names
    ]
    columns = ("before", "drifted", "after", "old_source")
    mean = {key: sum(row[key] or 0.0 for row in rows) / len(rows) for key in columns}
    return [*rows, {"class": "mean", **mean}]


def read_iou_rows(app: App, version: str) -> list[dict[str, Any]]:
    """Read what `save_iou_rows` kept. Raises NotFoundError."""
    path = contest_folder(app, version) / "iou_by_source.json"
    if not path.exists():
        raise NotFoundError(f"version {version} was not judged in this workspace", where=str(path))
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    return rows


def contest_folder(app: App, version: str) -> Path:
    """Return the folder of one version's verdict."""
    return app.workspace.reports_dir / "verdicts" / f"version-{version}"


def relative_address(file: Path, folder: Path) -> str:
    """Return a file's address as a page in ``folder`` links it: relative, so that both can move together."""
    return quote(Path(os.path.relpath(file, folder)).as_posix())


def _describe_contest(app: App, cycle: Cycle) -> dict[str, Any]:
    from flows.judged_evidence import read_kept

    version = cycle.candidate.version if cycle.candidate else ""
    folder = contest_folder(app, version)
    judged = bool(version) and (folder / "iou_by_source.json").exists()
    page, kept = folder / APPROVAL_PAGE, read_kept(app, cycle)
    return {
        "cycle": cycle,
        "rows": read_iou_rows(app, version) if judged else [],
        "page": page.as_uri() if page.exists() else "",
        "pictures": kept.pictures if kept else (),
    }


def _finite(value: Any) -> float | None:
    return round(float(value), 4) if value == value else None
