"""Which model answers in a run."""

from __future__ import annotations

from pathlib import Path

from flows.exporting.model_export import find_candidate
from flows.workspace.served import ModelCopies
from maskloop.ledger.port import Ledger
from maskloop.state.loop_state import LoopState


def choose_model(
    copies: ModelCopies, ledger: Ledger, state: LoopState, version: str
) -> tuple[str, str, Path]:
    """Return the version that answers, its weights and its verified folder; the champion if none is named."""
    if not version:
        served = copies.fetch_champion(state)
        return served.version, served.weights_digest, served.directory
    candidate = find_candidate(ledger, state, version)
    directory = copies.fetch_version(candidate.version, candidate.weights_digest)
    return candidate.version, candidate.weights_digest, directory
