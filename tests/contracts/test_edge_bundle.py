"""A bundle of a real export serves in a process that has no torch, and answers as the export does."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset.pictures.decoding import encode_png, open_picture
from evaluation.parity import compare_pictures, summarise_parity
from flows.exporting.bundling import gather_files, write_bundle
from maskloop.settings.model_settings import ModelSettings
from models.answering.predictor import TorchPredictor
from models.artifacts.manifest import ArtifactFacts
from models.artifacts.model_folder import load_model, save_artifact
from models.edge.predictor import load_without_torch
from models.exports.manifest import ExportFormat
from models.network.build import build_model
from serving.client import Client
from serving.edge.checking import answer_check
from serving.edge.manifest import BundleManifest
from serving.edge.starting import MANIFEST_FILE, install

pytestmark = [
    pytest.mark.server,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]
NEEDED = {"openvino": ("openvino",), "onnx": ("onnx", "onnxscript", "onnxruntime")}
ABSENT = ("torch", "torchvision", "mlflow", "prefect", "scipy", "pandas", "sqlalchemy", "dvc", "nncf", "onnx")
SETTINGS = ModelSettings.model_validate(
    {
        "backbone": "small",
        "weights": "scratch",
        "min_size_px": 96,
        "max_size_px": 160,
        "test_proposals": 40,
        "max_detections": 8,
        "min_score": 0.0,
    }
)


def draw(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    picture = random.integers(0, 60, (100, 140, 3), dtype=np.uint8)
    for _ in range(5):
        top, left = random.integers(0, 80), random.integers(0, 110)
        picture[top : top + 25, left : left + 25] = random.integers(100, 255, 3)
    return picture


@pytest.fixture(scope="module", params=NEEDED)
def made(request, tmp_path_factory):
    """The folder of the model, of its export, and the home that a bundle of it is installed to."""
    missing = [name for name in NEEDED[request.param] if find_spec(name) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    from models.exports.formats import write_export

    folder, wanted = tmp_path_factory.mktemp(request.param), request.param
    torch.manual_seed(0)
    facts = ArtifactFacts(class_names=("bolt", "nut"), settings=SETTINGS, score_threshold=0.3)
    source = save_artifact(folder / "model", build_model(SETTINGS, num_classes=2), facts)
    write_export(folder / "export", load_model(folder / "model")[0], source, wanted)
    pack(folder, wanted, source.weights_digest)
    install(folder / "parts.zip", folder / "home")
    return folder


def pack(folder: Path, wanted: ExportFormat, weights_digest: str) -> None:
    """Make a bundle as `maskloop export --bundle` does, without a workspace."""
    picture = encode_png(draw(0))
    check = answer_check(load_without_torch(folder / "export"), "a.png", open_picture(picture, max_mpx=1.0))
    files = gather_files(folder / "export", wanted, version="7", model_name="parts")
    files["checks/a.png"] = picture
    manifest = BundleManifest(
        model_name="parts",
        version="7",
        weights_digest=weights_digest,
        blessing_id="b" * 64,
        format=wanted,
        export_digest="e" * 64,
        parity={},
        rule=None,
        sampling_rate=1.0,
        max_picture_mpx=1.0,
        checks=(check,),
        files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        created_at="2026-01-01T00:00:00+00:00",
    )
    write_bundle(folder / "parts.zip", {**files, MANIFEST_FILE: manifest.model_dump_json().encode()})


def start(bundle: Path, state: Path, packages: Path) -> subprocess.Popen[str]:
    """Start the bundle where what it must not need cannot be imported."""
    packages.mkdir(exist_ok=True)
    for name in ABSENT:
        (packages / f"{name}.py").write_text(
            f"raise ImportError({name!r} + ' is not there', name={name!r})\n"
        )
    command = (sys.executable, str(bundle), "serve", "--state", str(state), "--port", "0", "--threads", "1")
    return subprocess.Popen(
        command,
        cwd=state.parent,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(packages), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_export_run_without_torch_answers_as_the_model_does(made):
    pictures = [draw(seed) for seed in range(6)]
    model = TorchPredictor.load(made / "model", device="cpu")
    theirs, ours = model.predict(pictures), load_without_torch(made / "export").predict(pictures)
    parity = summarise_parity(
        [
            compare_pictures(one.detections, two.detections, score_threshold=0.0)
            for one, two in zip(theirs, ours, strict=True)
        ]
    )
    assert parity.num_either >= 10
    assert parity.share_both > 0.9
    assert parity.mask_iou > 0.99


def test_a_bundle_answers_the_client_in_a_process_without_torch_and_stops_in_order(made, tmp_path):
    process = start(made / "home/current", tmp_path / "state", tmp_path / "packages")
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        assert "version 7" in said, process.communicate(timeout=30)
        with Client(said.split()[-1]) as client:
            answer = client.predict(encode_png(draw(3)), min_score=0.0, request_id="r1")
            model = client.model()
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    (mine,) = load_without_torch(made / "export").predict([draw(3)])
    assert process.returncode == 0, errors
    assert len(answer.instances) == len(mine.detections) > 0
    np.testing.assert_allclose([one.score for one in answer.instances], mine.detections.scores, atol=1e-3)
    assert (model.model.version, model.model.blessing_id) == ("7", "b" * 64)
    assert len([*(tmp_path / "state/outbox").glob("*.sample")]) == 1


def test_a_damaged_bundle_refuses_to_start_in_plain_words(made, tmp_path):
    install(made / "parts.zip", tmp_path / "home")
    weights = max((tmp_path / "home/current/export").iterdir(), key=lambda file: file.stat().st_size)
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    process = start(tmp_path / "home/current", tmp_path / "state", tmp_path / "packages")
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (76, "")
    assert f"export/{weights.name} was changed" in errors
    assert "rollback" in errors
