"""Keys of the response cache: which requests may share a response.

    base       who may share it: route, its targets, its generation, scope
    body key   base + the body's top-level fields as raw JSON, in any order
    key        base + the canonical request: the same in every dialect

The body key maps to the key in memory, to avoid parsing. A key begins with the fingerprint of
the last user text: a prompt whose fingerprint matches no cached response is new, and needs
neither. Both leave out what does not change a response: `stream`, the end user, what a
provider may do with the request, cache breakpoints. A request with fields that only its dialect
knows, or for several choices or log probabilities, shares responses only within its dialect and
response format, as the cached bytes cannot be rendered in another.

All digests are keyed with the installation's secret: another installation on the same Redis never
computes the same keys, and outsiders cannot test which prompts were sent.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from gateway.canon.errors import GatewayError
from gateway.canon.request import Request, Text
from gateway.dialects.shared.last_user_text import last_user_text
from gateway.relay.exchange.call import Exchange
from gateway.relay.exchange.request_features import tags_of
from gateway.routing.cache_policy import CachePolicy
from gateway.routing.snapshot import ApiKey, Route, Snapshot, Target

_MAX_SCOPES = 8192
# First character of a key: for one request format, or for all. Fingerprint and digest follow.
_EXACT_PREFIX, _PORTABLE_PREFIX = "e", "f"
FINGERPRINT_BYTES = 6
_DIGEST_CHARS = 50
# Top-level fields that do not change a response.
IGNORED_FIELDS = frozenset(
    {
        "model",
        "stream",
        "stream_options",
        "user",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "client_metadata",
        "store",
        "labels",
        "keep_alive",
    }
)
# Fields of the canonical request that do not change a response; the base has the route.
_IGNORED_REQUEST_FIELDS = frozenset(
    {"model", "stream", "include_usage", "version", "client_paths", "path", "cache", "user_id"}
    | {"metadata", "session_key", "store"}
)


# Top-level fields of requests that continue from state on a server.
STATE_FIELDS = frozenset(
    {"previous_response_id", "conversation", "background", "container", "cachedContent", "thread"}
)


class CacheKeyScope:
    """The base of keys: who may share a response, keyed with the installation's secret."""

    __slots__ = ("_fingerprint_hash", "_hash")

    def __init__(self, secret: bytes, scope: Any) -> None:
        self._hash = hashlib.sha256(secret)
        self._hash.update(self.digest(_encode_value(scope)))
        self._fingerprint_hash = hashlib.blake2b(
            digest_size=FINGERPRINT_BYTES, key=self.digest(b"marks")
        )

    def digest(self, *parts: bytes) -> bytes:
        """The digest of `parts`, each prefixed with its length so that they are unambiguous."""
        digest = self._hash.copy()
        digest.update(b"".join([b"%d:%b" % (len(part), part) for part in parts]))
        return digest.digest()

    def fingerprint(self, text: str) -> str:
        """The fingerprint of a prompt whose last user text is `text`."""
        digest = self._fingerprint_hash.copy()
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


