"""The pictures of a request become tasks of the labelling tool, with the champion's answers to start from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from dataset.labelling.port import DrawnInstance, LabellingTool, LabelTask
from dataset.pictures.decoding import DecodedPicture, encode_png
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.raw.conversion import PictureConversion, conversion_of
from flows.intake.feedback import find_schema
from flows.labelling.requests import find_requests, labelling_lease
from flows.workspace.served import ModelCopies
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.digest import digest_bytes
from maskloop.errors import DataError, NotFoundError, PictureError
from maskloop.masks import areas_px
from maskloop.records.kinds import ChosenPicture, LabelsPushed, LabelsRequested, write_record
from maskloop.state.loop_state import LabelRequest, LoopState
from maskloop.wording import count
from models.ports import Predictor
from monitoring.samples.sample_log import SampleLog

_BROWSERS_SHOW: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"})


@dataclass(frozen=True)
class Pushed:
    """What a push did for one request.

    Attributes:
        request_id: The request.
        project: The project's address.
        num_there: Pictures of the request that are tasks now.
        num_added: Those that this push added.
        remarks: What could not be pushed, and what the tool cannot hold, in sentences.
    """

    request_id: str
    project: str
    num_there: int
    num_added: int
    remarks: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return it in plain words."""
        pictures = count(self.num_there, "picture")
        return f"request {self.request_id}: {pictures} in {self.project}, {self.num_added} of them added now"

    def as_record(self, request: LabelRequest, tool: str) -> LabelsPushed | None:
        """Return what the ledger is to be told; None if it knows, or nothing is there."""
        record = LabelsPushed(
            request_id=self.request_id, tool=tool, project=self.project, num_pictures=self.num_there
        )
        return record if self.num_there and record != request.pushed else None


def push_labels(app: App, request_id: str = "") -> list[Pushed]:
    """Push a request, or all that were not pushed; what is in the tool already stays as it is.

    It may be stopped at any point and run again: the tool's tasks are listed first, and what is missing is
    added.

    Args:
        app: The workspace.
        request_id: Push this one, also if it was pushed before: tasks that were deleted come back.

    Raises:
        NotFoundError: if there is no such request.
        DataError: if the project has other classes, or the data have none.
        UnavailableError: if the tool does not answer, or somebody else pushes or pulls.
        ConfigurationError: if the tool refuses the token.
    """
    with labelling_lease(app.ledger, app.settings.retraining):
        requests = find_requests(app.ledger, app.state(), request_id)
        wanted = [one for one in requests if request_id or one.pushed is None]
        if not wanted:
            return []
        class_names = find_schema(app.data, app.settings)
        if not class_names:
            raise DataError("the data have no classes yet", hint="set `classes`, or `maskloop ingest` first")
        push = _Push(
            app.labelling_tool,
            app.labelling_tool.open_project(class_names),
            class_names,
            _load_champion(app.copies, app.state(), app.teller),
            app.samples,
            app.teller,
            app.settings.data.max_picture_mpx,
            conversion_of(app.settings.pictures),
        )
        pushed: list[Pushed] = []
        for request in wanted:
            pushed.append(push.add_missing(request))
            if record := pushed[-1].as_record(request, app.labelling_tool.name):
                write_record(app.ledger, record, actor=app.actor, cycle_id=request.cycle_id)
        return pushed


@dataclass(frozen=True)
class _Champion:
    """The model whose answers people start from."""

    version: str
    predictor: Predictor
    names_now: tuple[str, ...]
    """What the data call the model's classes; empty for a class that was dropped."""


def _load_champion(copies: ModelCopies, state: LoopState, teller: Teller) -> _Champion | None:
    try:
        served = copies.fetch_champion(state)
    except NotFoundError:
        teller.say("no model serves yet: the pictures go out without predictions")
        return None
    predictor = copies.load(served.directory, served.weights_digest)
    trained_on = state.data_of(served.weights_digest)
    names = (state.class_between(name, trained_on, state.data_tag) for name in predictor.class_names)
    return _Champion(served.version, predictor, tuple(names))


