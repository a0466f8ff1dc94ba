"""The client waits its turn: the same id again after a broken connection or a rush, and never for ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from maskloop.errors import (
    DataError,
    DeadlineError,
    ForbiddenError,
    MaskloopError,
    NotFoundError,
    OverloadedError,
    PictureError,
    UnauthorisedError,
    UnavailableError,
)
from serving.client import Client
from serving.schemas import PredictAnswer, Problem
from tests.fakes.live_service import live
from tests.fakes.service_world import PNG, ServiceWorld

EXAMPLE: dict[str, Any] = PredictAnswer.model_json_schema()["example"]
Reply = httpx.Response | Exception


class Scripted:
    """A service that says what a test wants, one after the other, and remembers what it was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[httpx.Request] = []
        self.pauses: list[float] = []

    def client(self, **options: Any) -> Client:
        transport = httpx.MockTransport(self._reply)
        return Client("http://service", transport=transport, pause=self.pauses.append, **options)

    def _reply(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply


def ok() -> httpx.Response:
    return httpx.Response(200, json=EXAMPLE)


def problem(status: int, detail: str = "no", *, retry_after: str = "") -> httpx.Response:
    body = Problem(title="x", status=status, detail=detail, request_id="r1").model_dump()
    return httpx.Response(status, json=body, headers={"Retry-After": retry_after} if retry_after else {})


# --- trying again ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        lambda: httpx.ConnectError("refused"),
        lambda: httpx.ReadError("reset"),
        lambda: httpx.RemoteProtocolError("closed without an answer"),
        lambda: problem(503, retry_after="1"),
        lambda: problem(429, retry_after="1"),
    ],
)
def test_a_request_is_retried_under_its_id_after_a_broken_connection_or_a_busy_service(
    trouble: Callable[[], Reply],
) -> None:
    service = Scripted(trouble(), trouble(), ok())
    with service.client() as client:
        assert client.predict(PNG).instances[0].class_name == "bolt"
    assert len(service.asked) == 3
    assert len({request.headers["x-request-id"] for request in service.asked}) == 1
    assert {request.content for request in service.asked} == {PNG}
    assert len(service.pauses) == 2


def test_pauses_between_retries_follow_the_service_or_grow_up_to_a_limit() -> None:
    asked_for = Scripted(problem(503, retry_after="3"), problem(429, retry_after="999"), problem(503), ok())
    asked_for.client().predict(PNG)
    first, second, third = asked_for.pauses
    assert 3.0 <= first <= 3.9
    assert 10.0 <= second <= 13.0
    assert 1.0 <= third <= 1.3
    broken = Scripted(httpx.ConnectError("refused"))
    with pytest.raises(UnavailableError):
        broken.client(attempts=4).predict(PNG)
    assert all(later > earlier for earlier, later in zip(broken.pauses, broken.pauses[1:], strict=False))


def test_the_last_error_is_reported_in_plain_words_when_the_retries_are_used_up() -> None:
    service = Scripted(httpx.ConnectError("refused"), problem(503, "more come than can be answered"))
    with pytest.raises(OverloadedError, match=r"more come than can be answered \[request r1\]"):
        service.client(attempts=3).predict(PNG)
    assert len(service.asked) == 3
    with pytest.raises(UnavailableError, match=r"cannot be reached: refused \(http://service\)"):
        Scripted(httpx.ConnectError("refused")).client(attempts=2).predict(PNG)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (problem(401), UnauthorisedError),
        (problem(403), ForbiddenError),
        (problem(404), NotFoundError),
        (problem(413), PictureError),
        (problem(415), PictureError),
        (problem(422), DataError),
        (problem(400), DataError),
        (problem(500), UnavailableError),
        (problem(504), DeadlineError),
        (httpx.Response(502, text="<html>bad gateway"), UnavailableError),
        (httpx.Response(200, text="<html>hello"), DataError),
        (httpx.Response(200, json={}), DataError),
        (httpx.Response(302, headers={"Location": "http://elsewhere"}), DataError),
        (httpx.ReadTimeout("slow"), UnavailableError),
        (httpx.UnsupportedProtocol("ftp"), UnavailableError),
    ],
)
def test_what_another_attempt_would_not_change_is_said_at_once(
    reply: Reply, kind: type[MaskloopError]
) -> None:
    service = Scripted(reply)
    with pytest.raises(kind) as refused:
        service.client().predict(PNG)
    assert type(refused.value) is kind
    assert len(service.asked) == 1
    assert service.pauses == []


# --- what is sent ------------------------------------------------------------------------------------


def test_options_go_where_they_belong_and_nothing_else_is_said() -> None:
    service = Scripted(ok())
    client = service.client(key="mlk_1_2")
    client.predict(PNG, masks="polygon", min_score=0.2, tile_px=512, request_id="r7", sticky_key="camera 7")
    client.predict(PNG)
    first, second = service.asked
    assert dict(first.url.params) == {"masks": "polygon", "min_score": "0.2", "tile_px": "512"}
    assert (first.headers["x-request-id"], first.headers["x-sticky-key"]) == ("r7", "camera 7")
    assert first.headers["authorization"] == "Bearer mlk_1_2"
    assert dict(second.url.params) == {}
    assert "x-sticky-key" not in second.headers
    assert second.headers["x-request-id"] != "r7"


def test_feedback_is_checked_before_it_is_sent() -> None:
    service = Scripted(httpx.Response(200, json={"request_id": "r1", "becomes_a_label": True}))
    client = service.client()
    mask = {"size": [2, 2], "counts": "04"}
    assert client.feedback("r1", "wrong", instances=[{"class_name": "nut", "mask": mask}]).becomes_a_label
    sent = json.loads(service.asked[0].content)
    assert sent["instances"][0]["mask"] == mask
    for wrong in ({"instances": [{"mask": mask}]}, {"note": "x" * 3000}):
        with pytest.raises(DataError, match="this is no feedback"):
            client.feedback("r1", "wrong", **wrong)
    assert len(service.asked) == 1


def test_an_unreadable_picture_and_an_invalid_address_are_reported(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="cannot be read: No such file"):
        Scripted(ok()).client().predict(tmp_path / "none.png")
    with pytest.raises(DataError, match="no address of a service"):
        Client("http://host:port")


# --- against the service itself ----------------------------------------------------------------------


def test_every_call_works_against_the_service_over_a_socket(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path, needs_keys=True)
    (tmp_path / "a.png").write_bytes(PNG)
    with live(world) as url, Client(url, key=world.keys.add("anna")) as client:
        one = client.predict(tmp_path / "a.png", masks="none", request_id="r1")
        assert (one.request_id, one.instances[0].mask) == ("r1", None)
        many = client.predict_batch([tmp_path / "a.png", PNG, b"x"])
        assert [(item.file, item.problem is None) for item in many.results] == [
            ("a.png", True),
            ("1", True),
            ("2", False),
        ]
        assert client.overlay(PNG).startswith(b"\x89PNG")
        assert client.model().class_names == ["bolt", "nut"]
        assert not client.feedback("r1", "right").becomes_a_label
        with pytest.raises(PictureError, match="no JPEG, PNG"):
            client.predict(b"x")
    with live(world) as url, Client(url) as stranger, pytest.raises(UnauthorisedError):
        stranger.model()
