"""A client's request -> what is sent to one target: passthrough or translation.

The same code serves live traffic, the dry run and `/api/translate`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import Error, GatewayError
from gateway.canon.request import Request, Thinking
from gateway.canon.signature import TOKENS
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import Dialect, Rendered, Verb
from gateway.dialects.openai_responses.kept import with_state
from gateway.providers import edits as profile_edits
from gateway.providers.profile import Edit
from gateway.relay.call import Call
from gateway.relay.media_parts import hinted, hinted_error, needed, with_bytes
from gateway.relay.reasoning_turns import restored, stateless
from gateway.routing.snapshot import Provider, Route, Target

# Request headers that belong to a dialect and travel on passthrough. Everything
# else (cookies, forwarding headers, credentials) stays here.
PASSTHROUGH_HEADERS = (
    "anthropic-version",
    "anthropic-beta",
    "anthropic-user-profile-id",
    "anthropic-workspace-id",
    "openai-beta",
    "idempotency-key",
)
# A dialect -> the one that the same base URL may serve beside it (`Traits.responses`).
ALSO = {"openai_chat": "openai_responses"}
# A dialect that a provider serves beside its own -> its key in the provider's `paths`.
_SURFACES = {"openai_responses": "responses", "openai_completions": "completions"}
# The older dialect of prompts, and the one whose base URL may serve it (`Traits.completions`).
_OLDER = ("openai_completions", "openai_chat")


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What goes to a target. `rendered` is None on passthrough.

    `dialect` is the one spoken with the target in this request.
    """

    dialect: Dialect
    content: bytes
    path: str
    headers: dict[str, str] = {}
    rendered: Rendered | None = None
    report: tuple[Adaptation, ...] = ()


def prepare(call: Call, route: Route, target: Target) -> Prepared:
    """What to send for this call. Raises GatewayError where it can not be said."""
    provider = target.model.provider
    dialect = spoken(call, target)
    edits = (*provider.edits, *target.model.edits, *target.edits)
    path = url_path(dialect, target, stream=call.stream, verb=call.verb)
    path = provider.paths["fim"] if fills(call, target) else path
    if goes_unread(call, target, dialect):
        path = call.dialect.passed_paths.get(call.endpoint, path)
        fields = call.fields_for(provider.name)
        if call.heard is not None and fields is not None and target.model.traits.reasoning:
            fields = with_state(dict(fields))  # the connection's memory goes on from it
        prepared = passed(call, target.model.name, edits, path, fields)
        name_version(prepared.headers, call, target)
        prepared = on_surface(prepared, provider, call.verb, path)
        if route.strict:
            refuse_losses(prepared.report)
        return prepared
    if call.endpoint in call.dialect.passed_only:
        raise unsaid(call, target)
    traits = target.model.traits
    if route.default_max_output is not None:
        traits = msgspec.structs.replace(traits, default_max_output=route.default_max_output)
    # What the client could not carry is put back, unless this target did not take it.
    lost: tuple[Adaptation, ...] = ()
    request = restored(call.request, call.recalled or {})
    if traits.reasoning_summaries and call.dialect.expects_thoughts:
        request = _with_summaries(request)
    if call.stateless is target:
        request, lost = stateless(request)
    request, fetched = with_bytes(request, dialect, traits, call.media)
    try:
        prepared = translated(request, dialect, traits, edits, path, verb=call.verb)
    except GatewayError as error:
        missing = [] if route.strict else needed(request, dialect, traits)
        raise hinted_error(error, missing) from None
    report = prepared.report
    if report and not route.strict:
        report = hinted(report, needed(request, dialect, traits))
    prepared = msgspec.structs.replace(prepared, report=(*report, *fetched, *lost))
    prepared = on_surface(prepared, provider, call.verb, path)
    if route.strict:
        refuse_losses(prepared.report)
    return prepared


