"""An export goes into a real Label Studio by its local files and back, by the lines of the documentation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dataset.exports.table import find_writer
from dataset.exports.version_export import export_version
from dataset.labelled_pictures import DatasetVersion
from dataset.labelling.label_studio_api import LabelStudioApi
from flows.console.output import open_workspace
from maskloop.masks import Rle
from tests.fakes.exported import drawn_version
from tests.fakes.label_studio_server import LEGACY_TOKEN
from tests.fakes.real_label_studio import EXECUTABLE, RealServer
from tests.label_tools.environments import ROOT

needs_server = pytest.mark.skipif(not EXECUTABLE.exists(), reason="no label-studio: make test-studio")
HEADING = "### An export in Label Studio"
LEFT_TO_PEOPLE = "label-studio start"


def documented_lines() -> str:
    """The shell lines of the page, but those that start the server."""
    section = (ROOT / "docs" / "labelling.md").read_text(encoding="utf-8").split(f"{HEADING}\n")[1]
    blocks = re.findall(r"```sh\n(.*?)```", section.split("\n## ")[0], flags=re.DOTALL)
    return "\n".join(block for block in blocks if LEFT_TO_PEOPLE not in block)


def labels_of(version: DatasetVersion) -> dict[str, set[tuple[str, Rle, bool]]]:
    """Class, mask and crowd flag of every object, by the picture's digest."""
    names = version.class_names
    return {
        picture.digest: {(names[one.class_index], one.mask, one.is_crowd) for one in picture.instances}
        for picture in version.pictures
    }


@needs_server
@pytest.mark.server
def test_every_kind_of_object_comes_back_from_local_files_to_the_pixel_by_the_documented_lines(
    label_studio_server: RealServer, personal_token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = drawn_version(tmp_path / "drawn")
    export_version(drawn, find_writer("datumaro"), tmp_path / "labelled")
    exported = label_studio_server.served
    lines = documented_lines().replace("http://127.0.0.1:8080", label_studio_server.url)
    assert 'exported="$PWD/exported"\n' in lines
    lines = lines.replace('exported="$PWD/exported"', f"exported={exported}")
    script = f"""set -euo pipefail
        maskloop init parts --preset demo
        cd parts
        maskloop ingest ../labelled --source belt
        {lines}
    """
    bin_first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": bin_first, "LABEL_STUDIO_API_KEY": personal_token, "COLUMNS": "250"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    assert "crowd-regions-gone" in done.stdout
    back = open_workspace(tmp_path / "parts", actor="test").data.current()
    assert back is not None
    assert back.tag == "data-v2"
    expected = {
        digest: {one for one in instances if not one[2]} for digest, instances in labels_of(drawn).items()
    }
    assert sum(map(len, expected.values())) == 6
    assert labels_of(back) == expected
    monkeypatch.setenv("STUDIO_TOKEN", LEGACY_TOKEN)
    api = LabelStudioApi(label_studio_server.url, "STUDIO_TOKEN")
    (project,) = api.get("/api/projects", {"title": "parts"})["results"]
    tasks = api.get("/api/tasks", {"project": project["id"], "fields": "all"})["tasks"]
    names = {picture.digest: drawn.path(picture).read_bytes() for picture in drawn.pictures}
    served = {one["data"]["digest"]: api.ask("GET", one["data"]["image"]).content for one in tasks}
    assert served == names
