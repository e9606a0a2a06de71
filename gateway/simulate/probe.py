"""One small live call of a target, for `manage.py probe` and the console."""

from __future__ import annotations

import asyncio
import time

import httpx
import msgspec

from gateway.canon.embeddings import EmbedRequest
from gateway.canon.errors import GatewayError, bad_upstream
from gateway.canon.request import Request, Text, Turn
from gateway.dialects import DIALECTS
from gateway.providers.auth import credential_secrets
from gateway.providers.redact import scrub
from gateway.relay.run.embeddings import embed_adapter, render_embed_request
from gateway.relay.run.reply import decode
from gateway.relay.translate.prepare import (
    PreparedRequest,
    apply_surface,
    translate_request,
    url_path,
)
from gateway.relay.upstream.access_tokens import AccessTokens
from gateway.relay.upstream.client import SUCCESS_STATUSES, RequestTemplates, Upstreams
from gateway.routing.snapshot import Snapshot, Target

# Dialects of embeddings and of completions, at the base URL of Chat.
_EMBEDDING_DIALECT, _COMPLETION_DIALECT = "openai_embeddings", "openai_completions"


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a call: `detail` is the model's response, or the upstream's error message.

    `status` is the upstream's HTTP status if the call failed; None if there was none.
    """

    target: str
    ok: bool
    ms: float
    detail: str
    status: int | None = None


async def probe(
    upstreams: Upstreams, target: Target, *, timeout_s: float = 20.0, secrets: tuple[str, ...] = ()
) -> ProbeResult:
    """Send a target a short prompt. Never raises for a failure of the upstream."""
    start_time = time.perf_counter()
    status: int | None = None
    try:
        async with asyncio.timeout(timeout_s):
            ok, detail = True, await _probe_text(upstreams, target)
    except TimeoutError:
        ok, detail = False, f"no response within {timeout_s:g} s"
    except GatewayError as failure:
        ok, detail = False, failure.error.message
        status = failure.error.status
    ms = round((time.perf_counter() - start_time) * 1000, 1)
    scrubbed_detail = scrub(detail, secrets)[:300]
    return ProbeResult(
        target=target.model.label, ok=ok, ms=ms, detail=scrubbed_detail, status=status
    )


async def probe_all(
    snapshot: Snapshot, targets: list[Target], *, timeout_s: float = 20.0
) -> list[ProbeResult]:
    """Probe the targets one after the other."""
    upstreams = Upstreams()
    credentials = (p.credential.reveal() for p in snapshot.providers.values())
    secrets = tuple(part for value in credentials for part in credential_secrets(value))
    try:
        return [
            await probe(upstreams, target, timeout_s=timeout_s, secrets=secrets)
            for target in targets
        ]
    finally:
        await upstreams.close()


async def _probe_text(upstreams: Upstreams, target: Target) -> str:
    model = target.model
    if model.traits.embeddings == "only" or model.provider.dialect == _EMBEDDING_DIALECT:
        return await _probe_embedding(upstreams, target)
    dialect = DIALECTS[generating_dialect(target)]
    request = Request(
        model=target.model.name,
        max_output=64,
        turns=(Turn(role="user", parts=(Text(text="Say the word hello."),)),),
    )
    provider = target.model.provider
    edits = (*provider.edits, *target.model.edits, *target.edits)
    path = url_path(dialect, target, stream=False, verb="generate")
    prepared_request = translate_request(request, dialect, target.model.traits, edits, path)
    if provider.model_in_path or provider.body:
        prepared_request = apply_surface(prepared_request, provider, "generate", path)
    data = await _send_probe(upstreams, target, prepared_request)
    response = dialect.provider.parse_response(
        decode(data), target.model.traits, prepared_request.rendered_request
    )
    text = "".join(part.text for part in response.parts if isinstance(part, Text))
    return text.strip() or f"answered, finish {response.finish.reason}"


def generating_dialect(target: Target) -> str:
    """Return the dialect of a model's text generation: completions if it supports nothing else."""
    dialect = target.model.provider.dialect
    completions_only = target.model.traits.completions == "only"
    return _COMPLETION_DIALECT if completions_only and dialect == "openai_chat" else dialect


async def _probe_embedding(upstreams: Upstreams, target: Target) -> str:
    """Request one embedding, from a model that only makes embeddings."""
    prepared_request = render_embed_request(
        EmbedRequest(model=target.model.name, inputs=("hello",)), target
    )
    data = await _send_probe(upstreams, target, prepared_request)
    vectors = embed_adapter(target.model.provider).parse_embed(decode(data)).vectors
    if not vectors:
        raise bad_upstream("the upstream's response contains no embedding")
    return f"an embedding of {len(vectors[0])} numbers"


async def _send_probe(
    upstreams: Upstreams, target: Target, prepared_request: PreparedRequest
) -> bytes:
    """Return the body of a response with status 200. Raises GatewayError."""
    provider = target.model.provider
    templates = RequestTemplates()
    url: httpx.URL = templates.url(provider, prepared_request.path)
    headers = templates.headers(provider, prepared_request.headers)
    headers = await AccessTokens().headers(provider, "POST", url, headers, prepared_request.content)
    upstream_response = await upstreams.send(
        "POST", url, headers, prepared_request.content, 10.0, network=provider.network
    )
    try:
        data = await upstream_response.read_all(1024 * 1024)
    finally:
        await upstream_response.close()
    if upstream_response.status not in SUCCESS_STATUSES:
        parse = prepared_request.dialect.provider.parse_error
        raise GatewayError(parse(upstream_response.status, upstream_response.headers, data))
    return data