def _with_summaries(request: Request) -> Request:
    """The request, asking to see thoughts if it says nothing of that."""
    asked = request.thinking or Thinking()
    if asked.visible is not None or asked.mode == "off":
        return request
    thinking = msgspec.structs.replace(asked, visible="summary")
    return msgspec.structs.replace(request, thinking=thinking)


def unsaid(call: Call, target: Target) -> GatewayError:
    """The error for a call that only providers of the client's own dialect know."""
    message = (
        f"{call.endpoint} is for providers that speak {call.dialect.name} themselves; "
        f"{target.model.label} does not, or the input holds what another provider has made"
    )
    return GatewayError(Error(kind="unsupported_param", message=message, param="model"))


def spoken(call: Call, target: Target) -> Dialect:
    """The dialect for this request: the provider's own, or OpenAI's other one where it has both.

    Responses clients get Responses; so do requests with tools for models that take tools
    only there unless told not to reason, and counts, which the other one has no call for.
    """
    provider, traits = target.model.provider, target.model.traits
    own = DIALECTS[provider.dialect]
    if fills(call, target) or (
        _completes(call, traits) and own.name == _OLDER[1] and _served(call, provider, _OLDER[0])
    ):
        return DIALECTS[_OLDER[0]]
    also = ALSO.get(own.name)
    if also is None or not traits.responses or not _served(call, provider, also):
        return own
    other = DIALECTS[also]
    if call.dialect.name == other.name or call.verb == "count_tokens":
        return other
    if traits.responses_required_with_tools and _reasons_with_tools(call):
        return other
    return own


def _served(call: Call, provider: Provider, other: str) -> bool:
    """Whether another dialect than its own is spoken at a provider, by what its row says.

    One whose paths are its own has the other's too, or does not serve it.
    """
    return call.verb not in provider.paths or _SURFACES[other] in provider.paths


def fills(call: Call, target: Target) -> bool:
    """Whether a gap is to be filled (a prompt with a `suffix`), and the provider has a call for it.

    That is `fim` in its paths: Mistral's and DeepSeek's are beside their completions.
    """
    provider = target.model.provider
    asked = call.verb == "generate" and call.dialect.name == _OLDER[0]
    if not asked or "fim" not in provider.paths or provider.dialect != _OLDER[1]:
        return False
    suffix = call.fields.get("suffix")
    return suffix is not None and bytes(suffix) not in {b"null", b'""'}


def _completes(call: Call, traits: Traits) -> bool:
    """Whether a prompt is to be continued: the client sent one, or the model can nothing else."""
    if call.verb != "generate":
        return False
    asked = call.dialect.name == _OLDER[0]
    return traits.completions == "only" or (traits.completions == "too" and asked)


def _reasons_with_tools(call: Call) -> bool:
    """Whether a request has tools and is not told to do without reasoning."""
    if call.body.find(b'"tools"') < 0 and call.body.find(b'"functions"') < 0:
        return False
    request = call.request
    thinking = request.thinking
    return bool(request.tools) and (thinking is None or thinking.mode != "off")


def goes_unread(call: Call, target: Target, dialect: Dialect) -> bool:
    """Whether the client's own body goes to a target this time: nothing has to be changed in it."""
    whole = call.recalled is None and call.stateless is not target
    return whole and passes(call, target, dialect)


def passes(call: Call, target: Target, dialect: Dialect) -> bool:
    """Whether the client's own body may go to a target that is spoken to in this dialect.

    A token of ours in the history stands for state that only translation unwraps.
    """
    if not passes_through(call.dialect, dialect) or call.framing != call.dialect.framing:
        return False
    for token in TOKENS:
        if token in call.body:
            return False
    provider = target.model.provider
    return provider.passthrough and call.fields_for(provider.name) is not None


def passes_through(client: Dialect, upstream: Dialect) -> bool:
    """Whether client and target speak the same dialect."""
    return client.name == upstream.name


