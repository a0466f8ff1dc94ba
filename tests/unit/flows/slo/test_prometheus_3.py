"""Rules, dashboards and routes mean the same to Prometheus 3 and Alertmanager 0.28 as to those of Debian 12.

The expressions are read by a parser that knows Prometheus 3: its functions, its quoted names, its types. What
each change of version 3 is to us stands in docs/adr/0028-objectives-and-freeze.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from promql_parser import Expr, Matcher, MatchOp, MatrixSelector, SubqueryExpr, VectorSelector

from flows.slo.rules import write_rules
from maskloop.settings.workspace_settings import Settings
from monitoring.slo.objective import Objective, find_objectives
from serving.telemetry.metrics import LATENCY_BOUNDS_S, Metrics

DEPLOY = Path(__file__).resolve().parents[4] / "deploy"
PLAIN_MATCHER = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]* (=|!=|=~|!~) [a-zA-Z0-9_]+$")


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


CONFIG = load(DEPLOY / "prometheus/prometheus.yml")
SCRAPE_INTERVAL = promql_parser.parse_duration(CONFIG["global"]["scrape_interval"])


def expressions_of(rules: Any) -> list[str]:
    return [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    for name in CONFIG["rule_files"]:
        yield from expressions_of(load(DEPLOY / "prometheus" / name))
    for file in sorted((DEPLOY / "grafana/dashboards").glob("*.json")):
        board = json.loads(file.read_text(encoding="utf-8"))
        yield from (target["expr"] for panel in board["panels"] for target in panel.get("targets", ()))
        yield from (note["expr"] for note in board["annotations"]["list"])


EXPRESSIONS = tuple(expressions())


def parts_of(expression: str) -> list[Expr]:
    found: list[Expr] = []
    promql_parser.walk(promql_parser.parse(expression), pre_visit=found.append)
    return found


def matchers_of(expression: str) -> list[Matcher]:
    selectors = [one for one in parts_of(expression) if isinstance(one, VectorSelector)]
    selectors += [one.vector_selector for one in parts_of(expression) if isinstance(one, MatrixSelector)]
    return [matcher for one in selectors for matcher in one.matchers.matchers]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_of_rules_and_dashboards_is_read(expression: str) -> None:
    assert parts_of(expression)


@pytest.mark.parametrize(
    "expression", ["holt_winters(x[5m], 0.1, 0.2)", "rate(x)", "sum by (job) (x", "x{le=0.1}", "x[5m] > 1"]
)
def test_the_parser_refuses_what_prometheus_3_refuses(expression: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has a text of its own
        promql_parser.parse(expression)


@pytest.mark.parametrize(
    "expression", ['{"a.b"}', 'sum by ("a.b") (x)', "double_exponential_smoothing(x[5m], 0.1, 0.2)"]
)
def test_the_parser_reads_what_only_prometheus_3_has(expression: str) -> None:
    assert promql_parser.parse(expression) is not None


@settings(deadline=None)
@given(
    availability=st.floats(0.5, 0.99999),
    share=st.floats(0.5, 0.9999),
    within_s=st.sampled_from(LATENCY_BOUNDS_S),
    days=st.floats(1.0, 90.0),
    scale=st.sampled_from([1.0, 0.5, 1 / 360]),
)
def test_whatever_is_promised_gives_rules_that_are_read_and_count_in_buckets_that_exist(
    availability: float, share: float, within_s: float, days: float, scale: float
) -> None:
    objectives = (
        Objective("answers", "availability", availability, window_days=days),
        Objective("in-time", "latency", share, window_days=days, within_s=within_s),
        Objective("drift", "drift", 0.9, window_days=days),
        Objective("quality", "quality", 0.7, window_days=days),
    )
    written = yaml.safe_load(write_rules(objectives, bounds_s=LATENCY_BOUNDS_S, scale=scale))
    bounds = {one.value for rule in expressions_of(written) for one in matchers_of(rule) if one.name == "le"}
    assert bounds <= {repr(float(within_s))}


def test_a_bound_is_written_as_prometheus_3_keeps_it() -> None:
    """It keeps 1 as 1.0: a matcher le="1" would find nothing."""
    named = [one for each in EXPRESSIONS for one in matchers_of(each) if one.name in ("le", "quantile")]
    assert named
    for matcher in named:
        for value in matcher.value.split("|"):
            assert value == "+Inf" or value == repr(float(value))


def test_no_range_depends_on_a_sample_at_its_left_end() -> None:
    """Since version 3 such a sample is out: a range needs room for two more scrapes, or steps, than one."""
    ranges: list[tuple[timedelta, timedelta]] = []
    for part in (part for expression in EXPRESSIONS for part in parts_of(expression)):
        if isinstance(part, MatrixSelector):
            ranges.append((part.range, SCRAPE_INTERVAL))
        if isinstance(part, SubqueryExpr) and part.range:
            ranges.append((part.range, part.step or SCRAPE_INTERVAL))
    assert ranges
    assert min(length / step for length, step in ranges) >= 4


def test_no_expression_has_a_pattern_that_a_line_break_could_enter() -> None:
    """Since version 3 a dot stands for a line break too. A status of three characters has none."""
    patterns = [
        one for each in EXPRESSIONS for one in matchers_of(each) if one.op in (MatchOp.Re, MatchOp.NotRe)
    ]
    dotted = {one.name for one in patterns if "." in one.value}
    assert dotted <= {"status"}


def test_figures_come_with_a_content_type_which_version_3_insists_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    content_type = Metrics("parts").render()[1]
    assert re.match(r"(text/plain|application/openmetrics-text); *version=[\d.]+", content_type)


def test_the_configuration_names_nothing_that_version_3_has_removed() -> None:
    text = (DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8")
    assert "scrape_classic_histograms" not in text
    assert "api_version" not in text  # the default is v2; v1 is gone
    targets = [
        target
        for job in CONFIG["scrape_configs"]
        for one in job["static_configs"]
        for target in one["targets"]
    ]
    assert all(re.search(r":\d+$", target) for target in targets)  # version 3 adds no port


def test_routes_and_inhibitions_use_matchers_that_both_parsers_of_alertmanager_read_alike() -> None:
    config = load(DEPLOY / "alertmanager/alertmanager.yml")
    text = json.dumps(config)
    for removed in (
        "match",
        "match_re",
        "source_match",
        "source_match_re",
        "target_match",
        "target_match_re",
    ):
        assert f'"{removed}":' not in text
    rules = config["inhibit_rules"]
    matchers = [one for route in config["route"]["routes"] for one in route["matchers"]]
    matchers += [one for rule in rules for key in ("source_matchers", "target_matchers") for one in rule[key]]
    assert len(matchers) >= 2 + 2 * len(rules)
    for matcher in matchers:
        assert PLAIN_MATCHER.match(matcher), matcher


def test_the_defaults_are_what_is_deployed() -> None:
    written = yaml.safe_load(write_rules(find_objectives(Settings()), bounds_s=LATENCY_BOUNDS_S))
    assert set(expressions_of(written)) <= set(EXPRESSIONS)
