"""Who may ask: keys are shown once, scoped, limited, rotated without an outage and revoked at once."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskloop.errors import (
    ConfigurationError,
    ForbiddenError,
    NotFoundError,
    UnauthorisedError,
    UnavailableError,
)
from serving.access.key_book import ApiKey
from serving.access.keys import KeyStore
from serving.access.limits import RateLimit, RateLimitedError, RateLimiter, read_rate_limit
from tests.fakes.key_book import FakeKeyBook
from tests.fakes.ledger import FakeClock
from tests.fakes.service_world import PNG, ServiceWorld


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def book() -> FakeKeyBook:
    return FakeKeyBook()


@pytest.fixture
def store(book: FakeKeyBook, clock: FakeClock) -> KeyStore:
    return KeyStore(book, clock=clock)


def id_of(key: str) -> str:
    return key.split("_")[1]


# --- the store ---------------------------------------------------------------------------------------


def test_a_key_is_known_again_and_its_secret_is_not_kept(store: KeyStore, book: FakeKeyBook) -> None:
    key = store.add("line 7")
    assert store.check(key, "predict").name == "line 7"
    (kept,) = book.all()
    assert key.split("_", 2)[2] not in kept.model_dump_json()


def test_a_key_needs_a_name(store: KeyStore) -> None:
    with pytest.raises(ConfigurationError, match="needs a name"):
        store.add(" ")
    assert store.all() == []


@pytest.mark.parametrize("change", ["", "secret", "id", "prefix", "nothing there", "not ascii"])
def test_whatever_is_not_exactly_the_key_is_refused(store: KeyStore, change: str) -> None:
    key = store.add("line 7")
    prefix, key_id, secret = key.split("_", 2)
    wrong = {
        "": "",
        "secret": f"{prefix}_{key_id}_{secret[:-1]}",
        "id": f"{prefix}_{'0' * 12}_{secret}",
        "prefix": f"abc_{key_id}_{secret}",
        "nothing there": f"{prefix}_{key_id}",
        "not ascii": f"{prefix}_{key_id}_ü\udcff".encode("utf-8", "replace").decode(),
    }[change]
    with pytest.raises(UnauthorisedError):
        store.check(wrong, "predict")


def test_every_check_compares_digests_in_constant_time(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a key nobody has: the time must not tell which ids exist."""
    compared: list[tuple[Any, Any]] = []
    really = hmac.compare_digest

    def compare(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return really(one, other)

    key = store.add("line 7")
    monkeypatch.setattr("serving.access.keys.hmac.compare_digest", compare)
    store.check(key, "predict")
    for wrong in ("mlk_000000000000_x", key + "x"):
        with pytest.raises(UnauthorisedError):
            store.check(wrong, "predict")
    assert len(compared) == 3
    assert all(len(one) == len(other) == 64 for one, other in compared)


def test_a_key_may_only_do_what_its_scopes_say(store: KeyStore) -> None:
    key = store.add("prometheus", scopes=("metrics",))
    assert store.check(key, "metrics").scopes == ("metrics",)
    with pytest.raises(ForbiddenError, match="does not have the scope predict") as refused:
        store.check(key, "predict")
    assert "maskloop keys add NAME --scope predict" in refused.value.hint


def test_a_rotated_key_works_beside_its_successor_until_the_grace_ends(
    store: KeyStore, clock: FakeClock
) -> None:
    old = store.add("line 7", scopes=("predict",), rate_limit="5/minute")
    new = store.rotate(id_of(old), grace_hours=2.0)
    for key in (old, new):
        assert store.check(key, "predict").rate_limit == "5/minute"
    clock.advance(hours=2)
    with pytest.raises(UnauthorisedError):
        store.check(old, "predict")
    assert store.check(new, "predict").scopes == ("predict",)


def test_a_rotation_never_makes_a_key_live_longer(store: KeyStore, clock: FakeClock) -> None:
    old = store.add("line 7", valid_days=1.0)
    new = store.rotate(id_of(old), grace_hours=1000.0)
    clock.advance(days=1)
    for key in (old, new):
        with pytest.raises(UnauthorisedError):
            store.check(key, "predict")


def test_a_revoked_key_ends_at_once_and_in_another_process_once_it_reads(
    store: KeyStore, book: FakeKeyBook
) -> None:
    key = store.add("line 7")
    running = KeyStore(book)
    assert running.check(key, "predict")
    assert store.revoke(id_of(key)).name == "line 7"
    running.refresh()
    for each in (store, running):
        with pytest.raises(UnauthorisedError):
            each.check(key, "predict")
    with pytest.raises(NotFoundError, match="maskloop keys list"):
        store.revoke(id_of(key))


class AwayBook(FakeKeyBook):
    """A book whose database does not answer once it is away."""

    is_away = False

    def all(self) -> Sequence[ApiKey]:
        if self.is_away:
            raise UnavailableError("the API keys do not answer")
        return super().all()


def test_a_service_without_its_database_goes_on_with_the_keys_that_it_read_last(clock: FakeClock) -> None:
    book = AwayBook()
    running = KeyStore(book, clock=clock)
    key = running.add("line 7", valid_days=1.0)
    book.is_away = True
    with pytest.raises(UnavailableError):
        running.refresh()
    assert running.check(key, "predict").name == "line 7"
    with pytest.raises(UnavailableError):
        KeyStore(book).check(key, "predict")  # one that has read none admits nobody
    clock.advance(days=1)
    with pytest.raises(UnauthorisedError):
        running.check(key, "predict")


def test_keys_are_listed_oldest_first(store: KeyStore, clock: FakeClock) -> None:
    for name in ("one", "two"):
        store.add(name)
        clock.advance(minutes=1)
    assert [key.name for key in store.all()] == ["one", "two"]


# --- over HTTP ---------------------------------------------------------------------------------------


def test_without_a_key_nothing_is_answered_but_health(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path, needs_keys=True)

    async def story(client: httpx.AsyncClient) -> dict[str, httpx.Response]:
        tried = {path: await client.get(path) for path in ("/healthz", "/readyz", "/metrics", "/v1/model")}
        for path in ("/v1/predict", "/v1/predict/batch", "/v1/overlay", "/v1/feedback"):
            tried[path] = await client.post(path, content=PNG)
        return tried

    tried = world.run(story)
    answered = {path for path, answer in tried.items() if answer.status_code == 200}
    assert answered == {"/healthz", "/readyz"}
    for path in set(tried) - answered:
        assert tried[path].status_code == 401, path
        assert tried[path].headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("scope", "statuses"),
    [("predict", (200, 403, 403)), ("feedback", (403, 200, 403)), ("metrics", (403, 403, 200))],
)
def test_a_key_opens_what_it_is_for(tmp_path: Path, scope: Any, statuses: tuple[int, ...]) -> None:
    world = ServiceWorld(tmp_path, needs_keys=True)
    key = world.keys.add("x", scopes=(scope,))

    async def story(client: httpx.AsyncClient) -> tuple[int, ...]:
        said = {"request_id": "r1", "verdict": "right"}
        return (
            (await client.post("/v1/predict", content=PNG)).status_code,
            (await client.post("/v1/feedback", json=said)).status_code,
            (await client.get("/metrics")).status_code,
        )

    assert world.run(story, key=key) == statuses


