"""Label Studio's HTTP interface: the token, pages of lists, and errors in words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx

from maskloop.errors import ConfigurationError, DataError, NotFoundError, UnavailableError

_TIMEOUT_S: Final = 60.0
_PAGE_SIZE: Final = 500
_MAX_ERROR_CHARACTERS: Final = 300
_NUM_PARTS_OF_JWT: Final = 3


class LabelStudioApi:
    """Asks one server. The token is read from the environment with every request and kept nowhere.

    Args:
        url: The server's address.
        token_variable: The environment variable that holds an access token: a personal one, which is
            exchanged for a short-lived one, or a legacy one.
        transport: How requests are sent; None: over the network.
    """

    def __init__(
        self, url: str, token_variable: str, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url, self._variable = url.rstrip("/"), token_variable
        once = httpx.Limits(max_keepalive_connections=0)  # so that nothing is left to close
        self._client = httpx.Client(base_url=self.url, timeout=_TIMEOUT_S, limits=once, transport=transport)
        self._bearer = ""

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of an answer. Raises as `ask` does."""
        return self._json(self.ask("GET", path, params=dict(query or {})))

    def post(self, path: str, *, query: Mapping[str, Any] | None = None, **content: Any) -> Any:
        """Send ``json`` or ``files`` and return the JSON of the answer. Raises as `ask` does."""
        return self._json(self.ask("POST", path, params=dict(query or {}), **content))

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

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Send one request.

        Raises:
            ConfigurationError: if there is no token, or the server refuses it.
            NotFoundError: if the server has no such thing.
            DataError: if it refuses what was sent.
            UnavailableError: if it does not answer, or answers with an error of its own.
        """
        response = self._send(method, path, **content)
        if response.status_code == httpx.codes.UNAUTHORIZED and self._bearer:
            self._bearer = ""  # it has expired
            response = self._send(method, path, **content)
        status = response.status_code
        if response.is_success:
            return response
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise self._refused_token()
        said, where = self._told(response), f"{self.url}{path}"
        if status == httpx.codes.NOT_FOUND:
            raise NotFoundError("Label Studio has no such thing any more", where=where, hint=said)
        if status == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
            raise UnavailableError(f"Label Studio failed with status {status}", where=where, hint=said)
        raise DataError(f"Label Studio refuses this with status {status}", where=where, hint=said)

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        token = self._token()
        if token.count(".") == _NUM_PARTS_OF_JWT - 1:
            headers = {"Authorization": f"Bearer {self._bearer or self._exchange(token)}"}
        else:
            headers = {"Authorization": f"Token {token}"}
        return self._request(method, path, headers=headers, **content)

    def _token(self) -> str:
        token = os.environ.get(self._variable, "").strip()
        if not token:
            raise ConfigurationError(
                f"no token for Label Studio: the environment variable {self._variable} is not set",
                hint="create one in Label Studio under Account & Settings, and export it; "
                "labelling.token_variable names the variable",
            )
        return token

    def _exchange(self, token: str) -> str:
        """Exchange a personal access token for one that lasts some minutes."""
        response = self._request("POST", "/api/token/refresh", json={"refresh": token})
        if response.is_server_error:
            raise UnavailableError(
                f"Label Studio failed with status {response.status_code}",
                where=f"{self.url}/api/token/refresh",
            )
        if not response.is_success:
            raise self._refused_token()
        answer = self._json(response)
        self._bearer = str(answer.get("access", "")) if isinstance(answer, dict) else ""
        return self._bearer

    def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **content)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"Label Studio does not answer: {type(error).__name__}",
                where=self.url,
                hint="start the server, or correct labelling.url",
            ) from error

    def _refused_token(self) -> ConfigurationError:
        return ConfigurationError(
            f"Label Studio refuses the token in {self._variable}",
            where=self.url,
            hint="create a personal access token under Account & Settings; a legacy token works only where "
            "the organisation allows it",
        )

    def _json(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            raise self._stranger(response.request.url.path) from error

    def _stranger(self, path: str) -> DataError:
        hint = "labelling.url must be the address of a Label Studio server"
        return DataError("the answer is not one of Label Studio", where=f"{self.url}{path}", hint=hint)

    def _told(self, response: httpx.Response) -> str:
        try:
            said = response.json()
        except ValueError:
            return ""
        detail = said.get("validation_errors") or said.get("detail") if isinstance(said, dict) else said
        return str(detail)[:_MAX_ERROR_CHARACTERS]
