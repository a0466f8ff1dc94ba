"""The figures: read back by Prometheus's own parser, in one process and in several."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
from prometheus_client.parser import text_string_to_metric_families

from maskloop.records.kinds import ChampionChanged, Check, DriftJudged, RolloutStarted, VerdictReached
from maskloop.state.loop_state import LoopState, Rollout, Serving
from monitoring.drift.novelty import Novelty
from serving.answers import Traffic, Wanted
from serving.telemetry.metrics import Metrics, forget_dead_workers, share_figures
from tests.fakes.records import with_only
from tests.fakes.serving_world import make_answer, make_served

Row = tuple[str, frozenset[tuple[str, str]]]
REPOSITORY = Path(__file__).resolve().parents[4]


def read(page: bytes) -> dict[Row, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


class Figures:
    """Reads a metrics page like a dashboard does."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    @property
    def rows(self) -> dict[Row, float]:
        return read(self.metrics.render()[0])

    def get(self, name: str, /, **labels: str) -> float | None:
        return self.rows.get((f"maskloop_{name}", frozenset(labels.items())))

    def labels(self, name: str) -> set[frozenset[tuple[str, str]]]:
        return {labels for row, labels in self.rows if row == f"maskloop_{name}"}


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)


@pytest.fixture
def figures() -> Figures:
    metrics = Metrics("parts")
    metrics.serving_changed(Wanted(make_served("1")))
    return Figures(metrics)


def test_requests_are_counted_by_status_cause_and_version_and_timed(figures: Figures) -> None:
    for seconds in (0.03, 0.3):
        figures.metrics.request_ended(status=200, cause="", version="1", seconds=seconds)
    figures.metrics.request_ended(status=503, cause="overloaded", version="", seconds=0.001)
    assert figures.get("requests_total", status="200", cause="", version="1") == 2
    assert figures.get("requests_total", status="503", cause="overloaded", version="") == 1
    assert figures.get("request_seconds_sum", version="1") == pytest.approx(0.33)
    assert figures.get("request_seconds_bucket", version="1", le="0.08") == 1
    assert figures.get("request_seconds_bucket", version="1", le="0.4") == 2


def test_stages_and_passes_are_timed_by_version(figures: Figures) -> None:
    figures.metrics.stage_ended("decode", version="1", seconds=0.01)
    figures.metrics.batch_ended(role="champion", version="1", size=3, seconds=0.5)
    assert figures.get("stage_seconds_count", stage="decode", version="1") == 1
    assert figures.get("batch_size_bucket", role="champion", version="1", le="2.0") == 0
    assert figures.get("batch_size_bucket", role="champion", version="1", le="3.0") == 1
    assert figures.get("batch_seconds_sum", role="champion", version="1") == 0.5


def test_what_clients_were_told_is_counted_by_class(figures: Figures) -> None:
    figures.metrics.answered(make_answer(), score_threshold=0.5)
    figures.metrics.answered(make_answer(score=0.4), score_threshold=0.5)
    assert figures.get("detections_total", class_name="bolt", version="1", role="champion") == 1
    assert figures.get("detection_score_count", class_name="bolt", version="1") == 1
    assert figures.get("detection_score_sum", class_name="bolt", version="1") == pytest.approx(0.9)


def test_a_class_with_a_threshold_of_its_own_is_counted_by_it(figures: Figures) -> None:
    figures.metrics.answered(make_answer(score=0.4), score_threshold=(0.3, 0.5))
    figures.metrics.answered(make_answer(score=0.4), score_threshold=(0.5, 0.3))
    assert figures.get("detections_total", class_name="bolt", version="1", role="champion") == 1


def test_pictures_the_model_does_not_know_are_counted(figures: Figures) -> None:
    for novelty in (None, Novelty(0.4, False), Novelty(1.0, True)):
        figures.metrics.answered(replace(make_answer(), novelty=novelty), score_threshold=0.5)
    assert figures.get("out_of_distribution_total", version="1") == 1


def test_queue_samples_mirrors_and_feedback_are_shown(figures: Figures) -> None:
    figures.metrics.queue_changed(length=3, waiting_s=0.25)
    figures.metrics.requests_in_flight(5)
    figures.metrics.sampled("kept")
    figures.metrics.sample_log_lagged(waiting=7, oldest_s=1.5)
    figures.metrics.mirrored("compared")
    figures.metrics.feedback_given("wrong", version="1")
    assert (figures.get("queue_length"), figures.get("queue_wait_seconds")) == (3, 0.25)
    assert figures.get("in_flight") == 5
    assert figures.get("samples_total", outcome="kept") == 1
    assert (figures.get("samples_waiting"), figures.get("samples_oldest_seconds")) == (7, 1.5)
    assert figures.get("mirrored_total", outcome="compared") == 1
    assert figures.get("feedback_total", verdict="wrong", version="1") == 1


def test_who_serves_now_is_one_and_who_served_is_gone(figures: Figures) -> None:
    figures.metrics.serving_changed(Wanted(make_served("1"), make_served("2"), Traffic("cycle-2")))
    figures.metrics.serving_changed(Wanted(make_served("2")))
    row = {"role": "champion", "version": "2", "weights_digest": "2" * 64}
    assert figures.labels("serving_info") == {frozenset(row.items())}
    assert figures.get("serving_info", **row) == 1


