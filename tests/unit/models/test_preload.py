from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from maskloop.settings.model_settings import ModelSettings
from models.artifacts.manifest import ArtifactFacts
from models.artifacts.model_folder import save_artifact
from models.network.build import build_model

NEVER_NEEDED = {
    *("torch._dynamo", "torch._inductor", "torch.distributed.tensor", "sympy", "triton.compiler"),
    *("scipy", "pandas", "sklearn", "matplotlib", "mlflow", "prefect", "evidently", "dvc"),
    *("sqlalchemy.dialects.postgresql", "alembic", "openvino", "onnxruntime"),
}
"""What a worker that answers has no use for: with these it took twice the time to start, and 120 MiB more."""

_ANSWER_ONE_PICTURE = """
import sys
from pathlib import Path
import numpy as np
from importlib import import_module
from flows.answering.service_assembly import PRELOADED
preloaded = [import_module(name) for name in PRELOADED][-1]
threads = len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").is_dir() else 1
predictor = preloaded.TorchPredictors().load(Path(sys.argv[1]), device="cpu")
predictor.predict([np.zeros((64, 64, 3), np.uint8)])
maps = Path("/proc/self/maps")
print(threads, sum("weights.safetensors" in line for line in maps.open()) if maps.exists() else 0)
print(*sys.modules)
"""


def test_a_worker_imports_nothing_that_answers_do_not_need_and_starts_no_thread_before_it_is_copied(
    tmp_path: Path,
) -> None:
    settings = ModelSettings(backbone="small", weights="scratch", min_size_px=64, max_size_px=128)
    facts = ArtifactFacts(("nut",), settings, 0.5)
    save_artifact(tmp_path / "model", build_model(settings, num_classes=1), facts)
    command = [sys.executable, "-c", _ANSWER_ONE_PICTURE, str(tmp_path / "model")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    assert told[0] == "1 0", "one thread; the file of the weights is let go once they are copied"
    imported = set(told[1].split())
    assert "torchvision" in imported
    assert imported & NEVER_NEEDED == set()
