"""The whole loop in memory: every port a fake. Each picture shows one bolt and one nut, ten rows high."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.labelled_pictures import DatasetVersion, LabelledInstance, LabelledPicture, Split
from dataset.labelling.folder_tool import FolderTool
from dataset.labelling.port import LabellingTool
from dataset.pictures.decoding import encode_png
from dataset.versions.catalog import Catalog
from evaluation.overlays import Artist
from flows.workspace.wiring import App
from maskloop.digest import digest_bytes
from maskloop.folding.fold import fold
from maskloop.ledger.port import Entry
from maskloop.records.kinds import Record, read_record
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState
from maskloop.workspace import Workspace
from monitoring.pages.feature_report import HTML_FILE
from tests.fakes.channels import FakeChannel
from tests.fakes.correction_log import FakeCorrectionLog
from tests.fakes.crashing import Countdown, crashing
from tests.fakes.dataset_store import FakeDatasetStore
from tests.fakes.engines import FakeEngines
from tests.fakes.ledger import FakeClock, FakeLedger
from tests.fakes.model_ports import (
    CLASS_NAMES,
    SIDE_PX,
    BlankArtist,
    FakeExporter,
    FakeMachine,
    FakePredictors,
    FakeTrainer,
    draw_picture,
)
from tests.fakes.model_store import FakeModelStore
from tests.fakes.pair_log import FakePairLog
from tests.fakes.run_tracker import FakeRunTracker
from tests.fakes.sample_log import FakeSampleLog
from tests.fakes.searcher import FakeSearcher

SETTINGS = """
[training]
steps = 2
retrain_steps = 2
device = "cpu"

[gates]
min_instances = 2
min_pictures = 2
resamples = 200

[retraining]
min_new_labelled_samples = 3
cooldown_hours = 0
max_cycles_per_week = 100
"""


class CrashingWrites:
    """Counts the calls that change something: to die before a look is to die after the change before it."""

    looks = frozenset(
        {"entries", "find", "newest_snapshot", "version", "versions", "with_alias", "current", "open", "url"}
        | {"version_url", "refuse_to_lose", "waiting", "num_waiting", "labels", "newest", "newest_sequence"}
        | {"picture_bytes"}
        | {"name", "find_project", "list_tasks", "tell_losses", "pull", "fetch_picture"}
        | {"counts", "judged", "metric_history", "params"}
    )

    def __init__(self, part: Any, countdown: Countdown) -> None:
        self._part, self._counting = part, crashing(part, countdown)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part if name in self.looks else self._counting, name)


@dataclass(frozen=True)
class FakeApp(App):
    """An App whose parts are the world's fakes; each call that changes something is a place to crash."""

    world: World | None = None
    countdown: Countdown | None = None

    @cached_property
    def ledger(self) -> Any:
        return self._part("ledger")

    @cached_property
    def data(self) -> Any:
        return self._part("data")

    @cached_property
    def models(self) -> Any:
        return self._part("models")

    @cached_property
    def tracker(self) -> Any:
        return self._part("tracker")

    @cached_property
    def samples(self) -> Any:
        return self._part("samples")

    @cached_property
    def pairs(self) -> Any:
        return self._part("pairs")

    @cached_property
    def corrections(self) -> Any:
        return self._part("corrections")

    @cached_property
    def labelling_tool(self) -> Any:
        return self._part("labelling_tool")

    @property
    def channels(self) -> Any:
        return self._world.channels

    @cached_property
    def trainer(self) -> Any:
        return self._world.trainer

    @cached_property
    def searcher(self) -> Any:
        return self._world.searcher

    @cached_property
    def predictors(self) -> Any:
        return self._world.predictors

    @cached_property
    def exporter(self) -> Any:
        return self._world.exporter

    @cached_property
    def engines(self) -> Any:
        return self._world.engines

    @cached_property
    def machine(self) -> Any:
        return self._world.machine

    @property
    def open_models(self) -> Any:
        return self._world.open_models

    @cached_property
    def feature_report(self) -> Any:
        return FakeFeatureReport()

    @property
    def artist(self) -> Any:
        return self._world.artist

    @cached_property
    def code_revision(self) -> str:
        return "0" * 40

    @property
    def _world(self) -> World:
        assert self.world is not None
        return self.world

    def _part(self, name: str) -> Any:
        part = getattr(self._world, name)
        return CrashingWrites(part, self.countdown) if self.countdown else part


class FakeFeatureReport:
    """Writes an empty page: Evidently takes ten seconds to import."""

    def write(self, _reference: Any, _current: Any, directory: Path, **_more: Any) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / HTML_FILE).write_text("")


