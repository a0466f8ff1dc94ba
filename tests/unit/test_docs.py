"""The documentation says what is so: every setting, every exit code, and links and folders that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click import Command, Group
from pydantic import BaseModel

from flows.command.main import cli
from maskloop.errors import EXIT_CODES, MaskloopError
from maskloop.settings.workspace_settings import GateSettings, Settings
from maskloop.state.cycle_state import Phase

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    yield "Top level", Settings
    yield "[gates]", GateSettings
    yield from sections_of(Settings, "")


def sections_of(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in section.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            yield f"[{prefix}{name}]", type(default)
            yield from sections_of(type(default), f"{prefix}{name}.")


def rows_of_section(title: str) -> dict[str, str]:
    """Return the documented default by key."""
    parts = re.split(r"^## ", read("settings.md"), flags=re.MULTILINE)
    part = next(part for part in parts if part.startswith(f"{title}\n"))
    return dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \| \S", part, flags=re.MULTILINE))


def expected_rows(section: type[BaseModel]) -> dict[str, str]:
    defaults = {
        name: field.get_default(call_default_factory=True) for name, field in section.model_fields.items()
    }
    return {
        name: "none" if default is None else json.dumps(default)
        for name, default in defaults.items()
        if not isinstance(default, BaseModel)
    }


@pytest.mark.parametrize(("title", "section"), list(sections()), ids=lambda value: str(value))
def test_every_setting_is_documented_with_its_default(title: str, section: type[BaseModel]) -> None:
    assert rows_of_section(title) == expected_rows(section)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_point_at_files_and_headings_that_exist(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file, _, heading = target.partition("#")
        linked = page.parent / file if file else page
        assert linked.exists(), f"{target} is not there"
        assert not heading or heading in headings_of(linked), f"{target} names no heading"


def test_every_option_of_ingest_that_answers_a_question_is_explained() -> None:
    ingest = cli.commands["ingest"]
    questions = {"--add", "--replace", "--crowds-are-instances", "--crowds-are-regions", "--frame"}
    options = {flag for parameter in ingest.params for flag in parameter.opts}
    assert questions <= options
    assert [option for option in questions if f"`{option}" not in read("labels.md")] == []


def headings_of(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_the_tree_of_the_architecture_is_the_tree() -> None:
    tree = read("architecture.md").partition("## The tree")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `([\w.]+)(/?)` \|", tree, flags=re.MULTILINE)
    missing = [name for name, slash in named if not exists_as(name, bool(slash))]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert missing == []
    assert packages <= {name for name, _ in named}


def exists_as(name: str, is_folder: bool) -> bool:
    return (ROOT / name).is_dir() if is_folder else (ROOT / name).is_file()


@pytest.mark.parametrize(
    "name", ["architecture.md", "operations.md", "approving.md", "glossary.md", "../CONTRIBUTING.md"]
)
def test_source_files_that_a_page_names_exist(name: str) -> None:
    named = re.findall(r"`((?:\w+/)+\w+\.(?:py|toml|yaml))`", read(name))

    assert [file for file in named if not (ROOT / file).is_file()] == []


def test_every_phase_of_a_cycle_is_explained() -> None:
    explained = re.findall(r"^\| (\w+) \| ", read("architecture.md"), flags=re.MULTILINE)

    assert set(Phase.__args__) <= set(explained)  # type: ignore[attr-defined]


def test_the_exit_codes_of_the_operations_page_are_the_ones_in_use() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*?) \| ", read("operations.md"), flags=re.MULTILINE)

    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def test_every_error_has_a_documented_exit_code() -> None:
    assert {error.exit_code for error in every_error(MaskloopError)} <= set(EXIT_CODES)


def every_error(base: type[MaskloopError]) -> Iterator[type[MaskloopError]]:
    yield base
    for error in base.__subclasses__():
        yield from every_error(error)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_a_page_names_exist(page: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```|`([^`]+)`", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    code = "\n".join(block or span for block, span in blocks)
    called = re.findall(r"^maskloop ([a-z]\w*)(?: (\w+))?", code, flags=re.MULTILINE)

    assert [words for words in called if not is_command(*words)] == []


def is_command(name: str, second: str) -> bool:
    found: Command | None = cli.commands.get(name)
    if isinstance(found, Group):
        return second in found.commands or (not second and bool(getattr(found, "default", "")))
    return found is not None


MEASUREMENTS = [DOCS / "results.md", *sorted((DOCS / "lab").glob("*.md"))]


@pytest.mark.parametrize("page", MEASUREMENTS, ids=lambda page: page.stem)
def test_prose_about_measurements_has_lines_and_paragraphs_that_one_can_read(page: Path) -> None:
    text = re.sub(r"^[|!].*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [line for line in text.splitlines() if len(line) > 120] == []
    assert [block for block in text.split("\n\n") if len(block.split()) > 120] == []


FINDINGS = sorted((ROOT / "findings").glob("*.sh"))


@pytest.mark.parametrize("script", FINDINGS, ids=lambda script: script.stem)
def test_a_finding_has_the_form_that_contributing_states(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert f"| `{script.stem}` |" in (ROOT / "findings" / "README.md").read_text(encoding="utf-8")
    assert script.stat().st_mode & 0o111, "it can be run"
    assert re.search(r"^# Expected", text, flags=re.MULTILINE)
    assert re.search(r"^# Seen", text, flags=re.MULTILINE)
    assert "set -euo pipefail" in text
    assert "mktemp -d" in text
    assert re.search(r"\w==\d", text), "packages are pinned"
    assert not re.search(r"(import|from) (maskloop|flows|models|serving|dataset|registry|monitoring)\b", text)
