"""A bundle for the edge: of approved versions alone, of exactly the code it needs, whole or not at all."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from flows.command.main import main
from flows.deciding.decisions import decide_by_hand
from flows.exporting.bundle_code import ROOT, find_imported
from flows.exporting.bundling import PROGRAMS, BundleReport, make_bundle, say_bundle
from flows.exporting.cloud_rule import choose_limit
from flows.exporting.model_export import export
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from maskloop.errors import DataError, RefusedError, StorageError
from serving.edge.manifest import read_manifest
from serving.edge.starting import install, verify
from tests.fakes.loop_world import World
from tests.fakes.opened import opens

NAMES_OF_PACKAGES = {"PIL": "pillow", "pynvml": "nvidia-ml-py", "prometheus_client": "prometheus-client"}
COME_WITH_OTHERS = {"starlette"}
OPTIONAL = {"tifffile", "pi_heif", "pydicom", "onnxruntime"}
NOT_IMPORTED = {"httptools", "uvloop", "python-multipart"}


@pytest.fixture
def served(world: World) -> World:
    """Version 1 serves."""
    run_turn(world.app(), starts_from="first-weights")
    decide_by_hand(world.app(), "1", "approved", by="rita", why="")
    reconcile(world.app())
    return world


def bundle(world: World, target: Path, **options) -> BundleReport:
    app = world.app()
    report = export(app, wanted="openvino-int8")
    return make_bundle(app, report=report, target=target, load=world.exporter.load, **options)


def test_a_bundle_is_installed_verified_and_names_its_version_and_blessing(
    served: World, tmp_path: Path
) -> None:
    made = bundle(served, tmp_path / "parts.zip")
    install(Path(made.file), tmp_path / "home", expected_digest=made.digest)
    folder = tmp_path / "home/current"
    manifest = read_manifest(folder)
    champion = served.state.champion
    assert champion is not None
    assert (manifest.version, manifest.weights_digest) == (champion.version, champion.weights_digest)
    assert manifest.blessing_id == next(iter(served.state.verdicts.values())).blessing_id
    assert (folder / "export/scan.xml").read_text() == "graph"
    assert [len(check.instances) for check in manifest.checks] == [2, 2, 2]
    assert all((folder / "checks" / check.file).is_file() for check in manifest.checks)
    assert "openvino==" in (folder / "requirements.txt").read_text()
    assert "--require-hashes" in (folder / "Containerfile").read_text()
    assert verify(folder)[0] == made.digest
    assert made.digest in say_bundle(made)
    assert str(served.workspace.root) not in (folder / "bundle.json").read_text()


def test_the_same_export_makes_the_same_bytes(served: World, tmp_path: Path) -> None:
    first, second = (bundle(served, tmp_path / name) for name in ("a.zip", "b.zip"))
    assert Path(first.file).read_bytes() == Path(second.file).read_bytes()


def test_a_version_that_nobody_approved_makes_no_bundle(world: World, tmp_path: Path) -> None:
    run_turn(world.app(), starts_from="first-weights")
    app = world.app()
    report = export(app, version="1")
    with pytest.raises(RefusedError):
        make_bundle(app, report=report, target=tmp_path / "parts.zip", load=world.exporter.load)
    assert list(tmp_path.glob("*.zip")) == []


def test_other_answers_without_torch_make_no_bundle(served: World, tmp_path: Path) -> None:
    app = served.app()
    report = export(app)
    served.exporter.quality = 0.5
    worse = export(app, wanted="openvino-int8")
    assert not worse.passed

    def load(_directory: Path):
        return served.predictors.load(
            app.copies.fetch_version("1", report.weights_digest), expected_digest=report.weights_digest
        ).__class__(0.5, weights_digest=report.weights_digest)

    with pytest.raises(RefusedError, match="answers otherwise"):
        make_bundle(app, report=report, target=tmp_path / "parts.zip", load=load)


def test_the_limit_of_doubt_sends_no_more_than_the_share_that_was_wanted() -> None:
    doubts = [number / 100 for number in range(100)]
    for share in (0.0, 0.1, 0.25, 1.0):
        limit = choose_limit(doubts, share)
        assert sum(doubt > limit for doubt in doubts) / 100 <= share
    assert choose_limit([0.5] * 10, 0.3) == 0.5, "equal doubts go together or not at all"


def test_the_rule_says_what_it_was_measured_on_and_what_it_is_worth(served: World, tmp_path: Path) -> None:
    rule = bundle(served, tmp_path / "parts.zip", share=0.5).rule
    assert rule is not None
    assert (rule.cloud_version, rule.num_chosen_on, rule.num_measured_on) == ("1", 2, 4)
    assert rule.quality_edge == rule.quality_cloud == pytest.approx(rule.quality_hybrid)
    assert bundle(served, tmp_path / "parts.zip", share=0.0).rule is None


def test_a_folder_that_cannot_be_written_leaves_nothing(served: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        bundle(served, tmp_path / "file" / "parts.zip")


def test_without_validation_pictures_the_way_out_is_named(served: World, tmp_path: Path) -> None:
    data = served.data.current()
    assert data is not None
    app = served.app()
    report = export(app)
    data.by_split["val"] = ()
    with pytest.raises(DataError, match="--cloud-share 0"):
        make_bundle(app, report=report, target=tmp_path / "parts.zip", load=served.exporter.load)


def test_the_command_says_of_an_export_that_torch_alone_can_run_that_it_makes_no_bundle(
    served: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["export", "--bundle", str(tmp_path / "parts.zip")]
    with pytest.raises(SystemExit) as ended:
        main(asked, opener=opens(served))
    assert ended.value.code == 78
    assert "export the model again" in capsys.readouterr().err.lower()
    assert list(tmp_path.glob("*.zip")) == []


# --- the code and the packages of a bundle ----------------------------------------------------------


def test_a_bundle_has_no_code_that_needs_a_package_which_it_does_not_pin() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    pinned = {line.split(">")[0].split("<")[0] for line in groups["edge"]} | COME_WITH_OTHERS
    imported = {NAMES_OF_PACKAGES.get(name, name) for name in find_imported(*PROGRAMS).others}
    imported = {name.replace("_", "-") for name in imported - OPTIONAL}
    assert imported == pinned - NOT_IMPORTED


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_what_a_bundle_runs_on_is_pinned_as_in_the_lock_of_exports_without_addresses(runtime: str) -> None:
    lines = (ROOT / f"serving/edge/requirements-{runtime}.lock").read_text().splitlines()
    pins = {line.split(" \\")[0] for line in lines if "==" in line}
    known = (ROOT / "requirements-export.lock").read_text()
    assert pins
    assert {pin for pin in pins if pin.split(" ;")[0] not in known} == set()
    assert not [line for line in lines if "http://" in line or "https://" in line]
    names = {pin.split("==")[0] for pin in pins}
    assert not names & {"torch", "torchvision", "mlflow", "prefect", "scipy", "pandas", "dvc"}


def test_imports_are_followed_through_functions_but_not_for_type_checkers() -> None:
    found = find_imported("models.edge.predictor")
    assert Path("models/edge/boxes.py") in found.files
    assert Path("models/__init__.py") in found.files
    assert "onnxruntime" in found.others, "imported in a function"
    assert "torch" not in found.others
    assert not [file for file in find_imported(*PROGRAMS).files if file.parts[0] == "flows"]
    assert "numpy" not in sys.stdlib_module_names
