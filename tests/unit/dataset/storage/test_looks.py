"""Which files are due: about so many at once, and every one in turn."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dataset.storage.looks import ALL_LOOKS, Looks, list_divided

HASHES = st.sets(st.binary(min_size=16, max_size=16).map(bytes.hex), max_size=60)


@given(hashes=HASHES, most=st.integers(1, 30), start=st.integers(0, 1000))
def test_every_file_is_due_once_in_as_many_turns_as_that_takes(
    hashes: set[str], most: int, start: int
) -> None:
    num_turns = max(1, -(-len(hashes) // most))
    due = [md5 for turn in range(start, start + num_turns) for md5 in Looks(turn, most).due(hashes)]
    assert sorted(due) == sorted(hashes)


@given(hashes=HASHES)
def test_few_files_are_all_due_every_time(hashes: set[str]) -> None:
    assert Looks(7, most=60).due(hashes) == ALL_LOOKS.due(hashes) == hashes


def test_what_is_listed_are_names_in_sub_folders_and_nothing_for_a_folder_that_is_not_there(
    tmp_path: Path,
) -> None:
    for name in ("ab/1", "ab/2", "cd/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "beside").touch()
    assert list_divided(tmp_path) == {"ab/1", "ab/2", "cd/1"}
    assert list_divided(tmp_path / "nowhere") == set()
