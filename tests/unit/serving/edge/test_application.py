"""The service of a bundle over fakes: the routes of the full service, the bundle's model, and its outbox."""

from __future__ import annotations

import asyncio
import json
import socket
from unittest.mock import patch

import httpx
import pytest

from dataset.pictures.decoding import open_picture
from maskloop.errors import ConfigurationError, IntegrityError
from maskloop.settings.workspace_settings import ServingSettings
from serving.client import Client
from serving.edge.assembly import EdgeOptions, make_application, open_keys
from serving.edge.checking import answer_check, refuse_other_answers
from serving.edge.manifest import BundleManifest, read_manifest
from serving.edge.starting import MANIFEST_FILE
from serving.schemas import PredictAnswer
from tests.fakes.live_service import live
from tests.fakes.service_world import PNG, DirectDecoder, ServiceWorld, write_picture
from tests.fakes.serving_world import FakePredictor
from tests.unit.serving.edge.test_cloud import RULE


def make_manifest(**changes) -> BundleManifest:
    told = {
        "model_name": "parts",
        "version": "7",
        "weights_digest": "7" * 64,
        "blessing_id": "b" * 64,
        "format": "openvino-int8",
        "export_digest": "e" * 64,
        "parity": {},
        "rule": RULE,
        "sampling_rate": 1.0,
        "max_picture_mpx": 1.0,
        "checks": (),
        "files": {},
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    return BundleManifest.model_validate({**told, **changes})


class Device:
    """A bundle's application, with a model that finds what is bright."""

    def __init__(self, folder, *, score: float = 0.95, cloud_url: str = "", **changes) -> None:
        self.folder, self.score, self.cloud_url, self.changes = folder, score, cloud_url, changes

    def run(self, story, host: str = "127.0.0.1"):
        async def told():
            settings = ServingSettings(host=host, max_batch=1)
            options = EdgeOptions(state=self.folder / "state", cloud_url=self.cloud_url)
            predictor = FakePredictor(score=self.score, weights_digest="7" * 64)
            with patch("serving.answering.decoding.AsyncSandboxedDecoder", DirectDecoder):
                manifest = make_manifest(**self.changes)
                app = make_application(self.folder, manifest, predictor, settings, options)
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
            ):
                return await story(client)

        return asyncio.run(told())

    def predict(self, **options) -> PredictAnswer:
        async def story(client):
            return await client.post("/v1/predict", content=PNG, **options)

        return PredictAnswer.model_validate_json(self.run(story).content)

    def waiting(self) -> list[str]:
        return sorted(file.name for file in (self.folder / "state/outbox").glob("*.sample"))


@pytest.fixture
def closed_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_it_answers_as_the_service_does_and_names_version_blessing_and_library(tmp_path):
    said = Device(tmp_path).predict()
    assert [one.class_name for one in said.instances] == ["bolt"]
    assert (said.model.version, said.model.blessing_id, said.model.engine) == ("7", "b" * 64, "openvino-int8")
    assert said.edge is not None
    assert said.edge.answered_by == "edge"


def test_health_readiness_metrics_and_model_are_where_the_service_has_them(tmp_path):
    async def story(client):
        await client.post("/v1/predict", content=PNG)
        paths = ("/healthz", "/readyz", "/metrics", "/v1/model")
        return [await client.get(path) for path in paths]

    alive, ready, metrics, model = Device(tmp_path).run(story)
    assert (alive.json(), ready.json()) == ({"status": "alive"}, {"status": "ready"})
    assert 'maskloop_edge_answers_total{answered_by="edge",cause="certain"} 1.0' in metrics.text
    assert "maskloop_edge_outbox_samples" in metrics.text
    assert "maskloop_requests_total" in metrics.text
    assert model.json()["engine_reason"] == "the bundle holds no other"


def test_several_pictures_overlays_and_bad_input_are_answered_as_by_the_service(tmp_path):
    async def story(client):
        files = [("pictures", ("a.png", PNG)), ("pictures", ("b.png", b"no picture"))]
        batch = await client.post("/v1/predict/batch", files=files)
        drawn = await client.post("/v1/overlay", content=PNG)
        broken = await client.post("/v1/predict", content=b"no picture")
        return batch, drawn, broken

    batch, drawn, broken = Device(tmp_path).run(story)
    first, second = batch.json()["results"]
    assert first["answer"]["instances"]
    assert second["problem"]["status"] == broken.status_code == 415
    assert drawn.headers["content-type"] == "image/png"


def test_answers_wait_in_the_outbox_when_the_cloud_is_away(tmp_path, closed_port):
    device = Device(tmp_path, score=0.55, cloud_url=f"http://127.0.0.1:{closed_port}", sampling_rate=0.0)
    said = device.predict(headers={"X-Request-Id": "r1"})
    assert said.edge is not None
    assert said.edge.answered_by == "edge"
    assert "gave no answer" in said.edge.reason
    assert len(device.waiting()) == 1


