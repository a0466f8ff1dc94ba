"""Channels by Apprise: mail, Slack, Teams, webhooks and a hundred more, each named by one address.

An address often holds a password or token. It is read from the environment with every message and kept
nowhere; what Apprise and its HTTP client log meanwhile is caught, because it may repeat the address.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import apprise

from maskloop.errors import ConfigurationError, UnavailableError
from monitoring.channels.port import Message

_STATUS: Final = re.compile(r"error=(\d{3})")
_SPEAKERS: Final = ("apprise", "urllib3.connectionpool", "requests_oauthlib.oauth1_auth")


class AppriseChannel:
    """Fulfils `monitoring.channels.port.Channel`.

    Args:
        url_variable: The environment variable that holds the address.
    """

    def __init__(self, url_variable: str) -> None:
        self._variable = url_variable

    def send(self, message: Message) -> None:
        """Deliver a message. Raises as the port says."""
        address = os.environ.get(self._variable, "").strip()
        if not address:
            raise ConfigurationError(
                f"the environment variable {self._variable} is empty or not set",
                where="[notifications] in maskloop.toml",
                hint="put the channel's address into it, for the process that runs the loop",
            )
        with _caught_logs() as lines:
            services = apprise.Apprise()
            if not services.add(address) or not len(services):
                raise ConfigurationError(
                    f"the environment variable {self._variable} holds no address that Apprise understands",
                    where="[notifications] in maskloop.toml",
                    hint="addresses look like mailtos://USER:PASSWORD@example.org?to=ADDRESS or jsons://HOST/PATH",
                )
            if len(services) > 1:
                raise ConfigurationError(
                    f"the environment variable {self._variable} holds {len(services)} addresses",
                    where="[notifications] in maskloop.toml",
                    hint="make a channel for each, so that one that fails repeats nothing on the others",
                )
            taken = services.notify(title=message.headline, body=message.text, body_format="text")
        if not taken:
            raise UnavailableError(f"the channel did not take the message: {_explain(lines)}")


def _explain(lines: list[str]) -> str:
    """Say what went wrong in words of our own: the library's lines may hold an address."""
    statuses = [found[1] for line in lines if (found := _STATUS.search(line))]
    if statuses:
        return f"its server answered {statuses[-1]}"
    if any("onnection" in line or "ocket" in line for line in lines):
        return "its server cannot be reached or does not answer in time"
    return "its server refused it or cannot be reached"


class _Catcher(logging.Filter):
    """Keeps what one thread logs away from every handler."""

    def __init__(self) -> None:
        super().__init__()
        self._thread, self.lines = threading.get_ident(), list[str]()

    def filter(self, record: logging.LogRecord) -> bool:
        """Take a line of this thread."""
        if record.thread != self._thread:
            return True
        self.lines.append(record.getMessage())
        return False


@contextmanager
def _caught_logs() -> Iterator[list[str]]:
    catcher = _Catcher()
    speakers = [logging.getLogger(name) for name in _SPEAKERS]
    for speaker in speakers:
        speaker.addFilter(catcher)
    try:
        yield catcher.lines
    finally:
        for speaker in speakers:
            speaker.removeFilter(catcher)
