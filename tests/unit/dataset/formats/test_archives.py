"""A ZIP archive is read like its folder; one that is broken, hostile or too large is refused in words."""

from __future__ import annotations

import io
import stat
import tempfile
import zipfile
from pathlib import Path

import pytest

from dataset.formats.archives import ArchiveLimits, open_source
from maskloop.errors import DataError

FILES = {"labels/a.json": b"{}", "labels/images/ä.png": b"picture"}


def packed(members: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return written.getvalue()


def test_an_archive_is_its_folder_whatever_its_name_and_is_gone_afterwards(tmp_path: Path) -> None:
    (tmp_path / "export").write_bytes(packed({**FILES, "__MACOSX/._a.json": b"x", ".DS_Store": b"x"}))
    with open_source(tmp_path / "export") as source:
        assert source.files == ("a.json", "images/ä.png")
        assert source.at("images/ä.png").read_bytes() == b"picture"
        assert source.place("a.json") == tmp_path / "export" / "a.json"
        root = source.root
    assert not root.exists()
    assert [each.name for each in tmp_path.iterdir()] == ["export"]


def test_what_a_killed_process_unpacked_is_removed_by_the_next_ingest_and_what_is_in_use_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "maskloop-labels-left"
    (left / "unpacked").mkdir(parents=True)
    (left / "lock").touch()
    (tmp_path / "labels").mkdir()
    with open_source(tmp_path / "labels") as source:
        assert not left.exists()
        with open_source(tmp_path / "labels"):
            assert source.scratch is not None
            assert source.scratch.is_dir()
    assert not list(tmp_path.glob("maskloop-labels-*"))


def test_names_in_utf8_that_are_not_marked_as_such_are_read_as_such(tmp_path: Path) -> None:
    stored = "ä.png".encode().decode("cp437")
    data = packed({"aa.png": b"1", "b.json": b"2"}).replace(b"aa.png", stored.encode("cp437"))
    (tmp_path / "a.zip").write_bytes(data)
    with open_source(tmp_path / "a.zip") as source:
        assert source.files == ("b.json", "ä.png")


@pytest.mark.parametrize(
    "name", ["../a.json", "x/../../a.json", "/etc/a.json", "..\\a.json", "C:\\a.json", "C:/a.json"]
)
def test_a_path_that_leads_out_is_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    file = tmp_path / "inner" / "a.zip"
    file.write_bytes(packed({"good.json": b"{}", name: b"bad"}))
    with pytest.raises(DataError, match="leads out of its folder"), open_source(file):
        raise AssertionError
    assert [each.name for each in tmp_path.rglob("*")] == ["inner", "a.zip"]


def test_a_link_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("passwords.json")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="a link or a device"), open_source(tmp_path / "a.zip"):
        raise AssertionError


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (ArchiveLimits(files=1), "holds 2 files; at most 1"),
        (ArchiveLimits(file_bytes=5), "'labels/images/ä.png' needs"),
        (ArchiveLimits(total_bytes=8), "GiB unpacked; at most"),
    ],
)
def test_more_than_the_limits_is_refused(limits: ArchiveLimits, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(packed(FILES))
    with pytest.raises(DataError, match=reason), open_source(tmp_path / "a.zip", limits=limits):
        raise AssertionError


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/a.json", b"1")
        archive.writestr("x\\a.json", b"2")
    with pytest.raises(DataError, match="two files of one name"), open_source(tmp_path / "a.zip"):
        raise AssertionError


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_half_an_archive_is_told_as_broken(share: float, tmp_path: Path) -> None:
    data = packed({**FILES, "noise": bytes(range(256)) * 9})
    (tmp_path / "a.zip").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match="broken") as caught, open_source(tmp_path / "a.zip"):
        raise AssertionError
    assert "export or download it again" in caught.value.hint


def test_damage_inside_is_told_as_broken(tmp_path: Path) -> None:
    data = bytearray(packed({"a.json": b"0123456789" * 3}))
    data[40] ^= 255
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match="broken"), open_source(tmp_path / "a.zip"):
        raise AssertionError


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    data = bytearray(packed({"a.json": b"{}"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    data[6] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match="is encrypted"), open_source(tmp_path / "a.zip"):
        raise AssertionError
