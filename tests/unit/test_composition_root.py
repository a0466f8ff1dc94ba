"""The composition root stays where it belongs: stories take `App`, and nothing that they call does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.unit.test_layers import PACKAGES, REPOSITORY

STORIES: Final = {
    "flows.answering.batch_prediction": {"predict"},
    "flows.answering.model_assembly": {"create_model"},
    "flows.answering.service_assembly": {"create_service"},
    "flows.capacity.measuring": {"measure_figures"},
    "flows.batch.story": {"batch"},
    "flows.video.story": {"video"},
    "flows.deciding.decisions": {"decide_by_hand"},
    "flows.demo.story": {"Demo"},
    "flows.drift.simulation": {"simulate_monitoring"},
    "flows.drift.trends": {"show_trends"},
    "flows.drift.monitor": {"monitor"},
    "flows.evidence.production_quality": {"measure_production_quality"},
    "flows.exporting.benchmark": {"benchmark"},
    "flows.exporting.bundling": {"make_bundle"},
    "flows.exporting.model_export": {"export"},
    "flows.gameday.gameday": {"hold_gameday", "play"},
    "flows.gameday.throwaway": {"copy_workspace"},
    "flows.health.check": {"check_data"},
    "flows.health.policy": {"check_and_keep", "hold_for_data_check"},
    "flows.health.report": {"report_data"},
    "flows.incidents.additions": {
        "acknowledge_incident",
        "add_to_incident",
        "end_incident",
        "report_incident",
    },
    "flows.incidents.page": {"write_incident_page"},
    "flows.intake.batch_intake": {"ingest"},
    "flows.intake.data_changes": {"change_classes", "restore_version"},
    "flows.intake.feedback": {"ingest_corrections", "ingest_enough_corrections"},
    "flows.labelling.overview": {"describe_requests"},
    "flows.labelling.pull": {"pull_labels", "pull_open_requests"},
    "flows.labelling.push": {"push_labels"},
    "flows.labelling.request": {"request_labels"},
    "flows.labelling.waiting_cycles": {"ask_for_labels"},
    "flows.learning.candidate_training": {"train_candidate"},
    "flows.learning.judge": {"judge_candidate"},
    "flows.learning.preview": {"write_preview"},
    "flows.loop.cycles": {"abandon_cycle"},
    "flows.loop.reconcile": {"reconcile"},
    "flows.loop.rejudge": {"judge_again"},
    "flows.loop.turn": {"run_turn"},
    "flows.loop.work": {"work_on_cycle"},
    "flows.metrics.gathering": {"measure_workspace"},
    "flows.notifications.sending": {
        "describe_channels",
        "list_notices",
        "send_test",
        "tell_people",
    },
    "flows.pages.evidence_pack": {"refresh_pack", "refresh_packs"},
    "flows.pages.loop_report": {"refresh_report", "write_report"},
    "flows.pages.status": {"describe_status"},
    "flows.rollouts.rollout": {
        "advance_rollout",
        "describe_rollout",
        "resume_rollout",
        "roll_back_last_change",
        "stop_rollout",
    },
    "flows.scheduling.foreground": {"run_story"},
    "flows.scheduling.up": {"run_servers"},
    "flows.slo.budgets": {"read_budgets"},
    "flows.tuning.story": {"tune"},
    "flows.views.gathered": {"gather_facts"},
    "flows.views.page": {"write_views"},
    "flows.workspace.databases": {"send_own_files", "upgrade_databases"},
}
"""By module: what the command line, the loop, the service or a Prefect flow begins with.

A function that one of these calls has no place here: give it the parts that it needs.
"""


def takers_of_app(source: str) -> Iterator[str]:
    """Name the functions with a parameter, and the classes with a field, whose type names `App`.

    A function that makes an `App`, or takes one that does, is none of them.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            types = [one.annotation for one in arguments if one is not None]
        elif isinstance(node, ast.ClassDef):
            types = [one.annotation for one in node.body if isinstance(one, ast.AnnAssign)]
        else:
            continue
        if any(names_app(one) for one in types if one is not None):
            yield node.name


def names_app(annotation: ast.expr) -> bool:
    """Tell whether a type names `App` other than as what a callable returns."""
    return bool(re.search(r"\bApp\b", re.sub(r"(\]|\.\.\.), App\]", "]", ast.unparse(annotation))))


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(REPOSITORY).with_suffix("").parts)


def test_only_stories_take_the_composition_root() -> None:
    files = [file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py")]
    found = {module_of(file): {*takers_of_app(file.read_text(encoding="utf-8"))} for file in files}
    assert {module: names for module, names in found.items() if names} == STORIES


def test_no_private_function_is_a_story() -> None:
    assert [name for names in STORIES.values() for name in names if name.startswith("_")] == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def tell(app: App) -> None: ...", ["tell"]),
        ("def tell(root: Path, *, app: 'App | None' = None) -> None: ...", ["tell"]),
        ("async def tell(*apps: App) -> None: ...", ["tell"]),
        ("def tell(act: Callable[[App, str], None]) -> None: ...", ["tell"]),
        ("def tell() -> None:\n    def inner(app: wiring.App) -> None: ...", ["inner"]),
        ("class Told:\n    app: App", ["Told"]),
        ("class Told:\n    def __init__(self, app: App) -> None: ...", ["__init__"]),
        ("def open_app(root: Path) -> App: ...", []),
        ("def watch(open_workspace: Callable[[Path], App] | None) -> None: ...", []),
        ("def tell(apps: Sequence[App]) -> None: ...", ["tell"]),
        ("def tell(application: Application) -> None: ...", []),
    ],
)
def test_whoever_takes_the_composition_root_is_found(source: str, names: list[str]) -> None:
    assert [*takers_of_app(source)] == names
