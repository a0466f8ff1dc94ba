"""Remotes that are no folder, are away, or have lost what the data hold."""

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dataset.storage import dvc_remote
from dataset.versions.revision import DvcDatasetStore
from maskloop.errors import (
    UnavailableError,
)
from maskloop.workspace import Workspace
from tests.unit.dataset.versions.conftest import alter, forget_local_copies, ingest, remote_objects


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def served_remote(root):
    """The remote, readable at a loopback URL."""
    remote = root / ".maskloop" / "remote"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(remote))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.server
def test_a_remote_given_as_a_url_is_verified_by_fetching_it_back(root, served_remote):
    (root / "maskloop.toml").write_text(f'[data]\nremote = "{served_remote}"\n')
    store = DvcDatasetStore(Workspace(root))
    assert store.verify("data-v1") == ()
    remote_objects(root)[0].unlink()
    assert store.verify("data-v1") != ()


@pytest.mark.slow
def test_a_remote_that_is_no_folder_is_mended_from_the_cache(store, root, monkeypatch):
    """DVC itself calls such a remote in sync; an altered object it never replaces."""
    monkeypatch.setattr(dvc_remote, "local_remote", lambda _: None)
    lost, altered = remote_objects(root)[:2]
    lost.unlink()
    alter(altered)
    assert lost.parent.name + lost.name in store.verify("data-v1")
    store.mend("data-v1")
    assert store.verify("data-v1") == ()
    remote_objects(root)[0].unlink()
    assert ingest(root, range(7)).version.tag == "data-v2"
    assert store.verify("data-v1") == store.verify("data-v2") == ()


def test_a_version_comes_back_from_data_when_cache_and_remote_have_lost_it(store, root):
    before = store.current().pictures
    forget_local_copies(root)
    remote_objects(root)[0].unlink()
    again = DvcDatasetStore(Workspace(root))
    assert again.open("data-v1").pictures == before
    again.mend("data-v1")
    assert again.verify("data-v1") == ()


def test_a_remote_that_does_not_answer_is_not_called_damaged(root, monkeypatch):
    """`dvc fetch` exits 0 when the server is not there, saying that everything is up to date."""
    shutil.rmtree(root / "data")
    (root / "maskloop.toml").write_text('[data]\nremote = "https://not.answering.invalid"\n')
    monkeypatch.setattr(dvc_remote, "run_dvc", lambda *_: None)
    store = DvcDatasetStore(Workspace(root))
    with pytest.raises(UnavailableError, match="nothing could be fetched"):
        store.verify("data-v1")
    forget_local_copies(root)
    with pytest.raises(UnavailableError, match="nothing could be fetched"):
        store.open("data-v1")


def test_a_file_url_is_a_local_remote(root):
    (root / "maskloop.toml").write_text(f'[data]\nremote = "file://{root}/.maskloop/remote"\n')
    remote_objects(root)[0].unlink()
    assert len(DvcDatasetStore(Workspace(root)).verify("data-v1")) == 1
