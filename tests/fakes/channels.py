"""A channel that keeps what it was sent, and fails, hangs or dies as told."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from maskloop.errors import UnavailableError
from monitoring.channels.port import Message


@dataclass
class FakeChannel:
    """Attributes say how it behaves.

    Attributes:
        trouble: Why it takes nothing; empty if it does.
        unexpected: Raised in place of a message's delivery.
        hangs: Each message waits until `release`.
        messages: What it took.
    """

    trouble: str = ""
    unexpected: Exception | None = None
    hangs: bool = False
    messages: list[Message] = field(default_factory=list)
    _released: threading.Event = field(default_factory=threading.Event)

    def send(self, message: Message) -> None:
        if self.hangs:
            self._released.wait(60)
        if self.unexpected:
            raise self.unexpected
        if self.trouble:
            raise UnavailableError(f"the channel did not take the message: {self.trouble}")
        self.messages.append(message)

    def release(self) -> None:
        """Let what hangs go on."""
        self.hangs = False
        self._released.set()

    @property
    def headlines(self) -> list[str]:
        return [message.headline for message in self.messages]