def test_only_versions_that_were_in_service_get_rows(figures: Figures) -> None:
    for version in ("9", "../../etc", "1"):
        figures.metrics.request_ended(status=200, cause="", version=version, seconds=0.1)
    versions = {dict(labels)["version"] for labels in figures.labels("requests_total")}
    assert versions == {"1", ""}


def test_a_service_that_sees_many_versions_keeps_the_rows_of_the_last_few(figures: Figures) -> None:
    for number in range(40):
        version = str(number)
        figures.metrics.serving_changed(Wanted(make_served(version)))
        figures.metrics.request_ended(status=200, cause="", version=version, seconds=0.1)
        figures.metrics.stage_ended("model", version=version, seconds=0.1)
        figures.metrics.batch_ended(role="champion", version=version, size=1, seconds=0.1)
        figures.metrics.answered(make_answer(version), score_threshold=0.5)
        figures.metrics.feedback_given("right", version=version)
    by_version = {dict(labels)["version"] for _, labels in figures.rows if "version" in dict(labels)}
    assert by_version == {"35", "36", "37", "38", "39"}


def test_the_process_tells_its_memory(figures: Figures) -> None:
    assert figures.rows[("process_resident_memory_bytes", frozenset())] > 1e6
    assert figures.get("model_info", name="parts") == 1


def test_a_scrape_that_fails_is_logged_and_answered_all_the_same(
    figures: Figures, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_registry: object) -> bytes:
        raise OSError("no such file")

    monkeypatch.setattr("serving.telemetry.metrics.generate_latest", broken)
    figures.metrics.render()
    body, content_type = figures.metrics.render()
    assert read(body) == {("maskloop_figures_unreadable", frozenset()): 1}
    assert content_type.startswith("text/plain")
    assert caplog.text.count("cannot be read") == 1


# --- the loop ------------------------------------------------------------------------------------------

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def check(name: str, measured: float | None) -> Check:
    return Check(name=name, outcome="pass", measured=measured, required=0.5, reason="")


def judged_state() -> LoopState:
    change = ChampionChanged(
        epoch=1,
        version="1",
        weights_digest="w1",
        previous_version="",
        previous_digest="",
        cause="promotion",
        why="",
    )
    checks = (check("iou.mean", 0.8), check("iou.class.bolt.m8", 0.75), check("iou.class.nut", None))
    verdict = VerdictReached(
        blessing_id="b",
        outcome="pass",
        checks=checks,
        candidate_version="1",
        candidate_digest="w1",
        champion_digest="",
        data_tag="data-v1",
        data_fingerprint="f",
        policy_digest="p",
        evaluated_pictures_digest="e",
    )
    return LoopState(serving=(Serving(NOON, "rita", "cycle-1", change),), verdicts={"w1": verdict})


def drifted(weights_digest: str) -> DriftJudged:
    return DriftJudged(
        outcome="drift",
        reason="darker",
        window_id="w",
        num_samples=50,
        missing_percent=0,
        baseline_digest="b",
        weights_digest=weights_digest,
        threshold_digest="t",
        drifted_features=("brightness", "contrast"),
        report="",
    )


def test_before_anything_is_known_of_the_loop_there_are_no_figures_of_it(figures: Figures) -> None:
    figures.metrics.show_loop(LoopState())
    assert figures.get("champion_mean_iou") is None
    assert figures.labels("drift") == set()
    assert figures.get("rollout_share_percent") == 0


def test_the_champions_iou_is_that_of_its_verdict(figures: Figures) -> None:
    figures.metrics.show_loop(judged_state())
    assert figures.get("champion_mean_iou") == 0.8
    assert figures.get("champion_class_iou", class_name="bolt.m8") == 0.75
    assert len(figures.labels("champion_class_iou")) == 1


def test_the_time_of_the_verdict_is_shown_and_before_the_first_since_when_the_champion_serves(
    figures: Figures,
) -> None:
    later = NOON + timedelta(hours=3)
    for last, shown in ((None, NOON), ((later, drifted("w1")), later), ((later, drifted("w0")), NOON)):
        figures.metrics.show_loop(replace(judged_state(), last_drift=last))
        assert figures.get("drift_judged_timestamp_seconds") == shown.timestamp()


def test_the_newest_drift_verdict_on_the_champion_is_shown(figures: Figures) -> None:
    state = replace(judged_state(), last_drift=(NOON, drifted("w1")))
    figures.metrics.show_loop(state)
    assert {outcome: figures.get("drift", outcome=outcome) for outcome in ("drift", "quiet")} == {
        "drift": 1,
        "quiet": 0,
    }
    assert figures.get("drifted_features") == 2
    figures.metrics.show_loop(replace(state, last_drift=(NOON, drifted("an earlier champion's"))))
    assert figures.labels("drift") == set()


