"""A service over fakes in a process of its own: ``python -m tests.fakes.served DIRECTORY PORT [SETTINGS]``.

Writes its URL to the file ``url`` of the directory. Pictures are answered by a model that finds what is
bright; one whose first pixel is (7, 7, 7) waits until a file named ``go`` lies in the directory.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskloop.settings.workspace_settings import ServingSettings
from serving.http.server import address_of, open_listener, run_server, stop_noticed
from tests.fakes.service_world import ServiceWorld
from tests.fakes.serving_world import FakeSource

WAITING = (7, 7, 7)


def make_application(directory: Path, settings: dict[str, Any]) -> Any:
    def before(pictures: Sequence[np.ndarray]) -> None:
        for pixels in pictures:
            if tuple(pixels[0, 0]) == WAITING:
                (directory / "arrived").touch()
                while not (directory / "go").exists():
                    time.sleep(0.01)

    source = FakeSource(options={"1": {"before": before}})
    world = ServiceWorld(directory, source=source, sandboxed=True, **settings)
    app = world.make_app()
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(one: Any) -> AsyncIterator[None]:
        assert world.service is not None
        notice_s = world.settings.stop_notice_s
        async with inner(one):
            with stop_noticed(world.service.engine.announce_stop, notice_s=notice_s):
                yield

    app.router.lifespan_context = lifespan
    return app


def main() -> None:
    directory, port = Path(sys.argv[1]), int(sys.argv[2])
    settings = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    listener = open_listener("127.0.0.1", port)
    (directory / "url").write_text(f"{address_of(listener)}\n")
    run_server(partial(make_application, directory, settings), ServingSettings(**settings), listener)


if __name__ == "__main__":
    main()
