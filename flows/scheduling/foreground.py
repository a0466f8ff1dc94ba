"""Run a story from the command line: through Prefect where a server is up, else plainly."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from flows.workspace.servers import prefect_environment, running_server_url
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.errors import ConfigurationError, UnavailableError
from maskloop.workspace import Workspace

_Result = TypeVar("_Result")
_ATTEMPTS = 3


def run_story(app: App, name: str, story: Callable[..., _Result], **parameters: Any) -> _Result:
    """Run a story as a Prefect flow run if a server is known, else as a plain function.

    Raises:
        UnavailableError: if the server that was named does not answer.
    """

    def work(teller: Teller) -> _Result:
        return story(app if teller is app.teller else replace(app, teller=teller), **parameters)

    return run_as_flow(app.workspace, app.teller, name, work)


def run_as_flow(
    workspace: Workspace, teller: Teller, name: str, work: Callable[[Teller], _Result]
) -> _Result:
    """Run a piece of work as a Prefect flow run if a server is known, else as a plain function.

    Args:
        workspace: The workspace, whose settings may name the server.
        teller: Reports the progress, in either case.
        name: The name of the flow.
        work: The work; it takes the teller to use.

    Raises:
        UnavailableError: if the server that was named does not answer.
    """
    url = find_prefect_url(workspace)
    if not url:
        return work(teller)
    check_answers(f"{url}/health", "Prefect")
    os.environ.update(prefect_environment(workspace, url))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    from flows.scheduling.deployments import run_in_foreground

    return run_in_foreground(name, teller, work)


def find_prefect_url(workspace: Workspace) -> str:
    """Return the Prefect API of the environment, the settings, or a running `maskloop up`; or nothing."""
    return (
        os.environ.get("PREFECT_API_URL")
        or workspace.settings.servers.prefect_api_url
        or running_server_url(workspace, "prefect")
    )


def check_answers(url: str, name: str) -> None:
    """Ask a server for its health, three times. Raises UnavailableError, ConfigurationError."""
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"{name} cannot be reached by such an address", where=url)
    for _ in range(_ATTEMPTS):
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - http(s) by configuration
                return
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = error
    raise UnavailableError(
        f"{name} does not answer: {reason}",
        where=url,
        hint="start it (`maskloop up`), or unset its URL to go on without it",
    )