def test_the_rollout_shows_its_phase_and_its_share(figures: Figures) -> None:
    started = with_only(RolloutStarted)
    rollout = Rollout("cycle-2", started, NOON, NOON, phase="progressing", share_percent=25)
    figures.metrics.show_loop(LoopState(rollouts={"cycle-2": rollout}))
    assert figures.get("rollout_share_percent") == 25
    assert figures.get("rollout_phase", phase="progressing") == 1
    assert figures.get("rollout_phase", phase="shadow") == 0
    over = replace(rollout, phase="rolled-back", share_percent=0)
    figures.metrics.show_loop(LoopState(rollouts={"cycle-2": over}))
    assert figures.get("rollout_share_percent") == 0
    assert figures.get("rollout_phase", phase="rolled-back") == 1


# --- graphics cards ------------------------------------------------------------------------------------


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """Two cards, the second a slice that does not tell its load."""
    memory = {0: SimpleNamespace(used=10, total=80), 1: SimpleNamespace(used=5, total=20)}

    def load(card: int) -> Any:
        if card == 1:
            raise pynvml.NVMLError_NotSupported
        return SimpleNamespace(gpu=37)

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda number: number)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", memory.__getitem__)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", load)
    return memory


def test_each_card_tells_what_it_can(figures: Figures, cards: Mapping[int, Any]) -> None:
    assert figures.get("gpu_memory_used_bytes", gpu="0") == 10
    assert figures.get("gpu_memory_total_bytes", gpu="1") == 20
    assert figures.get("gpu_utilisation_percent", gpu="0") == 37
    assert figures.get("gpu_utilisation_percent", gpu="1") is None


def test_without_a_driver_the_rows_are_absent_and_that_is_said_once(
    figures: Figures, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_driver() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", no_driver)
    with caplog.at_level(logging.INFO, "maskloop.serving"):
        for _ in range(3):
            assert figures.labels("gpu_memory_used_bytes") == set()
    assert caplog.text.count("graphics cards") == 1


def test_a_graphics_card_that_fails_while_it_is_read_loses_only_its_own_rows(
    figures: Figures, cards: dict[int, Any]
) -> None:
    del cards[0]
    assert figures.get("gpu_memory_used_bytes", gpu="0") is None
    assert figures.get("queue_length") == 0
    cards[0] = SimpleNamespace(used=1, total=2)
    assert figures.get("gpu_memory_used_bytes", gpu="0") == 1


# --- several workers -----------------------------------------------------------------------------------

WORKER = """
import sys
from pathlib import Path
from registry.champion.serving_copy import ServedModel
from serving.answers import Wanted
from serving.telemetry.metrics import Metrics
metrics = Metrics("parts")
for version in (sys.argv[1], "1"):
    metrics.serving_changed(Wanted(ServedModel(Path("m"), version, version * 64, "b" * 64)))
metrics.request_ended(status=200, cause="", version="1", seconds=0.1)
metrics.queue_changed(length=2, waiting_s=float(sys.argv[2]))
Metrics("rust").request_ended(status=200, cause="", version="1", seconds=0.1)  # another model
print("ready", flush=True)
for line in sys.stdin:
    print(metrics.render()[0].decode().replace(chr(10), chr(9)), flush=True)
"""


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two workers that share a folder in which an earlier service has left something."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")  # what is set from here on is taken back in the end
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "counter_1.db").write_bytes(b"left behind")
    share_figures(tmp_path / "figures")
    started = [start_worker(number, wait_s) for number, wait_s in (("0", "0.5"), ("1", "2.0"))]
    yield started
    for worker in started:
        worker.kill()
        worker.communicate()


def start_worker(*arguments: str) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def ask(worker: subprocess.Popen[str]) -> dict[Row, float]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("?\n")
    worker.stdin.flush()
    return read(worker.stdout.readline().replace("\t", "\n").encode())


def test_workers_answer_for_each_other_and_a_dead_ones_queue_is_forgotten(
    workers: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    requests = ("maskloop_requests_total", frozenset({"status": "200", "cause": "", "version": "1"}.items()))
    length: Row = ("maskloop_queue_length", frozenset())
    wait_s: Row = ("maskloop_queue_wait_seconds", frozenset())
    for worker in workers:
        rows = ask(worker)
        assert (rows[requests], rows[length], rows[wait_s]) == (2, 4, 2.0)
        assert {value for (name, _), value in rows.items() if name == "maskloop_model_info"} == {1}
        memory = [dict(labels) for name, labels in rows if name == "process_resident_memory_bytes"]
        assert {row["pid"] for row in memory} == {str(each.pid) for each in workers}
    served = {
        (dict(labels)["version"], value)
        for (name, labels), value in ask(workers[0]).items()
        if name == "maskloop_serving_info"
    }
    assert served == {("0", 0), ("1", 1)}

    os.kill(workers[1].pid, signal.SIGKILL)
    workers[1].wait()
    rows = ask(workers[0])
    assert (rows[requests], rows[length], rows[wait_s]) == (2, 2, 0.5)
    forget_dead_workers(tmp_path / "figures")
    assert {file.name for file in (tmp_path / "figures").glob("gauge_*")} == {
        f"gauge_{mode}_{workers[0].pid}.db" for mode in ("livesum", "livemax")
    }
