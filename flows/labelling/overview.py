"""How far the requests for labels have come, in the ledger and in the labelling tool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from dataset.labelling.port import LabellingTool, PlacedTask
from flows.workspace.wiring import App
from maskloop.errors import MaskloopError
from maskloop.state.loop_state import LabelRequest
from maskloop.wording import count
from maskloop.workspace import Workspace


@dataclass(frozen=True)
class RequestProgress:
    """How far one request has come.

    Attributes:
        request: Its id.
        cause: Why labels are asked for.
        asked_for: Pictures that were chosen.
        project: Where they are labelled; empty if they were not pushed.
        in_tool: Pictures that are tasks there; None if the tool was not asked, or does not answer.
        finished: Pictures with a submitted annotation there; likewise.
        in_data: Pictures whose labels are in the data.
        cycle: The cycle that waits for the labels; empty for none.
        page: The file that shows its pictures; empty if there is none.
    """

    request: str
    cause: str
    asked_for: int
    project: str
    in_tool: int | None
    finished: int | None
    in_data: int
    cycle: str
    page: str


@dataclass(frozen=True)
class LabellingOverview:
    """All requests at hand, and what is wrong.

    Attributes:
        requests: The newest last.
        remarks: What people should look at, in sentences.
    """

    requests: tuple[RequestProgress, ...]
    remarks: tuple[str, ...]


def describe_requests(app: App) -> LabellingOverview:
    """Return how far the newest requests have come. A tool that does not answer is a remark."""
    requests = tuple(app.state().label_requests.values())
    describe = partial(_describe, app.workspace)
    if not any(one.pushed for one in requests):
        return LabellingOverview(tuple(describe(one, None) for one in requests), ())
    try:
        project, tasks = app.labelling_tool.find_project(), app.labelling_tool.list_tasks()
    except MaskloopError as error:
        return LabellingOverview(tuple(describe(one, None) for one in requests), (str(error),))
    remarks = _remark(requests, tasks, app.labelling_tool.name, project)
    progress = []
    for request in requests:
        own = _tasks_of(request, tasks)
        try:
            finished = _find_finished(app.labelling_tool, own)
        except MaskloopError as error:
            remarks.append(f"request {request.requested.request_id}: its labels cannot be read: {error}")
            finished = None
        progress.append(describe(request, own, finished))
    return LabellingOverview(tuple(progress), tuple(remarks))


def _tasks_of(request: LabelRequest, tasks: Sequence[PlacedTask]) -> list[PlacedTask]:
    digests = {one.picture_digest for one in request.requested.chosen}
    return [one for one in tasks if one.picture_digest in digests] if request.pushed else []


def _find_finished(tool: LabellingTool, own: Sequence[PlacedTask]) -> set[str]:
    """Return the pictures that have a submitted annotation, by digest."""
    unknown = {one.task_id: one.picture_digest for one in own if one.num_finished is None}
    found = {unknown[one.task_id] for one in tool.pull([one for one in own if one.task_id in unknown])}
    return found | {one.picture_digest for one in own if one.num_finished}


def _describe(
    workspace: Workspace,
    request: LabelRequest,
    own: Sequence[PlacedTask] | None,
    finished: set[str] | None = None,
) -> RequestProgress:
    requested = request.requested
    page = workspace.request_page(requested.request_id)
    digests = {one.picture_digest for one in requested.chosen}
    return RequestProgress(
        request=requested.request_id,
        cause=requested.cause,
        asked_for=len(digests),
        project=request.pushed.project if request.pushed else "",
        in_tool=len({one.picture_digest for one in own}) if own is not None and request.pushed else None,
        finished=len(finished) if finished is not None and request.pushed else None,
        in_data=request.pulled.num_returned if request.pulled else 0,
        cycle=request.cycle_id,
        page=str(page) if page.exists() else "",
    )


def _remark(
    requests: Sequence[LabelRequest], tasks: Sequence[PlacedTask], tool: str, project: str
) -> list[str]:
    times = Counter(one.picture_digest for one in tasks)
    remarks = []
    for request in requests:
        requested = request.requested
        if request.pushed is None:
            continue
        if request.pushed.tool != tool:
            remarks.append(
                f"request {requested.request_id} was pushed to {request.pushed.tool}, and labelling.tool is "
                f"{tool} now: its labels come when the setting is what it was; "
                f"`maskloop label push {requested.request_id}` sends its pictures to {tool} too"
            )
            continue
        pushed, again = request.pushed, f"`maskloop label push {requested.request_id}`"
        num_gone = pushed.num_pictures - sum(one.picture_digest in times for one in requested.chosen)
        if num_gone == pushed.num_pictures and project != pushed.project:
            now = f"the settings name {project} now" if project else "there is no project of this title now"
            remarks.append(
                f"request {requested.request_id} was pushed to {pushed.project}, and {now}: set "
                f"labelling.project to what it was, or {again} sends its pictures anew"
            )
        elif num_gone > 0:
            gone = count(num_gone, "task")
            remarks.append(
                f"request {requested.request_id}: {gone} deleted in the tool; {again} adds what is missing"
            )
        if request.pulled and request.pulled.num_left_out:
            reasons = "; ".join(request.pulled.reasons)
            remarks.append(
                f"request {requested.request_id}: {reasons}; what is corrected in the tool is pulled again"
            )
    known = {one.picture_digest for request in requests for one in request.requested.chosen}
    num_foreign = sum((one.num_finished or 0) > 0 and one.picture_digest not in known for one in tasks)
    if num_foreign:
        remarks.append(
            f"{count(num_foreign, 'finished task')} of no request at hand left alone: "
            "export and `maskloop ingest` them, or name an older request in `maskloop label pull`"
        )
    return remarks
