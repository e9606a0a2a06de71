"""Property tests: rendering and parsing are inverse for everything that Chat can express."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.canon.fold import unfold_response
from gateway.canon.request import (
    Audio,
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
from gateway.canon.traits import Traits
from gateway.dialects.openai_chat import DIALECT
from tests.dialects.openai_chat.make import PDF, PNG, response_context
from tests.dialects.splits import parse_split_stream, split_deltas, without_native_usage
from tests.fakes import openai_rules

# A target that takes everything the dialect can say.
ALL = Traits(
    preset="acme",
    model="acme-1",
    reasoning=True,
    efforts=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    custom_tools=True,
    json_arguments=False,
    allowed_tools=True,
    audio=True,
    verbosity=True,
    top_k=True,
    min_p=True,
    repetition_penalty=True,
    document_urls=True,
    prefill=True,
    cache="cache_control",
    reasoning_field="reasoning_content",
    replay_reasoning="native",
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
    st.builds(Document, url=st.just("https://x/a.pdf"), title=names),
)
audios = st.builds(Audio, data=st.just("QQ=="), format=st.sampled_from(["wav", "mp3"]))
user_parts = st.lists(texts | images | documents | audios, min_size=1, max_size=3)
users = st.builds(
    lambda parts, name: Turn(role="user", parts=tuple(parts), name=name),
    user_parts,
    st.none() | names,
)
systems = st.builds(
    lambda parts: Turn(role="system", parts=tuple(parts)), st.lists(texts, min_size=1, max_size=2)
)
signed = st.none()
calls = st.one_of(
    st.builds(ToolCall, id=names, name=names, arguments=objects),
    st.builds(ToolCall, id=names, name=names, raw_arguments=st.just('{"cut":')),
    st.builds(ToolCall, id=names, name=names, raw_arguments=text_strategy, custom=st.just(True)),
)


@st.composite
def exchanges(draw: st.DrawFn, used_ids: set[str]) -> list[Turn]:
    """Draw an assistant turn, followed by the results of its calls."""
    parts: list[Any] = draw(st.lists(st.builds(Reasoning, text=nonempty_text), max_size=1))
    parts += draw(st.lists(texts, max_size=2))
    parts += draw(st.lists(st.builds(Refusal, text=nonempty_text), max_size=1))
    drawn_calls = draw(st.lists(calls, max_size=2, unique_by=lambda call: call.id))
    drawn_calls = [call for call in drawn_calls if call.id not in used_ids]
    used_ids |= {call.id for call in drawn_calls}
    if not parts and not drawn_calls:
        parts = [draw(texts)]
    turns = [Turn(role="assistant", parts=(*parts, *drawn_calls), name=draw(st.none() | names))]
    if drawn_calls:
        turns.append(Turn(role="user", parts=tuple(draw(results(call)) for call in drawn_calls)))
    return turns


def results(call: ToolCall) -> st.SearchStrategy[ToolResult]:
    """Draw a result of this call, as the parser returns it."""
    drawn_texts = st.lists(plain_texts, min_size=2, max_size=2) | st.lists(
        st.builds(Text, text=nonempty_text), max_size=1
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
tools = st.lists(
    st.one_of(
        st.builds(
            Tool,
            name=names,
            description=st.none() | text_strategy,
            schema=st.just(SCHEMA),
            strict=st.sampled_from([None, True, False]),
            cache=caches,
        ),
        st.builds(Tool, name=names, kind=st.just("custom"), description=st.none() | text_strategy),
    ),
    max_size=3,
    unique_by=lambda tool: tool.name,
).map(tuple)


@st.composite
def choices(draw: st.DrawFn, offered: tuple[Tool, ...]) -> ToolChoice | None:
    """Draw a tool choice that is valid for the tools."""
    if not offered:
        return None
    parallel = draw(st.sampled_from([None, True, False]))
    mode = draw(st.sampled_from(["auto", "any", "none", "named", "allowed"]))
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
        ReasoningConfig(effort="max"),
    ]
)
share = st.none() | st.sampled_from([0.0, 0.25, 1.0])
samplings = st.builds(
    Sampling,
    temperature=share,
    top_p=share,
    top_k=st.none() | st.integers(1, 50),
    min_p=share,
    frequency_penalty=share,
    presence_penalty=share,
    repetition_penalty=share,
    seed=st.none() | st.integers(-5, 5),
    stop=st.lists(nonempty_text, max_size=4).map(tuple),
    logprobs=st.sampled_from([None, True]),
    logit_bias=st.none() | st.just({"5": -100}),
)
metas = st.builds(
    Meta,
    user_id=st.none() | names,
    session_key=st.none() | names,
    metadata=st.none() | st.dictionaries(names, text_strategy, min_size=1, max_size=2),
    service_tier=st.sampled_from([None, "default", "priority", "flex"]),
    store=st.sampled_from([None, True, False]),
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw requests that Chat can express exactly."""
    offered = draw(tools)
    return Request(
        model="acme-1",
        instructions=tuple(draw(st.lists(texts, max_size=2))),
        turns=draw(conversations()),
        tools=offered,
        tool_choice=draw(choices(offered)),
        output=draw(outputs),
        reasoning=draw(reasoning_configs),
        max_output=draw(st.none() | st.integers(1, 9)),
        sampling=draw(samplings),
        meta=draw(metas),
        cache=draw(caches),
        extra=draw(st.sampled_from([{}, {"openai_chat": {"modalities": ["text", "audio"]}}])),
    )


