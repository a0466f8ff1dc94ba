"""`maskloop video`: a video is answered frame by frame, its instances are followed and smoothed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dataset.pictures.sandbox import DecodingLimits
from dataset.videos.frames import Video
from dataset.videos.reading import SandboxedVideo
from dataset.videos.writing import written_video
from flows.runs.model_choice import choose_model
from flows.video.answering import answer_video
from flows.video.following import FollowedFrame, follow_frames
from flows.video.outputs import OUTPUTS, Writer, draw_frames, write_answers
from flows.video.report import OVERLAY_FILE, HowTold, VideoReport, find_report, write_report
from flows.video.samples import FrameSamples, NoSamples, SpacedSamples
from flows.video.tally import Tally
from flows.video.video_folder import VideoFolder, VideoRun
from flows.workspace.wiring import App
from maskloop.digest import digest_file
from maskloop.errors import ConfigurationError, DataError, NotFoundError
from maskloop.settings.model_settings import BatchSettings
from maskloop.settings.picture_settings import VideoSettings
from maskloop.stopping import stop_request
from models.artifacts.manifest import ArtifactManifest
from models.tracking.byte_track import ByteTracks
from models.tracking.tracks import Tracker
from registry.champion.serving_copy import ServedModel


@dataclass(frozen=True)
class VideoRequest:
    """What is asked for.

    Attributes:
        video: The file.
        output: The folder of the run.
        version: The registered version that answers; empty: that of the run, if it goes on, or the champion.
        min_score: Instances with a lower score are left out; None: the model's own threshold.
        smoothing_frames: Frames on either side that take part; None: `video.smoothing_frames`.
        wanted: ``coco`` or ``jsonl``.
        overlay: Whether the answers are drawn into a video too.
        source: Where the video comes from, for the samples.
        sample_gap_s: The least time between two samples, 0 for none; None: `video.sample_gap_s`.
    """

    video: str
    output: Path
    version: str = ""
    min_score: float | None = None
    smoothing_frames: int | None = None
    wanted: str = "coco"
    overlay: bool = True
    source: str = "production"
    sample_gap_s: float | None = None


MakeTracker = Callable[[float, float], Tracker]


def video(app: App, request: VideoRequest, *, make_tracker: MakeTracker = ByteTracks) -> VideoReport:
    """Answer every frame of a video, or go on where an earlier call stopped, then follow and smooth it.

    A call that has nothing left to do changes nothing and returns the report of the earlier one.

    Args:
        app: The workspace.
        request: What is asked for.
        make_tracker: Makes what follows instances, from the frame rate and `video.lost_s`.

    Raises:
        NotFoundError: if there is no such file or version.
        PictureError: if it is no video, or cannot be opened.
        ConfigurationError: if the packages of the extra ``video`` are not installed.
        RefusedError: if the output folder belongs to something else.
        BusyError: if another process works on the run.
        DataError: if no frame could be answered.
        StoppedError: if it was asked to stop; the same call goes on from there.
        StorageError: if the disk is full; what is finished is kept.
    """
    started = time.perf_counter()
    path, settings = _locate(request.video), app.settings
    request = _complete(request, settings.video)
    folder = VideoFolder(request.output.absolute())
    with SandboxedVideo(path, DecodingLimits(max_mpx=settings.data.max_picture_mpx)) as opened, folder.held():
        folder.clear_leftovers()
        known, state = folder.read_facts(), app.state()
        wanted = request.version or (known.version if known else "")
        version, weights_digest, directory = choose_model(app.copies, app.ledger, state, wanted)
        manifest = app.predictors.verify(directory, expected_digest=weights_digest)
        asked = _describe(request, settings.batch, path, opened, version, manifest, app.code_revision)
        run = _begin(folder, known, asked)
        how = HowTold(
            str(folder.path / f"predictions{OUTPUTS[request.wanted][0]}"),
            request.smoothing_frames or 0,
            settings.video.lost_s,
            request.overlay,
        )
        report = find_report(folder, how)
        if report is None:
            tracker = make_tracker(run.rate, how.lost_s)
            num_before = folder.num_frames()
            if not folder.is_complete():
                predictor = app.copies.load(directory, weights_digest)
                samples: FrameSamples = NoSamples()
                if (gap_s := request.sample_gap_s) and state.champions[-1:] == ((version, weights_digest),):
                    served = ServedModel(directory, version, weights_digest, blessing_id="")
                    samples = SpacedSamples(app.samples, app.clock, served, predictor, request.source, gap_s)
                with stop_request() as stop, app.teller.progress(f"version {version} answers") as progress:
                    answer_video(opened, predictor, folder, run, samples, progress, stop)
            with app.teller.progress("frames are smoothed") as progress:
                tally = _tell(folder, opened, run, how, OUTPUTS[request.wanted][1], tracker, progress)
            took_s = time.perf_counter() - started
            report = write_report(
                folder, run, tally, how, settings.batch, num_before=num_before, seconds=took_s
            )
    if not report.num_answered:
        raise DataError(
            "no frame could be answered", where=request.video, hint=f"{report.set_aside_file} says why"
        )
    return report


def _begin(folder: VideoFolder, known: VideoRun | None, asked: VideoRun) -> VideoRun:
    """Return the run of the folder, which begins now unless it is known."""
    if known is None:
        folder.begin(asked)
        return asked
    folder.refuse_unless_same(known, asked)
    return known


def _complete(request: VideoRequest, settings: VideoSettings) -> VideoRequest:
    """Return the request with the settings where it says nothing."""
    smoothing, gap_s = request.smoothing_frames, request.sample_gap_s
    return replace(
        request,
        smoothing_frames=settings.smoothing_frames if smoothing is None else smoothing,
        sample_gap_s=settings.sample_gap_s if gap_s is None else gap_s,
    )


def _locate(place: str) -> Path:
    if "://" in place:
        raise ConfigurationError(
            "a video is read from a file of this machine", where=place, hint="copy it here first"
        )
    path = Path(place)
    if not path.exists():
        raise NotFoundError("there is nothing here", where=place)
    return path.absolute()


def _describe(
    request: VideoRequest,
    settings: BatchSettings,
    path: Path,
    opened: Video,
    version: str,
    manifest: ArtifactManifest,
    code_revision: str,
) -> VideoRun:
    """Return what is asked for, as a run records it."""
    own = manifest.thresholds() if request.min_score is None else request.min_score
    names = tuple(manifest.class_names)
    facts = opened.facts
    return VideoRun(
        input=str(path),
        input_digest=digest_file(path),
        height_px=facts.height_px,
        width_px=facts.width_px,
        rotation_deg=facts.rotation_deg,
        rate=facts.rate,
        num_frames_stated=facts.num_frames_stated,
        num_frames_expected=facts.num_frames_expected,
        codec=facts.codec,
        version=version,
        weights_digest=manifest.weights_digest,
        class_names=names,
        thresholds=own if isinstance(own, tuple) else (own,) * len(names),
        min_score=request.min_score,
        shard_frames=settings.shard_pictures,
        code_revision=code_revision,
    )


def _tell(
    folder: VideoFolder,
    opened: Video,
    run: VideoRun,
    how: HowTold,
    write_answer: Writer,
    tracker: Tracker,
    progress: Callable[[int, int], None],
) -> Tally:
    """Write the answers, and the video with them if that was asked for; return what was counted."""
    tally, total = Tally(), folder.num_frames()

    def telling(frames: Iterable[FollowedFrame]) -> Iterator[FollowedFrame]:
        for number, frame in enumerate(tally.passing(frames), start=1):
            yield frame
            progress(number, total)

    frames = follow_frames(folder, run, tracker, how.smoothing_frames)
    if not how.overlay:
        write_answers(Path(how.file), run, telling(frames), write_answer)
        return tally
    with written_video(folder.path / OVERLAY_FILE, rate=run.rate) as write:
        drawn = draw_frames(frames, opened, run, write)
        write_answers(Path(how.file), run, telling(drawn), write_answer)
    return tally
