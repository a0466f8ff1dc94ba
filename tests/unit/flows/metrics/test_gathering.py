"""The ten figures of a workspace, with a service on loopback that shows its real page of figures."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flows.command.main import main
from flows.metrics.gathering import ask_service, measure_workspace
from flows.metrics.page import write_metrics_page
from maskloop.errors import DataError, UnavailableError
from serving.answers import Wanted
from serving.telemetry.metrics import Metrics
from tests.fakes.incident_stories import Story
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World
from tests.fakes.serving_world import make_served


class Service:
    """Answers /metrics as the service does."""

    def __init__(self) -> None:
        self.metrics = Metrics("parts")
        self.metrics.serving_changed(Wanted(make_served("1")))
        self.status, self.keys = 200, list[str | None]()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.keys.append(self.headers["Authorization"])
                self.send_response(service.status if self.path == "/metrics" else 404)
                self.end_headers()
                self.wfile.write(service.metrics.render()[0])

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    made = Service()
    yield made
    made.stop()


def test_a_workspace_that_serves_has_figures_of_service_model_and_memory(
    world: World, service: Service
) -> None:
    version = first_champion(world)
    for seconds in (0.05, 0.05, 0.3):
        service.metrics.request_ended(status=200, cause="", version="1", seconds=seconds)
    figures = {one.id: one for one in measure_workspace(world.app(), url=service.url, key="k")}
    assert service.keys == ["Bearer k"]
    measured = {name for name, one in figures.items() if one.readings}
    assert measured >= {"M1", "M2", "M3", "M4", "M5", "M6", "M8", "M10"}
    assert figures["M9"].missing == "no window of this champion was judged yet"
    assert figures["M4"].readings[0].of == f"version {version}"
    assert [one.of for one in figures["M5"].readings] == ["class bolt", "class nut"]
    assert figures["M4"].window.startswith("4 test pictures of data-v1")


def test_a_workspace_in_which_nothing_serves_has_no_figure_and_says_why(world: World) -> None:
    figures = measure_workspace(world.app())
    assert {one.id for one in figures if one.readings} <= {"M7"}
    assert {one.missing for one in figures if one.id in ("M4", "M5", "M9", "M10")} == {"nothing serves yet"}


def test_a_service_that_is_named_and_does_not_answer_is_an_error(world: World, service: Service) -> None:
    service.stop()
    with pytest.raises(UnavailableError, match="the service does not answer"):
        measure_workspace(world.app(), url=service.url)
    with pytest.raises(UnavailableError, match="the service does not answer"):
        measure_workspace(world.app(), url="not an address")


@pytest.mark.parametrize(("status", "said"), [(401, "wants an API key"), (503, "answered 503")])
def test_a_service_that_refuses_is_said(world: World, service: Service, status: int, said: str) -> None:
    service.status = status
    found, why = ask_service(world.workspace, service.url, "")
    assert found is None
    assert said in why


def test_a_page_that_holds_no_figures_is_an_error(world: World, service: Service) -> None:
    service.metrics.render = lambda: (b"{not figures", "")  # type: ignore[method-assign]
    with pytest.raises(DataError, match="no page of figures"):
        ask_service(world.workspace, service.url, "")


def test_the_drift_score_is_that_of_the_champion_alone(tmp_path: Path) -> None:
    world = World(tmp_path / "workspace")
    story = Story(world.clock)
    world.ledger = story.ledger
    story.serve("1")
    story.window("quiet", score=0.1)
    story.window("drift", version="9", score=0.9)
    story.window("quiet", score=0.2)
    figures = {one.id: one for one in measure_workspace(world.app())}
    (reading,) = figures["M9"].readings
    assert (reading.value, reading.baseline) == (0.2, 0.1)


def test_the_page_names_all_ten_and_what_is_missing(world: World, tmp_path: Path) -> None:
    figures = measure_workspace(world.app())
    page = write_metrics_page(tmp_path / "m.html", figures, model_name="parts", now=world.clock.now())
    text = page.read_text(encoding="utf-8")
    assert all(f'id="M{number}"' in text for number in range(1, 11))
    assert text.count("Not measured: ") >= 9
    assert "<code>maskloop train</code>" in text
    assert "`" not in text
    assert 'src="http' not in text


def test_in_eighty_columns_no_word_is_broken(
    world: World, service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first_champion(world)
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(
            ["metrics", "-w", str(world.workspace.root), "--url", service.url],
            opener=lambda *_, **__: world.app(),
        )
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("│", "┃"))]
    assert max(map(len, table)) <= 80
    words = {word for line in table for word in line.replace("┃", "│").replace("│", " ").split()}
    assert {"details", "utilization", "significant"} <= words


def test_the_command_prints_the_figures_and_writes_the_page(
    world: World, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    first_champion(world)
    arguments = ["metrics", "-w", str(world.workspace.root), "--url", service.url]
    for words in (arguments, [*arguments, "--json"]):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(words, opener=lambda *_, **__: world.app())
        assert ended.value.code == 0
        said = capsys.readouterr().out
        assert "M10" in said
    told = json.loads(said)
    assert [one["id"] for one in told["figures"]] == [f"M{number}" for number in range(1, 11)]
    assert Path(told["page"]).is_file()
