"""Runs the requests of a probe. Never raises for a failure of the upstream."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.events import Event
from gateway.canon.fold import fold_events
from gateway.canon.request import Request
from gateway.canon.response import Usage
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import Dialect, Verb
from gateway.doctor.values import Probe, ProbeReply
from gateway.framing.eventstream import CorruptMessage
from gateway.framing.formats import STREAM_FORMATS
from gateway.framing.sse import FrameTooLarge
from gateway.providers.auth import credential_secrets
from gateway.providers.capabilities import merge_traits
from gateway.providers.redact import scrub
from gateway.relay.run.reply import decode
from gateway.relay.translate.prepare import (
    ALTERNATIVE_DIALECT,
    PreparedRequest,
    apply_surface,
    has_call,
    translate_request,
    url_path,
)
from gateway.relay.upstream.access_tokens import AccessTokens
from gateway.relay.upstream.client import (
    SUCCESS_STATUSES,
    RequestTemplates,
    UpstreamResponse,
    Upstreams,
    send_with_token,
)
from gateway.routing.snapshot import Target

CONNECT_S = 10.0
MAX_BYTES = 8 * 1024 * 1024
_NO_CALL = Error(kind="unsupported_param", message="its API format does not support it")


class ProbeClient:
    """Calls one target; `target.model.traits` are the traits of the capability tables."""

    def __init__(self, upstreams: Upstreams, target: Target) -> None:
        self._upstreams = upstreams
        self._target = target
        self._lines = RequestTemplates()
        self._tokens = AccessTokens()
        provider = target.model.provider
        self._secrets = credential_secrets(provider.credential.reveal())

    def scrub(self, text: str) -> str:
        """Remove the credential from an upstream's text, since some upstreams echo it."""
        return scrub(text, self._secrets)

    async def ask(self, probe: Probe) -> ProbeReply:
        """Send the requests of a probe: the second continues from the response to the first."""
        target = self._with_model(probe.model) if probe.model else self._target
        traits = merge_traits(target.model.traits, probe.assume(target.model.traits))
        request = replace(probe.request, model=target.model.name)
        first_reply = await self._send_request(target, request, traits, probe.verb)
        if probe.follow_up is None or first_reply.response is None:
            return first_reply
        second_request = probe.follow_up(request, first_reply.response)
        if second_request is None:
            return first_reply
        last_reply = await self._send_request(target, second_request, traits, probe.verb)
        return replace(
            last_reply, first_reply=first_reply, usages=(*first_reply.usages, *last_reply.usages)
        )

    def _with_model(self, name: str) -> Target:
        """Return the target under the name of another model."""
        model = self._target.model
        traits = replace(model.traits, model=name)
        return replace(self._target, model=replace(model, name=name, traits=traits))

    async def _send_request(
        self, target: Target, request: Request, traits: Traits, verb: Verb
    ) -> ProbeReply:
        prepared_request: PreparedRequest | None = None
        try:
            dialect = _dialect_for(target, request, traits, verb)
            if verb != "generate" and not has_call(dialect, target, verb):
                return ProbeReply(error=_NO_CALL)
            prepared_request = _prepare_request(dialect, target, request, traits, verb)
            reply = await self._send_prepared(target, prepared_request, traits, request, verb)
        except GatewayError as failure:
            reply = ProbeReply(error=failure.error)
        report = prepared_request.report if prepared_request is not None else ()
        return replace(reply, report=report)

    async def _send_prepared(
        self,
        target: Target,
        prepared_request: PreparedRequest,
        traits: Traits,
        request: Request,
        verb: Verb,
    ) -> ProbeReply:
        provider = target.model.provider
        url = self._lines.url(provider, prepared_request.path)
        headers = self._lines.headers(provider, prepared_request.headers)
        upstream_response = await send_with_token(
            self._upstreams,
            self._tokens,
            provider,
            "POST",
            url,
            headers,
            prepared_request.content,
            CONNECT_S,
        )
        try:
            return await _read_reply(upstream_response, prepared_request, traits, verb)
        finally:
            await upstream_response.close()


def _dialect_for(target: Target, request: Request, traits: Traits, verb: Verb) -> Dialect:
    """Return the provider's own dialect, or its sibling if live traffic uses that."""
    dialect = DIALECTS[target.model.provider.dialect]
    sibling_name = ALTERNATIVE_DIALECT.get(dialect.name)
    if sibling_name is None or not traits.responses or verb in target.model.provider.paths:
        return dialect
    is_required = traits.responses_only or (
        traits.responses_required_with_tools and bool(request.tools)
    )
    return DIALECTS[sibling_name] if is_required or verb == "count_tokens" else dialect


def _prepare_request(
    dialect: Dialect, target: Target, request: Request, traits: Traits, verb: Verb
) -> PreparedRequest:
    provider = target.model.provider
    edits = (*provider.edits, *target.model.edits, *target.edits)
    path = url_path(dialect, target, stream=request.stream, verb=verb)
    prepared_request = translate_request(request, dialect, traits, edits, path, verb=verb)
    if provider.model_in_path or provider.body:
        return apply_surface(prepared_request, provider, verb, path)
    return prepared_request


async def _read_reply(
    upstream_response: UpstreamResponse,
    prepared_request: PreparedRequest,
    traits: Traits,
    verb: Verb,
) -> ProbeReply:
    dialect = prepared_request.dialect
    if upstream_response.status not in SUCCESS_STATUSES:
        data = await upstream_response.read_all(MAX_BYTES)
        error = dialect.provider.parse_error(
            upstream_response.status, upstream_response.headers, data
        )
        return ProbeReply(error=replace(error, status=error.status or upstream_response.status))
    if STREAM_FORMATS[dialect.framing].matches(
        upstream_response.content_type, await upstream_response.peek()
    ):
        return await _read_stream(upstream_response, prepared_request, traits)
    if upstream_response.content_type and "json" not in upstream_response.content_type:
        raise bad_upstream(
            f"the response was {upstream_response.content_type.partition(';')[0]}, not JSON"
        )
    body: Any = decode(await upstream_response.read_all(MAX_BYTES))
    if verb == "count_tokens":
        return ProbeReply(count=dialect.provider.parse_count(body))
    response = dialect.provider.parse_response(body, traits, prepared_request.rendered_request)
    return ProbeReply(response=response, usages=_reported_usage(response.usage))


async def _read_stream(
    upstream_response: UpstreamResponse, prepared_request: PreparedRequest, traits: Traits
) -> ProbeReply:
    dialect = prepared_request.dialect
    decoder = STREAM_FORMATS[dialect.framing].new_decoder()
    parser = dialect.provider.stream_parser(traits, prepared_request.rendered_request)
    events: list[Event] = []
    read = 0
    try:
        while data := await upstream_response.read():
            read += len(data)
            if read > MAX_BYTES:
                raise bad_upstream("the stream does not end")
            for frame in decoder.feed(data):
                events += parser.feed(frame)
        for frame in decoder.close():
            events += parser.feed(frame)
    except CorruptMessage as error:
        raise bad_upstream(f"the stream is corrupt: {error}") from None
    except FrameTooLarge:
        raise bad_upstream("an event of the stream is too large") from None
    events += parser.close()
    response = fold_events(events)
    return ProbeReply(
        response=response,
        events=tuple(events),
        streamed=True,
        usages=_reported_usage(response.usage),
    )


def _reported_usage(usage: Usage | None) -> tuple[Usage, ...]:
    return () if usage is None else (usage,)
