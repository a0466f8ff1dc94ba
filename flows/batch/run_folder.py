"""The folder of a run: what was asked, how it was divided, and the answers of every finished shard.

A shard is finished once its file is there, which is written beside, synced and renamed. So a run may be
killed at any moment: what is finished is not done again, and nothing of it is lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from flows.batch.plan import Shard
from flows.batch.results import ShardResult, pack, unpack
from maskloop.errors import BusyError, IntegrityError, RefusedError, UnavailableError
from maskloop.files import locked, storage_error, write_bytes, write_text, written_atomically

_SCHEMA: Final = 1
_RUN_FILE, _PLAN_FILE, _LOCK_FILE, _FINISHED = "run.json", "plan.jsonl", ".lock", "finished"
_OWN: Final = frozenset({_PLAN_FILE, _LOCK_FILE, _FINISHED})


@dataclass(frozen=True)
class RunFacts:
    """What a run is. A folder holds the answers of one.

    Attributes:
        input: The place of the pictures.
        version: The registered version that answers.
        weights_digest: Its weights.
        class_names: Its classes.
        tile_px: Side of tiles.
        overlap_px: What two neighbours share at least.
        cuts_all: Pictures that could be read whole are cut too.
        min_score: The lowest score; None: the model's own threshold.
        code_revision: The git revision of maskloop.
        num_shards: How many shards there are.
        num_pictures: How many pictures.
        num_units: Pictures that are read whole, and tiles of others.
        schema_version: Of this file.
    """

    input: str
    version: str
    weights_digest: str
    class_names: tuple[str, ...]
    tile_px: int
    overlap_px: int
    cuts_all: bool
    min_score: float | None
    code_revision: str
    num_shards: int = 0
    num_pictures: int = 0
    num_units: int = 0
    schema_version: int = _SCHEMA

    def differences(self, asked: RunFacts) -> list[str]:
        """Say what another run would do differently.

        The code's revision is no difference, and neither is what is counted when the run is planned.
        """
        told = {
            "input": "the input",
            "weights_digest": "the model",
            "tile_px": "the tiles",
            "overlap_px": "the overlap of tiles",
            "cuts_all": "--tile",
            "min_score": "--min-score",
        }
        mine, theirs = asdict(self), asdict(asked)
        return [
            f"{words} ({mine[name]} there, {theirs[name]} asked)"
            for name, words in told.items()
            if mine[name] != theirs[name]
        ]


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run.

    Attributes:
        path: Where it is.
    """

    path: Path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no other process work on it. Raises BusyError, StorageError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with locked(self.path / _LOCK_FILE, what="the batch run", timeout_s=0.5):
                yield
        except UnavailableError as error:
            if str(self.path / _LOCK_FILE) != error.where:
                raise
            raise BusyError(
                "another process works on this run", where=str(self.path), hint="wait for it, or stop it"
            ) from error
        except OSError as error:
            raise storage_error(error, self.path) from error

    def read_facts(self) -> RunFacts | None:
        """Return what the run in the folder is, or None if none has begun there.

        Raises:
            RefusedError: if the folder holds something else.
            IntegrityError: if its record cannot be read.
        """
        try:
            stated = json.loads((self.path / _RUN_FILE).read_bytes())
            return msgspec.convert(stated, RunFacts)
        except FileNotFoundError:
            self._refuse_other_files()
            return None
        except (ValueError, msgspec.ValidationError) as error:
            raise IntegrityError(
                f"the record of this run cannot be read: {error}",
                where=str(self.path / _RUN_FILE),
                hint="name another output folder",
            ) from error

    def refuse_unless_same(self, known: RunFacts, asked: RunFacts) -> None:
        """Raise RefusedError if the run in the folder is another one than is asked for."""
        if differences := known.differences(asked):
            raise RefusedError(
                f"the output folder belongs to a run that differs in {', '.join(differences)}",
                where=str(self.path),
                hint="name another folder, or ask for the same",
            )

    def clear_leftovers(self) -> None:
        """Remove what writes that were killed left beside the files they were for."""
        for folder in (self.path, self.path / _FINISHED):
            for file in folder.glob(".*.tmp"):
                file.unlink(missing_ok=True)

    def begin(self, facts: RunFacts, shards: Iterable[Shard]) -> RunFacts:
        """Write the plan, then that the run has begun; return the facts with what was counted."""
        num_shards = num_units = num_pictures = 0
        with written_atomically(self.path / _PLAN_FILE) as beside, beside.open("wb") as file:
            last = ""
            for shard in shards:
                file.write(msgspec.json.encode(shard) + b"\n")
                num_shards, num_units = num_shards + 1, num_units + shard.num_units
                for stretch in shard.stretches:
                    num_pictures, last = num_pictures + (stretch.name != last), stretch.name
        counted = replace(facts, num_shards=num_shards, num_pictures=num_pictures, num_units=num_units)
        write_text(self.path / _RUN_FILE, json.dumps(asdict(counted), indent=1, ensure_ascii=False) + "\n")
        return counted

    def shards(self) -> Iterator[Shard]:
        """Yield the shards of the plan, in order."""
        with (self.path / _PLAN_FILE).open("rb") as file:
            for line in file:
                yield msgspec.json.decode(line, type=Shard)

    def finished(self) -> set[int]:
        """Return the numbers of the shards that are finished."""
        folder = self.path / _FINISHED
        return {int(file.name.partition(".")[0]) for file in folder.glob("[0-9]*.json.gz")}

    def finish(self, result: ShardResult) -> None:
        """Keep the answers of a shard. Raises StorageError."""
        write_bytes(self._result_file(result.number), pack(result))

    def result(self, number: int) -> ShardResult:
        """Return the answers of a finished shard. Raises IntegrityError."""
        file = self._result_file(number)
        return unpack(file.read_bytes(), where=str(file))

    def _result_file(self, number: int) -> Path:
        return self.path / _FINISHED / f"{number:08d}.json.gz"

    def _refuse_other_files(self) -> None:
        others = sorted(
            file.name
            for file in self.path.iterdir()
            if file.name not in _OWN and not file.name.startswith(".")
        )
        if others:
            raise RefusedError(
                f"the output folder holds something else: {', '.join(others[:3])}",
                where=str(self.path),
                hint="name an empty folder, or that of a run that shall go on",
            )
