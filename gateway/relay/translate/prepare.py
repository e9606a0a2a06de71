"""Builds the request to one target from a client's request: passthrough or translation.

The same code serves live traffic, the dry run and `/api/translate`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode

import msgspec

from gateway.canon import model_names
from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import Error, GatewayError
from gateway.canon.request import ReasoningConfig, Request
from gateway.canon.signature import FOREIGN_CITATIONS, TOKEN_STARTS
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.anthropic_messages import threads
from gateway.dialects.base import WHOLE_CALL_FRAMINGS, Dialect, RenderedRequest, Verb
from gateway.dialects.openai_responses.stored_responses import with_encrypted_reasoning
from gateway.dialects.shared.server_tools import responses_type
from gateway.dialects.shared.web_search import NAME as WEB_SEARCH
from gateway.providers import edits as profile_edits
from gateway.providers.call_ids import shorten_call_ids
from gateway.providers.families import OPENAI
from gateway.providers.parameters import drop_refused
from gateway.providers.profile import Edit
from gateway.providers.redact import is_secret_name
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call, Exchange
from gateway.relay.exchange.guard_state import GuardState
from gateway.relay.exchange.reasoning_turns import drop_state, restore_state
from gateway.relay.exchange.searched_bodies import LARGE_BYTES, SearchedBodies
from gateway.relay.translate.context_size import context_edits
from gateway.relay.translate.media_parts import (
    add_fetch_hint,
    add_fetch_hints,
    inline_media,
    parts_to_fetch,
)
from gateway.relay.translate.prompt_cache import (
    add_breakpoints_to_fields,
    add_breakpoints_to_request,
    needs_breakpoints,
)
from gateway.routing.snapshot import ApiKey, Provider, Route, Target

Fields = dict[str, msgspec.Raw]
# Request headers that belong to a dialect and are sent on passthrough. All
# others (cookies, forwarding headers, credentials) are dropped.
PASSTHROUGH_HEADERS = (
    "anthropic-version",
    "anthropic-beta",
    "anthropic-user-profile-id",
    "anthropic-workspace-id",
    "openai-beta",
    "idempotency-key",
)
_IDEMPOTENCY = "idempotency-key"
_searched_bodies = SearchedBodies(offload.contains)
# Values that only the gateway writes, and that a provider would reject.
_GATEWAY_MARKERS = (*TOKEN_STARTS, *FOREIGN_CITATIONS)
# Each marker contains one of these, for which a body is searched first.
_GATEWAY_MARKER_PARTS = (b"dgm", b'"ZGdtMS', b'"encrypted_index"')
# Dialects. A base URL with Chat may also serve Responses and Completions (`Traits.responses`,
# `Traits.completions`).
_ANTHROPIC, _OLLAMA = "anthropic_messages", "ollama"
_CHAT, _RESPONSES, _COMPLETIONS = "openai_chat", "openai_responses", "openai_completions"
_THINKING = "thinking"
# Dialect -> another one that the same base URL may serve.
ALTERNATIVE_DIALECT = {_CHAT: _RESPONSES}
# Tools that OpenAI runs in Responses for clients of other APIs, and texts that a body with such a
# tool contains.
_BUILT_IN_TOOLS = frozenset({"web_search", "code_interpreter", "mcp"})
_BUILT_IN_HINTS = (
    *(b'"web_search', b'"code_execution', b'"codeExecution"', b'"googleSearch"'),
    *(b'"google_search"', b'"mcp_toolset"', b'"mcp"', b'"code_interpreter"'),
    *(b'"file_search"', b'"x_search"'),
)
# Fields that `Dialect.fit_passed_tools` changes.
_TOOL_FIELDS = frozenset({"tools", "tool_choice", "web_search_options"})
# Additional dialect of a provider -> its key in the provider's `paths`.
_PATH_KEYS = {_RESPONSES: "responses", _COMPLETIONS: "completions"}


class PreparedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request to a target. `rendered_request` is None on passthrough.

    `dialect` is the dialect used with the target for this request.
    """

    dialect: Dialect
    content: bytes
    path: str
    headers: dict[str, str] = {}
    rendered_request: RenderedRequest | None = None
    report: tuple[Adaptation, ...] = ()


