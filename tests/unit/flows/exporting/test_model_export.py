"""Exports of registered versions: kept and attached if they say what the model says, refused if not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.command.main import main
from flows.deciding.decisions import decide_by_hand
from flows.exporting.benchmark import benchmark
from flows.exporting.latency import measure_latency
from flows.exporting.model_export import (
    choose_calibration,
    export,
    export_directory,
    export_folder,
    export_tag,
)
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.workspace.telling import SilentTeller
from maskloop.digest import digest_file
from maskloop.errors import ConfigurationError, DataError, ExportError, IntegrityError, NotFoundError
from tests.fakes.loop_world import World
from tests.fakes.model_ports import FakeExporter
from tests.fakes.opened import opens


@pytest.fixture
def exporter(world: World) -> FakeExporter:
    return world.exporter


@pytest.fixture
def judged(world: World, exporter: FakeExporter) -> World:
    """Version 1 is registered and judged."""
    run_turn(world.app(), starts_from="first-weights")
    return world


def promote(world: World) -> None:
    decide_by_hand(world.app(), "1", "approved", by="rita", why="")
    reconcile(world.app())


def files_in_mlflow(world: World) -> list[str]:
    (run,) = [run for run in world.tracker.runs.values() if run.name != "drift"]
    return sorted(path for path in run.files if path.startswith("exports/"))


@dataclass
class Listener(SilentTeller):
    """Remembers what is said."""

    sentences: list[str] = field(default_factory=list)

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


def tag(world: World, wanted: str = "openvino") -> str:
    return world.models.version("1").tags.get(export_tag(wanted), "")


# --- exporting -------------------------------------------------------------------------------------


def test_an_export_with_the_same_answers_is_kept_and_attached_to_its_version(judged: World) -> None:
    report = export(judged.app(), version="1")
    directory = export_directory(judged.workspace.exports_dir, report.export_digest)
    assert report.passed
    assert (report.parity.num_pictures, report.parity.num_either, report.parity.mask_iou) == (4, 8, 1.0)
    assert tag(judged) == report.export_digest == digest_file(directory / "export.json")
    folder = export_folder("openvino", report.export_digest)
    assert files_in_mlflow(judged) == [f"{folder}/{n}" for n in ("export.json", "report.json", "scan.xml")]
    kept = json.loads((directory / "report.json").read_text())
    assert kept["parity"]["mask_iou"] == 1.0
    assert [row["runtime"] for row in kept["latency"]] == ["torch", "openvino"] * 2
    assert str(judged.workspace.root) not in (directory / "report.json").read_text()


def test_an_export_with_other_answers_is_neither_kept_nor_attached(
    judged: World, exporter: FakeExporter
) -> None:
    exporter.quality = 0.8  # eight of the nine rows the model covers
    report = export(judged.app(), version="1")
    assert not report.passed
    assert report.parity.mask_iou == pytest.approx(8 / 9)
    assert "0.98 is required" in report.reasons[0]
    assert tag(judged) == ""
    assert files_in_mlflow(judged) == []
    assert list(judged.workspace.exports_dir.iterdir()) == []


def test_settings_say_what_is_required_of_eight_bits_alone(
    tmp_path: Path, world: World, exporter: FakeExporter
) -> None:
    text = world.workspace.settings_file.read_text()
    world.workspace.settings_file.write_text(f"{text}\n[export]\nmin_parity_int8 = 0.85\n")
    run_turn(world.app(), starts_from="first-weights")
    exporter.quality = 0.8
    assert export(world.app(), version="1", wanted="openvino-int8").passed
    assert not export(world.app(), version="1", wanted="openvino").passed


def test_eight_bits_are_calibrated_on_validation_pictures_and_never_on_those_compared_on(
    judged: World, exporter: FakeExporter
) -> None:
    data = judged.data.current()
    assert data is not None
    report = export(judged.app(), version="1", wanted="openvino-int8")
    assert exporter.calibrated_with == sorted(picture.digest for picture in data.by_split["val"])
    assert report.num_calibration_pictures == 2
    export(judged.app(), version="1", wanted="openvino")
    assert exporter.calibrated_with == []


def test_the_same_calibration_pictures_are_chosen_each_time(judged: World) -> None:
    data = judged.data.current()
    assert data is not None
    (first,) = choose_calibration(data, 1)
    assert first.digest == min(picture.digest for picture in data.by_split["val"])
    assert len(choose_calibration(data, 100)) == 2


def test_without_a_version_the_champion_is_exported(judged: World) -> None:
    with pytest.raises(NotFoundError, match="nothing serves yet"):
        export(judged.app())
    promote(judged)
    assert export(judged.app()).version == "1"


def test_a_version_nobody_registered_is_not_found(judged: World) -> None:
    with pytest.raises(NotFoundError, match="there is no version 7"):
        export(judged.app(), version="7")


def test_exporting_twice_attaches_the_newer_one(judged: World, exporter: FakeExporter) -> None:
    first = export(judged.app(), version="1").export_digest
    exporter.quality = 0.9000001
    second = export(judged.app(), version="1").export_digest
    assert first != second
    assert tag(judged) == second
    assert export(judged.app(), version="1").export_digest == second


def test_a_missing_package_is_reported_before_anything_is_done(judged: World, exporter: FakeExporter) -> None:
    exporter.is_missing = True
    with pytest.raises(ConfigurationError, match=r"Install maskloop\[export\]"):
        export(judged.app(), version="1")


def test_an_exporter_that_fails_leaves_nothing(judged: World, exporter: FakeExporter) -> None:
    exporter.error = ExportError("the exporter cannot do scan as openvino: RuntimeError: no")
    with pytest.raises(ExportError, match="cannot do scan"):
        export(judged.app(), version="1")
    assert list(judged.workspace.exports_dir.iterdir()) == []


# --- benchmark -------------------------------------------------------------------------------------


def test_torch_and_every_export_take_turns(judged: World) -> None:
    export(judged.app(), version="1")
    export(judged.app(), version="1", wanted="openvino-int8")
    found = benchmark(judged.app(), model="1", rounds=3)
    assert [(row.runtime, row.batch) for row in found.rows] == [
        (runtime, batch) for batch in (1, 8) for runtime in ("torch", "openvino", "openvino-int8")
    ]
    assert all(row.rounds == 3 and 0 < row.p50_ms <= row.p95_ms for row in found.rows)
    assert all(row.memory_mib is not None for row in found.rows)
    assert found.num_pictures == 4


def test_an_export_that_is_not_here_is_fetched_and_verified(judged: World) -> None:
    digest = export(judged.app(), version="1").export_digest
    for file in export_directory(judged.workspace.exports_dir, digest).iterdir():
        file.unlink()
    export_directory(judged.workspace.exports_dir, digest).rmdir()
    assert len(benchmark(judged.app(), model="1", rounds=1).rows) == 4


def test_a_damaged_export_is_reported_and_the_others_are_timed(judged: World) -> None:
    digest = export(judged.app(), version="1").export_digest
    export(judged.app(), version="1", wanted="openvino-int8")
    damaged = export_directory(judged.workspace.exports_dir, digest)
    (damaged / "export.json").write_text("{}")
    listener = Listener()
    found = benchmark(replace(judged.app(), teller=listener), model="1", rounds=1)
    assert [row.runtime for row in found.rows] == ["torch", "openvino-int8"] * 2
    assert found.missing == {"openvino": "this is not the export that was recorded"}
    assert "openvino is left out: this is not the export that was recorded" in listener.sentences


def test_an_export_that_is_missing_from_mlflow_as_well_is_reported(judged: World) -> None:
    digest = export(judged.app(), version="1").export_digest
    shutil.rmtree(export_directory(judged.workspace.exports_dir, digest))
    for run in judged.tracker.runs.values():
        run.files.clear()
    found = benchmark(judged.app(), model="1", rounds=1)
    assert [row.runtime for row in found.rows] == ["torch", "torch"]
    assert set(found.missing) == {"openvino"}


def test_where_nothing_is_whole_the_benchmark_ends_with_what_is_wrong(judged: World, tmp_path: Path) -> None:
    digest = export(judged.app(), version="1").export_digest
    damaged = tmp_path / "exports" / "of 1"
    shutil.copytree(export_directory(judged.workspace.exports_dir, digest), damaged)
    (damaged / "export.json").write_text("not json")
    with pytest.raises(IntegrityError, match="manifest"):
        benchmark(judged.app(), model=str(damaged.parent), rounds=1)


def test_an_export_that_cannot_be_run_here_is_reported_and_the_rest_is_timed(
    judged: World, exporter: FakeExporter
) -> None:
    export(judged.app(), version="1")
    exporter.is_missing = True
    found = benchmark(judged.app(), model="1", rounds=1)
    assert [row.runtime for row in found.rows] == ["torch", "torch"]
    assert "not installed" in found.missing["openvino"]


def test_a_folder_with_an_export_is_timed_alone(judged: World) -> None:
    digest = export(judged.app(), version="1").export_digest
    found = benchmark(
        judged.app(), model=str(export_directory(judged.workspace.exports_dir, digest)), rounds=1
    )
    assert [(row.runtime, row.times_faster) for row in found.rows] == [("openvino", None)] * 2


def test_a_folder_with_nothing_in_it_is_not_found(judged: World, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="neither a model nor an export"):
        benchmark(judged.app(), model=str(tmp_path / "workspace" / "versions"))


def test_a_folder_without_pictures_cannot_be_benchmarked(judged: World, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        benchmark(judged.app(), model="1", images=tmp_path / "empty")


def test_turns_are_counted_and_torch_is_the_measure() -> None:
    calls: list[tuple[str, int]] = []

    def predictor(name: str) -> Any:
        return SimpleNamespace(predict=lambda pictures: calls.append((name, len(pictures))))

    seen: list[tuple[int, int]] = []
    predictors = {"torch": predictor("torch"), "onnx": predictor("onnx")}
    picture: Any = object()
    rows = measure_latency(
        predictors, [picture], rounds=2, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(number, 6) for number in range(1, 7)]
    one_batch = ["torch", "onnx", "onnx", "torch", "torch", "onnx"]
    assert calls == [(name, 1) for name in one_batch] + [(name, 8) for name in one_batch]
    assert rows[0].times_faster == 1.0


# --- the command line ------------------------------------------------------------------------------


@pytest.fixture
def run(judged: World, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments), opener=opens(judged))
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def test_the_command_answers_with_the_report(run: Any) -> None:
    code, out, _ = run("export", "1", "--format", "openvino", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["passed"]
    assert answer["reasons"] == []
    assert Path(answer["directory"]).is_dir()
    assert {row["batch"] for row in answer["latency"]} == {1, 8}


def test_a_failed_parity_gate_ends_with_77_and_still_answers(run: Any, exporter: FakeExporter) -> None:
    exporter.quality = 0.5
    code, out, err = run("export", "1", "--json")
    assert code == 77
    assert json.loads(out)["passed"] is False
    assert "openvino export of version 1 is not attached" in err


def test_the_benchmark_is_a_table_or_json(run: Any) -> None:
    code, out, _ = run("benchmark", "1", "--rounds", "1")
    assert code == 0
    assert "torch" in out
    assert json.loads(run("benchmark", "1", "--rounds", "1", "--json")[1])["rows"][0]["runtime"] == "torch"


def test_the_command_offers_every_format_there_is() -> None:
    from flows.command.main import cli
    from models.exports.manifest import EXPORT_FORMATS

    (option,) = [one for one in cli.commands["export"].params if one.name == "wanted"]
    assert tuple(option.type.choices) == EXPORT_FORMATS  # type: ignore[attr-defined]
