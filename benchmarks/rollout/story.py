"""The stories: a champion serves over HTTP, and one challenger after another wants its place.

The gates are set so low that they see nothing, which leaves the rollout alone to stop what is bad. Everything
is real: training, MLflow, the ledger, `maskloop serve` in a process of its own, pictures over HTTP.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.rollout.challengers import draw_batch, erode_masks
from benchmarks.rollout.traffic import Traffic
from dataset.ingestion.plan import IngestOptions
from flows.deciding.decisions import decide_by_hand
from flows.intake.batch_intake import ingest
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.workspace.creation import init_workspace
from flows.workspace.servers import service_running
from flows.workspace.wiring import App, open_app
from maskloop.errors import MaskloopError
from maskloop.files import write_text
from maskloop.state.loop_state import Rollout

BLIND_GATES: Final = """
[gates]                       # they see nothing: the rollout alone has to stop what is bad
min_mean_iou = 0.0
min_class_iou = 0.0
max_class_iou_drop = 1.0
max_false_positives_per_true_positive = 0
"""
AUTOMATIC: Final = """
[approval]
policy = "auto"
"""
SOURCE: Final = "belt camera 1"
BLIND_ROLLOUT: Final = """
max_latency_ratio = 1000.0
max_agreement_drop = 1.0
max_count_shift = 1.0
max_class_flips = 1.0
max_score_drop = 1.0
"""
SLOW: Final = """
min_size_px = 256
max_size_px = 512
test_proposals_before_nms = 2000
test_proposals = 1000
"""


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    num_pictures: int
    num_changed: int
    training_steps: int
    retrain_steps: int
    min_pictures: int
    min_step_pictures: int


FULL: Final = Size(600, 600, 400, 150, 100, 20)
QUICK: Final = Size(200, 200, 150, 40, 60, 10)


@dataclass(frozen=True)
class Told:
    """What became of one challenger.

    Attributes:
        name: Of the story.
        version: The challenger's.
        end: The rollout's last phase.
        reason: What its last move but one said: why it was stopped, or that it went through.
        largest_share_percent: The most traffic it was ever allowed.
        num_compared: Pictures that both models had answered when it was decided.
        seconds_to_decide: From the first picture both answered to the decision.
        seconds_to_leave: From the decision to the challenger's last answer to a client; 0 if none came after.
        answers_by_version: What the clients saw.
        statuses: HTTP statuses the clients saw.
    """

    name: str
    version: str
    end: str
    reason: str
    largest_share_percent: float
    num_compared: int
    seconds_to_decide: float
    seconds_to_leave: float
    answers_by_version: dict[str, int]
    statuses: dict[int, int]


def prepare(root: Path, size: Size) -> App:
    """Make a workspace whose first champion was trained and promoted."""
    init_workspace(root, preset="demo", model_name="rollouts")
    app = configure(root, size)
    annotations = draw_batch(root / "incoming" / "first", first_index=0, count=size.num_pictures)
    take(app, annotations)
    run_turn(app, starts_from="first-weights")
    reconcile(app)
    if app.state().champion is None:
        raise MaskloopError("the first champion was not promoted")
    return app


def configure(root: Path, size: Size, *, model: str = "", rollout: str = "", serving: str = "") -> App:
    """Write the settings of the next story and open the workspace with them."""
    preset = (Path(__file__).resolve().parents[2] / "configs" / "demo.toml").read_text()
    kept = re.sub(r"(?ms)^\[(gates|approval|rollout|serving)\].*?(?=^\[|\Z)", "", preset)
    kept = re.sub(r"(?m)^steps = \d+", f"steps = {size.training_steps}", kept)
    kept = re.sub(r"(?m)^retrain_steps = \d+", f"retrain_steps = {size.retrain_steps}", kept)
    kept = kept.replace('model_name = "metal-parts"', 'model_name = "rollouts"')
    for line in filter(None, model.splitlines()):
        key = line.partition("=")[0].strip()
        kept = re.sub(rf"(?m)^{key} = .*$", line, kept)
    steps = f"min_pictures = {size.min_pictures}\nmin_step_pictures = {size.min_step_pictures}\n"
    rollout = f"\n[rollout]\n{steps}min_step_minutes = 0\n{rollout}"
    serving = f'\n[serving]\nport = 0\nrate_limit = "1000000/minute"\n{serving}'
    write_text(root / "maskloop.toml", kept + BLIND_GATES + AUTOMATIC + rollout + serving)
    return open_app(root, actor="benchmark")


def take(app: App, annotations: Path) -> None:
    """Ingest a batch; the same pictures with other labels are relabelled."""
    ingest(app, annotations, annotations.parent / "images", options=IngestOptions(SOURCE))


def change_labels(
    root: Path, size: Size, *, name: str, shift: str | None = None, erode: bool = False
) -> Path:
    """Draw the first pictures again, labelled in another way."""
    annotations = draw_batch(root / "incoming" / name, first_index=0, count=size.num_changed, shift=shift)
    return erode_masks(annotations) if erode else annotations


def tell(app: App, name: str, pictures: list[bytes], *, timeout_s: float = 300.0) -> Told:
    """Train a challenger on what was ingested last, send traffic until its rollout is over, and tell."""
    cycle = run_turn(app, starts_from="champion")
    if cycle.candidate is None:
        raise MaskloopError(f"{name}: no challenger was trained")
    if (
        cycle.phase == "judged"
    ):  # a slice of an earlier story may ask for a person: here one who looks at nothing
        decide_by_hand(
            app, cycle.candidate.version, "approved", by="nobody careful", why="let the rollout tell"
        )
    with service_running(app.workspace) as url:
        _wait(lambda: _is_ready(url), 180, "the service is ready")
        with Traffic(url, pictures) as traffic:
            _wait(lambda: _is_over(app, cycle.id), timeout_s, f"the rollout of {name} ends")
            time.sleep(2)  # late answers of the challenger, if there are any, must be seen
    rollout = app.state().rollouts[cycle.id]
    reconcile(app)  # closes the cycle
    return _conclude(app, name, rollout, traffic)


def _conclude(app: App, name: str, rollout: Rollout, traffic: Traffic) -> Told:
    moves = [e for e in app.ledger.entries() if e.cycle_id == rollout.cycle_id and e.kind == "rollout.moved"]
    decided = next(
        (e for e in moves if e.payload["phase"] in ("aborting", "rolled-back", "promoting")), moves[-1]
    )
    offset_s = time.time() - time.monotonic()
    left_at = traffic.last_answer_by(rollout.started.version)
    left = 0.0 if left_at is None else max(0.0, left_at + offset_s - decided.at.timestamp())
    return Told(
        name=name,
        version=rollout.started.version,
        end=rollout.phase,
        reason=str(decided.payload["reason"]),
        largest_share_percent=max(float(e.payload["share_percent"]) for e in moves),
        num_compared=int(decided.payload["num_compared"]),
        seconds_to_decide=round(decided.at.timestamp() - traffic.answered[0].at_s - offset_s, 1),
        seconds_to_leave=round(left, 2) if rollout.phase == "rolled-back" else 0.0,
        answers_by_version=dict(traffic.versions()),
        statuses=dict(traffic.statuses()),
    )


def _is_over(app: App, cycle_id: str) -> bool:
    rollout = app.state().rollouts.get(cycle_id)
    return rollout is not None and rollout.is_over


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _wait(happened: Callable[[], bool], timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > deadline:
            raise MaskloopError(f"waited {timeout_s:.0f} s in vain until {what}")
        time.sleep(0.25)


def tell_all(root: Path, size: Size, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Tell stories in one workspace, in the order of `STORIES`; its champion is trained if there is none."""
    if not (root / "maskloop.toml").exists():
        prepare(root, size)
    pictures = traffic_pictures(root)
    for name, story in STORIES.items():
        if name in names:
            yield asdict(story(root, size, pictures))