def url_path(dialect: Dialect, target: Target, *, stream: bool, verb: Verb) -> str:
    """The path below the base URL: the provider's own, or the dialect's."""
    paths = target.model.provider.paths
    key: str = "stream" if stream and verb == "generate" and "stream" in paths else verb
    if verb == "generate" and dialect.name != target.model.provider.dialect:
        key = _SURFACES.get(dialect.name, key)
    template = paths.get(key)
    if template is not None:
        return template.replace("{model}", target.model.name)
    return dialect.provider.path(target.model.name, stream=stream, verb=verb)


def translated(
    request: Request,
    dialect: Dialect,
    traits: Traits,
    edits: tuple[Edit, ...],
    path: str,
    *,
    verb: Verb = "generate",
) -> Prepared:
    """The request in another dialect's words."""
    rendered = dialect.provider.render_request(request, traits)
    body, report = rendered.body, rendered.report
    if edits:
        body, more = profile_edits.apply(edits, body)
        report = (*report, *more)
    if verb == "count_tokens" and traits.count_form != "bare":
        body = dialect.count_body(body, traits.model)
        # What a count leaves out again was supplied for nothing.
        report = tuple(i for i in report if i.action != "defaulted" or i.path != "max_tokens")
    return Prepared(
        dialect=dialect,
        content=msgspec.json.encode(body),
        path=path,
        headers=rendered.headers,
        rendered=rendered,
        report=report,
    )


def on_surface(prepared: Prepared, provider: Provider, verb: Verb, path: str) -> Prepared:
    """The same in the form of the provider's surface, where that is not the dialect's own.

    It says the same, so nothing is reported. Such a surface knows no query of a client's.
    """
    if not provider.model_in_path and not provider.body:
        return prepared
    fields = msgspec.json.decode(prepared.content, type=dict[str, msgspec.Raw])
    if verb in provider.model_in_path:
        fields.pop("model", None)
    fields |= {name: msgspec.Raw(msgspec.json.encode(v)) for name, v in provider.body.items()}
    return msgspec.structs.replace(prepared, content=msgspec.json.encode(fields), path=path)


def passed(
    call: Call,
    model: str,
    edits: tuple[Edit, ...],
    path: str,
    own: Mapping[str, msgspec.Raw] | None = None,
) -> Prepared:
    """The client's body (or the fields of `own`) under the upstream's name of the model."""
    fields = dict(call.fields if own is None else own)
    if not call.dialect.model_in_path:
        fields["model"] = msgspec.Raw(msgspec.json.encode(model))
    report: tuple[Adaptation, ...] = ()
    if edits:
        fields, more = profile_edits.apply_raw(edits, fields)
        report = tuple(more)
    # A path with a query of its own (`alt=sse`) says all that the upstream has to know.
    if call.query and "?" not in path and b"=" in call.query and b"key=" not in call.query:
        path = f"{path}?{call.query.decode('ascii', 'ignore')}"
    return Prepared(
        dialect=call.dialect,
        content=msgspec.json.encode(fields),
        path=path,
        headers=passed_headers(call.headers),
        report=report,
    )


def passed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The client's headers that are part of its dialect."""
    return {name: headers[name] for name in PASSTHROUGH_HEADERS if name in headers}


def name_version(headers: dict[str, str], call: Call, target: Target) -> None:
    """Add the version that Anthropic demands, where its client has named none."""
    if call.dialect.name == "anthropic_messages":
        headers.setdefault("anthropic-version", target.model.traits.anthropic_version)


def refuse_losses(report: tuple[Adaptation, ...]) -> None:
    """Raise for a strict route if anything was dropped or approximated."""
    lost = [item for item in report if item.action != "defaulted"]
    if lost:
        named = "; ".join(f"{item.path}: {item.why}" for item in lost)
        raise GatewayError(
            Error(
                kind="invalid_request",
                message=f"this route is strict and can not carry {named}",
                param=lost[0].path,
            )
        )
