"""Fetches the list of models from a provider, which also tests the connection.

An operator waits for it, so it has a deadline and does not raise for an upstream failure.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import httpx
import msgspec

from gateway.canon.errors import GatewayError, bad_upstream
from gateway.dialects import DIALECTS
from gateway.providers.redact import scrub
from gateway.relay.upstream.access_tokens import AccessTokens
from gateway.relay.upstream.client import RequestTemplates, Upstreams
from gateway.routing.pricing import TOKENS_PER_MTOK
from gateway.routing.snapshot import Provider

DEADLINE_S = 10.0
MAX_BYTES = 16 * 1024 * 1024
MAX_MODELS = 5000
MAX_NAME_CHARS = 200
_MAX_DETAIL_CHARS = 600
_VERB = "models"
# Paths below the base URL, unless a provider's `paths` contain `models`.
_PATHS = {
    "openai_chat": "/models",
    "openai_responses": "/models",
    "openai_completions": "/models",
    "openai_embeddings": "/models",
    "ollama": "/api/tags",
    "anthropic_messages": "/v1/models?limit=1000",
    "gemini": "/v1beta/models?pageSize=1000",
    "cohere": "/v1/models?page_size=1000&endpoint=chat",
    "bedrock_converse": "/foundation-models?byOutputModality=TEXT",
}
# Dialects whose list is on another host: the host prefix, and its replacement.
_CATALOG_HOSTS = {"bedrock_converse": ("bedrock-runtime.", "bedrock.")}
_HEADERS = {"anthropic_messages": {"anthropic-version": "2023-06-01"}}
# Fields that contain the rows of a list.
_LIST_FIELDS = ("data", "models", "modelSummaries")
_CONTEXT_WINDOW_FIELDS = (
    "context_length",
    "context_window",
    "max_model_len",
    "max_context_length",
    "inputTokenLimit",
)
# The prefix of Google's model names.
_COLLECTION = "models/"
# A field of `pricing` -> the name of the price, and the factor to dollars per million tokens.
_PRICES: dict[str, tuple[str, Decimal]] = {
    "prompt": ("input", TOKENS_PER_MTOK),
    "completion": ("output", TOKENS_PER_MTOK),
    "input_cache_read": ("cache_read", TOKENS_PER_MTOK),
    "input_cache_write": ("cache_write", TOKENS_PER_MTOK),
    "input": ("input", Decimal(1)),
    "output": ("output", Decimal(1)),
    "cached_input": ("cache_read", Decimal(1)),
}
# Statuses that mean the provider has no such list, rather than a failure.
NO_LIST = frozenset({404, 405, 501})


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the list. Prices are US dollars per million tokens, by name of the price."""

    name: str
    context_window: int | None = None
    prices: dict[str, Decimal] = {}


class ModelCatalog(msgspec.Struct, frozen=True, kw_only=True):
    """The result of fetching the list: `detail` is the upstream's error message, scrubbed.

    `status` is the upstream's HTTP status; None if there was no response.
    """

    ok: bool
    ms: float
    detail: str = ""
    status: int | None = None
    models: tuple[ListedModel, ...] = ()


async def list_models(
    upstreams: Upstreams,
    provider: Provider,
    *,
    timeout_s: float = DEADLINE_S,
    secrets: tuple[str, ...] = (),
) -> ModelCatalog:
    """Fetch the models of a provider."""
    start_time = time.perf_counter()
    models: tuple[ListedModel, ...] = ()
    status, detail = None, ""
    try:
        async with asyncio.timeout(timeout_s):
            status, data = await _fetch_list(upstreams, provider)
        models = parse_models(data)
    except TimeoutError:
        detail = f"no response within {timeout_s:g} s"
    except GatewayError as failure:
        # The status of a response that is no list of models is 200.
        status, detail = failure.error.status or status, failure.error.message
    ms = round((time.perf_counter() - start_time) * 1000, 1)
    credential = provider.credential.reveal()
    scrubbed_detail = scrub(detail, (*secrets, credential) if credential else secrets)[
        :_MAX_DETAIL_CHARS
    ]
    return ModelCatalog(ok=not detail, ms=ms, detail=scrubbed_detail, status=status, models=models)


async def _fetch_list(upstreams: Upstreams, provider: Provider) -> tuple[int, bytes]:
    """Return the status and body of a successful response. Raises GatewayError."""
    templates = RequestTemplates()
    path = provider.paths.get(_VERB) or _PATHS.get(provider.dialect)
    if path is None:
        raise bad_upstream("this kind of provider has no model list")
    dialect = DIALECTS[provider.dialect]
    headers = templates.headers(provider, _HEADERS.get(provider.dialect, {}))
    url = templates.url(provider, path)
    if provider.dialect in _CATALOG_HOSTS:
        url = url.copy_with(host=url.host.replace(*_CATALOG_HOSTS[provider.dialect], 1))
        headers = httpx.Headers({**headers, "host": url.netloc.decode("ascii")})
    headers = await AccessTokens().headers(provider, "GET", url, headers, b"")
    upstream_response = await upstreams.send(
        "GET", url, headers, b"", 10.0, network=provider.network
    )
    try:
        data = await upstream_response.read_all(MAX_BYTES)
    finally:
        await upstream_response.close()
    if upstream_response.status != 200:
        raise GatewayError(
            dialect.provider.parse_error(upstream_response.status, upstream_response.headers, data)
        )
    return upstream_response.status, data


def parse_models(data: bytes) -> tuple[ListedModel, ...]:
    """The models of a list in any of the usual formats. Raises GatewayError."""
    try:
        body = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        raise bad_upstream("the list of models is not JSON") from None
    rows = body
    if isinstance(body, dict):
        rows = next((body[key] for key in _LIST_FIELDS if key in body), None)
    if not isinstance(rows, list):
        raise bad_upstream("the response is not a list of models")
    entries = (_parse_model(row) for row in rows[:MAX_MODELS] if isinstance(row, dict))
    return tuple({row.name: row for row in entries if row is not None}.values())


def _parse_model(row: Mapping[str, Any]) -> ListedModel | None:
    name = row.get("id") or row.get("name") or row.get("modelId")
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= MAX_NAME_CHARS:
        return None
    name = name.removeprefix(_COLLECTION) or name
    windows = (row.get(field) for field in _CONTEXT_WINDOW_FIELDS)
    context_window = next((n for n in windows if isinstance(n, int) and 0 < n < 2**40), None)
    return ListedModel(
        name=name, context_window=context_window, prices=_parse_prices(row.get("pricing"))
    )


def _parse_prices(pricing: Any) -> dict[str, Decimal]:
    if not isinstance(pricing, dict):
        return {}
    prices: dict[str, Decimal] = {}
    for field, (name, factor) in _PRICES.items():
        price = _decimal_or_none(pricing.get(field))
        if price is not None:
            prices.setdefault(name, (price * factor).normalize())
    return prices


def _decimal_or_none(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    # OpenRouter uses -1 if the price depends on the selected model.
    return number if number.is_finite() and 0 <= number < 1_000_000 else None
