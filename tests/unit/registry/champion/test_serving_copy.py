from __future__ import annotations

from pathlib import Path

import pytest

from maskloop.errors import IntegrityError, NotFoundError, RefusedError, UnavailableError
from maskloop.records.kinds import ChampionChanged, write_record
from registry.champion.promotion import rollback
from registry.champion.serving_copy import ServedModel, champion_copy
from tests.fakes.registry_world import WEIGHTS_FILE, RegistryWorld, verify_weights


@pytest.fixture
def world() -> RegistryWorld:
    return RegistryWorld()


def copy(world: RegistryWorld, models_dir: Path) -> ServedModel:
    return champion_copy(world.state, world.fetch, models_dir, verify_weights)


def test_the_champion_is_fetched_once_and_then_served_without_the_registry(
    world: RegistryWorld, tmp_path: Path
) -> None:
    champion = world.promoted()
    served = copy(world, tmp_path)
    assert (served.version, served.weights_digest) == (champion.version, champion.weights_digest)
    assert served.directory == tmp_path / champion.weights_digest
    world.store.is_offline = True
    assert copy(world, tmp_path) == served


def test_nothing_promoted_is_not_found(world: RegistryWorld, tmp_path: Path) -> None:
    world.approved()
    with pytest.raises(NotFoundError, match="nothing serves yet"):
        copy(world, tmp_path)


def test_the_alias_does_not_decide_what_serves(world: RegistryWorld, tmp_path: Path) -> None:
    champion = world.promoted()
    world.store.set_alias("champion", world.candidate().version)
    assert copy(world, tmp_path).version == champion.version


def test_a_deleted_champion_serves_on_from_the_disk(world: RegistryWorld, tmp_path: Path) -> None:
    champion = world.promoted()
    copy(world, tmp_path)
    world.store.delete_version_by_hand(champion.version)
    assert copy(world, tmp_path).version == champion.version


def test_rollback_needs_no_registry_to_serve(world: RegistryWorld, tmp_path: Path) -> None:
    first = world.promoted()
    copy(world, tmp_path)
    world.promoted()
    copy(world, tmp_path)
    rollback(world.ledger, world.store, by="otto", why="")
    world.store.is_offline = True
    assert copy(world, tmp_path).version == first.version


def test_a_damaged_copy_is_fetched_again(world: RegistryWorld, tmp_path: Path) -> None:
    world.promoted()
    served = copy(world, tmp_path)
    (served.directory / WEIGHTS_FILE).write_bytes(b"bit rot")
    again = copy(world, tmp_path)
    verify_weights(again.directory, again.weights_digest)
    assert (again.directory / WEIGHTS_FILE).read_bytes() != b"bit rot"


@pytest.mark.parametrize("trouble", ["offline", "deleted"])
def test_a_damaged_copy_that_cannot_be_fetched_again_is_not_served(
    world: RegistryWorld, tmp_path: Path, trouble: str
) -> None:
    champion = world.promoted()
    (copy(world, tmp_path).directory / WEIGHTS_FILE).write_bytes(b"bit rot")
    world.store.is_offline = trouble == "offline"
    if trouble == "deleted":
        world.store.delete_version_by_hand(champion.version)
    with pytest.raises(IntegrityError, match="cannot be fetched again"):
        copy(world, tmp_path)


def test_replaced_files_in_the_registry_are_not_served(world: RegistryWorld, tmp_path: Path) -> None:
    champion = world.promoted()
    world.store.replace_files_by_hand(champion.version, {WEIGHTS_FILE: b"other weights"})
    with pytest.raises(IntegrityError):
        copy(world, tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_without_a_copy_an_unavailable_registry_says_so(world: RegistryWorld, tmp_path: Path) -> None:
    world.promoted()
    world.store.is_offline = True
    with pytest.raises(UnavailableError):
        copy(world, tmp_path)


def test_a_champion_without_blessing_in_the_ledger_is_not_served(
    world: RegistryWorld, tmp_path: Path
) -> None:
    candidate = world.candidate()
    forged = ChampionChanged(
        epoch=1,
        version=candidate.version,
        weights_digest=candidate.weights_digest,
        previous_version="",
        previous_digest="",
        cause="promotion",
        why="by hand",
    )
    write_record(world.ledger, forged)
    with pytest.raises(RefusedError, match="not judged"):
        copy(world, tmp_path)


def test_a_later_verdict_does_not_take_the_champion_down(world: RegistryWorld, tmp_path: Path) -> None:
    champion = world.promoted()
    world.decide(world.judge(champion, "fail"), "rejected", via="policy")
    assert copy(world, tmp_path).version == champion.version
