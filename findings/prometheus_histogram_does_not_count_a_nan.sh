#!/usr/bin/env bash
# prometheus_client 0.26.0: a NaN given to a histogram falls into no bucket, not even +Inf, so it is not counted; but it is added to
# the sum, which stays NaN as long as the process lives. Mean values (rate of sum by rate of count) are lost from then on, and the
# count does not show that anything came. A summary counts the same value.
# Expected: counted in +Inf as other clients do, or refused; the histogram and the summary alike.
# Seen: 0.3, NaN and 0.4 observed: histogram count 2 and +Inf 2, sum NaN; summary count 3, sum NaN.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" prometheus_client==0.26.0
"$work/venv/bin/python" -W error - <<'PY'
import math

from prometheus_client import CollectorRegistry, Histogram, Summary

registry = CollectorRegistry()
measures = Histogram("score_histogram", "Scores.", registry=registry), Summary("score_summary", "Scores.", registry=registry)
for value in (0.3, math.nan, 0.4):
    for measure in measures:
        measure.observe(value)
seen = {name: registry.get_sample_value(name) for name in (
    "score_histogram_count", "score_histogram_sum", "score_summary_count", "score_summary_sum")}
seen["score_histogram_bucket +Inf"] = registry.get_sample_value("score_histogram_bucket", {"le": "+Inf"})
print(seen)
assert seen["score_histogram_count"] == seen["score_histogram_bucket +Inf"] == 2, "the behaviour has changed"
assert seen["score_summary_count"] == 3, "the behaviour has changed"
assert math.isnan(seen["score_histogram_sum"]) and math.isnan(seen["score_summary_sum"]), "the behaviour has changed"
PY
