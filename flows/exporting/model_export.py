"""A version in another format: made, held against the model, timed, and attached if it may stand in."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from evaluation.parity import Parity, compare_pictures, find_disparities, summarise_parity
from flows.evidence.evaluate import BATCH_SIZE, load_picture
from flows.exporting.latency import LatencyRow, measure_latency
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.errors import DataError, NotFoundError
from maskloop.files import write_text
from maskloop.folding.history import recall_cycles
from maskloop.ledger.port import Ledger
from maskloop.records.kinds import CandidateRegistered
from maskloop.settings.workspace_settings import ExportSettings
from maskloop.state.loop_state import LoopState
from models.exports.manifest import ExportFormat, export_digest
from models.ports import Exporter, Predictor, Predictors
from registry.ports import ModelStore, RunTracker

REPORT_FILE: Final = "report.json"
_ROUNDS: Final = 10


@dataclass(frozen=True)
class ExportReport:
    """The outcome of an export.

    Attributes:
        version: The registered version.
        weights_digest: Of the model it was made from.
        format: The files' format and precision.
        export_digest: The export's identity.
        num_calibration_pictures: Pictures that 8-bit ranges were found in; 0 without.
        parity: How it answers beside the model, on the version's test pictures.
        required: Of mask IoU and of the share found by both, 0..1.
        reasons: Why it may not stand in for the model; empty if it may.
        latency: Beside torch, on the same pictures.
        environment: Versions and hardware.
    """

    version: str
    weights_digest: str
    format: str
    export_digest: str
    num_calibration_pictures: int
    parity: Parity
    required: float
    reasons: tuple[str, ...]
    latency: tuple[LatencyRow, ...]
    environment: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether it was attached to its version."""
        return not self.reasons


def export(app: App, *, version: str = "", wanted: ExportFormat = "openvino") -> ExportReport:
    """Export a version (default: the champion) and attach the result, unless it answers differently.

    Raises:
        NotFoundError: if there is no such version, or nothing serves yet.
        ConfigurationError: if a package is missing.
        ExportError: if the exporter cannot do it.
        DataError: if the version's data have no pictures to compare on.
    """
    app.exporter.check_format(wanted)
    candidate = find_candidate(app.ledger, app.state(), version)
    directory = app.copies.fetch_version(candidate.version, candidate.weights_digest)
    data = app.data.open(candidate.data_tag)
    if not data.by_split["test"]:
        raise DataError("the data version has no test pictures, so nothing can be compared", where=data.tag)
    app.workspace.exports_dir.mkdir(parents=True, exist_ok=True)
    bench = _Bench(
        app.exporter, app.predictors, app.teller, app.settings.export, data, app.settings.data.max_picture_mpx
    )
    with tempfile.TemporaryDirectory(dir=app.workspace.exports_dir) as scratch:
        made = Path(scratch) / wanted
        report = bench.make_and_compare(
            candidate, directory, made, wanted, environment=app.machine.environment()
        )
        if report.passed:
            kept = export_directory(app.workspace.exports_dir, report.export_digest)
            _keep(made, kept, report)
            _attach(app.tracker, app.models, candidate, report, kept)
    _tell(app.teller, report)
    return report


def find_candidate(ledger: Ledger, state: LoopState, version: str) -> CandidateRegistered:
    """Return what the ledger says about a version; by default the champion.

    Raises:
        NotFoundError: if there is no such version, or nothing serves yet.
    """
    if not version and state.champion is None:
        raise NotFoundError("nothing serves yet", hint="name a version")
    wanted = version or (state.champion.version if state.champion else "")
    if owner := state.candidate_of(wanted):
        cycle = recall_cycles(ledger, state, [owner.cycle_id]).cycles[owner.cycle_id]
        if cycle.candidate:
            return cycle.candidate
    raise NotFoundError(f"there is no version {wanted}", hint="`maskloop history` names them all")


def export_directory(exports_dir: Path, digest: str) -> Path:
    """Return the folder of an export in the workspace."""
    return exports_dir / digest


def export_folder(wanted: str, digest: str) -> str:
    """Return the path of an export below its run's files in MLflow; a newer export gets its own."""
    return f"exports/{wanted}/{digest[:12]}"


def export_tag(wanted: str) -> str:
    """Return the name of the version's tag that holds the digest of its export of a format."""
    return f"export.{wanted}"


