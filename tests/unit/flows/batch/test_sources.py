"""Where pictures come from: folders and lists, what is left out, and what is said if nothing is there."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.batch.sources import list_pictures, telling_what_fails
from maskloop.errors import AccessError, ConfigurationError, DataError, NotFoundError, UnavailableError


def names_of(place: Path | str, left_out: Path = Path("/nowhere")) -> list[str]:
    return [*list_pictures(str(place), left_out=left_out)[1]]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in (
        "b.png",
        "a/2.jpg",
        "a/1.jpg",
        ".hidden.png",
        "a/._1.jpg",
        "out/finished/0.gz",
        ".cache/c.png",
    ):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    return tmp_path / "photos"


def test_a_folder_is_listed_in_order_without_hidden_files_and_the_run_s_own_folder(photos: Path) -> None:
    pictures, names = list_pictures(str(photos), left_out=photos / "out")

    assert [*names] == ["b.png", "a/1.jpg", "a/2.jpg"]
    assert pictures.read("a/1.jpg") == b"a/1.jpg"


def test_a_url_is_listed_alike(photos: Path) -> None:
    memory = fsspec.filesystem("memory")
    for name in ("a/1.jpg", "b.png", ".hidden.png"):
        memory.pipe(f"/bucket/photos/{name}", name.encode())
    pictures, names = list_pictures("memory://bucket/photos", left_out=photos)

    assert sorted(names) == ["a/1.jpg", "b.png"]
    assert pictures.read("b.png") == b"b.png"


@pytest.mark.parametrize("kind", ["txt", "csv", "parquet"])
def test_a_list_names_each_picture_once_below_its_own_folder_or_anywhere(kind: str, photos: Path) -> None:
    wanted = ["a/2.jpg", str(photos / "b.png"), "a/2.jpg"]
    file = photos / f"list.{kind}"
    if kind == "txt":
        file.write_text("\n".join(["", *wanted, " "]))
    elif kind == "csv":
        file.write_text("\ufeffsite,path\n" + "".join(f"north,{one}\n" for one in wanted))
    else:
        pq.write_table(pa.table({"file_name": wanted, "site": ["north"] * 3}), file)
    pictures, names = list_pictures(str(file), left_out=photos)

    assert [*names] == wanted[:2]
    assert [pictures.read(name) for name in wanted[:2]] == [b"a/2.jpg", b"b.png"]


def test_the_list_of_what_was_set_aside_is_a_list(photos: Path) -> None:
    file = photos / "set-aside.csv"
    file.write_text('picture,tile,reason\nscene.tif,3,"broken, here"\nscene.tif,4,broken\nb.png,,broken\n')

    assert names_of(file) == ["scene.tif", "b.png"]


def test_one_picture_is_a_place_too(photos: Path) -> None:
    assert names_of(photos / "b.png") == ["b.png"]


def test_what_cannot_be_a_list_or_a_place_is_said(photos: Path) -> None:
    (photos / "other.csv").write_text("site,camera\nnorth,1\n")
    with pytest.raises(DataError, match="no column of pictures: it has site, camera"):
        names_of(photos / "other.csv")
    (photos / "other.parquet").write_text("not Parquet")
    with pytest.raises(DataError, match="the list cannot be read"):
        names_of(photos / "other.parquet")
    with pytest.raises(NotFoundError, match="there is nothing here"):
        names_of(photos / "missing")
    with pytest.raises(NotFoundError, match="there is nothing here"):
        names_of("memory://no-such-bucket/at-all")
    with pytest.raises(ConfigurationError, match="nosuch:// addresses cannot be read here"):
        names_of("nosuch://bucket/photos")


@pytest.mark.parametrize(
    ("raised", "expected", "says"),
    [
        (ImportError("Install s3fs to access S3"), ConfigurationError, r"pip install 'maskloop\[s3\]'"),
        (TimeoutError("no answer"), UnavailableError, "S3 does not answer: no answer"),
    ],
)
def test_what_a_bucket_says_becomes_a_sentence(raised: Exception, expected: type, says: str) -> None:
    with pytest.raises(expected, match=says), telling_what_fails("s3://photos/2026"):
        raise raised


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (FileNotFoundError("not here"), NotFoundError),
        (PermissionError("Forbidden"), AccessError),
        (TimeoutError("no answer"), UnavailableError),
    ],
)
def test_what_another_place_says_becomes_a_sentence(raised: Exception, expected: type) -> None:
    with pytest.raises(expected), telling_what_fails("sftp://host/photos"):
        raise raised
