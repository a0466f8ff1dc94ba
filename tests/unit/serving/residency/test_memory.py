"""Requests and memory together: one load for all that wait, no model unloaded while it answers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from maskloop.errors import OverloadedError, RefusedError, UnavailableError
from serving.answering.hosting import ModelHost
from serving.observing import SilentObserver
from serving.residency.memory import MIB, Memory, QuotaError
from tests.fakes.serving_world import FakeSource, Gate


class Models:
    """Hosts over fake sources in one memory, by name. Each version weighs 10 MiB unless a test says more."""

    def __init__(self, budget_mib: float, *names: str, **options: Any) -> None:
        self.memory = Memory(budget_mib, keep_s=options.pop("keep_s", 0.0))
        self.sources = {name: FakeSource(num_bytes=10 * MIB) for name in names}
        self.hosts = {
            name: ModelHost(source, SilentObserver(), place=self.memory.open_place(name, **options))
            for name, source in self.sources.items()
        }

    def loaded(self) -> list[str]:
        return [name for name, host in self.hosts.items() if host.is_ready]

    def states(self) -> list[str]:
        return [host.state for host in self.hosts.values()]

    async def refresh(self) -> None:
        for host in self.hosts.values():
            await host.refresh()

    async def ask(self, name: str, until: asyncio.Event | None = None) -> str:
        """Use a model until an event, and return the version that was there."""
        host = self.hosts[name]
        async with host.place.use():
            version = host.hosted.champion.served.version
            if until:
                await until.wait()
            return version


def tell(models: Models, story: Callable[[Models], Awaitable[Any]]) -> Any:
    async def told() -> Any:
        try:
            await models.refresh()
            return await story(models)
        finally:
            for host in models.hosts.values():
                host.close()

    return asyncio.run(told())


async def settle() -> None:
    gc.collect()
    for _ in range(20):
        await asyncio.sleep(0.001)


def test_at_the_start_models_are_loaded_in_their_order_as_long_as_they_fit() -> None:
    async def story(models: Models) -> list[str]:
        return models.states()

    assert tell(Models(25, "a", "b", "c"), story) == ["loaded", "loaded", "not_loaded"]


def test_without_a_budget_all_are_loaded() -> None:
    async def story(models: Models) -> list[str]:
        return models.loaded()

    assert tell(Models(0, "a", "b", "c"), story) == ["a", "b", "c"]


def test_a_request_loads_its_model_in_place_of_the_one_used_longest_ago() -> None:
    async def story(models: Models) -> list[Any]:
        await models.ask("a")
        answered = await models.ask("c")
        await settle()
        return [answered, models.loaded()]

    assert tell(Models(25, "a", "b", "c"), story) == ["1", ["a", "c"]]


def test_those_who_wait_for_a_model_wait_for_one_load() -> None:
    async def story(models: Models) -> list[Any]:
        answers = await asyncio.gather(*(models.ask("b") for _ in range(20)))
        return [set(answers), models.sources["b"].loaded]

    assert tell(Models(15, "a", "b"), story) == [{"1"}, ["1"]]


def test_a_model_that_answers_is_not_unloaded_and_its_next_requests_wait() -> None:
    async def story(models: Models) -> list[Any]:
        done = asyncio.Event()
        busy = asyncio.create_task(models.ask("a", done))
        await settle()
        other = asyncio.create_task(models.ask("b"))
        await settle()
        late = asyncio.create_task(models.ask("a"))
        await settle()
        seen = [models.loaded(), other.done(), late.done()]
        done.set()
        return [*seen, await busy, await other, await late]

    assert tell(Models(15, "a", "b"), story) == [["a"], False, False, "1", "1", "1"]


def test_a_load_that_takes_too_long_is_answered_with_when_to_come_back_and_goes_on() -> None:
    gate = Gate()
    models = Models(15, "a", "b", wait_s=0.05)
    models.sources["b"].options["1"] = {"before": gate}

    async def story(models: Models) -> list[Any]:
        with pytest.raises(
            OverloadedError, match=r"b is being loaded, which takes longer than 0\.05 s"
        ) as said:
            await models.ask("b")
        gate.opened.set()
        while not models.hosts["b"].is_ready:
            await asyncio.sleep(0.001)
        return [said.value.retry_after_s >= 1, await models.ask("b"), models.sources["b"].loaded]

    assert tell(models, story) == [True, "1", ["1"]]


def test_a_model_that_cannot_be_loaded_says_why_and_costs_only_itself() -> None:
    models = Models(25, "a", "b")
    models.sources["b"].trouble = UnavailableError("the ledger does not answer")

    async def story(models: Models) -> list[Any]:
        with pytest.raises(UnavailableError, match="the ledger does not answer"):
            await models.ask("b")
        return [await models.ask("a"), models.states()]

    assert tell(models, story) == ["1", ["loaded", "refused"]]


def test_a_model_larger_than_the_budget_is_refused_in_plain_words() -> None:
    models = Models(5, "a")

    async def story(models: Models) -> list[str]:
        return [models.hosts["a"].state, models.hosts["a"].problem]

    assert tell(models, story) == [
        "refused",
        "a takes 10 MiB, and all models of a worker together may take 5 MiB",
    ]
    with pytest.raises(RefusedError, match=r"serving\.memory_mib"):
        models.memory.refuse_if_too_large("a", 10 * MIB)


def test_a_new_champion_is_loaded_beside_the_old_one_where_there_is_room_and_else_in_its_place() -> None:
    async def story(models: Models) -> list[Any]:
        seen = []
        for version in ("2", "3"):
            models.sources["a"].champion = version
            await models.hosts["a"].refresh()
            seen.append((await models.ask("a"), models.loaded()))
            await settle()
        return seen

    assert tell(Models(25, "a", "b"), story) == [("2", ["a"]), ("3", ["a"])]
    assert tell(Models(15, "a"), story) == [("2", ["a"]), ("3", ["a"])]


def test_memory_of_an_old_champion_counts_until_its_last_request_is_answered() -> None:
    async def story(models: Models) -> list[int]:
        host, held = models.hosts["a"], []
        async with host.place.use():
            old = host.hosted
            models.sources["a"].champion = "2"
            await host.refresh()
            held.append(host.place.num_bytes // MIB)
            del old
        await settle()
        return [*held, host.place.num_bytes // MIB]

    assert tell(Models(0, "a"), story) == [20, 10]


def test_a_challenger_without_room_beside_its_champion_answers_nothing() -> None:
    async def story(models: Models) -> list[Any]:
        models.sources["a"].roll_out("2", share_percent=5.0)
        await models.hosts["a"].refresh()
        hosted = models.hosts["a"].hosted
        return [hosted.challenger, hosted.traffic.share_percent, await models.ask("a")]

    assert tell(Models(15, "a"), story) == [None, 0.0, "1"]


def test_more_requests_than_a_model_may_have_are_refused_and_others_go_on() -> None:
    async def story(models: Models) -> list[Any]:
        done = asyncio.Event()
        held = [asyncio.create_task(models.ask("a", done)) for _ in range(2)]
        await settle()
        with pytest.raises(QuotaError, match="2 requests of a are in flight"):
            await models.ask("a")
        other = await models.ask("b")
        done.set()
        await asyncio.gather(*held)
        return [other, await models.ask("a")]

    assert tell(Models(0, "a", "b", max_in_flight=2), story) == ["1", "1"]


def test_two_busy_models_that_do_not_fit_together_take_turns() -> None:
    async def story(models: Models) -> list[Any]:
        answers = await asyncio.gather(*(models.ask(name) for _ in range(10) for name in "ab"))
        return [len(answers), len(models.loaded())]

    assert tell(Models(15, "a", "b"), story) == [20, 1]


def test_a_service_that_stops_loads_nothing_more_and_says_so_to_those_that_wait() -> None:
    async def story(models: Models) -> str:
        busy = asyncio.create_task(models.ask("a", asyncio.Event()))
        await settle()
        waiting = asyncio.create_task(models.ask("b"))
        await settle()
        models.hosts["b"].place.close()
        with pytest.raises(UnavailableError, match="the service is stopping"):
            await waiting
        with pytest.raises(UnavailableError, match="the service is stopping"):
            await models.ask("b")
        busy.cancel()
        return models.hosts["b"].state

    assert tell(Models(15, "a", "b"), story) == "not_loaded"
