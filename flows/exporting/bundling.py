"""A bundle for the edge: an export, the code that runs it, its packages' names, a rule and check pictures."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Final

from dataset.labelled_pictures import DatasetVersion, LabelledPicture, Split
from dataset.pictures.decoding import open_picture
from dataset.versions.catalog import read_picture_file
from evaluation.instances import Detections
from evaluation.parity import compare_pictures, find_disparities, summarise_parity
from flows.evidence.evaluate import predict_pictures
from flows.exporting.bundle_code import ROOT, find_imported
from flows.exporting.cloud_rule import make_rule, only_told
from flows.exporting.model_export import ExportReport, export_directory, find_candidate
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.errors import ConfigurationError, DataError, RefusedError
from maskloop.files import written_atomically
from maskloop.records.kinds import CandidateRegistered
from maskloop.state.loop_state import LoopState
from models.edge.predictor import load_without_torch
from models.ports import Predictor
from registry.champion.serving_copy import blessing_of
from registry.gates.blessing import check_approval, check_blessing
from serving.edge.checking import answer_check
from serving.edge.manifest import CHECKS_FOLDER, EXPORT_FOLDER, BundleManifest, CheckPicture, CloudRule
from serving.edge.starting import CODE_FOLDER, MANIFEST_FILE

PROGRAMS: Final = ("serving.edge.command", "dataset.pictures.sandbox_child")
"""What is started by its name: the server, and the process in which it decodes pictures."""
_DOOR: Final = "serving/edge/starting.py"
_NUM_CHECKS: Final = 3
_OLDEST: Final = (1980, 1, 1, 0, 0, 0)
"""A zip's files have no younger date, so that the same content makes the same bytes."""
_CONTAINERFILE: Final = """# In the folder of the installed bundle: docker build -t {name}:{version} .
FROM python:3.11.13-slim-bookworm

COPY requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements.txt \\
    && useradd --uid 10001 --no-create-home --home-dir /tmp edge \\
    && install -d -o edge -g edge /state
COPY . /opt/bundle
RUN python -m compileall -q /opt/bundle/code

ENV HOME=/tmp PYTHONUNBUFFERED=1
USER 10001:10001
VOLUME /state
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s --retries=3 CMD \\
    ["python", "-c", "from urllib.request import *; urlopen('http://127.0.0.1:8080/healthz', timeout=3)"]
ENTRYPOINT ["python", "/opt/bundle"]
CMD ["serve", "--state", "/state", "--host", "0.0.0.0"]
"""


@dataclass(frozen=True)
class BundleReport:
    """A bundle that was made.

    Attributes:
        file: The zip.
        digest: Of its manifest; `install --digest` compares it.
        num_bytes: Of the zip.
        rule: When the cloud service is asked, and what that is worth.
    """

    file: str
    digest: str
    num_bytes: int
    rule: CloudRule | None


