"""The response of a demo model: a pure function of the request and the script.

Deterministic: the same request always gets the same response.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.demo.schema import example_value
from gateway.demo.scripts import Script

_CHUNK_PATTERN = re.compile(r"\s*\S{1,7}|\s+$")
_QUOTED = re.compile(r"`([^`\n]{1,500})`|\"([^\"\n]{1,500})\"|“([^“”\n]{1,500})”")
_WANTS_TOOL = re.compile(r"\b(tools?|functions?)\b", re.IGNORECASE)
# A request that does not name a tool -> the property of tools that suit it.
_ACTIONS = (
    (re.compile(r"\b(run|execute)\b", re.IGNORECASE), "command"),
    (re.compile(r"\b(search|look up)\b", re.IGNORECASE), "query"),
    (re.compile(r"\b(weather|temperature)\b", re.IGNORECASE), "city"),
)
_WANTS_SEVERAL = re.compile(r"\b(parallel|both|twice|two|each|several)\b", re.IGNORECASE)
_EXCERPT_CHARS = 160
# Properties that receive text quoted in a prompt, the likeliest first.
_MAIN = ("command", "cmd", "query", "q", "expression", "path", "file_path", "url", "text", "input")
_CITIES = ("Paris", "Rome", "Oslo", "Lima", "Kyoto")

_CLOSINGS = (
    "This response was processed like any other: translated, streamed, counted and logged.",
    "Open the request log to see this exchange byte by byte, in your dialect and in mine.",
    "Add a real provider to this route; your client does not have to change.",
    "You can also ask me to call a tool, or to return JSON for a schema.",
)


class ToolCall(msgspec.Struct, frozen=True):
    """A tool call; `arguments` is text, as on the wire, and need not be JSON."""

    id: str
    name: str
    arguments: str


class DemoResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The response in chunks, and its token counts."""

    reasoning: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    refusal: str | None = None
    calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0


def create_response(body: Mapping[str, Any], script: Script) -> DemoResponse:
    """Return the response of the script's model to a Chat request."""
    if script.output == "mock_response":
        chunks = _split_tokens(script.mock_response)
        tokens = prompt_tokens(body)
        return DemoResponse(text=chunks, prompt_tokens=tokens, completion_tokens=len(chunks))
    messages = [m for m in body["messages"] if isinstance(m, Mapping) and _in_dialogue(m)]
    prompt = last_prompt(messages)
    seed = zlib.crc32(msgspec.json.encode([script.name, prompt, len(messages)]))
    reasoning = _split_tokens(_reasoning_text(prompt, seed)) if _should_reason(body, script) else ()
    calls = _tool_calls(body, messages, prompt, script, seed)
    demo_response = DemoResponse(
        reasoning=reasoning, calls=calls, finish="tool_calls" if calls else "stop"
    )
    if not calls:
        demo_response = _with_text(body, messages, prompt, script, demo_response, seed)
    demo_response = _apply_limits(demo_response, body)
    return msgspec.structs.replace(
        demo_response,
        prompt_tokens=prompt_tokens(body),
        completion_tokens=len(demo_response.reasoning)
        + len(demo_response.text)
        + sum(map(_call_tokens, demo_response.calls)),
    )


def _in_dialogue(message: Mapping[str, Any]) -> bool:
    """Whether a message is part of the dialogue; agents put instructions anywhere in it."""
    return message.get("role") not in {"system", "developer"}


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """Estimate the prompt tokens: four bytes of text per token, 256 tokens per image."""
    read = [str(message_text(m)) for m in body["messages"] if isinstance(m, Mapping)]
    tools = msgspec.json.encode(body.get("tools") or "")
    images = sum(_count_images(m) for m in body["messages"] if isinstance(m, Mapping))
    return sum(len(text.encode()) for text in read) // 4 + len(tools) // 4 + 256 * images + 3


def last_prompt(messages: list[Mapping[str, Any]]) -> str:
    """Return the last text of the last user message."""
    for message in reversed(messages):
        if message.get("role") == "user":
            texts = _message_texts(message)
            return texts[-1] if texts else ""
    return ""


def message_text(message: Mapping[str, Any]) -> str:
    """Return all text of a message."""
    return "\n".join(_message_texts(message))


def _message_texts(message: Mapping[str, Any]) -> list[str]:
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    return [p["text"] for p in parts if isinstance(p, Mapping) and isinstance(p.get("text"), str)]


