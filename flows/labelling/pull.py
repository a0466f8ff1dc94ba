"""Labels that people made in the labelling tool become labels of the data."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataset.coco.document import read_json
from dataset.ingestion.plan import IngestOptions
from dataset.labelling.drawings import digest_labels
from dataset.labelling.port import Annotation, LabellingTool, PlacedTask
from dataset.origin import annotator_key
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.raw.conversion import conversion_of
from flows.intake.batch_intake import ingest
from flows.intake.feedback import find_schema
from flows.intake.label_batches import BatchPicture, ingest_pictures
from flows.labelling.push import find_picture
from flows.labelling.requests import find_requests, labelling_lease
from flows.labelling.returned import (
    LeftOut,
    Settled,
    digest_annotations,
    limit_accepted,
    settle,
)
from flows.workspace.wiring import App
from maskloop.digest import digest_value
from maskloop.errors import DataError, MaskloopError, PictureError
from maskloop.files import write_text
from maskloop.records.kinds import ChosenPicture, LabelsPulled, ReturnedPicture, write_record
from maskloop.settings.workspace_settings import Settings
from maskloop.state.loop_state import LabelRequest
from maskloop.wording import count
from monitoring.samples.sample_log import SampleLog

if TYPE_CHECKING:
    from dataset.ingestion.ingest import IngestResult

_MAX_REASONS: Final = 20
_TASKS_NAMED: Final = 5


def pull_labels(app: App, request_id: str = "", *, open_only: bool = False) -> list[LabelsPulled]:
    """Take what people finished into the data, request by request; return what is new.

    Labels that were pulled before and were changed in the tool since replace the older ones. The same
    annotations again change nothing, and are not even downloaded where the tool tells what changed. A picture
    that cannot be taken costs only itself, and its reason is recorded; labels that cannot be read cost their
    request.

    Args:
        app: The workspace.
        request_id: Only this request, however old it is, and whether something changed or not. Default: the
            newest ones that were pushed.
        open_only: Only requests that labels are still to come for.

    Raises:
        NotFoundError: if there is no such request.
        DataError: if the labels of a request cannot be read; those of the others are in the data then.
        UnavailableError: if the tool does not answer, or somebody else pushes or pulls.
        ConfigurationError: if the tool refuses the token.
        StorageError: if the data cannot be written; what was not ingested is pulled again.
    """
    pushed = [one for one in find_requests(app.ledger, app.state(), request_id) if one.pushed]
    wanted = [one for one in pushed if one.num_awaited or not open_only]
    if not wanted:
        return []
    with labelling_lease(app.ledger, app.settings.retraining):
        tasks = _by_picture(app.labelling_tool.list_tasks())
        class_names = find_schema(app.data, app.settings)
        watermarks = _Watermarks(app.workspace.state_dir / "seen-labels.json")
        records: list[LabelsPulled] = []
        unreadable: list[DataError] = []
        for request in wanted:
            pull = _Pull(
                app.labelling_tool,
                request,
                tasks,
                class_names,
                app.settings,
                app.samples,
                partial(ingest, app),
                app.workspace.state_dir / "pulled-labels",
            )
            name = request.requested.request_id
            if not request_id and watermarks.is_reached(name, pull.watermark(request.pulled)):
                continue
            try:
                record = pull.take()
            except DataError as error:
                unreadable.append(error)
                continue
            if record:
                record = record.model_copy(update={"data_tag": app.state().data_tag})
                write_record(app.ledger, record, actor=app.actor, cycle_id=request.cycle_id)
                app.teller.say(record.sentence())
                records.append(record)
            watermarks.keep(name, pull.watermark(record or request.pulled))
        if unreadable:
            raise unreadable[0]
        return records


def _by_picture(tasks: Iterable[PlacedTask]) -> dict[str, list[PlacedTask]]:
    found: dict[str, list[PlacedTask]] = defaultdict(list)
    for task in tasks:
        found[task.picture_digest].append(task)
    return found


def pull_open_requests(app: App) -> list[str]:
    """Pull the requests that labels are still to come for; an error is reported and stops nothing."""
    if not any(one.pushed for one in app.state().open_requests):
        return []
    try:
        return [record.sentence() for record in pull_labels(app, open_only=True)]
    except MaskloopError as error:
        app.teller.say(f"labels could not be pulled: {error}")
        return []


class _Watermarks:
    """What was looked at of each request the last time; a lost or broken file costs only downloads."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            content = read_json(file) if file.exists() else {}
        except MaskloopError:
            content = {}
        self._marks: dict[str, object] = content if isinstance(content, dict) else {}

    def is_reached(self, request_id: str, mark: str) -> bool:
        """Tell whether just this was looked at."""
        return bool(mark) and self._marks.get(request_id) == mark

    def keep(self, request_id: str, mark: str) -> None:
        """Remember what was looked at."""
        if self._marks.get(request_id) != mark:
            self._marks[request_id] = mark
            write_text(self._file, json.dumps(self._marks, indent=1, sort_keys=True))