def prepare(
    call: Call, route: Route, target: Target, changed_request: Request | None = None
) -> PreparedRequest:
    """The upstream request of this call. Raises GatewayError if it cannot be expressed.

    `changed_request` is translated instead of the client's request, and never passed through.
    """
    exchange, provider, traits = call.exchange, target.model.provider, target.model.traits
    dialect = upstream_dialect(call, target)
    passes = changed_request is None and uses_passthrough(call, target, dialect)
    edits = (*provider.edits, *target.model.edits, *target.edits)
    if traits.default_context and not passes and dialect.name == _OLLAMA:
        edits = (*edits, *context_edits(exchange, traits))
    sets_breakpoints = (
        route.prompt_cache
        and exchange.verb == "generate"
        and needs_breakpoints(exchange.body, traits)
    )
    path = url_path(dialect, target, stream=exchange.stream, verb=exchange.verb)
    if "fim" in provider.paths and uses_fim(call, target):
        path = provider.paths["fim"]
    if passes:
        path = exchange.dialect.passthrough_paths.get(exchange.endpoint, path)
        fields = exchange.fields_for(provider.name)
        report: tuple[Adaptation, ...] = ()
        if fields is not None:
            if exchange.on_response is not None and traits.reasoning:
                # A WebSocket connection continues from the response in its memory.
                fields = with_encrypted_reasoning(dict(fields))
            fields, report = _fit_passthrough_fields(call, target, dialect, fields)
            if sets_breakpoints:
                fields, added_breakpoints = add_breakpoints_to_fields(
                    fields, dialect.name, traits, route.prompt_cache
                )
                report = (*report, *added_breakpoints)
        result = pass_through(call, target, edits, path, fields)
        if report:
            result = msgspec.structs.replace(result, report=(*report, *result.report))
        if exchange.dialect.name == _ANTHROPIC:
            add_anthropic_version(result.headers, exchange, target)
        if provider.model_in_path or provider.body:
            result = apply_surface(result, provider, exchange.verb, path)
        if route.strict:
            refuse_losses(result.report)
        return result
    _refuse_untranslatable(call, route, target)
    if (max_output := route.default_max_output) is not None:
        traits = msgspec.structs.replace(
            traits, default_max_output=max_output, agent_max_output=max_output
        )
    # Restore state that the client could not send, unless this target has rejected it.
    dropped_state: tuple[Adaptation, ...] = ()
    request = exchange.request if changed_request is None else changed_request
    if call.attempt.recalled_reasoning:
        request = restore_state(request, call.attempt.recalled_reasoning)
    if traits.reasoning_summaries and exchange.dialect.expects_reasoning:
        request = _with_summaries(request)
    if call.state_rejected_by is target:
        request, dropped_state = drop_state(request)
    inlined_media: tuple[Adaptation, ...] = ()
    if call.fetched_media:
        request, inlined_media = inline_media(request, dialect, traits, call.fetched_media)
    breakpoints: tuple[Adaptation, ...] = ()
    if sets_breakpoints:
        request, breakpoints = add_breakpoints_to_request(request, traits, route.prompt_cache)
    try:
        result = translate_request(
            request, dialect, traits, edits, path, verb=exchange.verb, size=len(exchange.body)
        )
    except GatewayError as error:
        missing_media = [] if route.strict else parts_to_fetch(request, dialect, traits)
        raise add_fetch_hint(error, missing_media) from None
    report = result.report
    if report and not route.strict:
        report = add_fetch_hints(report, parts_to_fetch(request, dialect, traits))
    report = (*report, *inlined_media, *breakpoints, *dropped_state)
    if report:
        result = msgspec.structs.replace(result, report=report)
    if provider.model_in_path or provider.body:
        result = apply_surface(result, provider, exchange.verb, path)
    if route.strict:
        refuse_losses(result.report)
    return result