def test_a_bundle_without_a_rule_asks_nobody_and_says_nothing_of_it(tmp_path):
    assert Device(tmp_path, score=0.55, rule=None).predict().edge is None


def test_feedback_belongs_to_the_cloud_service(tmp_path):
    async def story(client):
        return await client.post("/v1/feedback", json={"request_id": "r1", "verdict": "right"})

    answer = Device(tmp_path).run(story)
    assert (answer.status_code, "cloud service" in answer.json()["detail"]) == (404, True)


def test_other_machines_need_a_key(tmp_path):
    async def ask(client, **headers):
        return await client.post("/v1/predict", content=PNG, headers=headers)

    device = Device(tmp_path)
    with pytest.raises(ConfigurationError, match="no API key"):
        device.run(ask, host="0.0.0.0")
    key = open_keys(tmp_path / "state").add("camera")
    assert device.run(ask, host="0.0.0.0").status_code == 401
    allowed = device.run(lambda client: ask(client, Authorization=f"Bearer {key}"), host="0.0.0.0")
    assert allowed.status_code == 200


def test_keys_are_rotated_revoked_and_read_by_their_owner_alone(tmp_path):
    keys = open_keys(tmp_path)
    keys.add("camera")
    (old,) = keys.all()
    keys.rotate(old.id)
    assert len(open_keys(tmp_path).all()) == 2
    keys.revoke(old.id)
    (new,) = open_keys(tmp_path).all()
    assert new.name == "camera"
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(IntegrityError, match="API keys"):
        open_keys(tmp_path)


@pytest.mark.server
def test_a_real_cloud_answers_uncertain_pictures_and_gets_what_waited_each_once(tmp_path, closed_port):
    away = Device(tmp_path, score=0.55, cloud_url=f"http://127.0.0.1:{closed_port}", sampling_rate=0.0)
    away.predict(headers={"X-Request-Id": "offline"})
    world = ServiceWorld(tmp_path)
    with live(world) as url:
        back = Device(tmp_path, score=0.55, cloud_url=url, sampling_rate=0.0)

        async def story(client):
            first = await client.post("/v1/predict", content=PNG, headers={"X-Request-Id": "online"})
            async with asyncio.timeout(20):
                while back.waiting():
                    await asyncio.sleep(0.05)
            return first

        said = PredictAnswer.model_validate_json(back.run(story).content)
        with Client(url) as client:
            assert client.predict(PNG, request_id="last").request_id == "last"
    assert said.edge is not None
    assert (said.edge.answered_by, said.model.version) == ("cloud", "1")
    got = [picture.request_id for picture, *_ in world.samples.offered]
    assert sorted(got) == ["last", "offline", "online"]


def test_a_stored_picture_that_is_answered_otherwise_stops_the_start(tmp_path):
    decoded = open_picture(PNG, max_mpx=1.0)
    check = answer_check(FakePredictor(score=0.9), "a.png", decoded)
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "a.png").write_bytes(PNG)
    manifest = make_manifest(checks=(check,))

    def start(**options) -> None:
        refuse_other_answers(
            tmp_path, manifest, FakePredictor(**options), lambda data: open_picture(data, max_mpx=1.0)
        )

    start(score=0.9)
    start(score=0.87)
    with pytest.raises(IntegrityError, match=r"the bolt of score 0\.90 is not found again"):
        start(score=0.8)
    with pytest.raises(IntegrityError, match="answers otherwise"):
        start(score=0.9, class_index=1)
    (tmp_path / "checks" / "a.png").write_bytes(write_picture(pixels=decoded.pixels[::-1].copy()))
    with pytest.raises(IntegrityError):
        start(score=0.9)


def test_a_picture_in_which_more_is_told_than_was_stops_the_start(tmp_path):
    check = answer_check(FakePredictor(score=0.4), "a.png", open_picture(PNG, max_mpx=1.0))
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "a.png").write_bytes(PNG)
    with pytest.raises(IntegrityError, match="1 instances are told, and 0 were"):
        refuse_other_answers(
            tmp_path,
            make_manifest(checks=(check,)),
            FakePredictor(score=0.9),
            lambda data: open_picture(data, max_mpx=1.0),
        )


def test_a_manifest_is_read_back_and_anything_else_is_refused(tmp_path):
    (tmp_path / MANIFEST_FILE).write_text(make_manifest().model_dump_json())
    assert read_manifest(tmp_path) == make_manifest()
    (tmp_path / MANIFEST_FILE).write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(IntegrityError, match="manifest"):
        read_manifest(tmp_path)
