"""What git refuses is told in one line with what to do; its other words are advice."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset.storage.git import describe_revision, git, identity, read_complaint
from maskloop.errors import StorageError, UnavailableError


@pytest.mark.parametrize(
    ("stderr", "headline", "advice"),
    [
        ("", "it said nothing", ""),
        (" \n\n", "it said nothing", ""),
        ("fatal: no such branch\n", "no such branch", ""),
        ("first\nsecond\n", "second", "git says:\n    first"),
        ("before\nerror: broken\nERROR: more\n", "broken", "git says:\n    before\n    ERROR: more"),
        ("hint: use --force\nerror: refused\n", "refused", ""),
        ("ERROR: gone\nHaving trouble? https://dvc.org/support\n", "gone", ""),
        ("an error: within a line\nlast\n", "last", "git says:\n    an error: within a line"),
    ],
)
def test_a_complaint_is_the_first_line_that_calls_itself_an_error_or_else_the_last(
    stderr: str, headline: str, advice: str
) -> None:
    assert read_complaint("git", stderr) == (headline, advice)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    return tmp_path


def test_what_git_refuses_names_the_command_and_the_folder(repository: Path) -> None:
    with pytest.raises(StorageError, match="git checkout failed: pathspec 'nowhere'") as refused:
        git(repository, "checkout", "nowhere")
    assert refused.value.where == str(repository)


def test_a_lock_that_another_command_holds_is_a_reason_to_try_again(repository: Path) -> None:
    (repository / ".git" / "index.lock").touch()
    (repository / "a.txt").touch()
    with pytest.raises(UnavailableError, match="git add failed: Unable to create") as refused:
        git(repository, "add", "a.txt")
    assert "delete that file" in refused.value.hint


def test_a_revision_is_unknown_until_there_is_one_and_tells_uncommitted_changes(repository: Path) -> None:
    assert describe_revision(repository) == "unknown"
    (repository / "a.txt").write_text("one")
    git(repository, "add", "a.txt")
    git(repository, *identity(repository), "commit", "--quiet", "-m", "first")
    revision = describe_revision(repository)
    assert len(revision) == 40
    git(repository, *identity(repository), "tag", "-m", "a name", "v1")
    assert describe_revision(repository) == revision, "a tag is no revision"
    (repository / "a.txt").write_text("two")
    assert describe_revision(repository) == f"{revision}-dirty"


def test_a_commit_is_signed_by_the_repositorys_author_where_there_is_one(repository: Path) -> None:
    git(repository, "config", "user.email", "anna@localhost")
    assert "user.email=maskloop@localhost" not in identity(repository)
    assert "commit.gpgsign=false" in identity(repository)
