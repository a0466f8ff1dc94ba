"""Which model answers a request during a rollout: pure decisions.

A client's key always maps to the same point in 0..100, so a client keeps its model, and a client routed to
the challenger at 5 % stays with it at 25 %. The share is a hard limit: if a few clients send most requests,
some of theirs go to the champion.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from serving.answers import Role, Traffic


@dataclass
class Counted:
    """Requests of this replica since the share was last changed."""

    cycle_id: str = ""
    share_percent: float = 0.0
    num_requests: int = 0
    num_to_challenger: int = 0


def choose_role(traffic: Traffic, key: str, counted: Counted) -> Role:
    """Decide who answers one request, and count it.

    The challenger never gets more than its share of the requests so far, this one included.
    """
    if (counted.cycle_id, counted.share_percent) != (traffic.cycle_id, traffic.share_percent):
        counted.cycle_id, counted.share_percent = traffic.cycle_id, traffic.share_percent
        counted.num_requests = counted.num_to_challenger = 0
    counted.num_requests += 1
    if not traffic.cycle_id or point_of(traffic.cycle_id, key) >= traffic.share_percent:
        return "champion"
    allowed = math.floor(counted.num_requests * traffic.share_percent / 100.0 + 1e-9)
    if counted.num_to_challenger >= allowed:
        return "champion"
    counted.num_to_challenger += 1
    return "challenger"


def wants_mirror(traffic: Traffic, request_id: str) -> bool:
    """Tell whether the other model should be asked about this picture too."""
    return bool(traffic.cycle_id) and point_of("mirror", request_id) < traffic.mirror_percent


def point_of(cycle_id: str, key: str) -> float:
    """Return the point in [0, 100) of a key in one rollout; in another rollout it is a different one.

    >>> point_of("cycle-1", "camera 7") == point_of("cycle-1", "camera 7")
    True
    """
    digest = hashlib.sha256(f"{cycle_id}\n{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100.0
