"""The commands of the service: who may ask, asking it, and running it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.command.main import main
from flows.workspace.wiring import REPOSITORY
from maskloop.files import write_text
from models.engines.choice import EngineChoice, EngineKey, judge_end
from serving.access.key_book import ALL_SCOPES, Scope
from serving.access.keys import KeyStore
from serving.access.sql_key_book import SqlKeyBook
from tests.fakes.live_service import live
from tests.fakes.service_world import PNG, ServiceWorld, write_picture


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command in this process; answers exit code, standard output and standard error."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def keys_of(workspace: Path) -> KeyStore:
    return KeyStore(SqlKeyBook.at(workspace / ".maskloop" / "keys.db"))


# --- engines -----------------------------------------------------------------------------------------


def test_engines_says_why_a_library_is_not_used_and_has_it_tried_again(run: Any, workspace: Path) -> None:
    assert "Nothing was measured here yet" in run("engines", "-w", workspace)[1]
    key = EngineKey(
        weights_digest="a" * 64, wanted="auto", min_parity=0.98, threads=2, machine="a machine", versions={}
    )
    fast = EngineChoice(key=key, engine="openvino", reason="2.30 times as fast as torch")
    crashed = judge_end(fast, fatal_error="Segmentation fault", now=datetime(2026, 12, 1, tzinfo=UTC))
    folder = workspace / ".maskloop" / "engines" / key.weights_digest
    for name, choice in (("0", fast), ("1", crashed)):
        write_text(folder / f"{name}.json", choice.model_dump_json())
    found = json.loads(run("engines", "--json", "-w", workspace)[1])["decisions"]
    assert [(row["engine"], row["ended"]) for row in found] == [("openvino", ""), ("torch", "openvino")]
    assert "1 decision forgotten" in run("engines", "--retry", "-w", workspace)[1]
    assert "No decision was made because" in run("engines", "--retry", "-w", workspace)[1]
    assert [file.name for file in folder.iterdir()] == ["0.json"]


# --- several models ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["weeds", "=folder", "weeds=", "../weeds=folder"])
def test_a_model_that_is_no_name_and_workspace_is_refused_with_an_example(
    run: Any, workspace: Path, text: str
) -> None:
    code, _, err = run("serve", "--port", "0", "--model", text, "-w", workspace)
    assert code == 78
    assert "For example --model weeds=../weeds" in err


def test_a_workspace_is_not_served_twice(run: Any, workspace: Path) -> None:
    code, _, err = run("serve", "--port", "0", "--model", f"again={workspace}", "-w", workspace)
    assert code == 78
    assert "the model again is served already, as" in err


def test_a_key_can_be_for_certain_models(run: Any, workspace: Path) -> None:
    run("keys", "add", "farm", "--model", "weeds", "--model", "rust", "-w", workspace)
    (listed,) = json.loads(run("keys", "list", "--json", "-w", workspace)[1])
    assert listed["models"] == ["weeds", "rust"]


# --- keys --------------------------------------------------------------------------------------------


def test_a_key_alone_is_on_standard_output_so_that_it_can_go_into_a_file(run: Any, workspace: Path) -> None:
    code, out, err = run("keys", "add", "line 7", "--scope", "predict", "-w", workspace)
    assert code == 0
    assert keys_of(workspace).check(out.strip(), "predict").name == "line 7"
    assert "only time" in err
    assert out.strip() not in err


@pytest.mark.parametrize("scope", ALL_SCOPES)
def test_a_key_can_be_made_for_each_scope_that_the_service_asks_for(
    run: Any, workspace: Path, scope: Scope
) -> None:
    code, out, _ = run("keys", "add", "control-room", "--scope", scope, "-w", workspace)
    assert code == 0
    assert keys_of(workspace).check(out.strip(), scope).scopes == (scope,)


def test_a_key_is_made_as_asked_for_and_listed_without_its_secret(run: Any, workspace: Path) -> None:
    options = ["--scope", "predict", "--scope", "feedback", "--rate-limit", "5/second", "--days", "30"]
    made = json.loads(run("keys", "add", "line 7", *options, "--json", "-w", workspace)[1])
    _, listed, _ = run("keys", "list", "--json", "-w", workspace)
    (row,) = json.loads(listed)
    assert (row["id"], row["name"], row["scopes"]) == (made["id"], "line 7", ["predict", "feedback"])
    assert row["rate_limit"] == "5/second"
    assert row["expires_at"] is not None
    secret = made["key"].split("_", 2)[2]
    for text in (listed, run("keys", "list", "-w", workspace)[1]):
        assert secret not in text
        assert "digest" not in text


def test_keys_are_rotated_and_revoked(run: Any, workspace: Path) -> None:
    old = run("keys", "add", "line 7", "-w", workspace)[1].strip()
    new = run("keys", "rotate", old.split("_")[1], "--grace-hours", "1", "-w", workspace)[1].strip()
    for key in (old, new):
        assert keys_of(workspace).check(key, "predict")
    code, out, _ = run("keys", "revoke", new.split("_")[1], "-w", workspace)
    assert (code, out) == (0, f"the key {new.split('_')[1]} of line 7 is no longer valid\n")
    assert [key.id for key in keys_of(workspace).all()] == [old.split("_")[1]]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["keys", "rotate", "0" * 12], 66, "there is no key 000000000000"),
        (["keys", "revoke", "0" * 12], 66, "`maskloop keys list` shows them"),
        (["keys", "add", "x", "--rate-limit", "often"], 78, "the rate limit 'often' cannot be read"),
        (["keys", "add", "x", "--scope", "everything"], 2, "everything"),
        (["keys", "add", "x", "--days", "-1"], 2, "--days"),
        (["serve", "--host", "0.0.0.0"], 78, "maskloop keys add"),
        (["serve", "--port", "70000"], 2, "--port"),
        (["serve", "--host", "203.0.113.1"], 78, "no API key yet"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_exit_code(
    arguments: list[str], code: int, says: str, run: Any, workspace: Path
) -> None:
    ended, out, err = run(*arguments, "-w", workspace)
    assert (ended, out) == (code, "")
    assert says in err
    assert not keys_of(workspace).all()


def test_without_keys_the_list_says_so(run: Any, workspace: Path) -> None:
    assert run("keys", "list", "-w", workspace)[1] == "there is no key yet\n"


# --- asking a service --------------------------------------------------------------------------------


def test_pictures_are_answered_by_a_service_as_by_the_model_itself(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(PNG)
    (pictures / "b.png").write_bytes(PNG[:60])
    world = ServiceWorld(tmp_path, needs_keys=True)
    monkeypatch.setenv("MASKLOOP_API_KEY", world.keys.add("anna"))
    with live(world) as url:
        drawn = tmp_path / "drawn"
        code, out, _ = run("predict", "--url", url, pictures, "--overlays", drawn, "--source", "x", "--json")
        _, table, _ = run("predict", "--url", url, pictures)
    good, bad = json.loads(out)
    assert code == 0
    assert (good["file"], good["model_version"], good["error"]) == (str(pictures / "a.png"), "1", "")
    (instance,) = good["instances"]
    assert set(instance) == {"class_name", "score", "box_xyxy", "segmentation"}
    assert instance["segmentation"]["size"] == [16, 24]
    assert "cannot be decoded" in bad["error"]
    assert [file.name for file in drawn.iterdir()] == ["a.png.overlay.png"]
    assert "2 pictures" in table
    first, overlay, *_ = [(picture.request_id, source) for picture, _, _, source in world.samples.offered]
    assert first == overlay, "a picture and its drawing are one sample"
    assert first[1] == "x"


def test_a_service_that_refuses_or_is_unreachable_is_reported(run: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    with live(ServiceWorld(tmp_path, needs_keys=True)) as url:
        code, _, err = run("predict", "--url", url, "--key", "mlk_1_2", tmp_path / "a.png")
        assert (code, "this API key is not valid" in err) == (77, True)
    code, _, err = run("predict", "--url", "ftp://x", tmp_path / "a.png")
    assert (code, "cannot be asked" in err) == (75, True)


def test_what_a_folder_holds_is_counted_and_nothing_answered_is_a_failure(run: Any, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    (pictures / "left").mkdir(parents=True)
    (pictures / "left" / "a.jfif").write_bytes(write_picture("JPEG"))
    (pictures / "b.gif").write_bytes(write_picture("GIF"))
    with live(ServiceWorld(tmp_path)) as url:
        code, out, _ = run("predict", "--url", url, pictures)
        assert (code, "left/a.jfif" in out) == (0, True)
        assert "2 files: 1 answered, 0 failed, 1 passed over\npassed over: 1 .gif (not JPEG" in out
        code, out, _ = run("predict", "--url", url, pictures / "b.gif")
        assert (code, "1 file: 0 answered, 1 failed" in out) == (65, True)
        code, out, err = run("predict", "--url", url, pictures, "--json", "--min-score", "0.95")
    answered, passed_over = json.loads(out)
    assert (code, answered["name"], answered["instances"]) == (0, "left/a.jfif", [])
    assert (passed_over["name"], passed_over["passed_over"]) == ("b.gif", True)
    assert "2 files: 1 answered" in err


# --- running it --------------------------------------------------------------------------------------


@pytest.mark.server
def test_an_empty_workspace_is_served_says_what_it_waits_for_and_stops_in_order(workspace: Path) -> None:
    (workspace / "maskloop.toml").write_text("[gates]\n[serving]\nstop_notice_s = 0\n")
    command = [sys.executable, "-m", "flows.cli", "serve", "--port", "0", "-w", str(workspace), "--json"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, env=environment
    )
    try:
        assert process.stdout is not None
        said = ""
        while not said.endswith("}\n"):
            said += process.stdout.readline()
        where = json.loads(said)
        assert where["docs"] == f"{where['url']}/docs"
        assert where["model"].startswith("mask-rcnn: nothing was promoted yet. Its predictions answer 503")
        assert where["needs_keys"] is False
        with httpx.Client(base_url=where["url"], transport=httpx.HTTPTransport(retries=50)) as client:
            assert client.get("/healthz").status_code == 200
            refused = client.post("/v1/predict", content=PNG)
            assert client.get("/v1/model", headers={"Host": "evil.example"}).status_code == 400
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0
        assert log.endswith(f"The service at {where['url']} has stopped.\n")
    finally:
        process.kill()
        process.communicate()
