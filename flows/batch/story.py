"""`maskloop batch`: the pictures of a place are answered in one resumable pass, and what it cost is told."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final

import msgspec

from dataset.pictures.decoding import FORMATS_READ
from dataset.pictures.sandbox import DecodingLimits
from dataset.raw.conversion import PictureConversion
from dataset.raw.geo_reference import read_geo_reference
from dataset.raw.tiff_window import TiffScene
from flows.batch.answering import AnswerWork
from flows.batch.assembly import AnsweredPicture, assemble
from flows.batch.batch_folder import BatchFacts, BatchFolder
from flows.batch.outputs import write_output
from flows.batch.plan import Scene, plan_shards
from flows.batch.progress import Schedule, part_of
from flows.batch.results import ShardResult
from flows.batch.sources import Pictures, is_url, list_pictures, telling_what_fails
from flows.runs.kept import pack, unpack
from flows.runs.model_choice import choose_model
from flows.workers.local_workers import LocalWorkers
from flows.workers.port import Work, Workers
from flows.workspace.wiring import App
from maskloop.errors import DataError, PictureError
from maskloop.files import write_text
from maskloop.settings.model_settings import BatchSettings
from maskloop.settings.workspace_settings import Settings
from maskloop.stopping import StopRequest, stop_request
from models.artifacts.manifest import ArtifactManifest
from models.ports import Machine, Predictors

_TIFF_ENDINGS: Final = (".tif", ".tiff")
_WAIT_S: Final = 0.5
"""How often a run looks whether it was asked to stop."""
OpenWorkers = Callable[[Work, int], Workers]


@dataclass(frozen=True)
class BatchRequest:
    """What is asked for.

    Attributes:
        place: A folder, a picture, a list of pictures, or a URL.
        output: The folder of the run.
        version: The registered version that answers; empty: that of the run, if it goes on, or the champion.
        tile_px: Cut every picture that is larger; None: only those that cannot be read whole.
        overlap_px: What tiles share; None: `batch.overlap_px`.
        min_score: Instances with a lower score are left out; None: the model's own threshold.
        wanted: ``coco``, ``geojson`` or ``parquet``.
        workers: How many; None: `batch.workers`.
    """

    place: str
    output: Path
    version: str = ""
    tile_px: int | None = None
    overlap_px: int | None = None
    min_score: float | None = None
    wanted: str = "coco"
    workers: int | None = None


@dataclass(frozen=True)
class BatchReport:
    """What a run did, and what it cost.

    Attributes:
        file: The answers.
        set_aside_file: The pictures and tiles without an answer, with the reasons.
        version: The version that answered.
        weights_digest: Its weights.
        num_pictures: Files that were looked at.
        num_answered: Pictures with an answer.
        num_set_aside: Pictures and tiles without one.
        num_passed_over: Files found in a folder that neither are pictures nor are called like some.
        num_tiles: Passes of the model; a picture that was answered whole is one.
        num_instances: What was found.
        num_done_before: Pictures and tiles that an earlier call had answered.
        seconds: Of this call.
        pictures_per_s: Pictures and tiles that this call answered, for each second of it.
        compute_hours: All calls together: the time that all workers needed, side by side.
        cost: At `batch.price_per_hour`; None if no price is set.
        cost_per_picture: The same for each picture that was answered.
        cost_per_tile: The same for each tile.
        currency: Of the costs.
    """

    file: str
    set_aside_file: str
    version: str
    weights_digest: str
    num_pictures: int
    num_answered: int
    num_set_aside: int
    num_passed_over: int
    num_tiles: int
    num_instances: int
    num_done_before: int
    seconds: float
    pictures_per_s: float
    compute_hours: float
    cost: float | None
    cost_per_picture: float | None
    cost_per_tile: float | None
    currency: str


def batch(app: App, request: BatchRequest, *, open_workers: OpenWorkers = LocalWorkers) -> BatchReport:
    """Answer every picture of a place, or go on where an earlier call stopped.

    Args:
        app: The workspace.
        request: What is asked for.
        open_workers: Opens what shares the work out.

    Raises:
        NotFoundError: if there is nothing to answer, or no such version.
        RefusedError: if the output folder belongs to something else.
        BusyError: if another process works on the run.
        DataError: if nothing at all could be answered, or the format cannot hold a picture.
        StoppedError: if it was asked to stop; the same call goes on from there.
        StorageError: if the disk is full; what is finished is kept.
    """
    started = time.perf_counter()
    folder, settings = BatchFolder(request.output.absolute()), app.settings
    known = folder.read_facts()  # what is refused is refused before anything is created
    wanted = request.version or (known.version if known else "")
    version, weights_digest, directory = choose_model(app.copies, app.ledger, app.state(), wanted)
    manifest = app.predictors.verify(directory, expected_digest=weights_digest)
    asked = _describe(request, settings.batch, version, manifest, app.code_revision)
    pictures, names = list_pictures(request.place, left_out=folder.path)
    if known is None:
        names = chain([*islice(names, 1)], names)  # a place that does not answer says so now
    with folder.held(), stop_request() as stop:
        folder.clear_leftovers()
        known = folder.read_facts()  # again: another process may have worked on it meanwhile
        if known is None:
            listed = _look_at(pictures, names, asked, manifest.conversion, settings.data.max_picture_mpx)
            facts = folder.plan(asked, plan_shards(listed, units_per_shard=settings.batch.shard_pictures))
        else:
            folder.refuse_unless_same(known, asked)
            facts = known
        work = _make_work(request, settings, asked, pictures, directory, app.machine, app.open_models)
        done = folder.finished()
        num_before = sum(shard.num_units for shard in folder.shards() if shard.number in done)
        if num_before:
            app.teller.say(f"{num_before} of {facts.num_units} pictures and tiles are answered already")
        with app.teller.progress(f"version {facts.version} answers") as progress:
            if len(done) < facts.num_shards:
                with open_workers(work, work.num_workers) as workers:
                    waiting = (shard for shard in folder.shards() if shard.number not in done)
                    _work_through(Schedule(waiting), workers, folder, facts, num_before, progress, stop)
        tally = _Tally(folder)
        file = write_output(folder.path, request.wanted, facts, tally.pictures(facts))
        report = tally.report(settings.batch, facts, file, num_before, time.perf_counter() - started)
        write_text(folder.path / "report.json", json.dumps(asdict(report), indent=1) + "\n")
    if facts.num_pictures and not report.num_answered:
        why = f"none of {report.num_passed_over} files is a picture; {FORMATS_READ} are read"
        if report.num_set_aside:
            why = f"{report.set_aside_file} says why"
        raise DataError("nothing could be answered", where=request.place, hint=why)
    return report


def _describe(
    request: BatchRequest,
    settings: BatchSettings,
    version: str,
    manifest: ArtifactManifest,
    code_revision: str,
) -> BatchFacts:
    """Return what is asked for, as a run records it."""
    place = request.place if is_url(request.place) else str(Path(request.place).absolute())
    return BatchFacts(
        input=place,
        version=version,
        weights_digest=manifest.weights_digest,
        class_names=tuple(manifest.class_names),
        tile_px=request.tile_px or settings.tile_px,
        overlap_px=settings.overlap_of(request.tile_px, request.overlap_px),
        cuts_all=request.tile_px is not None,
        min_score=request.min_score,
        code_revision=code_revision,
    )


def _make_work(
    request: BatchRequest,
    settings: Settings,
    asked: BatchFacts,
    pictures: Pictures,
    model_dir: Path,
    machine: Machine,
    open_models: Callable[[], tuple[Predictors, Machine]],
) -> AnswerWork:
    """Return what the workers of a run do, and how many there are."""
    device = machine.device(settings.training.device)
    cores = machine.count_cores(device)
    num_workers = request.workers or settings.batch.workers or cores
    return AnswerWork(
        pictures,
        model_dir,
        asked.weights_digest,
        device,
        max(1, cores // num_workers),
        num_workers,
        DecodingLimits(max_mpx=settings.data.max_picture_mpx),
        asked.tile_px if asked.cuts_all else 0,
        asked.overlap_px,
        asked.min_score,
        open_models,
    )


def _look_at(
    pictures: Pictures, names: Iterator[str], asked: BatchFacts, conversion: PictureConversion, max_mpx: float
) -> Iterator[tuple[str, Scene | None]]:
    """Yield each picture; of a TIFF the header is read, which says where it lies and how it is cut."""
    for name in names:
        is_tiff = name.lower().endswith(_TIFF_ENDINGS)
        yield name, _find_scene(pictures, name, asked, conversion, max_mpx) if is_tiff else None


def _find_scene(
    pictures: Pictures, name: str, asked: BatchFacts, conversion: PictureConversion, max_mpx: float
) -> Scene | None:
    """Return how a TIFF is cut; None if it is read whole, or cannot be read, which the worker tells."""
    try:
        with telling_what_fails(name), pictures.open(name) as file:
            scene = TiffScene(file, page=conversion.page)
            geo = read_geo_reference(scene.geo_keys)
            height, width = scene.height_px, scene.width_px
            is_whole = not asked.cuts_all and height * width <= max_mpx * 1e6
            if scene.orientation != 1 or (is_whole and geo is None):
                return None
            side, overlap = (max(height, width), 0) if is_whole else (asked.tile_px, asked.overlap_px)
            return Scene(height, width, side, overlap, geo)
    except PictureError:
        return None


def _work_through(
    schedule: Schedule,
    workers: Workers,
    folder: BatchFolder,
    facts: BatchFacts,
    num_done: int,
    progress: Callable[[int, int], None],
    stop: StopRequest,
) -> None:
    """Keep every worker busy until nothing is left; each shard is kept as soon as it is complete."""
    progress(num_done, facts.num_units)
    while True:
        while schedule.num_underway < workers.count and (task := schedule.take()):
            workers.submit(task.number, msgspec.json.encode(part_of(task)))
        if not schedule.num_underway:
            return
        outcome = workers.wait(_WAIT_S)
        if outcome is not None:
            finished = _note(schedule, outcome.number, outcome.answer, outcome.reason)
            if finished:
                folder.finish(finished.number, pack(finished))
                num_done += len(finished.units)
                progress(num_done, facts.num_units)
        if stop.is_made():
            raise stop.make_error(f"{num_done} of {facts.num_units} pictures and tiles are answered")


def _note(schedule: Schedule, number: int, answer: bytes | None, reason: str) -> ShardResult | None:
    return (
        schedule.fail(number, reason)
        if answer is None
        else schedule.finish(number, unpack(answer, ShardResult))
    )


class _Tally:
    """Counts what passes while the answers are written, and notes what is set aside."""

    def __init__(self, folder: BatchFolder) -> None:
        self._folder = folder
        self._num_answered = self._num_passed_over = self._num_tiles = self._num_instances = 0
        self._worker_seconds = 0.0
        self._set_aside: list[tuple[str, int | None, str]] = []

    def pictures(self, facts: BatchFacts) -> Iterator[AnsweredPicture]:
        """Yield every picture of the run, counted."""
        for picture in assemble(self._folder.shards(), self._result_of, facts.class_names):
            instances = self._count_instances(picture)
            yield AnsweredPicture(**{**vars(picture), "instances": instances})
            for _ in instances:  # what the writer has not taken
                pass
            lost = sum(tile is not None for tile, _ in picture.problems)
            is_answered = picture.num_tiles > lost
            self._num_answered += is_answered
            self._num_passed_over += not picture.is_picture
            self._num_tiles += picture.num_tiles - lost
            if picture.is_picture:
                self._set_aside += [(picture.name, tile, reason) for tile, reason in picture.problems]

    def _result_of(self, number: int) -> ShardResult:
        result = self._folder.result(number)
        self._worker_seconds += result.seconds / result.num_workers
        return result

    def _count_instances(self, picture: AnsweredPicture) -> Iterator:  # type: ignore[type-arg]
        for one in picture.instances:
            self._num_instances += 1
            yield one

    def report(
        self, settings: BatchSettings, facts: BatchFacts, file: Path, num_before: int, seconds: float
    ) -> BatchReport:
        """Return the report; writes what was set aside."""
        listed = io.StringIO()
        rows = csv.writer(listed)
        rows.writerow(["picture", "tile", "reason"])
        rows.writerows(self._set_aside)
        set_aside = self._folder.path / "set-aside.csv"
        write_text(set_aside, listed.getvalue())
        hours = self._worker_seconds / 3600
        cost = settings.cost_of(hours)
        return BatchReport(
            file=str(file),
            set_aside_file=str(set_aside),
            version=facts.version,
            weights_digest=facts.weights_digest,
            num_pictures=facts.num_pictures,
            num_answered=self._num_answered,
            num_set_aside=len(self._set_aside),
            num_passed_over=self._num_passed_over,
            num_tiles=self._num_tiles,
            num_instances=self._num_instances,
            num_done_before=num_before,
            seconds=round(seconds, 1),
            pictures_per_s=round((facts.num_units - num_before) / seconds, 3),
            compute_hours=hours,
            cost=cost,
            cost_per_picture=None if cost is None else cost / max(1, self._num_answered),
            cost_per_tile=None if cost is None else cost / max(1, self._num_tiles),
            currency=settings.currency,
        )
