"""Workspaces of other versions. Earlier ones open, keep every row and are upgraded; newer ones are refused.

`tests/records/workspaces/before-migrations` was written by the classes of the last version without
migrations: 25 kinds of ledger entries, two leases, four pairs, three samples and the number of a forgotten
one, three corrections, a key, a slice and a data version. `postgresql.sql` is a dump of that version's ledger
and pairs in PostgreSQL.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, select, text
from sqlalchemy.exc import IntegrityError as BrokenConstraint

from dataset.versions.catalog import SCHEMA_VERSION, read_catalog
from flows.rollouts.slices import check_slices, kept_pictures
from flows.workspace.wiring import App, open_app
from maskloop.database.database import Database
from maskloop.database.store import Store
from maskloop.digest import digest_bytes, digest_value
from maskloop.errors import ConfigurationError
from maskloop.ledger import sql_ledger
from maskloop.ledger.port import check_chain
from maskloop.ledger.sql_ledger import SqlLedger
from maskloop.records.kinds import RECORDS, SliceRecorded, read_record
from maskloop.workspace import Workspace
from serving.rollout.sql_pair_log import SqlPairLog
from tests.fakes.ledger import FakeClock
from tests.fakes.model_ports import ColourPredictor
from tests.fakes.postgresql import PostgresqlServer
from tests.fakes.stores import STORES

KEPT = Path(__file__).parents[1] / "records" / "workspaces" / "before-migrations"
Rows = dict[str, list[Any]]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A copy: the kept one is never opened."""
    return Workspace(shutil.copytree(KEPT, tmp_path / "workspace"))


@pytest.fixture
def dumped_url(postgresql: PostgresqlServer, empty_postgresql_url: str) -> str:
    """A database that the version before migrations has written."""
    with postgresql.connect(make_url(empty_postgresql_url).database or "") as connection:
        connection.execute((KEPT / "postgresql.sql").read_bytes())
    return empty_postgresql_url


def rows_of(file: Path) -> Rows:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {name: database.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables}


def test_every_row_of_every_store_is_kept_by_the_upgrade(workspace: Workspace) -> None:
    files = [
        workspace.ledger_file,
        workspace.samples_dir / "samples.db",
        workspace.samples_dir / "corrections.db",
        workspace.pairs_file,
    ]
    before = {file: rows_of(file) for file in files}
    app = open_app(workspace.root)
    logs: tuple[Any, ...] = (app.ledger, app.samples, app.corrections, app.pairs)
    for log in logs:
        log.close()
    for store, file in zip(STORES[: len(files)], files, strict=True):  # the others came later
        after = rows_of(file)
        assert after.pop(store.version_table) == [(f"{store.newest_version:04}",)]
        assert {name: after[name] for name in before[file]} == before[file]
        assert all(before[file][name] for name in store.metadata.tables if name in before[file])


def test_the_ledger_reads_every_kind_of_entry_and_goes_on(workspace: Workspace) -> None:
    ledger = SqlLedger.at(workspace.ledger_file, clock=FakeClock())
    assert_ledger_goes_on(ledger)
    ledger.close()


def assert_ledger_goes_on(ledger: SqlLedger) -> None:
    entries = ledger.entries()
    check_chain(entries)
    came_later = {
        kind
        for kind in RECORDS
        if kind.startswith(("labels.", "notification.", "incident.", "quality.", "trace.", "gameday."))
    }
    assert {entry.kind for entry in entries} >= set(RECORDS) - {SliceRecorded.kind} - came_later
    assert all(read_record(entry) is not None for entry in entries)
    holder = ledger.lease_holder("training")
    assert holder is not None
    assert holder.pid == 4711
    assert ledger.lease_holder("promotion") is None
    check_chain([*entries, ledger.append("thing.happened", {})])


def test_samples_corrections_and_pairs_read_as_they_were_written(workspace: Workspace) -> None:
    app = open_app(workspace.root)
    newest, *_, oldest = app.samples.newest(10)
    assert (oldest.sample_id, oldest.embedding, oldest.orientation) == (
        "scored",
        pytest.approx((0.1, -2.5)),
        6,
    )
    assert app.samples.picture_bytes(newest)
    counts = app.samples.counts()
    assert (counts.received, counts.scored, counts.skipped, counts.pending) == (4, 1, 2, 1)
    said = app.corrections.get(["scored", "skipped", "pending"])
    instances = said["scored"].instances
    assert instances is not None
    (name, mask) = instances[0]
    assert (name, mask.height_px, mask.width_px) == ("bolt", 8, 12)
    assert app.corrections.labels(["skipped"])["skipped"].detail == "data-v2"
    assert app.corrections.num_waiting() == 1
    assert_pairs(app.pairs)  # type: ignore[arg-type]


def assert_pairs(pairs: SqlPairLog) -> None:
    assert [one.request_id for one in pairs.comparisons("cycle-2")] == ["r0", "r1", "r2", "r3"]
    worst = pairs.worst("cycle-2", 10)
    assert [(one.comparison.request_id, len(one.champion or ())) for one in worst] == [("r0", 1), ("r1", 1)]
    assert all(one.picture for one in worst)


def test_a_slice_a_key_and_a_data_version_read_as_they_were_written(workspace: Workspace) -> None:
    slices = open_app(workspace.root).state().slices
    assert len(kept_pictures(workspace.slices_dir, slices)) == 2
    keys = App(workspace, clock=FakeClock()).keys
    assert keys.check("mlk_00112233aabb_not-a-secret-any-more", "predict").name == "line 1"
    catalog = read_catalog(workspace.data_dir)
    assert catalog.class_names == ("bolt", "nut")
    assert [len(picture.instances) for picture in catalog.pictures] == [1, 1]


