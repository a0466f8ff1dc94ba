"""How long requests wait at a replica that is busy a given share of the time. Pure.

A load balancer sends each connection to any replica, whatever their queues. Replicas are therefore queues of
their own that share the load (M/G/1), and not one queue with several servers (M/M/c), whose wait would be
shorter than what clients see.
"""

from __future__ import annotations

import math


def mean_wait_s(load: float, service_s: float, *, variation: float) -> float:
    """Return the mean wait of a request that finds a queue, by the Pollaczek-Khinchine formula.

    Args:
        load: Share of the time in which the replica works, 0 to below 1.
        service_s: Seconds that a request occupies it.
        variation: The squared coefficient of variation of ``service_s``: 0 if all take as long, 1 if they are
            exponential.

    Source: Kleinrock, Queueing Systems, volume 1 (1975), section 5.6; exact for Poisson arrivals.

    >>> mean_wait_s(0.5, 0.01, variation=1.0), mean_wait_s(0.5, 0.01, variation=0.0)
    (0.01, 0.005)
    """
    return load / (1.0 - load) * (1.0 + variation) / 2.0 * service_s


def wait_quantile_s(load: float, service_s: float, *, variation: float, share: float) -> float:
    """Return the wait that a share of the requests does not exceed.

    A request waits at all with the probability ``load``; the waits of those that do are taken as exponential,
    which is exact for exponential service times and the limit of heavy traffic for others.

    Source: Kingman, The single server queue in heavy traffic (1961).

    >>> round(wait_quantile_s(0.7, 0.01, variation=1.0, share=0.95), 4)
    0.088
    """
    if load <= 1.0 - share:
        return 0.0
    mean_of_those_s = mean_wait_s(load, service_s, variation=variation) / load
    return mean_of_those_s * math.log(load / (1.0 - share))
