"""The port of channels. `apprise_channel` has the real one, `tests.fakes.channels` one in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Message:
    """What a person reads.

    Attributes:
        headline: One line: what happened, to which model.
        text: All of it, in lines; plain text.
    """

    headline: str
    text: str


class Channel(Protocol):
    """A mailbox, a chat room, a webhook. Used by one thread at a time."""

    def send(self, message: Message) -> None:
        """Deliver a message. May take long: the caller gives it a thread of its own.

        Raises:
            ConfigurationError: if its address is missing or cannot be understood.
            UnavailableError: if it did not take the message. Neither error holds the address.
        """
        ...
