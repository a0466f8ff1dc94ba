"""The champion on disk: what serves, verified each time it is asked for.

Which version that is, the ledger says, never the registry's alias. Once copied, neither the registry nor a
network is needed to serve, or to roll back to, a champion.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maskloop.errors import IntegrityError, NotFoundError, RefusedError, UnavailableError
from maskloop.files import directory_written_atomically, locked
from maskloop.records.kinds import ChampionChanged, VerdictReached
from maskloop.state.loop_state import LoopState, Rollout
from registry.gates.blessing import check_approval, check_blessing

Fetch = Callable[[str, str, Path], None]
"""Puts the files of a version with a weights digest into a folder; raises as `ModelStore.fetch` does."""
Verify = Callable[[Path, str], None]
"""Checks a folder against a weights digest; raises IntegrityError."""


@dataclass(frozen=True)
class ServedModel:
    """A champion that may be loaded: its files were just verified."""

    directory: Path
    version: str
    weights_digest: str
    blessing_id: str


def champion_copy(state: LoopState, fetch: Fetch, models_dir: Path, verify: Verify) -> ServedModel:
    """Return the ledger's champion as a verified folder, fetching it the first time.

    Args:
        state: Of the ledger: says which version serves, and why it may.
        fetch: Asked only when the folder is missing or damaged.
        models_dir: One folder per weights digest lies here.
        verify: Checks a folder against the weights digest; raises IntegrityError.

    Raises:
        NotFoundError: if nothing was promoted yet.
        RefusedError: if the champion was not blessed and approved when it was moved there.
        IntegrityError: if the registry's files are not the blessed ones, or if the copy is damaged and cannot
            be fetched again.
        UnavailableError: if there is no copy yet and the registry does not answer.
    """
    champion = require_champion(state)
    verdict = blessing_of(state)
    directory = models_dir / champion.weights_digest
    with locked(models_dir / ".lock", what="the copy of the champion", timeout_s=600.0):
        _make_sure(directory, champion.version, champion.weights_digest, fetch, verify)
    return ServedModel(directory, champion.version, champion.weights_digest, verdict.blessing_id)


def require_champion(state: LoopState) -> ChampionChanged:
    """Return what serves. Raises NotFoundError if nothing was promoted yet."""
    if state.champion is None:
        raise NotFoundError("nothing serves yet", hint="train, approve and promote a version first")
    return state.champion


def challenger_copy(
    state: LoopState, rollout: Rollout, fetch: Fetch, models_dir: Path, verify: Verify
) -> ServedModel:
    """Return a rollout's challenger as a verified folder, fetching it the first time.

    In the shadow nobody sees its answers, so the gates' word is enough; for a share of the traffic its
    approval must hold too.

    Raises:
        RefusedError: if the gates failed it, it was rolled back, or nobody approved what may answer.
        IntegrityError, UnavailableError, NotFoundError: as `champion_copy` does.
    """
    started = rollout.started
    verdict = check_blessing(state, started.weights_digest)
    if started.weights_digest in state.rolled_back:
        raise RefusedError(f"version {started.version} was rolled back")
    if rollout.share_percent > 0:
        check_approval(state, verdict)
    directory = models_dir / started.weights_digest
    with locked(models_dir / ".lock", what="the copy of the challenger", timeout_s=600.0):
        _make_sure(directory, started.version, started.weights_digest, fetch, verify)
    return ServedModel(directory, started.version, started.weights_digest, verdict.blessing_id)


def blessing_of(state: LoopState) -> VerdictReached:
    """Return the blessing that held when the present champion's change began.

    Raises:
        NotFoundError: if nothing was promoted yet.
        RefusedError: if the ledger holds no intent, verdict or approval that allowed it.
    """
    weights_digest, held = require_champion(state).weights_digest, state.champion_blessing
    as_it_was = LoopState(
        verdicts={weights_digest: held.verdict} if held.verdict else {},
        approvals={weights_digest: held.approval} if held.approval else {},
    )
    verdict = check_blessing(as_it_was, weights_digest)
    check_approval(as_it_was, verdict)
    return verdict


def _make_sure(directory: Path, version: str, digest: str, fetch: Fetch, verify: Verify) -> None:
    """Leave a verified folder, fetching it if it is missing or damaged."""
    if not directory.exists():
        return _replace(directory, version, digest, fetch, verify)
    try:
        verify(directory, digest)
    except IntegrityError as damage:
        try:
            _replace(directory, version, digest, fetch, verify)
        except (UnavailableError, NotFoundError) as error:
            raise IntegrityError(
                f"the copy of version {version} is damaged ({damage.headline}) and cannot be fetched again",
                where=str(directory),
                hint=str(error),
            ) from error


def _replace(directory: Path, version: str, digest: str, fetch: Fetch, verify: Verify) -> None:
    with directory_written_atomically(directory) as beside:
        fetch(version, digest, beside)
        verify(beside, digest)
        if directory.exists():  # the damaged one
            shutil.rmtree(directory)
