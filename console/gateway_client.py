"""Calls a gateway over HTTP as its clients do, with a gateway key; for commands of the terminal.

Synchronous and without Django's settings: the methods may be called by several threads.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import msgspec

from console.evaluate.chat import read_error

TIMEOUT_S = 600.0


class GatewayError(Exception):
    """There is no response, or one with an error; the message says why.

    Attributes:
        headers: the headers of the response; empty if there is none.
    """

    def __init__(self, message: str, headers: Any = None) -> None:
        super().__init__(message)
        self.headers = headers or {}


class GatewayClient:
    """A gateway at a base URL, whose scheme has been checked; `/v1` at its end is left out."""

    def __init__(self, base_url: str, key: str) -> None:
        self.base_url = base_url.rstrip("/").removesuffix("/v1")
        self._headers = {
            "authorization": f"Bearer {key}",
            "content-type": "application/json",
            "user-agent": "dragoman-cli",
        }

    def call(self, path: str, body: Any = None) -> tuple[bytes, Any]:
        """Body and headers of the response; a POST if there is a body. Raises GatewayError."""
        with self.stream(path, body) as response:
            return response.read(), response.headers

    @contextmanager
    def stream(self, path: str, body: Any = None) -> Iterator[http.client.HTTPResponse]:
        """The response, to be read as a stream. Raises GatewayError, also while it is read."""
        data = None if body is None else msgspec.json.encode(body)
        request = Request(f"{self.base_url}{path}", data=data, headers=self._headers)  # noqa: S310
        try:
            with urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - see the class
                yield response
        except HTTPError as error:
            raise GatewayError(read_error(error.read(), error.code), error.headers) from None
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise GatewayError(f"no response from {self.base_url}: {reason}") from None
