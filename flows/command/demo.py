"""`maskloop demo`: one whole turn of the loop on generated pictures."""

from __future__ import annotations

import os
from pathlib import Path

import click

from flows.console.output import Output, with_output
from flows.demo.story import FOLDER, run_demo


@with_output
def demo(directory: Path, out: Output, *, pictures: int, labels: str) -> None:
    """Run one whole turn of the loop on generated pictures."""
    if labels and labels != FOLDER and not labels.startswith(("http://", "https://")):
        raise click.UsageError(
            f"--labels takes `{FOLDER}` or the address of a Label Studio server: http://..."
        )
    # Must be set before torch is imported: on a busy laptop a network this small is slower with two threads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    result = run_demo(directory, num_pictures=pictures, labels=labels)
    out.answer(result, lambda: None)
