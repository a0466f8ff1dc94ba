"""What an ingest of two pictures asks of a remote in S3, and what a verification does, by pictures there.

Run with ``python -m benchmarks.ingestion.s3_remote``: moto's server on loopback counts requests and bytes.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path

from dataset.coco.document import read_coco
from dataset.ingestion.ingest import ingest_batch
from dataset.ingestion.plan import IngestOptions
from dataset.versions.revision import DvcDatasetStore
from maskloop.settings.workspace_settings import Settings
from maskloop.workspace import Workspace
from tests.fakes.coco_batches import write_batch
from tests.fakes.s3_server import S3Server, s3_server


def main() -> None:
    """Print one line for each thing that is done."""
    with s3_server() as s3, tempfile.TemporaryDirectory(prefix="maskloop-s3-") as folder:
        os.environ.update(s3.environment)
        for num_pictures in (30, 600):
            root = Path(folder) / str(num_pictures)
            root.mkdir()
            remote = f"s3://{s3.new_bucket()}/parts"
            (root / "maskloop.toml").write_text(f'[data]\nremote = "{remote}"\n')
            ingest(root, num_pictures)
            report(s3, f"the first {num_pictures}")
            ingest(root, num_pictures + 2)
            report(s3, f"into {num_pictures}: two more")
            store = DvcDatasetStore(Workspace(root))
            assert store.verify("data-v2", sample=20) == ()
            report(s3, f"of {num_pictures}: verified by a sample of 20")
            assert store.verify("data-v2") == ()
            report(s3, f"of {num_pictures}: verified by reading all")


def ingest(root: Path, num_pictures: int) -> None:
    """Ingest so many pictures; those that are there already are the same."""
    annotations, images_dir = write_batch(root / ".maskloop" / "batch", range(num_pictures))
    ingest_batch(
        DvcDatasetStore(Workspace(root)),
        coco=read_coco(annotations),
        images_dir=images_dir,
        options=IngestOptions("here"),
        settings=Settings(),
    )


def report(s3: S3Server, what: str) -> None:
    """Print what was asked since the last report."""
    asked = Counter(one.method for one in s3.asked)
    num_objects = sum(one.method == "GET" and "/files/md5/" in one.path for one in s3.asked)
    answered_kb = sum(one.answered_bytes for one in s3.asked) / 1000
    print(
        f"{what}: {dict(asked)}, {num_objects} objects downloaded, {answered_kb:.0f} KB answered", flush=True
    )
    s3.asked.clear()


if __name__ == "__main__":
    main()
