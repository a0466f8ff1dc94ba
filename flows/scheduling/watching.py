"""A process that stays and looks every few seconds whether anything is due, with no Python start for each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Final, Protocol

from flows.loop.reconcile import WorkStarter, reconcile
from flows.scheduling.foreground import find_prefect_url, run_as_flow
from flows.workspace.servers import SECONDS_BETWEEN_LOOKS, prefect_environment, running_server_url
from flows.workspace.telling import SilentTeller, Teller
from flows.workspace.wiring import App, open_app
from maskloop.clock import Clock
from maskloop.errors import BusyError, MaskloopError, StoppedError
from maskloop.workspace import Workspace

_SECONDS_BETWEEN_SIGNS_OF_LIFE: Final = 900.0


class Publish(Protocol):
    """Shows what a look did where people see it. Raises MaskloopError if it cannot, or if the look failed."""

    def __call__(self, workspace: Workspace, sentences: Sequence[str], trouble: MaskloopError | None) -> None:
        """Show it."""
        ...


@dataclass
class Notes:
    """A teller that keeps sentences until they are taken."""

    sentences: list[str] = field(default_factory=list)

    def say(self, sentence: str) -> None:
        """Keep one sentence."""
        self.sentences.append(sentence)

    def progress(self, title: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Ignore it."""
        return nullcontext(lambda _done, _total: None)

    def table(self, key: str, rows: Sequence[Mapping[str, Any]], title: str) -> None:
        """Ignore it."""

    def link(self, key: str, url: str, text: str) -> None:
        """Keep it as a sentence."""
        self.say(f"{text}: {url}")

    def take(self) -> list[str]:
        """Return what was said since the last time."""
        taken, self.sentences = self.sentences, []
        return taken


class Watch:
    """Reconciles a workspace look by look. Most looks find nothing, and leave nothing behind.

    Edited settings take effect with the next look.
    """

    def __init__(
        self,
        root: Path,
        *,
        publish: Publish,
        open_workspace: Callable[[Path, Teller], App] | None = None,
        start_work: WorkStarter | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root, self._publish, self._now_s = root, publish, now_s
        self._open = open_workspace or (lambda where, teller: open_app(where, teller=teller))
        self._start_work = start_work
        self._notes = Notes()
        self._app: App | None = None
        self._is_stale = False
        self._settings_seen: tuple[int, int] = (0, 0)
        self._trouble = ""
        self._told_at_s = -_SECONDS_BETWEEN_SIGNS_OF_LIFE

    def look(self) -> list[str]:
        """Do what is due, and show it; after a quarter of an hour in which nothing was, show a sign of life.

        An error is shown once, and again when it changes; the next look retries. A reconcile by another
        process is not an error.

        Returns:
            What was done, as sentences.

        Raises:
            StoppedError: after Ctrl-C or SIGTERM in a training of this process.
        """
        done: Sequence[str] = ()
        failed: Sequence[str] = ()
        trouble: MaskloopError | None = None
        try:
            app = self._present_app()
            start_work = self._start_work or find_work_starter(app.workspace, app.clock)
            found = reconcile(app, start_work=start_work)
            done, failed = found.done, found.failed
        except StoppedError:
            raise
        except BusyError:
            self._notes.take()
            return []
        except MaskloopError as error:
            trouble, self._is_stale = error, True  # what answered no more is connected to anew
        said = [*dict.fromkeys([*self._notes.take(), *done, *failed])]
        is_new = str(trouble or "") != self._trouble
        is_quiet = self._now_s() - self._told_at_s >= _SECONDS_BETWEEN_SIGNS_OF_LIFE
        self._trouble = str(trouble or "")
        if self._app and (done or failed or is_new or is_quiet):
            self._told_at_s = self._now_s()
            sentences = said or ([] if trouble else ["nothing is due"])
            with suppress(MaskloopError):  # the trouble itself, or nobody there to show it to
                self._publish(self._app.workspace, sentences, trouble)
        return [*done]

    def _present_app(self) -> App:
        """Return the workspace with the settings it has now."""
        settings_state = self._settings_state()
        if self._app is None or self._is_stale or self._settings_seen != settings_state:
            self._app = self._open(self._root, self._notes)
            self._is_stale, self._settings_seen = False, settings_state
        return self._app

    def _settings_state(self) -> tuple[int, int]:
        try:
            found = Workspace(self._root).settings_file.stat()
        except OSError:
            return (0, 0)
        return found.st_mtime_ns, found.st_size


def watch(root: Path, teller: Teller, stopped: Event, *, every_s: float = SECONDS_BETWEEN_LOOKS) -> None:
    """Look until ``stopped`` is set. Its own Prefect's reconcile schedule pauses meanwhile."""
    take_over_schedule(open_app(root, teller=teller).workspace)

    def publish(workspace: Workspace, sentences: Sequence[str], trouble: MaskloopError | None) -> None:
        for sentence in sentences:
            teller.say(sentence)
        if trouble:
            teller.say(f"{trouble}. The next look tries again.")
        if find_prefect_url(workspace):
            run_as_flow(workspace, SilentTeller(), "reconcile", partial(_show, sentences, trouble))

    looks = Watch(root, publish=publish)
    while True:
        looks.look()
        if stopped.wait(every_s):
            return


def take_over_schedule(workspace: Workspace) -> None:
    """Pause the reconcile schedule on the server that `maskloop up` started; a team's own is left alone."""
    if url := running_server_url(workspace, "prefect"):
        os.environ.update(prefect_environment(workspace, url))
        from flows.scheduling.deployments import pause_schedules

        pause_schedules(str(workspace.root), "reconcile")


def find_work_starter(workspace: Workspace, clock: Clock) -> WorkStarter | None:
    """Return what trains in a separate flow run, so looks continue; None if no Prefect server is known."""
    if not find_prefect_url(workspace):
        return None
    from flows.scheduling.deployments import start_train_run

    return partial(start_train_run, workspace, clock)


def _show(sentences: Sequence[str], trouble: MaskloopError | None, teller: Teller) -> None:
    """The flow run of a look: its log lists the actions, and it fails with the look's error."""
    for sentence in sentences:
        teller.say(sentence)
    if trouble:
        raise trouble
