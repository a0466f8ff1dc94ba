"""F4 to F6: a faulty challenger has come past the gates, and is compared with the champion in the traffic."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from dataset.labelled_pictures import DatasetVersion
from evaluation.instances import ScoreThreshold
from flows.gameday.production import Pixels, as_they_are, current_version, held_out, read_pixels
from flows.gameday.scenario import Stage
from flows.rollouts.rollout import advance_rollout, start_rollout
from maskloop.digest import digest_value
from maskloop.files import write_text
from maskloop.masks import encode_masks
from maskloop.records.kinds import CandidateRegistered, CycleClosed, CycleOpened, VerdictReached, write_record
from maskloop.state.loop_state import Rollout
from models.answering.prediction import Prediction
from models.ports import Predictor
from registry.champion.serving_copy import ServedModel
from serving.answers import Answer, Attempt, HostedModel, PairedAnswer, RequestPicture
from serving.rollout.comparing import compare

_MAX_PICTURES: Final = 400
_NUM_MENDED: Final = 40
_AT_ONCE: Final = 10
_LOW_THRESHOLD: Final = 0.05
_ANCHOR_FACTOR: Final = 4.0
SETTINGS: Final[dict[str, dict[str, Any]]] = {"rollout": {"enabled": True, "min_pictures": 30}}


@dataclass(frozen=True)
class Told:
    """A model's answers, and the threshold from which on they count.

    Attributes:
        predictor: The model.
        predictions: One for each picture.
        seconds: For one picture.
        threshold: Of its scores.
    """

    predictor: Predictor
    predictions: Sequence[Prediction]
    seconds: float
    threshold: ScoreThreshold


Faulty = Callable[[Told, Sequence[Pixels]], Told]
"""What a challenger says about pictures, given what the champion said about them."""
MakeFaulty = Callable[[Stage, ServedModel], Faulty]


def play_false_positives(stage: Stage) -> None:
    """Roll out a challenger whose score threshold is far too low."""
    said = f"a challenger that tells everything with a score from {_LOW_THRESHOLD} on"
    _play(stage, _with_low_threshold, {"count.more"}, said, "its score threshold was raised")


def play_missed_objects(stage: Stage) -> None:
    """Roll out a challenger whose anchors are far larger than the objects."""
    said = f"a challenger with anchors {_ANCHOR_FACTOR:g} times as large as the objects'"
    _play(
        stage, _with_large_anchors, {"count.fewer", "agreement"}, said, "its anchors were fitted to the data"
    )


def play_wrong_masks(stage: Stage) -> None:
    """Roll out a challenger whose masks are pasted at half their size."""
    said = "a challenger that resizes its masks to the wrong size"
    _play(stage, _with_small_masks, {"agreement"}, said, "the resizing of masks was mended")


def _play(stage: Stage, make: MakeFaulty, checks: set[str], injected: str, mended: str) -> None:
    version = current_version(stage)
    served = stage.app.copies.fetch_champion(stage.app.state())
    predictor = stage.app.copies.load(served.directory, served.weights_digest)
    faulty = make(stage, served)
    rollout = _begin_rollout(stage, version, served, "faulty")
    stage.inject("rollout", injected)
    num_compared = 0
    for pixels in _stream(stage, version):
        champion = _ask(predictor, pixels)
        num_compared = _compare(
            stage, rollout, served, champion, faulty(champion, pixels), pixels, num_compared
        )
        if stage.app.state().rollouts[rollout.cycle_id].is_over:
            break
    over = stage.app.state().rollouts[rollout.cycle_id]
    failed = [one.name for one in (over.moved.checks if over.moved else ()) if one.outcome == "fail"]
    said = f"{', '.join(failed) or 'no check'} failed after {num_compared} pictures"
    stage.see("detected", "maskloop rollout show", said, is_seen=bool(checks & set(failed)))
    stage.find_opened("rollout")
    reason = over.moved.reason if over.moved else ""
    said = f"{over.phase}, {over.share_percent:g} % of the traffic: {reason}"
    is_out = over.phase == "rolled-back" and over.share_percent == 0
    stage.see("mitigated", "the rollout, by itself", said, is_seen=is_out)
    close = CycleClosed(outcome="rejected", reason="the rollout was stopped")
    write_record(stage.app.ledger, close, cycle_id=rollout.cycle_id)
    again, num_compared = _begin_rollout(stage, version, served, "mended"), 0
    for pixels in _stream(stage, version):
        if num_compared < _NUM_MENDED:
            told = _ask(predictor, pixels)
            num_compared = _compare(stage, again, served, told, told, pixels, num_compared)
    phase = stage.app.state().rollouts[again.cycle_id].phase
    said = f"a mended challenger goes on after {num_compared} pictures, in phase {phase}"
    is_well = phase not in ("aborting", "rolled-back")
    stage.see("restored", "maskloop rollout show", said, is_seen=is_well)
    stage.write_up(cause=injected, action=mended)


def _with_low_threshold(_stage: Stage, _served: ServedModel) -> Faulty:
    return lambda told, _pixels: replace(told, threshold=_LOW_THRESHOLD)


def _with_large_anchors(stage: Stage, served: ServedModel) -> Faulty:
    """Ask the champion's own weights with other anchors: what a wrong setting does to small objects."""
    folder = stage.workspace.root / "gameday" / "anchors"
    shutil.copytree(served.directory, folder)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    sizes = stage.app.trainer.present_anchors(stage.app.settings.model)[0].sizes_px
    manifest["model"]["anchor_sizes_px"] = [[int(_ANCHOR_FACTOR * one) for one in level] for level in sizes]
    write_text(folder / "manifest.json", json.dumps(manifest))
    other = stage.app.copies.load(folder, served.weights_digest)
    return lambda _told, pixels: _ask(other, pixels)


