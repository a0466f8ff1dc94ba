"""The folder of a run: what was asked, how it was divided, and the answers of every finished shard.

A shard is finished once its file is there, which is written beside, synced and renamed. So a run may be
killed at any moment: what is finished is not done again, and nothing of it is lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Protocol, Self, TypeVar

import msgspec

from maskloop.errors import BusyError, IntegrityError, RefusedError, UnavailableError
from maskloop.files import locked, storage_error, write_bytes, write_text

_RUN_FILE, _LOCK_FILE, _FINISHED = "run.json", ".lock", "finished"
_OWN: Final = frozenset({_LOCK_FILE, _FINISHED})


class RunFacts(Protocol):
    """What a run is, as its folder records it: a dataclass whose fields JSON can hold."""

    def differences(self, asked: Self) -> list[str]:
        """Say what another run would do differently."""
        ...


_Facts = TypeVar("_Facts", bound=RunFacts)


@dataclass(frozen=True)
class RunFolder(Generic[_Facts]):
    """The folder of a run.

    Attributes:
        path: Where it is.
        kind: Of its facts.
        own: Files that it may hold before it has begun.
    """

    path: Path
    kind: type[_Facts]
    own: frozenset[str] = frozenset()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no other process work on it. Raises BusyError, StorageError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with locked(self.path / _LOCK_FILE, what="the run", timeout_s=0.5):
                yield
        except UnavailableError as error:
            if str(self.path / _LOCK_FILE) != error.where:
                raise
            raise BusyError(
                "another process works on this run", where=str(self.path), hint="wait for it, or stop it"
            ) from error
        except OSError as error:
            raise storage_error(error, self.path) from error

    def read_facts(self) -> _Facts | None:
        """Return what the run in the folder is, or None if none has begun there.

        Raises:
            RefusedError: if the folder holds something else.
            StorageError: if it is no folder, or may not be read.
            IntegrityError: if its record cannot be read.
        """
        try:
            stated = json.loads((self.path / _RUN_FILE).read_bytes())
            return msgspec.convert(stated, self.kind)
        except FileNotFoundError:
            self._refuse_other_files()
            return None
        except OSError as error:
            raise storage_error(error, self.path) from error
        except (ValueError, msgspec.ValidationError) as error:
            raise IntegrityError(
                f"the record of this run cannot be read: {error}",
                where=str(self.path / _RUN_FILE),
                hint="name another output folder",
            ) from error

    def refuse_unless_same(self, known: _Facts, asked: _Facts) -> None:
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

    def begin(self, facts: _Facts) -> None:
        """Write down that the run has begun. Raises StorageError."""
        told = json.dumps(msgspec.to_builtins(facts), indent=1, ensure_ascii=False)
        write_text(self.path / _RUN_FILE, told + "\n")

    def finished(self) -> set[int]:
        """Return the numbers of the shards that are finished."""
        folder = self.path / _FINISHED
        return {int(file.name.partition(".")[0]) for file in folder.glob("[0-9]*.json.gz")}

    def finish(self, number: int, packed: bytes) -> None:
        """Keep the packed answers of a shard. Raises StorageError."""
        write_bytes(self.result_file(number), packed)

    def result_file(self, number: int) -> Path:
        """Return where the answers of a shard are kept once it is finished."""
        return self.path / _FINISHED / f"{number:08d}.json.gz"

    def _refuse_other_files(self) -> None:
        found = self.path.iterdir() if self.path.exists() else ()
        others = sorted(
            file.name for file in found if file.name not in _OWN | self.own and not file.name.startswith(".")
        )
        if others:
            raise RefusedError(
                f"the output folder holds something else: {', '.join(others[:3])}",
                where=str(self.path),
                hint="name an empty folder, or that of a run that shall go on",
            )
