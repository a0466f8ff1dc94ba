"""A model store in memory, which can also be offline, and lets a test act like a person in the UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from maskloop.errors import NotFoundError, UnavailableError
from maskloop.files import directory_written_atomically
from registry.ports import DIGEST_TAG, RegisteredVersion


class FakeModelStore:
    def __init__(self, name: str = "mask-rcnn") -> None:
        self.name = name
        self.is_offline = False
        self.descriptions: dict[str, str] = {}
        self._versions: dict[str, RegisteredVersion] = {}
        self._files: dict[str, dict[str, bytes]] = {}
        self._aliases: dict[str, str] = {}
        self._num_made = 0

    def register(
        self,
        artifact_dir: Path,
        *,
        run_id: str,
        weights_digest: str,
        tags: Mapping[str, str],
        description: str = "",
    ) -> RegisteredVersion:
        self._answer()
        for one in self._versions.values():
            if (one.run_id, one.weights_digest) == (run_id, weights_digest):
                return self.version(one.version)
        self._num_made += 1
        version = str(self._num_made)
        made_at = datetime(2026, 1, 1, tzinfo=UTC)
        all_tags = {**tags, DIGEST_TAG: weights_digest}
        self._versions[version] = RegisteredVersion(
            self.name, version, run_id, weights_digest, all_tags, (), made_at
        )
        self._files[version] = {file.name: file.read_bytes() for file in artifact_dir.iterdir()}
        self.descriptions[version] = description
        return self.version(version)

    def versions(self) -> Sequence[RegisteredVersion]:
        """All of them, for tests to look at."""
        self._answer()
        return tuple(self.version(version) for version in self._versions)

    def version(self, version: str) -> RegisteredVersion:
        self._answer()
        if version not in self._versions:
            raise NotFoundError(f"there is no version {version}")
        aliases = tuple(sorted(alias for alias, at in self._aliases.items() if at == version))
        return replace(self._versions[version], aliases=aliases)

    def with_alias(self, alias: str) -> RegisteredVersion | None:
        self._answer()
        return self.version(self._aliases[alias]) if alias in self._aliases else None

    def set_alias(self, alias: str, version: str) -> None:
        self.version(version)
        self._aliases[alias] = version

    def delete_alias(self, alias: str) -> None:
        self._answer()
        self._aliases.pop(alias, None)

    def set_tag(self, version: str, key: str, value: str) -> None:
        found = self.version(version)
        self._versions[version] = replace(found, tags={**found.tags, key: value})

    def describe(self, version: str, markdown: str) -> None:
        self.version(version)
        self.descriptions[version] = markdown

    def fetch(self, version: str, directory: Path) -> Path:
        self.version(version)
        with directory_written_atomically(directory) as beside:
            for name, content in self._files[version].items():
                (beside / name).write_bytes(content)
        return directory

    # What people and accidents do behind maskloop's back:

    def delete_version_by_hand(self, version: str) -> None:
        """MLflow drops the aliases of a deleted version without a word."""
        self._versions.pop(version)
        self._aliases = {alias: at for alias, at in self._aliases.items() if at != version}

    def replace_files_by_hand(self, version: str, files: Mapping[str, bytes]) -> None:
        self._files[version] = dict(files)

    def _answer(self) -> None:
        if self.is_offline:
            raise UnavailableError("the registry does not answer")
