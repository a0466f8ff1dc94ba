"""`maskloop up`: everything a laptop needs, in one terminal, until Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import click

from flows.servers import servers_running, service_running, worker_running
from flows.wiring import App


def run_servers(app: App, out: Any, *, stop_at_once: bool = False) -> None:
    """Start the servers, the worker and the service, print where they are, and wait for Ctrl-C or SIGTERM.

    Raises:
        ConfigurationError: if a port is in use.
        UnavailableError: if a server does not come up (its log is named), or MLflow's database is gone.
    """
    app.check_mlflow()
    with _stop_signal() as stopped, servers_running(app.workspace) as urls:
        app.teller.say("the servers answer; deploying the schedules ...")
        with worker_running(app.workspace, urls["prefect"]), service_running(app.workspace) as service_url:
            where = {
                "prefect": urls["prefect"].removesuffix("/api"),
                "mlflow": urls["mlflow"],
                "service": service_url,
                "docs": f"{service_url}/docs",
            }
            out.answer(where, lambda: _show(where))
            if not stop_at_once:
                while not stopped.wait(0.5):
                    pass
        app.teller.say("stopping ...")


def _show(urls: dict[str, str]) -> None:
    click.echo(f"Prefect  {urls['prefect']}   flow runs, schedules, artifacts")
    experiments = f"{urls['mlflow']}/#/experiments?workflowType=machine_learning"
    click.echo(f"MLflow   {experiments}   runs, model versions, approvals")
    click.echo(f"Service  {urls['service']}   answers pictures; {urls['docs']} says how to ask")
    click.echo("Ctrl-C stops everything.")


@contextmanager
def _stop_signal() -> Iterator[Event]:
    stopped = Event()
    before = {sign: signal.signal(sign, lambda *_: stopped.set()) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
