"""`maskloop up`: everything a laptop needs, in one terminal, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from flows.console.output import Output
from flows.scheduling.stopping import stop_signal
from flows.workspace.leftovers import end_leftovers
from flows.workspace.servers import (
    reconciler_running,
    running_server_url,
    servers_running,
    service_running,
    worker_running,
)
from flows.workspace.wiring import App
from maskloop.wording import count
from maskloop.workspace import Workspace


def run_servers(app: App, out: Output, *, stop_at_once: bool = False) -> None:
    """Start the servers, the worker and the service, print where they are, and wait for Ctrl-C or SIGTERM.

    Raises:
        ConfigurationError: if a port is in use.
        UnavailableError: if a server does not come up (its log is named), or MLflow's database is gone.
    """
    app.prepare_mlflow()
    if num_left := end_leftovers(app.workspace):
        left = count(num_left, "process", "processes")
        app.teller.say(f"ended {left} that a killed `maskloop up` had left running")
    with stop_signal() as stopped, servers_running(app.workspace) as urls:
        app.teller.say("the servers answer; deploying the schedules ...")
        with (
            worker_running(app.workspace, urls["prefect"]),
            _reconciler_running(app.workspace) as keep_alive,
            service_running(app.workspace) as service_url,
        ):
            where = {
                "prefect": urls["prefect"].removesuffix("/api"),
                "mlflow": urls["mlflow"],
                "service": service_url,
                "docs": f"{service_url}/docs",
            }
            out.answer(where, lambda: _show(where))
            if not stop_at_once:
                while not stopped.wait(0.5):
                    keep_alive()
        app.teller.say("stopping ...")
    end_leftovers(app.workspace)  # none is left; their notes go


@contextmanager
def _reconciler_running(workspace: Workspace) -> Iterator[Callable[[], None]]:
    """Look after the loop in a process that stays. On a team's Prefect the schedule does that, for all."""
    if not running_server_url(workspace, "prefect"):
        yield lambda: None
        return
    with reconciler_running(workspace) as keep_alive:
        yield keep_alive


def _show(urls: dict[str, str]) -> None:
    click.echo(f"Prefect  {urls['prefect']}   flow runs, schedules, artifacts")
    experiments = f"{urls['mlflow']}/#/experiments?workflowType=machine_learning"
    click.echo(f"MLflow   {experiments}   runs, model versions, approvals")
    click.echo(f"Service  {urls['service']}   answers pictures; {urls['docs']} says how to ask")
    click.echo("Ctrl-C stops everything.")
