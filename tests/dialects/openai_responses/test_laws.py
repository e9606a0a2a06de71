"""Property tests: rendering and parsing are inverse for everything that Responses can express."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.canon.fold import unfold_response
from gateway.canon.request import (
    CacheBreakpoint,
    Citation,
    Document,
    Image,
    Meta,
    Output,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    Sampling,
    Signature,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    without_paths,
)
from gateway.canon.response import Finish, Response, Usage
from gateway.canon.signature import unwrap_signature
from gateway.canon.traits import Traits
from gateway.dialects.openai_responses import DIALECT
from gateway.dialects.openai_responses.context import NAME, STATE_KIND
from gateway.framing.sse import Decoder
from tests.dialects.openai_responses.make import PDF, PNG, response_context
from tests.dialects.splits import parse_split_stream, split_deltas
from tests.fakes import responses_rules

# A target that takes everything the dialect can say.
ALL = Traits(
    preset="acme",
    model="acme-1",
    reasoning=True,
    efforts=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    custom_tools=True,
    json_arguments=False,
    allowed_tools=True,
    verbosity=True,
    cache="breakpoints",
)

text_strategy = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
nonempty_text = st.text('abc .{}"\\\n', min_size=1, max_size=8)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
caches = st.none() | st.builds(CacheBreakpoint, ttl=st.sampled_from([None, "5m", "1h"]))
values = st.none() | st.booleans() | st.integers(-9, 9) | text_strategy
objects = st.dictionaries(text_strategy, values, max_size=3)

texts = st.builds(Text, text=text_strategy, cache=caches)
plain_texts = st.builds(Text, text=text_strategy)
images = st.one_of(
    st.builds(Image, data=st.just(PNG), media_type=st.just("image/png"), cache=caches),
    st.builds(Image, url=st.just("https://x/y"), detail=st.sampled_from([None, "low"])),
    st.builds(Image, file_id=names),
)
documents = st.one_of(
    st.builds(
        Document,
        data=st.just(PDF),
        media_type=st.just("application/pdf"),
        title=names,
        cache=caches,
    ),
    st.builds(Document, file_id=names, title=st.none() | names),
    st.builds(Document, url=st.just("https://x/a.pdf"), title=st.none() | names),
)
user_parts = st.lists(texts | images | documents, min_size=1, max_size=3)
users = st.builds(lambda parts: Turn(role="user", parts=tuple(parts)), user_parts)
systems = st.builds(
    lambda parts: Turn(role="system", parts=tuple(parts)), st.lists(texts, min_size=1, max_size=2)
)
sources = st.builds(
    lambda url: Citation(
        url=url,
        title="T",
        start=0,
        end=1,
        dialect=NAME,
        native={
            "type": "url_citation",
            "url": url,
            "title": "T",
            "start_index": 0,
            "end_index": 1,
        },
    ),
    names,
)
calls = st.one_of(
    st.builds(ToolCall, id=names, name=names, arguments=objects),
    st.builds(ToolCall, id=names, name=names, raw_arguments=st.just('{"cut":')),
    st.builds(ToolCall, id=names, name=names, raw_arguments=text_strategy, custom=st.just(True)),
)
thoughts = st.builds(
    lambda text, value, item: Reasoning(
        text=text,
        signature=Signature(
            provider="acme", model="acme-1", kind=STATE_KIND, value=value, item_id=f"rs_{item}"
        ),
    ),
    text_strategy,
    nonempty_text,
    names,
)


@st.composite
def exchanges(draw: st.DrawFn, used_ids: set[str]) -> list[Turn]:
    """Draw an assistant turn, followed by the results of its calls."""
    cited = st.builds(Text, text=text_strategy, citations=st.lists(sources, max_size=2).map(tuple))
    parts: list[Any] = draw(st.lists(cited, max_size=2))
    parts += draw(st.lists(st.builds(Refusal, text=nonempty_text), max_size=1))
    drawn_calls = draw(st.lists(calls, max_size=2, unique_by=lambda call: call.id))
    drawn_calls = [call for call in drawn_calls if call.id not in used_ids]
    used_ids |= {call.id for call in drawn_calls}
    if not parts and not drawn_calls:
        parts = [draw(plain_texts)]
    thought = draw(st.lists(thoughts, max_size=1))
    turns = [Turn(role="assistant", parts=(*thought, *parts, *drawn_calls))]
    if drawn_calls:
        turns.append(Turn(role="user", parts=tuple(draw(results(call)) for call in drawn_calls)))
    return turns


def results(call: ToolCall) -> st.SearchStrategy[ToolResult]:
    """Draw a result of this call, as the parser returns it."""
    drawn_texts = st.one_of(
        st.lists(plain_texts | images | documents, min_size=2, max_size=2),
        st.lists(st.builds(Text, text=nonempty_text), max_size=1),
        images.map(lambda image: [image]),
    )
    return drawn_texts.map(
        lambda parts: ToolResult(id=call.id, parts=tuple(parts), custom=call.custom)
    )


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    """Draw turns that begin and end with a user turn."""
    used_ids: set[str] = set()
    turns = [draw(users)]
    for _ in range(draw(st.integers(0, 2))):
        turns += draw(exchanges(used_ids))
        turns += draw(st.lists(systems, max_size=1))
        turns.append(draw(users))
    return tuple(turns)


SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/"}}
tools = st.lists(
    st.one_of(
        st.builds(
            Tool,
            name=names,
            description=st.none() | text_strategy,
            schema=st.just(SCHEMA),
            strict=st.booleans(),
        ),
        st.builds(
            Tool,
            name=names,
            kind=st.just("custom"),
            description=st.none() | text_strategy,
            format=st.sampled_from([None, {"type": "text"}, GRAMMAR]),
        ),
    ),
    max_size=3,
    unique_by=lambda tool: tool.name,
).map(tuple)


@st.composite
def choices(draw: st.DrawFn, offered: tuple[Tool, ...]) -> ToolChoice | None:
    """Draw a tool choice that is valid for the tools; parallel calls are always set explicitly."""
    if not offered:
        return None
    parallel = draw(st.booleans())
    mode = draw(st.sampled_from([None, "auto", "any", "none", "named", "allowed"]))
    every = tuple(tool.name for tool in offered)
    if mode in {"named", "allowed"}:
        allowed_tools = every[:1] if mode == "named" else every
        required = mode == "allowed" and draw(st.booleans())
        return ToolChoice(mode=mode, names=allowed_tools, required=required, parallel=parallel)
    return ToolChoice(mode=mode, parallel=parallel)


outputs = st.one_of(
    st.builds(Output, verbosity=st.sampled_from([None, "low"])),
    st.just(Output(format="json")),
    st.builds(
        Output,
        format=st.just("schema"),
        name=names,
        description=st.none() | text_strategy,
        schema=st.just(SCHEMA),
        strict=st.booleans(),
    ),
)
reasoning_configs = st.sampled_from(
    [
        None,
        ReasoningConfig(mode="off"),
        ReasoningConfig(effort="low"),
        ReasoningConfig(effort="max", visible="summary"),
        ReasoningConfig(visible="summary"),
    ]
)
instructions = st.one_of(
    st.lists(st.builds(Text, text=nonempty_text), max_size=1),
    st.lists(texts, min_size=1, max_size=2).filter(lambda text: any(t.cache for t in text)),
)
share = st.none() | st.sampled_from([0.0, 0.25, 1.0])
metas = st.builds(
    Meta,
    user_id=st.none() | names,
    session_key=st.none() | names,
    metadata=st.none() | st.dictionaries(names, text_strategy, min_size=1, max_size=2),
    service_tier=st.sampled_from([None, "default", "priority", "flex"]),
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw requests that Responses can express exactly."""
    offered = draw(tools)
    reasoning = draw(reasoning_configs)
    extra: dict[str, Any] = draw(st.sampled_from([{}, {"truncation": "auto"}]))
    if reasoning is not None and reasoning.visible is not None:
        extra = {**extra, "reasoning.summary": "detailed"}
    return Request(
        model="acme-1",
        stream=draw(st.booleans()),
        instructions=tuple(draw(instructions)),
        turns=draw(conversations()),
        tools=offered,
        tool_choice=draw(choices(offered)),
        output=draw(outputs),
        reasoning=reasoning,
        max_output=draw(st.none() | st.integers(16, 99)),
        sampling=draw(st.builds(Sampling, temperature=share, top_p=share)),
        meta=draw(metas),
        extra={NAME: extra} if extra else {},
    )