@settings(max_examples=60)
@given(requests())
def test_a_rendered_request_parses_to_the_same_request(request: Request):
    # Paths by which a client of this dialect is known.
    native_paths = {"turns": "messages", "logprobs": "logprobs"}
    rendered_request = DIALECT.provider.render_request(
        replace(request, client_paths=native_paths), ALL
    )
    assert rendered_request.report == ()
    wire = msgspec.json.decode(msgspec.json.encode(rendered_request.body))
    assert without_paths(DIALECT.client.parse_request(wire, {})) == request


# OpenAI itself: what the strict rules of the fake upstream know.
OPENAI = Traits(
    preset="openai",
    model="gpt-4.1",
    custom_tools=True,
    json_arguments=False,
    allowed_tools=True,
    cache="breakpoints",
    document_urls=True,
    metadata_without_store=False,
)


@settings(max_examples=60)
@given(requests())
def test_every_rendered_request_is_valid_for_openai(request: Request):
    plain_request = replace(request, extra={}, sampling=Sampling(), cache=None)
    wire = DIALECT.provider.render_request(plain_request, OPENAI).body
    if wire.get("response_format", {}).get("type") == "json_object":
        return  # needs the word "json" in a message, which is the client's to write
    assert openai_rules.refusal(msgspec.json.decode(msgspec.json.encode(wire))) is None


@settings(max_examples=40)
@given(requests())
def test_the_report_names_places_in_the_clients_own_body(request: Request):
    wire = DIALECT.provider.render_request(request, ALL).body
    parsed_request = DIALECT.client.parse_request(wire, {})
    limited_traits = Traits(
        preset="poor",
        model="poor-1",
        images=False,
        pdf=False,
        sampling=False,
        penalties=False,
        seed=False,
        stop_max=0,
        logprobs=False,
        logit_bias=False,
        tools=False,
        structured="none",
        user_field="none",
        session_field="none",
        metadata=False,
        store=False,
        service_tier=False,
        stream_options=False,
    )
    for item in DIALECT.provider.render_request(parsed_request, limited_traits).report:
        assert _path_exists(wire, item.path), item.path


def _path_exists(body: Any, path: str) -> bool:
    """Return whether a path exists in a body; list markers may occur anywhere in it."""
    if path == "cache_control":
        return "cache_control" in str(body)
    for step in path.replace("[", ".[").split("."):
        if step.startswith("["):
            body = body[int(step[1:-1])]
        elif isinstance(body, dict) and step in body:
            body = body[step]
        else:
            return False
    return True


# --- responses -----------------------------------------------------------------------

origin = Signature(provider="acme", model="acme-1", kind="text")
answer_calls = st.one_of(
    st.builds(ToolCall, id=names, name=names, arguments=objects),
    st.builds(ToolCall, id=names, name=names, raw_arguments=st.just('{"cut":')),
    st.builds(ToolCall, id=names, name=names, raw_arguments=text_strategy, custom=st.just(True)),
)
sources = st.builds(
    lambda url: Citation(
        url=url,
        title="T",
        start=0,
        end=1,
        dialect="openai_chat",
        native={
            "type": "url_citation",
            "url_citation": {"url": url, "title": "T", "start_index": 0, "end_index": 1},
        },
    ),
    names,
)


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """Draw responses that Chat can express exactly: reasoning, then text or refusal, then calls."""
    parts: list[Any] = []
    if draw(st.booleans()):
        parts.append(Reasoning(text=draw(nonempty_text), signature=origin))
    is_refusal = draw(st.integers(0, 4)) == 0
    if is_refusal:
        parts.append(Refusal(text=draw(nonempty_text)))
    elif draw(st.booleans()):
        cited = tuple(draw(st.lists(sources, max_size=2)))
        parts.append(Text(text=draw(nonempty_text), citations=cited))
    drawn_response_calls = (
        [] if is_refusal else draw(st.lists(answer_calls, max_size=3, unique_by=lambda c: c.id))
    )
    parts += drawn_response_calls
    reason = draw(st.sampled_from(["stop", "length", "filter"]))
    if drawn_response_calls and reason == "stop":
        reason = "tool"
    if is_refusal and reason == "stop":
        reason = "refusal"
    usage = None
    if draw(st.booleans()):
        usage = Usage(
            input=draw(st.integers(0, 9)),
            cache_read=draw(st.none() | st.integers(0, 9)),
            output=draw(st.integers(0, 9)),
            reasoning=draw(st.none() | st.integers(0, 9)),
        )
    return Response(
        id="chatcmpl-1",
        model="acme-1",
        created=1700000000,
        parts=tuple(parts),
        finish=Finish(reason=reason),
        usage=usage,
    )


FRAME = response_context(model="acme-1", include_usage=True)


@settings(max_examples=60)
@given(responses())
def test_a_complete_response_renders_and_parses_unchanged(response: Response):
    wire, report = DIALECT.client.render_response(response, FRAME)
    assert report == ()
    wire = msgspec.json.decode(msgspec.json.encode(wire))
    assert without_native_usage(DIALECT.provider.parse_response(wire, ALL, None)) == response


@settings(max_examples=60)
@given(responses(), st.data())
def test_a_streamed_response_round_trips_at_any_split(response: Response, data: st.DataObject):
    renderer = DIALECT.client.stream_renderer(FRAME)
    wire = b"".join(renderer.feed(event) for event in split_deltas(unfold_response(response), data))
    assert renderer.report == []
    assert without_native_usage(parse_split_stream(DIALECT, wire, data, ALL)) == response
