"""The kept decisions about engines: read, changed by one process at a time, and forgotten on request."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from flows.engines.engine_journal import UncleanEnd
from maskloop.files import locked, write_text
from models.engines.choice import TORCH, EngineChoice, EngineName, judge_end

_NAME_CHARACTERS: Final = 16


class EngineDecisions:
    """One folder for each weights digest, with decisions and the exports that engines run.

    Args:
        directory: Of the folders.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def name(self, key_digest: str) -> str:
        """Return what names a decision within its folder."""
        return key_digest[:_NAME_CHARACTERS]

    def file(self, weights_digest: str, name: str) -> Path:
        """Return where a decision is kept."""
        return self.directory / weights_digest / f"{name}.json"

    def export(self, weights_digest: str, name: str, engine: EngineName) -> Path:
        """Return the folder of what an engine runs."""
        return self.file(weights_digest, name).with_name(f"{name}-{engine}")

    def trace(self, weights_digest: str, name: str) -> Path:
        """Return the file of the traceback of a crash."""
        return self.file(weights_digest, name).with_name(f"{name}-crash.txt")

    def all(self) -> Iterator[tuple[Path, EngineChoice]]:
        """Yield every decision that can be read, with its file."""
        for file in sorted(self.directory.glob("*/*.json")):
            if (choice := read_choice(file)) and choice.key:
                yield file, choice

    def change(
        self, weights_digest: str, name: str, change: Callable[[EngineChoice], EngineChoice]
    ) -> EngineChoice | None:
        """Change a decision as it is kept now; return what it is then, None if there is none."""
        file = self.file(weights_digest, name)
        with locked(self.directory / ".decisions.lock", what="the decisions about engines"):
            before = read_choice(file)
            after = None if before is None else change(before)
            if after is not None and after != before:
                write_text(file, after.model_dump_json(indent=1) + "\n")
        return after

    def note_ends(self, ends: Sequence[UncleanEnd], now: datetime) -> list[tuple[EngineName, str]]:
        """Change what was decided on the engines in use when processes ended without a clean stop.

        Processes that ended together, such as the workers of one service, count once for each decision.

        Returns:
            The engines that are not used any more, and what is said about each.
        """
        said = list[tuple[EngineName, str]]()
        for (weights_digest, name, engine), end in _pick_decisive(ends).items():

            def judge(
                choice: EngineChoice, *, chosen: EngineName = engine, error: str = end.fatal_error
            ) -> EngineChoice:
                is_chosen = choice.engine == chosen != TORCH  # otherwise it was decided anew since
                return judge_end(choice, fatal_error=error, now=now) if is_chosen else choice

            after = self.change(weights_digest, name, judge)
            if after is not None and after.ended == engine:
                shutil.rmtree(self.export(weights_digest, name, engine), ignore_errors=True)
                if end.trace:
                    write_text(self.trace(weights_digest, name), end.trace)
                said.append((engine, after.reason))
        return said

    def forget_ends(self) -> list[EngineChoice]:
        """Remove the decisions that an end of the service made, so that the next start tries again."""
        forgotten = list[EngineChoice]()
        for file, choice in self.all():
            if choice.ended:
                file.unlink(missing_ok=True)
                forgotten.append(choice)
        return forgotten


def _pick_decisive(
    ends: Sequence[UncleanEnd],
) -> Mapping[tuple[str, str, EngineName], UncleanEnd]:
    """Return one end for each engine in use that it says something about; fatal errors say the most."""
    picked = dict[tuple[str, str, EngineName], UncleanEnd]()
    for end in sorted(ends, key=lambda end: bool(end.fatal_error)):
        for use in end.uses:
            if end.fatal_error or not use.is_proven:
                picked[use.weights_digest, use.decision, use.engine] = end
    return picked


def read_choice(file: Path) -> EngineChoice | None:
    """Return a kept decision; None if there is none that can be read."""
    try:
        return EngineChoice.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
