"""Probes of tools: calls, choices, results, ids, arguments."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.canon.request import (
    Part,
    ReasoningConfig,
    Request,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.canon.response import Response
from gateway.doctor import judges as on
from gateway.doctor.request_parts import (
    NO_CALL_PROMPT,
    ONE_CALL_PROMPT,
    PARALLEL_CALLS_PROMPT,
    READ_CLOCK_TOOL,
    READ_GAUGE_TOOL,
    RED_IMAGE,
    SEQUENTIAL_CALLS_PROMPT,
    WRITE_NOTE_TOOL,
    assume_reasoning,
    assume_traits,
    request_of,
)
from gateway.doctor.values import FollowUp, Probe

TOOLS = "Tools"
# Like an id of another provider, in a conversation that switches models.
_FOREIGN_CALL_ID = "fc|other.dialect:0123456789"
_READINGS = ("4711", "8264")


def answer_calls(request: Request, response: Response, results: list[ToolResult]) -> Request:
    """Return the next request: the model's own turn, then the results of its calls."""
    turns = (
        *request.turns,
        Turn(role="assistant", parts=response.parts),
        Turn(role="user", parts=tuple(results)),
    )
    return replace(request, turns=turns)


def answer_with_readings(request: Request, response: Response) -> Request | None:
    """Answer each call with a number of its own, the last call first."""
    calls = [part for part in response.parts if isinstance(part, ToolCall)]
    if not calls:
        return None
    results = [_gauge_result(call, _READINGS[n % 2]) for n, call in enumerate(calls)]
    return answer_calls(request, response, results[::-1])


def answer_with_foreign_ids(request: Request, response: Response) -> Request | None:
    """Rename the calls to ids like another provider's, and answer them."""
    renamed: dict[str, str] = {}
    parts: list[Part] = []
    for part in response.parts:
        if isinstance(part, ToolCall):
            renamed[part.id] = f"{_FOREIGN_CALL_ID}{len(renamed)}"
            part = replace(part, id=renamed[part.id])
        parts.append(part)
    return answer_with_readings(request, replace(response, parts=tuple(parts)))


def with_result_parts(*parts: Part) -> FollowUp:
    """Answer each call with these parts; with none, the results are empty."""

    def follow(request: Request, response: Response) -> Request | None:
        calls = [part for part in response.parts if isinstance(part, ToolCall)]
        results = [ToolResult(id=call.id, name=call.name, parts=parts) for call in calls]
        return answer_calls(request, response, results) if calls else None

    return follow


def _gauge_result(call: ToolCall, gauge_value: str) -> ToolResult:
    return ToolResult(
        id=call.id, name=call.name, parts=(Text(text=f"The gauge shows {gauge_value}."),)
    )


