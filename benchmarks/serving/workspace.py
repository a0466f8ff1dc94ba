"""A workspace with champions to serve: two that served, and a third that waits to be promoted."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.rollout.challengers import draw_batch
from benchmarks.rollout.story import Size, configure, prepare, take
from flows.promote import decide_by_hand
from flows.reconcile import reconcile
from flows.retrain import run_turn
from flows.serve import fetch_champion, verify_weights
from flows.wiring import App, open_app
from maskloop.errors import MaskloopError
from maskloop.files import write_bytes, write_text
from maskloop.state import Cycle
from registry.store import ModelStore

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
    """Make the workspace, or bring the one that is there to where a load test can begin again."""
    size = QUICK if quick else FULL
    if not (root / "maskloop.toml").exists():
        prepare(root, size)
    app = set_up(root, size)
    first = _champion(app)
    directories = {first: fetch_champion(app).directory}
    second = _train(app, size)
    decide_by_hand(app, second, "approved", by="benchmark", why="the load test needs it")
    reconcile(app, start_work=lambda _app, _cycle: None)
    if _champion(app) != second:
        raise MaskloopError(f"version {second} was not promoted")
    directories[second] = fetch_champion(app).directory
    third = _train(app, size)
    decide_by_hand(app, third, "approved", by="benchmark", why="the load test promotes it")
    directories[third] = _fetch(app.models, app.state().open_cycles[0], root / "waiting")
    return Prepared(app, first, second, third, directories, draw_pictures(root / "pictures"))


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


def _train(app: App, size: Size) -> str:
    """Take new pictures in and train on from the champion; returns the version."""
    number = len(app.state().cycles)
    folder = app.workspace.root / "incoming" / f"batch-{number}"
    take(app, draw_batch(folder, first_index=1000 * number, count=size.num_changed))
    cycle = run_turn(app, starts_from="champion")
    if cycle.candidate is None or cycle.phase != "judged":
        raise MaskloopError(f"{cycle.id} is {cycle.phase}: no version to promote")
    return cycle.candidate.version


def _champion(app: App) -> str:
    champion = app.state().champion
    if champion is None:
        raise MaskloopError("nothing serves in this workspace")
    return champion.version


def _fetch(models: ModelStore, cycle: Cycle, folder: Path) -> Path:
    """Copy the weights of a version that never served from the registry."""
    if cycle.candidate is None:
        raise MaskloopError(f"{cycle.id} has no candidate")
    directory = folder / cycle.candidate.version
    if not directory.exists():
        models.fetch(cycle.candidate.version, directory)
    verify_weights(directory, cycle.candidate.weights_digest)
    return directory
