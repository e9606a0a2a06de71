"""LiteLLM's own fields of a request: its proxy reads them, and no provider takes them.

    tags, metadata.tags, litellm_metadata            the tags of the request
    litellm_session_id, litellm_trace_id             its session
    num_retries, timeout, stream_timeout             retries, and seconds until the first byte
    fallbacks, context_window_fallbacks,             the models to try after its own
    content_policy_fallbacks, disable_fallbacks
    guardrails                                       see `requested_guardrails`

They are removed from the body, because OpenAI and others reject unknown fields. Fields without an
effect here are reported as dropped; those that would change the response are rejected. Tags and
session become LiteLLM's headers, from which routing and the request log read them.
https://docs.litellm.ai/docs/proxy/user_keys, https://docs.litellm.ai/docs/proxy/reliability
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, adaptation_rows, dropped_field
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.json_values import decode_or_none
from gateway.relay.exchange.call import Exchange
from gateway.relay.exchange.request_features import SESSION_HEADERS, end_user_of
from gateway.relay.run import requested_guardrails
from gateway.relay.translate.prepare import refuse_losses
from gateway.routing.snapshot import Route, may_use

TAGS_HEADER, SESSION_HEADER = "x-litellm-tags", "x-litellm-session-id"
_RETRIES_HEADER = "x-litellm-num-retries"
_TIMEOUT_HEADERS = ("x-litellm-stream-timeout", "x-litellm-timeout")
# Headers that need `apply`; others are read where they have an effect.
HEADERS = frozenset({_RETRIES_HEADER, *_TIMEOUT_HEADERS})

_METADATA, _OWN_METADATA = "metadata", "litellm_metadata"
_SESSION_FIELDS = ("litellm_session_id", "litellm_trace_id")
_METADATA_SESSION_FIELDS = ("session_id", *_SESSION_FIELDS, "trace_id")
# Their dialects have metadata of one field.
_METADATA_FIELDS = {"anthropic_messages": frozenset({"user_id"})}
# Larger values are not read: they would take long to decode.
_MAX_FIELD_BYTES = 64 * 1024

FALLBACKS = "fallbacks"
# Fallbacks for one kind of error -> the kind.
KIND_BY_FALLBACK_FIELD = {
    "context_window_fallbacks": "context_length",
    "content_policy_fallbacks": "content_policy",
}
# In LiteLLM, other fallbacks apply to these kinds too, unless there are fallbacks for the kind.
EXTRA_FALLBACK_KINDS = (*KIND_BY_FALLBACK_FIELD.values(), "not_found")
_MAX_FALLBACKS = 20
# The dialect has a field of this name, with objects (Anthropic's and OpenRouter's Messages).
_DIALECTS_WITH_FALLBACKS = frozenset({"anthropic_messages"})
_RETRIES = "num_retries"
_MAX_RETRIES = 10
_TIMEOUTS = ("stream_timeout", "timeout")
_USED = frozenset(
    {"tags", _OWN_METADATA, *_SESSION_FIELDS, FALLBACKS, *KIND_BY_FALLBACK_FIELD}
    | {"disable_fallbacks", _RETRIES, *_TIMEOUTS}
)

_MOCK_RESPONSE = "mock_response"
# Base URL of the built-in provider, which returns what `mock_response` says.
_DEMO_URL = "demo:"
_MOCK = "responses are only mocked by models of the provider `demo` (docs/routing.md)"
_CREDENTIAL = "clients cannot choose the endpoint or credential of a call"
_PROMPT = "name a stored prompt in `dragoman.prompt` (docs/prompts.md)"
_REFUSED = {
    **dict.fromkeys((_MOCK_RESPONSE, "mock_tool_calls", "mock_timeout", "mock_delay"), _MOCK),
    **dict.fromkeys(
        (
            "mock_testing_fallbacks",
            "mock_testing_context_fallbacks",
            "mock_testing_content_policy_fallbacks",
            "mock_testing_rate_limit_error",
        ),
        _MOCK,
    ),
    **dict.fromkeys(("api_key", "api_base", "base_url", "api_version"), _CREDENTIAL),
    **dict.fromkeys(("user_config", "model_list", "litellm_credential_name"), _CREDENTIAL),
    **dict.fromkeys(("prompt_id", "prompt_variables", "prompt_version", "prompt_label"), _PROMPT),
}
_DROPPED = {
    **dict.fromkeys(("no-log", "turn_off_message_logging"), "every request is logged"),
    "caching": "use `cache`",
    **dict.fromkeys(("max_retries", "request_timeout"), "use num_retries and timeout"),
    "max_fallbacks": "the length of the list is the limit",
    "retry_policy": "set retries_by_kind on the route",
    "policies": "policies are not supported; use guardrails",
    "guardrail_config": "set the parameters on the guardrail",
    **dict.fromkeys(
        ("drop_params", "additional_drop_params", "allowed_openai_params"),
        "set edits and drop_params on the provider",
    ),
    **dict.fromkeys(
        (
            "custom_llm_provider",
            "extra_headers",
            "cache_control_injection_points",
            "enable_json_schema_validation",
            "merge_reasoning_content_in_choices",
            "supports_system_message",
            "keepalive_seconds",
            "model_info",
        ),
        "it belongs to the configuration of the model",
    ),
    **dict.fromkeys(
        (
            "litellm_call_id",
            "litellm_logging_obj",
            "litellm_parent_otel_span",
            "proxy_server_request",
            "secret_fields",
            "use_in_pass_through",
            "user_api_key",
            "user_api_key_alias",
            "user_api_key_user_id",
            "user_api_key_team_id",
        ),
        "a field of LiteLLM's own processing",
    ),
}
_OWN_FIELDS = frozenset({*_USED, *_REFUSED, *_DROPPED})
_FIELDS_BUT_METADATA = _OWN_FIELDS | requested_guardrails.FIELDS
# All fields that need `apply`.
FIELDS = _FIELDS_BUT_METADATA | {_METADATA}


def apply(exchange: Exchange) -> None:
    """Apply the fields and headers to the exchange. Raises GatewayError naming the invalid one."""
    if exchange.passthrough_state is not None and not exchange.model:
        # A resource of the provider has fields of its own.
        requested_guardrails.apply(exchange)
        return
    metadata, removed_metadata = _read_metadata(exchange)
    has_others = not (
        _FIELDS_BUT_METADATA.isdisjoint(exchange.fields) and HEADERS.isdisjoint(exchange.headers)
    )
    if not has_others and not removed_metadata:  # such as each request of Claude Code
        return
    requested_guardrails.apply(exchange)
    taken = _own_fields(exchange)
    for name, value in taken.items():
        if name in _REFUSED and value is not None:
            raise invalid(f"{name} is not supported: {_REFUSED[name]}", name)
    if exchange.route is not None:
        exchange.route = _apply_fallbacks(exchange, exchange.route, taken)
        exchange.route = _apply_retries(exchange, exchange.route, taken)
    exchange.timeout_s = _timeout_s(exchange, taken)
    _remove(exchange, taken, metadata, removed_metadata)
    _set_headers(exchange, taken, metadata)
    report = tuple(
        dropped_field(name, _DROPPED[name])
        for name, value in taken.items()
        if name in _DROPPED and value is not None
    )
    sent_names = _METADATA_FIELDS.get(exchange.dialect.name, ("text",))
    report += tuple(
        dropped_field(f"{_METADATA}.{name}", f"only {', '.join(sent_names)} is sent")
        for name in removed_metadata
        if name != "tags" and name not in _METADATA_SESSION_FIELDS
    )
    _report(exchange, report)


def _own_fields(exchange: Exchange) -> dict[str, Any]:
    """The values of LiteLLM's fields in the body, without those that the provider has too."""
    fields = exchange.fields
    taken = {name: _decode_field(fields[name]) for name in sorted(_OWN_FIELDS & fields.keys())}
    if exchange.dialect.name in _DIALECTS_WITH_FALLBACKS and _has_objects(taken.get(FALLBACKS)):
        del taken[FALLBACKS]
    if "caching" in taken and not isinstance(taken["caching"], bool):  # Volcengine's, an object
        del taken["caching"]
    if _MOCK_RESPONSE in taken and exchange.route is not None and _is_demo(exchange.route):
        del taken[_MOCK_RESPONSE]
    return taken


