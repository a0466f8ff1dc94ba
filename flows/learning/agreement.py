"""How a model differs from the truth, by the figures a rollout compares it with its challenger by.

There are two measurements. A candidate is measured on all test pictures, with the labels of its own data
version. A champion is measured again on the test pictures added since, which may be of a kind it does not
know. Labels changed after its training are not used: if they were wrong, they would loosen the limits for a
challenger that learned them.
"""

from __future__ import annotations

from collections.abc import Sequence

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from dataset.version_store import tag_number
from evaluation.agreement import compare_with_truth, describe_perfect_challenger
from flows.evidence.evaluate import ModelOnPictures
from flows.learning.dossier import Contest
from maskloop.records.kinds import AgreementMeasured
from maskloop.state.loop_state import LoopState
from models.loading.ground_truth import ground_truth
from serving.rollout.analysis import agreement_record


def measure_agreements(contest: Contest, state: LoopState, *, min_pictures: int) -> list[AgreementMeasured]:
    """Return what is known about both sides of a contest; a side with too few pictures has none. Pure.

    Args:
        contest: Both have predicted its version's test pictures.
        state: Knows which data the champion was trained on.
        min_pictures: See `GateSettings`.
    """
    pictures = contest.version.by_split["test"]
    sides = [(contest.registered.weights_digest, contest.candidate, pictures)]
    if contest.champion is not None:
        since = tag_number(state.data_of(contest.champion_digest))
        new = tuple(picture for picture in pictures if tag_number(picture.added_in) > since)
        sides.append((contest.champion_digest, contest.champion, new))
    measured = [_measure(*side, contest.version, min_pictures=min_pictures) for side in sides]
    return [record for record in measured if record]


def agreement_key(record: AgreementMeasured, version: DatasetVersion) -> str:
    """Return the key under which a record is written: twice writes it once."""
    return f"agreement:{record.weights_digest}:{version.fingerprint}"


def _measure(
    weights_digest: str,
    model: ModelOnPictures,
    pictures: Sequence[LabelledPicture],
    version: DatasetVersion,
    *,
    min_pictures: int,
) -> AgreementMeasured | None:
    compared = [
        compare_with_truth(
            ground_truth(picture),
            model.predictions[picture.digest].detections,
            score_threshold=model.evaluation.iou.score_threshold,
        )
        for picture in pictures
    ]
    sources = [picture.source for picture in pictures]
    perfect = describe_perfect_challenger(compared, sources, min_pictures=min_pictures)
    if perfect is None or perfect.num_pictures < min_pictures:
        return None
    return agreement_record(perfect, weights_digest=weights_digest, data_tag=version.tag)
