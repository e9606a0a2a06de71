"""Property tests: rendering and parsing are inverse for every valid request and response."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.canon.fold import unfold_response
from gateway.canon.media import SEARCH_RESULT_MEDIA_TYPE
from gateway.canon.request import (
    CacheBreakpoint,
    Citation,
    Document,
    Image,
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
from gateway.canon.signature import unwrap_signature
from gateway.dialects.anthropic_messages import DIALECT
from gateway.dialects.base import RenderedRequest
from tests.dialects.anthropic_messages.make import (
    PDF,
    PNG,
    rendered_bytes,
    response_context,
    traits,
)
from tests.dialects.parsed_responses import call_identity
from tests.dialects.splits import parse_split_stream, split_deltas

NAME = "anthropic_messages"
OWN = {"provider": "acme", "model": "acme-1"}
ABLE = traits(reasoning_modes=("adaptive", "enabled"), mid_system=True, prefill=True, stop_max=None)

text_strategy = st.text('ab <"\\\n€😀', min_size=1, max_size=6).filter(lambda w: not w.isspace())
ids = st.text("abc_-1", min_size=1, max_size=5)
json_values = st.none() | st.booleans() | st.integers(-9, 9) | text_strategy
objects = st.dictionaries(text_strategy, json_values, max_size=2)
caches = st.none() | st.builds(CacheBreakpoint, st.sampled_from([None, "5m", "1h"]))
own_citations = st.builds(
    lambda quote: Citation(
        quote=quote,
        dialect=NAME,
        native={"type": "char_location", "cited_text": quote},
    ),
    text_strategy,
)

# --- requests ----------------------------------------------------------------------------

texts = st.builds(Text, text=text_strategy)
images = st.one_of(
    st.builds(Image, data=st.just(PNG), media_type=st.just("image/png")),
    st.builds(Image, url=st.just("https://x/y.png")),
    st.builds(Image, file_id=ids),
)
documents = st.one_of(
    st.builds(
        Document,
        data=st.just(PDF),
        media_type=st.just("application/pdf"),
        title=st.none() | text_strategy,
        citations=st.none() | st.booleans(),
    ),
    st.builds(
        Document,
        text=text_strategy,
        media_type=st.just("text/plain"),
        context=st.none() | text_strategy,
    ),
    st.builds(Document, url=st.just("https://x/y.pdf")),
    st.builds(Document, parts=st.lists(texts | images, min_size=1, max_size=2).map(tuple)),
    st.builds(
        Document,
        parts=st.lists(texts, min_size=1, max_size=2).map(tuple),
        media_type=st.just(SEARCH_RESULT_MEDIA_TYPE),
        title=text_strategy,
        context=text_strategy,
    ),
)
natives = st.builds(
    Native,
    dialect=st.just(NAME),
    data=st.builds(lambda w: {"type": "server_tool_use", "x": w}, text_strategy),
)
thoughts = st.builds(
    Reasoning,
    text=text_strategy,
    signature=st.builds(Signature, value=text_strategy, **{k: st.just(v) for k, v in OWN.items()}),
)
user_parts = st.lists(texts | images | documents, min_size=1, max_size=3).map(tuple)
assistant_parts = st.lists(texts | thoughts | natives, min_size=1, max_size=3).map(tuple)
system_turns = st.builds(
    Turn,
    role=st.just("system"),
    parts=st.lists(texts, min_size=1, max_size=2).map(tuple),
    effort=st.none() | st.sampled_from(["low", "high"]),
)


@st.composite
def exchanges(draw: st.DrawFn, number: int) -> list[Turn]:
    """Draw a user turn and the turns after it, with calls and their results."""
    turns = [Turn(role="user", parts=draw(user_parts))]
    if draw(st.booleans()):
        turns.append(draw(system_turns))
    calls = tuple(
        ToolCall(id=f"c{number}_{i}", name=draw(ids), arguments=draw(objects))
        for i in range(draw(st.integers(0, 2)))
    )
    turns.append(Turn(role="assistant", parts=(*draw(assistant_parts), *calls)))
    if calls:
        inner = st.lists(texts | images | documents, max_size=2).map(tuple)
        back = tuple(
            ToolResult(id=call.id, parts=draw(inner), is_error=draw(st.none() | st.booleans()))
            for call in calls
        )
        drawn_user_parts = draw(st.just(()) | user_parts)
        turns += [
            Turn(role="user", parts=(*back, *drawn_user_parts)),
            Turn(role="assistant", parts=draw(assistant_parts)),
        ]
    return turns


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    """Draw turns in an order that the API accepts, ending with a user turn."""
    turns = [turn for n in range(draw(st.integers(0, 2))) for turn in draw(exchanges(n))]
    return (*turns, Turn(role="user", parts=draw(user_parts)))


tools = st.one_of(
    st.builds(
        Tool,
        name=ids,
        description=st.none() | text_strategy,
        schema=st.just({"type": "object", "properties": {"a": {"type": "string"}}}),
        defer=st.booleans(),
    ),
    st.builds(
        lambda w: Tool(
            name="web_search",
            kind="server",
            dialect=NAME,
            native={"type": "web_search_20260318", "name": "web_search", "x": w},
        ),
        text_strategy,
    ),
)
choices = st.one_of(
    st.none(),
    st.builds(
        ToolChoice, mode=st.sampled_from(["auto", "any"]), parallel=st.sampled_from([None, False])
    ),
    st.just(ToolChoice(mode="none")),
)
reasoning_configs = st.one_of(
    st.none(),
    st.builds(
        ReasoningConfig, effort=st.sampled_from(["low", "max"]), effort_covers_output=st.just(True)
    ),
    st.builds(
        ReasoningConfig, mode=st.just("auto"), visible=st.sampled_from([None, "none", "summary"])
    ),
    st.builds(
        ReasoningConfig,
        mode=st.just("auto"),
        effort=st.just("high"),
        effort_covers_output=st.just(True),
        visible=st.sampled_from([None, "none", "summary"]),
    ),
    st.just(ReasoningConfig(mode="off")),
    st.builds(ReasoningConfig, mode=st.just("budget"), budget=st.integers(1024, 2000)),
)
outputs = st.just(Output()) | st.just(
    Output(
        format="schema",
        schema={"type": "object", "properties": {}, "additionalProperties": False, "required": []},
    )
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw requests of clients of this dialect that translate without losses."""
    offered = tuple(draw(st.lists(tools, min_size=1, max_size=2, unique_by=lambda t: t.name)))
    reasoning = draw(reasoning_configs)
    choice = draw(choices)
    if reasoning is not None and reasoning.mode == "budget":
        choice = None
    awake = reasoning is not None and reasoning.mode in {"auto", "budget"}
    sampling = Sampling(stop=tuple(draw(st.lists(text_strategy, max_size=2))))
    if not awake:
        number = draw(st.none() | st.floats(0, 1))
        sampling = replace(sampling, temperature=number, top_k=draw(st.none() | st.integers(0, 9)))
    return Request(
        model="acme-1",
        stream=draw(st.booleans()),
        instructions=tuple(
            draw(st.lists(st.builds(Text, text=text_strategy, cache=caches), max_size=2))
        ),
        turns=draw(conversations()),
        tools=offered,
        tool_choice=choice,
        output=draw(outputs),
        reasoning=reasoning,
        max_output=draw(st.integers(2048, 9999)),
        sampling=sampling,
        cache=draw(caches),
        version=draw(st.sampled_from(["2023-06-01", "2026-10-21"])),
        betas=tuple(draw(st.lists(ids, max_size=2, unique=True))),
    )


