"""What every SQL database of maskloop shares: its address, and its errors in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from maskloop.errors import MaskloopError, StorageError, UnavailableError
from maskloop.files import access_error

_MAY_NOT: Final = ("readonly database", "unable to open database file")
_DAMAGED: Final = ("malformed", "not a database")


def sqlite_url(file: Path) -> URL:
    """Return the address of a SQLite file, whatever characters its path has.

    In the text ``sqlite:///a?b`` the file is ``a``.
    """
    return URL.create("sqlite", database=str(file))


def place_of(url: str | URL) -> str:
    """Return where a database is, without user name and password.

    >>> place_of("postgresql://maskloop:secret@db/ledger"), place_of(sqlite_url(Path("/a?b/c.db")))
    ('postgresql://db/ledger', '/a?b/c.db')
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return parsed.database or ""
    shown = URL.create(parsed.drivername, host=parsed.host, port=parsed.port, database=parsed.database)
    return shown.render_as_string()


def explain(error: SQLAlchemyError | OSError, what: str, where: str) -> MaskloopError:
    """Say in plain words why a database cannot be used; the exit code tells whether to try again.

    Args:
        error: What SQLAlchemy or the operating system raised.
        what: The database, such as ``the ledger``.
        where: `place_of` it.
    """
    said = str(getattr(error, "orig", None) or error)
    is_file = "://" not in where
    if isinstance(error, PermissionError) or (is_file and any(words in said for words in _MAY_NOT)):
        return access_error(f"{what} cannot be opened", Path(where))
    if "locked" in said:
        return UnavailableError(
            f"{what} is locked by another process",
            where=where,
            hint="Run the same command again; if it stays locked, end the program that holds the file open",
        )
    if isinstance(error, OperationalError) and not is_file:
        return UnavailableError(f"{what} does not answer: {said}", where=where)
    hint = ""
    if "is full" in said:
        hint = "Free some space and run the same command again"
    elif any(words in said for words in _DAMAGED):
        hint = "Bring the file back from a backup"
    return StorageError(f"{what} cannot be used: {said}", where=where, hint=hint)