def _is_demo(route: Route) -> bool:
    urls = [target.model.provider.base_url for target in route.targets]
    return bool(urls) and all(url.startswith(_DEMO_URL) for url in urls)


def _decode_field(raw: msgspec.Raw) -> Any:
    return decode_or_none(raw) if len(memoryview(raw)) <= _MAX_FIELD_BYTES else None


def _report(exchange: Exchange, report: tuple[Adaptation, ...]) -> None:
    if report and exchange.route is not None and exchange.route.strict:
        refuse_losses(report)
    exchange.gateway_adaptations += adaptation_rows(report)


def _read_metadata(exchange: Exchange) -> tuple[dict[str, Any], list[str]]:
    """The request's metadata, and the names in it that its dialect does not have.

    OpenAI accepts texts only.
    """
    raw = exchange.fields.get(_METADATA)
    metadata = None if raw is None or exchange.verb == "passthrough" else _decode_field(raw)
    if not isinstance(metadata, dict):
        return {}, []
    names = _METADATA_FIELDS.get(exchange.dialect.name)
    return metadata, [
        name
        for name, value in metadata.items()
        if not isinstance(value, str | None) or (names is not None and name not in names)
    ]


def _set_headers(exchange: Exchange, taken: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Set the headers of tags, session and end user, unless the client named the last two."""
    own_metadata = taken.get(_OWN_METADATA)
    all_metadata = (metadata, own_metadata if isinstance(own_metadata, dict) else {})
    headers = dict(exchange.headers)
    tags = [headers.get(TAGS_HEADER, "")]
    for value in (taken.get("tags"), *(values.get("tags") for values in all_metadata)):
        items = value if isinstance(value, list) else [value]
        tags += [item for item in items if isinstance(item, str)]
    if any(tags):
        headers[TAGS_HEADER] = ",".join(filter(None, tags))
    sessions = [taken.get(name) for name in _SESSION_FIELDS]
    sessions += [values.get(name) for values in all_metadata for name in _METADATA_SESSION_FIELDS]
    session = next((item for item in sessions if isinstance(item, str) and item), "")
    if session and not any(headers.get(name) for name in SESSION_HEADERS):
        headers[SESSION_HEADER] = session
    user_id, user_headers = all_metadata[1].get("user_id"), exchange.snapshot.end_user_headers
    if user_headers and isinstance(user_id, str) and not end_user_of(exchange):
        headers[user_headers[0]] = user_id
    exchange.headers = headers


def _apply_fallbacks(exchange: Exchange, route: Route, taken: dict[str, Any]) -> Route:
    """The route with the fallbacks of the request; without its cache, which others share."""
    if taken.get("disable_fallbacks") is True:
        return msgspec.structs.replace(route, fallbacks=(), fallbacks_by_kind={})
    by_kind = dict(route.fallbacks_by_kind)
    names = _fallback_names(exchange, taken, FALLBACKS)
    if names:
        for kind in EXTRA_FALLBACK_KINDS:
            if by_kind.get(kind, route.fallbacks) == route.fallbacks:
                by_kind[kind] = names
        route = msgspec.structs.replace(route, fallbacks=names, cache=None)
    for field, kind in KIND_BY_FALLBACK_FIELD.items():
        if kind_names := _fallback_names(exchange, taken, field):
            by_kind[kind] = kind_names
    if by_kind == route.fallbacks_by_kind:
        return route
    return msgspec.structs.replace(route, fallbacks_by_kind=by_kind, cache=None)


def _fallback_names(exchange: Exchange, taken: dict[str, Any], field: str) -> tuple[str, ...]:
    """The models of a list: names, or lists of names by the requested model as in a file.

    Raises GatewayError for models that do not exist, or that the key may not use.
    """
    value = taken.get(field)
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    names: list[str] = []
    for index, item in enumerate(items[: _MAX_FALLBACKS + 1]):
        param = f"{field}[{index}]"
        if isinstance(item, str):
            names.append(item)
        elif isinstance(item, dict) and isinstance(item.get("model"), str):
            if len(item) > 1:
                message = f"{param} may only name a model: other parameters are not supported"
                raise invalid(message, param)
            names.append(item["model"])
        elif isinstance(item, dict) and all(_is_names(value) for value in item.values()):
            names += item.get(exchange.model) or item.get("*") or []
        else:
            raise invalid(f"{param} must be the name of a model", param)
    if len(names) > _MAX_FALLBACKS or len(items) > _MAX_FALLBACKS:
        raise invalid(f"{field} must name at most {_MAX_FALLBACKS} models", field)
    for name in names:
        _check_usable(exchange, name, field)
    return tuple(dict.fromkeys(names))


def _check_usable(exchange: Exchange, name: str, field: str) -> None:
    """Raises GatewayError for a model that does not exist, or that the key may not use."""
    route, key = exchange.snapshot.route(name), exchange.key
    if route is None:
        message = f"{field}: the model `{name[:200]}` does not exist"
        raise GatewayError(Error(kind="not_found", message=message, param=field))
    if key is not None and not may_use(key, route):
        message = f"{field}: this API key may not use the model `{name[:200]}`"
        raise GatewayError(Error(kind="not_allowed", message=message, param=field))


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _has_objects(value: Any) -> bool:
    """Whether fallbacks have the form of the provider: `default`, or objects with a model."""
    return value == "default" or (
        isinstance(value, list)
        and any(isinstance(item, dict) and "model" in item for item in value)
    )


def _apply_retries(exchange: Exchange, route: Route, taken: dict[str, Any]) -> Route:
    value = taken.get(_RETRIES, _header_number(exchange, _RETRIES_HEADER))
    if value is None:
        return route
    if not isinstance(value, int | float) or isinstance(value, bool) or value != int(value):
        raise invalid(f"{_RETRIES} must be a whole number", _RETRIES)
    if not 0 <= value <= _MAX_RETRIES:
        raise invalid(f"{_RETRIES} must be from 0 to {_MAX_RETRIES}", _RETRIES)
    return msgspec.structs.replace(route, retries=int(value))


def _timeout_s(exchange: Exchange, taken: dict[str, Any]) -> float | None:
    """Seconds until the first byte, from the body or a header; None if the client sets none."""
    for name, header in zip(_TIMEOUTS, _TIMEOUT_HEADERS, strict=True):
        if name == "stream_timeout" and not exchange.stream:
            continue
        value = taken.get(name)
        if value is None:
            value = _header_number(exchange, header)
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            raise invalid(f"{name} must be a number of seconds", name)
        return float(value)
    return None


def _header_number(exchange: Exchange, name: str) -> float | None:
    text = exchange.headers.get(name, "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise invalid(f"{name} must be a number", name) from None


def _remove(
    exchange: Exchange,
    taken: dict[str, Any],
    metadata: dict[str, Any],
    removed_metadata: list[str],
) -> None:
    """Remove the fields from the body, or from the form."""
    if not taken and not removed_metadata:
        return
    fields = {name: raw for name, raw in exchange.fields.items() if name not in taken}
    if removed_metadata:
        texts = {name: text for name, text in metadata.items() if name not in removed_metadata}
        fields[_METADATA] = msgspec.Raw(msgspec.json.encode(texts))
        if not texts:
            del fields[_METADATA]
    exchange.fields = fields
    exchange.body = msgspec.json.encode(fields)
    state = exchange.passthrough_state
    if state is not None and state.form is not None:
        state.form = [part for part in state.form if part.name not in taken]
