"""Bodies with n items for Messages, Gemini, Ollama and completions, and a table of all clients."""

from __future__ import annotations

from typing import Any

from tests.dialects.anthropic_messages.make import PNG
from tests.dialects.scaling import (
    CHAT,
    RESPONSES,
    SCHEMA,
    URL,
    Build,
    Json,
    chat_tool,
    repeat_items,
)
from tests.dialects.scaling_clouds import COHERE, CONVERSE

# --- Anthropic Messages ------------------------------------------------------------------


def _msgs(*messages: Any, **fields: Any) -> Json:
    first = {"role": "user", "content": "Go."}
    return {"model": "m", "max_tokens": 100, "messages": [first, *messages], **fields}


def _tool_use(i: Any) -> Json:
    return {"type": "tool_use", "id": f"toolu_{i}", "name": "look", "input": {"a": "b"}}


def _tool_result(i: Any, content: Any = "x") -> Json:
    return {"type": "tool_result", "tool_use_id": f"toolu_{i}", "content": content}


def _a_says(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


def _u_says(*blocks: Json) -> Json:
    return {"role": "user", "content": list(blocks)}


def _blocks(block: Json) -> Build:
    return lambda n: _msgs(_u_says(*[block] * n))


def _a_tool(name: str, **fields: Any) -> Json:
    return {"name": name, "description": "d", "input_schema": SCHEMA, **fields}


_THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
_SOURCE = {"type": "base64", "media_type": "image/png", "data": PNG}

MESSAGES: dict[str, Build] = {
    "calls of one message": lambda n: _msgs(
        _a_says(*repeat_items(n, _tool_use)), _u_says(*repeat_items(n, _tool_result))
    ),
    "calls of one id in one message": lambda n: _msgs(
        _a_says(*[_tool_use(0)] * n), _u_says(*[_tool_result(0)] * n)
    ),
    "calls in messages": lambda n: _msgs(
        *repeat_items(n, lambda i: _a_says(_tool_use(i)), lambda i: _u_says(_tool_result(i)))
    ),
    "calls of one id in messages": lambda n: _msgs(
        *[_a_says(_tool_use(0)), _u_says(_tool_result(0))] * n
    ),
    "calls without results": lambda n: _msgs(_a_says(*repeat_items(n, _tool_use))),
    "results one by one": lambda n: _msgs(
        _a_says(*repeat_items(n, _tool_use)), *repeat_items(n, lambda i: _u_says(_tool_result(i)))
    ),
    "orphan results": lambda n: _msgs(_u_says(*repeat_items(n, _tool_result))),
    "orphan results in turns": lambda n: _msgs(
        *repeat_items(
            n, lambda i: _u_says(_tool_result(i)), lambda i: _a_says({"type": "text", "text": "x"})
        )
    ),
    "calls between texts": lambda n: _msgs(
        _a_says(*repeat_items(n, lambda i: {"type": "text", "text": "x"}, _tool_use)),
        _u_says(*repeat_items(n, _tool_result)),
    ),
    "results between texts": lambda n: _msgs(
        _a_says(*repeat_items(n, _tool_use)),
        _u_says(*repeat_items(n, lambda i: {"type": "text", "text": "x"}, _tool_result)),
    ),
    "turns": lambda n: _msgs(
        *repeat_items(
            n,
            lambda i: {"role": "assistant", "content": "x"},
            lambda i: {"role": "user", "content": "x"},
        )
    ),
    "system messages between": lambda n: _msgs(
        *repeat_items(
            n,
            lambda i: {"role": "assistant", "content": "x"},
            lambda i: {"role": "system", "content": "x"},
            lambda i: {"role": "user", "content": "x"},
        )
    ),
    "user messages in a row": lambda n: _msgs(
        *repeat_items(n, lambda i: {"role": "user", "content": "x"})
    ),
    "system blocks": lambda n: _msgs(system=[{"type": "text", "text": "x"}] * n),
    "marked system blocks": lambda n: _msgs(
        system=[{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * n
    ),
    "text blocks": _blocks({"type": "text", "text": "x"}),
    "empty text blocks": _blocks({"type": "text", "text": ""}),
    "marked text blocks": _blocks(
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    ),
    "image blocks": _blocks({"type": "image", "source": _SOURCE}),
    "image addresses": _blocks({"type": "image", "source": {"type": "url", "url": URL}}),
    "documents": _blocks(
        {
            "type": "document",
            "title": "t",
            "source": {"type": "text", "media_type": "text/plain", "data": "x"},
        }
    ),
    "documents of blocks": _blocks(
        {
            "type": "document",
            "source": {"type": "content", "content": [{"type": "text", "text": "x"}]},
        }
    ),
    "search results": _blocks(
        {
            "type": "search_result",
            "source": URL,
            "title": "t",
            "content": [{"type": "text", "text": "x"}],
        }
    ),
    "unknown blocks": _blocks({"type": "whatever"}),
    "images in a result": lambda n: _msgs(
        _a_says(_tool_use(0)), _u_says(_tool_result(0, [{"type": "image", "source": _SOURCE}] * n))
    ),
    "texts in a result": lambda n: _msgs(
        _a_says(_tool_use(0)), _u_says(_tool_result(0, [{"type": "text", "text": "x"}] * n))
    ),
    "images in results": lambda n: _msgs(
        _a_says(*repeat_items(n, _tool_use)),
        _u_says(
            *repeat_items(n, lambda i: _tool_result(i, [{"type": "image", "source": _SOURCE}]))
        ),
    ),
    "thoughts of one message": lambda n: _msgs(_a_says(*[_THOUGHT] * n)),
    "thoughts": lambda n: _msgs(
        *repeat_items(
            n,
            lambda i: _a_says(_THOUGHT, {"type": "text", "text": "x"}),
            lambda i: {"role": "user", "content": "x"},
        )
    ),
    "thoughts before calls": lambda n: _msgs(
        _a_says(*repeat_items(n, lambda i: _THOUGHT, _tool_use)),
        _u_says(*repeat_items(n, _tool_result)),
    ),
    "redacted thoughts": lambda n: _msgs(
        _a_says(*[{"type": "redacted_thinking", "data": "x"}] * n)
    ),
    "server tools": lambda n: _msgs(
        _a_says(
            *repeat_items(
                n,
                lambda i: {
                    "type": "server_tool_use",
                    "id": f"srvtoolu_{i}",
                    "name": "web_search",
                    "input": {"query": "x"},
                },
                lambda i: {
                    "type": "web_search_tool_result",
                    "tool_use_id": f"srvtoolu_{i}",
                    "content": [],
                },
            )
        )
    ),
    "citations": lambda n: _msgs(
        _a_says(
            {
                "type": "text",
                "text": "x",
                "citations": [
                    {
                        "type": "char_location",
                        "cited_text": "x",
                        "document_index": 0,
                        "document_title": "t",
                        "start_char_index": 0,
                        "end_char_index": 1,
                    }
                ]
                * n,
            }
        )
    ),
    "unknown fields": lambda n: _msgs(**{f"x{i}": i for i in range(n)}),
    "unknown fields of messages": lambda n: _msgs(
        *repeat_items(n, lambda i: {"role": "user", "content": "x", f"x{i}": 1})
    ),
    "unknown fields of blocks": _blocks({"type": "text", "text": "x", "y": 1}),
    "tools": lambda n: _msgs(tools=[_a_tool(f"t{i}") for i in range(n)]),
    "tools of names alike": lambda n: _msgs(tools=[_a_tool("é" * 80 + str(i)) for i in range(n)]),
    "unknown fields of tools": lambda n: _msgs(tools=[_a_tool(f"t{i}", y=1) for i in range(n)]),
    "unknown tools": lambda n: _msgs(tools=[{"type": f"x{i}", "name": f"x{i}"} for i in range(n)]),
    "marked tools": lambda n: _msgs(
        tools=[_a_tool(f"t{i}", cache_control={"type": "ephemeral"}) for i in range(n)]
    ),
    "deferred tools": lambda n: _msgs(
        tools=[_a_tool(f"t{i}", defer_loading=True) for i in range(n)]
    ),
    "stop strings": lambda n: _msgs(stop_sequences=[f"s{i}" for i in range(n)]),
    "servers": lambda n: _msgs(
        mcp_servers=[{"type": "url", "url": URL, "name": f"n{i}"} for i in range(n)]
    ),
    "metadata": lambda n: _msgs(metadata={f"m{i}": "x" for i in range(n)}),
}

# --- Gemini ------------------------------------------------------------------------------


def _gem(*contents: Any, **fields: Any) -> Json:
    first = {"role": "user", "parts": [{"text": "Go."}]}
    return {"model": "m", "stream": False, "contents": [first, *contents], **fields}


def _g(role: str, *parts: Json) -> Json:
    return {"role": role, "parts": list(parts)}


def _g_call(name: str = "look", **fields: Any) -> Json:
    return {"functionCall": {"name": name, "args": {"a": "b"}, **fields}}


def _g_result(name: str = "look", **fields: Any) -> Json:
    return {"functionResponse": {"name": name, "response": {"output": "x"}, **fields}}


def _g_tool(*names: str) -> Json:
    return {"functionDeclarations": [{"name": n, "parameters": SCHEMA} for n in names]}


GEMINI: dict[str, Build] = {
    "calls of one content": lambda n: _gem(
        _g("model", *repeat_items(n, lambda i: _g_call())),
        _g("user", *repeat_items(n, lambda i: _g_result())),
    ),
    "calls of many names": lambda n: _gem(
        _g("model", *repeat_items(n, lambda i: _g_call(f"t{i}"))),
        _g("user", *repeat_items(n, lambda i: _g_result(f"t{i}"))),
    ),
    "calls of many names, answered from the end": lambda n: _gem(
        _g("model", *repeat_items(n, lambda i: _g_call(f"t{i}"))),
        _g("user", *repeat_items(n, lambda i: _g_result(f"t{n - i - 1}"))),
    ),
    "calls with ids": lambda n: _gem(
        _g("model", *repeat_items(n, lambda i: _g_call(id=f"c{i}"))),
        _g("user", *repeat_items(n, lambda i: _g_result(id=f"c{i}"))),
    ),
    "calls with ids, answered without": lambda n: _gem(
        _g("model", *repeat_items(n, lambda i: _g_call(id=f"c{i}"))),
        _g("user", *repeat_items(n, lambda i: _g_result())),
    ),
    "calls with and without ids": lambda n: _gem(
        _g("model", *repeat_items(n, lambda i: _g_call(id=f"c{i}"), lambda i: _g_call())),
        _g("user", *repeat_items(n, lambda i: _g_result(), lambda i: _g_result())),
    ),
    "calls of one id": lambda n: _gem(
        _g("model", *[_g_call(id="c")] * n), _g("user", *[_g_result(id="c")] * n)
    ),
    "calls in contents": lambda n: _gem(
        *repeat_items(n, lambda i: _g("model", _g_call()), lambda i: _g("user", _g_result()))
    ),
    "calls without results": lambda n: _gem(
        *repeat_items(n, lambda i: _g("model", _g_call(f"t{i}")))
    ),
    "orphan results": lambda n: _gem(_g("user", *repeat_items(n, lambda i: _g_result()))),
    "orphan results beside open calls": lambda n: _gem(
        _g("model", *repeat_items(n, lambda i: _g_call(f"t{i}"))),
        _g("user", *repeat_items(n, lambda i: _g_result("other"))),
    ),
    "text parts": lambda n: _gem(_g("user", *[{"text": "x"}] * n)),
    "empty text parts": lambda n: _gem(_g("user", *[{"text": ""}] * n)),
    "thoughts": lambda n: _gem(_g("model", *[{"text": "x", "thought": True}] * n)),
    "signed thoughts": lambda n: _gem(
        _g("model", *[{"text": "x", "thought": True, "thoughtSignature": "c2ln"}] * n)
    ),
    "signed calls": lambda n: _gem(
        _g("model", *[{**_g_call(), "thoughtSignature": "c2ln"}] * n),
        _g("user", *[_g_result()] * n),
    ),
    "images": lambda n: _gem(
        _g("user", *[{"inlineData": {"mimeType": "image/png", "data": PNG}}] * n)
    ),
    "addresses": lambda n: _gem(
        _g("user", *[{"fileData": {"mimeType": "image/png", "fileUri": URL}}] * n)
    ),
    "unknown parts": lambda n: _gem(_g("user", *[{"whatever": {"x": 1}}] * n)),
    "unknown fields of a part": lambda n: _gem(
        _g("user", {"text": "x", **{f"x{i}": 1 for i in range(n)}})
    ),
    "unknown fields of parts": lambda n: _gem(_g("user", *[{"text": "x", "y": 1}] * n)),
    "unknown fields of contents": lambda n: _gem(*[{**_g("user", {"text": "x"}), "y": 1}] * n),
    "unknown fields": lambda n: _gem(**{f"x{i}": i for i in range(n)}),
    "unknown fields of the configuration": lambda n: _gem(
        generationConfig={f"x{i}": i for i in range(n)}
    ),
    "contents": lambda n: _gem(*[_g("model", {"text": "x"}), _g("user", {"text": "x"})] * n),
    "contents in a row": lambda n: _gem(*[_g("user", {"text": "x"})] * n),
    "model contents in a row": lambda n: _gem(*[_g("model", {"text": "x"})] * n),
    "instructions": lambda n: _gem(systemInstruction={"parts": [{"text": "x"}] * n}),
    "declarations": lambda n: _gem(tools=[_g_tool(*[f"t{i}" for i in range(n)])]),
    "tools": lambda n: _gem(tools=[_g_tool(f"t{i}") for i in range(n)]),
    "unknown tools": lambda n: _gem(tools=[{f"x{i}": {}} for i in range(n)]),
    "allowed tools": lambda n: _gem(
        tools=[_g_tool(*[f"t{i}" for i in range(n)])],
        toolConfig={
            "functionCallingConfig": {
                "mode": "ANY",
                "allowedFunctionNames": [f"t{i}" for i in range(n)],
            }
        },
    ),
    "stop strings": lambda n: _gem(generationConfig={"stopSequences": [f"s{i}" for i in range(n)]}),
    "safety settings": lambda n: _gem(
        safetySettings=[{"category": f"c{i}", "threshold": "x"} for i in range(n)]
    ),
}

# --- Ollama, completions -----------------------------------------------------------------


def _oll(*messages: Any, **fields: Any) -> Json:
    first = {"role": "user", "content": "Go."}
    return {"model": "m", "stream": False, "messages": [first, *messages], **fields}


def _o_call(name: str = "look", **fields: Any) -> Json:
    return {"function": {"name": name, "arguments": {"a": "b"}}, **fields}


OLLAMA: dict[str, Build] = {
    "calls of one message": lambda n: _oll(
        {"role": "assistant", "content": "", "tool_calls": [_o_call()] * n},
        *[{"role": "tool", "content": "x", "tool_name": "look"}] * n,
    ),
    "calls of many names": lambda n: _oll(
        {"role": "assistant", "content": "", "tool_calls": [_o_call(f"t{i}") for i in range(n)]},
        *repeat_items(n, lambda i: {"role": "tool", "content": "x", "tool_name": f"t{n - i - 1}"}),
    ),
    "calls with ids": lambda n: _oll(
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [_o_call(id=f"c{i}") for i in range(n)],
        },
        *repeat_items(n, lambda i: {"role": "tool", "content": "x", "tool_call_id": f"c{i}"}),
    ),
    "calls in messages": lambda n: _oll(
        *[
            {"role": "assistant", "content": "", "tool_calls": [_o_call()]},
            {"role": "tool", "content": "x", "tool_name": "look"},
        ]
        * n
    ),
    "calls without results": lambda n: _oll(
        *[{"role": "assistant", "content": "", "tool_calls": [_o_call()]}] * n
    ),
    "orphan results": lambda n: _oll(*[{"role": "tool", "content": "x", "tool_name": "look"}] * n),
    "results without names": lambda n: _oll(
        {"role": "assistant", "content": "", "tool_calls": [_o_call()] * n},
        *[{"role": "tool", "content": "x"}] * n,
    ),
    "turns": lambda n: _oll(
        *[{"role": "assistant", "content": "x"}, {"role": "user", "content": "x"}] * n
    ),
    "thoughts": lambda n: _oll(
        *[{"role": "assistant", "content": "x", "thinking": "x"}, {"role": "user", "content": "x"}]
        * n
    ),
    "images": lambda n: _oll({"role": "user", "content": "x", "images": [PNG] * n}),
    "system messages": lambda n: _oll(*[{"role": "system", "content": "x"}] * n),
    "unknown fields": lambda n: _oll(**{f"x{i}": i for i in range(n)}),
    "unknown options": lambda n: _oll(options={f"x{i}": i for i in range(n)}),
    "unknown fields of messages": lambda n: _oll(*[{"role": "user", "content": "x", "y": 1}] * n),
    "tools": lambda n: _oll(tools=[chat_tool(f"t{i}") for i in range(n)]),
    "unknown fields of tools": lambda n: _oll(tools=[chat_tool(f"t{i}", y=1) for i in range(n)]),
    "stop strings": lambda n: _oll(options={"stop": [f"s{i}" for i in range(n)]}),
}

COMPLETIONS: dict[str, Build] = {
    "prompts": lambda n: {"model": "m", "prompt": ["x"] * n},
    "tokens": lambda n: {"model": "m", "prompt": list(range(n))},
    "unknown fields": lambda n: {"model": "m", "prompt": "x", **{f"x{i}": i for i in range(n)}},
    "stop strings": lambda n: {"model": "m", "prompt": "x", "stop": [f"s{i}" for i in range(n)]},
    "biases": lambda n: {
        "model": "m",
        "prompt": "x",
        "logit_bias": {str(i): 1 for i in range(n)},
    },
}

REQUESTS: dict[str, dict[str, Build]] = {
    "openai_chat": CHAT,
    "openai_responses": RESPONSES,
    "anthropic_messages": MESSAGES,
    "gemini": GEMINI,
    "ollama": OLLAMA,
    "openai_completions": COMPLETIONS,
    "bedrock_converse": CONVERSE,
    "cohere": COHERE,
}
