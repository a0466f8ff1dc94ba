"""A `DatasetStore` of plain folders, without git and DVC; it holds state and lives by the same contract."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataset.labelled_pictures import Catalog, DatasetVersion
from dataset.version_store import next_tag
from dataset.versions.catalog import fingerprint, in_order, write_catalog
from maskloop.digest import digest_bytes, digest_file
from maskloop.errors import NotFoundError, RefusedError, StorageError


class FakeDatasetStore:
    """Versions as folders ``root/data-vN``, the newest one or the restored one being current.

    `kept_by_user` stands for what a user keeps in `data/`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._versions: dict[str, DatasetVersion] = {}
        self._file_digests: dict[str, dict[str, str]] = {}
        self._current = ""
        self.kept_by_user: tuple[str, ...] = ()

    def current(self) -> DatasetVersion | None:
        return self._versions.get(self._current)

    def versions(self) -> tuple[str, ...]:
        return tuple(self._versions)

    def open(self, tag: str) -> DatasetVersion:
        if tag not in self._versions:
            raise NotFoundError(f"there is no data version {tag}")
        return self._versions[tag]

    def refuse_to_lose(self) -> None:
        if self.kept_by_user:
            raise RefusedError(f"data/ holds {', '.join(self.kept_by_user)}")

    @contextmanager
    def staging(self) -> Iterator[Path]:
        self.refuse_to_lose()
        folder = self.root / "staging"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, staged_dir: Path, catalog: Catalog, message: str) -> DatasetVersion:
        catalog = in_order(catalog)
        content = fingerprint(catalog.class_names, catalog.pictures)
        current = self.current()
        if current and current.fingerprint == content:
            return current
        tag = next_tag(self.versions())
        root = self.root / tag
        for picture in catalog.pictures:
            staged = staged_dir / picture.file
            if not staged.exists() and current:
                staged = current.path(picture)
            (root / picture.file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(staged, root / picture.file)
        write_catalog(root, catalog)
        made_up = digest_bytes(f"{tag}: {message}".encode())
        md5 = f"{content[:32]}.dir"
        names, pictures = catalog.class_names, catalog.pictures
        self._versions[tag] = DatasetVersion(
            tag,
            content,
            md5,
            made_up[:40],
            names,
            pictures,
            root,
            catalog.conversion,
            catalog.difference_hashes,
        )
        self._file_digests[tag] = self._digests(root)
        self._current = tag
        return self._versions[tag]

    def restore(self, tag: str) -> DatasetVersion:
        version = self.open(tag)
        self.refuse_to_lose()
        self._current = tag
        return version

    def verify(self, tag: str, *, sample: int | None = None) -> tuple[str, ...]:
        now = self._digests(self.open(tag).root)
        return tuple(name for name, digest in self._file_digests[tag].items() if now.get(name) != digest)

    def mend(self, tag: str) -> None:
        if self.verify(tag):
            raise StorageError("no other copy is at hand")

    def files_of(self, tag: str) -> dict[str, str]:
        return {name: name for name in self._file_digests[self.open(tag).tag]}

    def _digests(self, root: Path) -> dict[str, str]:
        return {str(file.relative_to(root)): digest_file(file) for file in root.rglob("*") if file.is_file()}
