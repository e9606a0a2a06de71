"""The requests that Anthropic's Messages refuses, with the error messages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from anthropic.types.anthropic_beta_param import AnthropicBetaParam
from anthropic.types.beta.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.beta.message_create_params import MessageCreateParamsBase

from tests.fakes.script import Refusal
from tests.fakes.shape import Problem, problems

_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
_ID = re.compile(r"^[a-zA-Z0-9_-]+$")
_VERSIONS = {"2023-06-01", "2026-10-21"}
_NEW = "2026-10-21"
_SAMPLING = ("temperature", "top_p", "top_k")
_NOT_IN_BODY = ("betas", "user_profile_id", "workspace_id")
# Betas that Claude Code or LiteLLM sends and the SDK does not list.
_MORE_BETAS = {
    "prompt-caching-scope-2026-01-05",
    "claude-code-20250219",
    "per-turn-control-2026-07-01",
    "advanced-tool-use-2025-11-20",
    "effort-2025-11-24",
    "structured-outputs-2025-12-15",
    "redact-thinking-2026-02-12",
}
# Body fields that only a beta opens.
_BETA_FIELDS = {
    "context_management": "context-management-",
    "mcp_servers": "mcp-client-",
    "fallbacks": "server-side-fallback-",
    "thread": "message-threads-",
    # Accepted beside `output_config.format`, which replaced it.
    "output_format": "structured-outputs-",
}


@dataclass(frozen=True)
class ModelCapabilities:
    """The capabilities of a model."""

    thinking: frozenset[str]
    sampling: bool
    prefill: bool
    mid_system: bool
    code_calls: bool = True  # tools called from code, as newer searches are unless told otherwise


def _capabilities(
    thinking: str, *, sampling: bool, prefill: bool, mid_system: bool
) -> ModelCapabilities:
    return ModelCapabilities(frozenset(thinking.split()), sampling, prefill, mid_system)


_OLD = replace(
    _capabilities("enabled disabled", sampling=True, prefill=True, mid_system=False),
    code_calls=False,
)
_4_6 = _capabilities("enabled adaptive disabled", sampling=True, prefill=False, mid_system=False)
_4_7 = _capabilities("adaptive disabled", sampling=False, prefill=False, mid_system=False)
_5 = _capabilities(
    "adaptive disabled between_tools", sampling=False, prefill=False, mid_system=True
)

MODELS = {
    "claude-haiku-4-5": _OLD,
    "claude-sonnet-4-5": _OLD,
    "claude-opus-4-6": _4_6,
    "claude-opus-4-7": _4_7,
    "claude-sonnet-5": _4_7,
    "claude-opus-5-5": _5,
}


def invalid_request(message: str) -> Refusal:
    """Return a 400 in Anthropic's format."""
    return Refusal(400, "invalid_request_error", message)


def signature(thought: str) -> str:
    """Return the signature of a reasoning text of this server."""
    return "EqUpstream" + hashlib.sha256(thought.encode()).hexdigest()


def header_refusal(headers: Mapping[str, str]) -> Refusal | None:
    """Return the refusal of the headers; None if they are valid."""
    version = headers.get("anthropic-version")
    if version is None:
        return invalid_request("anthropic-version: header is required")
    if version not in _VERSIONS:
        return invalid_request(f'anthropic-version: "{version}" is not a valid version')
    for beta in _betas(headers):
        if beta not in _MORE_BETAS and beta not in get_args(get_args(AnthropicBetaParam)[1]):
            return invalid_request(f"Unexpected value(s) `{beta}` for the `anthropic-beta` header.")
    return None


def _betas(headers: Mapping[str, str]) -> list[str]:
    return [b.strip() for b in headers.get("anthropic-beta", "").split(",") if b.strip()]


def refusal(body: dict[str, Any], headers: Mapping[str, str], *, counting: bool) -> Refusal | None:
    """Return the service's refusal of this body; None if it is valid."""
    problem = _shape(body, headers, counting=counting)
    if problem is not None:
        return problem
    ability = MODELS.get(body["model"])
    if ability is None:
        return Refusal(404, "not_found_error", f"model: {body['model']}")
    problem = _sampling(body, headers["anthropic-version"], ability)
    checks = (_thinking, _tools, _grammar, _cache_marks, _turns, _content)
    for check in checks:
        problem = problem or check(body, ability)
    return problem or (_new_version(body) if headers["anthropic-version"] == _NEW else None)


