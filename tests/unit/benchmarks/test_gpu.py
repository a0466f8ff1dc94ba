from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.__main__ import main, measure
from benchmarks.gpu.cases import FULL, SMALL, name_cases

pytestmark = pytest.mark.slow


def test_the_command_that_is_prepared_for_a_gpu_runs_from_end_to_end_on_a_cpu(tmp_path: Path) -> None:
    results = tmp_path / "gpu.json"
    main(["--device", "cpu", "--results", str(results)])
    told = json.loads(results.read_text())
    assert told["left"] == []
    assert [*told["cases"]] == [*name_cases(SMALL, torch.device("cpu"))]
    contestants = {
        name: one for case in told["cases"].values() for name, one in case.items() if name != "seconds"
    }
    assert {"torchvision", "maskloop, fp32", "maskloop", "one by one"} <= contestants.keys()
    assert all("failed" not in one for one in contestants.values())
    for case, one in told["cases"].items():
        if case.startswith("train"):
            assert one["maskloop"]["loss"] > 0.0
            assert one["maskloop"]["waits"] < one["torchvision"]["waits"]


def test_a_run_that_was_interrupted_goes_on_and_another_commit_begins_anew(tmp_path: Path) -> None:
    path, ran = tmp_path / "runs" / "gpu.json", list[str]()

    def note(name: str) -> dict[str, int]:
        ran.append(name)
        if name == "second" and ran.count("second") == 1:
            raise KeyboardInterrupt
        return {"figure": 1}

    cases = {name: (lambda name=name: note(name)) for name in ("first", "second")}
    with pytest.raises(KeyboardInterrupt):
        measure(cases, {"commit": "a", "command": "x"}, path, budget_s=60.0)
    measure(cases, {"commit": "a", "command": "y"}, path, budget_s=60.0)
    assert ran == ["first", "second", "second"]
    told = measure(cases, {"commit": "b"}, path, budget_s=60.0)
    assert ran == ["first", "second", "second", "first", "second"]
    assert told["left"] == []


def test_a_run_without_time_begins_nothing_and_the_full_size_is_that_of_the_published_figures(
    tmp_path: Path,
) -> None:
    told = measure(
        {"never": lambda: pytest.fail("no time was left")}, {}, tmp_path / "gpu.json", budget_s=-1.0
    )
    assert told["cases"] == {}
    assert (FULL.height_px, FULL.width_px, FULL.prediction_batches) == (800, 1344, (1, 8))
