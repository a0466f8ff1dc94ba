"""One champion in a workspace's folders, and the services that share what is decided about its engine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from flows.engines.engine_book import EngineBook, EngineWish
from flows.engines.engine_journal import EngineJournal
from models.engines.choice import EngineChoice, Trial
from models.ports import Predictor
from registry.champion.serving_copy import ServedModel
from serving.observing import SilentObserver
from tests.fakes.engines import FakeEngines

FAST: Final = Trial(engine="openvino", times_faster=2.3, num_pictures=1, num_instances=3, mask_iou=1.0)
DIGEST: Final = "a" * 64


class Noting(SilentObserver):
    def __init__(self) -> None:
        self.failures: list[tuple[str, str]] = []

    def engine_failed(self, engine: str, trouble: str) -> None:
        self.failures.append((engine, trouble))


class Shelf:
    """A workspace's folders, one champion, and the services that share them."""

    def __init__(self, root: Path) -> None:
        self.engines, self.observer = FakeEngines({"openvino": FAST}), Noting()
        self.directory, self.models_dir = root / "engines", root / "models"
        self.served = self.add_model(DIGEST)
        self.pictures: Any = lambda _served: [np.zeros((8, 8, 3), np.uint8)]
        self.wish = EngineWish("auto", 0.98, "cpu", (2, 1))
        self.in_memory: Predictor | None = None
        self.now, self.elapsed_s = datetime(2026, 12, 1, tzinfo=UTC), 0.0
        self.journal = EngineJournal(self.directory, lambda _handle: lambda: None)

    def add_model(self, digest: str) -> ServedModel:
        folder = self.models_dir / digest
        folder.mkdir(parents=True)
        return ServedModel(folder, "1", digest, "b" * 64)

    def open(self) -> EngineBook:
        return EngineBook(
            self.directory,
            self.models_dir,
            open_engines=lambda: self.engines,
            find_wish=lambda: self.wish,
            find_pictures=self.pictures,
            observer=self.observer,
            journal=self.journal,
            now=lambda: self.now,
            elapsed_s=lambda: self.elapsed_s,
        )

    def serve(self) -> tuple[EngineBook, Predictor | None]:
        """Start a service as a process of its own does, and load the model."""
        self.journal = EngineJournal(self.directory, lambda _handle: lambda: None)
        book = self.open()
        self.decide(book)
        self.in_memory = book.load(self.served)
        return book, self.in_memory

    def end(self, trace: str = "") -> None:
        """End the process of the newest service without a clean stop."""
        (file,) = self.directory.glob("*.in-use")
        self.journal.release()
        file.write_text(file.read_text() + trace)

    def decide(self, book: EngineBook, served: ServedModel | None = None) -> EngineChoice:
        """Ask, wait for the trial that this starts, and ask again."""
        book.find(served or self.served)
        book._thread.submit(lambda: None).result(20)
        choice = book.find(served or self.served)
        assert choice is not None
        return choice