@dataclass(frozen=True)
class _Bench:
    """Where an export is made and held against its model, on one data version's pictures."""

    exporter: Exporter
    predictors: Predictors
    teller: Teller
    settings: ExportSettings
    data: DatasetVersion
    max_mpx: float

    def make_and_compare(
        self,
        candidate: CandidateRegistered,
        directory: Path,
        made: Path,
        wanted: ExportFormat,
        *,
        environment: dict[str, str],
    ) -> ExportReport:
        num_calibrated = self._make(candidate, directory, made, wanted)
        digest = export_digest(made)
        exported = self.exporter.load(made, expected_digest=digest)
        model = self.predictors.load(directory, expected_digest=candidate.weights_digest, device="cpu")
        parity = self._compare(model, exported)
        is_int8 = wanted == "openvino-int8"
        required = self.settings.min_parity_int8 if is_int8 else self.settings.min_parity
        with self.teller.progress(f"{wanted} and torch in turns") as progress:
            pictures = self._load(self.data.by_split["test"][:BATCH_SIZE])
            predictors = {"torch": model, wanted: exported}
            latency = measure_latency(predictors, pictures, rounds=_ROUNDS, progress=progress)
        return ExportReport(
            version=candidate.version,
            weights_digest=candidate.weights_digest,
            format=wanted,
            export_digest=digest,
            num_calibration_pictures=num_calibrated,
            parity=parity,
            required=required,
            reasons=find_disparities(parity, required=required),
            latency=tuple(latency),
            environment=environment,
        )

    def _make(self, candidate: CandidateRegistered, directory: Path, made: Path, wanted: ExportFormat) -> int:
        """Write the export; return how many pictures it was calibrated with."""
        chosen = choose_calibration(self.data, self.settings.calibration_pictures)
        calibration = []
        if wanted == "openvino-int8":
            digests = [picture.digest for picture in chosen]
            calibration = list(zip(digests, self._load(chosen), strict=True))
        with self.teller.progress(f"version {candidate.version} to {wanted}") as progress:
            written = self.exporter.write(
                made,
                directory,
                wanted,
                expected_digest=candidate.weights_digest,
                calibration=calibration,
                progress=progress,
            )
        return len(written.calibration_digests)

    def _compare(self, model: Predictor, exported: Predictor) -> Parity:
        pictures, compared = self.data.by_split["test"], []
        with self.teller.progress("both on the test pictures") as progress:
            for start in range(0, len(pictures), BATCH_SIZE):
                pixels = self._load(pictures[start : start + BATCH_SIZE])
                pairs = zip(model.predict(pixels), exported.predict(pixels), strict=True)
                compared += [
                    compare_pictures(own.detections, other.detections, score_threshold=model.score_threshold)
                    for own, other in pairs
                ]
                progress(len(compared), len(pictures))
        return summarise_parity(compared)

    def _load(self, pictures: Sequence[LabelledPicture]) -> list[np.ndarray]:
        return load_pictures(self.data, pictures, self.max_mpx)


def choose_calibration(data: DatasetVersion, most: int) -> list[LabelledPicture]:
    """Return validation pictures, the same ones each time: the first by digest, which is no order at all."""
    return sorted(data.by_split["val"], key=lambda picture: picture.digest)[:most]


def load_pictures(
    data: DatasetVersion, pictures: Sequence[LabelledPicture], max_mpx: float
) -> list[np.ndarray]:
    """Read pictures of a data version, uint8 (H, W, 3) each."""
    return [load_picture(data.path(picture), max_mpx) for picture in pictures]


def _keep(made: Path, target: Path, report: ExportReport) -> None:
    """Put the export where it is looked for."""
    write_text(made / REPORT_FILE, json.dumps(asdict(report), indent=1) + "\n")
    if not target.exists():
        made.replace(target)


def _attach(
    tracker: RunTracker,
    models: ModelStore,
    candidate: CandidateRegistered,
    report: ExportReport,
    directory: Path,
) -> None:
    """Lay the files beside the version's run; the tag comes last, and until then there is no export."""
    folder = export_folder(report.format, report.export_digest)
    for file in sorted(directory.iterdir()):
        tracker.log_file(candidate.run_id, file, folder)
    models.set_tag(candidate.version, export_tag(report.format), report.export_digest)


def _tell(teller: Teller, report: ExportReport) -> None:
    teller.table("parity", [parity_row(report)], f"{report.format} beside version {report.version}")
    teller.table("latency", [asdict(row) for row in report.latency], "one call, in turns")


def parity_row(report: ExportReport) -> dict[str, Any]:
    """Lay the comparison out as a table row."""
    parity = report.parity
    return {
        "pictures": parity.num_pictures,
        "instances, model": parity.num_model,
        "instances, export": parity.num_export,
        "share found by both": parity.share_both,
        "mask IoU": parity.mask_iou,
        "required": report.required,
        "largest score shift": parity.largest_score_shift,
    }
