"""A service on a real socket, in a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn

from serving.http.connections import GuardedProtocol
from serving.http.server import address_of, make_config, open_listener
from tests.fakes.service_world import ServiceWorld


@contextmanager
def live(world: ServiceWorld, *, patience_s: float = 10.0) -> Iterator[str]:
    """Serve a world on a free port of loopback, and give its URL; stopped afterwards."""
    listener = open_listener("127.0.0.1", 0)
    config = make_config(world.make_app, world.settings, logging_config=None)
    protocol: Any = partial(
        GuardedProtocol, max_connections=world.settings.max_connections, patience_s=patience_s
    )
    config.http = protocol
    server = Serving(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert server.is_up.wait(30), "the service did not start"
        yield address_of(listener)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        assert not thread.is_alive(), "the service did not stop"


class Serving(uvicorn.Server):
    """Tells when it accepts connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.is_up.set()