def make_bundle(
    app: App,
    *,
    report: ExportReport,
    target: Path,
    share: float = 0.1,
    cloud_version: str = "",
    load: Callable[[Path], Predictor] = load_without_torch,
) -> BundleReport:
    """Write an export as a zip that installs, verifies, serves and rolls back itself.

    Args:
        app: The workspace.
        report: Of an export that was attached.
        target: The zip; one that exists is replaced.
        share: Of pictures that may go to the cloud service, 0..1; 0 makes no rule.
        cloud_version: What serves there; by default the champion.
        load: Makes an export ready to answer without torch.

    Raises:
        RefusedError: if the version is not blessed and approved, or answers otherwise without torch.
        DataError: if its data have no validation pictures to choose the rule on, or the cloud's classes are
            others.
        StorageError: if the zip cannot be written.
    """
    state = app.state()
    candidate = find_candidate(app.ledger, state, report.version)
    blessing_id = _require_blessing(state, candidate)
    export = export_directory(app.workspace.exports_dir, report.export_digest)

    def load_model(version: CandidateRegistered) -> Predictor:
        directory = app.copies.fetch_version(version.version, version.weights_digest)
        return app.predictors.load(directory, expected_digest=version.weights_digest, device="cpu")

    data, max_mpx = app.data.open(candidate.data_tag), app.settings.data.max_picture_mpx
    bench = _Bench(data, load(export), load_model, app.teller, max_mpx)
    edge, model = bench.answer(bench.predictor, "test"), bench.answer(load_model(candidate), "test")
    parity = _require_parity(edge, model, bench.predictor, report)
    named = cloud_version or (state.champion.version if state.champion else report.version)
    cloud = find_candidate(app.ledger, state, named)
    rule = bench.make_rule(edge, cloud, share) if share > 0 else None
    checks = bench.choose_checks(edge)
    files = gather_files(export, report.format, version=report.version, model_name=app.settings.model_name)
    files |= {f"{CHECKS_FOLDER}/{check.file}": bench.read(picture) for picture, check in checks}
    manifest = BundleManifest(
        model_name=app.settings.model_name,
        version=report.version,
        weights_digest=report.weights_digest,
        blessing_id=blessing_id,
        format=report.format,
        export_digest=report.export_digest,
        parity=parity,
        rule=rule,
        sampling_rate=app.settings.serving.sampling.rate,
        max_picture_mpx=max_mpx,
        checks=tuple(check for _, check in checks),
        files={name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
        created_at=app.clock.now().astimezone(UTC).isoformat(timespec="seconds"),
    )
    written = manifest.model_dump_json(indent=1).encode()
    write_bundle(target, {**files, MANIFEST_FILE: written})
    return BundleReport(str(target), hashlib.sha256(written).hexdigest(), target.stat().st_size, rule)


def _require_blessing(state: LoopState, candidate: CandidateRegistered) -> str:
    """Return the verdict that lets a version serve. Raises RefusedError if none does."""
    champion = state.champion
    if champion and champion.weights_digest == candidate.weights_digest:
        return blessing_of(state).blessing_id
    verdict = check_blessing(state, candidate.weights_digest)
    check_approval(state, verdict)
    return verdict.blessing_id


def _require_parity(
    edge: Mapping[str, Detections],
    model: Mapping[str, Detections],
    predictor: Predictor,
    report: ExportReport,
) -> dict[str, float]:
    threshold = predictor.score_threshold
    parity = summarise_parity(
        [compare_pictures(model[digest], edge[digest], score_threshold=threshold) for digest in model]
    )
    if reasons := find_disparities(parity, required=report.required):
        raise RefusedError(
            f"no bundle of version {report.version} is made, without torch it answers otherwise: "
            f"{'; '.join(reasons)}",
            hint="the export itself stays attached",
        )
    return {"share_both": parity.share_both, "mask_iou": parity.mask_iou, "required": report.required}


@dataclass(frozen=True)
class _Bench:
    """Where a bundle answers a version's pictures."""

    data: DatasetVersion
    predictor: Predictor
    load_model: Callable[[CandidateRegistered], Predictor]
    teller: Teller
    max_mpx: float

    def answer(self, predictor: Predictor, split: Split) -> dict[str, Detections]:
        """Return answers about all pictures of a split by their digest, low scores included."""
        with self.teller.progress(f"{split} pictures, answered") as progress:
            found = predict_pictures(
                predictor, self.data, self.data.by_split[split], progress=progress, max_mpx=self.max_mpx
            )
        return {digest: one.detections for digest, one in found.items()}

    def make_rule(
        self, edge: Mapping[str, Detections], cloud: CandidateRegistered, share: float
    ) -> CloudRule:
        """Choose when the cloud is asked; ``edge`` holds the bundle's answers on test pictures."""
        if not self.data.by_split["val"]:
            raise DataError(
                "the data version has no validation pictures, so no limit of doubt can be chosen",
                where=self.data.tag,
                hint="--cloud-share 0 makes a bundle that never asks the cloud service",
            )
        model = self.load_model(cloud)
        if model.class_names != self.predictor.class_names:
            raise DataError(
                f"version {cloud.version} has other classes than the bundle's: it cannot answer for it",
                hint="name another --cloud-version",
            )
        return make_rule(
            self.answer(self.predictor, "val"),
            edge,
            only_told(self.answer(model, "test"), model.score_threshold),
            self.data,
            threshold=self.predictor.score_threshold,
            share=share,
            cloud_version=cloud.version,
        )

    def choose_checks(self, edge: Mapping[str, Detections]) -> list[tuple[LabelledPicture, CheckPicture]]:
        """Return a few test pictures, the first by digest in which something is told, with the answers."""
        threshold = self.predictor.score_threshold
        ordered = sorted(self.data.by_split["test"], key=lambda picture: picture.digest)
        telling = [one for one in ordered if edge[one.digest].reach(threshold).any()]
        decode = partial(open_picture, max_mpx=self.max_mpx, conversion=self.predictor.conversion)
        return [
            (one, answer_check(self.predictor, self._name(one), decode(self.read(one))))
            for one in telling[:_NUM_CHECKS]
        ]

    def read(self, picture: LabelledPicture) -> bytes:
        """Return a picture's file, verified."""
        return read_picture_file(self.data.path(picture))

    @staticmethod
    def _name(picture: LabelledPicture) -> str:
        return f"{picture.digest[:16]}{Path(picture.file).suffix}"


def gather_files(export: Path, wanted: str, *, version: str, model_name: str) -> dict[str, bytes]:
    """Return everything but pictures and manifest, by its name in the bundle.

    Args:
        export: The folder of an export.
        wanted: Its format.
        version: Of the model.
        model_name: The registered model's name.
    """
    runtime = "onnx" if wanted == "onnx" else "openvino"
    requirements = resources.files("serving.edge") / f"requirements-{runtime}.lock"
    code = find_imported(*PROGRAMS).files
    if not (ROOT / _DOOR).is_file():
        raise ConfigurationError("the code of maskloop is not a folder", where=str(ROOT))
    return {
        "__main__.py": (ROOT / _DOOR).read_bytes(),
        "Containerfile": _CONTAINERFILE.format(name=model_name, version=version).encode(),
        "requirements.txt": requirements.read_bytes(),
        **{f"{CODE_FOLDER}/{file.as_posix()}": (ROOT / file).read_bytes() for file in code},
        **{f"{EXPORT_FOLDER}/{file.name}": file.read_bytes() for file in sorted(export.iterdir())},
    }


def write_bundle(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a zip, whole or not at all; the same files make the same bytes. Raises StorageError."""
    with written_atomically(target) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _OLDEST), data, zipfile.ZIP_DEFLATED)


def describe_bundle(report: BundleReport) -> dict[str, object]:
    """Return a bundle's facts for a program."""
    return {**asdict(report), "rule": report.rule.model_dump() if report.rule else None}


def say_bundle(report: BundleReport) -> str:
    """Return a bundle's facts for a person."""
    lines = [
        f"{report.file}: {report.num_bytes / 1e6:.1f} MB, digest {report.digest}",
        f"On the device: python {Path(report.file).name} install HOME --digest {report.digest}",
    ]
    if rule := report.rule:
        lines.append(
            f"Uncertain pictures (doubt above {rule.max_doubt:.3f}) go to the cloud service: "
            f"{rule.share:.1%} of {rule.num_measured_on} test pictures, {rule.wanted_share:.0%} wanted"
        )
        if rule.quality_edge is not None:
            lines.append(
                f"Class mask IoU there: {rule.quality_edge:.4f} by the bundle alone, "
                f"{rule.quality_hybrid:.4f} with version {rule.cloud_version} for uncertain ones, "
                f"{rule.quality_cloud:.4f} by it alone"
            )
    return "\n".join(lines)
