"""`maskloop data audit`: what the current version hides, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flows.command.main import main
from flows.intake.audit import DataAudit, audit_data, refuse_without_test_pictures
from maskloop.errors import DataError, NotFoundError
from tests.fakes.loop_world import World
from tests.fakes.opened import opens


def audit_of(world: World) -> DataAudit:
    app = world.app()
    return audit_data(app.data, app.settings.data, app.teller)


@pytest.fixture
def world(world: World, tmp_path: Path) -> World:
    """A workspace that ties nothing by its look; the fixture of that name has put the fakes in place."""
    other = World(tmp_path / "own", settings="[data]\nnear_duplicate_distance_bits = -1")
    other.label(range(12))
    return other


@pytest.fixture
def audit(world: World) -> Callable[..., int]:
    """Run the command; return its exit code."""

    def run(*options: str) -> int:
        try:
            main(["data", "audit", *options], opener=opens(world))
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return run


def test_a_version_that_hides_nothing_is_clean(
    audit: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit() == 0
    assert "data-v1 is clean: of its 12 pictures" in capsys.readouterr().out


def test_findings_are_reported_with_their_remedy_and_end_with_exit_code_1(
    audit: Callable[..., int], world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """An earlier version of maskloop stored a file that tells a place."""
    version = world.app().data.current()
    assert version
    file = version.path(version.pictures[0])
    file.chmod(0o644)
    file.write_bytes(file.read_bytes() + b"GPSLatitude")
    assert audit("--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["telling_place"] == [version.pictures[0].name]
    assert audit() == 1
    said = capsys.readouterr().out
    assert f"contain a location (1): {version.pictures[0].name}" in said
    assert "start a new workspace and ingest the batches there" in said


def test_pictures_that_look_alike_in_different_splits_are_found(tmp_path: Path) -> None:
    """The plain pictures of this world do; only their hashes are far apart unless it is told otherwise."""
    world = World(tmp_path / "plain")
    world.label(range(12), one_hash=True)
    version, found = world.app().data.current(), audit_of(world)
    assert version
    splits = {picture.name: picture.split for picture in version.pictures}
    assert found.alike
    assert all(splits[one] != splits[other] for one, other in found.alike)


def test_each_finding_is_a_sentence() -> None:
    found = DataAudit("data-v1", 9, None, (("a", "b"),) * 5, (("c", "d"),), None, ())
    alike, torn = found.sentences()
    assert "are in different splits (5 pairs): a and b; a and b; a and b; ...." in alike
    assert "before it was set: c and d" in torn
    assert not found.is_clean


def test_without_data_there_is_nothing_to_audit(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no data version yet"):
        audit_of(World(tmp_path / "empty"))


def test_a_training_without_test_pictures_names_the_group_that_took_them(world: World) -> None:
    version = world.app().data.current()
    assert version
    one = tuple(replace(picture, group="g", split="train") for picture in version.pictures)
    with pytest.raises(DataError, match=r"12 of its 12 pictures are one group.*`maskloop data audit`"):
        refuse_without_test_pictures(replace(version, pictures=one))
    apart = tuple(replace(picture, split="train") for picture in version.pictures)
    with pytest.raises(DataError, match=r"Raise data.test_percent"):
        refuse_without_test_pictures(replace(version, pictures=apart))
