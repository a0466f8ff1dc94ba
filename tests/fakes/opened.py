"""The workspace that a command opens, whatever folder it names: a world of fakes."""

from __future__ import annotations

from pathlib import Path

from flows.console.output import WorkspaceOpener
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from tests.fakes.loop_world import World


def opens(world: World) -> WorkspaceOpener:
    """Open a world, whose teller stays its own."""

    def opener(root: Path, *, teller: Teller, actor: str) -> App:
        return world.app()

    return opener
