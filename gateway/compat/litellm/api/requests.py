"""LiteLLM's `/utils` endpoints: count tokens, and show the request a provider would receive.

Shapes: `TokenCountRequest`, `TokenCountResponse` and `TransformRequestBody` of LiteLLM 1.106.2
(litellm/proxy/_types.py, litellm/types/utils.py). Counting calls no provider. The upstream
request shows the provider's URL, so it is for admins only.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Router

from gateway import store
from gateway.api.auth import Admin
from gateway.canon.errors import GatewayError
from gateway.compat.litellm.api.callers import Caller, KeyHolder, caller_of
from gateway.compat.litellm.api.failures import RejectedRequest, body_of, reply, run_in_transaction
from gateway.compat.litellm.api.fields import STRING_SCHEMA, request_body_schema
from gateway.dialects.base import Verb
from gateway.edge import cache_control
from gateway.providers.auth import build_auth_headers
from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Secret
from gateway.providers.redact import MASK
from gateway.relay.exchange.call import Call
from gateway.relay.exchange.token_count import count_tokens
from gateway.relay.run import embeddings, litellm_fields
from gateway.relay.translate.prepare import PreparedRequest, prepare
from gateway.routing.snapshot import Provider, Snapshot
from gateway.simulate.dry_run import build_call

router = Router(tags=["litellm"])

# `call_type` -> the dialect of the body, and the verb.
_CALLS: dict[str, tuple[str, Verb]] = {
    "completion": ("openai_chat", "generate"),
    "acompletion": ("openai_chat", "generate"),
    "text_completion": ("openai_completions", "generate"),
    "atext_completion": ("openai_completions", "generate"),
    "anthropic_messages": ("anthropic_messages", "generate"),
    "responses": ("openai_responses", "generate"),
    "aresponses": ("openai_responses", "generate"),
    "embedding": ("openai_embeddings", "embed"),
    "aembedding": ("openai_embeddings", "embed"),
}
_COUNTED_FIELDS = frozenset({"model", "prompt", "messages", "contents", "tools", "system"})
_COUNT_BODY = request_body_schema(
    {
        "model": STRING_SCHEMA,
        "messages": {"type": "array", "items": {"type": "object"}},
        "prompt": STRING_SCHEMA,
        "contents": {"type": "array", "items": {"type": "object"}},
        "tools": {"type": "array", "items": {"type": "object"}},
        "system": {},
    },
    "model",
)
_RAW_BODY = request_body_schema(
    {"call_type": {"type": "string", "enum": list(_CALLS)}, "request_body": {"type": "object"}},
    "call_type",
    "request_body",
)


# --- tokens -----------------------------------------------------------------------------


@router.post(
    "/utils/token_counter",
    auth=KeyHolder(),
    operation_id="litellm_token_counter",
    openapi_extra=_COUNT_BODY,
)
def token_counter(request: HttpRequest, call_endpoint: bool = False) -> HttpResponse:  # noqa: FBT001, FBT002 - a query parameter
    """Estimate of the tokens of `messages`, a `prompt` or `contents` for a model."""
    return run_in_transaction(
        lambda: _count_tokens(caller_of(request), body_of(request), call_endpoint=call_endpoint)
    )


def _count_tokens(caller: Caller, fields: dict[str, Any], *, call_endpoint: bool) -> HttpResponse:
    if call_endpoint:
        reason = "tokens are counted locally; POST /v1/messages/count_tokens asks the provider"
        raise RejectedRequest(400, f"call_endpoint: {reason}", "call_endpoint")
    for name in sorted(set(fields) - _COUNTED_FIELDS):
        raise RejectedRequest(400, f"{name}: is not counted: there is no such field", name)
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise RejectedRequest(400, "model: is required", "model")
    model_name = _model_for_tokenizer(caller, model)
    try:
        count = count_tokens(_build_call(caller.snapshot, fields).exchange.request, model_name)
    except GatewayError as error:
        raise RejectedRequest(400, error.error.message, error.error.param or "") from None
    return reply(
        {
            "total_tokens": count.tokens,
            "request_model": model,
            "model_used": model_name,
            "tokenizer_type": count.vocabulary or "estimate",
            "count_source": "local",
            "original_response": None,
            "error": False,
            "error_message": None,
            "status_code": None,
        }
    )


def _model_for_tokenizer(caller: Caller, name: str) -> str:
    """Return the model whose tokenizer is used: the first target's, or `name` without a route.

    As in LiteLLM, a name without a route is used unchanged.
    """
    route = caller.snapshot.route(name)
    if route is None or not route.targets:
        return name
    if not caller.may_use(route):
        raise RejectedRequest(403, f"this API key may not use the model `{name[:200]}`", "model")
    return route.targets[0].model.name


def _build_call(snapshot: Snapshot, fields: dict[str, Any]) -> Call:
    """Build a request from the text to count, in the dialect of its fields.

    Raises RejectedRequest.
    """
    inputs = [name for name in ("messages", "prompt", "contents") if fields.get(name) is not None]
    if len(inputs) != 1:
        raise RejectedRequest(400, "set one of messages, prompt and contents", "messages")
    body = {name: value for name, value in fields.items() if value is not None}
    match inputs[0]:
        case "contents":
            if "system" in body:
                body["systemInstruction"] = body.pop("system")
            return build_call(snapshot, "gemini", body)
        case "prompt":
            for name in ("tools", "system"):
                if name in body:
                    raise RejectedRequest(400, f"{name}: requires messages, not a prompt", name)
            return build_call(snapshot, "openai_completions", body)
    if "system" in body or _are_anthropic_tools(body.get("tools")):
        return build_call(snapshot, "anthropic_messages", {"max_tokens": 1, **body})
    return build_call(snapshot, "openai_chat", body)


def _are_anthropic_tools(tools: Any) -> bool:
    """Whether tools are in Anthropic's format: without a `function` wrapper."""
    return isinstance(tools, list) and any(
        isinstance(tool, dict) and "input_schema" in tool for tool in tools
    )


