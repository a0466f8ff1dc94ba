"""Where a training run stands, on disk, so that a killed run goes on where it was.

A checkpoint is `step-00000050.pt` (tensors and plain values only) and beside it its sha256. Both are written
atomically, the digest last; a file without a fitting digest does not count. The newest two are kept, so a
damaged newest one costs a few steps and not the run.
"""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any, Final

import torch

from maskloop.digest import digest_file
from maskloop.files import write_text, written_atomically

_log = logging.getLogger(__name__)
_KEPT: Final = 2


def save_checkpoint(directory: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the state after ``step`` steps and drop all but the newest two checkpoints.

    Args:
        directory: Of this run alone.
        step: Steps done.
        state: Tensors, numbers, text and lists or dictionaries of them.

    Raises:
        StorageError: if the disk is full; earlier checkpoints are untouched.
    """
    path = directory / f"step-{step:08d}.pt"
    with written_atomically(path) as beside:
        torch.save(state, beside)
        digest = digest_file(beside)
    write_text(_sidecar(path), digest + "\n")
    for old in _newest_first(directory)[_KEPT:]:
        _sidecar(old).unlink(missing_ok=True)
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(directory: Path) -> dict[str, Any] | None:
    """Return the newest intact state, or None; a damaged one is logged and the one before it is taken."""
    for leftover in directory.glob(".step-*.tmp"):  # of a process that was killed while writing
        leftover.unlink(missing_ok=True)
    for path in _newest_first(directory):
        if _is_intact(path):
            try:
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
                _log.warning("the checkpoint %s cannot be read (%s)", path.name, type(error).__name__)
                continue
            return state
        _log.warning("the checkpoint %s is damaged or incomplete; looking for an earlier one", path.name)
    return None


def _newest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob("step-*.pt"), reverse=True)


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _is_intact(path: Path) -> bool:
    sidecar = _sidecar(path)
    return sidecar.is_file() and sidecar.read_text(encoding="utf-8").strip() == digest_file(path)
