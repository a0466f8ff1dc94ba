"""The servers that are compared: how each is started and asked, ours among them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.serving.client import Sender
from benchmarks.serving.plans import Body, Plan
from benchmarks.serving.processes import Server, server_running
from benchmarks.serving.workspace import command_of_maskloop
from flows.workspace.servers import find_free_port

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Contestant:
    """One server.

    Attributes:
        name: With its version where it is not ours.
        command: ``@port@`` stands for the port.
        directory: Where it is started.
        environment: On top of the present one.
        path: The route that takes pictures.
        body: How it wants them.
    """

    name: str
    command: tuple[str, ...]
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    path: str = "/v1/predict"
    body: Body = "raw"

    @contextmanager
    def running(self, pictures: Path, log: Path) -> Iterator[tuple[Server, Plan]]:
        """Run it for the body; gives the server and the plan by which it is asked.

        Raises:
            RuntimeError: with the end of its log, if it does not start.
        """
        port = find_free_port()
        plan = Plan(port, self.path, str(pictures), seconds=0.0, body=self.body)
        with server_running(
            [part.replace("@port@", str(port)) for part in self.command],
            port=port,
            log=log,
            directory=self.directory,
            environment=self.environment,
            answers=lambda: is_answered(plan),
        ) as server:
            yield server, plan


def is_answered(plan: Plan) -> bool:
    """Send the first picture once; tell whether it was answered with 200."""
    sender = Sender(replace(plan, timeout_s=20.0, fresh_connections=True))
    asyncio.run(sender.send(0, time.monotonic()))
    return sender.requests[0].status == 200


def ours(root: Path, *, workers: int = 1) -> Contestant:
    """Return `maskloop serve` in a workspace."""
    command = (command_of_maskloop(), "serve", "--port", "@port@", "--workers", str(workers))
    name = "maskloop serve" if workers == 1 else f"maskloop serve, {workers} workers"
    return Contestant(name, command, root)


def others(python: Path, model: Path) -> list[Contestant]:
    """Return the others, started from the environment they are installed in.

    Args:
        python: Its interpreter.
        model: The folder of the weights that all of them serve.
    """
    tools = python.parent
    apps = REPOSITORY / "benchmarks" / "serving" / "alternatives"
    environment = {
        "PYTHONPATH": str(REPOSITORY),
        "BENCHMARK_MODEL": str(model),
        "PATH": f"{tools}:/usr/bin:/bin",
        "DO_NOT_TRACK": "1",
        "BENTOML_DO_NOT_TRACK": "True",
        "RAY_USAGE_STATS_ENABLED": "0",
    }

    def other(name: str, *command: str, **asked: str) -> Contestant:
        return Contestant(name, command, apps, environment, **asked)  # type: ignore[arg-type]

    package = "benchmarks.serving.alternatives"
    granian = (
        str(tools / "granian"),
        "--interface",
        "asgi",
        "--port",
        "@port@",
        "fastapi_app:app",
    )
    bento = (str(tools / "bentoml"), "serve", "bentoml_app:Parts", "--port", "@port@")
    module = (str(python), "-m")
    return [
        other("granian + FastAPI", *granian, path="/predict"),
        other("LitServe", *module, f"{package}.litserve_app", "@port@", path="/predict", body="json"),
        other("BentoML", *bento, path="/predict", body="json list"),
        other("Ray Serve", *module, f"{package}.ray_app", "@port@", path="/"),
        other("mosec", *module, f"{package}.mosec_app", "--port", "@port@", path="/inference"),
    ]