def _fit_passthrough_fields(
    call: Call, target: Target, dialect: Dialect, fields: Fields
) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The fields of a passthrough body, without what the target is known to reject.

    Returns the same object if nothing changes.
    """
    report: tuple[Adaptation, ...] = ()
    model = target.model
    if dialect.drop_reasoning_state is not None and call.state_rejected_by is target:
        fields, report = dialect.drop_reasoning_state(fields, model.traits)
    elif dialect.replace_state_tokens is not None and _may_hold_tokens(call):
        fields, report = dialect.replace_state_tokens(fields, model.traits)
    if dialect.inline_files is not None and not model.traits.pdf:
        fields, inlined_files = dialect.inline_files(fields, model.traits)
        report += inlined_files
    if dialect.fit_passed_tools is not None and not _TOOL_FIELDS.isdisjoint(fields):
        fields, changed_tools = dialect.fit_passed_tools(fields, model.traits)
        report += changed_tools
    if "tools" in fields:
        fields, shortened_ids = shorten_call_ids(fields, model.traits)
        report += shortened_ids
    if model.provider.drop_params and call.exchange.verb == "generate":
        suspects = model.refused_parameters.get(dialect.name)
        if suspects and not suspects.isdisjoint(fields):
            fields, refused_fields = drop_refused(fields, dialect.name, model.traits, suspects)
            report += refused_fields
    return fields, report


def _refuse_untranslatable(call: Call, route: Route, target: Target) -> None:
    """Raises GatewayError if the call needs an operation or a state of the client's own API."""
    exchange, model = call.exchange, target.model
    if exchange.endpoint in exchange.dialect.passthrough_only:
        raise needs_same_dialect(call, target)
    if exchange.dialect.name == _ANTHROPIC and not model.traits.message_threads:
        threads.refuse_thread(exchange.fields, model.label, strict=route.strict)


def _with_summaries(request: Request) -> Request:
    """The request with reasoning summaries enabled, unless it sets its own visibility."""
    config = request.reasoning or ReasoningConfig()
    if config.visible is not None or config.mode == "off":
        return request
    reasoning = msgspec.structs.replace(config, visible="summary")
    return msgspec.structs.replace(request, reasoning=reasoning)


def needs_same_dialect(call: Call, target: Target) -> GatewayError:
    """The error for a call that only providers of the client's own dialect support."""
    exchange = call.exchange
    message = (
        f"{exchange.endpoint} is only supported by providers with the {exchange.dialect.name} "
        f"API; {target.model.label} does not have it, or the input contains items that another "
        "provider created"
    )
    return GatewayError(Error(kind="unsupported_param", message=message, param="model"))


def upstream_dialect(call: Call, target: Target) -> Dialect:
    """The dialect for this request: the provider's own, or OpenAI's other one if it serves both.

    Responses clients get Responses. So do models and token counts that Chat does not have,
    requests with tools for models that accept tools only there unless reasoning is off, and
    requests for tools that the provider runs there.
    """
    provider = target.model.provider
    provider_dialect = DIALECTS[provider.dialect]
    if target.model.has_one_dialect:
        return provider_dialect
    exchange, traits = call.exchange, target.model.traits
    if "fim" in provider.paths and uses_fim(call, target):
        return DIALECTS[_COMPLETIONS]
    continues_prompt = exchange.verb == "generate" and (
        traits.completions == "only"
        or (traits.completions == "too" and exchange.dialect.name == _COMPLETIONS)
    )
    if (
        continues_prompt
        and provider_dialect.name == _CHAT
        and _serves_dialect(call, provider, _COMPLETIONS)
    ):
        return DIALECTS[_COMPLETIONS]
    other_name = ALTERNATIVE_DIALECT.get(provider_dialect.name)
    if other_name is None:
        return provider_dialect
    needs_other = traits.responses and (
        exchange.dialect.name == other_name
        or exchange.verb == "count_tokens"
        or traits.responses_only
    )
    may_reason_with_tools = traits.responses and traits.responses_required_with_tools
    may_use_built_in_tools = (
        traits.built_in_tools_in_responses
        and exchange.verb == "generate"
        and offload.contains(exchange.body, _BUILT_IN_HINTS)
    )
    may_need_other = needs_other or may_reason_with_tools or may_use_built_in_tools
    # A request with a plan has no tools, and may be one that cannot be parsed.
    may_need_other = may_need_other and exchange.plan is None
    if may_need_other and _serves_dialect(call, provider, other_name):
        needs_other = (
            needs_other
            or (may_reason_with_tools and _reasons_with_tools(call))
            or (may_use_built_in_tools and _uses_built_in_tools(call, traits))
        )
        return DIALECTS[other_name] if needs_other else provider_dialect
    return provider_dialect


