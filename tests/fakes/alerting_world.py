"""Real Prometheus and Alertmanager on loopback, between figures that a test turns and what is told."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml

from flows.slo.rules import write_duration, write_rules
from flows.workspace.servers import find_free_port
from maskloop.settings.workspace_settings import Settings
from maskloop.state.loop_state import LoopState
from monitoring.slo.objective import find_objectives
from serving.answers import Wanted
from serving.telemetry.metrics import LATENCY_BOUNDS_S, Metrics
from tests.fakes.serving_world import make_served

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
RULES_SCALE = 1 / 100
"""An hour takes 36 s, five minutes 3 s."""
ROUTES_SCALE = 1 / 60
"""Alertmanager waits 0.5 s before a page, 2 s before a ticket, 5 and 10 s between two about one cause."""
_DEADLINE_S = 90.0
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass
class Service:
    """What the figures of the service say; each scrape counts the answers of another second."""

    metrics: Metrics = field(default_factory=lambda: Metrics("parts"))
    num_errors: int = 0
    """Of the 20 answers of each second."""
    seconds: float = 0.02
    num_scrapes: int = 0

    def __post_init__(self) -> None:
        self.metrics.serving_changed(Wanted(make_served("1")))

    def scrape(self) -> bytes:
        """Count another second, and return the page."""
        self.num_scrapes += 1
        for number in range(20):
            is_error = number < self.num_errors
            self.metrics.request_ended(
                status=500 if is_error else 200,
                cause="unexpected" if is_error else "",
                version="1",
                seconds=self.seconds,
            )
        return self.metrics.render()[0]

    def show(self, state: LoopState, *, queue_s: float = 0.0) -> None:
        """Turn what the loop says, and the queue."""
        self.metrics.show_loop(state)
        self.metrics.queue_changed(length=0, waiting_s=queue_s)


@dataclass(frozen=True)
class Told:
    """One message that a receiver got."""

    receiver: str
    status: str
    alerts: tuple[str, ...]

    @classmethod
    def read(cls, receiver: str, content: dict[str, Any]) -> Told:
        named = sorted(f"{one['labels']['alertname']} {one['status']}" for one in content["alerts"])
        return cls(receiver, content["status"], tuple(named))

    def firing(self) -> tuple[str, ...]:
        return tuple(one.split()[0] for one in self.alerts if one.endswith(" firing"))


class AlertingWorld:
    """The service's figures, Prometheus, Alertmanager and the receivers of pages and tickets."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.service, self.told = folder, Service(), list[Told]()
        self.bodies: list[dict[str, Any]] = []
        self._server = self._serve()
        self.ports = {name: find_free_port() for name in ("prometheus", "alertmanager")}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._write_files()

    def start(self, name: str, *, resend_s: int = 10) -> None:
        """Start `prometheus` or `alertmanager` on its own data, and wait until it is ready.

        Prometheus tells Alertmanager what fires every ``resend_s``; it holds for four times as long.
        """
        command = {
            "prometheus": [
                "prometheus",
                f"--config.file={self.folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.folder / 'prometheus'}",
                f"--rules.alert.resend-delay={resend_s}s",
                "--log.level=warn",
            ],
            "alertmanager": [
                "prometheus-alertmanager",
                f"--config.file={self.folder / 'alertmanager.yml'}",
                f"--storage.path={self.folder / 'alertmanager'}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ],
        }[name]
        command.append(f"--web.listen-address=127.0.0.1:{self.ports[name]}")
        program = Path(shutil.which(command[0]) or command[0])
        with (self.folder / f"{name}.log").open("ab") as log:  # `.ci/promtool` leaves templates beside it
            self._running[name] = subprocess.Popen(
                [program, *command[1:]], stdout=log, stderr=log, cwd=program.parent
            )
        self.wait(lambda: self._is_ready(name), f"{name} to be ready")

    def stop(self, name: str) -> None:
        """Stop it as a restart does."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Stop everything."""
        for name in tuple(self._running):
            self.stop(name)
        self._server.shutdown()
        self._server.server_close()

    def wait(self, is_so: Callable[[], object], what: str) -> None:
        """Look again and again until something is so. Fails with what was told until then."""
        ends_at = time.monotonic() + _DEADLINE_S
        while not is_so():
            logs = "".join(file.read_text()[-2000:] for file in self.folder.glob("*.log"))
            assert time.monotonic() < ends_at, f"waited for {what}; told: {self.told}\n{logs}"
            time.sleep(0.1)

    def firing(self) -> set[str]:
        """Return what Prometheus says is firing."""
        answer = self._ask("prometheus", "/api/v1/alerts")
        alerts = answer["data"]["alerts"] if answer else ()
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def received(self, *, since: datetime | None = None) -> dict[str, bool]:
        """Return the alerts that Alertmanager knows, and which of them it holds back."""
        return {
            one["labels"]["alertname"]: one["status"]["state"] == "suppressed"
            for one in self._ask("alertmanager", "/api/v2/alerts") or ()
            if since is None or datetime.fromisoformat(one["updatedAt"]) > since
        }

    def messages_about(self, alert: str) -> list[Told]:
        """Return the messages that tell that an alert fires."""
        return [one for one in self.told if alert in one.firing()]

    def _is_ready(self, name: str) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.ports[name]}/-/ready", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def _ask(self, name: str, path: str) -> Any:
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.ports[name]}{path}", timeout=10)
        except httpx.HTTPError:
            return None
        return answer.json() if answer.is_success else None

    def _serve(self) -> ThreadingHTTPServer:
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = world.service.scrape()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(page)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                world.bodies.append(body)
                world.told.append(Told.read(self.path.strip("/"), body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def _write_files(self) -> None:
        source = DEPLOY / "prometheus"
        objectives = find_objectives(Settings())
        (self.folder / "slo.yml").write_text(
            write_rules(objectives, bounds_s=LATENCY_BOUNDS_S, scale=RULES_SCALE)
        )
        (self.folder / "recording.yml").write_text(
            scale_durations((source / "recording.yml").read_text(), RULES_SCALE)
        )
        alerts = yaml.safe_load(scale_durations((source / "alerts.yml").read_text(), RULES_SCALE))
        alerts["groups"] = [one for one in alerts["groups"] if one["name"] != "maskloop-service"]
        (self.folder / "alerts.yml").write_text(yaml.safe_dump(alerts))
        config = yaml.safe_load((source / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [
            f"127.0.0.1:{self.ports['alertmanager']}"
        ]
        (job,) = config["scrape_configs"]
        del job["authorization"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{self._server.server_port}"]}]
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        routes = scale_durations((DEPLOY / "alertmanager/alertmanager.yml").read_text(), ROUTES_SCALE)
        receivers = f"http://127.0.0.1:{self._server.server_port}/"
        (self.folder / "alertmanager.yml").write_text(routes.replace("http://127.0.0.1:9095/", receivers))


def scale_durations(text: str, scale: float) -> str:
    """Return rules or routes in which every time is this many times as long.

    >>> scale_durations("for: 5m", 0.01), scale_durations("x[1h] offset 2h", 0.01)
    ('for: 3s', 'x[36s] offset 72s')
    """

    def shorten(found: re.Match[str]) -> str:
        return found[1] + write_duration(int(found[2]) * _UNITS_S[found[3]] * scale)

    return re.sub(r"((?:\bfor|_wait|_interval): |\[|offset )(\d+)([smhd])\b", shorten, text)


def now() -> datetime:
    """Return the time by the clock that Alertmanager uses."""
    return datetime.now(UTC)
