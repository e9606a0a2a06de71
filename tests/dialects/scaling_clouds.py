"""Bodies with n items for Bedrock and Cohere."""

from __future__ import annotations

from typing import Any

from tests.dialects.anthropic_messages.make import PNG
from tests.dialects.scaling import SCHEMA, Build, Json, chat_tool, repeat_items

# --- Bedrock Converse --------------------------------------------------------------------


def _con(*messages: Any, **fields: Any) -> Json:
    first = {"role": "user", "content": [{"text": "Go."}]}
    return {"model": "m", "messages": [first, *messages], **fields}


def _a_says(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


def _u_says(*blocks: Json) -> Json:
    return {"role": "user", "content": list(blocks)}


def _tool_use(i: Any) -> Json:
    return {"toolUse": {"toolUseId": f"c{i}", "name": "look", "input": {"a": "b"}}}


def _tool_result(i: Any) -> Json:
    return {"toolResult": {"toolUseId": f"c{i}", "content": [{"text": "x"}]}}


def _spec(i: Any) -> Json:
    return {"toolSpec": {"name": f"t{i}", "description": "d", "inputSchema": {"json": SCHEMA}}}


_MARK: Json = {"cachePoint": {"type": "default"}}
_IMAGE = {"image": {"format": "png", "source": {"bytes": PNG}}}
_THOUGHT = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}}

CONVERSE: dict[str, Build] = {
    "calls of one message": lambda n: _con(
        _a_says(*repeat_items(n, _tool_use)), _u_says(*repeat_items(n, _tool_result))
    ),
    "calls in messages": lambda n: _con(
        *repeat_items(n, lambda i: _a_says(_tool_use(i)), lambda i: _u_says(_tool_result(i)))
    ),
    "texts with cache points": lambda n: _con(_u_says(*[{"text": "x"}, _MARK] * n)),
    "cache points": lambda n: _con(_u_says({"text": "x"}, *[_MARK] * n)),
    "images": lambda n: _con(_u_says(*[_IMAGE] * n)),
    "thoughts": lambda n: _con(*[_a_says(_THOUGHT, {"text": "x"}), _u_says({"text": "x"})] * n),
    "system": lambda n: _con(system=[{"text": "x"}, _MARK] * n),
    "tools": lambda n: _con(toolConfig={"tools": repeat_items(n, _spec)}),
    "tools with cache points": lambda n: _con(
        toolConfig={"tools": repeat_items(n, _spec, lambda _: _MARK)}
    ),
    "stop strings": lambda n: _con(inferenceConfig={"stopSequences": [f"s{i}" for i in range(n)]}),
    "unknown fields": lambda n: _con(**{f"x{i}": i for i in range(n)}),
    "metadata": lambda n: _con(requestMetadata={f"x{i}": "y" for i in range(n)}),
}

# --- Cohere ------------------------------------------------------------------------------


def _coh(*messages: Any, **fields: Any) -> Json:
    first = {"role": "user", "content": "Go."}
    return {"model": "m", "messages": [first, *messages], **fields}


def _call(i: Any) -> Json:
    function = {"name": "look", "arguments": '{"a":"b"}'}
    return {"id": f"c{i}", "type": "function", "function": function}


def _result(i: Any) -> Json:
    return {"role": "tool", "tool_call_id": f"c{i}", "content": "x"}


COHERE: dict[str, Build] = {
    "calls of one message": lambda n: _coh(
        {"role": "assistant", "tool_plan": "x", "tool_calls": repeat_items(n, _call)},
        *repeat_items(n, _result),
    ),
    "calls in messages": lambda n: _coh(
        *repeat_items(n, lambda i: {"role": "assistant", "tool_calls": [_call(i)]}, _result)
    ),
    "turns": lambda n: _coh(
        *[{"role": "assistant", "content": "x"}, {"role": "user", "content": "x"}] * n
    ),
    "system messages": lambda n: _coh(*[{"role": "system", "content": "x"}] * n),
    "documents": lambda n: _coh(documents=[{"id": f"d{i}", "data": {"a": "x"}} for i in range(n)]),
    "fields of a document": lambda n: _coh(documents=[{"data": {f"x{i}": i for i in range(n)}}]),
    "tools": lambda n: _coh(tools=[chat_tool(f"t{i}") for i in range(n)], strict_tools=True),
    "stop strings": lambda n: _coh(stop_sequences=[f"s{i}" for i in range(n)]),
    "unknown fields": lambda n: _coh(**{f"x{i}": i for i in range(n)}),
}
