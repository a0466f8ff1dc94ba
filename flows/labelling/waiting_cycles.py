"""Cycles that wait for labels ask for them by themselves: request and push without a command."""

from __future__ import annotations

from flows.labelling.push import push_labels
from flows.labelling.request import request_labels
from flows.workspace.wiring import App
from maskloop.errors import MaskloopError
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LabelRequest, LoopState


def ask_for_labels(app: App) -> list[str]:
    """Request and push labels for the cycles that wait for them; an error is reported and stops nothing.

    A drift cycle without a request gets one if `labelling.request_on_drift` says how many pictures. A request
    that a cycle waits for is pushed, however it was made. Both happen once.
    """
    done: list[str] = []
    num = app.settings.labelling.request_on_drift
    for cycle in _find_unasked(app.state()) if num else ():
        try:
            key = cycle.opened.trigger_key
            done.append(request_labels(app, num=num, trigger_key=key, cycle_id=cycle.id).record.sentence())
        except MaskloopError as error:
            app.teller.say(f"{cycle.id}: no labels could be asked for: {error}")
    for request in _find_unpushed(app.state()):
        name = request.requested.request_id
        try:
            done += [pushed.sentence() for pushed in push_labels(app, name)]
        except MaskloopError as error:
            app.teller.say(f"request {name} could not be pushed: {error}")
    return done


def _find_unasked(state: LoopState) -> list[Cycle]:
    asked = {one.cycle_id for one in state.label_requests.values()}
    drift = [one for one in state.open_cycles if one.opened.reason == "drift" and one.id not in asked]
    return [one for one in drift if one.waiting is not None and one.waiting.waiting_for == "labels"]


def _find_unpushed(state: LoopState) -> list[LabelRequest]:
    open_now = {cycle.id for cycle in state.open_cycles}
    return [one for one in state.open_requests if one.cycle_id in open_now and one.pushed is None]