class CacheKeyScopes:
    """The key scopes of one installation, for the routes of one snapshot."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.blake2b(secret, digest_size=32, person=b"answer cache").digest()
        self._snapshot: Snapshot | None = None
        self._scopes: dict[tuple[str, ...], CacheKeyScope] = {}
        # By route, guardrails (a request can add some), key and namespace, for calls whose tags do
        # not matter.
        self._untagged_scopes: dict[tuple[str, tuple[str, ...], int, str], CacheKeyScope] = {}
        # Route name -> whether the route selects targets by tags.
        self._tagged_routes: dict[str, bool] = {}

    def for_call(
        self, exchange: Exchange, route: Route, policy: CachePolicy, namespace: str
    ) -> CacheKeyScope:
        """The key scope of a call."""
        if exchange.snapshot is not self._snapshot:
            self._use_snapshot(exchange.snapshot)
        key_id = exchange.key.id if exchange.key is not None else 0
        untagged_name = (route.name, route.guardrails, key_id, namespace)
        key_scope = self._untagged_scopes.get(untagged_name)
        if key_scope is not None:
            return key_scope
        if max(len(self._scopes), len(self._untagged_scopes)) >= _MAX_SCOPES:
            self._use_snapshot(exchange.snapshot)
        selects_by_tags = self._tagged_routes.get(route.name)
        if selects_by_tags is None:
            selects_by_tags = self._tagged_routes[route.name] = _selects_by_tags(route)
        tags = msgspec.json.encode(sorted(tags_of(exchange))).decode() if selects_by_tags else ""
        guardrails = _guardrail_names(exchange, route) if exchange.snapshot.uses_guardrails else ""
        name = (route.name, sharing_scope(exchange, policy), namespace, tags, guardrails)
        key_scope = self._scopes.get(name)
        if key_scope is None:
            scope = [
                name,
                policy.namespace,
                policy.deterministic,
                route.cache_generation,
                _route_config(exchange.snapshot, route),
            ]
            key_scope = self._scopes[name] = CacheKeyScope(self._secret, scope)
        if key_id and not selects_by_tags:
            self._untagged_scopes[untagged_name] = key_scope
        return key_scope

    def _use_snapshot(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._scopes.clear()
        self._untagged_scopes.clear()
        self._tagged_routes.clear()


def sharing_scope(exchange: Exchange, policy: CachePolicy) -> str:
    """Who may share a response to this call."""
    key = exchange.key
    if policy.scope == "route":
        return "route"
    if policy.scope == "team" and key is not None and key.team is not None:
        return f"team:{key.team.id}"
    return _key_scope(key)


def _key_scope(key: ApiKey | None) -> str:
    if key is None:
        return "open"
    return f"key:{key.id}" if key.id else f"inside:{key.prefix}"


def _guardrail_names(exchange: Exchange, route: Route) -> str:
    """The guardrails of a call: a response that has passed others is not shared with it."""
    active_guardrails = exchange.snapshot.guardrails_for(route, exchange.key)
    values = [(g.name, g.action, g.check_responses, g.settings) for g in active_guardrails]
    return msgspec.json.encode(values).decode()


def _selects_by_tags(route: Route) -> bool:
    """Whether the route selects targets by tags."""
    return any(t.tags for t in route.targets) or any(s.tags for s in route.steps)


def _route_config(snapshot: Snapshot, route: Route) -> list[Any]:
    """The configuration of a route that affects its responses."""
    fallbacks = [snapshot.routes.get(name) for name in route.fallbacks]
    routes = [route, *(fallback for fallback in fallbacks if fallback is not None)]
    targets = [[_target_config(t) for t in fallback.targets] for fallback in routes]
    options = [route.default_max_output, route.reasoning_field, route.strict, route.web_search]
    return [route.id, targets, *options]


def _target_config(target: Target) -> list[Any]:
    provider = target.model.provider
    edits = (*provider.edits, *target.model.edits, *target.edits)
    return [target.model.label, provider.dialect, provider.base_url, edits, provider.drop_params]


def body_key(key_scope: CacheKeyScope, exchange: Exchange) -> bytes:
    """The digest of the raw body, independent of the order of its fields."""
    parts = [exchange.dialect.name.encode(), exchange.verb.encode(), exchange.endpoint.encode()]
    parts.append(b"stream" if exchange.stream else b"whole")
    parts.append(exchange.headers.get("anthropic-beta", "").encode("utf-8", "replace"))
    for name in sorted(exchange.fields):
        if name not in IGNORED_FIELDS:
            parts.append(name.encode("utf-8", "surrogatepass"))
            parts.append(bytes(exchange.fields[name]))
    return key_scope.digest(*parts)


def client_format_of(exchange: Exchange) -> str:
    """The response format: clients with the same one get the same bytes."""
    options = bytes(exchange.fields.get("stream_options", b"")) if exchange.stream else b""
    # Chat clients with the older `functions` get `function_call` in responses.
    legacy_functions = "functions" in exchange.fields and "tools" not in exchange.fields
    parts = (
        exchange.dialect.name,
        exchange.endpoint,
        exchange.framing,
        str(exchange.stream),
        exchange.model,
    )
    return "\n".join((*parts, str(legacy_functions), options.decode("utf-8", "replace")))


def canonical_request(exchange: Exchange) -> Request | None:
    """The canonical request; None if there is none, so that only the raw body identifies it."""
    if exchange.verb != "generate":
        return None
    try:
        return exchange.request
    except GatewayError:
        return None


def build_key(
    key_scope: CacheKeyScope, exchange: Exchange, request: Request | None, body: bytes = b""
) -> str:
    """The key of a request; `body` is its body key, if it is already known."""
    if request is None or _is_dialect_specific(request):
        fingerprint = key_scope.fingerprint(exchange.dialect.last_user_text(exchange.fields))
        return (
            _EXACT_PREFIX
            + fingerprint
            + (body or body_key(key_scope, exchange)).hex()[:_DIGEST_CHARS]
        )
    fingerprint = key_scope.fingerprint(last_user_text(request))
    return (
        _PORTABLE_PREFIX
        + fingerprint
        + key_scope.digest(b"canonical", _encode_value(canonical_json(request))).hex()[
            :_DIGEST_CHARS
        ]
    )


def fingerprint_of(key: str) -> str:
    """The fingerprint in a key."""
    return key[1 : 1 + 2 * FINGERPRINT_BYTES]


def is_portable(key: str) -> bool:
    """Whether the response of a key may be rendered in other formats."""
    return key.startswith(_PORTABLE_PREFIX)


def _is_dialect_specific(request: Request) -> bool:
    sampling = request.sampling
    if sampling.logprobs or sampling.top_logprobs or (sampling.n or 1) > 1:
        return True
    return any(not IGNORED_FIELDS.issuperset(fields) for fields in request.extra.values())


def uses_server_state(request: Request) -> bool:
    """Whether the request continues from state on a server, which its body does not contain."""
    if request.previous_response_id is not None:
        return True
    return not all(STATE_FIELDS.isdisjoint(fields) for fields in request.extra.values())


def canonical_json(value: Any) -> Any:
    """A canonical value as JSON with type names, without fields that do not affect a response.

    A struct becomes a list: its type's name, then name and value of each non-default field.
    """
    kind = type(value)
    if kind is tuple:
        return [canonical_json(item) for item in value]
    fields = _FIELDS.get(kind)
    if fields is None:
        if not isinstance(value, msgspec.Struct):
            return value
        fields = _FIELDS[kind] = _relevant_fields(kind)
    encoded_fields: list[Any] = [kind.__name__]
    for name, default in fields:
        field_value = getattr(value, name)
        if field_value is default or field_value == default:
            continue
        encoded_fields.append(name)
        if name == "extra":
            field_value = _relevant_extra(field_value)
        encoded_fields.append(
            field_value if type(field_value) is str else canonical_json(field_value)
        )
    return encoded_fields


_FIELDS: dict[type, tuple[tuple[str, Any], ...]] = {}


def _relevant_fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    """The fields of a type that may affect a response, each with its default."""
    defaults = {
        field.name: field.default_factory()
        if field.default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT
        else field.default
        for field in msgspec.structs.fields(kind)
    }
    return tuple(
        (name, value) for name, value in defaults.items() if name not in _IGNORED_REQUEST_FIELDS
    )


def _relevant_extra(fields: Any) -> Any:
    if not isinstance(fields, dict):
        return fields
    relevant = ((name, value) for name, value in fields.items() if name not in IGNORED_FIELDS)
    relevant_values = {name: _relevant_extra(value) for name, value in relevant}
    return {name: value for name, value in relevant_values.items() if value != {}}


def _encode_value(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


def context_key(key_scope: CacheKeyScope, request: Request) -> tuple[bytes, str] | None:
    """The digest of a prompt's context, and its last text; None if it is not text only.

    Prompts are compared by their last text, and only if everything else is equal:
    instructions, earlier turns, sampling, the response format.
    """
    if not request.turns or request.tools or request.turns[-1].role != "user":
        return None
    last_turn = request.turns[-1]
    if not all(isinstance(part, Text) for turn in request.turns for part in turn.parts):
        return None
    text = "\n".join(part.text for part in last_turn.parts if isinstance(part, Text))
    if not text.strip():
        return None
    context = msgspec.structs.replace(request, turns=request.turns[:-1])
    return key_scope.digest(b"context", _encode_value(canonical_json(context))), text