class World:
    """One workspace, its fakes, and the people around it."""

    def __init__(
        self, root: Path, *, settings: str = "", rollout: str = "enabled = false", gates: str = ""
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        own = SETTINGS.replace("[gates]\n", f"[gates]\n{gates}")
        (root / "maskloop.toml").write_text(f"{own}\n[rollout]\n{rollout}\n\n{settings}")
        self.workspace = Workspace(root)
        self.clock = FakeClock()
        self.ledger = FakeLedger(self.clock)
        self.models = FakeModelStore()
        self.tracker = FakeRunTracker()
        self.data = FakeDatasetStore(root / "versions")
        self.samples = FakeSampleLog()
        self.corrections = FakeCorrectionLog()
        self.pairs = FakePairLog()
        self.labelling_tool: LabellingTool = FolderTool(root / "labelling")
        self.channels: dict[str, FakeChannel] = {}
        self.trainer = FakeTrainer()
        self.searcher = FakeSearcher()
        self.predictors = FakePredictors()
        self.exporter = FakeExporter()
        self.machine, self.engines = FakeMachine(), FakeEngines()
        self.open_models: Callable[[], tuple[Any, Any]] = lambda: (self.predictors, self.machine)
        self.artist: Artist = BlankArtist()

    def app(self, *, actor: str = "rita", countdown: Countdown | None = None) -> App:
        self.trainer.countdown = countdown
        return FakeApp(self.workspace, clock=self.clock, actor=actor, world=self, countdown=countdown)

    # What is there:

    @property
    def state(self) -> LoopState:
        return fold(self.ledger.entries())

    @property
    def last_cycle(self) -> Cycle:
        return list(self.state.cycles.values())[-1]

    @property
    def records(self) -> list[Record]:
        return [record for entry in self.ledger.entries() if (record := read_record(entry))]

    def of_kind(self, kind: type[Record]) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]

    def entries_of(self, cycle: str) -> list[Entry]:
        return [entry for entry in self.ledger.entries() if entry.cycle_id == cycle]

    def alias(self, alias: str) -> str:
        found = self.models.with_alias(alias)
        return found.version if found else ""

    # What people do:

    def label(
        self,
        numbers: range,
        *,
        swap_classes_of: str = "",
        source: str = "belt",
        brighter: int = 0,
        one_hash: bool = False,
    ) -> DatasetVersion:
        """Put labelled pictures of a source into the data, as an ingest does before it tells the ledger.

        In the pictures added in the version ``swap_classes_of``, bolts and nuts are mixed up. With
        ``one_hash`` all pictures have the same hash of their look, as near-duplicates do.
        """
        before = self.data.current()
        pictures = list(before.pictures) if before else []
        tag = f"data-v{len(self.data.versions()) + 1}"
        with self.data.staging() as folder:
            for picture in pictures:
                assert before is not None
                (folder / picture.file).parent.mkdir(parents=True, exist_ok=True)
                (folder / picture.file).write_bytes(before.path(picture).read_bytes())
            pictures += [_store(folder, number, tag, source, brighter) for number in numbers]
            pictures = [_swapped(one) if one.added_in == swap_classes_of else one for one in pictures]
            hashes = {one.digest: 0 if one_hash else int(one.digest[:16], 16) for one in pictures}
            catalog = Catalog(CLASS_NAMES, tuple(pictures), hashes)
            return self.data.commit(folder, catalog, f"pictures {numbers}")

    def tag_version(self, version: str, decision: str, *, by: str = "") -> None:
        """Edit the tags in the MLflow UI."""
        if by:
            self.models.set_tag(version, "approved_by", by)
        self.models.set_tag(version, "approval", decision)


def _swapped(picture: LabelledPicture) -> LabelledPicture:
    swapped = tuple(replace(one, class_index=1 - one.class_index) for one in picture.instances)
    return replace(picture, instances=swapped)


@cache
def draw_under_lamp(number: int, brighter: int = 0) -> tuple[bytes, tuple[LabelledInstance, ...]]:
    """Draw picture ``number`` as a PNG file; a brighter lamp also adds its own noise."""
    pixels, instances = draw_picture(number)
    noise = np.random.default_rng(number).integers(0, 1 + brighter, pixels.shape)
    return encode_png(np.clip(pixels.astype(int) + brighter + noise, 0, 255).astype(np.uint8)), instances


def _store(folder: Path, number: int, tag: str, source: str, brighter: int) -> LabelledPicture:
    """Write one picture; of six, two are for the test, one for validation."""
    data, instances = draw_under_lamp(number, brighter)
    digest = digest_bytes(data)
    splits: tuple[Split, ...] = ("train", "train", "train", "val", "test", "test")
    file = f"images/{digest}.png"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(data)
    name = f"{number:03d}.png"
    where = (SIDE_PX, SIDE_PX, source, digest, splits[number % 6])
    return LabelledPicture(digest, file, name, *where, tag, "human", instances)


def leave_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no server that the environment names be asked, and nothing be waited for until it is on the disk.

    Here processes die, but nobody cuts the power.
    """
    monkeypatch.setattr("os.fsync", lambda _file: None)
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
