"""Property tests: rendering and parsing are inverse for every valid request and response."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.canon.fold import unfold_response
from gateway.canon.request import (
    Audio,
    Citation,
    Document,
    Image,
    Meta,
    Native,
    Output,
    Part,
    Reasoning,
    ReasoningConfig,
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
from gateway.dialects.gemini import DIALECT
from gateway.dialects.gemini.context import NEXT_PART_SIGNATURE, SAME_PART_SIGNATURE
from tests.dialects.gemini.make import PDF, PNG, rendered_bytes, response_context, traits
from tests.dialects.parsed_responses import call_identity
from tests.dialects.splits import parse_split_stream

NAME = "gemini"
ABLE = traits(prefill=True, image_urls=True, metadata=True)

text_strategy = st.text('ab <"\\\n€😀', min_size=1, max_size=6)
ids = st.text("abc_-1", min_size=1, max_size=5)
names = st.text("abc_.:-1", min_size=1, max_size=5).map(lambda w: f"f{w}")
json_values = st.none() | st.booleans() | st.integers(-9, 9) | text_strategy
objects = st.dictionaries(text_strategy, json_values, max_size=2)
values = st.binary(min_size=1, max_size=6).map(lambda raw: base64.b64encode(raw).decode())

# --- requests ----------------------------------------------------------------------------

texts = st.builds(Text, text=text_strategy)
media = st.one_of(
    st.builds(Image, data=st.just(PNG), media_type=st.just("image/png")),
    st.builds(Image, file_id=st.just("gs://b/x.png"), media_type=st.just("image/png")),
    st.builds(Image, url=st.just("https://x/y.png"), media_type=st.just("image/png")),
    st.builds(Document, data=st.just(PDF), media_type=st.just("application/pdf")),
    st.builds(Audio, data=st.just("AAAA"), format=st.just("wav")),
)
natives = st.builds(
    Native,
    dialect=st.just(NAME),
    data=st.builds(lambda code: {"executableCode": {"code": code}}, text_strategy),
)
signatures = st.builds(Signature, kind=st.just(SAME_PART_SIGNATURE), value=values)
assistant_parts = st.lists(
    texts
    | natives
    | st.builds(Reasoning, text=text_strategy)
    | st.builds(Reasoning, text=text_strategy, signature=signatures),
    min_size=1,
    max_size=3,
).map(tuple)
user_parts = st.lists(texts | media, min_size=1, max_size=3).map(tuple)


@st.composite
def exchanges(draw: st.DrawFn, number: int) -> list[Turn]:
    """Draw a user turn and the turns after it, with calls and their results."""
    turns = [Turn(role="user", parts=draw(user_parts))]
    calls = tuple(
        ToolCall(
            id=f"c{number}_{i}",
            name=draw(names),
            arguments=draw(objects),
            signature=draw(st.none() | signatures),
        )
        for i in range(draw(st.integers(0, 2)))
    )
    turns.append(Turn(role="assistant", parts=(*draw(assistant_parts), *calls)))
    if calls:
        back = tuple(
            ToolResult(
                id=call.id,
                name=call.name,
                parts=(Text(text=draw(text_strategy.map(lambda w: f"r{w}"))), *draw(results)),
                is_error=draw(st.sampled_from([None, True])),
            )
            for call in calls
        )
        turns += [
            Turn(role="user", parts=(*back, *draw(st.just(()) | user_parts))),
            Turn(role="assistant", parts=draw(assistant_parts)),
        ]
    return turns


results = st.lists(
    st.builds(Image, data=st.just(PNG), media_type=st.just("image/png")), max_size=1
).map(tuple)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    """Draw turns in an order that the API accepts, ending with a user turn."""
    turns = [turn for n in range(draw(st.integers(0, 2))) for turn in draw(exchanges(n))]
    return (*turns, Turn(role="user", parts=draw(user_parts)))


tools = st.one_of(
    st.builds(
        Tool,
        name=names,
        description=st.none() | text_strategy,
        schema=st.just({"type": "object", "properties": {"a": {"type": "string"}}}),
    ),
    st.just(Tool(name="code_execution", kind="server", dialect=NAME, native={"codeExecution": {}})),
)
reasoning_configs = st.one_of(
    st.none(),
    st.builds(
        ReasoningConfig,
        effort=st.sampled_from(["minimal", "low", "medium", "high"]),
        visible=st.sampled_from([None, "none", "summary"]),
    ),
    st.just(ReasoningConfig(visible="summary")),
)
outputs = st.sampled_from(
    [
        Output(),
        Output(format="json"),
        Output(format="schema", schema={"type": "object", "properties": {}}),
    ]
)
numbers = st.none() | st.floats(0, 2)
rests = st.sampled_from(
    [
        {},
        {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]},
        {"cachedContent": "cachedContents/x", "generationConfig.mediaResolution": "LOW"},
        {"toolConfig.retrievalConfig": {"languageCode": "de"}},
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw requests of clients of this dialect that translate without losses."""
    offered = tuple(draw(st.lists(tools, max_size=2, unique_by=lambda t: t.name)))
    offered = tuple(sorted(offered, key=lambda tool: tool.kind))
    functions = [tool.name for tool in offered if tool.kind == "function"]
    choice = None
    if functions:
        named = ToolChoice(mode="named", names=(functions[0],))
        plain = [ToolChoice(mode=mode) for mode in ("auto", "any", "none")]
        choice = draw(st.sampled_from([None, named, *plain]))
    return Request(
        model="acme-1",
        stream=draw(st.booleans()),
        instructions=tuple(draw(st.lists(texts, max_size=2))),
        turns=draw(conversations()),
        tools=offered,
        tool_choice=choice,
        output=draw(outputs),
        reasoning=draw(reasoning_configs),
        max_output=draw(st.none() | st.integers(1, 9999)),
        sampling=Sampling(
            temperature=draw(numbers),
            top_p=draw(st.none() | st.floats(0, 1)),
            top_k=draw(st.none() | st.integers(0, 9)),
            seed=draw(st.none() | st.integers(0, 9)),
            presence_penalty=draw(numbers),
            stop=tuple(draw(st.lists(text_strategy, max_size=3))),
            n=draw(st.none() | st.integers(1, 8)),
            logprobs=draw(st.sampled_from([None, True, False])),
        ),
        meta=Meta(
            metadata=draw(st.none() | st.just({"team": "a"})),
            service_tier=draw(st.sampled_from([None, "default", "flex", "priority"])),
            store=draw(st.sampled_from([None, True, False])),
        ),
        extra={NAME: draw(rests)},
    )


