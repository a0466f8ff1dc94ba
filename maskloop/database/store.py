"""What a store is: tables with a name of their own and a line of numbered migrations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import MetaData

MIGRATIONS: Final = Path(__file__).with_name("migrations")


@dataclass(frozen=True)
class Store:
    """The tables that one log keeps. Several stores may lie in one database.

    Attributes:
        name: Names its folder of migrations and its table ``<name>_version``.
        what: What messages call it, such as ``the ledger``.
        metadata: Its tables as of the newest migration.
        synchronous: SQLite's pragma: ``FULL`` survives a power cut with the last entry, ``NORMAL`` without.
        scripts: The folder that holds its folder of migrations.
    """

    name: str
    what: str
    metadata: MetaData
    synchronous: Literal["FULL", "NORMAL"] = "NORMAL"
    scripts: Path = MIGRATIONS

    @property
    def version_table(self) -> str:
        """The table that holds the store's version."""
        return f"{self.name}_version"

    @property
    def migrations(self) -> Path:
        """The folder of ``v0001_baseline.py`` and what came after."""
        return self.scripts / self.name

    @property
    def newest_version(self) -> int:
        """The number of the last migration."""
        return max(int(file.name[1:5]) for file in self.migrations.glob("v[0-9][0-9][0-9][0-9]_*.py"))
