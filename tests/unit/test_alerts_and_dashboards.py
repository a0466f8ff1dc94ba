"""Queries, alerts, dashboards and runbooks fit the figures of the service, its settings, and each other."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from flows.notifications.runbooks import INCIDENT_RUNBOOKS, NOTICE_RUNBOOKS
from flows.slo.rules import write_rules
from maskloop.records.kinds import ChampionChanged, Check, DriftJudged, RolloutStarted, VerdictReached
from maskloop.settings.slo_settings import SloSettings
from maskloop.settings.workspace_settings import GateSettings, ServingSettings, Settings
from maskloop.state.loop_state import LoopState, Rollout, Serving
from monitoring.drift.novelty import Novelty
from monitoring.slo.label_quality import Band, QualityBudget
from monitoring.slo.objective import Objective, find_objectives
from serving.answers import Wanted
from serving.telemetry.metrics import LATENCY_BOUNDS_S, Metrics
from tests.fakes.records import with_only
from tests.fakes.serving_world import make_answer, make_served

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
RUNBOOKS = ROOT / "docs" / "runbooks"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


# --- queries ---------------------------------------------------------------------------------------------

TARGET_LABELS = {"job", "instance"}
WORDS = {"and", "or", "unless", "offset"}


def rules() -> list[dict[str, Any]]:
    files = (
        DEPLOY / "prometheus" / name for name in load(DEPLOY / "prometheus/prometheus.yml")["rule_files"]
    )
    return [rule for file in files for group in load(file)["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
DASHBOARDS = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
}


def queries() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for name, board in DASHBOARDS.items():
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield f"{name}: {panel['title']}", target["expr"]
        for note in board["annotations"]["list"]:
            yield f"{name}: {note['name']}", note["expr"]


QUERIES = list(queries())


def parse_query(query: str) -> tuple[dict[str, set[str]], set[str]]:
    """Return the series a query reads, with the labels it asks of each, and the labels it groups by."""
    grouped = set(re.findall(r"\w+", " ".join(re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query))))
    rest = re.sub(r"\b(?:by|on|group_left)\s*\([^)]*\)|\[[^\]]*\]|\boffset \w+", " ", query)
    series: dict[str, set[str]] = {}
    for name, matchers in re.findall(r"\b([a-zA-Z_][\w:]*)\s*(\{[^}]*\})?(?!\w|:|\s*\()", rest):
        if name not in WORDS:
            series.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=|!)", matchers))
    return series, grouped


def test_a_query_is_taken_apart_into_series_and_labels() -> None:
    query = 'sum by (job) (rate(a_total{cause=~"x|y"}[5m])) / on (job) job:b:rate5m > 2 * max(c offset 1h)'
    assert parse_query(query) == ({"a_total": {"cause"}, "job:b:rate5m": set(), "c": set()}, {"job"})


@pytest.fixture
def exported(page: str) -> dict[str, set[str]]:
    """Every series the service, its process, and Prometheus itself offer, with its labels."""
    series: dict[str, set[str]] = {"up": set(), "ALERTS": {"alertname", "alertstate", "severity"}}
    for rule in rules():
        if "record" in rule:
            series[rule["record"]] = set(rule.get("labels", ()))
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
            if sample.name.startswith("process_"):
                series[sample.name].add("pid")  # with several workers
    return {name: labels | TARGET_LABELS for name, labels in series.items()}


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> str:
    """The metrics page of a service to which everything has happened once, on a machine with a GPU."""
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda number: number)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda _: SimpleNamespace(used=1, total=2))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", lambda _: SimpleNamespace(gpu=50))
    metrics = Metrics("parts")
    metrics.serving_changed(Wanted(make_served("1")))
    metrics.request_ended(status=200, cause="", version="1", seconds=0.1)
    metrics.stage_ended("model", version="1", seconds=0.1)
    metrics.answered(replace(make_answer(), novelty=Novelty(1.0, True)), score_threshold=0.5)
    metrics.batch_ended(role="champion", version="1", size=1, seconds=0.1)
    metrics.mirrored("compared")
    metrics.sampled("dropped")
    metrics.feedback_given("wrong", version="1")
    metrics.show_loop(busy_loop(), (quality_budget(),))
    return metrics.render()[0].decode()


def busy_loop() -> LoopState:
    iou = tuple(
        Check(name=name, outcome="pass", measured=0.8, required=0.6, reason="")
        for name in ("iou.mean", "iou.class.bolt")
    )
    champion = with_only(ChampionChanged, version="1", weights_digest="w")
    drift = with_only(DriftJudged, outcome="drift", weights_digest="w", drifted_features=("noise",))
    rollout = Rollout("cycle-2", with_only(RolloutStarted), NOON, NOON)
    return LoopState(
        serving=(Serving(NOON, "rita", "cycle-1", champion),),
        champions=(("0", "v"), ("1", "w")),
        verdicts={"w": with_only(VerdictReached, checks=iou)},
        last_drift=(NOON, drift),
        rollouts={"cycle-2": rollout},
    )


def quality_budget() -> QualityBudget:
    objective = Objective("quality", "quality", 0.7)
    band = Band(0.5, 0.4, 0.6)
    return QualityBudget(objective, "1", "labels", band, {"bolt": band}, 30, NOON)


def test_every_query_asks_for_series_and_labels_that_exist(exported: dict[str, set[str]]) -> None:
    for where, query in QUERIES:
        series, grouped = parse_query(query)
        assert series, where
        assert series.keys() <= exported.keys(), where
        for name, labels in series.items():
            assert labels <= exported[name], f"{where}: {name}"
        assert grouped <= set().union(*(exported[name] for name in series)) | {"le"}, where


def test_every_label_value_that_a_query_names_is_a_word_of_the_service() -> None:
    files = [*(ROOT / "serving").rglob("*.py"), ROOT / "maskloop/records/kinds.py"]
    source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    for where, query in QUERIES:
        for label, values in re.findall(r'(\w+)=~?"([^"]+)"', query):
            if label in ("status", "job", "alertstate", "le"):
                continue
            if label == "alertname":
                assert values in ALERTS, where
                continue
            if label == "slo":
                assert values in {one.name for one in find_objectives(Settings())}, where
                continue
            unknown = [value for value in values.split("|") if f'"{value}"' not in source]
            assert unknown == [], f"{where}: {label}"


def test_every_query_about_our_targets_names_the_scrape_job() -> None:
    jobs = {job["job_name"] for job in load(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"]}
    named = {job for _, query in QUERIES for job in re.findall(r'\bjob="(\w+)"', query)}
    assert named == jobs


def test_every_promise_about_latency_is_the_bound_of_a_bucket(page: str) -> None:
    bounds = re.findall(r'maskloop_request_seconds_bucket\{le="([\d.]+)"', page)
    slo = SloSettings()
    assert {slo.p50_ms / 1000, slo.p95_ms / 1000} <= set(map(float, bounds))


# --- alerts ----------------------------------------------------------------------------------------------


def limits_of(alert: str) -> list[float]:
    """Return the numbers an alert compares with, products worked out."""
    found = re.findall(r"[<>]=? ([\d.]+)(?: \* ([\d.]+)$)?", ALERTS[alert]["expr"], flags=re.MULTILINE)
    return [float(number) * float(factor or 1) for number, factor in found]


def test_alerts_use_the_limits_of_the_settings() -> None:
    slo, gates = SloSettings(), GateSettings()

    assert limits_of("MaskloopLatencyP50")[0] == slo.p50_ms / 1000
    assert limits_of("MaskloopLatencyP95")[0] == slo.p95_ms / 1000
    assert limits_of("MaskloopClassIou") == [gates.min_class_iou]
    assert limits_of("MaskloopMeanIou") == [gates.min_mean_iou]
    assert 0 < limits_of("MaskloopQueueIsLong")[0] < ServingSettings().max_queue_s


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_a_page_or_a_ticket_in_plain_words_with_a_runbook(alert: str) -> None:
    rule = ALERTS[alert]
    file, _, heading = rule["annotations"]["runbook_url"].partition("#")
    summary = rule["annotations"]["summary"]

    assert rule["labels"]["severity"] in ("page", "ticket", "none")
    assert (rule["labels"]["severity"] == "none") == (alert == "MaskloopRolloutInProgress")
    assert rule["labels"].keys() <= {"severity", "cause", "rollout"}
    assert rule["labels"]["cause"] in CAUSES
    assert len(rule["annotations"]["command"].split()) >= 2
    assert summary.endswith(".")
    assert len(summary.split()) >= 4
    assert heading in {anchor for anchor, _ in sections(ROOT / file)}


CAUSES = {"service", "errors", "pictures", "load", "quality", "drift", "rollout", "samples"}
"""By these Alertmanager groups: one cause, one message."""


def test_what_the_guide_wants_paged_is_paged() -> None:
    paged = {name for name, rule in ALERTS.items() if rule["labels"]["severity"] == "page"}
    wanted = {"MaskloopLatencyP95", "MaskloopClassIou", "MaskloopRestarts", "MaskloopDown"}
    assert wanted | {"MaskloopQualityFellFar", "MaskloopAvailabilityBurnsFast"} <= paged
    assert {"MaskloopDrift", "MaskloopRolloutPaused"}.isdisjoint(paged)


def test_no_page_is_held_back_by_a_rollout() -> None:
    expected = {name for name, rule in ALERTS.items() if "rollout" in rule["labels"]}
    assert {ALERTS[name]["labels"]["severity"] for name in expected} == {"ticket"}
    assert {ALERTS[name]["labels"]["cause"] for name in expected} == {"load"}


def test_the_rules_of_the_objectives_are_those_that_the_settings_give() -> None:
    written = write_rules(find_objectives(Settings()), bounds_s=LATENCY_BOUNDS_S)
    assert (DEPLOY / "prometheus/slo.yml").read_text(encoding="utf-8") == written


def test_series_that_an_annotation_asks_for_exist(exported: dict[str, set[str]]) -> None:
    text = json.dumps([rule["annotations"] for rule in ALERTS.values()])
    asked = set(re.findall(r"maskloop_\w+(?=\{)", text))
    assert asked == {
        "maskloop_serving_info",
        "maskloop_rollback_target_info",
        "maskloop_production_class_iou",
    }
    assert asked <= exported.keys()


def test_every_alert_has_a_test_of_its_own() -> None:
    cases = [
        case
        for test in load(DEPLOY / "prometheus/tests/alerts_test.yml")["tests"]
        for case in test.get("alert_rule_test", ())
    ]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == set(ALERTS)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_itself_finds_the_rules_good_and_they_fire_when_they_should(tmp_path: Path) -> None:
    boards = tmp_path / "boards.yml"
    recorded = [{"record": f"query_{number}", "expr": query} for number, (_, query) in enumerate(QUERIES)]
    boards.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))
    folder = DEPLOY / "prometheus"

    for question in (
        ("check", "config", "--syntax-only", folder / "prometheus.yml"),
        ("check", "rules", folder / "recording.yml", folder / "alerts.yml", folder / "slo.yml", boards),
        ("test", "rules", folder / "tests/alerts_test.yml"),
    ):
        done = subprocess.run(["promtool", *question], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("amtool") is None, reason="amtool is not installed")
def test_alertmanager_itself_finds_its_configuration_good_and_routes_by_severity() -> None:
    file = DEPLOY / "alertmanager/alertmanager.yml"
    done = subprocess.run(["amtool", "check-config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for severity, receiver in (("page", "page"), ("ticket", "ticket"), ("none", "nobody")):
        question = ("config", "routes", "test", f"--config.file={file}", f"severity={severity}")
        done = subprocess.run(["amtool", *question], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == receiver


def test_every_alert_that_a_route_or_inhibition_names_exists() -> None:
    config = load(DEPLOY / "alertmanager/alertmanager.yml")
    text = json.dumps(config["inhibit_rules"])
    assert set(re.findall(r"Maskloop\w+", text)) <= ALERTS.keys()
    named = {key for rule in config["inhibit_rules"] for key in rule.get("equal", ())}
    assert named <= {"job", "cause"}
    assert config["route"]["group_by"] == ["job", "cause", "severity"]


# --- dashboards ------------------------------------------------------------------------------------------


def test_the_three_dashboards_are_found_by_name() -> None:
    (provider,) = load(DEPLOY / "grafana/provisioning/dashboards/maskloop.yaml")["providers"]
    mounts = load(DEPLOY / "compose.yaml")["services"]["grafana"]["volumes"]

    assert set(DASHBOARDS) == {"executive", "on-call", "debug"}
    assert len({board["uid"] for board in DASHBOARDS.values()}) == 3
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in mounts


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    panels = DASHBOARDS[name]["panels"]
    covered = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(covered)) == len(covered)
    assert max(x for x, _ in covered) < 24


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboards_ask_the_provisioned_prometheus(name: str) -> None:
    (source,) = load(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    asked = set(re.findall(r'"datasource": (\{[^}]*\})', json.dumps(DASHBOARDS[name])))
    assert {json.loads(each)["uid"] for each in asked} == {source["uid"]}


# --- runbooks --------------------------------------------------------------------------------------------


def sections(page: Path) -> list[tuple[str, str]]:
    """Return the anchors and texts of a page's sections."""
    parts = re.split(r"^## (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    anchors = [re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in parts[::2]]
    return list(zip(anchors, parts[1::2], strict=True))


QUESTIONS = ["What you see", "What it means", "What to do first", "How you know it is over", "Who decides"]


@pytest.mark.parametrize("runbook", sorted(RUNBOOKS.glob("*.md")), ids=lambda file: file.stem)
def test_every_section_of_a_runbook_answers_the_five_questions_in_order(runbook: Path) -> None:
    for anchor, text in sections(runbook):
        asked: list[str] = re.findall(r"^\*\*(.*?)\.\*\*", text, flags=re.MULTILINE)
        assert [title for title in asked if title in QUESTIONS] == QUESTIONS, anchor


def test_every_runbook_and_every_section_is_led_to_by_an_alert_a_notice_or_a_link() -> None:
    pages = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    told = [*NOTICE_RUNBOOKS.values(), *INCIDENT_RUNBOOKS.values()]
    led_to = "\n".join([text, *(rule["annotations"]["runbook_url"] for rule in ALERTS.values()), *told])
    for page in RUNBOOKS.glob("*.md"):
        for anchor, _ in sections(page):
            assert f"{page.name}#{anchor}" in led_to, f"{page.name}#{anchor}"