@given(requests())
def test_a_rendered_request_parses_to_the_same_request(request: Request):
    rendered_request = DIALECT.provider.render_request(request, ABLE)
    assert rendered_request.report == ()
    request_body = {**rendered_request.body, "model": request.model, "stream": request.stream}
    assert without_paths(DIALECT.client.parse_request(request_body, {})) == without_paths(request)


# --- responses ---------------------------------------------------------------------------


def grounded(text: Text) -> Text:
    """Return the text with a source for all of it."""
    segment = {"endIndex": len(text.text.encode()), "text": text.text}
    source = Citation(
        url="https://x",
        title="t",
        quote=text.text,
        start=0,
        end=len(text.text),
        dialect=NAME,
        native={"chunk": {"web": {"uri": "https://x", "title": "t"}}, "segment": segment},
    )
    return replace(text, citations=(source,))


response_parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, text=text_strategy),
    st.builds(Reasoning, text=text_strategy),
    st.builds(ToolCall, id=ids, name=names, arguments=objects),
    natives,
)
counts = st.integers(0, 99)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Draw token counts as the API returns them."""
    thoughts = draw(st.none() | counts)
    return Usage(
        input=draw(counts),
        cache_read=draw(st.none() | counts),
        output=draw(counts) + (thoughts or 0),
        reasoning=thoughts,
    )


endings = st.one_of(
    st.just(Finish(reason="length")),
    st.just(Finish(reason="stop")),
    st.builds(
        Finish, reason=st.just("filter"), category=st.just("RECITATION"), explanation=text_strategy
    ),
)


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """Draw responses that this dialect can express; adjacent parts differ in kind."""
    parts: list[Part] = []
    for part in draw(st.lists(response_parts, max_size=4, unique_by=call_identity)):
        if not parts or type(part) is not type(parts[-1]) or not isinstance(part, Text | Reasoning):
            parts.append(part)
    if parts and isinstance(parts[-1], Text) and draw(st.booleans()):
        parts[-1] = grounded(parts[-1])
    finish = draw(endings)
    if finish.reason == "stop" and any(isinstance(part, ToolCall) for part in parts):
        finish = Finish(reason="tool")
    return Response(
        id="1",
        model="gw-x",
        parts=tuple(parts),
        finish=finish,
        usage=draw(usages()),
    )


def _comparable(response: Response) -> Response:
    """Return a response for comparison, without provider counts and generated signatures."""
    parts = tuple(
        replace(part, signature=None) if isinstance(part, Reasoning | ToolCall) else part
        for part in response.parts
    )
    usage = replace(response.usage, native={}) if response.usage is not None else None
    return replace(response, parts=parts, usage=usage)


@given(responses())
def test_a_rendered_response_parses_to_the_same_response(response: Response):
    body, report = DIALECT.client.render_response(response, response_context())
    assert report == ()
    assert _comparable(DIALECT.provider.parse_response(body, ABLE, None)) == _comparable(response)


@given(responses(), st.data())
def test_a_stream_parses_to_the_same_response_however_split(
    response: Response, data: st.DataObject
):
    out = rendered_bytes(unfold_response(response))
    round_trip = parse_split_stream(DIALECT, out, data, ABLE)
    assert _comparable(round_trip) == _comparable(response)


@given(st.sampled_from([NEXT_PART_SIGNATURE, SAME_PART_SIGNATURE]), values, st.booleans())
def test_a_signature_is_the_same_after_a_round_through_a_client(
    kind: str, value: str, has_call: bool
):
    state = Signature(provider="acme", model="acme-1", kind=kind, value=value)
    call = ToolCall(
        id="c", name="f", arguments={}, signature=replace(state, kind=SAME_PART_SIGNATURE)
    )
    thought = Reasoning(text="hm", signature=state)
    parts = (
        (thought, call)
        if has_call
        else (replace(thought, signature=replace(state, kind=SAME_PART_SIGNATURE)),)
    )
    body, _ = DIALECT.client.render_response(Response(parts=parts), response_context())
    history = [{"role": "user", "parts": [{"text": "x"}]}, body["candidates"][0]["content"]]
    history.append({"role": "user", "parts": [{"text": "y"}]})
    round_trip = DIALECT.client.parse_request({"model": "gw", "contents": history}, {})
    rendered_parts = DIALECT.provider.render_request(round_trip, ABLE).body["contents"][1]["parts"]
    assert value in [part.get("thoughtSignature") for part in rendered_parts]
