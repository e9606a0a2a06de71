"""Runs guardrails: on a request before its first target, on a response before it is sent.

    guard_request   checks the client's body and rewrites it in place, so that the cache, the
                    translation and passthrough all see the rewritten one
    guard_response  the same for a whole response, in the client's dialect
    check_texts     all guardrails in order, on some texts; `guarded_stream` uses it too

Only requests that have guardrails enter this module.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.dialects import DIALECTS
from gateway.framing.headers import JSON_HEADER
from gateway.guardrails import services
from gateway.guardrails.body_texts import (
    has_duplicate_names,
    has_token_ids,
    remove_tokens,
    replace_texts,
    texts_of,
)
from gateway.guardrails.guardrail import (
    REWRITES,
    Guardrail,
    LiteLLMSettings,
    ModerationSettings,
    PatternSettings,
    PortkeySettings,
    PresidioSettings,
    Stage,
)
from gateway.guardrails.patterns import (
    PII,
    Detector,
    PatternTimeoutError,
    find_matches,
    mask_matches,
    time_limit_s,
)
from gateway.guardrails.services import Caller, GuardrailVerdict, InvalidVerdict
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call, Exchange
from gateway.relay.exchange.guard_state import GuardrailResult, GuardState
from gateway.relay.exchange.request_features import end_user_of
from gateway.relay.upstream.client import USER_AGENT
from gateway.relay.upstream.presidio_process import PresidioError
from gateway.routing.snapshot import Snapshot

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

BLOCKED_CODE = "guardrail_blocked"
UNAVAILABLE_CODE = "guardrail_unavailable"
MAX_REPLY_BYTES = 8 * 1024 * 1024
# Outcomes of a guardrail, from the least to the most important.
OUTCOMES = ("passed", "logged", "masked", "error", "blocked")


class CheckFailed(Exception):
    """A check could not be made; the message is for operators and clients, and has no secret."""


def guard_state_for(guardrails: Iterable[Guardrail]) -> GuardState:
    """The state of these guardrails before they have checked anything."""
    guardrails = list(guardrails)
    return GuardState(
        before=[guardrail for guardrail in guardrails if guardrail.check_requests],
        after=[guardrail for guardrail in guardrails if guardrail.check_responses],
    )


async def guard_request(runtime: Runtime, call: Call) -> None:
    """Check a request, and rewrite its body. Raises GatewayError if a guardrail blocks it.

    The guardrails are those of `call.guard` if it is set, else those of route, key and all
    requests.
    """
    exchange = call.exchange
    if call.guard is None:
        active_guardrails = exchange.snapshot.guardrails_for(exchange.route, exchange.key)
        if not active_guardrails:
            return
        call.guard = guard_state_for(active_guardrails)
    if not call.guard.before or not exchange.fields:
        return
    size = len(exchange.body)
    try:
        document = await offload.run(size, _decode_body, exchange.body)
        reject_token_ids(call.guard, document)
        await offload.run(size, reject_duplicate_names, call.guard, exchange.body, document)
        texts = await offload.run(size, texts_of, document)
        if not texts:
            return
        checked_texts, rewritten = await check_texts(
            runtime, call, "request", texts, document=document
        )
        if rewritten is None and checked_texts is not texts:
            rewritten = await offload.run(size, replace_texts, document, checked_texts)
    except RecursionError:
        raise invalid("the request body is nested too deeply") from None
    if rewritten is None:
        return
    for name, value in rewritten.items():
        if value is not document.get(name):
            exchange.fields[name] = msgspec.Raw(msgspec.json.encode(value))
    for name in document.keys() - rewritten.keys():
        exchange.fields.pop(name, None)
    exchange.body = msgspec.json.encode(exchange.fields)
    call.recorder.client_request = exchange.body


async def guard_earlier_responses(runtime: Runtime, call: Call) -> None:
    """Check the stored turns that a request continues from, and mask them for this request.

    They were checked when they were sent, but perhaps by the guardrails of another route.
    Raises GatewayError if a guardrail blocks them.
    """
    exchange = call.exchange
    if call.guard is None or not call.guard.before or not exchange.earlier_responses:
        return
    checked_responses: dict[str, Any] = {}
    for response_id, turns in exchange.earlier_responses.items():
        document = {"input": [*turns["input"], *turns["output"]]}
        texts = await asyncio.to_thread(texts_of, document)
        if not texts:
            continue
        checked_texts, rewritten = await check_texts(
            runtime, call, "request", texts, document=document
        )
        if rewritten is None and checked_texts is not texts:
            rewritten = await asyncio.to_thread(replace_texts, document, checked_texts)
        if rewritten is not None:
            checked_responses[response_id] = {"input": rewritten["input"], "output": []}
    if checked_responses:
        exchange.earlier_responses = {**exchange.earlier_responses, **checked_responses}
        exchange.native_continuation = None  # the provider would use its own copy


def reject_token_ids(guard: GuardState, document: Any) -> None:
    """Raises GatewayError if a prompt is token ids and a guardrail would block or mask its text."""
    if any(guardrail.action != "log" for guardrail in guard.before) and has_token_ids(document):
        message = "token ids cannot be checked by the guardrails of this request; send text"
        raise GatewayError(Error(kind="content_policy", message=message, code=BLOCKED_CODE))


def _decode_body(body: bytes) -> dict[str, Any]:
    decoded_body: dict[str, Any] = offload.decode(body)
    return decoded_body


def reject_duplicate_names(guard: GuardState, body: bytes, document: Any) -> None:
    """Raises GatewayError if a request has a value that its guardrails do not check."""
    if has_unchecked_values(guard.before, body, document):
        message = "an object in the request has a field twice; send it once"
        raise GatewayError(Error(kind="content_policy", message=message, code=BLOCKED_CODE))


def has_unchecked_values(guardrails: list[Guardrail], body: bytes, document: Any) -> bool:
    """Whether a field has two values, of which these guardrails would only block or mask the last.

    The receiver may use the first one.
    """
    return any(guardrail.action != "log" for guardrail in guardrails) and has_duplicate_names(
        body, document
    )


def _decode_response(guard: GuardState | None, body: bytes) -> Any:
    document = msgspec.json.decode(body)
    if guard is not None and has_unchecked_values(guard.after, body, document):
        message = "an object in the response has a field twice, which guardrails cannot check"
        raise GatewayError(Error(kind="content_policy", message=message, code=UNAVAILABLE_CODE))
    return document


async def guard_response(runtime: Runtime, call: Call, body: bytes) -> bytes:
    """A whole response in the client's dialect, rewritten by its guardrails if necessary.

    Raises GatewayError if one of them blocks it.
    """
    size = len(body)
    try:
        document = await offload.run(size, _decode_response, call.guard, body)
        texts = await offload.run(size, texts_of, document)
        if not texts:
            return body
        checked_texts, rewritten = await check_texts(
            runtime, call, "response", texts, document=document
        )
        if rewritten is None and checked_texts is not texts:
            rewritten = await offload.run(size, replace_texts, document, checked_texts)
        if rewritten is not None:
            rewritten = await offload.run(size, remove_tokens, rewritten)
    except (RecursionError, msgspec.MsgspecError):
        raise GatewayError(
            _unavailable_error("response", "", "the response cannot be parsed")
        ) from None
    return body if rewritten is None else msgspec.json.encode(rewritten)


async def guard_text(runtime: Runtime, call: Call, body: bytes) -> bytes:
    """A response that is plain text, rewritten by its guardrails if necessary.

    Raises GatewayError if one of them blocks it.
    """
    if not body:
        return body
    texts = [body.decode("utf-8", "replace")]
    checked_texts, _ = await check_texts(runtime, call, "response", texts)
    return body if checked_texts is texts else checked_texts[0].encode()


async def check_texts(
    runtime: Runtime,
    call: Call,
    stage: Stage,
    texts: list[str],
    *,
    document: Any = None,
    context: str = "",
    guardrails: Sequence[Guardrail] | None = None,
) -> tuple[list[str], Any]:
    """Run the guardrails of a stage on texts, each on the result of the one before.

    Return the texts, the same list if none has changed, and the rewritten document if a webhook
    has returned one. `context` is text before the first text that has been checked already.
    Raises GatewayError if a guardrail blocks.
    """
    guard = call.guard
    assert guard is not None
    rewritten: Any = None
    original = texts
    if guardrails is None:
        guardrails = guard.before if stage == "request" else guard.after
    for guardrail in guardrails:
        started_s = time.perf_counter()
        result = GuardrailResult(name=guardrail.name, kind=guardrail.kind, stage=stage)
        try:
            current_document = document if rewritten is None else rewritten
            if (
                current_document is not None
                and texts is not original
                and guardrail.kind == "portkey"
            ):
                current_document = replace_texts(current_document, texts)
            verdict = await _run_guardrail(
                runtime, call, guardrail, stage, texts, current_document, context
            )
        except CheckFailed as failure:
            result.outcome, result.error = "error", str(failure)
            _add_result(guard, result, started_s)
            if guardrail.on_error == "block" and guardrail.action != "log":
                raise GatewayError(
                    _unavailable_error(stage, guardrail.name, str(failure))
                ) from None
            continue
        result.findings = verdict.findings
        if call.recorder.enabled:
            result.reason = verdict.reason
        result.outcome = _verdict_outcome(guardrail, verdict)
        _add_result(guard, result, started_s)
        if result.outcome == "blocked":
            raise GatewayError(_blocked_error(stage, guardrail.name))
        if result.outcome != "masked":
            continue
        if verdict.document is not None:
            rewritten = verdict.document
            original = texts = texts_of(rewritten)
        elif verdict.texts is not None:
            texts = [
                old if old == new else new for old, new in zip(texts, verdict.texts, strict=True)
            ]
    if rewritten is not None and texts is not original:
        rewritten = replace_texts(rewritten, texts)
    return texts, rewritten


def _verdict_outcome(guardrail: Guardrail, verdict: GuardrailVerdict) -> str:
    if not verdict.findings:
        return "passed"
    if guardrail.action == "log":
        return "logged"
    if verdict.blocked:
        return "blocked"
    if verdict.texts is not None or verdict.document is not None:
        return "masked"
    return "blocked" if guardrail.kind not in REWRITES else "passed"


def _add_result(guard: GuardState, result: GuardrailResult, started_s: float) -> None:
    """Add a result; further checks of a stream are added to the first."""
    result.duration_ms = round((time.perf_counter() - started_s) * 1000, 3)
    for previous_result in guard.results:
        if (previous_result.name, previous_result.stage) == (result.name, result.stage):
            break
    else:
        guard.results.append(result)
        return
    previous_result.duration_ms = round(previous_result.duration_ms + result.duration_ms, 3)
    previous_result.findings = {
        name: previous_result.findings.get(name, 0) + result.findings.get(name, 0)
        for name in [*previous_result.findings, *result.findings]
    }
    previous_result.outcome = max(previous_result.outcome, result.outcome, key=OUTCOMES.index)
    previous_result.error, previous_result.reason = (
        previous_result.error or result.error,
        previous_result.reason or result.reason,
    )


def _blocked_error(stage: Stage, name: str) -> Error:
    message = f"the {stage} was blocked by the guardrail `{name}`"
    return Error(kind="content_policy", message=message, code=BLOCKED_CODE)


def _unavailable_error(stage: Stage, name: str, reason: str) -> Error:
    message = (
        f"the {stage} was rejected, because the guardrail `{name}` could not check it: {reason}"
    )
    # A rejected response must neither be requested again nor count against its target.
    kind = "overloaded" if stage == "request" else "content_policy"
    return Error(kind=kind, message=message, code=UNAVAILABLE_CODE)


# --- one check --------------------------------------------------------------------------


async def _run_guardrail(
    runtime: Runtime,
    call: Call,
    guardrail: Guardrail,
    stage: Stage,
    texts: list[str],
    document: Any,
    context: str,
) -> GuardrailVerdict:
    """One guardrail's verdict on texts. Raises CheckFailed."""
    if guardrail.fault:
        raise CheckFailed(guardrail.fault)
    settings, mask = guardrail.settings, guardrail.action == "mask"
    if isinstance(settings, PatternSettings):
        return await asyncio.to_thread(check_patterns, settings, texts, context, mask=mask)
    caller = _caller_of(call)
    try:
        if isinstance(settings, PresidioSettings) and not settings.url:
            await runtime.presidio.start()  # its first start takes longer than a check may
        async with asyncio.timeout(guardrail.timeout_s):
            match settings:
                case ModerationSettings():
                    shown_texts = [context + texts[0], *texts[1:]]
                    request = services.moderation_request(settings, shown_texts)
                    reply = await _request_moderation(runtime, call, guardrail, settings, request)
                    return services.moderation_verdict(settings, reply)
                case PresidioSettings():
                    shown_texts = texts if mask else [context + texts[0], *texts[1:]]
                    reply = await _analyze_with_presidio(runtime, guardrail, settings, shown_texts)
                    return services.presidio_verdict(settings, shown_texts, reply, mask=mask)
                case LiteLLMSettings():
                    request = services.litellm_request(settings, texts, stage, caller)
                    url = services.litellm_url(settings.url)
                    reply = await _post_to_service(runtime, guardrail, url, request)
                    return services.litellm_verdict(texts, reply)
                case PortkeySettings():
                    request = services.portkey_request(settings, texts, stage, caller, document)
                    reply = await _post_to_service(runtime, guardrail, settings.url, request)
                    return services.portkey_verdict(stage, reply)
    except TimeoutError:
        raise CheckFailed(f"no response within {guardrail.timeout_s:g} s") from None
    except PresidioError as error:
        raise CheckFailed(str(error)) from None
    except InvalidVerdict as error:
        raise CheckFailed(f"its response is not valid: {error}") from None
    raise AssertionError("unreachable")


