"""What `maskloop notify`, `incidents`, `metrics`, `slo` and `gameday` take."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from flows.console.command_line import CommandGroup, make_command
from flows.console.parameters import by

_OF_THE_SERVICE: Final = (
    click.Option(
        ["--url"], default="", help="The service's address. Default: the one that `maskloop up` runs."
    ),
    click.Option(["--key"], default="", envvar="MASKLOOP_API_KEY", help="An API key with the scope metrics."),
)

NOTIFY_TEST: Final = make_command(
    "test",
    "flows.on_call.notify:notify_test",
    """Send a test message to each channel, and say what came of it.

Default: every channel of [notifications]. Ends with 1 if a channel did not take it. Nothing is recorded.
""",
    click.Argument(["channels"], nargs=-1),
)

NOTIFY_LIST: Final = make_command(
    "list",
    "flows.on_call.notify:notify_list",
    "List what people should know now, and which channels were told.",
)

NOTIFY: Final = CommandGroup(
    "notify", [NOTIFY_TEST, NOTIFY_LIST], help="Try the channels on which people are told what needs them."
)

METRICS: Final = make_command(
    "metrics",
    "flows.on_call.metrics:metrics",
    """Show M1 to M10: latency, load, IoU, errors, GPU, memory, drift.

Each with its target, its bad end and what it is to be compared with, also as a page. What is not measured is
said, with how to get it.
""",
    *_OF_THE_SERVICE,
    click.Option(
        ["--output"], type=click.Path(path_type=Path), help="Default: .maskloop/reports/metrics.html"
    ),
)

SLO_LIST: Final = make_command(
    "list",
    "flows.on_call.slo:slo_list",
    """List the objectives with what is left of each error budget.

By the figures of the workspace itself; Prometheus is not needed. Says too if a spent quality budget keeps the
policy from promoting anything, and what to do.
""",
    *_OF_THE_SERVICE,
)

SLO_RULES: Final = make_command(
    "rules",
    "flows.on_call.slo:slo_rules",
    """Write the Prometheus rules of the objectives into a folder.

Recording rules and burn-rate alerts, as the file slo.yml: for deploy/prometheus, or your own Prometheus.
""",
    click.Option(
        ["--output"],
        type=click.Path(path_type=Path, file_okay=False),
        required=True,
        help="The folder that Prometheus reads rules from.",
    ),
)

SLO: Final = CommandGroup(
    "slo",
    [SLO_LIST, SLO_RULES],
    default="list",
    help="Show objectives and what is left of their error budgets.",
)

INCIDENTS_LIST: Final = make_command(
    "list",
    "flows.on_call.incidents:incidents_list",
    "List incidents, with the time until each was noticed, acknowledged and restored.",
    click.Option(["--all", "everything"], is_flag=True, help="All there ever were; reads the whole ledger."),
    click.Option(["--open", "only_open"], is_flag=True, help="Only those that go on."),
)

INCIDENTS_SHOW: Final = make_command(
    "show",
    "flows.on_call.incidents:incidents_show",
    "Show one INCIDENT: what happened, its timeline, its pictures, and its runbook.",
    click.Argument(["incident"]),
)

INCIDENTS_REPORT: Final = make_command(
    "report",
    "flows.on_call.incidents:incidents_report",
    """Open an incident that the loop cannot see, in the words of HEADLINE.

For alerts of the service and what people notice. Drift, failed trainings and stopped rollouts open their own.
""",
    click.Argument(["headline"]),
    by("reports it"),
)

INCIDENTS_END: Final = make_command(
    "end",
    "flows.on_call.incidents:incidents_end",
    "Record that an INCIDENT that a person reported is over.",
    click.Argument(["incident"]),
    click.Option(["--why"], required=True, help="How one sees that it is over."),
    by("ends it"),
)

INCIDENTS_ACKNOWLEDGE: Final = make_command(
    "acknowledge",
    "flows.on_call.incidents:incidents_acknowledge",
    "Record that somebody looks into an INCIDENT.",
    click.Argument(["incident"]),
    by("looks into it"),
    click.Option(["--note"], default="", help="What is looked at first, for the record."),
)

INCIDENTS_NOTE: Final = make_command(
    "note",
    "flows.on_call.incidents:incidents_note",
    """Write down the cause of an INCIDENT, something that was done about it, or a remark.

An incident is restored by itself, once its condition has ended; one that a person reported, by `end`.
""",
    click.Argument(["incident"]),
    click.Argument(["text"]),
    click.Option(
        ["--as", "aspect"],
        type=click.Choice(["cause", "action", "note"]),
        default="note",
        show_default=True,
        help="What the text is.",
    ),
    by("writes it"),
)

INCIDENTS_POSTMORTEM: Final = make_command(
    "postmortem",
    "flows.on_call.incidents:incidents_postmortem",
    "Write a draft of an INCIDENT's postmortem in Markdown, from the record.",
    click.Argument(["incident"]),
    click.Option(["--output"], type=click.Path(path_type=Path), help="A file. Default: standard output."),
)

INCIDENTS_PAGE: Final = make_command(
    "page",
    "flows.on_call.incidents:incidents_page",
    "Write the page of all incidents with their timelines.",
    click.Option(
        ["--output"], type=click.Path(path_type=Path), help="Default: .maskloop/reports/incidents.html"
    ),
)

INCIDENTS: Final = CommandGroup(
    "incidents",
    [
        INCIDENTS_LIST,
        INCIDENTS_SHOW,
        INCIDENTS_REPORT,
        INCIDENTS_ACKNOWLEDGE,
        INCIDENTS_NOTE,
        INCIDENTS_END,
        INCIDENTS_POSTMORTEM,
        INCIDENTS_PAGE,
    ],
    help="Look at incidents, acknowledge them, note causes.",
)

GAMEDAY: Final = make_command(
    "gameday",
    "flows.on_call.gameday:gameday",
    """Play usual failures in copies of the workspace.

FAILURES are F1 to F8, or all: latency, drift, memory, false positives, missed objects, wrong masks, swapped
labels, hostile pictures. Each must be detected, mitigated, restored and written up; otherwise this
ends with 1. The workspace itself is only read.
""",
    click.Argument(["failures"], nargs=-1, required=True),
    click.Option(["--keep"], is_flag=True, help="Leave the copies, to look at them."),
    click.Option(
        ["--output"], type=click.Path(path_type=Path), help="Default: .maskloop/reports/gameday.html"
    ),
)
