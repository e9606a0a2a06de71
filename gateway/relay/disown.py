"""Deletes a response where its provider keeps it too, under the same id."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from gateway.canon.errors import Error, GatewayError
from gateway.providers.auth import MAKERS
from gateway.relay.kept import Kept

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

_MOST_BYTES = 1024 * 1024


async def disown(runtime: Runtime, kept: Kept) -> None:
    """Delete it upstream; one that is not there any more is as good. Raises GatewayError."""
    provider = runtime.snapshot.providers.get(kept.provider)
    if provider is None:
        return
    url = runtime.lines.url(provider, f"/responses/{quote(kept.id, safe='')}")
    headers = runtime.lines.headers(provider, {})
    if provider.auth in MAKERS:
        headers = await runtime.tokens.headers(provider, "DELETE", url, headers, b"")
    connect_s = provider.timeouts.connect_s
    answer = await runtime.upstreams.send("DELETE", url, headers, b"", connect_s)
    try:
        await answer.read_all(_MOST_BYTES)
    finally:
        await answer.close()
    if answer.status not in {200, 202, 204, 404}:
        message = f"the provider did not delete the response (status {answer.status}); try again"
        raise GatewayError(Error(kind="upstream_error", message=message, status=answer.status))