def unsigned(request: Request) -> Request:
    """Return the request with reasoning state as its provider writes it, without a wrapper.

    An empty text next to a call is not a message of its own.
    """
    turns = []
    for turn in request.turns:
        silent = any(isinstance(part, ToolCall) for part in turn.parts)
        parts = tuple(
            replace(part, signature=replace(part.signature, provider="", model=""))
            if isinstance(part, Reasoning) and part.signature is not None
            else part
            for part in turn.parts
            if not (silent and isinstance(part, Text) and not part.text)
        )
        turns.append(replace(turn, parts=parts))
    return replace(request, turns=tuple(turns))


# A path by which a client of this dialect is known.
OWN = {"turns": "input"}


def wire_of(request: Request, traits: Traits = ALL) -> dict[str, Any]:
    """Return the rendered JSON, encoded and decoded."""
    body = DIALECT.provider.render_request(replace(request, client_paths=OWN), traits).body
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body))
    return decoded


@settings(max_examples=80, deadline=None)
@given(requests())
def test_a_rendered_request_parses_to_the_same_request(request: Request):
    assert DIALECT.provider.render_request(replace(request, client_paths=OWN), ALL).report == ()
    parsed_request = DIALECT.client.parse_request(wire_of(request), {})
    assert without_paths(parsed_request) == unsigned(request)


