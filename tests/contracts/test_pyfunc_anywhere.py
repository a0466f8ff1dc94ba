"""A registered model works for anyone: in another folder, without this repository, from its own code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::mlflow", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]

STRANGER = """
import ast, importlib.metadata, importlib.util, io, json, sys
from pathlib import Path
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
sys.path = [entry for entry in sys.path if "editable" not in entry.lower()]
assert importlib.util.find_spec("models") is None, "the repository is still importable"
import mlflow, pandas as pd
from PIL import Image
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/mask-rcnn/1", dst_path=sys.argv[2])
file = io.BytesIO()
Image.effect_noise((96, 80), 60).convert("RGB").save(file, "PNG")
pictures = pd.DataFrame({"image": [file.getvalue(), b"not a picture"]})
answer = model.predict(pictures, params={"min_score": 0.0})
assert model.predict(pictures)["error"][0] == "", "min_score is a choice, not a must"
ours = [m for m in list(sys.modules.values()) if (getattr(m, "__file__", None) or "").startswith(sys.argv[2])]
imported = set()
for module in ours:
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add(node.module.split(".")[0])
known = importlib.metadata.packages_distributions()
import models
print(json.dumps({
    "answer": answer.to_dict("records"),
    "models_file": models.__file__,
    "distributions": sorted({d.lower() for name in imported for d in known.get(name, []) if d != "maskloop"}),
    "requirements": [r.split("==")[0].lower() for r in
                     (Path(sys.argv[2]) / "requirements.txt").read_text().split()],
    "pickles": [str(p) for p in Path(sys.argv[2]).rglob("*.pkl")],
}))
"""


def register_a_small_model(uri: str, tmp_path: Path) -> None:
    from maskloop.settings.model_settings import ModelSettings
    from models.artifacts.manifest import ArtifactFacts
    from models.artifacts.model_folder import save_artifact
    from models.network.build import build_model
    from registry.mlflow_adapter.model_store import MlflowModelStore
    from registry.mlflow_adapter.tracker import MlflowRunTracker

    settings = ModelSettings(backbone="small", weights="scratch", min_size_px=96, max_size_px=128)
    artifact = tmp_path / "artifact"
    manifest = save_artifact(
        artifact,
        build_model(settings, num_classes=2),
        ArtifactFacts(class_names=("bolt", "nut"), settings=settings, score_threshold=0.5),
    )
    run_id = MlflowRunTracker(uri, "Default").open_run("c1:1", name="training", tags={})
    MlflowModelStore(uri, "mask-rcnn", ROOT).register(
        artifact, run_id=run_id, weights_digest=manifest.weights_digest, tags={}
    )


def test_a_stranger_can_load_and_use_a_registered_model(mlflow_uri: str, tmp_path: Path) -> None:
    register_a_small_model(mlflow_uri, tmp_path)
    elsewhere, loaded = tmp_path / "elsewhere", tmp_path / "loaded"
    elsewhere.mkdir()
    loaded.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", STRANGER, mlflow_uri, str(loaded)],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert Path(said["models_file"]).is_relative_to(loaded / "code")
    assert said["pickles"] == []
    picture, broken = said["answer"]
    assert picture["error"] == ""
    assert isinstance(json.loads(picture["instances"]), list)
    assert broken["error"]
    assert broken["instances"] == "[]"
    missing = {plain(one) for one in said["distributions"]} - {plain(one) for one in said["requirements"]}
    missing -= picture_extras()
    assert missing == set(), "requirements are missing"


def picture_extras() -> set[str]:
    """Return what reads TIFF, DICOM and HEIC: a model answers other pictures without, and names the extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [project["optional-dependencies"][name] for name in ("tiff", "dicom", "heic")]
    return {plain(requirement) for extra in extras for requirement in extra}


def plain(requirement: str) -> str:
    """Return the distribution's name as PyPI compares it (PEP 503)."""
    return re.sub("[-_.]+", "-", re.split("[>=]", requirement)[0]).lower()