def check_patterns(
    settings: PatternSettings, texts: Sequence[str], context: str = "", *, mask: bool
) -> GuardrailVerdict:
    """The verdict of patterns; `context` is text before the first one. Raises CheckFailed."""
    detectors = [(name, PII[name]) for name in settings.pii]
    detectors += [(item.name, Detector(item.pattern)) for item in settings.patterns]
    match_counts: dict[str, int] = {}
    masked_texts: list[str] = []
    limit_s = time_limit_s(sum(map(len, texts)))
    deadline = time.monotonic() + limit_s
    for number, text in enumerate(texts):
        before = context if number == 0 else ""
        try:
            matches = find_matches(
                before + text, detectors, len(before), deadline - time.monotonic()
            )
        except PatternTimeoutError:
            raise CheckFailed(f"its patterns took longer than {limit_s:.1f} s") from None
        for match in matches:
            match_counts[match.name] = match_counts.get(match.name, 0) + 1
        masked_texts.append(
            mask_matches(before + text, matches)[len(before) :] if matches else text
        )
    return GuardrailVerdict(
        findings=match_counts, texts=masked_texts if mask and match_counts else None
    )


def _caller_of(call: Call) -> Caller:
    exchange = call.exchange
    key = exchange.key
    return Caller(
        request_id=exchange.id,
        model=exchange.model,
        key_name=key.name if key is not None else "",
        key_id=key.id if key is not None else 0,
        team=key.team.name if key is not None and key.team is not None else "",
        end_user=end_user_of(exchange),
        stream=exchange.stream,
        endpoint=exchange.endpoint,
    )