WITH_TOOLS = assume_traits(tools=True)
TOOL_PROBES = (
    Probe(
        name="tool",
        group=TOOLS,
        title="Tool call",
        summary="A call of a tool with one argument.",
        criterion="A call of the tool by name, with the argument in a JSON object.",
        request=request_of(ONE_CALL_PROMPT, tools=(READ_GAUGE_TOOL,)),
        assume=WITH_TOOLS,
        required_paths=("tools",),
        judge=on.calls("read_gauge", needs="room"),
    ),
    Probe(
        name="parallel_tools",
        group=TOOLS,
        title="Parallel calls",
        summary="Two calls of a tool in one response.",
        criterion="Two calls. A single call is inconclusive.",
        request=request_of(PARALLEL_CALLS_PROMPT, tools=(READ_GAUGE_TOOL,)),
        assume=WITH_TOOLS,
        required_paths=("tools",),
        judge=on.calls("read_gauge", min_calls=2, needs="room"),
    ),
    Probe(
        name="one_at_a_time",
        group=TOOLS,
        title="Parallel calls disabled",
        summary="The same request with parallel calls disabled.",
        criterion="One call.",
        request=request_of(
            SEQUENTIAL_CALLS_PROMPT,
            tools=(READ_GAUGE_TOOL,),
            tool_choice=ToolChoice(parallel=False),
        ),
        assume=assume_traits(tools=True, parallel_toggle=True),
        required_paths=("tools", "tool_choice", "parallel"),
        judge=on.calls_once("read_gauge"),
    ),
    Probe(
        name="zero_arguments",
        group=TOOLS,
        title="Tool without arguments",
        summary="A call of a tool without parameters.",
        criterion="A call with an empty object.",
        request=request_of(
            "Call the tool read_clock, then say the time.", tools=(READ_CLOCK_TOOL,)
        ),
        assume=WITH_TOOLS,
        required_paths=("tools",),
        judge=on.calls_without_arguments("read_clock"),
    ),
    Probe(
        name="forced_tool",
        group=TOOLS,
        title="Forced tool",
        summary="A greeting, with `tool_choice` set to a specific tool.",
        criterion="A call of that tool.",
        request=request_of(
            "Good morning.",
            tools=(READ_GAUGE_TOOL, READ_CLOCK_TOOL),
            tool_choice=ToolChoice(mode="named", names=("read_clock",)),
        ),
        assume=assume_traits(tools=True, forced_tools=True),
        required_paths=("tools", "tool_choice"),
        judge=on.calls("read_clock"),
    ),
    Probe(
        name="no_tool",
        group=TOOLS,
        title="Tools forbidden",
        summary="A request for a tool call, with `tool_choice` set to none.",
        criterion="Text without a tool call.",
        request=request_of(
            NO_CALL_PROMPT, tools=(READ_GAUGE_TOOL,), tool_choice=ToolChoice(mode="none")
        ),
        assume=WITH_TOOLS,
        required_paths=("tools", "tool_choice"),
        judge=on.calls_none,
    ),
    Probe(
        name="tool_result",
        group=TOOLS,
        title="Tool result",
        summary="A tool call and a response that uses its result.",
        criterion="The number from the tool result in the response.",
        request=request_of(ONE_CALL_PROMPT, tools=(READ_GAUGE_TOOL,)),
        follow_up=answer_with_readings,
        assume=WITH_TOOLS,
        required_paths=("tools",),
        judge=on.response_contains(_READINGS[0]),
    ),
    Probe(
        name="tool_ids",
        group=TOOLS,
        title="Tool call IDs",
        summary="Two tool calls, with their results in reverse order.",
        criterion="Two different IDs; both results are accepted and used.",
        request=request_of(PARALLEL_CALLS_PROMPT, tools=(READ_GAUGE_TOOL,)),
        follow_up=answer_with_readings,
        assume=WITH_TOOLS,
        required_paths=("tools",),
        judge=on.keeps_ids(*_READINGS),
    ),
    Probe(
        name="foreign_ids",
        group=TOOLS,
        title="IDs of another provider",
        summary=f"A call and its result with an ID such as {_FOREIGN_CALL_ID}.",
        criterion="The ID is accepted unchanged.",
        request=request_of(ONE_CALL_PROMPT, tools=(READ_GAUGE_TOOL,)),
        follow_up=answer_with_foreign_ids,
        assume=assume_traits(tools=True, tool_id_rule="any"),
        required_paths=("tools",),
        judge=on.supported_if_accepted,
    ),
    Probe(
        name="empty_result",
        group=TOOLS,
        title="Empty tool result",
        summary="A tool result without any content.",
        criterion="The request is accepted.",
        request=request_of(ONE_CALL_PROMPT, tools=(READ_GAUGE_TOOL,)),
        follow_up=with_result_parts(),
        assume=WITH_TOOLS,
        required_paths=("tools",),
        judge=on.supported_if_accepted,
    ),
    Probe(
        name="result_image",
        group=TOOLS,
        title="Image in a tool result",
        summary="A tool result with a red image, and a question about its color.",
        criterion="Red in the response.",
        request=request_of(f"{ONE_CALL_PROMPT} Name its color.", tools=(READ_GAUGE_TOOL,)),
        follow_up=with_result_parts(RED_IMAGE),
        assume=assume_traits(tools=True, images=True, tool_result_images=True),
        required_paths=("tools", "image"),
        judge=on.response_contains_any("red", "crimson", "scarlet"),
    ),
    Probe(
        name="stream_arguments",
        group=TOOLS,
        title="Arguments in a stream",
        summary="A streamed call with a long text as its argument.",
        criterion="Complete arguments after the last chunk.",
        request=request_of(
            "Call the tool write_note with a text of about eighty words about the sea.",
            tools=(WRITE_NOTE_TOOL,),
            stream=True,
        ),
        assume=WITH_TOOLS,
        required_paths=("tools",),
        judge=on.calls_in_chunks("write_note"),
    ),
    Probe(
        name="strict_tools",
        group=TOOLS,
        title="Strict tools",
        summary="A call of a tool in strict mode.",
        criterion="The request is accepted, and the call has the argument.",
        request=request_of(ONE_CALL_PROMPT, tools=(replace(READ_GAUGE_TOOL, strict=True),)),
        assume=assume_traits(tools=True, strict_tools=True),
        required_paths=("tools",),
        judge=on.calls("read_gauge", needs="room"),
    ),
    Probe(
        name="thinking_tools",
        group=TOOLS,
        title="Reasoning with tools",
        summary="Reasoning, a tool call, and a continuation that returns the reasoning.",
        criterion="The number from the tool result in the response.",
        request=request_of(
            ONE_CALL_PROMPT,
            tools=(READ_GAUGE_TOOL,),
            reasoning=ReasoningConfig(mode="auto", effort="low", visible="summary"),
            max_output=4096,
        ),
        follow_up=answer_with_readings,
        assume=assume_reasoning,
        required_paths=("tools", "reasoning", "effort"),
        judge=on.response_contains(_READINGS[0]),
        deadline_s=90.0,
    ),
)
