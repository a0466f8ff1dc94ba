"""Three hosts in network namespaces: PostgreSQL and S3 on one, services and workers on the others.

`make cluster` plays many rounds; here is one. Each cuts the second host off while it works, heals it, and
kills the third while it works.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.host_program import LEASE_S
from tests.unit.test_layers import REPOSITORY

pytestmark = [pytest.mark.server, pytest.mark.slow]
ROUNDS = int(os.environ.get("MASKLOOP_CLUSTER_ROUNDS", "1"))


def may_make_networks() -> bool:
    tried = ["unshare", "--net", "--uts", "sh", "-c", "ip link add br0 type bridge && nsenter --version"]
    try:
        return subprocess.run(tried, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    if not may_make_networks():
        pytest.skip("only root may make network namespaces")
    folder = tmp_path_factory.mktemp("hosts")
    story = [sys.executable, "-m", "tests.fakes.host_story", str(folder), str(ROUNDS)]
    done = subprocess.run(
        ["unshare", "--net", "--uts", *story], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True
    )
    told: list[dict[str, Any]] = json.loads(done.stdout)["rounds"]
    assert len(told) == ROUNDS
    return told


def test_hosts_with_addresses_of_their_own_hold_what_must_hold(rounds: list[dict[str, Any]]) -> None:
    names: list[str] = []
    for told in rounds:
        names += told["names"]
        only_one_works_at_a_time(told)
        every_sample_is_taken_and_scored_once(told, len(names))
        assert told["keys"][0] == told["keys"][1], "a trigger that two hosts record is one entry"
        assert told["slice"].startswith("kept by the second host")
        assert told["taken_while_cut"][0] == [], "what the host that is cut off loses, it says"
        champions = {look["champion"] for look in [told["healed"], *told["looks"]]}
        assert champions == {told["champion"]}, "a host that was cut off learns of the rollback"


def only_one_works_at_a_time(told: dict[str, Any]) -> None:
    second, third = told["worked"]
    held_s = max(end for _, end in second if end < third[0][0]) - told["cut_at"]
    assert 0 < held_s < LEASE_S, "a host that is cut off stops before its lease ends"
    steps = sorted([*((*step, "second") for step in second), *((*step, "third") for step in third)])
    for (_, end, host), (began, _, next_host) in pairwise(steps):
        assert host == next_host or end <= began, "no two hosts work at the same time"
    assert second[-1][0] > told["killed_at"], "the work of a host that was killed goes on elsewhere"


def every_sample_is_taken_and_scored_once(told: dict[str, Any], num_so_far: int) -> None:
    for done in (told["taken"], told["scored"]):
        assert sorted([*done[0], *done[1]]) == sorted(told["names"])
    for look in told["looks"]:
        assert sorted(look["whole"]) == sorted(told["names"]), "every host reads every picture"
        assert look["counts"] == [num_so_far, num_so_far, 0, 0]


def test_a_shared_disk_that_is_full_is_named_and_loses_nothing(tmp_path: Path) -> None:
    if not may_make_networks():
        pytest.skip("only root may mount a small disk")
    mounted = f"mount -t tmpfs -o size=256k full {tmp_path} && exec {sys.executable} -c '{FILL}' {tmp_path}"
    filled = ["unshare", "--mount", "sh", "-c", mounted]
    done = subprocess.run(filled, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["said"].startswith("the disk is full (")
    assert told["said"].endswith("Free some space and run the same command again")
    assert told["whole"] == told["taken"] > 0, "every sample that was taken has its whole picture"
    assert told["received"] == told["taken"], "a sample whose picture found no room is not counted as taken"
    assert told["files"] == told["taken"], "no half-written file is left"
    assert told["after"], "with space again the next sample is taken"


FILL = """
import json, sys
from pathlib import Path
from maskloop.blobs.folder import FolderBlobs
from maskloop.errors import StorageError
from monitoring.samples.sample_log import SqlSampleLog
from tests.fakes.host_program import picture_of, sample

own = Path(sys.argv[1]).with_name("own")
store = FolderBlobs(Path(sys.argv[1]))
log, names, said = SqlSampleLog(own, pictures=store), [], ""
while not said:
    name = f"sample {len(names)}" + 500 * "x"
    try:
        log.add(sample(str(len(names))), picture_of(name))
        names.append(name)
    except StorageError as error:
        said = str(error)
kept = {one.sample_id: log.picture_bytes(one) for one in log.newest(1000)}
whole = sum(kept[str(number)] == picture_of(name) for number, name in enumerate(names))
blobs = store.list("pictures")
received = log.counts().received
store.delete([blobs[0].name])
after = log.add(sample("after"), b"small")
told = dict(said=said, taken=len(names), whole=whole, received=received, files=len(blobs), after=after)
print(json.dumps(told))
"""