def _with_small_masks(_stage: Stage, _served: ServedModel) -> Faulty:
    return lambda told, _pixels: replace(told, predictions=[_halve_masks(one) for one in told.predictions])


def _halve_masks(prediction: Prediction) -> Prediction:
    """Paste each mask as if the picture were half as large; boxes, scores and classes stay."""
    found = prediction.detections
    masks = found.masks_NHW()
    small = np.zeros_like(masks)
    halved = masks[:, ::2, ::2]
    small[:, : halved.shape[1], : halved.shape[2]] = halved
    return replace(prediction, detections=replace(found, masks=tuple(encode_masks(small))))


def _stream(stage: Stage, version: DatasetVersion) -> Iterator[list[Pixels]]:
    """Yield held-out pictures a few at a time, then the same scenes again with noise that hardly shows."""
    pictures = held_out(version, limit=_MAX_PICTURES)
    for start in range(0, _MAX_PICTURES, _AT_ONCE):
        numbers = range(start, start + _AT_ONCE)
        chosen = [
            (number, read_pixels(stage, version, pictures[number % len(pictures)])) for number in numbers
        ]
        yield [
            pixels if number < len(pictures) else as_they_are(pixels, np.random.default_rng(number))
            for number, pixels in chosen
        ]


def _ask(predictor: Predictor, pixels: Sequence[Pixels]) -> Told:
    began = time.monotonic()
    predictions = predictor.predict(pixels)
    seconds = (time.monotonic() - began) / len(pixels)
    return Told(predictor, predictions, seconds, predictor.score_threshold)


def _begin_rollout(stage: Stage, version: DatasetVersion, served: ServedModel, name: str) -> Rollout:
    """Write down what brings a challenger into the shadow: a cycle, a candidate, a verdict that passes."""
    app, state = stage.app, stage.app.state()
    cycle_id = f"cycle-{len(app.ledger.find(kinds=(CycleOpened.kind,))) + 1}"
    write = partial(write_record, app.ledger, cycle_id=cycle_id)
    weights = digest_value({"gameday": name, "cycle": cycle_id})
    about: dict[str, Any] = {"data_tag": version.tag, "data_fingerprint": version.fingerprint}
    write(CycleOpened(trigger_key=f"gameday:{cycle_id}", reason="manual", detail="a game day"))
    candidate = {"version": f"gameday-{name}", "weights_digest": weights, "run_id": "", "seconds": 0.0}
    write(CandidateRegistered.model_validate(candidate | about | {"requested_by": "gameday"}))
    verdict = {
        "blessing_id": weights,
        "outcome": "pass",
        "checks": (),
        "candidate_version": f"gameday-{name}",
        "candidate_digest": weights,
        "champion_digest": served.weights_digest,
        "policy_digest": "",
        "evaluated_pictures_digest": "",
    }
    write(VerdictReached.model_validate(verdict | about))
    if state.rollout:
        app.pairs.forget(state.rollout.cycle_id)
    start_rollout(app.journal, app.pairs, app.settings.rollout, cycle_id)
    return app.state().rollouts[cycle_id]


def _compare(
    stage: Stage,
    rollout: Rollout,
    served: ServedModel,
    champion: Told,
    challenger: Told,
    pixels: Sequence[Pixels],
    num_before: int,
) -> int:
    """Log pairs as the service does, and look at them; returns how many there are now."""
    for number, one in enumerate(pixels):
        mine, other = (_attempt(told, served, number) for told in (champion, challenger))
        picture = RequestPicture(f"{rollout.cycle_id}-{num_before + number}", "", b"", one)
        pair = PairedAnswer(rollout.cycle_id, picture, "champion", mine, other, champion.seconds)
        stage.app.pairs.add(compare(pair, keep_picture=False))
    advance_rollout(stage.app)
    return num_before + len(pixels)


def _attempt(told: Told, served: ServedModel, number: int) -> Attempt:
    model = HostedModel("champion", served, _Threshold(told.predictor, told.threshold))
    return Attempt(served.weights_digest, Answer(model, told.predictions[number], None), seconds=told.seconds)


@dataclass(frozen=True)
class _Threshold:
    """A model whose answers count from another score on."""

    predictor: Predictor
    score_threshold: ScoreThreshold

    def __getattr__(self, name: str) -> Any:
        return getattr(self.predictor, name)
