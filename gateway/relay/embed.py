"""Embeddings on their way through the relay: what is sent, and what is made of the answer.

Targets, retries and fallbacks are the pipeline's, as for any call. A provider makes
embeddings in its own dialect, or in the one that `EMBED_IN` names for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.canon.embeddings import EmbedRequest, EmbedResponse
from gateway.canon.errors import Error, GatewayError, bad_upstream, invalid
from gateway.dialects import DIALECTS, EMBED_IN
from gateway.dialects.base import Dialect, EmbedProviderHalf, Exchange
from gateway.providers import edits as profile_edits
from gateway.relay.call import Call, Client, Header
from gateway.relay.prepare import Prepared, passed, passes_through, refuse_losses
from gateway.relay.reply import answer_headers, decode, passed_headers_of
from gateway.relay.settle import settle
from gateway.relay.upstream import Answer
from gateway.routing.snapshot import Provider, Route, Target

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# A form of Google's embeddings -> the path of it, where that is another.
_PATHS = {"content": "embed_content"}
_JSON: Header = (b"content-type", b"application/json")


def dialect_for(provider: Provider) -> Dialect:
    """The dialect in which a provider makes embeddings."""
    return DIALECTS[EMBED_IN.get(provider.dialect, provider.dialect)]


def half_of(provider: Provider) -> EmbedProviderHalf:
    """How a provider is asked for vectors. Raises GatewayError where it has none."""
    half = dialect_for(provider).embed_provider
    if half is None:
        message = f"the provider {provider.name} makes no embeddings"
        raise GatewayError(Error(kind="unsupported_param", message=message, param="model"))
    return half


def wanted(call: Call) -> EmbedRequest:
    """The canonical request. Raises GatewayError naming the field at fault."""
    client = call.dialect.embed_client
    if client is None:
        raise invalid("there are no embeddings in this dialect")
    body = decode(call.body)
    if call.dialect.model_in_path and isinstance(body, dict):
        body |= {"model": call.model}
    return client.parse_embed(body)


def prepare(call: Call, route: Route, target: Target) -> Prepared:
    """What to send. Raises GatewayError where it can not be said."""
    provider = target.model.provider
    half = half_of(provider)
    edits = (*provider.edits, *target.model.edits, *target.edits)
    name = target.model.name
    path = _path(half, target)
    same = passes_through(call.dialect, dialect_for(provider))
    # Where the path names the model, each text of a batch names it once more.
    if provider.passthrough and same and not call.dialect.model_in_path:
        path = call.dialect.passed_paths.get(call.endpoint, path)
        prepared = passed(call, name, edits, path)
    else:
        prepared = rendered(wanted(call), target)
    if route.strict:
        refuse_losses(prepared.report)
    return prepared


def rendered(asked: EmbedRequest, target: Target) -> Prepared:
    """A request in the provider's words. Raises GatewayError where it can not be said."""
    provider = target.model.provider
    half = half_of(provider)
    told = half.render_embed(asked, target.model.traits)
    body, report = told.body, told.report
    edits = (*provider.edits, *target.model.edits, *target.edits)
    if edits:
        body, more = profile_edits.apply(edits, body)
        report = (*report, *more)
    return Prepared(
        dialect=dialect_for(provider),
        content=msgspec.json.encode(body),
        path=_path(half, target),
        headers=told.headers,
        rendered=told,
        report=report,
    )


def _path(half: EmbedProviderHalf, target: Target) -> str:
    name = target.model.name
    form = target.model.traits.embed_form
    template = target.model.provider.paths.get(_PATHS.get(form, "embed"))
    return template.replace("{model}", name) if template else half.embed_path(name)


async def reply(
    runtime: Runtime, call: Call, client: Client, target: Target, answer: Answer
) -> None:
    """Send the vectors on. Raises GatewayError only before the first byte."""
    data = await answer.read_all()
    call.end_wait()
    call.recorder.upstream(data)
    body, headers = _content(call, target, data), []
    if call.passthrough:
        headers = passed_headers_of(answer, call)
    await send(runtime, call, client, target, body, headers)


async def send(
    runtime: Runtime, call: Call, client: Client, target: Target, body: bytes, headers: list[Header]
) -> None:
    """Settle, then send the whole answer."""
    client.status = 200
    client.headers = [_JSON, *answer_headers(call, target), *headers]
    settle(runtime, call, client)
    await client.reply(200, client.headers, body)


def _content(call: Call, target: Target, data: bytes) -> bytes:
    """The answer as the client gets it: as it came, or in the client's dialect."""
    half = half_of(target.model.provider)
    if call.passthrough:
        call.tap.note_embeddings(half.glance_embed(data) or half.parse_embed(decode(data)))
        return data
    asked, found = wanted(call), half.parse_embed(decode(data))
    if len(found.vectors) != len(asked.inputs):
        raise bad_upstream(
            f"the upstream gave {len(found.vectors)} vectors for {len(asked.inputs)} inputs"
        )
    call.tap.note_embeddings(found)
    body = msgspec.json.encode(shown(call, asked, found))
    call.recorder.client(body)
    return body


def shown(call: Call, asked: EmbedRequest, found: EmbedResponse) -> dict[str, object]:
    """The answer's JSON in the client's dialect."""
    client = call.dialect.embed_client
    assert client is not None
    exchange = Exchange(
        id=call.id.removeprefix("req_"),
        created=int(call.started_at),
        model=call.model,
        endpoint=call.endpoint,
    )
    return client.render_embed(found, asked, exchange)