def _serves_dialect(call: Call, provider: Provider, dialect_name: str) -> bool:
    """Whether a provider serves an additional dialect, according to its `paths`.

    A provider with custom paths serves it only if it has a path for it too.
    """
    return call.exchange.verb not in provider.paths or _PATH_KEYS[dialect_name] in provider.paths


def uses_fim(call: Call, target: Target) -> bool:
    """Whether to use the provider's fill-in-the-middle call, for a prompt with a `suffix`.

    The call is `fim` in the provider's paths, as at Mistral and DeepSeek.
    """
    exchange = call.exchange
    provider = target.model.provider
    is_completion = exchange.verb == "generate" and exchange.dialect.name == _COMPLETIONS
    if not is_completion or "fim" not in provider.paths or provider.dialect != _CHAT:
        return False
    suffix = exchange.fields.get("suffix")
    return suffix is not None and bytes(suffix) not in {b"null", b'""'}


def _reasons_with_tools(call: Call) -> bool:
    """Whether a request has tools and does not turn reasoning off."""
    exchange = call.exchange
    body = exchange.body
    if not offload.contains(body, (b'"tools"', b'"functions"')):
        return False
    request = exchange.request
    reasoning = request.reasoning
    return bool(request.tools) and (reasoning is None or reasoning.mode != "off")


def _uses_built_in_tools(call: Call, traits: Traits) -> bool:
    """Whether a client requests a tool that the provider runs in Responses only."""
    types = {responses_type(tool) for tool in call.exchange.request.tools}
    if traits.web_search:
        types.discard(WEB_SEARCH)
    return not types.isdisjoint(traits.built_in_tools or _BUILT_IN_TOOLS)


def uses_passthrough(call: Call, target: Target, dialect: Dialect) -> bool:
    """Whether the client's own body is sent to this target in this attempt.

    Not if state is added to it, or removed from it in a dialect that cannot do so in place.
    A state token of the gateway in the history must be replaced by translation, or by the
    dialect in place (`Dialect.replace_state_tokens`), so that the target's own state
    next to it is returned unchanged. Models that require reasoning with tool calls need
    translation, which renders the reasoning of other models as their own.
    """
    if call.attempt.recalled_reasoning is not None:
        return False
    if call.state_rejected_by is target and not _drops_state(call, target, dialect):
        return False
    exchange = call.exchange
    if call.guard is not None and exchange.stream and _checks_choices(call, call.guard):
        return False
    if exchange.dialect.name != dialect.name:
        return False
    if not dialect.translated_fields.isdisjoint(exchange.fields):
        return False
    if _THINKING in exchange.fields and _has_effort_only(dialect, target):
        return False
    traits = target.model.traits
    if exchange.framing != exchange.dialect.framing and not (
        exchange.framing == "invoke"
        or (exchange.framing in WHOLE_CALL_FRAMINGS and traits.whole_calls)
        # OpenRouter itself, and providers with its request fields.
        or (exchange.framing == "api_v1" and traits.reasoning_request == "reasoning")
    ):
        return False
    if traits.built_in_tools and dialect.name == _RESPONSES:
        return False
    if (
        dialect.name == _ANTHROPIC
        and not traits.message_threads
        and threads.has_thread(exchange.fields)
    ):
        return False
    replaces_tokens = dialect.replace_state_tokens is not None
    if (not replaces_tokens or traits.requires_reasoning_replay) and _has_tokens(exchange.body):
        return False
    provider = target.model.provider
    return provider.passthrough and exchange.fields_for(provider.name) is not None


