"""CVAT's HTTP interface: the token, lists in pages, and work that the server does in the background."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

from dataset.labelling.server_api import ServerApi
from maskloop.errors import ConfigurationError, MaskloopError, NotFoundError, StorageError, UnavailableError

_PAGE_SIZE: Final = 100
_NUM_LISTINGS: Final = 3
_LEGACY_CHARACTERS: Final = 40
_ASK_EVERY_S: Final = 1.0
_WAIT_AT_MOST_S: Final = 600.0


class CvatApi(ServerApi):
    """Asks one server; its token is a personal access token, or a legacy key of 40 hexadecimal digits.

    Args:
        url: The server's address.
        token_variable: The environment variable that holds the token; empty: the usual one.
        organization: Short name of the organization whose projects are meant; empty: the token's owner's.
        transport: How requests are sent; None: over the network.
        sleep: Waits so many seconds between two questions about work in the background.
    """

    product = "CVAT"
    usual_variable = "CVAT_ACCESS_TOKEN"
    access_menu = "Profile > Security"
    access_hint = "create a personal access token under Profile > Security; it may have expired"

    def __init__(
        self,
        url: str,
        token_variable: str,
        *,
        organization: str = "",
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(url, token_variable, transport=transport)
        self._sleep = sleep
        self._client.headers["Accept"] = "application/vnd.cvat+json"
        if organization:
            self._client.headers["X-Organization"] = organization

    def list_all(self, path: str, query: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return all entries of a list that comes in pages.

        Raises:
            UnavailableError: if it changes all the time: what is deleted between two pages hides an entry.
        """
        for _ in range(_NUM_LISTINGS):
            found: dict[Any, Mapping[str, Any]] = {}
            totals: set[int] = set()
            page, is_more = 0, True
            while is_more:
                page += 1
                asked = {**query, "sort": "id", "page": page, "page_size": _PAGE_SIZE}
                try:
                    answer = self.get(path, asked)
                except NotFoundError:
                    if page == 1:
                        raise
                    break  # the list became shorter meanwhile
                if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
                    raise self._stranger(path)
                found |= {one["id"]: one for one in answer["results"]}
                totals.add(answer.get("count", 0))
                is_more = bool(answer.get("next"))
            if totals == {len(found)}:
                return list(found.values())
        raise UnavailableError("a list of CVAT changes while it is read", where=f"{self.url}{path}")

    def wait_for(self, request_id: str) -> None:
        """Wait for work in the background.

        Raises:
            StorageError: if it failed.
            UnavailableError: if it takes too long.
        """
        waited_s = 0.0
        while True:
            answer = self.get(f"/api/requests/{request_id}")
            if answer["status"] == "finished":
                return
            if answer["status"] == "failed":
                said = str(answer.get("message", "")).strip().splitlines()
                raise StorageError(
                    f"CVAT could not take the pictures: {said[-1] if said else 'no reason'}", where=self.url
                )
            if waited_s >= _WAIT_AT_MOST_S:
                raise UnavailableError(
                    "CVAT is still preparing the pictures", where=self.url, hint="push again later"
                )
            self._sleep(_ASK_EVERY_S)
            waited_s += _ASK_EVERY_S

    def _authorization(self, token: str) -> str:
        is_legacy = len(token) == _LEGACY_CHARACTERS and set(token) <= set("0123456789abcdef")
        return f"Token {token}" if is_legacy else f"Bearer {token}"

    def _refused(self, response: httpx.Response) -> MaskloopError:
        if response.status_code == httpx.codes.UNAUTHORIZED:
            return super()._refused(response)
        return ConfigurationError(
            f"CVAT does not allow this with the token in {self._variable}: {self._told(response)}",
            where=self.url,
            hint="a token must not be read-only, and its owner needs rights in labelling.organization",
        )
