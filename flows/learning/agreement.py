"""How a model differs from the truth, by the figures a rollout compares it with its challenger by.

Measured twice. A candidate is measured on all test pictures, by the labels of its own time. A champion is
measured again on the test pictures that came since, which may be of a kind it does not know. Labels that were
changed afterwards are not asked: if they were mixed up, they would excuse a challenger that learned them.
"""

from __future__ import annotations

from collections.abc import Sequence

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from dataset.store import tag_number
from evaluation.agreement import compare_with_truth, describe_perfect_challenger
from flows.evidence.evaluate import ModelOnPictures
from flows.workspace.wiring import App
from maskloop.records.kinds import write_record
from maskloop.state.loop_state import LoopState
from models.loading.ground_truth import ground_truth
from serving.rollout.analysis import agreement_record


def record_agreements(
    app: App,
    cycle_id: str,
    version: DatasetVersion,
    *,
    candidate: tuple[str, ModelOnPictures],
    champion: tuple[str, ModelOnPictures] | None,
) -> None:
    """Measure both sides of a contest and write it down; twice writes it once.

    Args:
        app: The workspace.
        cycle_id: The turn of the loop this belongs to.
        version: Whose test pictures both have predicted.
        candidate: Its weights digest and predictions.
        champion: Likewise, if one serves.
    """
    pictures = version.by_split["test"]
    _record(app, cycle_id, version, *candidate, pictures)
    if champion is not None:
        since = _data_of(app.state(), champion[0])
        new = [picture for picture in pictures if tag_number(picture.added_in) > tag_number(since)]
        _record(app, cycle_id, version, *champion, new)


def _record(
    app: App,
    cycle_id: str,
    version: DatasetVersion,
    weights_digest: str,
    model: ModelOnPictures,
    pictures: Sequence[LabelledPicture],
) -> None:
    gates = app.settings.required_gates()
    compared = [
        compare_with_truth(
            ground_truth(picture),
            model.predictions[picture.digest].detections,
            score_threshold=model.evaluation.iou.score_threshold,
        )
        for picture in pictures
    ]
    sources = [picture.source for picture in pictures]
    perfect = describe_perfect_challenger(compared, sources, min_pictures=gates.min_pictures)
    if perfect is None or perfect.num_pictures < gates.min_pictures:
        return
    record = agreement_record(perfect, weights_digest=weights_digest, data_tag=version.tag)
    write_record(app.ledger, record, cycle=cycle_id, key=f"agreement:{weights_digest}:{version.fingerprint}")


def _data_of(state: LoopState, weights_digest: str) -> str:
    """Return the data version a model was trained and judged on; an empty string if nobody knows."""
    candidates = [cycle.candidate for cycle in state.cycles.values() if cycle.candidate]
    return next((one.data_tag for one in reversed(candidates) if one.weights_digest == weights_digest), "")
