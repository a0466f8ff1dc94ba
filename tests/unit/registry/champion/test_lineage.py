from __future__ import annotations

import pytest

from maskloop.errors import NotFoundError
from maskloop.records.kinds import TrainingStarted, VersionIngested, write_record
from registry.champion.lineage import lineage
from tests.fakes.registry_world import RegistryWorld


@pytest.fixture
def world() -> RegistryWorld:
    return RegistryWorld()


def test_a_versions_chain_goes_from_its_data_to_what_became_of_it(world: RegistryWorld) -> None:
    write_record(
        world.ledger,
        VersionIngested(
            tag="data-v1",
            fingerprint="f" * 64,
            dvc_md5="m",
            git_commit="abc",
            source="camera 1",
            num_pictures=600,
            num_new_pictures=600,
            num_new_labelled=600,
            num_quarantined=2,
        ),
    )
    first = world.promoted()
    world.promoted()
    facts = lineage(world.state, first.version)
    assert [fact.what for fact in facts] == [
        "data",
        "parent",
        "run",
        "verdict",
        "approval",
        "champion",
        "retired",
    ]
    assert facts[0].detail["git_commit"] == "abc"
    assert facts[2].detail["run_id"] == first.run_id
    assert "asked for by rita" in facts[2].sentence
    assert "version 2 took its place" in facts[-1].sentence


def test_the_parent_is_named_by_its_version(world: RegistryWorld) -> None:
    first, second = world.promoted(), world.candidate()
    started = TrainingStarted(
        attempt=1,
        data_tag="data-v1",
        data_fingerprint="f" * 64,
        settings_digest="s",
        code_revision="abc",
        parent_digest=first.weights_digest,
        run_id="r",
        device="cpu",
    )
    write_record(world.ledger, started, cycle_id=world.cycle_of(second))
    parent = lineage(world.state, second.version)[1]
    assert parent.detail["version"] == first.version
    assert "started from version 1" in parent.sentence


def test_a_version_nobody_knows_is_not_found(world: RegistryWorld) -> None:
    with pytest.raises(NotFoundError):
        lineage(world.state, "9")
