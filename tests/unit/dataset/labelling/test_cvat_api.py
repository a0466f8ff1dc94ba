from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dataset.labelling.cvat_api import CvatApi
from maskloop.errors import (
    ConfigurationError,
    DataError,
    MaskloopError,
    NotFoundError,
    StorageError,
    UnavailableError,
)


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", "a.token")


def api_of(answer: Callable[[httpx.Request], httpx.Response], **options: str) -> CvatApi:
    transport = httpx.MockTransport(answer)
    return CvatApi("http://cvat/", "", transport=transport, sleep=lambda _: None, **options)


@pytest.mark.parametrize(
    ("token", "header"), [("abcdefgh.XYZ", "Bearer abcdefgh.XYZ"), ("0a" * 20, f"Token {'0a' * 20}")]
)
def test_each_kind_of_token_has_its_header_and_the_organization_is_told(
    token: str, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", token)
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={})

    api_of(answer, organization="acme").get("/api/projects")
    assert asked[0].headers["Authorization"] == header
    assert asked[0].headers["X-Organization"] == "acme"
    assert asked[0].headers["Accept"] == "application/vnd.cvat+json"


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (401, ConfigurationError, "CVAT refuses the token in CVAT_ACCESS_TOKEN"),
        (403, ConfigurationError, "CVAT does not allow this with the token in CVAT_ACCESS_TOKEN: the reason"),
        (404, NotFoundError, "CVAT has no such thing any more"),
        (400, DataError, "CVAT refuses this with status 400"),
        (429, UnavailableError, "CVAT failed with status 429"),
        (503, UnavailableError, "CVAT failed with status 503"),
    ],
)
def test_each_kind_of_failure_has_its_error(status: int, error: type[MaskloopError], message: str) -> None:
    api = api_of(lambda _: httpx.Response(status, json={"detail": "the reason"}))
    with pytest.raises(error, match=message):
        api.get("/api/projects")


def test_what_the_server_says_of_a_field_is_told() -> None:
    api = api_of(lambda _: httpx.Response(400, json={"name": ["too long"]}))
    with pytest.raises(DataError) as raised:
        api.post("/api/tasks", json={})
    assert "too long" in str(raised.value)


def test_a_server_that_is_not_cvat_is_named() -> None:
    contents: list[dict[str, Any]] = [{"text": "<html>"}, {"json": {"something": "else"}}, {"json": []}]
    for content in contents:
        api = api_of(lambda _, content=content: httpx.Response(200, **content))  # type: ignore[misc]
        with pytest.raises(DataError, match="not one of CVAT"):
            api.list_all("/api/projects", {})


def test_a_list_is_read_again_when_an_entry_hid_behind_a_deleted_one() -> None:
    """Entry 1 is deleted between the two pages: 3 moves to the first page, which was read already."""
    answers = iter(
        [
            {"count": 4, "next": "x", "results": [{"id": 1}, {"id": 2}]},
            {"count": 3, "next": None, "results": [{"id": 4}]},
            {"count": 3, "next": "x", "results": [{"id": 2}, {"id": 3}]},
            {"count": 3, "next": None, "results": [{"id": 4}]},
        ]
    )
    api = api_of(lambda _: httpx.Response(200, json=next(answers)))
    assert [one["id"] for one in api.list_all("/api/tasks", {})] == [2, 3, 4]


def test_a_list_that_changes_all_the_time_is_no_list() -> None:
    api = api_of(lambda _: httpx.Response(200, json={"count": 5, "next": None, "results": [{"id": 1}]}))
    with pytest.raises(UnavailableError, match="changes while it is read"):
        api.list_all("/api/tasks", {})


def test_work_in_the_background_is_waited_for_but_not_for_ever() -> None:
    statuses = iter(["queued", "started", "finished"])
    api_of(lambda _: httpx.Response(200, json={"status": next(statuses)})).wait_for("work")
    with pytest.raises(UnavailableError, match="still preparing"):
        api_of(lambda _: httpx.Response(200, json={"status": "started"})).wait_for("work")
    failed = {"status": "failed", "message": "Traceback\n  ...\nOSError: truncated"}
    with pytest.raises(StorageError, match="could not take the pictures: OSError: truncated"):
        api_of(lambda _: httpx.Response(200, json=failed)).wait_for("work")
