"""The pages for people: who may see them, and how they are sent."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import httpx
import pytest

from maskloop.errors import NotFoundError
from serving.access.key_book import Scope
from tests.fakes.service_world import ServiceWorld


def read_page(name: str) -> tuple[bytes, str]:
    pages = {"on-call.html": b"<p>all is well", "plotly.min.js": b"let a", "drift/w/drift.html": b"<p>drift"}
    if name not in pages:
        raise NotFoundError("there is no such page", where=name)
    return pages[name], Path(name).suffix


def with_pages(directory: Path, *, needs_keys: bool = False) -> ServiceWorld:
    world = ServiceWorld(directory, needs_keys=needs_keys)
    world.read_page = read_page
    return world


def get(world: ServiceWorld, path: str, *, key: str = "", **headers: str) -> httpx.Response:
    async def story(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get(path, headers=headers)

    response: httpx.Response = world.run(story, key=key)
    return response


@pytest.fixture
def world(tmp_path: Path) -> ServiceWorld:
    return with_pages(tmp_path)


def test_a_person_who_opens_the_folder_is_led_to_what_is_wrong_now(world: ServiceWorld) -> None:
    for path in ("/views", "/views/"):
        response = get(world, path)
        assert (response.status_code, response.headers["location"]) == (307, "/views/on-call.html")


@pytest.mark.parametrize(
    ("path", "kind", "caching"),
    [
        ("/views/on-call.html", "text/html; charset=utf-8", "no-store"),
        ("/views/drift/w/drift.html", "text/html; charset=utf-8", "no-store"),
        ("/views/plotly.min.js", "text/javascript; charset=utf-8", "private, max-age=86400"),
    ],
)
def test_a_page_is_sent_with_its_kind(world: ServiceWorld, path: str, kind: str, caching: str) -> None:
    response = get(world, path)
    assert (response.status_code, response.headers["content-type"]) == (200, kind)
    assert (response.headers["cache-control"], response.headers["x-content-type-options"]) == (
        caching,
        "nosniff",
    )


def test_a_page_that_is_not_there_is_a_problem_in_plain_words(world: ServiceWorld) -> None:
    response = get(world, "/views/nothing.html")
    assert (response.status_code, response.json()["detail"]) == (404, "there is no such page")


@pytest.mark.parametrize(("scope", "status"), [("views", 200), ("metrics", 403), ("predict", 403)])
def test_with_keys_only_one_for_views_shows_a_page(tmp_path: Path, scope: Scope, status: int) -> None:
    world = with_pages(tmp_path, needs_keys=True)
    key = world.keys.add("x", scopes=(scope,))
    assert get(world, "/views/on-call.html", key=key).status_code == status
    for path in ("/views/on-call.html", "/views/nothing.html", "/views"):
        assert get(world, path).status_code == 401


@pytest.mark.parametrize(("part", "status"), [("document", 200), ("iframe", 403), ("empty", 403)])
def test_a_page_may_be_opened_from_a_link_in_a_message_and_not_framed_or_fetched(
    world: ServiceWorld, part: str, status: int
) -> None:
    asked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": part}
    response = get(world, "/views/on-call.html", **asked)
    assert response.status_code == status
    if status == 200:
        assert response.headers["x-frame-options"] == "SAMEORIGIN"


def test_a_service_without_pages_has_no_such_route(tmp_path: Path) -> None:
    assert get(ServiceWorld(tmp_path), "/views/on-call.html").status_code == 404


def test_many_who_wait_for_a_page_hold_nothing_else_up(world: ServiceWorld) -> None:
    is_made = threading.Event()

    def make(name: str) -> tuple[bytes, str]:
        assert is_made.wait(60)
        return name.encode(), ".html"

    world.read_page = make

    async def story(client: httpx.AsyncClient) -> tuple[int, list[int]]:
        waiting = [asyncio.create_task(client.get("/views/debug.html")) for _ in range(40)]
        await asyncio.sleep(0)
        figures = await asyncio.wait_for(client.get("/metrics"), 30)
        is_made.set()
        return figures.status_code, [one.status_code for one in await asyncio.gather(*waiting)]

    assert world.run(story) == (200, [200] * 40)