def test_a_ledger_in_postgresql_keeps_its_entries_and_becomes_append_only(dumped_url: str) -> None:
    """The version before had no triggers there."""
    before = Database(dumped_url, sql_ledger.STORE)
    table = sql_ledger.STORE.metadata.tables["entries"]
    ledger = SqlLedger(dumped_url, clock=FakeClock(), lease_clock=FakeClock())
    assert len(ledger.entries()) == 24
    assert_ledger_goes_on(ledger)
    with pytest.raises(BrokenConstraint, match="append-only"), before.writing() as connection:
        connection.execute(text("UPDATE entries SET actor = 'mallory'"))
    with before.reading() as connection:
        assert len(connection.execute(select(table)).all()) == 25
    ledger.close()
    before.close()


def test_pairs_in_postgresql_are_kept(dumped_url: str) -> None:
    pairs = SqlPairLog(dumped_url, keep_pictures=2)
    assert_pairs(pairs)
    pairs.close()


@pytest.fixture(autouse=True)
def _kept_workspace_is_untouched() -> Iterator[None]:
    before = {file: file.stat().st_mtime_ns for file in KEPT.rglob("*")}
    yield
    assert {file: file.stat().st_mtime_ns for file in KEPT.rglob("*")} == before


# --- newer ones ---------------------------------------------------------------------------------

OPENED: dict[str, Callable[[App], object]] = {
    "the ledger": lambda app: app.ledger,
    "the sample log": lambda app: app.samples,
    "the correction log": lambda app: app.corrections,
    "the pair log": lambda app: app.pairs,
    "the quotas of samples": lambda app: app.quotas,
    "the sketches of samples": lambda app: app.sketches,
    "the API keys": lambda app: app.keys,
}


@pytest.mark.parametrize(("store", "what"), list(zip(STORES, OPENED, strict=True)), ids=list(OPENED))
def test_a_newer_database_is_refused_by_name_and_left_as_it_is(
    workspace: Workspace, store: Store, what: str
) -> None:
    OPENED[what](open_app(workspace.root))
    (file,) = (file for file in workspace.state_dir.rglob("*.db") if store.version_table in rows_of(file))
    with closing(sqlite3.connect(file)) as database:
        database.execute(f"UPDATE {store.version_table} SET version_num = '0999'")
        database.commit()
    before = rows_of(file)
    with pytest.raises(ConfigurationError) as caught:
        OPENED[what](open_app(workspace.root))
    assert f"a newer maskloop has written {what}: it has version 999" in str(caught.value)
    assert str(file) in str(caught.value)
    assert rows_of(file) == before


READ: dict[str, tuple[str, Callable[[Workspace], object]]] = {
    "the API keys": (
        ".maskloop/keys.json",
        lambda workspace: open_app(workspace.root).keys,
    ),
    "the catalog of a data version": (
        "data/instances.json",
        lambda workspace: read_catalog(workspace.data_dir),
    ),
}


@pytest.mark.parametrize("what", READ)
def test_a_newer_file_is_refused_by_name_and_left_as_it_is(workspace: Workspace, what: str) -> None:
    name, read = READ[what]
    file = workspace.root / name
    text = file.read_text().replace('"schema_version": 1', '"schema_version":1')
    file.write_text(text.replace('"schema_version":1', '"schema_version":7'))
    before = file.read_bytes()
    up_to = SCHEMA_VERSION if what == "the catalog of a data version" else 3
    with pytest.raises(ConfigurationError) as caught:
        read(workspace)
    assert str(caught.value).startswith(
        f"a newer maskloop has written {what}: it has version 7, this one reads up to {up_to} ({file})"
    )
    assert file.read_bytes() == before


def test_keys_move_into_the_database_once_and_the_file_is_refused_by_the_version_before(
    workspace: Workspace,
) -> None:
    """It read up to version 2, and would go on letting in keys that were revoked since."""
    app = open_app(workspace.root)
    (key,) = app.keys.all()
    assert (key.id, stat.S_IMODE(workspace.keys_file.stat().st_mode)) == ("00112233aabb", 0o600)
    assert json.loads(workspace.keys_file_before.read_text())["schema_version"] == 3
    assert key.secret_digest not in workspace.keys_file_before.read_text()
    app.keys.revoke(key.id)
    shutil.copy(KEPT / ".maskloop" / "keys.json", workspace.keys_file_before)  # as a backup brings it
    assert open_app(workspace.root).keys.all() == []


def test_a_slice_of_a_newer_maskloop_leaves_a_verdict_open(workspace: Workspace) -> None:
    """As any slice that cannot be read: what was not asked is no pass."""
    file = workspace.slices_dir / "cycle-2" / "slice.json"
    file.write_text(file.read_text().replace('"schema_version": 2', '"schema_version": 3'))
    app = open_app(workspace.root)
    (recorded,) = (read_record(one) for one in app.ledger.entries() if one.kind == SliceRecorded.kind)
    assert isinstance(recorded, SliceRecorded)
    files = sorted(file.parent.iterdir())
    digest = digest_value([[one.name, digest_bytes(one.read_bytes())] for one in files])
    rewritten = recorded.model_copy(update={"pictures_digest": digest})
    (check,) = check_slices(
        [rewritten],
        ColourPredictor(1.0),
        app.corrections,
        workspace.slices_dir,
        max_mpx=50.0,
    )
    assert check.outcome == "inconclusive"
    assert "a newer maskloop has written a slice: it has version 3" in check.reason