def traffic_pictures(root: Path) -> list[bytes]:
    """Draw what production sends: the same line, pictures nobody trained on."""
    annotations = draw_batch(root / "incoming" / "production", first_index=50_000, count=400)
    return [file.read_bytes() for file in sorted((annotations.parent / "images").glob("*.png"))]


def tell_swapped(root: Path, size: Size, pictures: list[bytes]) -> Told:
    """Somebody mixes up two classes in the labels."""
    app = configure(root, size)
    take(app, change_labels(root, size, name="swapped", shift="label_swap"))
    return tell(app, "labels of two classes swapped", pictures)


def tell_eroded(root: Path, size: Size, pictures: list[bytes]) -> Told:
    """The annotators' habit changes a little."""
    app = configure(root, size)
    take(app, change_labels(root, size, name="eroded", erode=True))
    return tell(app, "masks annotated 3 px too small", pictures)


def tell_slow(root: Path, size: Size, pictures: list[bytes]) -> Told:
    """A challenger looks at pictures four times as large, and ten times as closely."""
    app = configure(root, size, model=SLOW)
    take(app, draw_batch(root / "incoming" / "slow", first_index=2000, count=40))
    return tell(app, "as good, several times as slow", pictures)


def tell_burning(root: Path, size: Size, pictures: list[bytes]) -> Told:
    """A slow challenger where nobody compares anything: the promise to the clients alone stops it."""
    app = configure(
        root,
        replace(size, retrain_steps=10),
        model="min_size_px = 512\nmax_size_px = 768",
        rollout=BLIND_ROLLOUT,
        serving="\n[serving.slo]\np50_ms = 80\np95_ms = 120\n",
    )
    take(app, draw_batch(root / "incoming" / "burning", first_index=3000, count=40))
    return tell(app, "slow, seen by the clients only", pictures)


def tell_better(root: Path, size: Size, pictures: list[bytes]) -> Told:
    """More pictures of the same line, labelled well."""
    app = configure(root, size)
    take(app, draw_batch(root / "incoming" / "better", first_index=1000, count=size.num_changed))
    return tell(app, "trained on, with more pictures", pictures)


STORIES: Final[dict[str, Callable[[Path, Size, list[bytes]], Told]]] = {
    "swapped": tell_swapped,
    "eroded": tell_eroded,
    "slow": tell_slow,
    "burning": tell_burning,
    "better": tell_better,
}
