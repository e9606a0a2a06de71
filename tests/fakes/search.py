"""Strict search endpoints: SearXNG's JSON API and Tavily's.

SearXNG (docs.searxng.org, Search API): `GET /search?q=...&format=json`; without a query 400,
without `format=json` a page of HTML. Tavily (docs.tavily.com): `POST /search` with a bearer
token, otherwise 401; a field of a wrong type is 422.
"""

from __future__ import annotations

import json
from typing import Any

import httpx

KEY = "tvly-secret"
PAGES: list[dict[str, Any]] = [
    {
        "title": "Oslo - Wikipedia",
        "url": "https://en.wikipedia.org/wiki/Oslo",
        "content": "Oslo is the capital of Norway with 717,710 inhabitants.",
        "publishedDate": "2026-01-02",
        "engine": "wikipedia",
        "score": 1.0,
    },
    {
        "title": "Visit Oslo",
        "url": "https://www.visitoslo.com/en/",
        "content": "The official travel guide.",
        "engine": "bing",
        "score": 0.5,
    },
    {"title": "No link", "url": "javascript:alert(1)", "content": "x"},
]


def searxng(request: httpx.Request) -> httpx.Response:
    """Respond as SearXNG with the JSON format enabled."""
    params = request.url.params
    if request.method != "GET" or request.url.path != "/search":
        return httpx.Response(404, text="<html>not found</html>")
    if not params.get("q"):
        return httpx.Response(400, text="<html>No query</html>")
    if params.get("format") != "json":
        return httpx.Response(200, text="<html>results</html>")
    body = {"query": params["q"], "number_of_results": 3, "results": PAGES, "answers": []}
    return httpx.Response(200, json=body)


def tavily(request: httpx.Request) -> httpx.Response:
    """Respond as Tavily's search."""
    if request.method != "POST" or request.url.path != "/search":
        return httpx.Response(404, json={"detail": "Not Found"})
    if request.headers.get("authorization") != f"Bearer {KEY}":
        error = "Unauthorized: missing or invalid API key."
        return httpx.Response(401, json={"detail": {"error": error}})
    body = json.loads(request.content)
    types = {"query": str, "max_results": int, "include_domains": list, "exclude_domains": list}
    if not body.get("query") or any(
        name not in types or not isinstance(value, types[name]) for name, value in body.items()
    ):
        return httpx.Response(422, json={"detail": [{"msg": "invalid", "loc": ["body"]}]})
    if not 0 <= body.get("max_results", 5) <= 20:
        return httpx.Response(400, json={"detail": {"error": "Invalid max_results"}})
    results = [{k: page[k] for k in ("title", "url", "content")} for page in PAGES]
    return httpx.Response(200, json={"query": body["query"], "results": results})
