"""What the first rank says to the process that asked for the training, and what it is told: to stop.

Only that process knows the ledger and MLflow, so ranks may die and come back without a trace there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from maskloop.errors import MaskloopError


@dataclass(frozen=True)
class Began:
    """The ranks have found each other.

    Attributes:
        num_workers: How many there are.
        hosts: The names of their machines.
    """

    num_workers: int
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Stepped:
    """A step was done; see `models.loading.request.OnStep`."""

    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Advanced:
    """So many steps of so many are done."""

    done: int
    in_all: int


@dataclass(frozen=True)
class Evaluated:
    """Weights were evaluated; see `models.loading.request.OnEvaluation`."""

    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Saved:
    """The checkpoint of a step is on disk."""

    step: int


@dataclass(frozen=True)
class Failed:
    """A rank gave up for a reason that trying again does not change."""

    error: MaskloopError


Message = Began | Stepped | Advanced | Evaluated | Saved | Failed


class Mailbox:
    """Keeps messages in order until they are taken. A process of its own once Ray has it."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._is_stop_asked = False

    def put(self, message: Message) -> bool:
        """Add a message; tell whether the training is to stop."""
        self._messages.append(message)
        return self._is_stop_asked

    def take(self) -> list[Message]:
        """Return the messages since the last time, oldest first."""
        taken, self._messages = self._messages, []
        return taken

    def ask_to_stop(self) -> None:
        """Have the ranks stop after their present step."""
        self._is_stop_asked = True

    def is_stop_asked(self) -> bool:
        """Tell whether they are to stop."""
        return self._is_stop_asked


@dataclass(frozen=True)
class Listener:
    """What is done with each message; see `models.ports.Trainer.train`."""

    on_step: Callable[..., None]
    on_evaluation: Callable[[int, Mapping[str, float]], None]
    progress: Callable[[int, int], None]
    on_checkpoint: Callable[[int], None]
    on_begin: Callable[[Began], None]

    def hear(self, message: Message) -> None:
        """Act on one message. Raises what a rank failed with."""
        match message:
            case Began():
                self.on_begin(message)
            case Stepped(arguments):
                self.on_step(*arguments)
            case Advanced(done, in_all):
                self.progress(done, in_all)
            case Evaluated(step, metrics):
                self.on_evaluation(step, metrics)
            case Saved(step):
                self.on_checkpoint(step)
            case Failed(error):
                raise error
