"""Measure the views over long histories: ``python -m benchmarks.views [--browser PROGRAM]``."""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.provenance import describe_run
from benchmarks.views.story import write_varied_story
from flows.views.page import SCRIPT_FILE, VIEWS, write_views
from flows.workspace.wiring import open_app

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHARTED = re.compile(r'class="js-plotly-plot|class="plot-container')
_BROWSER_TIMEOUT_S = 120
_WARM_UP_CYCLES = 3


def main() -> None:
    """Write a history of each length, write the views over it, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.views", description=__doc__)
    parser.add_argument("--cycles", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--browser", help="a Chromium: measures until a page has its charts")
    parser.add_argument("--keep", type=Path, help="leave the workspaces there, to be looked at")
    wanted = parser.parse_args()
    print(
        "| cycles | entries | all three views, CPU s | s | "
        + " | ".join(f"{one}, KB" for one in VIEWS)
        + " |"
    )
    print("|---|---|---|---|" + "---|" * len(VIEWS))
    with tempfile.TemporaryDirectory(prefix="views-benchmark-") as temporary:
        folder = wanted.keep or Path(temporary)
        pages: Sequence[Path] = ()
        write_varied_story(Path(temporary) / "warm", _WARM_UP_CYCLES)
        write_views(open_app(Path(temporary) / "warm"))  # imports and templates
        for num_cycles in wanted.cycles:
            root = folder / str(num_cycles)
            entries = len(write_varied_story(root, num_cycles).entries)
            open_app(root).state_reader.keep_snapshot()  # as any reconcile does
            app = open_app(root)
            began, began_cpu = time.perf_counter(), time.process_time()
            pages = [one.page for one in write_views(app).values()]
            cpu_s, wall_s = time.process_time() - began_cpu, time.perf_counter() - began
            sizes = " | ".join(f"{page.stat().st_size / 1e3:.0f}" for page in pages)
            print(f"| {num_cycles:,} | {entries:,} | {cpu_s:.2f} | {wall_s:.2f} | {sizes} |")
        script = pages[0].parent / SCRIPT_FILE
        print(f"\n{SCRIPT_FILE}: {script.stat().st_size / 1e6:.2f} MB, once beside the pages")
        if wanted.browser:
            empty = Path(temporary) / "empty.html"
            empty.write_text("<!doctype html><title>empty</title>", encoding="utf-8")
            print(f"an empty page: {_time_browser(wanted.browser, empty)[0]:.1f} s, the start included")
            for page in pages:
                seconds, is_charted = _time_browser(wanted.browser, page)
                print(f"{page.name}: {seconds:.1f} s{'' if is_charted else ', without charts'}")
    print(", ".join(f"{name} {value}" for name, value in describe_run().items()))


def _time_browser(program: str, page: Path) -> tuple[float, bool]:
    """Return the seconds until a new browser has loaded a page, and whether it has drawn charts by then."""
    began = time.perf_counter()
    done = subprocess.run(
        [program, "--headless=new", "--disable-gpu", "--no-sandbox", "--dump-dom", page.resolve().as_uri()],
        check=True,
        capture_output=True,
        text=True,
        timeout=_BROWSER_TIMEOUT_S,
    )
    return time.perf_counter() - began, bool(_CHARTED.search(done.stdout))


if __name__ == "__main__":
    main()
