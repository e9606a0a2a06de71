"""Bodies with n items of one kind for every client dialect, and a measure of time growth.

A builder takes n and returns the body that a client of that dialect would send.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

from gateway.canon.errors import GatewayError
from tests.dialects.anthropic_messages.make import PNG

Json = dict[str, Any]
Build = Callable[[int], Json]
DATA_URL = f"data:image/png;base64,{PNG}"
URL = "https://example.com/a.png"
SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "string"}}}


def growth(prepare: Callable[[int], Callable[[], object]], small: int, factor: int) -> float:
    """Return the ratio of CPU time for `factor` times as many items; the lowest of several rounds.

    CPU time is that of this thread, so other processes do not matter. Times of one round only are
    compared, as the speed of a machine may change in between. A GatewayError ends the measured
    work.
    """
    small_work, large_work = _quiet(prepare(small)), _quiet(prepare(small * factor))
    ratio = float("inf")
    for _ in range(6):
        before, large, after = map(_cpu_ns, (small_work, large_work, small_work))
        # What takes less than a quarter of a millisecond grows too little to matter.
        ratio = min(ratio, large / max(min(before, after), 250_000))
        if ratio < factor * 1.5:  # what is not is looked at again
            break
    return ratio


def _cpu_ns(work: Callable[[], object]) -> int:
    gc.disable()
    try:
        start = time.thread_time_ns()
        work()
        return time.thread_time_ns() - start
    finally:
        gc.enable()


def _quiet(work: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        try:
            return work()
        except GatewayError:
            return None

    return run


def repeat_items(n: int, *items: Callable[[int], Any]) -> list[Any]:
    return [item(i) for i in range(n) for item in items]


# --- OpenAI Chat -------------------------------------------------------------------------


def _chat(*messages: Any, **fields: Any) -> Json:
    first = {"role": "user", "content": "Go."}
    return {"model": "m", "messages": [first, *messages], **fields}


def _chat_call(call_id: str, arguments: str = '{"a":"b"}') -> Json:
    function = {"name": "look", "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def _chat_result(call_id: str, content: Any = "done") -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def _assistant_message(content: Any = None, **fields: Any) -> Json:
    return {"role": "assistant", "content": content, **fields}


def _chat_single(n: int, name: Callable[[int], str], results: Callable[[int], list[Json]]) -> Json:
    calls = [_chat_call(name(i)) for i in range(n)]
    return _chat(_assistant_message(tool_calls=calls), *results(n))


def chat_tool(name: str, schema: Json = SCHEMA, **fields: Any) -> Json:
    function = {"name": name, "description": "Looks.", "parameters": schema}
    return {"type": "function", "function": function, **fields}


def _parts(part: Json) -> Build:
    return lambda n: _chat({"role": "user", "content": [part] * n})


def _wide(n: int) -> Json:
    return {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(n)}}


def _schemas() -> dict[str, Callable[[int], Json]]:
    """Return schemas with n elements of one kind."""

    def prop(value: Any) -> Json:
        return {"type": "object", "properties": {"a": value}}

    return {
        "properties": _wide,
        "optional properties": lambda n: _wide(n) | {"required": [f"p{i}" for i in range(n)]},
        "enum": lambda n: prop({"type": "string", "enum": [f"w{i}" for i in range(n)]}),
        "anyOf": lambda n: prop({"anyOf": [prop({"const": i}) for i in range(n)]}),
        "allOf": lambda n: {"allOf": [prop({"type": "string"}) for _ in range(n)]},
        "root anyOf": lambda n: {"anyOf": [prop({"const": i}) for i in range(n)]},
        "root oneOf of references": lambda n: {
            "oneOf": [{"$ref": f"#/$defs/d{i}"} for i in range(n)],
            "$defs": {f"d{i}": prop({"type": "string"}) for i in range(n)},
        },
        "definitions": lambda n: {
            "type": "object",
            "properties": {f"p{i}": {"$ref": f"#/$defs/d{i}"} for i in range(n)},
            "$defs": {f"d{i}": {"type": "string"} for i in range(n)},
        },
        "references in a chain": lambda n: {
            **prop({"$ref": "#/$defs/d0"}),
            "$defs": {f"d{i}": prop({"$ref": f"#/$defs/d{i + 1}"}) for i in range(n)},
        },
        "one definition many times": lambda n: {
            "type": "object",
            "properties": {f"p{i}": {"$ref": "#/$defs/d"} for i in range(n)},
            "$defs": {"d": prop({"type": "string"})},
        },
        "unknown keywords": lambda n: prop({f"x-{i}": 1 for i in range(n)}),
        "unknown keywords in many places": lambda n: {
            "type": "object",
            "properties": {
                f"p{i}": {"type": "string", "x-y": 1, "minLength": 2, "format": "z"}
                for i in range(n)
            },
        },
    }


CHAT: dict[str, Build] = {
    "calls of one message": lambda n: _chat_single(
        n, "call_{}".format, lambda n: [_chat_result(f"call_{i}") for i in range(n)]
    ),
    "calls of one message with strange ids": lambda n: _chat_single(
        n,
        lambda i: "é" * 70 + str(i),
        lambda n: [_chat_result("é" * 70 + str(i)) for i in range(n)],
    ),
    "calls of one id in one message": lambda n: _chat_single(
        n, lambda i: "c", lambda n: [_chat_result("c")] * n
    ),
    "calls without results": lambda n: _chat_single(n, "call_{}".format, lambda n: []),
    "calls of one id without results": lambda n: _chat_single(n, lambda i: "c", lambda n: []),
    "calls in messages": lambda n: _chat(
        *repeat_items(
            n,
            lambda i: _assistant_message(tool_calls=[_chat_call(f"call_{i}")]),
            lambda i: _chat_result(f"call_{i}"),
        )
    ),
    "calls of one id in messages": lambda n: _chat(
        *repeat_items(
            n,
            lambda i: _assistant_message(tool_calls=[_chat_call("c")]),
            lambda i: _chat_result("c"),
        )
    ),
    "calls in messages before all results": lambda n: _chat(
        *repeat_items(n, lambda i: _assistant_message(tool_calls=[_chat_call(f"call_{i}")])),
        *repeat_items(n, lambda i: _chat_result(f"call_{i}")),
    ),
    "calls that are no JSON": lambda n: _chat(
        _assistant_message(tool_calls=[_chat_call(f"call_{i}", "{") for i in range(n)]),
        *repeat_items(n, lambda i: _chat_result(f"call_{i}")),
    ),
    "custom calls": lambda n: _chat(
        _assistant_message(
            tool_calls=[
                {"id": f"c{i}", "type": "custom", "custom": {"name": "t", "input": "x"}}
                for i in range(n)
            ]
        ),
        *repeat_items(n, lambda i: _chat_result(f"c{i}")),
    ),
    "legacy calls": lambda n: _chat(
        *repeat_items(
            n,
            lambda i: _assistant_message(function_call={"name": f"f{i}", "arguments": "{}"}),
            lambda i: {"role": "function", "name": f"f{i}", "content": "x"},
        )
    ),
    "orphan results": lambda n: _chat(*repeat_items(n, lambda i: _chat_result(f"call_{i}"))),
    "orphan results in turns": lambda n: _chat(
        *repeat_items(n, lambda i: _chat_result(f"call_{i}"), lambda i: _assistant_message("x"))
    ),
    "results of parts": lambda n: _chat(
        _assistant_message(tool_calls=[_chat_call("c")]),
        _chat_result("c", [{"type": "text", "text": "x"}] * n),
    ),
    "turns": lambda n: _chat(
        *repeat_items(
            n, lambda i: _assistant_message("a"), lambda i: {"role": "user", "content": "b"}
        )
    ),
    "user messages in a row": lambda n: _chat(
        *repeat_items(n, lambda i: {"role": "user", "content": "b"})
    ),
    "assistant messages in a row": lambda n: _chat(
        *repeat_items(n, lambda i: _assistant_message("b"))
    ),
    "named messages": lambda n: _chat(
        *repeat_items(n, lambda i: {"role": "user", "content": "b", "name": f"n{i}"})
    ),
    "system messages at the head": lambda n: {
        "model": "m",
        "messages": [
            *repeat_items(n, lambda i: {"role": "system", "content": "b"}),
            {"role": "user", "content": "b"},
        ],
    },
    "system messages in a row": lambda n: _chat(
        *repeat_items(n, lambda i: {"role": "system", "content": "b"})
    ),
    "system messages between": lambda n: _chat(
        *repeat_items(
            n,
            lambda i: _assistant_message("a"),
            lambda i: {"role": "system", "content": "b"},
            lambda i: {"role": "user", "content": "b"},
        )
    ),
    "system messages between calls": lambda n: _chat(
        *repeat_items(
            n,
            lambda i: _assistant_message(tool_calls=[_chat_call(f"c{i}")]),
            lambda i: _chat_result(f"c{i}"),
            lambda i: {"role": "system", "content": "b"},
        )
    ),
    "text parts": _parts({"type": "text", "text": "x"}),
    "empty text parts": _parts({"type": "text", "text": ""}),
    "marked text parts": _parts(
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    ),
    "image parts": _parts({"type": "image_url", "image_url": {"url": DATA_URL, "detail": "high"}}),
    "image addresses": _parts({"type": "image_url", "image_url": {"url": URL}}),
    "file parts": _parts(
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,eA=="},
        }
    ),
    "audio parts": _parts(
        {"type": "input_audio", "input_audio": {"data": "eA==", "format": "wav"}}
    ),
    "unknown parts": _parts({"type": "whatever", "x": 1}),
    "images in turns": lambda n: _chat(
        *repeat_items(
            n,
            lambda i: {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": DATA_URL}}],
            },
            lambda i: _assistant_message("a"),
        )
    ),
    "images in results": lambda n: _chat(
        *repeat_items(
            n,
            lambda i: _assistant_message(tool_calls=[_chat_call(f"c{i}")]),
            lambda i: _chat_result(
                f"c{i}", [{"type": "image_url", "image_url": {"url": DATA_URL}}]
            ),
        )
    ),
    "thoughts": lambda n: _chat(
        *repeat_items(
            n,
            lambda i: _assistant_message("a", reasoning_content="hm"),
            lambda i: {"role": "user", "content": "b"},
        )
    ),
    "thoughts in one message": lambda n: _chat(
        _assistant_message(
            "a",
            reasoning_details=[
                {"type": "reasoning.text", "text": "x", "signature": f"s{i}", "index": i}
                for i in range(n)
            ],
        )
    ),
    "thoughts with calls": lambda n: _chat(
        *repeat_items(
            n,
            lambda i: _assistant_message(reasoning_content="hm", tool_calls=[_chat_call(f"c{i}")]),
            lambda i: _chat_result(f"c{i}"),
        )
    ),
    "refusals": lambda n: _chat(
        *repeat_items(
            n,
            lambda i: _assistant_message(refusal="no"),
            lambda i: {"role": "user", "content": "b"},
        )
    ),
    "unknown fields": lambda n: _chat(**{f"x{i}": i for i in range(n)}),
    "unknown fields of a message": lambda n: _chat(
        {"role": "user", "content": "x", **{f"x{i}": i for i in range(n)}}
    ),
    "unknown fields of messages": lambda n: _chat(
        *repeat_items(n, lambda i: {"role": "user", "content": "x", f"x{i}": i})
    ),
    "unknown fields of parts": _parts({"type": "text", "text": "x", "y": 1}),
    "tools": lambda n: _chat(tools=[chat_tool(f"t{i}") for i in range(n)]),
    "tools of one name": lambda n: _chat(tools=[chat_tool("t")] * n),
    "tools of strange names": lambda n: _chat(
        tools=[chat_tool("é" * 80 + "x" * i) for i in range(min(n, 1000))]
    ),
    "tools of names alike": lambda n: _chat(tools=[chat_tool(f"{'é' * 80}{i}") for i in range(n)]),
    "calls of tools not offered": lambda n: _chat(
        *repeat_items(
            n,
            lambda i: _assistant_message(
                tool_calls=[
                    {
                        "id": f"c{i}",
                        "type": "function",
                        "function": {"name": f"é{i}", "arguments": "{}"},
                    }
                ]
            ),
            lambda i: _chat_result(f"c{i}"),
        )
    ),
    "unknown tools": lambda n: _chat(tools=[{"type": "whatever", "x": i} for i in range(n)]),
    "unknown fields of tools": lambda n: _chat(tools=[chat_tool(f"t{i}", y=1) for i in range(n)]),
    "allowed tools": lambda n: _chat(
        tools=[chat_tool(f"t{i}") for i in range(n)],
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "auto",
                "tools": [{"type": "function", "function": {"name": f"t{i}"}} for i in range(n)],
            },
        },
    ),
    "stop strings": lambda n: _chat(stop=[f"s{i}" for i in range(n)]),
    "biases": lambda n: _chat(logit_bias={str(i): 1 for i in range(n)}),
    "metadata": lambda n: _chat(metadata={f"m{i}": "x" for i in range(n)}),
    "modalities": lambda n: _chat(modalities=[f"m{i}" for i in range(n)]),
    "annotations": lambda n: _chat(
        _assistant_message(
            "a" * n,
            annotations=[
                {
                    "type": "url_citation",
                    "url_citation": {"url": URL, "title": "t", "start_index": 0, "end_index": i},
                }
                for i in range(n)
            ],
        )
    ),
    **{
        f"schema: {name}": (lambda n, make=make: _chat(tools=[chat_tool("t", make(n))]))
        for name, make in _schemas().items()
    },
    **{
        f"strict schema: {name}": (
            lambda n, make=make: _chat(
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "s", "strict": True, "schema": make(n)},
                }
            )
        )
        for name, make in _schemas().items()
    },
}

# --- OpenAI Responses --------------------------------------------------------------------


def _resp(*items: Any, **fields: Any) -> Json:
    first = {"role": "user", "content": "Go."}
    return {"model": "m", "input": [first, *items], "store": False, **fields}


def _r_call(i: Any, **fields: Any) -> Json:
    return {
        "type": "function_call",
        "call_id": f"c{i}",
        "name": "look",
        "arguments": "{}",
        **fields,
    }


def _r_result(i: Any, output: Any = "x") -> Json:
    return {"type": "function_call_output", "call_id": f"c{i}", "output": output}


def _r_thought(i: int) -> Json:
    summary = [{"type": "summary_text", "text": "hm"}]
    return {"type": "reasoning", "id": f"rs_{i}", "summary": summary, "encrypted_content": f"e{i}"}


def _r_message(role: str, *parts: Json) -> Json:
    return {"type": "message", "role": role, "content": list(parts)}


def _r_parts(part: Json) -> Build:
    return lambda n: _resp(_r_message("user", *[part] * n))


def _r_tool(name: str, **fields: Any) -> Json:
    return {"type": "function", "name": name, "parameters": SCHEMA, "strict": False, **fields}


RESPONSES: dict[str, Build] = {
    "calls in a row": lambda n: _resp(*repeat_items(n, _r_call), *repeat_items(n, _r_result)),
    "calls one by one": lambda n: _resp(*repeat_items(n, _r_call, _r_result)),
    "calls of one id": lambda n: _resp(*[_r_call(0)] * n, *[_r_result(0)] * n),
    "calls of one id one by one": lambda n: _resp(*[_r_call(0), _r_result(0)] * n),
    "calls without results": lambda n: _resp(*repeat_items(n, _r_call)),
    "calls in namespaces": lambda n: _resp(
        *repeat_items(n, lambda i: _r_call(i, namespace=f"n{i}"), _r_result)
    ),
    "custom calls": lambda n: _resp(
        *repeat_items(
            n,
            lambda i: {"type": "custom_tool_call", "call_id": f"c{i}", "name": "t", "input": "x"},
            lambda i: {"type": "custom_tool_call_output", "call_id": f"c{i}", "output": "x"},
        )
    ),
    "orphan results": lambda n: _resp(*repeat_items(n, _r_result)),
    "thoughts": lambda n: _resp(*repeat_items(n, _r_thought)),
    "thoughts and calls": lambda n: _resp(
        *repeat_items(n, _r_thought, _r_call), *repeat_items(n, _r_result)
    ),
    "thoughts that sign calls": lambda n: _resp(
        *repeat_items(n, _r_call),
        *repeat_items(
            n,
            lambda i: {
                "type": "reasoning",
                "id": f"c{i}",
                "summary": [],
                "encrypted_content": f"e{i}",
            },
        ),
        *repeat_items(n, _r_result),
    ),
    "summaries": lambda n: _resp(
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}] * n}
    ),
    "messages": lambda n: _resp(
        *repeat_items(
            n,
            lambda i: {"role": "user", "content": "x"},
            lambda i: _r_message("assistant", {"type": "output_text", "text": "x"}),
        )
    ),
    "user messages in a row": lambda n: _resp(
        *repeat_items(n, lambda i: {"role": "user", "content": "x"})
    ),
    "assistant messages in a row": lambda n: _resp(
        *repeat_items(n, lambda i: _r_message("assistant", {"type": "output_text", "text": "x"}))
    ),
    "system messages in a row": lambda n: _resp(
        *repeat_items(n, lambda i: {"role": "developer", "content": "x"})
    ),
    "system messages at the head": lambda n: {
        "model": "m",
        "input": [
            *repeat_items(n, lambda i: {"role": "developer", "content": "x"}),
            {"role": "user", "content": "x"},
        ],
    },
    "phases": lambda n: _resp(
        *repeat_items(
            n,
            lambda i: {
                "role": "assistant",
                "phase": "final_answer",
                "content": [{"type": "output_text", "text": "x"}],
            },
            lambda i: {"role": "user", "content": "x"},
        )
    ),
    "text parts": _r_parts({"type": "input_text", "text": "x"}),
    "image parts": _r_parts({"type": "input_image", "image_url": DATA_URL, "detail": "high"}),
    "image addresses": _r_parts({"type": "input_image", "image_url": URL}),
    "file parts": _r_parts(
        {"type": "input_file", "filename": "a", "file_data": "data:application/pdf;base64,eA=="}
    ),
    "unknown parts": _r_parts({"type": "whatever"}),
    "unknown items": lambda n: _resp(*repeat_items(n, lambda i: {"type": f"x{i}", "y": 1})),
    "images in results": lambda n: _resp(
        _r_call(0), _r_result(0, [{"type": "input_image", "image_url": DATA_URL}] * n)
    ),
    "unknown fields": lambda n: _resp(**{f"x{i}": i for i in range(n)}),
    "unknown fields of items": lambda n: _resp(
        *repeat_items(n, lambda i: {"role": "user", "content": "x", f"x{i}": 1})
    ),
    "unknown fields of parts": _r_parts({"type": "input_text", "text": "x", "y": 1}),
    "tools": lambda n: _resp(tools=[_r_tool(f"t{i}") for i in range(n)]),
    "tools of names alike": lambda n: _resp(tools=[_r_tool("é" * 80 + str(i)) for i in range(n)]),
    "unknown fields of tools": lambda n: _resp(tools=[_r_tool(f"t{i}", y=1) for i in range(n)]),
    "unknown tools": lambda n: _resp(tools=[{"type": f"x{i}"} for i in range(n)]),
    "tools in namespaces": lambda n: _resp(
        tools=[
            {"type": "namespace", "name": f"n{i}", "description": "d", "tools": [_r_tool("t")]}
            for i in range(n)
        ]
    ),
    "tools in one namespace": lambda n: _resp(
        tools=[
            {
                "type": "namespace",
                "name": "n",
                "description": "d",
                "tools": [_r_tool(f"t{i}") for i in range(n)],
            }
        ]
    ),
    "custom tools": lambda n: _resp(tools=[{"type": "custom", "name": f"t{i}"} for i in range(n)]),
    "allowed tools": lambda n: _resp(
        tools=[_r_tool(f"t{i}") for i in range(n)],
        tool_choice={
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": f"t{i}"} for i in range(n)],
        },
    ),
    "includes": lambda n: _resp(include=[f"i{i}" for i in range(n)]),
    "metadata": lambda n: _resp(metadata={f"m{i}": "x" for i in range(n)}),
    "annotations": lambda n: _resp(
        _r_message(
            "assistant",
            {
                "type": "output_text",
                "text": "x",
                "annotations": [
                    {
                        "type": "url_citation",
                        "url": URL,
                        "title": "t",
                        "start_index": 0,
                        "end_index": 1,
                    }
                ]
                * n,
            },
        )
    ),
    "references": lambda n: _resp(
        *repeat_items(n, lambda i: {"type": "item_reference", "id": f"i{i}"})
    ),
    "items of tools": lambda n: _resp(
        *repeat_items(n, lambda i: {"type": "additional_tools", "tools": [_r_tool(f"t{i}")]})
    ),
}
