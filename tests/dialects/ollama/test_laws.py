"""Property tests: rendering and parsing are inverse for everything that Ollama can express."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.fold import unfold_response
from gateway.canon.request import (
    Image,
    Output,
    Reasoning,
    ReasoningConfig,
    Request,
    Sampling,
    Signature,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    without_paths,
)
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects.ollama import DIALECT
from tests.dialects.ollama.make import ALL, PNG, response_context
from tests.dialects.splits import parse_split_stream, split_deltas, without_native_usage
from tests.fakes.ollama_rules import refusal

text_strategy = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
nonempty_text = st.text('abc .{}"\\\n', min_size=1, max_size=8)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
values = st.none() | st.booleans() | st.integers(-9, 9) | text_strategy
objects = st.dictionaries(text_strategy, values, max_size=3)
texts = st.builds(Text, text=nonempty_text)
images = st.just(Image(data=PNG, media_type="image/png"))
users = st.builds(
    lambda text, recorded: Turn(role="user", parts=(*text, *recorded) or (Text(text=""),)),
    st.lists(texts, max_size=1),
    st.lists(images, max_size=2),
)
systems = st.builds(lambda text: Turn(role="system", parts=(text,)), texts)
OWN = Signature(provider="acme", model="acme-1", kind="text")


@st.composite
def exchanges(draw: st.DrawFn, index: int) -> list[Turn]:
    """Draw an assistant turn at this index, followed by the results of its calls."""
    parts: list[object] = draw(st.lists(st.builds(Reasoning, text=nonempty_text), max_size=1))
    parts += draw(st.lists(texts, max_size=1))
    drawn_calls = draw(st.lists(st.tuples(names, objects), max_size=3))
    calls = [
        ToolCall(id=f"call_{index}_{n}", name=name, arguments=arguments)
        for n, (name, arguments) in enumerate(drawn_calls)
    ]
    turns = [Turn(role="assistant", parts=(*parts, *calls))]  # type: ignore[arg-type]
    if calls:
        results = [
            ToolResult(id=c.id, name=c.name, parts=tuple(draw(st.lists(texts, max_size=1))))
            for c in calls
        ]
        turns.append(Turn(role="user", parts=tuple(results)))
    return turns


@st.composite
def conversations(draw: st.DrawFn, before: int) -> tuple[Turn, ...]:
    """Draw turns that begin and end with a user turn, after this many messages."""
    turns = [draw(users)]
    index = before + 1
    for _ in range(draw(st.integers(0, 2))):
        drawn_exchanges = draw(exchanges(index))
        index += 1 + sum(len(turn.parts) for turn in drawn_exchanges[1:])
        turns += drawn_exchanges
        if draw(st.booleans()):
            turns.append(draw(systems))
            index += 1
        turns.append(draw(users))
        index += 1
    return tuple(turns)


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
tools = st.lists(
    st.builds(Tool, name=names, description=st.none() | text_strategy, schema=st.just(SCHEMA)),
    max_size=3,
    unique_by=lambda tool: tool.name,
).map(tuple)
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
    stop=st.lists(nonempty_text, max_size=6).map(tuple),
)
outputs = st.sampled_from([Output(), Output(format="json"), Output(format="schema", schema=SCHEMA)])
reasoning_configs = st.sampled_from(
    [None, ReasoningConfig(mode="off"), ReasoningConfig(mode="auto"), ReasoningConfig(effort="low")]
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw requests that Ollama can express exactly."""
    instructions = tuple(draw(st.lists(texts, max_size=1)))
    return Request(
        model="acme-1",
        stream=draw(st.booleans()),
        instructions=instructions,
        turns=draw(conversations(len(instructions))),
        tools=draw(tools),
        output=draw(outputs),
        reasoning=draw(reasoning_configs),
        max_output=draw(st.none() | st.integers(1, 9)),
        sampling=draw(samplings),
        extra=draw(
            st.sampled_from([{}, {"ollama": {"options.num_ctx": 4096, "keep_alive": "5m"}}])
        ),
    )


@settings(max_examples=100)
@given(requests())
def test_a_rendered_request_parses_to_the_same_request(request: Request) -> None:
    rendered_request = DIALECT.provider.render_request(request, ALL)
    assert rendered_request.report == ()
    wire = msgspec.json.decode(msgspec.json.encode(rendered_request.body))
    assert without_paths(DIALECT.client.parse_request(wire, {})) == request


@settings(max_examples=60)
@given(requests())
def test_every_rendered_request_is_valid_for_ollama(request: Request) -> None:
    wire = DIALECT.provider.render_request(request, ALL).body
    assert refusal("/api/chat", msgspec.json.decode(msgspec.json.encode(wire))) is None


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """Draw responses that Ollama can express exactly."""
    parts: list[object] = draw(
        st.lists(st.builds(Reasoning, text=nonempty_text, signature=st.just(OWN)), max_size=1)
    )
    parts += draw(st.lists(texts, max_size=1))
    calls = draw(
        st.lists(
            st.builds(ToolCall, id=names, name=names, arguments=objects),
            max_size=2,
            unique_by=lambda call: call.id,
        )
    )
    reason = "tool" if calls else draw(st.sampled_from(["stop", "length"]))
    counts = st.none() | st.builds(
        Usage, input=st.none() | st.integers(0, 9), output=st.integers(0, 9)
    )
    return Response(
        model="acme-1",
        parts=(*parts, *calls),  # type: ignore[arg-type]
        finish=Finish(reason=reason),  # type: ignore[arg-type]
        usage=draw(counts),
    )


FRAME = response_context(model="acme-1")


@settings(max_examples=60)
@given(responses())
def test_a_complete_response_renders_and_parses_unchanged(response: Response) -> None:
    wire, report = DIALECT.client.render_response(response, FRAME)
    assert report == ()
    wire = msgspec.json.decode(msgspec.json.encode(wire))
    assert without_native_usage(DIALECT.provider.parse_response(wire, ALL, None)) == response


@settings(max_examples=60)
@given(responses(), st.data())
def test_a_streamed_response_round_trips_at_any_split(
    response: Response, data: st.DataObject
) -> None:
    renderer = DIALECT.client.stream_renderer(FRAME)
    wire = b"".join(renderer.feed(event) for event in split_deltas(unfold_response(response), data))
    assert renderer.report == []
    assert without_native_usage(parse_split_stream(DIALECT, wire, data, ALL)) == response