def _shape(body: dict[str, Any], headers: Mapping[str, str], *, counting: bool) -> Refusal | None:
    for name, beta in _BETA_FIELDS.items():
        if name in body and not any(b.startswith(beta) for b in _betas(headers)):
            return invalid_request(f"{name}: Extra inputs are not permitted")
    for name in _NOT_IN_BODY:
        if name in body:
            return invalid_request(f"{name}: Extra inputs are not permitted")
    field_types = {"stream": bool, **dict.fromkeys(_SAMPLING, object)}
    remaining_fields = {k: v for k, v in body.items() if counting or k not in field_types}
    if "output_format" in remaining_fields:
        output_config = remaining_fields.get("output_config") or {}
        output_format = remaining_fields.pop("output_format")
        remaining_fields["output_config"] = {**output_config, "format": output_format}
    found_problems = problems(
        remaining_fields, MessageCountTokensParams if counting else MessageCreateParamsBase
    )
    return _to_refusal(found_problems[0]) if found_problems else None


def _to_refusal(problem: Problem) -> Refusal:
    path = problem.dotted()
    if problem.kind == "extra":
        return invalid_request(f"{path}: Extra inputs are not permitted")
    if problem.kind == "missing":
        return invalid_request(f"{path}: Field required")
    return invalid_request(f"{path}: Input should be valid: {problem.detail}")


def _sampling(body: dict[str, Any], version: str, ability: ModelCapabilities) -> Refusal | None:
    for name in _SAMPLING:
        if name not in body:
            continue
        if version == _NEW:
            return invalid_request(f"{name}: Extra inputs are not permitted")
        if not isinstance(body[name], int | float):
            return invalid_request(f"{name}: Input should be a valid number")
        if not ability.sampling and body[name] != 1:
            return invalid_request(f"`{name}` is deprecated for this model.")
    if not 0 <= body.get("temperature", 1) <= 1:
        return invalid_request("temperature: range: 0..1")
    if "temperature" in body and "top_p" in body:
        return invalid_request("`temperature` and `top_p` cannot both be specified for this model.")
    if body.get("max_tokens", 1) < 0:
        return invalid_request("max_tokens: Input should be greater than or equal to 0")
    for stop in body.get("stop_sequences") or ():
        if not stop.strip():
            return invalid_request("stop_sequences: each stop sequence must contain non-whitespace")
    return None


