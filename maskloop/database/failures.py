"""What SQLAlchemy raises, in plain words and with an exit code that says whether to try again."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from maskloop.errors import MaskloopError, StorageError, UnavailableError
from maskloop.files import access_error

_FORBIDDEN: Final = ("readonly database", "unable to open database file")
_DAMAGED: Final = ("malformed", "not a database")
_LOCKED: Final = ("locked", "lock timeout")


def explain(error: SQLAlchemyError | OSError, what: str, where: str) -> MaskloopError:
    """Say in plain words why a database cannot be used; the exit code tells whether to try again.

    Args:
        error: What SQLAlchemy or the operating system raised.
        what: The database, such as ``the ledger``.
        where: `place_of` it.
    """
    # PostgreSQL's message goes on with the statement.
    said = str(getattr(error, "orig", None) or error).partition("\n")[0]
    is_file = "://" not in where
    if isinstance(error, PermissionError) or (is_file and any(words in said for words in _FORBIDDEN)):
        return access_error(f"{what} cannot be opened", Path(where))
    if any(words in said for words in _LOCKED):
        holder = "the program that holds the file open" if is_file else "the session that holds the lock"
        return UnavailableError(
            f"{what} is locked by another process",
            where=where,
            hint=f"Run the same command again; if it stays locked, end {holder}",
        )
    if isinstance(error, OperationalError) and not is_file:
        return UnavailableError(f"{what} does not answer: {said}", where=where)
    hint = ""
    if "is full" in said:
        hint = "Free some space and run the same command again"
    elif any(words in said for words in _DAMAGED):
        hint = "Bring the file back from a backup"
    elif "permission denied" in said:
        hint = "Grant it to the user of this address, or upgrade once as the owner of the tables"
    return StorageError(f"{what} cannot be used: {said}", where=where, hint=hint)
