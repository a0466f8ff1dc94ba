"""What is said to CVAT, and what the fake of it answers, is as CVAT publishes it.

There is no CVAT server in the tests. Its published schema is within its own client, cvat-sdk, which `make
test-cvat` installs into an environment of its own.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from dataset.labelling.cvat import Cvat
from dataset.labelling.cvat_api import CvatApi
from maskloop.masks import decode_masks
from tests.fakes.cvat_loopback import cvat_on_loopback
from tests.fakes.cvat_server import ACCESS_TOKEN, FakeCvat
from tests.fakes.cvat_story import scene_task, walk_through
from tests.fakes.cvat_world import fake_cvat
from tests.fakes.label_scene import CLASSES, SCENE, scene_png
from tests.label_tools.environments import CVAT_SDK, ROOT

RECORD: Final = ROOT / "tests" / "records" / "cvat" / "exchanges.json"
"""All that was said on the walk. `make test-cvat` found it to be as the schema has it."""

needs_sdk = pytest.mark.skipif(not CVAT_SDK.python.exists(), reason="no cvat-sdk: make test-cvat")


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", ACCESS_TOKEN)


def with_sdk(module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [CVAT_SDK.python, "-m", f"tests.label_tools.{module}", *arguments]
    return subprocess.run(
        [str(one) for one in command], cwd=ROOT, capture_output=True, text=True, check=False
    )


def as_lines(exchanges: list[dict[str, object]]) -> str:
    return "[\n" + ",\n".join(json.dumps(one, sort_keys=True) for one in exchanges) + "\n]\n"


def test_what_is_said_to_cvat_is_what_was_compared_with_its_schema() -> None:
    server = FakeCvat()
    walk_through(fake_cvat(server))
    assert as_lines(server.exchanges) == RECORD.read_text(), (
        "what is said to CVAT has changed: let `make test-cvat` compare it, and record it anew with "
        "`python -m tests.contracts.test_cvat_schema`"
    )


@needs_sdk
def test_what_is_said_to_cvat_and_answered_is_as_its_published_schema_has_it(tmp_path: Path) -> None:
    done = with_sdk("cvat_schema", RECORD)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = json.loads(RECORD.read_text())
    sent = next(one["sent"] for one in wrong if one["method"] == "PUT")
    sent["shapes"][0]["colour"] = "red"
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    done = with_sdk("cvat_schema", tmp_path / "wrong.json")
    assert "LabeledShapeRequest has no colour" in done.stdout
    assert done.returncode == 1


@needs_sdk
def test_cvat_s_own_client_sees_what_was_pushed_and_what_it_draws_is_pulled(tmp_path: Path) -> None:
    drawn = [[one.class_name, one.mask.astype(int).tolist()] for one in SCENE if not one.is_crowd]
    (tmp_path / "draw.json").write_text(json.dumps(drawn))
    (tmp_path / "own.png").write_bytes(scene_png(9))
    server = FakeCvat()
    with cvat_on_loopback(server) as address:
        tool = Cvat(CvatApi(address, ""), title="maskloop", pictures_per_job=1)
        tool.open_project(CLASSES)
        list(tool.add_tasks([scene_task(0), scene_task(1)]))
        done = with_sdk("cvat_client", address, ACCESS_TOKEN, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        tasks = tool.list_tasks()
        (annotation,) = tool.pull(tasks)
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert [(name, rows) for name, rows in seen["masks"]] == [
        (one.class_name, one.mask.astype(int).tolist()) for one in SCENE
    ]
    assert set(seen["sources"]) == {"auto"}
    assert {"dark", "drift", "belt"} <= set(seen["told"])
    assert [one.picture_digest for one in tasks] == [*(scene_task(n).picture_digest for n in (0, 1)), ""]
    assert [one.class_name for one in annotation.instances] == [name for name, _ in drawn]
    masks = decode_masks([one.mask for one in annotation.instances])
    assert np.array_equal(masks, np.array([rows for _, rows in drawn], dtype=bool))


if __name__ == "__main__":
    recorded = FakeCvat()
    walk_through(fake_cvat(recorded))
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(as_lines(recorded.exchanges))