def _unsigned(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return the parts with reasoning as a direct client of the provider would send it."""
    return tuple(
        replace(part, signature=Signature(kind=part.signature.kind, value=part.signature.value))
        if isinstance(part, Reasoning) and part.signature is not None
        else part
        for part in parts
    )


def _comparable_request(request: Request) -> Request:
    turns = tuple(replace(turn, parts=_unsigned(turn.parts)) for turn in request.turns)
    plain: Request = without_paths(request)
    # The version and the beta of files depend on what is sent; they have their own tests.
    return replace(plain, turns=without_paths(turns), version=None, betas=())


@given(requests())
def test_a_rendered_request_parses_to_the_same_request(request: Request):
    rendered_request = DIALECT.provider.render_request(request, ABLE)
    assert rendered_request.report == ()
    assert _comparable_request(
        DIALECT.client.parse_request(rendered_request.body, rendered_request.headers)
    ) == _comparable_request(request)


# --- responses ---------------------------------------------------------------------------

signatures = st.builds(
    Signature,
    provider=text_strategy,
    model=text_strategy,
    kind=st.sampled_from(["signature", "text"]),
    value=text_strategy,
)
response_parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, text=text_strategy),
    st.builds(Text, text=text_strategy, citations=st.tuples(own_citations)),
    st.builds(Reasoning, text=st.just("") | text_strategy, signature=signatures),
    st.builds(Reasoning, redacted=st.just(True), signature=signatures),
    st.builds(ToolCall, id=ids, name=ids, arguments=objects),
    st.builds(
        ToolCall, id=ids, name=st.just("free"), raw_arguments=text_strategy, custom=st.just(True)
    ),
    natives,
)
counts = st.integers(0, 99)
usages = st.builds(
    Usage,
    input=counts,
    cache_read=counts,
    cache_write=st.integers(50, 99),
    cache_write_1h=st.none() | st.integers(0, 49),
    output=counts,
    reasoning=st.none() | counts,
)
endings = st.one_of(
    st.builds(Finish, reason=st.sampled_from(["length", "pause", "context"])),
    st.builds(Finish, reason=st.just("stop_sequence"), stop_sequence=text_strategy),
    st.builds(
        Finish, reason=st.just("refusal"), explanation=text_strategy, category=st.just("bio")
    ),
    st.just(Finish(reason="stop")),
)


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """Draw responses that this dialect can express."""
    parts = tuple(draw(st.lists(response_parts, max_size=4, unique_by=call_identity)))
    finish = draw(endings)
    if finish.reason == "stop" and any(isinstance(part, ToolCall) for part in parts):
        finish = Finish(reason="tool")
    return Response(id="msg_1", model="gw-x", parts=parts, finish=finish, usage=draw(usages))


FREE = RenderedRequest(body={}, custom_tools=frozenset({"free"}))


def _comparable(response: Response) -> Response:
    """Return a response for comparison: tokens decoded, without the provider's own counts."""
    parts = tuple(_unwrapped(part) for part in response.parts)
    usage = replace(response.usage, native={}) if response.usage is not None else None
    return replace(response, parts=parts, usage=usage)


def _unwrapped(part: Part) -> Part:
    if not isinstance(part, Reasoning) or part.signature is None:
        return part
    return replace(part, signature=unwrap_signature(part.signature.value) or part.signature)


@given(responses())
def test_a_rendered_response_parses_to_the_same_response(response: Response):
    body, report = DIALECT.client.render_response(response, response_context())
    assert report == ()
    round_trip = DIALECT.provider.parse_response(body, ABLE, FREE)
    assert _comparable(round_trip) == _comparable(response)


@given(responses(), st.data())
def test_a_stream_parses_to_the_same_response_however_split(
    response: Response, data: st.DataObject
):
    out = rendered_bytes(split_deltas(unfold_response(response), data))
    round_trip = parse_split_stream(DIALECT, out, data, ABLE, FREE)
    assert _comparable(round_trip) == _comparable(response)
