"""The folder of a batch: what was asked, how it was divided, and the answers of every finished shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from flows.batch.plan import Shard
from flows.batch.results import ShardResult
from flows.runs.kept import unpack
from flows.runs.run_folder import RunFolder
from maskloop.files import written_atomically

_PLAN_FILE: Final = "plan.jsonl"


@dataclass(frozen=True)
class BatchFacts:
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
    schema_version: int = 1

    def differences(self, asked: BatchFacts) -> list[str]:
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


class BatchFolder(RunFolder[BatchFacts]):
    """The folder of a batch, with its plan.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, BatchFacts, frozenset({_PLAN_FILE}))

    def plan(self, facts: BatchFacts, shards: Iterable[Shard]) -> BatchFacts:
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
        self.begin(counted)
        return counted

    def shards(self) -> Iterator[Shard]:
        """Yield the shards of the plan, in order."""
        with (self.path / _PLAN_FILE).open("rb") as file:
            for line in file:
                yield msgspec.json.decode(line, type=Shard)

    def result(self, number: int) -> ShardResult:
        """Return the answers of a finished shard. Raises IntegrityError."""
        file = self.result_file(number)
        return unpack(file.read_bytes(), ShardResult, where=str(file))
