"""The repository's shape: names nobody else has, packages that are listed, settings that parse."""

from __future__ import annotations

import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from maskloop.settings.workspace_settings import load_settings

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["importlinter"]["root_packages"]
ROOMY = ["flows", "models", "serving", "monitoring", "registry", "dataset", "maskloop"]
RESERVED = ["flows", "models", "monitoring", "registry", "serving", "dataset", "evaluation", "maskloop"]


def test_every_listed_package_exists_and_every_package_is_listed() -> None:
    found = {file.parent.name for file in REPOSITORY.glob("*/__init__.py")} - {"benchmarks"}
    assert found == set(PACKAGES) == set(RESERVED)
    installed = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert installed == [f"{package}*" for package in PACKAGES]


def folders_of(package: str) -> list[Path]:
    return [REPOSITORY / package, *(file.parent for file in (REPOSITORY / package).glob("*/__init__.py"))]


@pytest.mark.parametrize("package", ROOMY)
def test_a_package_holds_two_to_ten_modules_and_none_is_nested_twice(package: str) -> None:
    top, *inner = folders_of(package)
    assert list(top.glob("*/*/__init__.py")) == []
    counts = {folder.name: len(list(folder.glob("*.py"))) - 1 for folder in inner}
    assert {name: number for name, number in counts.items() if not 2 <= number <= 10} == {}
    assert len(list(top.glob("*.py"))) - 1 <= 10


@pytest.mark.parametrize("name", RESERVED)
def test_no_installed_distribution_has_a_package_of_ours(name: str) -> None:
    others = set(packages_distributions().get(name, [])) - {PROJECT["project"]["name"]}
    assert others == set()


def test_checks_look_at_every_package() -> None:
    tools = PROJECT["tool"]
    assert tools["mypy"]["packages"] == [*PACKAGES, "benchmarks", "tests"]
    assert set(PACKAGES) <= set(tools["pytest"]["ini_options"]["testpaths"])


def test_the_layer_contract_places_every_package() -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    layers = next(one for one in contracts if one["type"] == "layers" and "containers" not in one)
    placed = [name.strip() for layer in layers["layers"] for name in layer.split("|")]
    assert sorted(placed) == sorted(PACKAGES)
    floors = [one for one in contracts if one["type"] == "layers" and "containers" in one]
    assert sorted(name for one in floors for name in one["containers"]) == sorted(PACKAGES)
    assert all(one["exhaustive"] for one in floors)
    (acyclic,) = [one for one in contracts if one["type"] == "acyclic_siblings"]
    assert acyclic["ancestors"] == PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_nothing_by_itself(package: str) -> None:
    for folder in folders_of(package):
        lines = (folder / "__init__.py").read_text().splitlines()
        assert [line for line in lines if line.startswith('"""')], "it says what is in there"
        assert not [line for line in lines if line.startswith(("import ", "from "))]


@pytest.mark.parametrize("file", sorted((REPOSITORY / "configs").glob("*.toml")), ids=lambda file: file.stem)
def test_every_settings_file_we_ship_parses_and_has_gates(file: Path) -> None:
    assert load_settings(file).required_gates()


def test_the_architecture_page_says_of_every_package_what_the_package_says() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    for package in ROOMY:
        for folder in folders_of(package)[1:]:
            said = (folder / "__init__.py").read_text(encoding="utf-8").strip().strip('"')
            assert f"| `{folder.relative_to(REPOSITORY).as_posix()}/` | {said} |" in page


def test_the_project_is_never_uploaded() -> None:
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]


def test_the_repository_is_a_workspace_itself() -> None:
    from flows.workspace.wiring import open_app

    assert open_app(REPOSITORY).settings.model_name == "metal-parts"
    template = (REPOSITORY / "configs" / "prefect.yaml").read_text(encoding="utf-8")
    schedules = (REPOSITORY / "prefect.yaml").read_text(encoding="utf-8")
    assert schedules == template.replace("@model_name@", "metal-parts")
    assert (REPOSITORY / "data.dvc").exists()
