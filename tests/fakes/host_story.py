"""Three hosts: stores on the first, work on the others; one is cut off and healed, one killed.

``unshare --net --uts python -m tests.fakes.host_story FOLDER ROUNDS`` runs it in a network namespace of its
own, and prints as JSON what happened.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from maskloop.ledger.port import check_chain
from maskloop.ledger.sql_ledger import SqlLedger
from registry.champion.promotion import rollback
from tests.fakes.host_network import HERE, NETWORK, RemoteHost, join_network
from tests.fakes.host_program import LEASE_S
from tests.fakes.postgresql import postgresql_server
from tests.fakes.registry_world import RegistryWorld
from tests.fakes.s3_server import s3_server

SETTINGS = """
[servers]
database_url = "postgresql://postgres@{here}/parts?connect_timeout=2&tcp_user_timeout=2000"
blob_url = "s3://{bucket}/files"
[monitoring]
keep_pictures = 10000
"""


def tell(folder: Path, num_rounds: int) -> dict[str, Any]:
    join_network()
    with ExitStack() as running:
        postgresql = running.enter_context(postgresql_server(HERE, f"{NETWORK}.0/24"))
        with postgresql.connect() as connection:
            connection.execute("CREATE DATABASE parts")
        s3 = running.enter_context(s3_server(HERE))
        os.environ.update(s3.environment)
        settings = SETTINGS.format(here=HERE, bucket=s3.new_bucket())
        ledger = SqlLedger(f"postgresql://postgres@{HERE}/parts")
        running.callback(ledger.close)
        world = RegistryWorld()
        world.ledger = ledger  # type: ignore[assignment]
        world.promoted()
        hosts = []
        for number in (2, 3):
            root = folder / f"host-{number}"
            root.mkdir()
            (root / "maskloop.toml").write_text(settings)
            hosts.append(RemoteHost(number, root))
            running.callback(hosts[-1].close)
        rounds = [tell_round(world, hosts[0], hosts[1], number) for number in range(num_rounds)]
        check_chain(ledger.entries())
        return {"rounds": rounds}


def tell_round(world: RegistryWorld, second: RemoteHost, third: RemoteHost, number: int) -> dict[str, Any]:
    """Cut the second host off while it works, heal it, kill the third while it works."""
    names = [f"r{number}-{index}" for index in range(8)]
    taken = both(second, third, "add_samples", names[:7])
    keys = both(second, third, "append", f"trigger-{number}")
    second.do("share", f"cycle-{number}", f"kept by the second host {number}")
    second.do("work")
    wait_for_work(second)
    third.do("work")
    cut_at = time.monotonic()
    second.cut_off()
    while_cut = both(second, third, "add_samples", names[7:])
    world.promoted()
    rollback(world.ledger, world.store, by="otto", why="it is cut off from it")
    wait_for_work(third)
    second.heal()
    healed = second.do("look", names)
    slices = third.do("bring", f"cycle-{number}")
    killed_at = time.monotonic()
    of_third = third.do("worked_so_far")
    third.kill()
    wait_until(lambda: any(began > killed_at for began, _ in second.do("worked_so_far")))
    of_second = second.do("stop")
    third.start()
    scored = both(second, third, "score", names)
    looks = both(second, third, "look", names)
    second.kill()
    second.start()
    return {
        "names": names,
        "taken": [one + more for one, more in zip(taken, while_cut, strict=True)],
        "taken_while_cut": while_cut,
        "keys": keys,
        "slice": slices,
        "worked": [of_second, of_third],
        "cut_at": cut_at,
        "killed_at": killed_at,
        "healed": healed,
        "scored": scored,
        "looks": looks,
        "champion": world.state.champion.version if world.state.champion else "",
    }


def both(first: RemoteHost, other: RemoteHost, what: str, *arguments: Any) -> list[Any]:
    """Have two hosts do the same at the same time."""
    first.begin(what, *arguments)
    other.begin(what, *arguments)
    return [first.end(), other.end()]


def wait_for_work(host: RemoteHost) -> None:
    wait_until(lambda: len(host.do("worked_so_far")) > 0)


def wait_until(is_so: Any, timeout_s: float = 20 * LEASE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


if __name__ == "__main__":
    print(json.dumps(tell(Path(sys.argv[1]), int(sys.argv[2]))))
