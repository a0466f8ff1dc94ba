"""Label Studio's HTTP interface: its two kinds of tokens, and pages of lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx

from dataset.labelling.server_api import ServerApi
from maskloop.errors import NotFoundError, UnavailableError

_PAGE_SIZE: Final = 500
_NUM_PARTS_OF_JWT: Final = 3


class LabelStudioApi(ServerApi):
    """Asks one server; its token is a legacy one, or a personal one, exchanged for a short-lived one."""

    product = "Label Studio"
    usual_variable = "LABEL_STUDIO_API_KEY"
    access_menu = "Account & Settings > Personal Access Token"
    access_hint = (
        f"create a personal access token under {access_menu}; a legacy token works only where the "
        "organisation allows it"
    )
    _bearer = ""

    def pages(self, path: str, key: str, query: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of a list that comes in pages."""
        page = 1
        while True:
            try:
                answer = self.get(path, {**query, "page": page, "page_size": _PAGE_SIZE})
            except NotFoundError:
                if page == 1:
                    raise
                return  # the list became shorter meanwhile
            entries = answer.get(key) if isinstance(answer, dict) else None
            if not isinstance(entries, list):
                raise self._stranger(path)
            yield from entries
            if len(entries) < _PAGE_SIZE:
                return
            page += 1

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        response = super()._send(method, path, **content)
        if response.status_code == httpx.codes.UNAUTHORIZED and self._bearer:
            self._bearer = ""  # it has expired
            response = super()._send(method, path, **content)
        return response

    def _authorization(self, token: str) -> str:
        if token.count(".") == _NUM_PARTS_OF_JWT - 1:
            return f"Bearer {self._bearer or self._exchange(token)}"
        return f"Token {token}"

    def _exchange(self, token: str) -> str:
        """Exchange a personal access token for one that lasts some minutes."""
        response = self._request("POST", "/api/token/refresh", json={"refresh": token})
        if response.is_server_error:
            raise UnavailableError(
                f"Label Studio failed with status {response.status_code}",
                where=f"{self.url}/api/token/refresh",
            )
        if not response.is_success:
            raise self._refused(response)
        answer = self._json(response)
        self._bearer = str(answer.get("access", "")) if isinstance(answer, dict) else ""
        return self._bearer
