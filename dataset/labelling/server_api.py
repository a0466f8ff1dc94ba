"""A labelling server's HTTP interface: the token, JSON, and errors in words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import httpx

from maskloop.errors import ConfigurationError, DataError, MaskloopError, NotFoundError, UnavailableError

_TIMEOUT_S: Final = 60.0
_MAX_ERROR_CHARACTERS: Final = 300


class ServerApi:
    """Asks one server. The token is read from the environment with every request and kept nowhere.

    Args:
        url: The server's address.
        token_variable: The environment variable that holds an access token; empty: the usual one.
        transport: How requests are sent; None: over the network.
    """

    product: ClassVar[str]
    """What the server is called."""
    usual_variable: ClassVar[str]
    """The environment variable that its own clients read a token from."""
    access_menu: ClassVar[str]
    """Where a person creates a token."""
    access_hint: ClassVar[str]
    """Which tokens are accepted, as a hint."""

    def __init__(
        self, url: str, token_variable: str, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url, self._variable = url.rstrip("/"), token_variable or self.usual_variable
        once = httpx.Limits(max_keepalive_connections=0)  # so that nothing is left to close
        self._client = httpx.Client(base_url=self.url, timeout=_TIMEOUT_S, limits=once, transport=transport)

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of an answer. Raises as `ask` does."""
        return self._json(self.ask("GET", path, params=dict(query or {})))

    def post(self, path: str, *, query: Mapping[str, Any] | None = None, **content: Any) -> Any:
        """Send ``json`` or ``files`` and return the JSON of the answer. Raises as `ask` does."""
        return self._json(self.ask("POST", path, params=dict(query or {}), **content))

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Send one request.

        Raises:
            ConfigurationError: if there is no token, or the server refuses it.
            NotFoundError: if the server has no such thing.
            DataError: if it refuses what was sent.
            UnavailableError: if it does not answer, or answers with an error of its own.
        """
        response = self._send(method, path, **content)
        status = response.status_code
        if response.is_success:
            return response
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise self._refused(response)
        said, where = self._told(response), f"{self.url}{path}"
        if status == httpx.codes.NOT_FOUND:
            raise NotFoundError(f"{self.product} has no such thing any more", where=where, hint=said)
        if status == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
            raise UnavailableError(f"{self.product} failed with status {status}", where=where, hint=said)
        raise DataError(f"{self.product} refuses this with status {status}", where=where, hint=said)

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        headers = {**content.pop("headers", {}), "Authorization": self._authorization(self._token())}
        return self._request(method, path, headers=headers, **content)

    def _authorization(self, token: str) -> str:
        """Return the header that a token makes."""
        raise NotImplementedError

    def _refused(self, _response: httpx.Response) -> MaskloopError:
        """Return the error for a request that the token does not open."""
        return ConfigurationError(
            f"{self.product} refuses the token in {self._variable}", where=self.url, hint=self.access_hint
        )

    def _token(self) -> str:
        token = os.environ.get(self._variable, "").strip()
        if not token:
            raise ConfigurationError(
                f"no token for {self.product}: the environment variable {self._variable} is not set",
                hint=f"create one in {self.product} under {self.access_menu}, and export it; "
                "labelling.token_variable names the variable",
            )
        return token

    def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **content)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"{self.product} does not answer: {type(error).__name__}",
                where=self.url,
                hint="start the server, or correct labelling.url, and run the command again",
            ) from error

    def _json(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            raise self._stranger(response.request.url.path) from error

    def _stranger(self, path: str) -> DataError:
        hint = f"labelling.url must be the address of a {self.product} server"
        return DataError(f"the answer is not one of {self.product}", where=f"{self.url}{path}", hint=hint)

    def _told(self, response: httpx.Response) -> str:
        """Return what the server says about an error."""
        try:
            said = response.json()
        except ValueError:
            return ""
        if isinstance(said, dict):
            said = said.get("validation_errors") or said.get("detail") or said
        return str(said)[:_MAX_ERROR_CHARACTERS]
