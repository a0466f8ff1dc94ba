"""A new workspace: settings, schedules, git and DVC."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from dataset.storage.git import git, identity
from dataset.versions.repository import init_workspace_repository, refuse_tracked_data
from flows.workspace.wiring import REPOSITORY
from maskloop.errors import RefusedError
from maskloop.files import write_text
from maskloop.settings.workspace_settings import load_settings
from maskloop.workspace import Workspace, refuse_unusable_place

Preset = Literal["laptop", "gpu", "demo"]
CONFIGS: Final = REPOSITORY / "configs"
_KEPT_IN_GIT: Final = (
    "maskloop.toml",
    "prefect.yaml",
    ".gitignore",
    ".dvcignore",
    ".dvc/config",
    ".dvc/.gitignore",
)


@dataclass(frozen=True)
class PreparedWorkspace:
    """A workspace, and remarks for the person who asked for it.

    Attributes:
        workspace: It.
        remarks: Wishes that were not granted, and what is left to do, as sentences.
    """

    workspace: Workspace
    remarks: tuple[str, ...] = ()


def init_workspace(root: Path, *, preset: Preset | None = None, model_name: str = "") -> PreparedWorkspace:
    """Make a folder a workspace; files that are already there stay as they are.

    Args:
        root: The folder.
        preset: What `maskloop.toml` begins with; None for ``laptop``.
        model_name: The registered model's name; empty for the preset's.

    Raises:
        RefusedError: if ``root`` is a file, or git tracks files below its `data/`.
        ConfigurationError: if its path or an existing `maskloop.toml` cannot be used.
    """
    if root.exists() and not root.is_dir():
        raise RefusedError("a workspace is a folder", where=str(root))
    refuse_unusable_place(root.resolve())
    workspace = Workspace(root.resolve())
    refuse_tracked_data(workspace.root)
    workspace.root.mkdir(parents=True, exist_ok=True)
    text = _settings_text(preset or "laptop", model_name)
    remarks: tuple[str, ...] = ()
    if workspace.settings_file.exists():
        remarks = _wishes_not_granted(workspace, text, preset, model_name)
    else:
        write_text(workspace.settings_file, text)
    settings = load_settings(workspace.settings_file)
    schedules = workspace.root / "prefect.yaml"
    if not schedules.exists():
        template = (CONFIGS / "prefect.yaml").read_text(encoding="utf-8")
        write_text(schedules, template.replace("@model_name@", settings.model_name))
    init_workspace_repository(workspace)
    return PreparedWorkspace(workspace, (*remarks, *_keep_in_git(workspace)))


def _settings_text(preset: Preset, model_name: str) -> str:
    text = (CONFIGS / f"{preset}.toml").read_text(encoding="utf-8")
    if model_name:
        text = re.sub('^model_name = ".*"', f'model_name = "{model_name}"', text, flags=re.MULTILINE)
    return text


def _wishes_not_granted(
    workspace: Workspace, text: str, preset: Preset | None, model_name: str
) -> tuple[str, ...]:
    """Say what an existing `maskloop.toml` kept from being done."""
    if workspace.settings_file.read_text(encoding="utf-8") == text:
        return ()
    wishes = [f"--preset {preset}"] if preset else []
    if model_name and model_name != workspace.settings.model_name:
        wishes.append(f"--name {model_name}")
    if not wishes:
        return ()
    return (
        f"{' and '.join(wishes)} had no effect: maskloop.toml was there and stays as it is. "
        "Edit it, or move it away and run the same command again",
    )


def _keep_in_git(workspace: Workspace) -> tuple[str, ...]:
    """Commit settings and schedules if nothing has been committed yet; else say the command that does.

    In a repository that has commits, the user decides what is committed and when.
    """
    root = workspace.root
    paths = [path for path in _KEPT_IN_GIT if (root / path).exists()]
    if not git(root, "status", "--porcelain", "--", *paths):
        return ()
    if git(root, "rev-list", "-n1", "--all"):
        folder, files = shlex.quote(str(root)), " ".join(paths)
        return (
            "Settings and schedules belong in git: "
            f"git -C {folder} add {files} && git -C {folder} commit -m 'maskloop workspace'",
        )
    git(root, "add", "--force", "--", *paths)
    options = ("--quiet", "--no-verify", "-m", "A maskloop workspace: settings and schedules")
    git(root, *identity(root), "commit", *options, "--", *paths)
    return ()