@dataclass
class _Pull:
    """What one request is pulled with."""

    tool: LabellingTool
    request: LabelRequest
    tasks: Mapping[str, Sequence[PlacedTask]]
    """By picture digest."""
    class_names: Sequence[str]
    settings: Settings
    samples: SampleLog
    ingest: Callable[..., IngestResult]
    folder: Path
    left_out: dict[str, str] = field(default_factory=dict)
    """By picture digest: why it was not taken."""

    def watermark(self, pulled: LabelsPulled | None) -> str:
        """Return a digest of all that decides what is taken, known without a download.

        It is empty if the tool does not tell when annotations changed. The record of the last pull is part of
        it: a watermark that is older than the ledger, or newer, does not fit.
        """
        finished = [[task.task_id, task.version] for task in self._finished]
        if not all(version for _, version in finished):
            return ""
        rules = self.settings.labelling.model_dump_json()
        parts = [sorted(finished), rules, list(self.class_names), installed_version("maskloop")]
        return digest_value([*parts, pulled.seen if pulled else ""])

    def take(self) -> LabelsPulled | None:
        """Ingest what is new or changed; None if the same annotations were looked at before."""
        by_task = {task.task_id: task.picture_digest for task in self._finished}
        found = list(self.tool.pull(self._finished))
        warnings = tuple(self.tool.tell_warnings(self._finished))
        rules = self.settings.labelling
        seen = digest_annotations(found, rules.model_dump_json(), self.class_names, *warnings)
        before = self.request.pulled
        if not (found or warnings) or (before and seen == before.seen):
            return None
        by_picture: dict[str, list[Annotation]] = defaultdict(list)
        for one in found:
            by_picture[by_task[one.task_id]].append(one)
        names = frozenset(self.class_names)
        settled = [settle(digest, each, names, rules) for digest, each in by_picture.items()]
        known = {one.picture_digest: one for one in before.pictures} if before else {}
        returned = self._take_news(settled, known)
        now = known | returned
        return LabelsPulled(
            request_id=self.request.requested.request_id,
            tool=self.tool.name,
            num_new=len(returned.keys() - known.keys()),
            num_unchanged=len(known.keys() - returned.keys()),
            num_relabelled=len(known.keys() & returned.keys()),
            num_left_out=len(self.left_out),
            data_tag="",
            pictures=tuple(now[digest] for digest in sorted(now)),
            seen=seen,
            reasons=(*_tell_reasons(self.left_out, self.tasks), *warnings, *_tell_agreement(settled)),
        )

    @property
    def _finished(self) -> list[PlacedTask]:
        """The request's tasks that people have submitted annotations of, or may have."""
        own = [task for digest in self._chosen for task in self.tasks.get(digest, ())]
        return [task for task in own if task.num_finished != 0]

    @property
    def _chosen(self) -> dict[str, ChosenPicture]:
        return {one.picture_digest: one for one in self.request.requested.chosen}

    def _take_news(
        self, settled: Sequence[Settled | LeftOut], known: Mapping[str, ReturnedPicture]
    ) -> dict[str, ReturnedPicture]:
        """Ingest the labels that are not in the data yet; return those that were taken, by picture."""
        news = [one for one in settled if isinstance(one, Settled) and _is_news(one, known)]
        renewed = {one.picture_digest for one in news}
        others = [one.origin for one in known.values() if one.picture_digest not in renewed]
        num_accepted = others.count("model-reviewed")
        news, beyond = limit_accepted(
            news,
            num_drawn=len(others) - num_accepted,
            num_accepted=num_accepted,
            percent=self.settings.labelling.max_accepted_percent,
        )
        left_out = [*(one for one in settled if isinstance(one, LeftOut)), *beyond]
        self.left_out |= {one.picture_digest: one.reason for one in left_out}
        return {one.picture_digest: _returned(one) for one in self._ingest(news)}

    def _ingest(self, settled: Sequence[Settled]) -> list[Settled]:
        """Ingest pictures, a batch for each source and origin of labels; return those that were taken."""
        batches: dict[tuple[str, str], dict[str, tuple[Settled, BatchPicture]]] = defaultdict(dict)
        limits = DecodingLimits(max_mpx=self.settings.data.max_picture_mpx)
        with SandboxedDecoder(limits, conversion_of(self.settings.pictures)) as decoder:
            for one in settled:
                picture = self._chosen[one.picture_digest]
                try:
                    batch_picture = self._prepare(one, picture, decoder)
                except PictureError as error:
                    self.left_out[one.picture_digest] = error.headline
                    continue
                batches[picture.source, one.origin][batch_picture.name] = one, batch_picture
        taken: list[Settled] = []
        for (source, _), batch in sorted(batches.items()):
            taken += self._ingest_batch(source, batch)
        return taken

    def _prepare(self, one: Settled, chosen: ChosenPicture, decoder: SandboxedDecoder) -> BatchPicture:
        """Raises PictureError if the picture cannot be had, or the labels were drawn on another size."""
        data = self._find_bytes(chosen)
        decoded = decoder.open(data)
        height_px, width_px, _ = decoded.pixels.shape
        drawn_on = one.annotation.size_hw
        if drawn_on is not None and drawn_on != (height_px, width_px):
            raise PictureError(
                f"the labels were drawn on a picture of {drawn_on[1]} x {drawn_on[0]} px, "
                f"but it has {width_px} x {height_px} px"
            )
        instances = [(each.class_name, each.mask, each.is_crowd) for each in one.annotation.instances]
        name = f"{one.picture_digest}{decoded.extension}"
        drawn = one.annotation
        origin = {
            "tool": self.tool.name,
            "task": drawn.task_id,
            "annotator": annotator_key(drawn.annotator),
            "time": drawn.at,
        }
        return BatchPicture(name, lambda: data, (height_px, width_px), "upright", instances, origin)

    def _find_bytes(self, chosen: ChosenPicture) -> bytes:
        """Return the picture from the sample log, else from the tool. Raises PictureError if both lost it."""
        try:
            return find_picture(self.samples, chosen)
        except PictureError:
            for task in self.tasks.get(chosen.picture_digest, ()):
                if data := self.tool.fetch_picture(task):
                    return data
            raise

    def _ingest_batch(
        self, source: str, batch: Mapping[str, tuple[Settled, BatchPicture]]
    ) -> Iterator[Settled]:
        settled = [one for one, _ in batch.values()]
        options = IngestOptions(source, label_origin=settled[0].origin, relabelling="replace")
        taken = ingest_pictures(
            self.ingest,
            self.folder,
            [picture for _, picture in batch.values()],
            self.class_names,
            options,
        )
        waits = dict.fromkeys(taken.waiting, "without any object; they wait for a picture that shows one")
        for name, (one, _) in batch.items():
            if reason := {**taken.refused, **waits}.get(name):
                self.left_out[one.picture_digest] = reason
            else:
                yield one


