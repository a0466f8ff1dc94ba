import importlib.util
from pathlib import Path

import pytest
import torch

_SHAPES = Path(__file__).with_name("shapes.py")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shapes():
    """The module shapes.py beside this file."""
    spec = importlib.util.spec_from_file_location("maskloop_test_shapes", _SHAPES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tiny_model(shapes):
    from models.network.build import build_model

    torch.manual_seed(0)
    return build_model(shapes.tiny_settings().model, num_classes=2)


@pytest.fixture
def artifact(shapes, tiny_model, tmp_path):
    """A folder with a saved, untrained model and its manifest."""
    from models.artifacts.manifest import ArtifactFacts
    from models.artifacts.model_folder import save_artifact

    folder = tmp_path / "model"
    manifest = save_artifact(
        folder,
        tiny_model,
        ArtifactFacts(
            class_names=shapes.CLASS_NAMES,
            settings=shapes.tiny_settings().model,
            score_threshold=0.5,
            dataset_tag="data-v1",
        ),
    )
    return folder, manifest


@pytest.fixture
def _no_judge_is_left(shapes):
    yield
    assert shapes.judges_alive() == []
