"""The routes of pages for people: the three views, and what they link to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from serving.http.problems import PROBLEMS

ReadPage = Callable[[str], tuple[bytes, str]]
"""Returns a page and its kind, by the path behind ``/views/``. Blocking."""
_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
}
_FIRST: Final = "on-call.html"
_READ_AT_ONCE: Final = 2
"""Who waits for a view that is being made holds no thread, which answers of the service need."""


def make_view_router(
    read_page: ReadPage, *, security: list[Any], authorise: Callable[[Request], None]
) -> APIRouter:
    """Return the routes.

    Args:
        read_page: Reads, or makes, a page.
        security: Says in the documentation that a key is needed.
        authorise: Refuses who may not look.
    """
    few = asyncio.Semaphore(_READ_AT_ONCE)
    router = APIRouter(prefix="/views", tags=["service"], dependencies=security)

    @router.get("", include_in_schema=False)
    @router.get("/", include_in_schema=False)
    async def first(request: Request) -> RedirectResponse:
        """Lead to the view that says what is wrong now."""
        authorise(request)
        return RedirectResponse(f"{request.scope.get('root_path', '')}/views/{_FIRST}")

    @router.get(
        "/{name:path}",
        summary="A page for people",
        response_class=HTMLResponse,
        responses={status: PROBLEMS[status] for status in (401, 403, 404, 429, 503)},
    )
    async def page(request: Request, name: str) -> Response:
        """Show `executive.html`, `on-call.html` or `debug.html`, a minute old at most, or what they name."""
        authorise(request)
        async with few:
            body, kind = await asyncio.to_thread(read_page, name)
        headers = {
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "SAMEORIGIN",
            "Cache-Control": "private, max-age=86400" if kind == ".js" else "no-store",
        }
        return Response(body, media_type=_MEDIA_TYPES[kind], headers=headers)

    return router
