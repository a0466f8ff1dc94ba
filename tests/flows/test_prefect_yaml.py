"""The template of `prefect.yaml` fits the flows: nothing in it is found wrong only when a schedule fires."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
import yaml
from prefect import Flow

from flows.workspace.wiring import REPOSITORY

TEMPLATE = (REPOSITORY / "configs" / "prefect.yaml").read_text()
CONTENT: dict[str, Any] = yaml.safe_load(
    TEMPLATE.replace("{{ $PWD }}", "/somewhere").replace("@model_name@", "bolts")
)
DEPLOYMENTS: list[dict[str, Any]] = CONTENT["deployments"]
each = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=[d["flow_name"] for d in DEPLOYMENTS])


def load_flow(deployment: dict[str, Any]) -> Flow[..., Any]:
    module, _, name = deployment["entrypoint"].rpartition(".")
    found: Flow[..., Any] = getattr(importlib.import_module(module), name)
    return found


@each
def test_every_entrypoint_is_a_flow_of_the_name_that_is_given(deployment: dict[str, Any]) -> None:
    found = load_flow(deployment)
    assert isinstance(found, Flow)
    assert found.name == deployment["flow_name"]


@each
def test_every_parameter_exists_and_a_schedule_leaves_none_out(deployment: dict[str, Any]) -> None:
    known = inspect.signature(load_flow(deployment).fn).parameters
    given = deployment["parameters"]
    assert given.keys() <= known.keys()
    assert given["workspace"] == "/somewhere"
    needed = {name for name, one in known.items() if one.default is inspect.Parameter.empty}
    if deployment.get("schedules"):
        assert needed <= given.keys()


@each
def test_every_deployment_says_what_it_does_and_where_it_runs(deployment: dict[str, Any]) -> None:
    assert deployment["name"] == "bolts"
    assert deployment["description"].endswith(".")
    assert deployment["work_pool"] == {"name": "maskloop"}


def test_every_flow_has_a_deployment() -> None:
    module = importlib.import_module("flows.deployments")
    flows = {one.name for one in vars(module).values() if isinstance(one, Flow)}
    assert {deployment["flow_name"] for deployment in DEPLOYMENTS} == flows


def test_something_looks_after_the_loop_every_minute() -> None:
    """Nothing relies on an event arriving: this schedule is what does the work."""
    (reconcile,) = [one for one in DEPLOYMENTS if one["flow_name"] == "reconcile"]
    assert reconcile["schedules"] == [{"interval": 60}]