def _is_news(one: Settled, known: Mapping[str, ReturnedPicture]) -> bool:
    """Tell whether a picture's labels are not those in the data."""
    before = known.get(one.picture_digest)
    return before is None or before.labels_digest != digest_labels(one.annotation.instances)


def _returned(one: Settled) -> ReturnedPicture:
    return ReturnedPicture(
        picture_digest=one.picture_digest,
        labels_digest=digest_labels(one.annotation.instances),
        origin=one.origin,
        task=one.annotation.task_id,
        annotator=annotator_key(one.annotation.annotator),
        at=one.annotation.at,
        agreement=min(one.agreement.values()) if one.agreement else None,
    )


def _tell_reasons(left_out: Mapping[str, str], tasks: Mapping[str, Sequence[PlacedTask]]) -> tuple[str, ...]:
    """Return each reason with the number of pictures and their tasks, the most frequent first."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for digest, reason in left_out.items():
        by_reason[reason].append(digest)
    ranked = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    return tuple(
        f"{count(len(digests), 'picture')} left out: {reason}{_name_tasks(digests, tasks)}"
        for reason, digests in ranked[:_MAX_REASONS]
    )


def _name_tasks(digests: Sequence[str], tasks: Mapping[str, Sequence[PlacedTask]]) -> str:
    """Return where people find these pictures in the tool, in brackets; empty if they are there no more."""
    ids = [task.task_id for digest in digests for task in tasks.get(digest, ())]
    more = f" and {len(ids) - _TASKS_NAMED} more" if len(ids) > _TASKS_NAMED else ""
    plural = "s" if len(ids) > 1 else ""
    return f" (task{plural} {', '.join(ids[:_TASKS_NAMED])}{more})" if ids else ""


def _tell_agreement(settled: Sequence[Settled | LeftOut]) -> tuple[str, ...]:
    """Return one sentence on how well annotators agree, over all pictures that several people labelled."""
    measured = [one.agreement for one in settled if one.agreement]
    if not measured:
        return ()
    values: dict[str, list[float]] = defaultdict(list)
    for agreement in measured:
        for name, iou in agreement.items():
            values[name].append(iou)
    told = ", ".join(f"{name} {sum(each) / len(each):.2f}" for name, each in sorted(values.items()))
    return (f"{count(len(measured), 'picture')} labelled by several people: mask IoU {told}",)
