"""Nothing a user put into `data/` is ever removed, whatever ends a replacement, and wherever."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.storage.dvc_objects import pinned_md5
from dataset.storage.known_files import KnownFiles
from dataset.versions import data_folder
from dataset.versions.data_folder import DataFolder
from maskloop.errors import RefusedError, StorageError
from maskloop.workspace import Workspace
from tests.fakes.crash_at_line import killed_at_line

OLD = {"instances.json": b"old", "images/3f/3fa1.png": b"a", "images/4e/4eb2.png": b"b"}
NEW = {"instances.json": b"new", "images/3f/3fa1.png": b"a", "images/5c/5cc3.png": b"c"}


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def read_files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Place:
    """A workspace whose cache knows what OLD and NEW hold, with OLD in `data/`."""

    def __init__(self, root: Path, *, has_version: bool = True) -> None:
        self.workspace = Workspace(root)
        self.objects = root / ".dvc" / "cache" / "files" / "md5"
        self.old_pin, self.new_pin = self.know(OLD), self.know(NEW)
        if has_version:
            write_files(root / "data", OLD)
            (root / "data.dvc").write_text(self.old_pin)

    def know(self, files: dict[str, bytes]) -> str:
        contents = {md5(content): content for content in files.values()}
        write_files(self.objects, {f"{name[:2]}/{name[2:]}": content for name, content in contents.items()})
        listed = [{"md5": md5(content), "relpath": name} for name, content in sorted(files.items())]
        listing = json.dumps(listed).encode()
        name = md5(listing)
        write_files(self.objects, {f"{name[:2]}/{name[2:]}.dir": listing})
        return f"outs:\n- md5: {name}.dir\n  path: data\n"

    def folder(self) -> DataFolder:
        return DataFolder(self.workspace, self.objects, KnownFiles(self.workspace.root / "known"))

    def replace(self) -> None:
        with self.folder().replaced(self.new_pin):
            (self.workspace.root / "committed").write_text(self.new_pin)

    def recover(self) -> None:
        self.folder().undo_interrupted(pinned_md5(self.workspace.root / "committed"))

    @property
    def files(self) -> dict[str, bytes]:
        return read_files(self.workspace.data_dir)

    @property
    def pin(self) -> str:
        pin = self.workspace.root / "data.dvc"
        return pin.read_text() if pin.exists() else ""


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_replacement_brings_folder_and_pin_together(place):
    place.replace()
    assert (place.files, place.pin) == (NEW, place.new_pin)
    assert not (place.workspace.state_dir / "replaced").exists()


@pytest.mark.parametrize("has_version", [True, False])
def test_whatever_goes_wrong_folder_and_pin_are_back(tmp_path, has_version):
    place = Place(tmp_path, has_version=has_version)
    before = place.files, place.pin
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("git")):
        expected = StorageError if isinstance(error, OSError) else type(error)
        with (
            pytest.raises(expected),
            place.folder().replaced(place.new_pin),
        ):
            raise error
        assert (place.files, place.pin) == before
        assert not (tmp_path / ".maskloop" / "replaced").exists()


@pytest.mark.parametrize("has_version", [True, False])
def test_killed_at_any_line_the_next_command_finds_the_old_or_the_new_version_whole(tmp_path, has_version):
    number, seen = 0, set()
    while True:
        number += 1
        place = Place(tmp_path / str(number), has_version=has_version)
        before = place.files, place.pin
        if not killed_at_line(number, (data_folder.__file__,), place.replace):
            break
        is_committed = (place.workspace.root / "committed").exists()
        place.folder().refuse_to_lose()
        place.recover()
        assert (place.files, place.pin) == ((NEW, place.new_pin) if is_committed else before), number
        assert not (place.workspace.state_dir / "replaced").exists()
        place.replace()
        assert (place.files, place.pin) == (NEW, place.new_pin)
        seen.add(is_committed)
        shutil.rmtree(place.workspace.root)
    assert seen == {True, False}
    assert number > 40


@pytest.mark.slow
def test_killed_again_while_it_puts_things_back_nothing_is_lost(tmp_path):
    lines = (data_folder.__file__, shutil.__file__)  # removing a folder takes many steps

    def interrupted(place: Place) -> Place:
        """As the version before left it, which moved the whole folder."""
        place.folder()._open_journal(place.new_pin)
        place.workspace.data_dir.rename(place.workspace.state_dir / "replaced" / "data")
        write_files(place.workspace.data_dir, NEW)
        return place

    number = -2
    while True:
        number += 3
        place = interrupted(Place(tmp_path / str(number)))
        was_killed = killed_at_line(number, lines, place.recover)
        place.recover()
        assert (place.files, place.pin) == (OLD, place.old_pin)
        if not was_killed:
            break
    assert number > 40


def test_what_a_user_adds_after_a_kill_is_named_and_stays(place):
    folder = place.folder()
    folder._open_journal(place.new_pin)
    place.workspace.data_dir.rename(place.workspace.state_dir / "replaced" / "data")
    write_files(place.workspace.data_dir, {**NEW, "notes.txt": b"mine"})
    for attempt in (place.recover, place.folder().refuse_to_lose):
        with pytest.raises(RefusedError, match=r"notes\.txt"):
            attempt()
        assert place.files == {**NEW, "notes.txt": b"mine"}


def test_a_file_added_after_the_check_is_noticed_when_the_folder_is_moved(place):
    folder = place.folder()
    folder.refuse_to_lose()
    write_files(place.workspace.data_dir, {"late.txt": b"mine"})
    with (
        pytest.raises(RefusedError, match=r"late\.txt"),
        folder.replaced(place.new_pin),
    ):
        pass
    assert place.files == {**OLD, "late.txt": b"mine"}
    assert place.pin == place.old_pin


def test_a_file_edited_between_two_checks_is_noticed(place):
    folder = place.folder()
    folder.refuse_to_lose()
    write_files(place.workspace.data_dir, {"instances.json": b"bad"})
    with pytest.raises(RefusedError, match=r"edited .* instances\.json"):
        folder.refuse_to_lose()


def test_a_link_for_data_or_in_data_is_the_users(place, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (place.workspace.data_dir / "raw").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="raw"):
        place.folder().refuse_to_lose()
    place.workspace.data_dir.rename(tmp_path / "big-disk")
    place.workspace.data_dir.symlink_to(tmp_path / "big-disk")
    with pytest.raises(RefusedError, match="is a link"):
        place.folder().refuse_to_lose()


def test_what_a_desktop_leaves_behind_and_missing_files_hold_up_nothing(place):
    write_files(place.workspace.data_dir, {".DS_Store": b"x", "images/Thumbs.db": b"x"})
    (place.workspace.data_dir / "instances.json").unlink()
    (place.workspace.data_dir / "empty").mkdir()
    place.folder().refuse_to_lose()
    place.replace()
    assert place.files == NEW


NAMES = st.sampled_from(["notes.txt", "raw/a.png", "images/3f/3fa1.png", "instances.json", "images/x.png"])


@settings(max_examples=60, deadline=None)
@given(own=st.dictionaries(NAMES, st.sampled_from([b"a", b"b", b"old", b"mine", b""]), max_size=4))
def test_either_the_users_files_are_all_named_or_there_are_none(tmp_path_factory, own):
    place = Place(tmp_path_factory.mktemp("place"))
    write_files(place.workspace.data_dir, own)
    lost = {name for name, content in own.items() if OLD.get(name) != content}
    before = place.files
    if not lost:
        place.replace()
        assert place.files == NEW
        return
    with pytest.raises(RefusedError) as caught:
        place.replace()
    assert all(name in caught.value.headline for name in lost)
    assert (place.files, place.pin) == (before, place.old_pin)