@pytest.mark.parametrize("header", ["Bearer wrong", "bearer mlk_000000000000_x", "Basic eDp5", "Bearer", "x"])
def test_a_wrong_key_is_refused_on_loopback_too_and_an_empty_one_counts_as_none(
    world: ServiceWorld, header: str
) -> None:
    answer = world.post(content=PNG, headers={"Authorization": header})
    presented = header.lower().startswith("bearer ")
    assert answer.status_code == (401 if presented else 200)


def test_one_keys_limit_is_its_own(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path, needs_keys=True)
    slow, fast = world.keys.add("slow", rate_limit="1/minute"), world.keys.add("fast")

    async def story(client: httpx.AsyncClient) -> list[int]:
        asked = [slow, slow, fast, fast]
        return [
            (await client.get("/v1/model", headers={"Authorization": f"Bearer {key}"})).status_code
            for key in asked
        ]

    assert world.run(story) == [200, 429, 200, 200]


# --- rate limits -------------------------------------------------------------------------------------


def test_workers_share_a_limit_but_each_may_answer_something() -> None:
    limiter = RateLimiter("4/minute", workers=2)
    for _ in range(2):
        limiter.count("one")
    with pytest.raises(RateLimitedError) as refused:
        limiter.count("one")
    assert 1.0 <= refused.value.retry_after_s <= 60.0
    limiter.count("another")
    RateLimiter("1/minute", workers=8).count("one")


SIXTY_FOURTHS_S = st.integers(0, 192).map(lambda number: number / 64)
"""Up to three seconds, in numbers that add up exactly."""


@settings(max_examples=100, deadline=None)
@given(pauses_s=st.lists(SIXTY_FOURTHS_S, max_size=40), amount=st.integers(1, 5))
def test_no_period_exceeds_the_rate_limit_and_no_client_waits_longer_than_told(
    pauses_s: list[float], amount: int
) -> None:
    limiter, now, answered = RateLimiter(f"{amount}/2 second"), 0.0, []
    with patch("serving.access.limits.time.monotonic", lambda: now):
        for pause_s in pauses_s:
            now += pause_s
            try:
                limiter.count("one")
                answered.append(now)
            except RateLimitedError as refused:
                assert len([then for then in answered if then > now - 2.0]) == amount
                now += refused.retry_after_s
                limiter.count("one")
                answered.append(now)
    for begin in answered:
        assert len([then for then in answered if begin <= then < begin + 2.0 - 1e-9]) <= amount


def test_clients_that_came_only_once_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.access.limits._MAX_CLIENTS", 10)
    limiter, now = RateLimiter("1/minute"), 0.0
    with patch("serving.access.limits.time.monotonic", lambda: now):
        for number in range(100):
            now += 30.0
            limiter.count(f"client {number}")
        with pytest.raises(RateLimitedError):
            limiter.count("client 99")
    assert len(limiter._asked) <= 11


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [
        ("6000/minute", 6000, 60),
        (" 5 / 2 second ", 5, 2),
        ("100 per 5 minutes", 100, 300),
        ("1 per hour", 1, 3600),
        ("10/3days", 10, 3 * 86_400),
        ("4/Minute", 4, 60),
        ("1/second; 5/minute", 1, 1),
    ],
)
def test_a_limit_is_an_amount_and_a_time(text: str, amount: int, seconds: float) -> None:
    assert read_rate_limit(text) == RateLimit(amount, seconds)


@pytest.mark.parametrize(
    "text",
    ["", "often", "5/fortnight", "-1/minute", "5minute", "٣/day", "5/minute x"],
)
def test_a_rate_limit_that_cannot_be_parsed_is_reported(text: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_rate_limit(text)