def _has_effort_only(dialect: Dialect, target: Target) -> bool:
    """Whether a model rejects `thinking` in a Chat request: OpenAI's own have `reasoning_effort`.

    LiteLLM's clients send it for every model.
    """
    model = target.model
    is_known = model.provider.preset in OPENAI and "efforts" in model.declared_traits
    return is_known and dialect.name == _CHAT


def _has_tokens(body: bytes) -> bool:
    """Whether a body contains state tokens of the gateway, or sources that others found."""
    if len(body) >= LARGE_BYTES:
        return _searched_bodies.contains(body, _GATEWAY_MARKERS)
    return offload.contains(body, _GATEWAY_MARKER_PARTS) and offload.contains(
        body, _GATEWAY_MARKERS
    )


def _checks_choices(call: Call, guard: GuardState) -> bool:
    """Whether guardrails check a stream of several choices, which are parsed if they were rendered.

    A stream with one choice is checked without a translation of its request.
    """
    enforced = any(guardrail.action != "log" for guardrail in guard.after)
    return enforced and offload.contains(call.exchange.body, (b'"n"', b'"candidateCount"'))


def _drops_state(call: Call, target: Target, dialect: Dialect) -> bool:
    """Whether the dialect can remove refused state from the body without a translation."""
    fields = call.exchange.fields_for(target.model.provider.name)
    if dialect.drop_reasoning_state is None or fields is None:
        return False
    return dialect.drop_reasoning_state(fields, target.model.traits)[0] is not fields


def _may_hold_tokens(call: Call) -> bool:
    """Whether a passthrough request may contain state tokens: in its body or earlier responses."""
    exchange = call.exchange
    return exchange.earlier_responses is not None or _has_tokens(exchange.body)


def url_path(dialect: Dialect, target: Target, *, stream: bool, verb: Verb) -> str:
    """The path below the base URL: the provider's own, or the dialect's."""
    paths = target.model.provider.paths
    key: str = "stream" if stream and verb == "generate" and "stream" in paths else verb
    if verb == "generate" and dialect.name != target.model.provider.dialect:
        key = _PATH_KEYS.get(dialect.name, key)
    template = paths.get(key)
    if template is not None:
        return model_names.expand_path_template(template, target.model.name)
    return dialect.provider.path(target.model.name, stream=stream, verb=verb)


def has_call(dialect: Dialect, target: Target, verb: Verb) -> bool:
    """Whether there is a path of its own for a verb; generation would run at any other."""
    generate_path = url_path(dialect, target, stream=False, verb="generate")
    return url_path(dialect, target, stream=False, verb=verb) != generate_path


def translate_request(
    request: Request,
    dialect: Dialect,
    traits: Traits,
    edits: tuple[Edit, ...],
    path: str,
    *,
    verb: Verb = "generate",
    size: int = 0,
) -> PreparedRequest:
    """The request rendered in another dialect; `size` is that of the client's body."""
    rendered_request = dialect.provider.render_request(request, traits)
    body, report = rendered_request.body, rendered_request.report
    if edits:
        body, edit_adaptations = profile_edits.apply(edits, body)
        # Edits name the provider's fields; the client may have other names for them.
        report += tuple(
            msgspec.structs.replace(item, path=request.client_path(item.path))
            for item in edit_adaptations
        )
    if verb == "count_tokens" and traits.count_form != "bare":
        body = dialect.token_count_body(body, traits.model)
        # A count leaves out the default of `max_tokens`, so it is not reported.
        report = tuple(i for i in report if i.action != "defaulted" or i.path != "max_tokens")
    return PreparedRequest(
        dialect=dialect,
        content=offload.encode(body, size),
        path=path,
        headers=rendered_request.headers,
        rendered_request=rendered_request,
        report=report,
    )