def _count_images(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return sum(1 for p in parts if isinstance(p, Mapping) and p.get("type") == "image_url")


def _should_reason(body: Mapping[str, Any], script: Script) -> bool:
    effort = body.get("reasoning_effort")
    return effort != "none" and (script.always_reasons or isinstance(effort, str))


def _reasoning_text(prompt: str, seed: int) -> str:
    return (
        f"The user wrote {len(prompt.split())} words: “{_excerpt_of(prompt)}”. "
        "I am a script, so there is nothing to work out; "
        f"I choose closing line {seed % len(_CLOSINGS) + 1} of {len(_CLOSINGS)} and write it down."
    )


def _with_text(
    body: Mapping[str, Any],
    messages: list[Mapping[str, Any]],
    prompt: str,
    script: Script,
    demo_response: DemoResponse,
    seed: int,
) -> DemoResponse:
    if script.output == "nothing":
        return demo_response
    if script.output == "refusal":
        return msgspec.structs.replace(
            demo_response, refusal="I am a demo model, and I decline to answer."
        )
    text = _structured_text(body, script, seed)
    if text is None:
        text = _demo_text(messages, prompt, script, seed)
    tokens = _split_tokens(text)
    if script.output == "truncated":
        return msgspec.structs.replace(
            demo_response, text=tokens[: len(tokens) // 2], finish="length"
        )
    return msgspec.structs.replace(demo_response, text=tokens)


def _demo_text(messages: list[Mapping[str, Any]], prompt: str, script: Script, seed: int) -> str:
    if messages and messages[-1].get("role") == "tool":
        return _describe_results(messages)
    images = sum(map(_count_images, messages))
    image_text = f", with {images} image{'s' * (images > 1)}" if images else ""
    return (
        f"Hello from `{script.name}`, a scripted model inside Dragoman: no key, no network, "
        "and always the same answer to the same question.\n\n"
        f"You wrote{image_text}: “{_excerpt_of(prompt)}”\n\n"
        f"{_CLOSINGS[seed % len(_CLOSINGS)]}"
    )


def _describe_results(messages: list[Mapping[str, Any]]) -> str:
    """Return a text that quotes the results of the last calls."""
    results: list[str] = []
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        results.insert(0, _excerpt_of(message_text(message)) or "(nothing)")
    if len(results) == 1:
        return f"The tool answered: {results[0]}"
    lines = "\n".join(f"{n}. {result}" for n, result in enumerate(results, 1))
    return f"The {len(results)} tools answered:\n{lines}"


def _excerpt_of(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT_CHARS else line[: _EXCERPT_CHARS - 1].rstrip() + "…"


def _structured_text(body: Mapping[str, Any], script: Script, seed: int) -> str | None:
    """Return the JSON text of structured output; None if the request does not ask for it."""
    form = body.get("response_format")
    kind = form.get("type") if isinstance(form, Mapping) else None
    if kind == "json_object":
        return '{"demo":true}' if script.schema == "valid" else '{"demo":'
    if kind != "json_schema" or not isinstance(form, Mapping):
        return None
    if script.schema == "invalid":
        return '{"this_field_is_not_in_the_schema":[null]}'
    format_schema = form.get("json_schema")
    schema = format_schema.get("schema") if isinstance(format_schema, Mapping) else None
    return msgspec.json.encode(example_value(schema or {}, seed)).decode()


def _tool_calls(
    body: Mapping[str, Any],
    messages: list[Mapping[str, Any]],
    prompt: str,
    script: Script,
    seed: int,
) -> tuple[ToolCall, ...]:
    selected_tools = _select_tools(body, messages, prompt, script)
    if len(selected_tools) == 1 and _WANTS_SEVERAL.search(prompt):
        selected_tools = selected_tools * 2
    if body.get("parallel_tool_calls") is False:
        selected_tools = selected_tools[:1]
    return tuple(
        ToolCall(
            id=f"call_demo_{zlib.crc32(f'{seed}:{number}'.encode()):08x}",
            name=f"{tool['name']}_of_nobody" if script.tools == "unknown" else tool["name"],
            arguments=_call_arguments(tool.get("parameters") or {}, prompt, script, number),
        )
        for number, tool in enumerate(selected_tools)
    )


def _select_tools(
    body: Mapping[str, Any], messages: list[Mapping[str, Any]], prompt: str, script: Script
) -> list[Mapping[str, Any]]:
    """Return the tools to call now: those forced, else those the last message asks for."""
    tools = [t["function"] for t in body.get("tools") or () if _is_function(t)]
    choice = body.get("tool_choice")
    if not tools or choice == "none":
        return []
    if isinstance(choice, Mapping):
        forced_function = choice.get("function")
        name = forced_function.get("name") if isinstance(forced_function, Mapping) else None
        return [tool for tool in tools if tool["name"] == name] or tools[:1]
    is_user_turn = not messages or messages[-1].get("role") != "tool"
    mentioned_tools = [
        tool for tool in tools if is_user_turn and _mentions_tool(prompt, tool["name"])
    ]
    if mentioned_tools:
        return mentioned_tools[:8]
    matching_tools = [tool for tool in tools if is_user_turn and _matches_prompt(prompt, tool)]
    if matching_tools:
        return matching_tools[:1]
    calls_tool = script.tools != "valid" or _WANTS_TOOL.search(prompt) is not None
    return tools[:1] if choice in {"required", "any"} or (is_user_turn and calls_tool) else []


def _is_function(tool: Any) -> bool:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    return isinstance(function, Mapping) and isinstance(function.get("name"), str)


def _mentions_tool(prompt: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", prompt, re.IGNORECASE) is not None


def _matches_prompt(prompt: str, tool: Mapping[str, Any]) -> bool:
    """Whether the tool does what the prompt asks for, by the names of its properties."""
    schema = tool.get("parameters")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    names = properties if isinstance(properties, Mapping) else {}
    return any(name in names and pattern.search(prompt) for pattern, name in _ACTIONS)


def _call_arguments(schema: Mapping[str, Any], prompt: str, script: Script, number: int) -> str:
    """Return a call's arguments: text quoted in the prompt goes to the main property."""
    if script.tools == "malformed":
        return '{"broken": "this JSON never ends'
    if script.tools == "schema_violation":
        return '{"unexpected":[{"of":"another schema"}]}'
    quoted_texts = ["".join(groups) for groups in _QUOTED.findall(prompt)]
    properties = schema.get("properties")
    names = list(properties) if isinstance(properties, Mapping) else []
    main = next((n for n in _MAIN if n in names), names[0] if names else "")

    def hint(name: str) -> str | None:
        if name == main and quoted_texts:
            return quoted_texts[number % len(quoted_texts)]
        return _plausible_value(name, number)

    value = example_value(schema, number, optional=False, hint=hint)
    return msgspec.json.encode(value if isinstance(value, dict) else {}).decode()


def _plausible_value(name: str, number: int) -> str | None:
    """Return a plausible value for a property, by its name."""
    match name.lower():
        case "city" | "location" | "place":
            return _CITIES[number % len(_CITIES)]
        case "command" | "cmd":
            return "echo hello from the demo model"
        case "query" | "q":
            return "what a gateway is"
        case "unit" | "units":
            return "celsius"
        case _:
            return None


def _apply_limits(demo_response: DemoResponse, body: Mapping[str, Any]) -> DemoResponse:
    """Cut the response at a stop sequence, and at the limit of output tokens."""
    text = "".join(demo_response.text)
    stop = body.get("stop")
    for stop_sequence in [stop] if isinstance(stop, str) else stop or ():
        if isinstance(stop_sequence, str) and stop_sequence and stop_sequence in text:
            text = text.partition(stop_sequence)[0]
            demo_response = msgspec.structs.replace(
                demo_response, text=_split_tokens(text), finish="stop"
            )
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if not isinstance(limit, int) or demo_response.calls:
        return demo_response
    remaining_tokens = max(limit - len(demo_response.reasoning), 0)
    if remaining_tokens >= len(demo_response.text):
        return demo_response
    return msgspec.structs.replace(
        demo_response,
        reasoning=demo_response.reasoning[:limit],
        text=demo_response.text[:remaining_tokens],
        finish="length",
    )


def _split_tokens(text: str) -> tuple[str, ...]:
    """Split the text into chunks of about a token each."""
    return tuple(_CHUNK_PATTERN.findall(text))


def _call_tokens(call: ToolCall) -> int:
    return 4 + len(call.arguments) // 4
