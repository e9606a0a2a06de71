"""Redis of a file -> REDIS_URL, which shares limits, budgets, cooldowns and cached responses.

LiteLLM reads the router's Redis in router_settings and the cache's in cache_params; here there
is one, and the router's comes first. Without host and URL, a cache of type `redis` uses the
variables REDIS_HOST, REDIS_PORT and REDIS_PASSWORD, as LiteLLM does.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.report import Report

_DEFAULT_PORT = 6379
# Sections with a Redis, and the prefix of their keys.
_ROUTER, _CACHE = "redis_", ""


def find_redis_url(files: list[Node], environ: Mapping[str, str], report: Report) -> str:
    """Return the URL of the file's Redis; empty if it has none. Raises Mistake."""
    urls: list[tuple[Node, str]] = []
    for file in files:
        router = file.get("router_settings")
        if router is not None and (url := _url(router, _ROUTER)):
            urls.append((router, url))
        library = file.get("litellm_settings")
        params = library.get("cache_params") if library is not None else None
        if params is not None and (url := _cache_url(params, environ)):
            urls.append((params, url))
    for node, url in urls[1:]:
        if url != urls[0][1]:
            report.add(node, f"its Redis is not used: the one at {urls[0][0].location} is")
    return urls[0][1] if urls else ""


def _cache_url(params: Node, environ: Mapping[str, str]) -> str:
    kind = params.get("type")
    if kind is None or not kind.text().startswith("redis"):
        return ""
    return _url(params, _CACHE) or environ.get("REDIS_URL", "") or _environment_url(environ)


def _environment_url(environ: Mapping[str, str]) -> str:
    host, password = environ.get("REDIS_HOST", ""), environ.get("REDIS_PASSWORD", "")
    return _build(host, environ.get("REDIS_PORT", ""), "", password, "") if host else ""


def _url(section: Node, prefix: str) -> str:
    """Return the URL from `url`, or from host, port, user, password and database."""
    for name in ("redis_url", f"{prefix}url"):
        if (node := section.get(name)) is not None:
            return node.text(max_length=1000).strip()
    host = _text(section, f"{prefix}host")
    if not host:
        return ""
    ssl = section.get(f"{prefix}ssl", "ssl")
    url = _build(
        host,
        _text(section, f"{prefix}port"),
        _text(section, f"{prefix}username"),
        _text(section, f"{prefix}password"),
        _text(section, f"{prefix}db"),
    )
    return url.replace("redis://", "rediss://", 1) if ssl is not None and ssl.flag() else url


def _text(section: Node, name: str) -> str:
    node = section.get(name)
    return node.text(max_length=1000).strip() if node is not None else ""


def _build(host: str, port: str, user: str, password: str, database: str) -> str:
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    bracketed = f"[{host}]" if ":" in host else host
    path = f"/{quote(database, safe='')}" if database else ""
    return f"redis://{login}{bracketed}:{port or _DEFAULT_PORT}{path}"