async def _request_moderation(
    runtime: Runtime,
    call: Call,
    guardrail: Guardrail,
    settings: ModerationSettings,
    request: dict[str, Any],
) -> Any:
    provider = call.exchange.snapshot.providers.get(settings.provider)
    if provider is None:
        raise CheckFailed(f"there is no provider `{settings.provider}`")
    url = runtime.request_templates.url(provider, "/moderations")
    headers = runtime.request_templates.headers(provider, {})
    return await _request_json(
        runtime, url, headers, request, guardrail.timeout_s, provider.network
    )


async def _analyze_with_presidio(
    runtime: Runtime, guardrail: Guardrail, settings: PresidioSettings, texts: list[str]
) -> Any:
    """Presidio's entities in the texts. Raises CheckFailed, PresidioError."""
    if settings.url:
        request = services.presidio_request(settings, texts)
        return await _post_to_service(
            runtime, guardrail, f"{settings.url.rstrip('/')}/analyze", request
        )
    return await runtime.presidio.analyze(
        services.presidio_text(texts),
        language=settings.language,
        spacy_model=settings.spacy_model,
        entities=settings.entities,
        min_score=settings.min_score,
        timeout_s=guardrail.timeout_s,
    )


async def _post_to_service(
    runtime: Runtime, guardrail: Guardrail, url_text: str, request: dict[str, Any]
) -> Any:
    url = httpx.URL(url_text)
    headers = [
        (b"host", url.netloc),
        JSON_HEADER,
        (b"accept", b"application/json"),
        (b"accept-encoding", b"identity"),
        (b"user-agent", USER_AGENT),
    ]
    if guardrail.credential:
        secret = guardrail.credential.reveal().encode("latin-1", "replace")
        is_litellm = guardrail.kind == "litellm"
        name, value = (
            (b"x-api-key", secret) if is_litellm else (b"authorization", b"Bearer " + secret)
        )
        headers.append((name, value))
    return await _request_json(
        runtime, url, httpx.Headers(headers), request, guardrail.timeout_s, None
    )


