"""The databases of a workspace, created or upgraded at once; its files, sent to where hosts share them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flows.workspace.wiring import App
from maskloop.database.store import Store
from maskloop.ledger import sql_ledger
from monitoring.samples import correction_log, sample_log
from monitoring.sketches import sketch_log
from serving.access import sql_key_book
from serving.rollout import sql_pair_log
from serving.sampling import sql_quota_book


def upgrade_databases(app: App) -> Mapping[str, int]:
    """Open every store, which creates or upgrades its database.

    Returns:
        The version of each store, by name.

    Raises:
        MaskloopError: as `maskloop.database.database.Database` does.
    """
    logs: tuple[tuple[Store, Callable[[], object]], ...] = (
        (sql_ledger.STORE, lambda: app.ledger),
        (sql_pair_log.STORE, lambda: app.pairs),
        (sample_log.STORE, lambda: app.samples),
        (correction_log.STORE, lambda: app.corrections),
        (sql_quota_book.STORE, lambda: app.quotas),
        (sketch_log.STORE, lambda: app.sketches),
        (sql_key_book.STORE, lambda: app.keys),
    )
    versions = {}
    for store, open_log in logs:
        open_log()
        versions[store.name] = store.newest_version
    return versions


def send_own_files(app: App) -> int:
    """Send what this workspace kept before it shared its files, where the store has not got it.

    Returns:
        How many files were sent; 0 if nothing is shared.

    Raises:
        MaskloopError: as `maskloop.blobs.port.Blobs` does.
    """
    workspace = app.workspace
    folders = (workspace.samples_dir / "pictures", workspace.slices_dir, workspace.baselines_dir)
    return sum(app.shared_files.send(folder, only_missing=True) for folder in folders)
