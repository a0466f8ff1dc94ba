"""Production pictures are chosen to be labelled: `maskloop label request`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dataset.labelled_pictures import DatasetVersion
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from flows.labelling.alarm import Alarm, rate_needs, read_alarm
from flows.labelling.kept_pictures import KeptPictures, labelled_looks, view_candidates
from flows.labelling.pre_labels import answer_chosen, write_pre_labels
from flows.workspace.wiring import App
from maskloop.digest import digest_value
from maskloop.errors import DataError
from maskloop.ledger.port import Entry, Ledger
from maskloop.records.kinds import ChosenPicture, LabelsRequested, name_request, read_record, write_record
from maskloop.settings.labelling_settings import LabellingSettings
from maskloop.settings.workspace_settings import Settings
from maskloop.state.loop_state import LoopState
from maskloop.workspace import Workspace
from models.ports import Predictor
from monitoring.pages.request_page import write_request_page
from monitoring.samples.corrections import CorrectionLog
from monitoring.samples.sample_log import SampleLog
from monitoring.samples.values import Sample
from monitoring.selection.candidates import (
    Candidate,
    Context,
    best_candidates,
    find_eligible,
    lower_bound,
    rate_candidates,
)
from monitoring.selection.choice import Looks, divide, draw_at_random, pick_best
from monitoring.selection.reasons import AT_RANDOM
from monitoring.selection.views import View, choose_views

BY_HAND: Final = "asked for by hand"


@dataclass(frozen=True)
class Requested:
    """A request for labels.

    Attributes:
        record: The chosen pictures, each with its reason.
        is_new: It was recorded now; else nothing has changed since it was.
        page: Shows the pictures, the champion's answers and the reasons.
        labels: The COCO file with the champion's answers, to be corrected; None if none was asked for.
    """

    record: LabelsRequested
    is_new: bool
    page: Path
    labels: Path | None


def request_labels(
    app: App,
    *,
    num: int = 0,
    fast: bool = False,
    more: bool = False,
    out_dir: Path | None = None,
    trigger_key: str = "",
    cycle_id: str = "",
) -> Requested:
    """Choose kept production pictures that are worth a label, and record the request.

    Those that carry the newest alarm come first, beside the share that is drawn at random. The same pictures,
    data, champion and settings give the same request, which is recorded once.

    Args:
        app: The workspace.
        num: How many pictures; 0 takes the number from the settings.
        fast: Rate by stored features and scores alone, not by views.
        more: Choose further pictures although nothing has changed since the open requests.
        out_dir: Write the pictures and the champion's answers as a COCO batch into this folder too.
        trigger_key: Of the trigger that asks for labels; a trigger has one request.
        cycle_id: Of the cycle that waits for them.

    Raises:
        NotFoundError: if no champion serves yet.
        DataError: if no kept picture is left to label.
        RefusedError: if the folder holds other labels.
    """
    state, settings = app.state(), app.settings
    served, version = app.copies.fetch_champion(state), app.data.current()
    predictor = app.copies.load(served.directory, served.weights_digest)
    app.shared_files.bring(app.workspace.baseline_dir(served.weights_digest))
    alarm = read_alarm(state, served.weights_digest, app.samples, app.data, app.workspace)
    context = _gather_context(app.workspace, alarm, version, served.version, predictor)
    max_mpx = settings.data.max_picture_mpx
    with SandboxedDecoder(DecodingLimits(max_mpx=max_mpx), predictor.conversion) as decoder:
        pictures = KeptPictures(app.samples, decoder)
        chooser = make_chooser(
            settings, context, predictor, pictures, num=num, fast=fast, carried=alarm.carried
        )
        num_kept = settings.monitoring.keep_pictures
        unlabelled = find_unlabelled(app.samples, app.corrections, version, served.weights_digest, num_kept)
        open_ids = [one.requested.request_id for one in state.open_requests] if more else ()
        identity = chooser.identify(unlabelled, version, alarm, open_ids)
        key = f"labels-requested:{trigger_key or identity}"
        is_new = (record := find_recorded(app.ledger, key)) is None
        if record is None:
            looks = Looks(settings.data.near_duplicate_distance_bits, labelled_looks(version, max_mpx))
            with app.teller.progress(f"version {served.version} looks at kept pictures") as progress:
                chosen = chooser.choose(leave_out_asked(unlabelled, state), looks, identity, progress)
            record = make_record(chosen, alarm, trigger_key)
            entry = write_record(app.ledger, record, actor=app.actor, cycle_id=cycle_id, key=key)
            record = as_request(entry) or record  # somebody else may have been first
        answered = answer_chosen(record.chosen, app.samples, pictures, predictor, state)
    page = app.workspace.request_page(record.request_id)
    shown = [one.show(app.artist, predictor) for one in answered]
    write_request_page(page, record, shown, model_version=served.version)
    labels = write_pre_labels(out_dir, answered, version, settings.classes) if out_dir else None
    return Requested(record, is_new, page, labels)


def _gather_context(
    workspace: Workspace,
    alarm: Alarm,
    version: DatasetVersion | None,
    served_version: str,
    predictor: Predictor,
) -> Context:
    """Return what candidates are rated by."""
    needs = rate_needs(version, workspace, served_version)
    return Context(alarm.baseline, alarm.signals, needs, lower_bound(predictor.score_threshold))


@dataclass(frozen=True)
class Chooser:
    """What pictures are chosen by.

    Attributes:
        settings: Shares and sizes.
        num: How many pictures.
        context: What candidates are rated by.
        predictor: The champion.
        views: In which it sees the shortlist; none to rate by what was stored alone.
        pictures: Opens kept pictures.
        carried: The percentage of an alarm that each picture carries, by digest: these come first.
    """

    settings: LabellingSettings
    num: int
    context: Context
    predictor: Predictor
    views: Sequence[View]
    pictures: KeptPictures
    carried: Mapping[str, float] = field(default_factory=dict)

    def identify(
        self,
        unlabelled: Sequence[Sample],
        version: DatasetVersion | None,
        alarm: Alarm,
        besides: Sequence[str] = (),
    ) -> str:
        """Return a digest of everything that the choice depends on.

        Args:
            unlabelled: Kept pictures without labels.
            version: The present data.
            alarm: The newest drift verdict.
            besides: Ids of requests whose pictures are not chosen again.
        """
        return digest_value(
            {
                "pictures": [one.sample_id for one in unlabelled],
                "data": version.fingerprint if version else "",
                "weights": self.predictor.weights_digest,
                "window": alarm.window_id,
                "num": self.num,
                "random_percent": self.settings.random_percent,
                "shortlist_factor": self.settings.shortlist_factor,
                "views": [view.name for view in self.views],
                "besides": list(besides),
            }
        )

    def choose(
        self,
        eligible: Sequence[Sample],
        looks: Looks,
        identity: str,
        progress: Callable[[int, int], None],
    ) -> list[ChosenPicture]:
        """Return the chosen pictures: some at random, then the best of what carries an alarm, then the best.

        Args:
            eligible: Kept, neither labelled nor asked for.
            looks: Of the labelled pictures.
            identity: A digest, from which chance is seeded.
            progress: Called with pictures seen in views, and all that are.
        """
        num_random, num_best = divide(self.num, self.settings.random_percent, len(eligible))

        def take(sample: Sample) -> bool:
            return self.pictures.take(sample, looks)

        drawn = draw_at_random(eligible, num_random, seed=int(identity[:15], 16), take=take)
        rated = rate_candidates(eligible, self.context)
        ids = {one.sample_id for one in drawn}
        left = [one for one in rated if one.sample.sample_id not in ids]
        first = [one for one in left if one.sample.picture_digest in self.carried]
        best = self._pick(first, num_best, take, progress)
        others = [one for one in left if one.sample.picture_digest not in self.carried]
        best += self._pick(others, num_best - len(best), take, progress)
        of_sample = {one.sample.sample_id: one for one in rated}
        return [
            *(_choose(of_sample[one.sample_id], AT_RANDOM, is_random=True) for one in drawn),
            *(_choose(one, self._tell(one)) for one in best),
        ]

    def _pick(
        self,
        candidates: Sequence[Candidate],
        num: int,
        take: Callable[[Sample], bool],
        progress: Callable[[int, int], None],
    ) -> list[Candidate]:
        """Return up to ``num`` of the candidates: a shortlist is looked at again, and the best are taken."""
        shortlist = best_candidates(candidates, self.settings.shortlist_factor * num)
        return pick_best(self._view(shortlist, progress), num, take=take) if shortlist else []

    def _tell(self, candidate: Candidate) -> str:
        reason = candidate.reason(self.context, self.predictor.class_names)
        percent = self.carried.get(candidate.sample.picture_digest)
        return f"it carries {percent:.1f} % of the alarm; {reason}" if percent is not None else reason

    def _view(
        self, shortlist: Sequence[Candidate], progress: Callable[[int, int], None]
    ) -> Sequence[Candidate]:
        if not self.views:
            return shortlist
        seen: list[Candidate] = []
        for number, candidate in enumerate(
            view_candidates(shortlist, self.pictures, self.predictor, self.views, self.context), start=1
        ):
            seen.append(candidate)
            progress(number, len(shortlist))
        return seen


def make_chooser(
    settings: Settings,
    context: Context,
    predictor: Predictor,
    pictures: KeptPictures,
    *,
    num: int,
    fast: bool,
    carried: Mapping[str, float],
) -> Chooser:
    """Return what chooses ``num`` pictures, or as many as settings say if it is 0; see `Chooser.carried`."""
    views = choose_views(may_mirror=not settings.training.augmentation.mirrored_classes)
    return Chooser(
        settings=settings.labelling,
        num=num or settings.labelling.num_pictures,
        context=context,
        predictor=predictor,
        views=() if fast else views,
        pictures=pictures,
        carried=carried,
    )


def find_unlabelled(
    samples: SampleLog,
    corrections: CorrectionLog,
    version: DatasetVersion | None,
    weights_digest: str,
    num_kept: int,
) -> list[Sample]:
    """Return the champion's kept pictures without labels, each once, by digest.

    Pictures whose correction waits to become a label are left out.
    """
    kept = samples.newest(max(num_kept, 1), weights_digest=weights_digest, with_picture=True)
    corrected = {one.request_id for one in corrections.waiting(max(num_kept, 1))}
    labelled = {one.digest for one in version.pictures} if version else set()
    return find_eligible([one for one in kept if one.sample_id not in corrected], labelled)


def leave_out_asked(samples: Sequence[Sample], state: LoopState) -> list[Sample]:
    """Return the samples that no open request asks for. Raises DataError if there are none."""
    asked = {one.picture_digest for request in state.open_requests for one in request.requested.chosen}
    left = [one for one in samples if one.picture_digest not in asked]
    if not left:
        asked_for = f"; {len(samples)} are asked for already" if samples else ""
        raise DataError(
            f"no kept production picture is left to label{asked_for}",
            hint="`maskloop predict` and the service keep those that the champion answers, up to "
            "monitoring.keep_pictures",
        )
    return left


def find_recorded(ledger: Ledger, key: str) -> LabelsRequested | None:
    """Return the request that was recorded with an idempotency key."""
    entries = ledger.find(key=key, limit=1)
    return as_request(entries[0]) if entries else None


def as_request(entry: Entry) -> LabelsRequested | None:
    """Return the request that an entry holds."""
    record = read_record(entry)
    return record if isinstance(record, LabelsRequested) else None


def make_record(chosen: Sequence[ChosenPicture], alarm: Alarm, trigger_key: str) -> LabelsRequested:
    """Return the record of a choice. Raises DataError if no picture could be had."""
    if not chosen:
        raise DataError(
            "no kept production picture is worth a label: all look like labelled ones, or cannot be read",
            hint="data.near_duplicate_distance_bits says how alike two pictures may be",
        )
    return LabelsRequested(
        request_id=name_request(chosen),
        cause=alarm.cause or BY_HAND,
        trigger_key=trigger_key,
        chosen=tuple(chosen),
    )


def _choose(candidate: Candidate, reason: str, *, is_random: bool = False) -> ChosenPicture:
    sample = candidate.sample
    return ChosenPicture(
        sample_id=sample.sample_id,
        picture_digest=sample.picture_digest,
        source=sample.source,
        reason=reason,
        is_random=is_random,
        parts=candidate.parts,
    )
