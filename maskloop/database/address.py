"""Addresses of databases: how settings write them, and how messages show them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from maskloop.errors import ConfigurationError

_POSTGRESQL: Final = ("postgresql", "postgres", "postgresql+psycopg")
_FORMS: Final = "write postgresql://user@host/database or sqlite:////folder/file.db"


def sqlite_url(file: Path) -> URL:
    """Return the address of a SQLite file, whatever characters its path has.

    In the text ``sqlite:///a?b`` the file is ``a``.
    """
    return URL.create("sqlite", database=str(file))


def read_url(written: str | URL) -> URL:
    """Read an address as settings write it; PostgreSQL is reached through psycopg.

    >>> read_url("postgresql://maskloop@db/parts").drivername
    'postgresql+psycopg'

    Raises:
        ConfigurationError: if it is none, or names another kind of database. The text is not shown, because
            it may hold a password.
    """
    try:
        url = make_url(written)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise ConfigurationError("the address of the database cannot be read", hint=_FORMS) from None
    if url.drivername in _POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite":
        raise ConfigurationError(
            f"{url.drivername} is not a kind of database that maskloop knows",
            where=place_of(url),
            hint=_FORMS,
        )
    if url.database in (None, "", ":memory:"):
        raise ConfigurationError("a SQLite address without a file keeps nothing", hint=_FORMS)
    return url


def place_of(url: str | URL) -> str:
    """Return where a database is, without user name and password.

    >>> place_of("postgresql://maskloop:secret@db/ledger"), place_of(sqlite_url(Path("/a?b/c.db")))
    ('postgresql://db/ledger', '/a?b/c.db')
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return parsed.database or ""
    shown = URL.create(
        parsed.get_backend_name(), host=parsed.host, port=parsed.port, database=parsed.database
    )
    return shown.render_as_string()
