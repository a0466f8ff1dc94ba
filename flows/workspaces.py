"""A new workspace: settings, schedules, git and DVC."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

from flows.wiring import REPOSITORY
from maskloop.errors import RefusedError
from maskloop.files import write_text
from maskloop.settings import load_settings
from maskloop.workspace import Workspace

Preset = Literal["laptop", "gpu", "demo"]
CONFIGS: Final = REPOSITORY / "configs"


def init_workspace(root: Path, *, preset: Preset = "laptop", model_name: str = "") -> Workspace:
    """Make a folder a workspace; files that are already there stay as they are.

    Raises:
        RefusedError: if ``root`` is a file.
        ConfigurationError: if an existing `maskloop.toml` is wrong.
    """
    if root.exists() and not root.is_dir():
        raise RefusedError("a workspace is a folder", where=str(root))
    from dataset.revision import init_workspace_repository

    workspace = Workspace(root.resolve())
    workspace.root.mkdir(parents=True, exist_ok=True)
    if not workspace.settings_file.exists():
        text = (CONFIGS / f"{preset}.toml").read_text(encoding="utf-8")
        if model_name:
            text = re.sub('^model_name = ".*"', f'model_name = "{model_name}"', text, flags=re.MULTILINE)
        write_text(workspace.settings_file, text)
    settings = load_settings(workspace.settings_file)
    schedules = workspace.root / "prefect.yaml"
    if not schedules.exists():
        template = (CONFIGS / "prefect.yaml").read_text(encoding="utf-8")
        write_text(schedules, template.replace("@model_name@", settings.model_name))
    init_workspace_repository(workspace)
    return workspace
