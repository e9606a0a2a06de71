"""Deletes a response where its provider keeps it too, under the same id."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from gateway.canon.errors import Error, GatewayError
from gateway.providers.auth import MAKERS
from gateway.relay.exchange.stored_response import StoredResponse

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

_MAX_BYTES = 1024 * 1024


async def delete_upstream(runtime: Runtime, stored_response: StoredResponse) -> None:
    """Delete it upstream; one that is not there any more is as good. Raises GatewayError."""
    provider = runtime.snapshot.providers.get(stored_response.provider)
    if provider is None:
        return
    url = runtime.request_templates.url(
        provider, f"/responses/{quote(stored_response.id, safe='')}"
    )
    headers = runtime.request_templates.headers(provider, {})
    if provider.auth in MAKERS:
        headers = await runtime.tokens.headers(provider, "DELETE", url, headers, b"")
    connect_s = provider.timeouts.connect_s
    response = await runtime.upstreams.send("DELETE", url, headers, b"", connect_s)
    try:
        await response.read_all(_MAX_BYTES)
    finally:
        await response.close()
    if response.status not in {200, 202, 204, 404}:
        message = f"the provider did not delete the response (status {response.status}); try again"
        raise GatewayError(Error(kind="upstream_error", message=message, status=response.status))