# --- upstream request ------------------------------------------------------------------


@router.post(
    "/utils/transform_request",
    auth=Admin(),
    operation_id="litellm_transform_request",
    openapi_extra=_RAW_BODY,
)
def transform_request(request: HttpRequest) -> HttpResponse:
    """The URL, body and headers for the first target of a model, without calling it."""
    return run_in_transaction(lambda: _transform_request(body_of(request)))


def _transform_request(fields: dict[str, Any]) -> HttpResponse:
    body, kind = fields.get("request_body"), fields.get("call_type")
    for name in sorted(set(fields) - {"request_body", "call_type"}):
        raise RejectedRequest(400, f"{name}: there is no such field", name)
    if not isinstance(body, dict):
        raise RejectedRequest(400, "request_body: must be an object", "request_body")
    if not isinstance(kind, str) or kind not in _CALLS:
        raise RejectedRequest(400, f"call_type: must be one of {', '.join(_CALLS)}", "call_type")
    dialect, verb = _CALLS[kind]
    snapshot = store.load_snapshot()
    try:
        provider, prepared_request = _prepare_request(snapshot, dialect, verb, body)
    except GatewayError as error:
        # LiteLLM answers 200 here, with only the error.
        no_request = {"raw_request_api_base": None, "raw_request_body": None}
        return reply({**no_request, "raw_request_headers": None, "error": error.error.message})
    return reply(
        {
            "raw_request_api_base": _upstream_url(provider, prepared_request.path),
            "raw_request_body": msgspec.json.decode(prepared_request.content),
            "raw_request_headers": _upstream_headers(provider, prepared_request),
            "error": None,
        }
    )


def _prepare_request(
    snapshot: Snapshot, dialect: str, verb: Verb, body: dict[str, Any]
) -> tuple[Provider, PreparedRequest]:
    """Build the request for the first target; return its provider and the request.

    Raises GatewayError or RejectedRequest.
    """
    call = build_call(snapshot, dialect, body)
    call.exchange.verb = verb
    route = snapshot.route(call.exchange.model)
    if route is None or not route.targets:
        reason = f"there is no model `{call.exchange.model[:200]}`"
        raise RejectedRequest(404, f"request_body.model: {reason}", "request_body.model")
    call.exchange.route = route
    litellm_fields.apply(call.exchange)
    cache_control.read(call.exchange)
    call.exchange.dialect.check_passthrough(call.exchange.body)
    target = route.targets[0]
    prepare_request = embeddings.prepare if verb == "embed" else prepare
    return target.model.provider, prepare_request(call, route, target)


def _upstream_url(provider: Provider, path: str) -> str:
    """Return the upstream URL; query values set by the operator may be secret and are masked."""
    url = provider.base_url + path
    preset = PRESETS.get(provider.preset)
    public = {name for name, _ in preset.query} if preset is not None else set()
    pairs = [(name, value if name in public else MASK) for name, value in provider.query]
    query = urlencode(pairs, safe="*")
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


def _upstream_headers(provider: Provider, prepared_request: PreparedRequest) -> dict[str, str]:
    """Return the upstream headers, credentials masked; the operator's own headers may be secret."""
    headers = {name: MASK for name, _ in provider.headers}
    secret = build_auth_headers(provider.auth, Secret(MASK)) if provider.credential else ()
    headers |= {name.decode(): value.decode() for name, value in secret}
    return {"content-type": "application/json", **headers, **prepared_request.headers}
