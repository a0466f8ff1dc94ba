"""What only the real sample log can show: restarts, other processes, disks."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta, timezone
from pathlib import Path
from threading import Thread

import pytest

from maskloop.blobs.folder import FolderBlobs
from maskloop.errors import StorageError
from monitoring.samples.sample_log import Sample, SqlSampleLog, picture_file_name, sample_key
from tests.fakes.drift_data import NOON, sample_of


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqlSampleLog]:
    log = SqlSampleLog(tmp_path)
    yield log
    log.close()


def pictures_in(directory: Path) -> list[bytes]:
    return sorted(file.read_bytes() for file in directory.glob("pictures/*/*"))


def kept_numbers(log: SqlSampleLog) -> list[int]:
    return [int(one.sample_id[1:]) for one in log.newest(100) if one.picture_file]


def test_everything_survives_a_restart(tmp_path: Path, log: SqlSampleLog) -> None:
    log.add(sample_of("a"), b"\x89PNG picture")
    log.mark_scored("drift", ["a"])
    before = log.newest(1), log.counts()
    log.close()
    again = SqlSampleLog(tmp_path)
    assert (again.newest(1), again.counts()) == before
    assert again.picture_bytes(again.newest(1)[0]) == b"\x89PNG picture"
    assert again.mark_scored("drift", ["a"]) == ()
    again.close()


def test_the_picture_file_is_content_addressed_and_keeps_its_type(tmp_path: Path, log: SqlSampleLog) -> None:
    png, jpeg = b"\x89PNG\r\n\x1a\n x", b"\xff\xd8\xff y"
    log.add(sample_of("a"), png)
    log.add(sample_of("b"), png)
    log.add(sample_of("c"), jpeg)
    assert sorted(pictures_in(tmp_path)) == [png, jpeg]
    files = {one.sample_id: one.picture_file or "" for one in log.newest(3)}
    assert files["a"] == files["b"]
    assert files["a"].endswith(".png")
    assert files["c"].endswith(".jpg")


def test_files_over_the_quota_leave_the_disk(tmp_path: Path) -> None:
    log = SqlSampleLog(tmp_path, keep_pictures=2)
    for number in range(5):
        log.add(sample_of(str(number)), b"%d" % number)
    assert pictures_in(tmp_path) == [b"3", b"4"]
    log.close()


def test_the_quota_is_looked_at_without_reading_samples_in_an_earlier_versions_file_too(
    tmp_path: Path, log: SqlSampleLog
) -> None:
    """With thousands of pictures kept, reading their rows took five times as long as writing the sample."""
    log.close()
    with closing(sqlite3.connect(tmp_path / "samples.db")) as database:
        database.execute("DROP INDEX samples_with_a_picture")
        database.execute("DROP TABLE samples_version")
        database.commit()
    SqlSampleLog(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "samples.db")) as database:
        (step,) = database.execute(
            "EXPLAIN QUERY PLAN SELECT sequence, picture_file FROM samples"
            " WHERE picture_file IS NOT NULL ORDER BY sequence DESC LIMIT -1 OFFSET 2000"
        ).fetchall()
    assert "COVERING INDEX samples_with_a_picture" in step[-1]


def test_pruning_deletes_files_that_a_crash_left_behind_but_no_new_ones(
    tmp_path: Path, log: SqlSampleLog
) -> None:
    log.add(sample_of("a"), b"kept")
    orphan, fresh = (tmp_path / "pictures" / "00" / name for name in ("orphan.png", "fresh.png"))
    orphan.parent.mkdir()
    orphan.write_bytes(b"orphan")
    fresh.write_bytes(b"fresh")
    os.utime(orphan, (0, 0))
    assert log.prune(NOON).picture_files == 1
    assert pictures_in(tmp_path) == [b"fresh", b"kept"]


def test_writers_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    logs = [SqlSampleLog(tmp_path, keep_pictures=5) for _ in range(3)]
    new: list[str] = []

    def write(log: SqlSampleLog) -> None:
        for number in range(15):
            log.add(sample_of(f"s{number}"), b"%d" % number)
            new.extend(log.mark_scored("drift", [f"s{number}"]))

    threads = [Thread(target=write, args=(log,)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == sorted(f"s{number}" for number in range(15))
    assert (logs[0].counts().received, logs[0].counts().scored) == (15, 15)
    # A writer that comes late puts a picture again that went over the quota before: pruning takes it.
    for file in tmp_path.glob("pictures/*/*"):
        os.utime(file, (0, 0))
    logs[0].prune(NOON)
    assert pictures_in(tmp_path) == sorted(b"%d" % number for number in kept_numbers(logs[0]))
    assert len(pictures_in(tmp_path)) == 5
    for log in logs:
        log.close()


def test_a_picture_that_vanished_is_no_error(tmp_path: Path, log: SqlSampleLog) -> None:
    log.add(sample_of("a"), b"x")
    (tmp_path / (log.newest(1)[0].picture_file or "")).unlink()
    assert log.picture_bytes(log.newest(1)[0]) is None


def test_a_file_that_is_not_a_database_is_reported_as_such(tmp_path: Path) -> None:
    (tmp_path / "samples.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(StorageError, match="sample log"):
        SqlSampleLog(tmp_path)


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        SqlSampleLog(tmp_path / "file" / "samples")


@pytest.mark.parametrize(
    ("start", "suffix"),
    [
        (b"\xff\xd8\xff\xe0", ".jpg"),
        (b"\x89PNG\r\n\x1a\n", ".png"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", ".webp"),
        (b"nothing known", ".bin"),
    ],
)
def test_a_picture_is_kept_under_the_suffix_of_its_format(start: bytes, suffix: str) -> None:
    assert picture_file_name(start).endswith(suffix)


def test_a_picture_that_cannot_be_written_leaves_no_sample(tmp_path: Path, log: SqlSampleLog) -> None:
    (tmp_path / picture_file_name(b"x")).mkdir(parents=True)
    with pytest.raises(StorageError):
        log.add(sample_of("a"), b"x")
    assert log.counts().received == 0


def test_times_of_any_zone_are_compared_as_moments(log: SqlSampleLog) -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    log.add(sample_of("a"))
    assert log.newest(1, after=tokyo - timedelta(seconds=1))
    assert not log.newest(1, after=tokyo)


def test_a_sample_needs_an_id_and_a_time_zone() -> None:
    with pytest.raises(ValueError, match="id"):
        sample_of("")
    with pytest.raises(ValueError, match="time zone"):
        Sample("a", NOON.replace(tzinfo=None), "1", "w", "d", "s", {})


def test_the_key_of_a_sample_is_that_of_picture_and_model() -> None:
    assert sample_key("p", "w") == sample_key("p", "w") != sample_key("w", "p")


def test_pictures_go_to_a_shared_store_and_those_from_before_are_found_in_the_folder(tmp_path: Path) -> None:
    before = SqlSampleLog(tmp_path / "own")
    before.add(sample_of("old"), b"\x89PNG old")
    before.close()
    store = FolderBlobs(tmp_path / "shared")
    log = SqlSampleLog(tmp_path / "own", pictures=store)
    log.add(sample_of("new"), b"\x89PNG new")
    assert pictures_in(tmp_path / "own") == [b"\x89PNG old"]
    assert pictures_in(tmp_path / "shared") == [b"\x89PNG new"]
    kept = {one.sample_id: log.picture_bytes(one) for one in log.newest(2)}
    assert kept == {"new": b"\x89PNG new", "old": b"\x89PNG old"}
    log.close()


def test_a_picture_whose_bytes_have_changed_is_not_given_out(tmp_path: Path, log: SqlSampleLog) -> None:
    log.add(sample_of("a"), b"as received")
    (tmp_path / (log.newest(1)[0].picture_file or "")).write_bytes(b"as bent")
    assert log.picture_bytes(log.newest(1)[0]) is None
    log.add(sample_of("b"), b"as received")
    assert log.picture_bytes(log.newest(1)[0]) == b"as received"


def test_a_store_that_takes_no_picture_takes_no_sample_and_the_next_is_well(tmp_path: Path) -> None:
    store = FullStore(tmp_path / "shared")
    log = SqlSampleLog(tmp_path / "own", pictures=store)
    with pytest.raises(StorageError, match="full"):
        log.add(sample_of("a"), b"x")
    assert log.counts().received == 0
    store.is_full = False
    assert log.add(sample_of("a"), b"x")
    assert log.picture_bytes(log.newest(1)[0]) == b"x"
    log.close()


class FullStore(FolderBlobs):
    is_full = True

    def put(self, name: str, data: bytes) -> None:
        if self.is_full:
            raise StorageError("the disk is full", where=name)
        super().put(name, data)
