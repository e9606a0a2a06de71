"""One small live call of a target, for `manage.py probe` and the console."""

from __future__ import annotations

import asyncio
import time

import httpx
import msgspec

from gateway.canon.errors import GatewayError
from gateway.canon.request import Request, Text, Turn
from gateway.dialects import DIALECTS
from gateway.providers.auth import secrets_of
from gateway.providers.redact import scrub
from gateway.relay.prepare import on_surface, translated, url_path
from gateway.relay.reply import decode
from gateway.relay.runtime import Lines
from gateway.relay.tokens import Tokens
from gateway.relay.upstream import Upstreams
from gateway.routing.snapshot import Snapshot, Target


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: `detail` is the model's words, or the upstream's about the failure."""

    target: str
    ok: bool
    ms: float
    detail: str


async def probe(
    upstreams: Upstreams, target: Target, *, timeout_s: float = 20.0, secrets: tuple[str, ...] = ()
) -> ProbeResult:
    """Ask a target for one word. Never raises for a failure of the upstream."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_s):
            ok, detail = True, await _ask(upstreams, target)
    except TimeoutError:
        ok, detail = False, f"no answer within {timeout_s:g} s"
    except GatewayError as failure:
        ok, detail = False, failure.error.message
    ms = round((time.perf_counter() - started) * 1000, 1)
    shown = scrub(detail, secrets)[:300]
    return ProbeResult(target=target.model.label, ok=ok, ms=ms, detail=shown)


async def probe_all(
    snapshot: Snapshot, targets: list[Target], *, timeout_s: float = 20.0
) -> list[ProbeResult]:
    """Probe targets one after the other."""
    upstreams = Upstreams()
    revealed = (p.credential.reveal() for p in snapshot.providers.values())
    secrets = tuple(part for value in revealed for part in secrets_of(value))
    try:
        return [
            await probe(upstreams, target, timeout_s=timeout_s, secrets=secrets)
            for target in targets
        ]
    finally:
        await upstreams.close()


async def _ask(upstreams: Upstreams, target: Target) -> str:
    provider = target.model.provider
    dialect = DIALECTS[provider.dialect]
    request = Request(
        model=target.model.name,
        max_output=64,
        turns=(Turn(role="user", parts=(Text(text="Say the word hello."),)),),
    )
    edits = (*provider.edits, *target.model.edits, *target.edits)
    path = url_path(dialect, target, stream=False, verb="generate")
    prepared = translated(request, dialect, target.model.traits, edits, path)
    prepared = on_surface(prepared, provider, "generate", path)
    lines = Lines()
    url: httpx.URL = lines.url(provider, prepared.path)
    headers = lines.headers(provider, prepared.headers)
    headers = await Tokens().headers(provider, "POST", url, headers, prepared.content)
    answer = await upstreams.send("POST", url, headers, prepared.content, 10.0)
    try:
        data = await answer.read_all(1024 * 1024)
    finally:
        await answer.close()
    if answer.status != 200:
        raise GatewayError(dialect.provider.parse_error(answer.status, answer.headers, data))
    response = dialect.provider.parse_response(decode(data), target.model.traits, prepared.rendered)
    text = "".join(part.text for part in response.parts if isinstance(part, Text))
    return text.strip() or f"answered, finish {response.finish.reason}"
