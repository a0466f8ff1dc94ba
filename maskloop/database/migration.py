"""Upgrading a store with Alembic. Imported only when there is something to upgrade."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Final

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from maskloop.database.store import Store

_OPERATIONS: Final = Lock()
"""Migrations speak to `alembic.op`, of which a process has one."""


def upgrade(connection: Connection, store: Store) -> None:
    """Apply the migrations that a store lacks, in the transaction under way: all of them or none.

    Args:
        connection: Holds the store's lock, so that one process upgrades it.
        store: Names the migrations.
    """
    context = MigrationContext.configure(connection, opts={"version_table": store.version_table})
    scripts = _scripts(store)
    with _OPERATIONS, Operations.context(context):
        newest_first = scripts.iterate_revisions("head", context.get_current_revision() or "base")
        for script in reversed(list(newest_first)):
            script.module.upgrade()
            context.stamp(scripts, script.revision)


@cache
def _scripts(store: Store) -> ScriptDirectory:
    return ScriptDirectory(store.scripts, version_locations=[store.migrations])
