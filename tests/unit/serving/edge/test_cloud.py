"""Uncertain pictures go to the cloud service; when it cannot be reached, the device answers and says so."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest

from maskloop.errors import UnauthorisedError, UnavailableError
from serving.client import Client
from serving.edge.cloud import REST_S, CloudLink, CloudOpinion, send_oldest
from serving.edge.doubt import measure_doubt
from serving.edge.manifest import CloudRule
from serving.edge.outbox import Outbox
from serving.schemas import Asked, PredictAnswer
from tests.fakes.ledger import FakeClock
from tests.fakes.serving_world import detect, make_answer, make_picture

EXAMPLE = PredictAnswer.model_validate(PredictAnswer.model_json_schema()["example"])
RULE = CloudRule(
    max_doubt=0.5,
    wanted_share=0.1,
    share=0.1,
    cloud_version="2",
    quality_edge=0.8,
    quality_hybrid=0.9,
    quality_cloud=0.9,
    num_chosen_on=10,
    num_measured_on=10,
)


class Cloud:
    """A service that answers as a test says, and remembers what it was asked."""

    def __init__(self, status: int = 200) -> None:
        self.status, self.asked = status, list[httpx.Request]()
        self.error: Exception | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.error:
            raise self.error
        if self.status != 200:
            problem = {"title": "no", "status": self.status, "detail": "not today"}
            return httpx.Response(self.status, json=problem)
        request_id = request.headers["x-request-id"]
        told = EXAMPLE.model_copy(update={"request_id": request_id})
        return httpx.Response(200, json=told.model_dump(mode="json"))


class World:
    """A link to a cloud, an outbox, and who answered."""

    def __init__(self, folder) -> None:
        self.cloud, self.seconds = Cloud(), 0.0
        client = Client("http://cloud", transport=httpx.MockTransport(self.cloud), attempts=1)
        self.link = CloudLink(client, now=lambda: self.seconds)
        self.answered, self.sent = list[tuple[str, str]](), list[str]()
        self.outbox = Outbox(
            folder,
            max_bytes=10_000,
            rate=1.0,
            is_uncertain=lambda _answer: False,
            clock=FakeClock(),
            tell=lambda _outcome: None,
        )

    def hear(self, score: float, link: Any = "own", **asked: Any) -> PredictAnswer:
        answer = make_answer(score=score)
        rendered = EXAMPLE.model_copy(update={"request_id": "r1"})
        opinion = CloudOpinion(
            self.link if link == "own" else link,
            RULE,
            self.outbox,
            lambda by, cause: self.answered.append((by, cause)),
        )
        return asyncio.run(opinion.hear(rendered, answer, b"picture", Asked(**asked)))

    def keep(self, *ids: str) -> None:
        for request_id in ids:
            self.outbox.offer(make_picture(request_id), make_answer())
        self.outbox.close()

    def send(self) -> None:
        send_oldest(self.link, self.outbox, self.sent.append)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "outbox")
    yield made
    made.outbox.close()


def test_doubt_is_how_near_the_most_doubtful_score_is_to_its_threshold():
    pixels = np.full((8, 8, 3), 255, np.uint8)
    doubts = {score: measure_doubt(detect(pixels, score=score), 0.5) for score in (0.0, 0.25, 0.5, 0.75, 1.0)}
    assert doubts == pytest.approx({0.0: 0.0, 0.25: 0.5, 0.5: 1.0, 0.75: 0.5, 1.0: 0.0})
    assert measure_doubt(detect(pixels, score=0.9, class_index=1), (0.5, 0.9)) == pytest.approx(1.0)
    assert measure_doubt(detect(pixels, score=0.9), 1.0) == pytest.approx(0.9)
    assert measure_doubt(detect(np.zeros((8, 8, 3), np.uint8)), 0.5) == 0.0


def test_a_certain_answer_stays_on_the_device_and_says_so(world):
    said = world.hear(0.95)
    assert (said.edge.answered_by, world.cloud.asked) == ("edge", [])
    assert "at most 0.500" in said.edge.reason
    assert world.answered == [("edge", "certain")]


def test_an_uncertain_picture_is_answered_by_the_cloud_as_it_was_asked_for_under_the_same_id(world):
    said = world.hear(0.55, masks="none", min_score=0.2, tile_px=512, tile_overlap_px=10, source="line 3")
    (request,) = world.cloud.asked
    assert request.content == b"picture"
    assert request.headers["x-request-id"] == said.request_id == "r1"
    assert dict(request.url.params) == {
        "masks": "none",
        "min_score": "0.2",
        "tile_px": "512",
        "tile_overlap_px": "10",
        "max_instances": "300",
        "source": "line 3",
    }
    assert said.edge.answered_by == "cloud"
    assert world.answered == [("cloud", "uncertain")]


@pytest.mark.parametrize("status", [503, 500, 401, 422])
def test_a_cloud_that_gives_no_answer_leaves_the_devices_own_which_says_why(world, status):
    world.cloud.status = status
    said = world.hear(0.55)
    assert said.edge.answered_by == "edge"
    assert "gave no answer: not today" in said.edge.reason
    assert said.instances == EXAMPLE.instances
    assert world.answered == [("edge", "cloud_failed")]


def test_a_cloud_that_cannot_be_reached_is_left_alone_for_a_while(world):
    world.cloud.error = httpx.ConnectError("no route")
    assert "cannot be reached" in world.hear(0.55).edge.reason
    assert "a moment ago" in world.hear(0.55).edge.reason
    assert len(world.cloud.asked) == 1
    world.cloud.error, world.seconds = None, REST_S
    assert world.hear(0.55).edge.answered_by == "cloud"


def test_without_a_cloud_the_device_answers_and_says_that_none_is_named(world):
    assert "no cloud service is named" in world.hear(0.55, link=None).edge.reason
    assert world.answered == [("edge", "no_cloud")]


def test_an_error_nobody_expected_costs_no_answer(world):
    class Broken:
        def ask(self, *_args):
            raise ZeroDivisionError

    assert "ZeroDivisionError" in world.hear(0.55, link=Broken()).edge.reason


def test_samples_go_to_the_cloud_under_their_own_ids_and_leave_the_outbox(world):
    world.keep("r1", "r2")
    for _ in range(3):
        world.send()
    assert sorted(one.headers["x-request-id"] for one in world.cloud.asked) == ["r1", "r2"]
    assert {one.content for one in world.cloud.asked} == {b"bytes of r1", b"bytes of r2"}
    assert (world.sent, world.outbox.counts()[0]) == (["sent", "sent"], 0)


@pytest.mark.parametrize(("status", "error"), [(503, UnavailableError), (401, UnauthorisedError)])
def test_a_sample_that_cannot_be_sent_now_stays(world, status, error):
    world.keep("r1")
    world.cloud.status = status
    with pytest.raises(error):
        world.send()
    assert (world.sent, world.outbox.counts()[0]) == ([], 1)


def test_a_sample_that_the_cloud_does_not_take_is_counted_and_holds_nothing_up(world):
    world.keep("r1")
    world.cloud.status = 415
    world.send()
    assert (world.sent, world.outbox.counts()[0]) == (["refused"], 0)


def test_a_device_that_died_before_it_took_a_sample_out_sends_it_again_under_the_same_id(world):
    world.keep("r1")
    _, sample = world.outbox.oldest()
    world.link.ask(sample.data, {"request_id": sample.request_id})
    world.send()
    assert [one.headers["x-request-id"] for one in world.cloud.asked] == ["r1", "r1"]
    assert world.outbox.counts()[0] == 0
