"""A workspace with champions to serve: two that served, and a third that waits to be promoted."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.rollout.challengers import draw_batch
from benchmarks.rollout.story import Size, configure, prepare, take
from flows.deciding.decisions import decide_by_hand
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.workspace.wiring import App, open_app
from maskloop.errors import MaskloopError
from maskloop.files import write_bytes, write_text

FULL: Final = Size(400, 40, 300, 40, 100, 20)
QUICK: Final = Size(200, 24, 60, 10, 60, 10)
NUM_PICTURES: Final = 64
_FIRST_PRODUCTION_PICTURE: Final = 50_000


@dataclass(frozen=True)
class Prepared:
    """What the load test needs.

    Attributes:
        app: The workspace, its second-newest champion in service.
        first: The version that served before.
        champion: The version that serves.
        waiting: The version that is approved and only has to be promoted.
        directories: Where the weights of all of them lie.
        pictures: The folder of pictures that clients send.
    """

    app: App
    first: str
    champion: str
    waiting: str
    directories: Mapping[str, Path]
    pictures: Path


def make_ready(root: Path, *, quick: bool) -> Prepared:
    """Make the workspace, or bring the one that is there to where a load test can begin (again)."""
    size = QUICK if quick else FULL
    if not (root / "maskloop.toml").exists():
        prepare(root, size)
    app = set_up(root, size)
    if not app.state().open_cycles:
        _approve_another(app, size)
        reconcile(app, start_work=lambda _cycle: None)
        _approve_another(app, size)
    champion, cycle = app.state().champion, app.state().open_cycles[0]
    if champion is None or not champion.previous_version or cycle.candidate is None:
        raise MaskloopError("the workspace is not ready for a load test", where=str(root))
    waiting = cycle.candidate
    directories = {
        champion.previous_version: app.workspace.models_dir / champion.previous_digest,
        champion.version: app.copies.fetch_champion(app.state()).directory,
        waiting.version: _fetch(app, waiting.version, waiting.weights_digest),
    }
    pictures = draw_pictures(root / "pictures")
    return Prepared(app, champion.previous_version, champion.version, waiting.version, directories, pictures)


def set_up(root: Path, size: Size) -> App:
    """Write the settings of the service under load and open the workspace with them.

    All is as it comes, but for the rate limit (one client is all clients here) and rollouts, which would put
    the promoted version beside the champion instead of in its place.
    """
    configure(root, size, rollout="enabled = false\n")
    file = root / "maskloop.toml"
    write_text(file, file.read_text().replace('policy = "auto"', 'policy = "manual"'))
    return open_app(root, actor="benchmark")


def command_of_maskloop() -> str:
    """Return the path of the command `maskloop`."""
    return str(Path(sys.executable).with_name("maskloop"))


def draw_pictures(folder: Path) -> Path:
    """Draw what clients send: the line's pictures that nobody trained on, as PNG."""
    if not folder.exists():
        annotations = draw_batch(
            folder.with_name("production"), first_index=_FIRST_PRODUCTION_PICTURE, count=NUM_PICTURES
        )
        for file in (annotations.parent / "images").glob("*.png"):
            write_bytes(folder / file.name, file.read_bytes())
    return folder


def _approve_another(app: App, size: Size) -> None:
    """Take new pictures in, train on from the champion, and approve what comes of it."""
    number = len(app.state().cycles)
    folder = app.workspace.root / "incoming" / f"batch-{number}"
    take(app, draw_batch(folder, first_index=1000 * number, count=size.num_changed))
    cycle = run_turn(app, starts_from="champion")
    if cycle.candidate is None or cycle.phase != "judged":
        raise MaskloopError(f"{cycle.id} is {cycle.phase}: no version to promote")
    decide_by_hand(app, cycle.candidate.version, "approved", by="benchmark", why="the load test needs it")


def _fetch(app: App, version: str, weights_digest: str) -> Path:
    """Copy the weights of a version that never served from the registry."""
    directory = app.workspace.root / "waiting" / version
    if not directory.exists():
        app.models.fetch(version, directory)
    app.copies.verify(directory, weights_digest)
    return directory
