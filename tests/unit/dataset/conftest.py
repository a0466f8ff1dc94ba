"""An ingest of numbered pictures into a store in memory."""

import pytest

from dataset.coco.document import read_coco
from dataset.ingestion.ingest import ingest_batch
from dataset.ingestion.plan import IngestOptions
from maskloop.settings.workspace_settings import Settings
from tests.fakes.coco_batches import write_batch
from tests.fakes.dataset_store import FakeDatasetStore


@pytest.fixture
def store(tmp_path):
    return FakeDatasetStore(tmp_path / "store")


@pytest.fixture
def ingest(store, tmp_path):
    """Write a batch of the numbered pictures and ingest it."""

    def act(numbers, content=None, *, settings=None, source="here", split=None, progress=None, **options):
        annotations, images_dir = write_batch(tmp_path / "batch", numbers, content)
        return ingest_batch(
            store,
            coco=read_coco(annotations),
            images_dir=images_dir,
            options=IngestOptions(source, split, **options),
            settings=settings or Settings(),
            progress=progress,
        )

    return act
