"""Redis of a file -> REDIS_URL, which shares limits, budgets, cooldowns and cached responses.

LiteLLM reads the router's Redis in router_settings and the cache's in cache_params; here there
is one, and the router's comes first. Without host and URL, a cache of type `redis` uses the
variables REDIS_HOST, REDIS_PORT and REDIS_PASSWORD, as LiteLLM does. A value that names a
variable that is not set is reported and counts as absent, also as in LiteLLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from gateway.compat.litellm.config.reader import Node, UnsetVariable
from gateway.compat.litellm.config.report import Report

_DEFAULT_PORT = 6379
# Sections with a Redis, and the prefix of their keys.
_ROUTER, _CACHE = "redis_", ""


def find_redis_url(files: list[Node], environ: Mapping[str, str], report: Report) -> str:
    """Return the URL of the file's Redis; empty if it has none. Raises ConfigError."""
    urls: list[tuple[Node, str]] = []
    for file in files:
        router = file.get("router_settings")
        if router is not None and (url := _read_url(router, _ROUTER, report)):
            urls.append((router, url))
        library = file.get("litellm_settings")
        params = library.get("cache_params") if library is not None else None
        if params is not None and (url := _cache_url(params, environ, report)):
            urls.append((params, url))
    for node, url in urls[1:]:
        if url != urls[0][1]:
            report.add_skipped(node, f"its Redis is not used: the one at {urls[0][0].location} is")
    return urls[0][1] if urls else ""


def _cache_url(params: Node, environ: Mapping[str, str], report: Report) -> str:
    kind = params.get("type")
    if kind is None or not kind.text().startswith("redis"):
        return ""
    return (
        _read_url(params, _CACHE, report)
        or environ.get("REDIS_URL", "")
        or _environment_url(environ)
    )


def _environment_url(environ: Mapping[str, str]) -> str:
    host, password = environ.get("REDIS_HOST", ""), environ.get("REDIS_PASSWORD", "")
    return _build_url(host, environ.get("REDIS_PORT", ""), "", password, "") if host else ""


def _read_url(section: Node, prefix: str, report: Report) -> str:
    """Return the URL from `url`, or from host, port, user, password and database."""

    def text(name: str) -> str:
        node = section.get(name)
        return _set_text(node, report) if node is not None else ""

    for name in ("redis_url", f"{prefix}url"):
        if url := text(name):
            return url
    host = text(f"{prefix}host")
    if not host:
        return ""
    ssl = section.get(f"{prefix}ssl", "ssl")
    parts = (text(f"{prefix}{name}") for name in ("port", "username", "password", "db"))
    url = _build_url(host, *parts)
    return url.replace("redis://", "rediss://", 1) if ssl is not None and ssl.boolean() else url


def _set_text(node: Node, report: Report) -> str:
    """Return the text of a value; empty, with a remark, if its variable is not set."""
    try:
        return node.text(max_length=1000).strip()
    except UnsetVariable as unset:
        report.add_mistake(unset, "it is ignored")
        return ""


def _build_url(host: str, port: str, user: str, password: str, database: str) -> str:
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    url_host = f"[{host}]" if ":" in host else host
    path = f"/{quote(database, safe='')}" if database else ""
    return f"redis://{login}{url_host}:{port or _DEFAULT_PORT}{path}"
