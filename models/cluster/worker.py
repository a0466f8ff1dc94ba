"""One rank of a training, in a process that Ray started."""

from __future__ import annotations

import socket
from typing import Any

import ray

from maskloop.errors import MaskloopError
from models.cluster.mailbox import Advanced, Began, Evaluated, Failed, Saved, Stepped
from models.cluster.versions import describe_programs, refuse_other_programs, refuse_unseen_files
from models.loading.request import TrainingRequest
from models.ranks.group import joined_ranks
from models.training.trainer import memory_told
from models.training.training_loop import train


def learn(config: dict[str, Any]) -> None:
    """Train as one of the ranks, and report if it is the first.

    What trying again does not change is put into the mailbox; everything else is raised, so that Ray starts
    all ranks again, from the last checkpoint.

    Args:
        config: ``request``, ``mailbox``, an actor, and ``programs``, the versions of who asks.
    """
    mailbox = config["mailbox"]
    try:
        with memory_told():
            _learn(config["request"], mailbox, config["programs"])
    except MaskloopError as error:
        ray.get(mailbox.put.remote(Failed(error)))


def _learn(request: TrainingRequest, mailbox: Any, asked: dict[str, str]) -> None:
    ranks, host = joined_ranks(), socket.gethostname()
    by_host = ranks.gather((host, describe_programs()))
    refuse_other_programs(asked, by_host)
    refuse_unseen_files(request)
    if not ranks.is_first:
        train(request, ranks=ranks)
        return
    ray.get(mailbox.put.remote(Began(ranks.count, tuple(name for name, _ in by_host))))
    train(
        request,
        on_step=lambda *arguments: mailbox.put.remote(Stepped(arguments)),
        on_evaluation=lambda step, metrics: mailbox.put.remote(Evaluated(step, metrics)),
        progress=lambda done, in_all: mailbox.put.remote(Advanced(done, in_all)),
        on_checkpoint=lambda step: mailbox.put.remote(Saved(step)),
        should_stop=lambda: bool(ray.get(mailbox.is_stop_asked.remote())),
        ranks=ranks,
    )