@settings(max_examples=80, deadline=None)
@given(requests())
def test_every_rendered_request_is_valid_for_openai(request: Request):
    wire = wire_of(replace(request, sampling=Sampling()), replace(ALL, model="gpt-5.6-sol"))
    if wire.get("text", {}).get("format", {}).get("type") == "json_object":
        return  # needs the word "json" in a message, which is the client's to write
    assert responses_rules.refusal(wire) is None


@settings(max_examples=40, deadline=None)
@given(requests())
def test_the_report_names_places_in_the_clients_own_body(request: Request):
    wire = wire_of(request)
    parsed_request = DIALECT.client.parse_request(wire, {})
    limited_traits = Traits(
        preset="poor",
        model="poor-1",
        images=False,
        pdf=False,
        sampling=False,
        tools=False,
        structured="none",
        user_field="none",
        session_field="none",
        metadata=False,
        service_tier=False,
    )
    for item in DIALECT.provider.render_request(parsed_request, limited_traits).report:
        assert _path_exists(wire, item.path), item.path


def _path_exists(body: Any, path: str) -> bool:
    """Return whether a path exists in a body; list markers may occur anywhere in it."""
    if path == "prompt_cache_breakpoint":
        return path in str(body)
    for step in path.replace("[", ".[").split("."):
        if step.startswith("["):
            body = body[int(step[1:-1])]
        elif isinstance(body, dict) and step in body:
            body = body[step]
        else:
            return False
    return True


# --- responses -----------------------------------------------------------------------

response_thoughts = st.builds(
    lambda text, value: Reasoning(
        text=text,
        signature=Signature(provider="acme", model="acme-1", kind=STATE_KIND, value=value),
    ),
    text_strategy,
    nonempty_text,
)


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """Draw responses that Responses can express exactly, without two texts in a row."""
    parts: list[Any] = draw(st.lists(response_thoughts, max_size=2))
    is_refusal = draw(st.integers(0, 4)) == 0
    if draw(st.booleans()):
        cited = tuple(draw(st.lists(sources, max_size=2)))
        parts.append(Text(text=draw(nonempty_text), citations=cited))
    if is_refusal:
        parts.append(Refusal(text=draw(nonempty_text)))
    drawn_calls = draw(st.lists(calls, max_size=3, unique_by=lambda c: c.id))
    for call in drawn_calls:
        parts += [*draw(st.lists(response_thoughts, max_size=1)), call]
    reason = draw(st.sampled_from(["stop", "length", "filter"]))
    if drawn_calls and reason == "stop":
        reason = "tool"
    elif is_refusal and reason == "stop":
        reason = "refusal"
    counts = st.integers(0, 9)
    usage = None
    if draw(st.booleans()):
        usage = Usage(
            input=draw(counts),
            cache_read=draw(counts),
            cache_write=draw(counts),
            output=draw(counts),
            reasoning=draw(counts),
        )
    return Response(
        id="resp_1",
        model="acme-1",
        created=1700000000,
        service_tier=draw(st.sampled_from([None, "default"])),
        parts=tuple(parts),
        finish=Finish(reason=reason),
        usage=usage,
    )


def comparable_response(response: Response) -> Response:
    """Return the response without the provider's usage object, with tokens unwrapped."""
    parts = tuple(
        replace(part, signature=unwrap_signature(part.signature.value) if part.signature else None)
        if isinstance(part, Reasoning)
        else part
        for part in response.parts
    )
    usage = response.usage and replace(response.usage, native={})
    return replace(response, parts=parts, usage=usage)


FRAME = response_context(model="acme-1")


@settings(max_examples=80, deadline=None)
@given(responses())
def test_a_complete_response_renders_and_parses_unchanged(response: Response):
    wire, report = DIALECT.client.render_response(response, FRAME)
    assert report == ()
    wire = msgspec.json.decode(msgspec.json.encode(wire))
    assert comparable_response(DIALECT.provider.parse_response(wire, ALL, None)) == response


@settings(max_examples=80, deadline=None)
@given(responses(), st.data())
def test_a_streamed_response_round_trips_at_any_split(response: Response, data: st.DataObject):
    renderer = DIALECT.client.stream_renderer(FRAME)
    wire = b"".join(renderer.feed(event) for event in split_deltas(unfold_response(response), data))
    assert renderer.report == []
    assert comparable_response(parse_split_stream(DIALECT, wire, data, ALL)) == response


@settings(max_examples=40, deadline=None)
@given(responses())
def test_a_stream_ends_with_the_complete_response(response: Response):
    renderer = DIALECT.client.stream_renderer(FRAME)
    wire = b"".join(renderer.feed(event) for event in unfold_response(response))
    frames = Decoder().feed(wire)
    payloads = [msgspec.json.decode(frame.data) for frame in frames]
    assert [event["sequence_number"] for event in payloads] == list(range(len(payloads)))
    rendered_response, _ = DIALECT.client.render_response(response, FRAME)
    assert payloads[-1]["response"] == msgspec.json.decode(msgspec.json.encode(rendered_response))
