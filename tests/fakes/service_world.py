"""A whole service over fakes: real routes, guards, batching and decoding; models that answer at once."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableSequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import numpy as np
from fastapi import FastAPI
from PIL import Image

from dataset.pictures.decoding import DecodedPicture, encode_png, open_picture
from dataset.pictures.sandbox import DecodingLimits
from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from maskloop.clock import Clock
from maskloop.errors import PictureError
from maskloop.settings.workspace_settings import ServingSettings
from serving.access.keys import KeyStore
from serving.access.limits import RateLimiter
from serving.answering.batching import MicroBatcher
from serving.answering.decoding import DecoderPool
from serving.answering.engine import Engine
from serving.answering.hosting import ModelHost
from serving.answering.service import Service
from serving.answers import Answer, PairedAnswer, RequestPicture
from serving.http.app import create_app
from serving.http.managed import Platform
from serving.residency.memory import Memory
from serving.schemas import FeedbackRequest
from serving.telemetry.periodic import repeat, running
from serving.telemetry.spans import NO_TRACER, Tracer
from tests.fakes.key_book import FakeKeyBook
from tests.fakes.serving_world import FakeSource, RememberingObserver

MAX_MPX = 1.0


def draw_picture(width_px: int = 24, height_px: int = 16, *, value: int = 255) -> np.ndarray:
    """A black picture with a bright part at columns 4 to 9 and rows 2 to 5."""
    pixels = np.zeros((height_px, width_px, 3), np.uint8)
    pixels[2:6, 4:10] = value
    return pixels


def write_picture(format_name: str = "PNG", pixels: np.ndarray | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw_picture() if pixels is None else pixels).save(file, format_name, **options)
    return file.getvalue()


PNG = encode_png(draw_picture())


class DirectDecoder:
    """Stands in for `AsyncSandboxedDecoder`: the same decoding, in this process."""

    def __init__(self, limits: DecodingLimits) -> None:
        self._limits = limits

    is_running = True

    def ask(
        self,
        data: bytes,
        when_over: Callable[[], None],
        conversion: PictureConversion = DEFAULT_CONVERSION,
    ) -> asyncio.Future[DecodedPicture]:
        when_over()
        picture: asyncio.Future[DecodedPicture] = asyncio.get_running_loop().create_future()
        try:
            limits = self._limits
            decoded = open_picture(
                data, max_mpx=limits.max_mpx, max_frames=limits.max_frames, conversion=conversion
            )
            picture.set_result(decoded)
        except PictureError as error:
            picture.set_exception(error)
        return picture

    async def close(self) -> None:
        """Nothing to stop."""


class RememberingSamples:
    """Remembers what it was offered."""

    def __init__(self) -> None:
        self.offered: MutableSequence[tuple[RequestPicture, Answer | None, str, str]] = []

    def offer(
        self, picture: RequestPicture, answer: Answer | None, *, error: str = "", source: str = ""
    ) -> None:
        self.offered.append((picture, answer, error, source))


class ServiceWorld:
    """The parts of one service, and what they were told.

    Args:
        directory: The keys lie here.
        needs_keys: Every route asks for one.
        sandboxed: Decode in real child processes.
        settings: Of the service.
    """

    def __init__(
        self,
        directory: Path,
        *,
        source: FakeSource | None = None,
        needs_keys: bool = False,
        sandboxed: bool = False,
        clock: Clock | None = None,
        **settings: Any,
    ) -> None:
        self.settings = ServingSettings(**{"refresh_s": 0.05, "rate_limit": "100000/minute", **settings})
        self.source = source or FakeSource()
        self.observer, self.samples = RememberingObserver(), RememberingSamples()
        self.keys = KeyStore(FakeKeyBook(), clock=clock)
        self.pairs: list[PairedAnswer] = []
        self.said: list[tuple[FeedbackRequest, str]] = []
        self.needs_keys, self.sandboxed = needs_keys, sandboxed
        self.trusted_hosts: tuple[str, ...] = ("*",)
        self.tracer: Tracer = NO_TRACER
        self.platform: Platform | None = None
        self.read_page: Callable[[str], tuple[bytes, str]] | None = None
        self.service: Service | None = None
        self.memory = Memory(keep_s=0.0)
        self.others: dict[str, FakeSource] = {}
        """Other models of the service, by name; the first one is called parts."""
        self.refused: dict[str, str] = {}

    def make_app(self) -> FastAPI:
        """Build everything anew: an event loop needs its own."""
        with (
            patch("serving.answering.decoding.AsyncSandboxedDecoder", DirectDecoder)
            if not self.sandboxed
            else patch.dict({})
        ):
            decoders = DecoderPool(self.settings, max_mpx=MAX_MPX)
        batcher = MicroBatcher(self.settings)
        sources = {"parts": self.source, **self.others}
        services = [self._make_service(name, source, batcher, decoders) for name, source in sources.items()]
        self.service, *others = services
        hosts = [service.engine.host for service in services]

        @asynccontextmanager
        async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
            for host in hosts:
                await host.refresh()
            every_s = self.settings.refresh_s
            async with running(*(repeat("models", host.refresh, every_s=every_s) for host in hosts)):
                yield
            for service in services:
                await service.engine.close()
            await decoders.close()
            for host in hosts:
                host.close()

        return create_app(
            self.service,
            lifespan=lifespan,
            needs_keys=self.needs_keys,
            trusted_hosts=self.trusted_hosts,
            tracer=self.tracer,
            platform=self.platform,
            others=others,
            refused=self.refused,
        )

    def _make_service(
        self, name: str, source: FakeSource, batcher: MicroBatcher, decoders: DecoderPool
    ) -> Service:
        place = self.memory.open_place(name, max_in_flight=self.settings.max_in_flight)
        host = ModelHost(source, self.observer, place=place)
        engine = Engine(host, batcher, self.settings, observer=self.observer, on_pair=self.pairs.append)
        return Service(
            model_name=name,
            name=name,
            settings=self.settings,
            engine=engine,
            decoders=decoders,
            keys=self.keys,
            limiter=RateLimiter(self.settings.rate_limit),
            samples=self.samples,
            observer=self.observer,
            give_feedback=lambda said, by: self._give_feedback(said, by),
            render_metrics=lambda: (
                (f"up{{of={name!r}}} 1\n".encode(), "text/plain; version=0.0.4")
                if name != "parts"
                else (b"up 1\n", "text/plain; version=0.0.4")
            ),
            read_page=self.read_page,
        )

    def run(self, story: Callable[[httpx.AsyncClient], Awaitable[Any]], *, key: str = "") -> Any:
        """Tell a story to the running service, through ASGI."""

        async def told() -> Any:
            app = self.make_app()
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers) as client,
            ):
                return await story(client)

        return asyncio.run(told())

    def post(self, path: str = "/v1/predict", *, key: str = "", **options: Any) -> httpx.Response:
        """Send one request to the service, and return its answer."""
        response: httpx.Response = self.run(lambda client: client.post(path, **options), key=key)
        return response

    def get(self, path: str, *, key: str = "", **options: Any) -> httpx.Response:
        """The same for GET."""
        response: httpx.Response = self.run(lambda client: client.get(path, **options), key=key)
        return response

    def _give_feedback(self, said: FeedbackRequest, by: str) -> bool:
        self.said.append((said, by))
        return said.instances is not None


def in_chunks(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