async def _request_json(
    runtime: Runtime,
    url: httpx.URL,
    headers: httpx.Headers,
    request: dict[str, Any],
    timeout_s: float,
    network: Any,
) -> Any:
    """The JSON of a service's response. Raises CheckFailed."""
    try:
        upstream_response = await runtime.upstreams.send(
            "POST", url, headers, msgspec.json.encode(request), timeout_s, network=network
        )
    except GatewayError as failure:
        raise CheckFailed(failure.error.message) from None
    is_complete = False
    try:
        data = await upstream_response.read_all(MAX_REPLY_BYTES)
        is_complete = True
        if not 200 <= upstream_response.status < 300:
            raise CheckFailed(f"HTTP {upstream_response.status}")
        return msgspec.json.decode(data)
    except GatewayError as failure:
        raise CheckFailed(failure.error.message) from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise CheckFailed("its response is not valid JSON") from None
    finally:
        await upstream_response.close(sound=is_complete)


# --- a trial ----------------------------------------------------------------------------


class Trial(msgspec.Struct, frozen=True):
    """The result of a guardrail on one text; `text` is the rewritten one, None if unchanged."""

    result: GuardrailResult
    text: str | None


async def try_guardrail(
    runtime: Runtime, snapshot: Snapshot, guardrail: Guardrail, text: str
) -> Trial:
    """Run a guardrail on a text as on a request of one message; nothing is logged."""
    exchange = Exchange(
        request_id="trial",
        endpoint="console",
        verb="generate",
        dialect=DIALECTS["openai_chat"],
        snapshot=snapshot,
        headers={},
        started=time.perf_counter(),
    )
    call = Call(exchange)
    call.recorder.enabled = True  # the reason of a service may be displayed
    call.guard = GuardState(before=[guardrail], after=[])
    document = {"messages": [{"role": "user", "content": text}]}
    masked_text: str | None = None
    with contextlib.suppress(GatewayError):
        texts, rewritten = await check_texts(runtime, call, "request", [text], document=document)
        texts = texts_of(rewritten) if rewritten is not None else texts
        masked_text = "\n".join(texts) if texts != [text] else None
    return Trial(call.guard.results[0], masked_text)
