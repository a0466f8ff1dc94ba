"""What every store of blobs promises: a folder, and S3."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from maskloop.blobs.folder import FolderBlobs
from maskloop.blobs.port import Blobs
from maskloop.blobs.s3 import S3Blobs
from maskloop.blobs.shared_files import SharedFiles
from maskloop.errors import (
    AccessError,
    ConfigurationError,
    IntegrityError,
    MaskloopError,
    StorageError,
    UnavailableError,
)
from tests.fakes.s3_server import S3Server, s3_server

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blobs]:
    if request.param == "folder":
        yield FolderBlobs(tmp_path / "blobs")
        return
    server: S3Server = request.getfixturevalue("s3")
    yield server.blobs("parts/one")
    server.refusal = None


def names(blobs: Blobs, folder: str = "") -> list[str]:
    return [blob.name for blob in blobs.list(folder)]


def test_a_blob_comes_back_as_it_was_put_and_a_missing_one_is_none(blobs: Blobs) -> None:
    blobs.put("pictures/ab/ü x.jpg", b"\x00\xff picture")
    blobs.put("empty", b"")
    assert blobs.get("pictures/ab/ü x.jpg") == b"\x00\xff picture"
    assert blobs.get("empty") == b""
    assert blobs.get("pictures/ab/other.jpg") is None
    assert blobs.get("pictures/ab") is None


def test_a_blob_is_replaced_as_a_whole(blobs: Blobs) -> None:
    blobs.put("a", b"first")
    blobs.put("a", b"second, and longer")
    assert blobs.get("a") == b"second, and longer"
    assert [blob.size_bytes for blob in blobs.list()] == [18]


def test_a_folder_is_listed_without_its_neighbours_of_a_similar_name(blobs: Blobs) -> None:
    for name in ("a/b/1", "a/b/2/3", "a/bc", "d"):
        blobs.put(name, name.encode())
    assert names(blobs) == ["a/b/1", "a/b/2/3", "a/bc", "d"]
    assert names(blobs, "a/b") == ["a/b/1", "a/b/2/3"]
    assert names(blobs, "a/bc") == ["a/bc"]
    assert names(blobs, "nothing") == []
    assert names(blobs.below("a"), "b") == ["b/1", "b/2/3"]
    assert blobs.below("a").below("b").get("1") == b"a/b/1"


def test_a_blob_s_age_is_told_by_the_store_s_clock(blobs: Blobs) -> None:
    blobs.put("a", b"new")
    (blob,) = blobs.list()
    assert -1.0 <= blob.age_s < 60.0


def test_deleted_blobs_are_gone_and_may_be_deleted_again(blobs: Blobs) -> None:
    for name in ("a", "b", "c"):
        blobs.put(name, b"x")
    blobs.delete(["a", "c", "never there"])
    blobs.delete(["a"])
    blobs.delete([])
    assert names(blobs) == ["b"]


def test_readers_see_one_of_the_blobs_that_were_put_never_a_part(blobs: Blobs) -> None:
    versions = [bytes([number]) * 200_000 for number in range(12)]
    blobs.put("a", versions[0])
    seen: list[bytes | None] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            seen.append(blobs.get("a"))

    reader = threading.Thread(target=read)
    reader.start()
    for version in versions:
        blobs.put("a", version)
    ended.set()
    reader.join()
    assert seen
    assert {one in versions for one in seen} == {True}


def test_files_that_one_host_sends_another_brings(blobs: Blobs, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for name, content in (("set/one.npz", b"1"), ("set/complete", b""), ("set/.one.npz.x.tmp", b"half")):
        (first / name).parent.mkdir(parents=True, exist_ok=True)
        (first / name).write_bytes(content)
    assert SharedFiles(first, blobs).send(first / "set") == 2
    assert SharedFiles(first, blobs).send(first / "set") == 0
    (second / "set").mkdir(parents=True)
    (second / "set" / "one.npz").write_bytes(b"older than the other host's")
    assert SharedFiles(second, blobs).send(second / "set", only_missing=True) == 0
    SharedFiles(second, blobs).bring(second / "set")
    assert sorted(file.name for file in (second / "set").iterdir()) == ["complete", "one.npz"]
    (second / "set" / "one.npz").write_bytes(b"2")
    assert SharedFiles(second, blobs).send(second / "set" / "one.npz") == 1
    SharedFiles(first, blobs).bring(first / "set")
    assert (first / "set" / "one.npz").read_bytes() == b"2"


def test_a_workspace_that_shares_nothing_brings_and_sends_nothing(tmp_path: Path) -> None:
    own = SharedFiles(tmp_path, None)
    (tmp_path / "a").write_bytes(b"1")
    own.bring(tmp_path / "a")
    assert own.send(tmp_path / "a") == 0
    assert (tmp_path / "a").read_bytes() == b"1"


def test_an_object_that_somebody_replaced_is_not_taken_for_what_was_put(s3: S3Server) -> None:
    blobs = s3.blobs()
    blobs.put("a", b"as it was put")
    files, bucket = s3.open_files(), blobs.where.removeprefix("s3://")
    told = files.metadata(f"{bucket}/a")
    files.pipe_file(f"{bucket}/a", b"as it was bent", Metadata=told)
    with pytest.raises(IntegrityError, match=r"not what was written .*/a\)"):
        blobs.get("a")


def test_a_blob_of_many_parts_comes_back_whole(s3: S3Server) -> None:
    blobs = s3.blobs("big")
    data = bytes(range(256)) * (410 * 1024)  # above the 100 MiB from which s3fs sends parts
    blobs.put("weights", data)
    assert blobs.get("weights") == data


def test_more_objects_than_one_page_holds_are_all_listed_and_deleted(s3: S3Server) -> None:
    blobs = s3.blobs()
    files, bucket = s3.open_files(), blobs.where.removeprefix("s3://")
    files.pipe({f"{bucket}/{number:04d}": b"x" for number in range(1003)})
    assert len(blobs.list()) == 1003
    before = len(s3.asked)
    blobs.delete(f"{number:04d}" for number in range(1003))
    assert len(s3.asked) - before == 2
    assert blobs.list() == ()


@pytest.mark.parametrize(
    ("status", "code", "kind", "said", "advice"),
    [
        (404, "NoSuchBucket", ConfigurationError, "no such bucket", "Create the bucket"),
        (400, "ExpiredToken", ConfigurationError, "have expired", "aws sso login"),
        (403, "InvalidAccessKeyId", ConfigurationError, "does not know these credentials", "AWS_ACCESS_KEY"),
        (403, "RequestTimeTooSkewed", ConfigurationError, "clock is wrong", "Set the clock"),
        (403, "AccessDenied", AccessError, "forbids it", "s3:PutObject"),
        (507, "XMinioStorageFull", StorageError, "full", "Free some space"),
        (503, "ServiceUnavailable", UnavailableError, "busy", "later"),
        (418, "Teapot", StorageError, "refuses: .*refused", ""),
    ],
)
def test_a_refusal_of_s3_says_what_to_do(
    s3: S3Server, status: int, code: str, kind: type[MaskloopError], said: str, advice: str
) -> None:
    blobs = s3.blobs("x")
    blobs.put("a", b"kept")
    s3.refusal = (status, code)
    try:
        for ask in (lambda: blobs.put("a", b"other"), lambda: blobs.get("a"), lambda: blobs.list()):
            with pytest.raises(kind, match=said) as refused:
                ask()
            assert type(refused.value) is kind
            assert advice in refused.value.hint
            assert refused.value.where == blobs.where
    finally:
        s3.refusal = None
    assert blobs.get("a") == b"kept"


def test_a_bucket_that_is_not_there_is_named(s3: S3Server) -> None:
    nowhere = S3Blobs("no-such-bucket-here", "x", s3.open_files)
    for ask in (lambda: nowhere.put("a", b"1"), lambda: nowhere.get("a"), lambda: nowhere.list()):
        with pytest.raises(ConfigurationError, match=r"no such bucket.*s3://no-such-bucket-here/x"):
            ask()


def test_a_store_that_does_not_answer_is_away_and_may_come_back() -> None:
    with s3_server() as server:
        blobs = server.blobs()
        blobs.put("a", b"1")
    for ask in (lambda: blobs.put("a", b"2"), lambda: blobs.get("a"), lambda: blobs.list()):
        with pytest.raises(UnavailableError, match="S3 does not answer"):
            ask()
    with s3_server(port=server.port):
        assert blobs.get("a") == b"1"