def _thinking(body: dict[str, Any], ability: ModelCapabilities) -> Refusal | None:
    thinking = body.get("thinking") or {}
    kind = thinking.get("type")
    if kind is None:
        return None
    if kind not in ability.thinking:
        return invalid_request(f'"thinking.type.{kind}" is not supported for this model.')
    if kind != "enabled":
        return None
    if thinking["budget_tokens"] < 1024:
        return invalid_request(
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
        )
    if thinking["budget_tokens"] >= body.get("max_tokens", 1 << 30):
        return invalid_request("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if (body.get("tool_choice") or {}).get("type") in {"any", "tool"}:
        return invalid_request("Thinking may not be enabled when tool_choice forces tool use.")
    if body.get("temperature", 1) != 1:
        return invalid_request("`temperature` may only be set to 1 when thinking is enabled.")
    if body["messages"][-1]["role"] == "assistant":
        return invalid_request("Thinking may not be enabled together with an assistant prefill.")
    return None


def grammar_refusal(tools: list[dict[str, Any]], output: Any) -> str:
    """Return why the schemas of the strict tools and of the output are too many; else ""."""
    if len(tools) > 20:
        return (
            f"Too many strict tools ({len(tools)}). The maximum number of strict tools supported "
            "is 20. Try reducing the number of tools marked as strict."
        )
    counts = [_count_parameters(schema) for schema in (*tools, output)]
    optional, unions = (sum(numbers) for numbers in zip(*counts, strict=True))
    if optional > 24:
        return (
            f"Schemas contains too many optional parameters ({optional}), which would make grammar "
            "compilation inefficient. Reduce the number of optional parameters in your tool "
            "schemas (limit: 24)."
        )
    if unions > 16:
        return (
            f"Schemas contains too many parameters with union types ({unions} parameters with type "
            "arrays or anyOf). Reduce the number of nullable or union-typed parameters (limit: 16 "
            "parameters with unions)."
        )
    return ""


def _count_parameters(value: Any) -> tuple[int, int]:
    """Return the numbers of optional and of union parameters at any depth."""
    if isinstance(value, list):
        counts = [_count_parameters(item) for item in value]
        return sum(n for n, _ in counts), sum(n for _, n in counts)
    if not isinstance(value, dict):
        return 0, 0
    optional, unions = _count_parameters(list(value.values()))
    properties = value.get("properties")
    for name, schema in properties.items() if isinstance(properties, dict) else ():
        optional += name not in value.get("required", [])
        unions += "anyOf" in schema or isinstance(schema.get("type"), list)
    return optional, unions


def _grammar(body: dict[str, Any], ability: ModelCapabilities) -> Refusal | None:
    strict = [tool["input_schema"] for tool in body.get("tools") or [] if tool.get("strict")]
    output = (body.get("output_config") or {}).get("format")
    problem = grammar_refusal(strict, output)
    return invalid_request(problem) if problem else None


def _tools(body: dict[str, Any], ability: ModelCapabilities) -> Refusal | None:
    tools = body.get("tools") or []
    names = [tool["name"] for tool in tools if "name" in tool]
    if len(set(names)) != len(names):
        return invalid_request("tools: Tool names must be unique.")
    for number, tool in enumerate(tools):
        if not _NAME.match(tool.get("name", "x")):
            return invalid_request(
                f"tools.{number}.custom.name: String should match pattern '{_NAME.pattern}'"
            )
        kind = tool.get("type") or "custom"
        direct = tool.get("allowed_callers") == ["direct"]
        if kind.startswith("web_search_2026") and not ability.code_calls and not direct:
            return invalid_request(
                f"'{body['model']}' does not support programmatic tool calling. To use "
                f'{kind}, set `allowed_callers: ["direct"]`.'
            )
        if tool.get("input_schema", {}).keys() & {"oneOf", "allOf", "anyOf"}:
            return invalid_request(
                f"tools.{number}.custom.input_schema: input_schema does not support oneOf, allOf, "
                "or anyOf at the top level"
            )
        if "input_schema" in tool and tool["input_schema"].get("type") != "object":
            return invalid_request(
                f"tools.{number}.custom.input_schema.type: Input should be 'object'"
            )
    choice = body.get("tool_choice") or {}
    if choice.get("type") in {"any", "tool"} and not tools:
        return invalid_request(
            "tool_choice: tool_choice may only be specified while providing tools."
        )
    if choice.get("type") == "tool" and choice["name"] not in names:
        return invalid_request(f"Tool '{choice['name']}' not found in provided tools")
    uses_tools = any(block["type"] in {"tool_use", "tool_result"} for _, block in _all_blocks(body))
    if uses_tools and "tools" not in body:
        return invalid_request(
            "Requests which include `tool_use` or `tool_result` blocks must define tools."
        )
    return None


def _all_blocks(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, message in enumerate(body["messages"]):
        if isinstance(message["content"], list):
            for index, block in enumerate(message["content"]):
                yield f"messages.{number}.content.{index}", block


def _cache_marks(body: dict[str, Any], ability: ModelCapabilities) -> Refusal | None:
    blocks = [block for _, block in _all_blocks(body)]
    blocks += [inner for b in blocks for inner in _inner_blocks(b)]
    system = body.get("system")
    marked = [body, *blocks, *(system if isinstance(system, list) else [])]
    marked += body.get("tools") or []
    count = sum(1 for item in marked if item.get("cache_control"))
    if count > 4:
        return invalid_request(
            f"A maximum of 4 blocks with cache_control may be provided. Found {count}."
        )
    return None


def _inner_blocks(block: dict[str, Any]) -> list[dict[str, Any]]:
    content = block.get("content")
    return content if isinstance(content, list) else []


def _turns(body: dict[str, Any], ability: ModelCapabilities) -> Refusal | None:
    messages = body["messages"]
    if not messages:
        return invalid_request("messages: at least one message is required")
    if messages[0]["role"] != "user":
        return invalid_request('messages: first message must use the "user" role')
    if messages[-1]["role"] == "assistant" and not ability.prefill:
        return invalid_request(
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message."
        )
    return _system_turns(messages, ability) or _pairs(_merged(messages))


def _system_turns(messages: list[dict[str, Any]], ability: ModelCapabilities) -> Refusal | None:
    for number, message in enumerate(messages):
        if message["role"] != "system":
            continue
        if not ability.mid_system:
            return invalid_request(f"messages.{number}.role: Input should be 'user' or 'assistant'")
        before = messages[number - 1]["role"]
        after = messages[number + 1]["role"] if number + 1 < len(messages) else "assistant"
        if before == "assistant" or after == "user":
            return invalid_request(
                f"messages.{number}: a system message must follow a user turn, and be last or be "
                "followed by an assistant turn"
            )
    return None


def _merged(messages: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the turns as the service reads them: same roles merged, without system turns."""
    turns: list[tuple[str, list[dict[str, Any]]]] = []
    for message in messages:
        if message["role"] == "system":
            continue
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if turns and turns[-1][0] == message["role"]:
            turns[-1][1].extend(blocks)
        else:
            turns.append((message["role"], list(blocks)))
    return turns


def _pairs(turns: list[tuple[str, list[dict[str, Any]]]]) -> Refusal | None:
    call_ids: list[str] = []
    for number, (role, blocks) in enumerate(turns):
        results = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        leading = 0
        while leading < len(blocks) and blocks[leading]["type"] == "tool_result":
            leading += 1
        missing = [id_ for id_ in call_ids if id_ not in results[:leading]]
        if role == "user" and missing:
            return _without_results(number - 1, missing)
        for id_ in results:
            if id_ not in call_ids:
                return invalid_request(
                    f"messages.{number}.content.0: unexpected `tool_use_id` found in "
                    f"`tool_result` blocks: {id_}. Each `tool_result` block must have a "
                    "corresponding `tool_use` block in the previous message."
                )
        if len(set(results)) != len(results):
            return invalid_request("messages: each tool_use must have a single result.")
        call_ids = [b["id"] for b in blocks if b["type"] == "tool_use"]
        if len(set(call_ids)) != len(call_ids):
            return invalid_request("messages: `tool_use` ids must be unique")
    return _without_results(len(turns) - 1, call_ids) if call_ids else None


def _without_results(number: int, ids: list[str]) -> Refusal:
    return invalid_request(
        f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately "
        f"after: {', '.join(ids)}. Each `tool_use` block must have a corresponding `tool_result` "
        "block in the next message."
    )


def _content(body: dict[str, Any], ability: ModelCapabilities) -> Refusal | None:
    system = body.get("system")
    for block in system if isinstance(system, list) else []:
        if not block["text"].strip():
            return invalid_request("system: text content blocks must be non-empty")
    last = len(body["messages"]) - 1
    for number, message in enumerate(body["messages"]):
        if not message["content"] and not (number == last and message["role"] == "assistant"):
            return invalid_request(f"messages.{number}: all messages must have non-empty content")
    omitted = (body.get("thinking") or {}).get("display") == "omitted"
    for path, block in _all_blocks(body):
        for item in (block, *_inner_blocks(block)):
            if actual_refusal := _block(path, item, omitted=omitted):
                return actual_refusal
    return None


def _block(path: str, block: dict[str, Any], *, omitted: bool) -> Refusal | None:
    match block["type"]:
        case "thinking" if (
            not block["thinking"] and not omitted and block["signature"] != signature("")
        ):
            return invalid_request(f"{path}: `thinking` blocks cannot be modified")
        case "text" if not block["text"]:
            return invalid_request("messages: text content blocks must be non-empty")
        case "text" if not block["text"].strip():
            return invalid_request("messages: text content blocks must contain non-whitespace text")
        case "tool_use" if not _ID.match(block["id"]) or not _NAME.match(block["name"]):
            return invalid_request(
                f"{path}.tool_use.id: String should match pattern '{_ID.pattern}'"
            )
        case "thinking" if not block["signature"].startswith("EqUpstream"):
            return invalid_request(f"{path}: Invalid `signature` in `thinking` block")
        case "thinking" if block["thinking"] and block["signature"] != signature(block["thinking"]):
            return invalid_request(f"{path}: `thinking` blocks cannot be modified")
        case "image" if block["source"]["type"] == "url":
            if not block["source"]["url"].startswith("https://"):
                return invalid_request(f"{path}.image.source.url: Only HTTPS URLs are supported.")
    return None


def _new_version(body: dict[str, Any]) -> Refusal | None:
    """Return the refusal that is specific to the version of 2026-10-21."""
    for number, message in enumerate(body["messages"]):
        blocks = message["content"] if isinstance(message["content"], list) else []
        for block in blocks:
            if message["role"] == "assistant" and block["type"] == "document":
                return invalid_request(f"messages.{number}: document blocks are not allowed here")
            if message["role"] == "user" and block["type"] == "text" and block.get("citations"):
                return invalid_request(
                    f"messages.{number}: citations: Extra inputs are not permitted"
                )
    return None
