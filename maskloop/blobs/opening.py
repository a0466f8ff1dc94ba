"""Which store of blobs a setting names."""

from __future__ import annotations

from pathlib import Path

from maskloop.blobs.folder import FolderBlobs
from maskloop.blobs.port import Blobs
from maskloop.blobs.s3 import S3Blobs
from maskloop.errors import ConfigurationError


def open_blobs(url: str, own: Path) -> Blobs:
    """Return the store of an address as `servers.blob_url` has it. Asks nobody yet.

    Args:
        url: ``s3://bucket/prefix``, ``file:///folder`` or an absolute path; empty for the workspace's own.
        own: The workspace's own folder.

    Raises:
        ConfigurationError: if it is none of these.
    """
    if not url:
        return FolderBlobs(own)
    if url.startswith("s3://"):
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if bucket and "?" not in url:
            return S3Blobs(bucket, prefix.strip("/"))
    folder = Path(url.removeprefix("file://"))
    if "://" not in str(folder) and folder.is_absolute():
        return FolderBlobs(folder)
    raise ConfigurationError(
        "servers.blob_url cannot be read",
        where=url,
        hint="write s3://bucket/prefix, or the absolute path of a folder that all hosts mount",
    )
