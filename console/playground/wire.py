"""A column's request in canonical form -> the JSON of a client dialect, as a client writes it.

A dialect's client half only reads, so its provider half writes: towards traits of a
client, which leave nothing out that the dialect can say.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from console.playground.columns import Case, Column, Settings, Tool, settings_for, turns_for
from gateway.canon.adaptation import as_report
from gateway.canon.request import (
    Output,
    Part,
    Reasoning,
    Request,
    Sampling,
    Signature,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    Turn,
)
from gateway.canon.request import Tool as CanonTool
from gateway.canon.schema import for_openai_strict
from gateway.canon.signature import wrap
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS

Json = dict[str, Any]
# The maker of state that only passes through here: see `_carried`.
_CLIENT = "client"
# How a dialect calls the state of a thought, where it takes only its own; where it wants
# base64; and where a call's state is an item of its own after the call.
_STATES = {"openai_responses": "encrypted_content", "gemini": "thought_signature"}
_BASE64 = frozenset({"gemini"})
_STATE_ITEMS = frozenset({"openai_responses"})
# What this page wrote itself, so that its loss is none to a person.
_OWN = frozenset({"name"})
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def request(column: Column, case: Case, *, stream: bool) -> Request:
    """What a column asks in a case."""
    settings = settings_for(column, case)
    params = settings.params
    effort = params.reasoning_effort
    return Request(
        model=column.model,
        stream=stream,
        include_usage=True if stream else None,
        instructions=(Text(text=settings.system),) if settings.system else (),
        turns=turns_for(column, case),
        tools=tuple(map(_tool, settings.tools)),
        tool_choice=_choice(settings),
        output=_output(settings),
        thinking=Thinking(effort=effort) if effort else None,
        max_output=params.max_tokens,
        sampling=Sampling(
            temperature=params.temperature,
            top_p=params.top_p,
            top_k=params.top_k,
            seed=params.seed,
            frequency_penalty=params.frequency_penalty,
            presence_penalty=params.presence_penalty,
            stop=params.stop,
        ),
    )


def _tool(tool: Tool) -> CanonTool:
    return CanonTool(name=tool.name, description=tool.description or None, schema=tool.schema)


def _choice(settings: Settings) -> ToolChoice | None:
    word, parallel = settings.params.tool_choice, settings.params.parallel_tool_calls
    if not settings.tools or (word is None and parallel is None):
        return None
    mode: Any = _CHOICES[word] if word else None
    return ToolChoice(mode=mode, parallel=parallel)


def _output(settings: Settings) -> Output:
    """Strict only where that leaves the schema as it is: the answer is judged by it."""
    schema = settings.schema
    if schema is None:
        return Output()
    changed = for_openai_strict(schema)[1]
    return Output(format="schema", name="answer", schema=schema, strict=not changed)


def rendered(dialect: str, asked: Request) -> tuple[Json, list[Json]]:
    """The client's JSON, and what this dialect has no words for. Raises GatewayError.

    Where the dialect's path names the model and says whether to stream, the body does not.
    """
    traits = Traits(
        kind=_CLIENT,
        model=asked.model,
        reasoning=True,
        efforts=_EFFORTS,
        thinking_modes=("adaptive", "enabled", "disabled"),
        prefill=True,
        custom_tools=True,
        tool_result_images=True,
        top_k=True,
        min_p=True,
        repetition_penalty=True,
        stop_max=None,
        reasoning_field="reasoning_content",
        replay_reasoning="native",
    )
    turns = []
    for turn in asked.turns:
        parts = tuple(_carried(dialect, part, asked.model) for part in turn.parts)
        turns.append(msgspec.structs.replace(turn, parts=parts))
    told = msgspec.structs.replace(asked, turns=tuple(turns), at=_paths())
    found = DIALECTS[dialect].provider.render_request(told, traits)
    report = tuple(item for item in found.report if item.path not in _OWN)
    body = _with_states(found.body, asked) if dialect in _STATE_ITEMS else found.body
    return body, as_report(report)


def _paths() -> dict[str, str]:
    """Names by which a loss is reported: the playground's own words for its fields."""
    names = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")
    return {
        **{name: f"params.{name}" for name in names},
        "stop": "params.stop",
        "max_output": "params.max_tokens",
        "effort": "params.reasoning_effort",
        "tool_choice": "params.tool_choice",
        "parallel": "params.parallel_tool_calls",
        "schema": "schema",
    }


def _carried(dialect: str, part: Part, model: str) -> Part:
    """A part of an answer as a client sends it back: state in the gateway's own wrapping."""
    if isinstance(part, Reasoning):
        state = part.signature or Signature(kind="text")
        return msgspec.structs.replace(part, signature=_wrapped(dialect, state, model))
    if not isinstance(part, ToolCall) or part.signature is None:
        return part
    own = None if dialect in _STATE_ITEMS else _wrapped(dialect, part.signature, model)
    return msgspec.structs.replace(part, signature=own)


def _with_states(body: Json, asked: Request) -> Json:
    """The same with the state of each call as an item after it, where calls hold none."""
    parts = [part for turn in asked.turns for part in turn.parts]
    states = {p.id: p.signature for p in parts if isinstance(p, ToolCall) and p.signature}
    items: list[Json] = []
    for item in body["input"]:
        items.append(item)
        state = states.get(item.get("call_id", "")) if item["type"] == "function_call" else None
        if state is not None:
            token = wrap(msgspec.structs.replace(state, item=item["call_id"]))
            items.append({"type": "reasoning", "summary": [], "encrypted_content": token})
    return {**body, "input": items}


def _wrapped(dialect: str, state: Signature, model: str) -> Signature:
    own = "signature" if state.kind == "text" else state.kind
    value = wrap(state)
    if dialect in _BASE64:
        value = base64.b64encode(value.encode()).decode()
    kind = _STATES.get(dialect, own)
    return Signature(provider=_CLIENT, model=model, kind=kind, value=value)


def grown(asked: Request, parts: tuple[Part, ...], results: tuple[Part, ...]) -> Request:
    """The request of the next round: the answer's parts, then what its tools gave back."""
    turns = (Turn(role="assistant", parts=parts), Turn(role="user", parts=results))
    return msgspec.structs.replace(asked, turns=(*asked.turns, *turns))
