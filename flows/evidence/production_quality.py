"""The champion held against labels of production pictures, as soon as they are in the data."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from dataset.version_store import tag_number
from evaluation.instances import IouTable
from flows.evidence.estimate_check import check_estimates, find_estimates
from flows.evidence.evaluate import evaluate_model
from flows.workspace.served import ModelCopies
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.errors import MaskloopError
from maskloop.records.kinds import CheckedQuality, ClassQuality, QualityMeasured, write_record
from maskloop.settings.workspace_settings import GateSettings, Settings
from maskloop.state.loop_state import LoopState
from monitoring.samples.sample_log import SampleLog
from monitoring.samples.values import Sample

_MAX_PICTURES: Final = 200
"""Of one data version: a large import must not hold the loop up."""
_MAX_OTHERS: Final = 2000
"""Answers without labels that help to narrow the intervals."""


def measure_production_quality(app: App) -> list[str]:
    """Measure the champion on production pictures whose labels are new; an error is told and stops nothing.

    Each data version is looked at once for each champion. It never was trained on these pictures: they came
    into the data after the version that it was trained on.

    Returns:
        What was recorded, as sentences.
    """
    state = app.state()
    if state.champion is None or not state.data_tag:
        return []
    since = newest_measured(state)
    if tag_number(state.data_tag) <= tag_number(since):
        return []
    try:
        version = app.data.open(state.data_tag)
        asked = find_asked(state)
        kept = app.samples.newest(app.settings.monitoring.keep_pictures, with_picture=True)
        known = {*asked, *(one.picture_digest for one in kept)}
        pictures = choose_production_pictures(version, since, known)
        table = (
            _hold_against(state, version, pictures, app.copies, app.settings, app.teller)
            if pictures
            else None
        )
        random = {one.digest for one in pictures if asked.get(one.digest)}
        checked = _check(state, random, table, app.samples) if table and random else ()
        record = _measure(state, version, pictures, random, table, checked)
    except MaskloopError as error:
        app.teller.say(f"the champion could not be held against new labels: {error}")
        return []
    key = f"quality:{record.weights_digest}:{record.data_tag}"
    write_record(app.ledger, record, actor=app.actor, key=key)
    if not record.num_pictures:
        return []
    app.teller.say(record.sentence())
    return [record.sentence()]


def newest_measured(state: LoopState) -> str:
    """Return the newest data version the champion was held against, else the one it was trained on. Pure."""
    digest = state.champion.weights_digest if state.champion else ""
    own = [record.data_tag for _, record in state.quality if record.weights_digest == digest]
    return max((state.data_of(digest), *own), key=tag_number)


def find_asked(state: LoopState) -> dict[str, bool]:
    """Return the digests of pictures that labels were asked for, and which are random. Pure."""
    chosen = (one for request in state.label_requests.values() for one in request.requested.chosen)
    return {one.picture_digest: one.is_random for one in chosen}


def choose_production_pictures(
    version: DatasetVersion, since: str, known: AbstractSet[str]
) -> tuple[LabelledPicture, ...]:
    """Return pictures from production that were added to the data after a version. Pure.

    They are those that a label request or a client's correction brought, and those that the sample log knows.
    Of more than 200 those with the lowest digests count, which is as good as drawing them.
    """
    found = [
        one
        for one in version.pictures
        if tag_number(one.added_in) > tag_number(since)
        if one.label_origin != "human" or one.digest in known
    ]
    return tuple(sorted(found, key=lambda one: one.digest)[:_MAX_PICTURES])


def add_up(table: IouTable, wanted: AbstractSet[str]) -> tuple[ClassQuality, ...]:
    """Add a table of mask IoU up by class, over some of its pictures. Pure."""
    rows = np.array([name in wanted for name in table.picture_ids], dtype=bool)
    iou_PC, instances_PC = table.iou_sum[rows], table.num_instances[rows]
    return tuple(
        ClassQuality(
            class_name=name,
            num_pictures=int((instances_PC[:, index] > 0).sum()),
            num_instances=int(instances_PC[:, index].sum()),
            iou_sum=float(iou_PC[:, index].sum()),
            iou_sum_squared=float((iou_PC[:, index] ** 2).sum()),
            iou_sum_by_instances=float((iou_PC[:, index] * instances_PC[:, index]).sum()),
            instances_squared=int((instances_PC[:, index] ** 2).sum()),
        )
        for index, name in enumerate(table.class_names)
        if instances_PC[:, index].any()
    )


def _measure(
    state: LoopState,
    version: DatasetVersion,
    pictures: Sequence[LabelledPicture],
    random: AbstractSet[str],
    table: IouTable | None,
    checked: tuple[CheckedQuality, ...],
) -> QualityMeasured:
    champion = state.champion
    assert champion is not None  # noqa: S101 - the caller looked
    return QualityMeasured(
        version=champion.version,
        weights_digest=champion.weights_digest,
        data_tag=version.tag,
        num_pictures=len(pictures),
        num_random=len(random),
        classes=add_up(table, {one.digest for one in pictures}) if table else (),
        random_classes=add_up(table, random) if table else (),
        checked=checked,
    )


def _check(
    state: LoopState, random: AbstractSet[str], table: IouTable, samples: SampleLog
) -> tuple[CheckedQuality, ...]:
    """Hold the newest estimate against random pictures, with the champion's other answers beside them."""
    weights_digest = state.champion.weights_digest if state.champion else ""
    own: dict[str, Sample | None] = dict.fromkeys(random)
    for request in state.label_requests.values():
        for chosen in request.requested.chosen:
            sample = samples.get(chosen.sample_id) if chosen.picture_digest in own else None
            if sample is not None and sample.weights_digest == weights_digest:
                own[chosen.picture_digest] = sample
    newest = samples.newest(_MAX_OTHERS, weights_digest=weights_digest)
    others = [one for one in newest if one.picture_digest not in own]
    return check_estimates(table, own, others, find_estimates(state, weights_digest))


def _hold_against(
    state: LoopState,
    version: DatasetVersion,
    pictures: Sequence[LabelledPicture],
    copies: ModelCopies,
    settings: Settings,
    teller: Teller,
) -> IouTable:
    served = copies.fetch_champion(state)
    predictor = copies.load(served.directory, served.weights_digest)
    trained_on = state.data_of(served.weights_digest)
    with teller.progress("the champion on labels from production") as progress:
        found = evaluate_model(
            predictor,
            version,
            pictures,
            score_threshold=(settings.gates or GateSettings()).score_threshold,
            max_detections=settings.model.max_detections,
            max_mpx=settings.data.max_picture_mpx,
            progress=progress,
            called_now=lambda name: state.class_between(name, trained_on, version.tag),
        )
    return found.evaluation.iou
