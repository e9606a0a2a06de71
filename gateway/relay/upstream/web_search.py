"""The search endpoint that an operator configures: SearXNG's JSON API, or one like Tavily's.

The gateway searches there for models whose provider has no web search. Neither a client nor a
model can choose the endpoint; the URLs in its results are never fetched. Every failure is a
`SearchFailed` with a message without the endpoint's address and key.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import msgspec

from gateway.canon.errors import GatewayError
from gateway.framing.headers import JSON_HEADER
from gateway.providers.profile import Secret
from gateway.relay.upstream.client import USER_AGENT, Upstreams

SearchFormat = Literal["searxng", "tavily"]
MAX_QUERY_CHARS = 400
# Maximum size of a response of the endpoint.
MAX_BYTES = 4 * 1024 * 1024
_MAX_TITLE_CHARS = 300
_MAX_URL_CHARS = 2048


class SearchEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where the gateway searches the web.

    Attributes:
        url: the base URL; `/search` is appended unless the path ends with it.
        format: the API of the endpoint.
        key: the credential, sent as a bearer token; empty for none.
        timeout_s: seconds that one search may take.
        max_uses: maximum number of searches for one request.
        max_results: maximum number of results of one search.
    """

    url: str
    format: SearchFormat = "searxng"
    key: Secret = Secret("")
    timeout_s: float = 10.0
    max_uses: int = 5
    max_results: int = 8


class SearchResult(msgspec.Struct, frozen=True):
    """One page that a search found; `text` is an extract of it."""

    title: str
    url: str
    text: str = ""
    published: str = ""


class SearchFailed(Exception):
    """A search without a usable response; the message is for the model and the log."""


async def search_web(
    upstreams: Upstreams,
    endpoint: SearchEndpoint,
    query: str,
    *,
    allowed_domains: list[str],
    blocked_domains: list[str],
) -> list[SearchResult]:
    """The pages found for a query, restricted to the domains. Raises SearchFailed."""
    query = " ".join(query.split())[:MAX_QUERY_CHARS]
    if not query:
        raise SearchFailed("the query is empty")
    try:
        async with asyncio.timeout(endpoint.timeout_s):
            data = await _send_query(upstreams, endpoint, query, allowed_domains, blocked_domains)
    except TimeoutError:
        message = f"the search did not finish within {endpoint.timeout_s:g} s"
        raise SearchFailed(message) from None
    except GatewayError:
        raise SearchFailed("the search endpoint could not be reached") from None
    results = _results_in(data, endpoint.max_results * 4)
    return [r for r in results if is_allowed(r.url, allowed_domains, blocked_domains)][
        : endpoint.max_results
    ]


async def _send_query(
    upstreams: Upstreams,
    endpoint: SearchEndpoint,
    query: str,
    allowed_domains: list[str],
    blocked_domains: list[str],
) -> bytes:
    url = search_url(endpoint.url)
    headers = [
        (b"host", url.netloc),
        (b"accept", b"application/json"),
        (b"accept-encoding", b"identity"),
        (b"user-agent", USER_AGENT),
    ]
    if key := endpoint.key.reveal():
        headers.append((b"authorization", f"Bearer {key}".encode("latin-1", "replace")))
    method, content = "GET", b""
    if endpoint.format == "searxng":
        sites = " OR ".join(f"site:{domain}" for domain in allowed_domains[:10])
        text = f"{query} ({sites})" if len(allowed_domains) > 1 else f"{query} {sites}".rstrip()
        url = url.copy_merge_params({"q": text, "format": "json"})
    else:
        method = "POST"
        body: dict[str, Any] = {"query": query, "max_results": endpoint.max_results}
        if allowed_domains:
            body["include_domains"] = allowed_domains
        if blocked_domains:
            body["exclude_domains"] = blocked_domains
        content = msgspec.json.encode(body)
        headers.append(JSON_HEADER)
    upstream_response = await upstreams.send(
        method, url, httpx.Headers(headers), content, endpoint.timeout_s, network=None
    )
    is_complete = False
    try:
        data = await upstream_response.read_all(MAX_BYTES)
        is_complete = True
    finally:
        await upstream_response.close(sound=is_complete)
    if upstream_response.status != 200:
        hint = ""
        if upstream_response.status == 403 and endpoint.format == "searxng":
            hint = "; SearXNG needs `json` in `search.formats` of its settings"
        raise SearchFailed(
            f"the search endpoint answered with status {upstream_response.status}{hint}"
        )
    return data


def search_url(base: str) -> httpx.URL:
    """The URL of searches: the base URL with `/search`, unless it ends with it."""
    base = base.rstrip("/")
    return httpx.URL(base if urlsplit(base).path.endswith("/search") else f"{base}/search")


def _results_in(data: bytes, limit: int) -> list[SearchResult]:
    try:
        body = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        body = None
    rows = body.get("results") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        raise SearchFailed("the search endpoint's response is not JSON with a list `results`")
    parsed_results = (_result_in(row) for row in rows if isinstance(row, dict))
    unique = {
        result.url: result for result in reversed([r for r in parsed_results if r is not None])
    }
    return list(reversed(unique.values()))[:limit]


def _result_in(row: dict[str, Any]) -> SearchResult | None:
    url = _single_line_text(row, "url")
    if not url.startswith(("https://", "http://")) or len(url) > _MAX_URL_CHARS:
        return None
    return SearchResult(
        title=(_single_line_text(row, "title") or url)[:_MAX_TITLE_CHARS],
        url=url,
        text=_single_line_text(row, "content") or _single_line_text(row, "snippet"),
        published=(
            _single_line_text(row, "publishedDate") or _single_line_text(row, "published_date")
        )[:40],
    )


def _single_line_text(row: dict[str, Any], name: str) -> str:
    """A text on one line, without control characters."""
    value = row.get(name)
    if not isinstance(value, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())


def is_allowed(url: str, allowed_domains: list[str], blocked_domains: list[str]) -> bool:
    """Whether a page's host is in an allowed domain, if there are any, and in no blocked one."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = (parts.hostname or "").removeprefix("www.")
    if allowed_domains and not any(
        _matches_domain(host, parts.path, domain) for domain in allowed_domains
    ):
        return False
    return not any(_matches_domain(host, parts.path, domain) for domain in blocked_domains)


def _matches_domain(host: str, path: str, domain: str) -> bool:
    """Whether a page is in a domain such as `example.com` or `example.com/blog`."""
    name, _, prefix = (
        domain.partition("://")[2].partition("/") if "://" in domain else (domain.partition("/"))
    )
    name = name.lower().removeprefix("www.")
    if host != name and not host.endswith(f".{name}"):
        return False
    return not prefix or path.lstrip("/").startswith(prefix.rstrip("*"))
