from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from dataset.labelling.label_studio_api import LabelStudioApi
from maskloop.errors import DataError, MaskloopError, NotFoundError, UnavailableError
from tests.fakes.label_studio_server import PERSONAL_TOKEN, FakeLabelStudio


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_TOKEN", PERSONAL_TOKEN)


def api_of(answer: Callable[[httpx.Request], httpx.Response]) -> LabelStudioApi:
    def answered(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/token/refresh":
            return httpx.Response(200, json={"access": "short-lived"})
        return answer(request)

    return LabelStudioApi("http://studio/", "STUDIO_TOKEN", transport=httpx.MockTransport(answered))


def test_a_short_lived_token_is_asked_for_once_and_again_when_it_has_expired() -> None:
    server = FakeLabelStudio()
    api = LabelStudioApi("http://studio", "STUDIO_TOKEN", transport=server.transport)
    api.get("/api/projects")
    api.get("/api/projects")
    assert server.requests.count("POST /api/token/refresh") == 1
    server.expire()
    api.get("/api/projects")
    assert server.requests.count("POST /api/token/refresh") == 2


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (404, NotFoundError, "Label Studio has no such thing any more"),
        (400, DataError, "Label Studio refuses this with status 400"),
        (429, UnavailableError, "Label Studio failed with status 429"),
        (503, UnavailableError, "Label Studio failed with status 503"),
    ],
)
def test_each_kind_of_failure_has_its_error_and_tells_what_the_server_said(
    status: int, error: type[MaskloopError], message: str
) -> None:
    api = api_of(lambda _: httpx.Response(status, json={"detail": "the reason"}))
    with pytest.raises(error, match=message) as raised:
        api.get("/api/projects")
    assert "The reason" in str(raised.value)
    assert "http://studio/api/projects" in str(raised.value)


def test_a_server_that_is_not_label_studio_is_named() -> None:
    for content in ({"text": "<html>"}, {"json": {"something": "else"}}):
        api = api_of(lambda _, content=content: httpx.Response(200, **content))  # type: ignore[misc]
        with pytest.raises(DataError, match="not one of Label Studio"):
            list(api.pages("/api/projects", "results", {}))


def test_a_server_that_fails_while_it_exchanges_the_token_is_unavailable() -> None:
    api = LabelStudioApi(
        "http://studio", "STUDIO_TOKEN", transport=httpx.MockTransport(lambda _: httpx.Response(503))
    )
    with pytest.raises(UnavailableError, match="status 503"):
        api.get("/api/projects")


def test_a_list_that_became_shorter_between_two_pages_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset.labelling.label_studio_api._PAGE_SIZE", 1)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.params["page"] == "1":
            return httpx.Response(200, json={"tasks": [{"id": 1}]})
        return httpx.Response(404, json={"detail": "Invalid page."})

    assert list(api_of(answer).pages("/api/tasks", "tasks", {})) == [{"id": 1}]