@dataclass(frozen=True)
class _Push:
    """What every request is pushed with."""

    tool: LabellingTool
    project: str
    class_names: Sequence[str]
    champion: _Champion | None
    samples: SampleLog
    teller: Teller
    max_mpx: float
    conversion: PictureConversion
    """As the settings state it; the champion's own counts where there is one."""

    def add_missing(self, request: LabelRequest) -> Pushed:
        """Add the tasks of a request that the tool does not have."""
        requested = request.requested
        there = {task.picture_digest for task in self.tool.list_tasks()}
        wanted = {one.picture_digest: one for one in requested.chosen}
        missing = [one for digest, one in wanted.items() if digest not in there]
        remarks: list[str] = []
        num_added = 0
        with self.teller.progress(f"pushing request {requested.request_id}") as progress:
            for _ in self.tool.add_tasks(self._prepare(requested, missing, remarks)) if missing else ():
                num_added += 1
                progress(num_added, len(missing))
        num_there = len(wanted.keys() & there) + num_added
        return Pushed(requested.request_id, self.project, num_there, num_added, tuple(remarks))

    def _prepare(
        self, requested: LabelsRequested, chosen: Sequence[ChosenPicture], remarks: list[str]
    ) -> Iterator[LabelTask]:
        """Yield tasks one by one, and tell what the tool cannot hold of each before.

        A picture that cannot be had costs only itself, and a remark.
        """
        conversion = self.champion.predictor.conversion if self.champion else self.conversion
        with SandboxedDecoder(DecodingLimits(max_mpx=self.max_mpx), conversion) as decoder:
            for one in chosen:
                try:
                    picture = find_picture(self.samples, one)
                    decoded = decoder.open(picture)
                except PictureError as error:
                    remarks.append(f"{one.sample_id} was not pushed: {error.headline}")
                    continue
                shown, extension = _as_shown(picture, decoded)
                task = LabelTask(
                    sample_id=one.sample_id,
                    picture_digest=one.picture_digest,
                    picture=shown,
                    extension=extension,
                    size_hw=decoded.pixels.shape[:2],
                    source=one.source,
                    request_id=requested.request_id,
                    cause=requested.cause,
                    reason=one.reason,
                    model_version=self.champion.version if self.champion else "",
                    pre_labels=_answer(self.champion, decoded, self.class_names) if self.champion else (),
                )
                for loss in self.tool.tell_losses(task):
                    self.teller.say(loss)
                    remarks.append(loss)
                yield task


def find_picture(samples: SampleLog, chosen: ChosenPicture) -> bytes:
    """Return a chosen picture as it was received. Raises PictureError if it is not kept any more."""
    sample = samples.get(chosen.sample_id)
    picture = samples.picture_bytes(sample) if sample else None
    if picture is None or digest_bytes(picture) != chosen.picture_digest:
        raise PictureError("its picture is not kept any more", hint="raise monitoring.keep_pictures")
    return picture


def _as_shown(picture: bytes, decoded: DecodedPicture) -> tuple[bytes, str]:
    """Return the file that people see with its ending: what browsers cannot show becomes an upright PNG."""
    if decoded.extension in _BROWSERS_SHOW:
        return picture, decoded.extension
    return encode_png(decoded.pixels), ".png"


def _answer(
    champion: _Champion, decoded: DecodedPicture, class_names: Sequence[str]
) -> tuple[DrawnInstance, ...]:
    """Return what the champion finds, from its own threshold on, in the classes of the data."""
    (prediction,) = champion.predictor.predict([decoded.pixels])
    found = prediction.detections
    found = found.select(found.reach(champion.predictor.score_threshold))
    names = [champion.names_now[index] for index in found.class_indices.tolist()]
    return tuple(
        DrawnInstance(name, mask, score=float(score))
        for name, mask, score, area_px in zip(
            names, found.masks, found.scores, areas_px(found.masks), strict=True
        )
        if area_px and name in class_names
    )
