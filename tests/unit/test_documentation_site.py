"""The documentation site: built in strict mode, whole, and readable without a network."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[project]
site_name = "two pages"
docs_dir = "pages"
site_dir = "html"
use_directory_urls = false
nav = ["README.md", "docs/*.md"]
theme.font = false
"""


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs" / "build_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


build_site = load()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a README, one page with a heading, a picture and a settings file."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# Start\n\n[Settings](docs/settings.md)\n")
    (tmp_path / "docs" / "settings.md").write_text("# Settings\n\n## Gates\n\nA limit.\n")
    (tmp_path / "docs" / "loop.svg").write_text("<svg/>")
    (tmp_path / "demo.toml").write_text("seed = 1\n")
    return tmp_path


def build(repository: Path, readme: str) -> list[str]:
    (repository / "README.md").write_text(f"# Start\n\n{readme}\n")
    problems: list[str] = build_site.build(repository, CONFIG, repository / ".site")
    return problems


def test_links_to_pages_headings_pictures_and_files_are_fine_and_files_come_along(repository: Path) -> None:
    readme = "[a](docs/settings.md#gates) ![b](docs/loop.svg) [c](demo.toml) <https://example.org>"
    assert build(repository, readme) == []
    html = repository / ".site" / "html"
    assert (html / "demo.toml").read_text() == "seed = 1\n"
    assert (html / "docs" / "loop.svg").is_file()
    assert 'href="docs/settings.html#gates"' in (html / "index.html").read_text()


def test_a_missing_page_or_heading_fails_the_build(repository: Path) -> None:
    said = "\n".join(build(repository, "[a](docs/setting.md) [b](docs/settings.md#gate)"))
    assert "page does not exist" in said
    assert "anchor does not exist" in said


def test_what_zensical_does_not_see_fails_the_build_too(repository: Path) -> None:
    readme = """[a](demo.yaml) ![b](docs/lop.svg) [c](docs/) [d](../other.txt)
        <a href="docs/settings.html#limits">e</a> ![f](https://example.org/a.png)"""
    assert sorted(build(repository, readme)) == [
        "index.html: ../other.txt: leads out of the repository",
        "index.html: demo.yaml: no such file in the repository",
        "index.html: docs/: the folder has no README.md",
        "index.html: docs/lop.svg: no such file in the repository",
        "index.html: docs/settings.html#limits: the page has no such anchor",
        "index.html: fetches https://example.org/a.png; the site has to work offline",
    ]


def test_a_page_outside_the_navigation_is_named(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text("# Changes\n")
    assert "CHANGELOG.md: is not in the navigation (docs/zensical.toml)" in build(repository, "")


def test_a_pattern_stands_for_its_pages_in_order(repository: Path) -> None:
    (repository / "docs" / "gates.md").write_text("# Gates\n")
    expanded = build_site.expand_patterns('nav = ["docs/[a-z]*.md"]', repository)
    assert expanded == 'nav = ["docs/gates.md", "docs/settings.md"]'


def test_style_sheets_of_the_settings_come_along(repository: Path) -> None:
    (repository / "docs" / "site.css").write_text("table { width: 1px }\n")
    config = CONFIG.replace("nav =", 'extra_css = ["docs/site.css"]\nnav =')
    assert build_site.build(repository, config, repository / ".site") == []
    assert (repository / ".site" / "html" / "docs" / "site.css").is_file()
