"""What every pair log does: the fake in memory and the real one in a database."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.instances import Detections
from maskloop.database.address import sqlite_url
from maskloop.errors import StorageError
from serving.rollout.pairs import Comparison, KeptPair, PairLog, PairReader
from serving.rollout.sql_pair_log import SqlPairLog
from tests.fakes.pair_log import FakePairLog
from tests.fakes.serving_world import detect


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PairLog]:
    if request.param == "fake":
        yield FakePairLog(keep_pictures=2)
        return
    file = tmp_path / "rollouts" / "pairs.db"
    url = sqlite_url(file) if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    real = SqlPairLog(url, keep_pictures=2)
    yield real
    real.close()


def pair(
    request_id: str, *, cycle_id: str = "cycle-2", picture: bytes | None = None, **more: Any
) -> KeptPair:
    more = {"agreement": 0.8, "champion_s": 0.01, "challenger_s": 0.012} | more
    comparison = Comparison(cycle_id, request_id, "champion", **more)
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[2:5, 3:9] = 255
    return KeptPair(comparison, detect(pixels), detect(pixels, class_index=1), ("bolt", "nut"), 6, picture)


def test_what_was_written_is_read_as_it_was(log: PairLog) -> None:
    written = pair("r1", picture=b"a picture")
    assert log.add(written)
    (found,) = log.worst("cycle-2", 5)
    assert (found.class_names, found.orientation, found.picture) == (("bolt", "nut"), 6, b"a picture")
    assert found.comparison.sequence > 0
    assert (found.comparison.agreement, found.comparison.challenger_s) == (0.8, 0.012)
    for mine, theirs in ((written.champion, found.champion), (written.challenger, found.challenger)):
        assert mine is not None
        assert theirs is not None
        assert_same(mine, theirs)


def assert_same(mine: Detections, theirs: Detections) -> None:
    assert (mine.height_px, mine.width_px) == (theirs.height_px, theirs.width_px)
    np.testing.assert_array_equal(mine.boxes_xyxy, theirs.boxes_xyxy)
    np.testing.assert_array_equal(mine.scores, theirs.scores)
    np.testing.assert_array_equal(mine.class_indices, theirs.class_indices)
    np.testing.assert_array_equal(mine.masks_NHW(), theirs.masks_NHW())


def test_a_side_that_failed_has_no_answer(log: PairLog) -> None:
    failed = pair("r1", picture=b"p", challenger_error="it computes NaN", agreement=0.0)
    log.add(KeptPair(failed.comparison, failed.champion, None, ("bolt", "nut"), 1, b"p"))
    (found,) = log.worst("cycle-2", 5)
    assert found.challenger is None
    assert found.comparison.challenger_error == "it computes NaN"


def test_the_same_request_is_compared_once(log: PairLog) -> None:
    assert log.add(pair("r1", agreement=0.8))
    assert not log.add(pair("r1", agreement=0.1))
    assert log.add(pair("r1", cycle_id="cycle-3"))
    assert [one.agreement for one in log.comparisons("cycle-2")] == [0.8]


def test_comparisons_come_in_order_and_only_those_that_are_new(log: PairLog) -> None:
    for number in range(4):
        log.add(pair(f"r{number}", cycle_id="cycle-2" if number != 1 else "cycle-1"))
    first, second, third = log.comparisons("cycle-2")
    assert [one.request_id for one in (first, second, third)] == ["r0", "r2", "r3"]
    assert log.comparisons("cycle-2", after=first.sequence) == (second, third)
    assert log.comparisons("cycle-2", after=third.sequence) == ()


def test_pictures_are_kept_of_the_pairs_that_differ_most(log: PairLog) -> None:
    for name, agreement in (("good", 0.9), ("bad", 0.2), ("fair", 0.6), ("worse", 0.1), ("fine", 0.8)):
        log.add(pair(name, agreement=agreement, picture=name.encode()))
    assert [one.picture for one in log.worst("cycle-2", 5)] == [b"worse", b"bad"]
    assert len(log.comparisons("cycle-2")) == 5


def test_pairs_are_found_by_their_requests(log: PairLog) -> None:
    for name in ("r1", "r2", "r3"):
        log.add(pair(name, picture=b"a picture"))
    found = log.find("cycle-2", ["r3", "r1", "unknown"])
    assert [one.comparison.request_id for one in found] == ["r1", "r3"]
    assert [one.picture for one in found] == [None, None], "pictures are read only where they are shown"
    assert log.find("cycle-9", ["r1"]) == ()


def test_a_rollout_can_be_forgotten(log: PairLog) -> None:
    log.add(pair("r1"))
    log.add(pair("r1", cycle_id="cycle-3"))
    assert sorted(log.cycle_ids()) == ["cycle-2", "cycle-3"]
    log.forget("cycle-2")
    assert list(log.cycle_ids()) == ["cycle-3"]


def test_a_reader_sees_what_all_replicas_write_and_starts_anew_with_another_rollout(log: PairLog) -> None:
    reader = PairReader(log)
    assert reader.read("cycle-2") == ()
    log.add(pair("r1"))
    log.add(pair("r2"))
    assert [one.request_id for one in reader.read("cycle-2")] == ["r1", "r2"]
    log.add(pair("r3"))
    log.add(pair("x", cycle_id="cycle-3"))
    assert [one.request_id for one in reader.read("cycle-2")] == ["r1", "r2", "r3"]
    assert [one.request_id for one in reader.read("cycle-3")] == ["x"]
    assert len(reader.read("cycle-2")) == 3


def test_many_writers_lose_and_double_nothing(tmp_path: Path) -> None:
    log = SqlPairLog.at(tmp_path / "pairs.db", keep_pictures=3)
    with ThreadPoolExecutor(4) as threads:
        added = list(threads.map(lambda n: log.add(pair(f"r{n % 30}", picture=b"p")), range(60)))
    assert sum(added) == 30
    assert len(log.comparisons("cycle-2")) == 30
    assert len(log.worst("cycle-2", 10)) == 3
    log.close()


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "pairs.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(StorageError, match="cannot be used: file is not a database"):
        SqlPairLog.at(tmp_path / "pairs.db", keep_pictures=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pair_of_a_turned_picture_is_read_upright(log: PairLog, orientation: int) -> None:
    upright = pair("r1", picture=b"p")
    log.add(replace(upright, orientation=orientation))
    (found,) = log.worst("cycle-2", 1)
    assert upright.champion is not None
    assert found.champion is not None
    assert_same(upright.champion, found.champion)


def test_a_stored_comparison_names_its_cycle_as_ever(tmp_path: Path) -> None:
    log = SqlPairLog.at(tmp_path / "pairs.db", keep_pictures=1)
    log.add(pair("r1", cycle_id="cycle-7"))
    log.close()
    with closing(sqlite3.connect(tmp_path / "pairs.db")) as database:
        ((column, record),) = database.execute("select rollout, record from rollout_pairs").fetchall()
    assert (column, json.loads(record)["rollout"]) == ("cycle-7", "cycle-7")


def test_answers_are_written_in_the_frame_of_the_file(tmp_path: Path) -> None:
    log = SqlPairLog.at(tmp_path / "pairs.db", keep_pictures=1)
    log.add(pair("r1"))  # 8 x 12 px upright, orientation 6: the file has 12 rows
    log.close()
    with closing(sqlite3.connect(tmp_path / "pairs.db")) as database:
        ((answers,),) = database.execute("select answers from rollout_pairs").fetchall()
    written = json.loads(zlib.decompress(answers))["champion"]
    (instance,) = written["instances"]
    assert written["size"] == instance["segmentation"]["size"] == [12, 8]
    assert instance["box_xyxy"] == [2.0, 3.0, 5.0, 9.0]


def test_a_row_written_before_answers_had_this_form_is_read_as_it_was(tmp_path: Path) -> None:
    log, written = SqlPairLog.at(tmp_path / "pairs.db", keep_pictures=1), pair("r1", picture=b"p")
    log.add(written)
    found = written.champion
    assert found is not None
    side = {
        "size": [found.height_px, found.width_px],
        "boxes_xyxy": found.boxes_xyxy.tolist(),
        "scores": found.scores.tolist(),
        "class_indices": found.class_indices.tolist(),
        "masks": [mask.to_coco()["counts"] for mask in found.masks],
    }
    old = {"champion": side, "challenger": None, "class_names": ["bolt", "nut"], "orientation": 6}
    with closing(sqlite3.connect(tmp_path / "pairs.db")) as database, database:
        answers = zlib.compress(json.dumps(old).encode())
        database.execute("update rollout_pairs set answers = ?, schema_version = 1", (answers,))
    (read,) = log.worst("cycle-2", 1)
    assert (read.orientation, read.challenger, read.picture) == (6, None, b"p")
    assert [one.orientation for one in log.find("cycle-2", ["r1"])] == [6]
    assert read.champion is not None
    assert_same(found, read.champion)
    log.close()
