"""Pictures of a batch that lie in S3: listed, read, and said in plain words where they are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from flows.batch.sources import list_pictures
from maskloop.errors import AccessError, ConfigurationError, NotFoundError
from tests.fakes.s3_server import S3Server, s3_server

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def started() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def server(started: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    for name, value in started.environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    yield started
    started.refusal = None


@pytest.fixture
def photos(server: S3Server) -> str:
    bucket, files = server.new_bucket(), server.open_files()
    for name in ("photos/a/1.png", "photos/b ü#1.png", "photos/.hidden.png", "photos-of-others/c.png"):
        files.pipe(f"{bucket}/{name}", name.encode())
    return f"s3://{bucket}/photos"


@pytest.mark.parametrize("end", ["", "/"])
def test_a_prefix_is_a_folder_of_pictures(photos: str, end: str) -> None:
    pictures, names = list_pictures(photos + end, left_out=Path("/nowhere"))
    found = {name: pictures.read(name).decode() for name in names}
    assert found == {"a/1.png": "photos/a/1.png", "b ü#1.png": "photos/b ü#1.png"}


def test_one_object_is_a_picture(photos: str) -> None:
    pictures, names = list_pictures(f"{photos}/a/1.png", left_out=Path("/nowhere"))
    assert [pictures.read(name).decode() for name in names] == ["photos/a/1.png"]


def test_pictures_that_came_after_a_listing_are_listed(photos: str, server: S3Server) -> None:
    assert len([*list_pictures(photos, left_out=Path("/nowhere"))[1]]) == 2
    server.open_files().pipe(f"{photos}/d.png", b"new")
    assert "d.png" in [*list_pictures(photos, left_out=Path("/nowhere"))[1]]


def test_a_prefix_that_is_not_there_is_not_found_and_a_bucket_is_named(photos: str) -> None:
    with pytest.raises(NotFoundError):
        [*list_pictures(f"{photos}/nothing", left_out=Path("/nowhere"))[1]]
    with pytest.raises(ConfigurationError, match="no such bucket"):
        [*list_pictures("s3://no-such-bucket-here/photos", left_out=Path("/nowhere"))[1]]


def test_a_user_without_rights_is_told_so(photos: str, server: S3Server) -> None:
    server.refusal = (403, "AccessDenied")
    with pytest.raises(AccessError):
        [*list_pictures(photos, left_out=Path("/nowhere"))[1]]
