"""Builds the documentation site from the repository's Markdown, and fails on a link or page that is missing.

    python docs/build_site.py    # writes .site/html, open .site/html/index.html

Zensical checks links between pages; it knows neither files outside its folder nor folders. So the HTML
is read once more: every address leads to a page or to a file of the repository, every anchor exists, and
nothing is fetched from another host.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "*.md",
    "docs/**/*.md",
    "benchmarks/*/*.md",
    "deploy/**/*.md",
    "client/*.md",
    "findings/*.md",
    "tests/records/labels/*.md",
)
FETCHED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href"}
"""The attribute with an address that a browser fetches by itself, by tag."""


def main() -> None:
    """Build the site into ``.site/html`` and end with exit code 1 on any problem."""
    site = ROOT / ".site"
    problems = build(ROOT, (ROOT / "docs" / "zensical.toml").read_text(encoding="utf-8"), site)
    if problems:
        sys.exit("\n".join([*problems, f"{len(problems)} problems in the documentation site"]))
    pages = len(list(site.glob("html/**/*.html")))
    print(f"{pages} pages: {(site / 'html' / 'index.html').relative_to(ROOT)}")


def build(repository: Path, config: str, site: Path) -> list[str]:
    """Build the site of a repository into ``site/html`` and return its problems.

    ``config`` is the text of Zensical's settings, with patterns in its navigation.
    """
    pages = find_pages(repository)
    problems = list(find_navigation_problems(config, pages, repository))
    shutil.rmtree(site, ignore_errors=True)
    for page in [*pages, *find_styles(config)]:
        copy(repository / page, site / "pages" / page)
    (site / "zensical.toml").write_text(expand_patterns(config, repository), encoding="utf-8")
    problems += run_zensical(site)
    return problems or list(find_link_problems(site / "html", repository))


def find_pages(repository: Path) -> list[str]:
    """Return the Markdown files that become pages, as sorted paths relative to the repository."""
    found = (path for pattern in PAGES for path in repository.glob(pattern))
    return sorted({path.relative_to(repository).as_posix() for path in found})


def expand_patterns(config: str, repository: Path) -> str:
    """Return Zensical's settings with each quoted pattern replaced by the files that it matches."""

    def expand(match: re.Match[str]) -> str:
        paths = sorted(repository.glob(match[1]))
        return ", ".join(f'"{path.relative_to(repository).as_posix()}"' for path in paths)

    return re.sub(r'"([^"\n]*\*[^"\n]*\.md)"', expand, config)


def find_styles(config: str) -> list[str]:
    """Return the style sheets that Zensical's settings name.

    >>> find_styles('extra_css = ["docs/site.css"]')
    ['docs/site.css']
    """
    return re.findall(r'"([^"\n]+\.css)"', config)


def find_navigation_problems(config: str, pages: list[str], repository: Path) -> Iterator[str]:
    """Yield each page that the navigation leaves out, and each entry that is no page."""
    named = set(re.findall(r'"([^"\n]+\.md)"', expand_patterns(config, repository)))
    yield from (
        f"{page}: is not in the navigation (docs/zensical.toml)" for page in pages if page not in named
    )
    yield from (f"docs/zensical.toml: {page} is no page" for page in sorted(named - set(pages)))


def run_zensical(site: Path) -> list[str]:
    """Run Zensical on ``site`` and return what it says when it refuses."""
    command = [sys.executable, "-m", "zensical", "build", "--strict", "-f", str(site / "zensical.toml")]
    quiet = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=site, env=quiet, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [(done.stdout + done.stderr).partition("Traceback")[0].strip()]


def find_link_problems(html: Path, repository: Path) -> Iterator[str]:
    """Yield what is wrong with the addresses in the pages below ``html``.

    A file of the repository that a page links to is copied to the same place below ``html``.
    """
    pages = {path: read_page(path) for path in sorted(html.rglob("*.html"))}
    for path, page in pages.items():
        where = path.relative_to(html)
        for address in sorted(page.fetched):
            if urlsplit(address).netloc:
                yield f"{where}: fetches {address}; the site has to work offline"
        for address in sorted(page.addresses):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or where.name == "404.html":
                continue
            target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            if problem := find_target_problem(target, unquote(parts.fragment), pages, html, repository):
                yield f"{where}: {address}: {problem}"


def find_target_problem(
    target: Path, anchor: str, pages: dict[Path, Page], html: Path, repository: Path
) -> str | None:
    """Return what is wrong with one link of a page, or None; copy a linked file of the repository."""
    if not target.is_relative_to(html):
        return "leads out of the repository"
    if target.is_dir() and target / "index.html" in pages:
        target = target / "index.html"
    if target in pages:
        return None if not anchor or anchor in pages[target].anchors else "the page has no such anchor"
    source = repository / target.relative_to(html)
    if source.is_dir():
        return "the folder has no README.md"
    if not target.is_file():
        if not source.is_file():
            return "no such file in the repository"
        copy(source, target)
    return None


@dataclass
class Page(HTMLParser):
    """The addresses and anchors of one page."""

    addresses: set[str] = field(default_factory=set)
    fetched: set[str] = field(default_factory=set)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Start the parser."""
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what one tag links to and which anchor it sets."""
        for name, value in attrs:
            if not value:
                continue
            if name in ("href", "src"):
                self.addresses.add(value)
            if FETCHED.get(tag) == name and dict(attrs).get("rel") != "canonical":
                self.fetched.add(value)
            if name in ("id", "name"):
                self.anchors.add(value)


def read_page(path: Path) -> Page:
    """Return the addresses and anchors of an HTML file."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def copy(source: Path, target: Path) -> None:
    """Copy a file, with the folders that it needs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


if __name__ == "__main__":
    main()
