"""A claim is proven or said not to be: in CI no test is skipped without a reason that stands here.

``MASKLOOP_SKIPS`` says what a skipped test means: unset, nothing; ``listed``, as CI sets it, a failure unless
the test stands in `MAY_SKIP`; ``none``, as ``make test-export`` sets it, always a failure.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Final

import pytest

_EXPORT: Final = "needs the packages of exports: `make test-export` runs it, in CI too"
_CVAT: Final = (
    "needs cvat-sdk: `make test-cvat` runs it; everywhere, tests/contracts/test_cvat_schema.py compares what "
    "is said with what the schema was found to allow"
)
MAY_SKIP: Final = {
    "test_an_export_answers_for_the_model_and_is_known_by_its_digest": _EXPORT,
    "test_a_library_computes_what_torch_computes": _EXPORT,
    "test_a_real_engine_passes_its_trial_and_answers_as_torch_does": _EXPORT,
    "test_a_bundle_answers_the_client_in_a_process_without_torch_and_stops_in_order": _EXPORT,
    "test_a_damaged_bundle_refuses_to_start_in_plain_words": _EXPORT,
    "test_an_export_run_without_torch_answers_as_the_model_does": _EXPORT,
    "test_eight_bits_compute_almost_what_torch_computes": _EXPORT,
    "test_nothing_is_reported_to_anyone_and_nothing_laid_into_the_home_folder": _EXPORT,
    "test_a_labelling_tool_writes_what_its_records_say": (
        "needs the labelling tools (3 GB, labelme with Python 3.12): `make test-labels` runs it; everywhere, "
        "tests/unit/dataset/readers/test_real_exports.py reads what they wrote"
    ),
    "test_a_real_label_studio_server_is_among_the_tools": (
        "needs Label Studio (1 GB): `make test-studio` runs the suite against a real server; everywhere, "
        "tests/contracts/test_labelling_tools.py runs it against a fake of its HTTP interface"
    ),
    "test_every_kind_of_object_comes_back_from_local_files_to_the_pixel_by_the_documented_lines": (
        "needs Label Studio (1 GB): `make test-studio` runs it; everywhere, "
        "tests/unit/dataset/exports/test_version_export.py reads the export back without the server"
    ),
    "test_what_is_said_to_cvat_and_answered_is_as_its_published_schema_has_it": _CVAT,
    "test_cvat_s_own_client_sees_what_was_pushed_and_what_it_draws_is_pulled": _CVAT,
    "test_every_answer_is_one_that_the_document_promises": (
        "nothing wrong can be sent to an operation that takes nothing"
    ),
    "test_the_published_figures_come_out_to_nine_digits": (
        "needs COCO's published files, which are not in this repository; everywhere, "
        "test_every_figure_equals_pycocotools compares generated cases to nine digits"
    ),
    "test_prometheus_itself_finds_the_rules_good_and_they_fire_when_they_should": (
        "needs promtool, which `.ci/promtool FOLDER` takes from Debian's package of Prometheus; "
        "CI runs the test unless that package cannot be fetched"
    ),
    "test_alertmanager_itself_finds_its_configuration_good_and_routes_by_severity": (
        "needs amtool, which `.ci/promtool FOLDER` takes from Debian's package of Alertmanager; "
        "CI runs the test unless that package cannot be fetched"
    ),
    "test_a_burst_pages_once_drift_tickets_once_and_a_rollout_holds_expected_tickets_back": (
        "needs Prometheus and Alertmanager, which `.ci/promtool FOLDER` takes from Debian's packages; "
        "CI runs the test unless they cannot be fetched"
    ),
    "test_the_owner_and_the_present_user_are_named": "only root can become another user",
    "test_hosts_with_addresses_of_their_own_hold_what_must_hold": (
        "only root may make network namespaces; everywhere, the contract suites show what each store promises"
    ),
    "test_a_shared_disk_that_is_full_is_named_and_loses_nothing": (
        "only root may mount a small disk; everywhere, "
        "tests/unit/monitoring/samples/test_sql_sample_log.py shows a store that is full"
    ),
    "test_memory_is_put_onto_large_pages_and_stays_what_it_was": "needs a kernel that gives large pages",
}
"""By a test's name, without parameters: why it may be skipped, and where its claim is proven instead."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip that must not happen into a failure."""
    report = yield
    rule = os.environ.get("MASKLOOP_SKIPS", "")
    is_allowed = not rule or (rule != "none" and name_of(item.nodeid) in MAY_SKIP)
    if report.skipped and not hasattr(report, "wasxfail") and not is_allowed:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} must not be skipped (MASKLOOP_SKIPS={rule}). {reason}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what this run has not proven, and why."""
    skipped = {name_of(report.nodeid) for report in terminalreporter.stats.get("skipped", ())}
    listed = sorted(skipped & MAY_SKIP.keys())
    if listed and os.environ.get("MASKLOOP_SKIPS"):
        terminalreporter.section("not proven by this run")
        for name in listed:
            terminalreporter.line(f"{name}: {MAY_SKIP[name]}")


def name_of(nodeid: str) -> str:
    """Return a test's own name: no file, no parameters."""
    return nodeid.partition("[")[0].rpartition("::")[2]
