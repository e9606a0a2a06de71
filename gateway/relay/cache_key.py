"""Which requests are the same question: the keys of kept answers.

    base       who may share the answer: route, what stands behind it, its generation, scope
    body key   base + the body's outermost fields as they were written, in any order
    key        base + the canonical request: the same in every dialect

The body key is only a short cut in memory to the key, which takes a parse. A key begins with
the question's mark, of its last words: a question whose mark no kept answer has is new, and
needs neither. Left out of both
is what does not change an answer: `stream`, who the end user is, what a provider may do with
the request, prompt-cache marks. A request that says what only its dialect knows, wants
several answers or the odds of tokens is a question of its dialect and its kind of answer
alone (`bound`), as no other could be made of what is kept.

All digests are keyed with the installation's secret: no other one that shares a Redis comes
to the same keys, and nobody can try out what was asked.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from gateway.canon.errors import GatewayError
from gateway.canon.request import Request, Text
from gateway.dialects.ending import ending_of
from gateway.relay.asker import tags_of
from gateway.relay.call import Call
from gateway.routing.cache import CachePolicy
from gateway.routing.snapshot import ApiKey, Route, Snapshot, Target

_KEPT = 8192
# How keys begin: for one form of asking, or for all. Then follow the mark, and a digest.
_BOUND, _PORTABLE = "e", "f"
MARK_BYTES = 6
_DIGEST = 50
# Outermost fields that do not change an answer.
IDLE_FIELDS = frozenset(
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
# The same of the canonical request. The model is the route, which is part of the base.
_IDLE = frozenset(
    {"model", "stream", "include_usage", "version", "at", "cache", "user_id", "metadata"}
    | {"session_key", "store"}
)


# Outermost fields of what goes on from something that a server holds.
STATE = frozenset(
    {"previous_response_id", "conversation", "background", "container", "cachedContent"}
)


class Base:
    """Who may share an answer: what all keys begin with, secret to this installation."""

    __slots__ = ("_begun", "_marks")

    def __init__(self, secret: bytes, said: Any) -> None:
        self._begun = hashlib.sha256(secret)
        self._begun.update(self.key(_encoded(said)))
        self._marks = hashlib.blake2b(digest_size=MARK_BYTES, key=self.key(b"marks"))

    def key(self, *parts: bytes) -> bytes:
        """The digest of some parts, none of which can be taken for two others."""
        made = self._begun.copy()
        made.update(b"".join([b"%d:%b" % (len(part), part) for part in parts]))
        return made.digest()

    def mark(self, words: str) -> str:
        """The mark of a question that ends with these words."""
        made = self._marks.copy()
        made.update(words.encode("utf-8", "surrogatepass"))
        return made.hexdigest()


class Bases:
    """The bases of one installation, of the routes of one snapshot."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.blake2b(secret, digest_size=32, person=b"answer cache").digest()
        self._snapshot: Snapshot | None = None
        self._known: dict[tuple[str, ...], Base] = {}
        # The same by route, key and namespace, where nothing else of the call matters.
        self._plain: dict[tuple[str, int, str], Base] = {}
        # Routes by name: whether they choose by tags.
        self._tagged: dict[str, bool] = {}

    def of(self, call: Call, route: Route, policy: CachePolicy, namespace: str) -> Base:
        """The base for a call."""
        if call.snapshot is not self._snapshot:
            self._begin(call.snapshot)
        key_id = call.key.id if call.key is not None else 0
        plain = (route.name, key_id, namespace)
        found = self._plain.get(plain)
        if found is not None:
            return found
        if max(len(self._known), len(self._plain)) >= _KEPT:
            self._begin(call.snapshot)
        tagged = self._tagged.get(route.name)
        if tagged is None:
            tagged = self._tagged[route.name] = _tagged(route)
        tags = _tags(call) if tagged else ""
        name = (route.name, scope_of(call, policy), namespace, tags)
        found = self._known.get(name)
        if found is None:
            said = [
                name,
                policy.namespace,
                policy.deterministic,
                route.cache_generation,
                _behind(call.snapshot, route),
            ]
            found = self._known[name] = Base(self._secret, said)
        if key_id and not tagged:
            self._plain[plain] = found
        return found

    def _begin(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._known.clear()
        self._plain.clear()
        self._tagged.clear()


def scope_of(call: Call, policy: CachePolicy) -> str:
    """Who may share an answer to this call."""
    key = call.key
    if policy.scope == "route":
        return "route"
    if policy.scope == "team" and key is not None and key.team is not None:
        return f"team:{key.team.id}"
    return _key_scope(key)


def _key_scope(key: ApiKey | None) -> str:
    if key is None:
        return "open"
    return f"key:{key.id}" if key.id else f"inside:{key.prefix}"


def _tagged(route: Route) -> bool:
    """Whether tags choose among a route's targets."""
    return any(t.tags for t in route.targets) or any(s.tags for s in route.steps)


def _tags(call: Call) -> str:
    """The request's tags."""
    return msgspec.json.encode(sorted(tags_of(call))).decode()


def _behind(snapshot: Snapshot, route: Route) -> list[Any]:
    """What stands behind a route: another model is another answer."""
    known = [snapshot.routes.get(name) for name in route.fallbacks]
    routes = [route, *(other for other in known if other is not None)]
    said = [[_target(t) for t in other.targets] for other in routes]
    return [route.id, said, route.default_max_output, route.reasoning_field, route.strict]


def _target(target: Target) -> list[Any]:
    provider = target.model.provider
    edits = (*provider.edits, *target.model.edits, *target.edits)
    return [target.model.label, provider.dialect, provider.base_url, edits]


def body_key(base: Base, call: Call) -> bytes:
    """The short cut: the body as it was written, but for the order of its fields."""
    parts = [call.dialect.name.encode(), call.verb.encode(), call.endpoint.encode()]
    parts.append(b"stream" if call.stream else b"whole")
    parts.append(call.headers.get("anthropic-beta", "").encode("utf-8", "replace"))
    for name in sorted(call.fields):
        if name not in IDLE_FIELDS:
            parts.append(name.encode("utf-8", "surrogatepass"))
            parts.append(bytes(call.fields[name]))
    return base.key(*parts)


def form_of(call: Call) -> str:
    """How a client asked: in the same form, the same bytes answer the same question."""
    options = bytes(call.fields.get("stream_options", b"")) if call.stream else b""
    parts = (call.dialect.name, call.endpoint, call.framing, str(call.stream), call.model)
    return "\n".join((*parts, options.decode("utf-8", "replace")))


def request_of(call: Call) -> Request | None:
    """The canonical request; None if there is none, and its body alone says what it is."""
    if call.verb != "generate":
        return None
    try:
        return call.request
    except GatewayError:
        return None


def key_of(base: Base, call: Call, request: Request | None, body: bytes = b"") -> str:
    """The key of a question; `body` is its body key, where that is known."""
    if request is None or _bound(request):
        mark = base.mark(call.dialect.ending(call.fields))
        return _BOUND + mark + (body or body_key(base, call)).hex()[:_DIGEST]
    mark = base.mark(ending_of(request))
    return _PORTABLE + mark + base.key(b"canonical", _encoded(plain(request))).hex()[:_DIGEST]


def mark_in(key: str) -> str:
    """The mark of a key."""
    return key[1 : 1 + 2 * MARK_BYTES]


def portable(key: str) -> bool:
    """Whether the answer of a key may be given in other forms too."""
    return key.startswith(_PORTABLE)


def _bound(request: Request) -> bool:
    sampling = request.sampling
    if sampling.logprobs or sampling.top_logprobs or (sampling.n or 1) > 1:
        return True
    return any(not IDLE_FIELDS.issuperset(fields) for fields in request.extra.values())


def goes_on(request: Request) -> bool:
    """Whether it goes on from what a server has kept, which its body does not hold."""
    if request.previous_response_id is not None:
        return True
    return not all(STATE.isdisjoint(fields) for fields in request.extra.values())


def plain(value: Any) -> Any:
    """A canonical value as JSON that tells types apart, without what changes no answer.

    A struct is a list: its type's name, then name and value of what is not as usual.
    """
    kind = type(value)
    if kind is tuple:
        return [plain(item) for item in value]
    fields = _FIELDS.get(kind)
    if fields is None:
        if not isinstance(value, msgspec.Struct):
            return value
        fields = _FIELDS[kind] = _fields(kind)
    found: list[Any] = [kind.__name__]
    for name, usual in fields:
        part = getattr(value, name)
        if part is usual or part == usual:
            continue
        found.append(name)
        if name == "extra":
            part = _extra(part)
        found.append(part if type(part) is str else plain(part))
    return found


_FIELDS: dict[type, tuple[tuple[str, Any], ...]] = {}


def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    """The fields of a type that may change an answer, each with its usual value."""
    usual = {
        field.name: field.default_factory()
        if field.default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT
        else field.default
        for field in msgspec.structs.fields(kind)
    }
    return tuple((name, value) for name, value in usual.items() if name not in _IDLE)


def _extra(fields: Any) -> Any:
    if not isinstance(fields, dict):
        return fields
    told = ((name, value) for name, value in fields.items() if name not in IDLE_FIELDS)
    found = {name: _extra(value) for name, value in told}
    return {name: value for name, value in found.items() if value != {}}


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


def context_key(base: Base, request: Request) -> tuple[bytes, str] | None:
    """A question's context and its last words; None if it is not words alone.

    Questions are compared by their last words, and only where all else is the same:
    instructions, earlier turns, sampling, the form of the answer.
    """
    if not request.turns or request.tools or request.turns[-1].role != "user":
        return None
    last = request.turns[-1]
    if not all(isinstance(part, Text) for turn in request.turns for part in turn.parts):
        return None
    words = "\n".join(part.text for part in last.parts if isinstance(part, Text))
    if not words.strip():
        return None
    rest = msgspec.structs.replace(request, turns=request.turns[:-1])
    return base.key(b"context", _encoded(plain(rest))), words