def apply_surface(
    prepared_request: PreparedRequest, provider: Provider, verb: Verb, path: str
) -> PreparedRequest:
    """The request in the form of the provider's surface (`model_in_path`, `body`).

    Its content is the same, so nothing is reported. Such a surface does not accept the
    client's query parameters.
    """
    fields = msgspec.json.decode(prepared_request.content, type=dict[str, msgspec.Raw])
    if verb in provider.model_in_path:
        fields.pop("model", None)
    fields |= {name: msgspec.Raw(msgspec.json.encode(v)) for name, v in provider.body.items()}
    return msgspec.structs.replace(prepared_request, content=msgspec.json.encode(fields), path=path)


def pass_through(
    call: Call,
    target: Target,
    edits: tuple[Edit, ...],
    path: str,
    explicit_fields: Mapping[str, msgspec.Raw] | None = None,
) -> PreparedRequest:
    """The client's body (or `explicit_fields`) with the upstream's name of the model."""
    exchange = call.exchange
    fields = dict(exchange.fields if explicit_fields is None else explicit_fields)
    if not exchange.dialect.model_in_path:
        fields["model"] = msgspec.Raw(msgspec.json.encode(target.model.name))
    report: tuple[Adaptation, ...] = ()
    if edits:
        fields, edit_adaptations = profile_edits.apply_raw(edits, fields)
        report = tuple(edit_adaptations)
    # A path with a query of its own (`alt=sse`) is complete.
    if exchange.query and "?" not in path:
        names = tuple(name for name, _ in target.model.provider.query)
        query = client_query(exchange.query, names)
        path = f"{path}?{query}" if query else path
    return PreparedRequest(
        dialect=exchange.dialect,
        content=offload.encode_fields(fields)
        if len(exchange.body) >= offload.SCANNED_BYTES
        else msgspec.json.encode(fields),
        path=path,
        headers=passed_headers(exchange),
        report=report,
    )


@lru_cache(maxsize=256)
def client_query(query: bytes, provider_params: tuple[str, ...]) -> str:
    """The client's query to send upstream, without keys and parameters that the provider sets.

    A client cannot override `provider_params` (such as Azure's `api-version`), in any case.
    """
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    provider_names = {name.casefold() for name in provider_params}
    sent_pairs = [
        (n, v) for n, v in pairs if n.casefold() not in provider_names and not is_secret_name(n)
    ]
    return urlencode(sent_pairs)


def passed_headers(exchange: Exchange) -> dict[str, str]:
    """The client's headers that belong to its dialect."""
    headers = exchange.headers
    if headers.keys().isdisjoint(PASSTHROUGH_HEADERS):
        return {}
    passed_headers = {name: headers[name] for name in PASSTHROUGH_HEADERS if name in headers}
    if _IDEMPOTENCY in passed_headers:
        passed_headers[_IDEMPOTENCY] = scoped_idempotency_key(
            exchange.key, passed_headers[_IDEMPOTENCY]
        )
    return passed_headers


def scoped_idempotency_key(key: ApiKey | None, value: str) -> str:
    """The idempotency key for the upstream, different for each API key.

    All clients share the provider's account: two that send the same value would get
    each other's response. The HMAC's secret is the API key's digest, which no client knows.
    """
    secret, owner = (key.digest, key.id) if key is not None else (b"", 0)
    message = f"{owner}:{value}".encode()
    return f"dgm-{hmac.new(secret, message, sha256).hexdigest()}"


def add_anthropic_version(headers: dict[str, str], exchange: Exchange, target: Target) -> None:
    """Add the version that Anthropic requires, if the client has not sent one."""
    if exchange.dialect.name == _ANTHROPIC:
        headers.setdefault("anthropic-version", target.model.traits.anthropic_version)


def refuse_losses(report: tuple[Adaptation, ...]) -> None:
    """Raises GatewayError if anything was dropped or approximated; for strict routes."""
    losses = [item for item in report if item.action != "defaulted"]
    if losses:
        fields = "; ".join(f"{item.path}: {item.reason}" for item in losses)
        raise GatewayError(
            Error(
                kind="invalid_request",
                message="this route rejects unsupported fields, and the target does not "
                f"support {fields}",
                param=losses[0].path,
            )
        )
