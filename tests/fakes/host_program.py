"""One host of several: opens a workspace and does what it is told, a line of JSON at a time."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.workspace.wiring import App, open_app
from maskloop.errors import MaskloopError
from maskloop.ledger.leases import leased
from monitoring.samples.values import Sample

LEASE_S = 4.0


class Host:
    """What a host has done; times are of the machine's monotonic clock, which all its namespaces share."""

    def __init__(self, root: Path) -> None:
        self.app: App = open_app(root)
        self.worked: list[tuple[float, float]] = []
        self._stop = threading.Event()
        self._worker = threading.Thread(target=self._work_when_free, daemon=True)

    def work(self) -> None:
        """Work under the lease whenever it is free, step by step, until told to stop."""
        self._worker.start()

    def worked_so_far(self) -> list[tuple[float, float]]:
        return [*self.worked]

    def stop(self) -> list[tuple[float, float]]:
        self._stop.set()
        self._worker.join(60)
        return self.worked

    def add_samples(self, names: list[str]) -> list[str]:
        """Take samples as the service does; return those that were taken down."""
        taken = []
        for name in names:
            with suppress(MaskloopError):  # lost, and counted by the service
                if self.app.samples.add(sample(name), picture_of(name)):
                    taken.append(name)
        return taken

    def score(self, names: list[str]) -> list[str]:
        return [*self.app.samples.mark_scored("drift", names)]

    def look(self, names: list[str]) -> dict[str, Any]:
        """What this host knows: kept pictures, counts, the champion and the entries' keys."""
        kept = [self.app.samples.get(name) for name in names]
        held = {one.sample_id: self.app.samples.picture_bytes(one) for one in kept if one}
        counts, state = self.app.samples.counts(), self.app.state()
        return {
            "whole": [name for name, picture in held.items() if picture == picture_of(name)],
            "counts": [counts.received, counts.scored, counts.skipped, counts.pending],
            "champion": state.champion.version if state.champion else "",
            "keys": [entry.key for entry in self.app.ledger.entries() if entry.key.startswith("trigger")],
        }

    def append(self, key: str) -> int:
        return self.app.ledger.append("thing.happened", {}, key=key).sequence

    def share(self, name: str, text: str) -> int:
        file = self.app.workspace.slices_dir / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return self.app.shared_files.send(file)

    def bring(self, name: str) -> str:
        file = self.app.workspace.slices_dir / name
        self.app.shared_files.bring(file)
        return file.read_text() if file.exists() else ""

    def _work_when_free(self) -> None:
        while not self._stop.wait(0.05):
            with suppress(MaskloopError), leased(self.app.ledger, "cycle work", ttl_s=LEASE_S) as check:
                while not self._stop.wait(0.02):
                    began = time.monotonic()
                    check()
                    self.worked.append((began, time.monotonic()))


def sample(name: str) -> Sample:
    return Sample(
        sample_id=name,
        received_at=datetime.now(UTC),
        model_version="1",
        weights_digest="w",
        picture_digest=name,
        source="camera",
        features={"brightness": 0.5},
    )


def picture_of(name: str) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + name.encode() * 100


def main() -> None:
    host = Host(Path(sys.argv[1]))
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"answer": getattr(host, asked["do"])(*asked["with"])}
        except MaskloopError as error:
            answer = {"refused": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
