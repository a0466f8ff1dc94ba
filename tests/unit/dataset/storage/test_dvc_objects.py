"""DVC's objects on disk: damage is found by reading, and a cache is refilled with what is true only."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from dataset.storage.dvc_objects import (
    damaged_objects,
    find_md5,
    forget,
    is_intact,
    link_or_copy,
    manifest,
    md5_of,
    object_file,
    pinned_md5,
    refill,
)

FILES = {"a.png": b"first", "images/b.png": b"second", "images/c.png": b"first"}
"""Two of the three have the same bytes, so there are two objects."""


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


FIRST, SECOND = sorted((md5(b"first"), md5(b"second")))


def listing(files: dict[str, bytes]) -> bytes:
    return json.dumps([{"md5": md5(files[name]), "relpath": name} for name in sorted(files)]).encode()


PINNED = f"{md5(listing(FILES))}.dir"


def put(objects: Path, name: str, content: bytes) -> None:
    place = objects / name[:2] / name[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """A cache that holds the three files whole."""
    place = tmp_path / "files" / "md5"
    for content in FILES.values():
        put(place, md5(content), content)
    put(place, PINNED, listing(FILES))
    return place


def test_a_whole_version_has_no_damage_and_names_every_file(objects: Path) -> None:
    assert damaged_objects(objects, PINNED) == ()
    assert manifest(objects, PINNED) == {name: md5(content) for name, content in FILES.items()}


@pytest.mark.parametrize("broken", [(FIRST,), (SECOND,), (FIRST, SECOND)])
def test_altered_and_missing_objects_are_each_named_once_in_order(
    broken: tuple[str, ...], objects: Path
) -> None:
    put(objects, broken[0], b"altered")
    for name in broken[1:]:
        object_file(objects, name).unlink()
    assert damaged_objects(objects, PINNED) == broken


@pytest.mark.parametrize("content", [None, b"[]", listing(FILES)[:-1]])
def test_a_list_of_files_that_is_not_its_own_is_the_only_damage(content: bytes | None, objects: Path) -> None:
    if content is None:
        forget(objects, [PINNED])
    else:
        put(objects, PINNED, content)
    assert damaged_objects(objects, PINNED) == (PINNED,)


def test_a_folder_in_place_of_an_object_is_damage(objects: Path) -> None:
    object_file(objects, FIRST).unlink()
    object_file(objects, FIRST).mkdir()
    assert not is_intact(objects, FIRST)


def test_forgetting_takes_what_is_named_and_does_not_mind_what_is_gone(objects: Path) -> None:
    forget(objects, [FIRST, "0" * 32])
    assert damaged_objects(objects, PINNED) == (FIRST,)


# --- refilling -----------------------------------------------------------------------------------


def test_an_empty_cache_is_refilled_from_the_whole_folder(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    refill(cache, PINNED, write_folder(tmp_path / "data", FILES))
    assert damaged_objects(cache, PINNED) == ()


def test_without_its_list_of_files_nothing_comes_from_a_folder_that_changed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", {**FILES, "more.png": b"third"})
    refill(tmp_path / "cache", PINNED, folder)
    assert not (tmp_path / "cache").exists()


def test_of_a_folder_that_changed_only_unchanged_files_go_into_a_cache_with_its_list(
    objects: Path, tmp_path: Path
) -> None:
    forget(objects, [md5(b"first"), md5(b"second")])
    refill(objects, PINNED, write_folder(tmp_path / "data", {"a.png": b"first", "images/b.png": b"edited"}))
    assert damaged_objects(objects, PINNED) == (md5(b"second"),)
    assert not is_intact(objects, md5(b"edited"))
    assert not object_file(objects, md5(b"second")).exists(), "no edited bytes under the name of others"


def test_an_altered_object_is_replaced_and_an_intact_one_is_not_written_again(
    objects: Path, tmp_path: Path
) -> None:
    put(objects, md5(b"first"), b"altered")
    kept = object_file(objects, md5(b"second")).stat().st_ino
    refill(objects, PINNED, write_folder(tmp_path / "data", FILES))
    assert damaged_objects(objects, PINNED) == ()
    assert object_file(objects, md5(b"second")).stat().st_ino == kept


def test_replacing_an_altered_object_leaves_files_that_were_linked_to_it(
    objects: Path, tmp_path: Path
) -> None:
    put(objects, md5(b"first"), b"altered")
    link_or_copy(object_file(objects, md5(b"first")), tmp_path / "linked")
    refill(objects, PINNED, write_folder(tmp_path / "data", FILES))
    assert (tmp_path / "linked").read_bytes() == b"altered"


# --- links and pins ------------------------------------------------------------------------------


def test_a_link_is_the_same_file_and_a_copy_where_a_link_is_impossible(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"first")
    link_or_copy(source, target)
    assert target.samefile(source)
    source.unlink()
    source.write_bytes(b"second")
    link_or_copy(source, target)
    assert not target.samefile(source)
    assert md5_of(target) == md5(b"second")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"outs:\n- md5: {'a' * 32}.dir\n  path: data\n", f"{'a' * 32}.dir"),
        (f"md5: {'b' * 32}\nouts:\n- md5: {'a' * 32}.dir\n", f"{'a' * 32}.dir"),
        (f"outs:\n- md5: {'a' * 32}\n", ""),
        (f"outs:\n- md5: {'a' * 31}.dir\n", ""),
        (f"outs:\n- md5: {'A' * 32}.dir\n", ""),
        ("", ""),
    ],
)
def test_a_pin_names_the_folders_hash_and_no_other(text: str, found: str, tmp_path: Path) -> None:
    assert find_md5(text) == found
    (tmp_path / "data.dvc").write_text(text)
    assert pinned_md5(tmp_path / "data.dvc") == found


def test_a_pin_that_is_not_there_names_nothing(tmp_path: Path) -> None:
    assert pinned_md5(tmp_path / "data.dvc") == ""
