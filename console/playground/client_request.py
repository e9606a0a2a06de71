"""Builds the canonical request of a column and renders it as JSON of a client dialect.

The client half of a dialect only parses requests, so the provider half renders them, for
traits that support everything the dialect can express.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from console.playground.logged_settings import LoggedSettings
from console.playground.plan import (
    EMPTY_SCHEMA,
    Column,
    GenerationParams,
    PromptSettings,
    Tool,
)
from gateway.canon.adaptation import adaptation_rows
from gateway.canon.request import (
    EFFORTS,
    Output,
    Part,
    Reasoning,
    ReasoningConfig,
    Request,
    Signature,
    Text,
    ToolCall,
    ToolChoice,
    Turn,
)
from gateway.canon.request import Tool as CanonTool
from gateway.canon.schema import restrict_to_openai_strict
from gateway.canon.signature import wrap_signature
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS

Json = dict[str, Any]
# Provider name of wrapped state, see `_with_wrapped_state`.
_CLIENT_PROVIDER = "client"
# Signature kind of reasoning state in dialects that accept only their own; dialects that
# require base64; dialects in which the state of a call is a separate item after the call.
_STATE_KINDS = {"openai_responses": "encrypted_content", "gemini": "thought_signature"}
_BASE64 = frozenset({"gemini"})
_STATE_ITEMS = frozenset({"openai_responses"})
# Fields that the playground adds itself, so their loss is not reported.
_IGNORED_LOSS_PATHS = frozenset({"name"})
# Accepted token budgets of reasoning, and the breakpoints that a dialect's clients can set.
_REASONING_BUDGETS = (0, 10**6)
_CACHES: dict[str, Any] = {"anthropic_messages": "cache_control", "openai_chat": "cache_control"}
_CACHES |= {"bedrock_converse": "cachePoint"}
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def build_request(column: Column, *, stream: bool) -> Request:
    """Canonical request of a column.

    A setting that the page displays as it was in the logged request is the logged one, with
    all that the page does not display of it.
    """
    settings = column.settings
    params, logged_settings = settings.params, settings.logged_settings or LoggedSettings()
    displayed = displayed_settings(logged_settings)
    effort = params.reasoning_effort
    is_logged = settings.logged_settings is not None
    return Request(
        model=column.model,
        stream=stream,
        include_usage=_include_usage(logged_settings, stream=stream, is_logged=is_logged),
        instructions=logged_settings.instructions
        if settings.system == displayed.system
        else (Text(text=settings.system),)
        if settings.system
        else (),
        turns=column.turns,
        tools=_request_tools(settings, logged_settings),
        tool_choice=logged_settings.tool_choice
        if _same_choice(params, displayed.params) and is_logged
        else _tool_choice(settings),
        output=logged_settings.output
        if settings.schema == displayed.schema
        else _output_format(settings),
        reasoning=logged_settings.reasoning
        if effort == displayed.params.reasoning_effort
        else ReasoningConfig(effort=effort)
        if effort
        else None,
        max_output=params.max_tokens,
        sampling=msgspec.structs.replace(
            logged_settings.sampling,
            temperature=params.temperature,
            top_p=params.top_p,
            top_k=params.top_k,
            seed=params.seed,
            frequency_penalty=params.frequency_penalty,
            presence_penalty=params.presence_penalty,
            stop=params.stop,
        ),
        meta=logged_settings.meta,
        cache=logged_settings.cache,
        version=logged_settings.version,
        betas=logged_settings.betas,
        extra=logged_settings.extra,
    )


def displayed_settings(logged_settings: LoggedSettings) -> PromptSettings:
    """The settings of a request that the page displays."""
    sampling, choice, reasoning = (
        logged_settings.sampling,
        logged_settings.tool_choice,
        logged_settings.reasoning,
    )
    modes = {mode: name for name, mode in _CHOICES.items()}
    return PromptSettings(
        system="\n\n".join(part.text for part in logged_settings.instructions),
        params=GenerationParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=logged_settings.max_output,
            seed=sampling.seed,
            frequency_penalty=sampling.frequency_penalty,
            presence_penalty=sampling.presence_penalty,
            stop=sampling.stop,
            reasoning_effort=reasoning.effort if reasoning else None,
            tool_choice=modes.get(choice.mode or "") if choice else None,
        ),
        tools=tuple(
            Tool(name=tool.name, description=tool.description or "", schema=tool.schema or {})
            for tool in logged_settings.tools
            if tool.kind == "function"
        ),
        schema=logged_settings.output.schema or None,
    )


def _include_usage(
    logged_settings: LoggedSettings, *, stream: bool, is_logged: bool
) -> bool | None:
    """Usage is always requested of a stream, unless a logged request did not."""
    if is_logged:
        return logged_settings.include_usage
    return True if stream else None


def _same_choice(params: GenerationParams, displayed: GenerationParams) -> bool:
    """Whether the page displays the tool choice of the logged request."""
    return params.tool_choice == displayed.tool_choice and params.parallel_tool_calls is None


def _request_tools(
    settings: PromptSettings, logged_settings: LoggedSettings
) -> tuple[CanonTool, ...]:
    """The page's tools, and those of the logged request that it does not display."""
    functions = [tool for tool in logged_settings.tools if tool.kind == "function"]
    known_tools = {(t.name, t.description or "", _schema_key(t.schema)): t for t in functions}
    tools = [
        known_tools.get((tool.name, tool.description, _schema_key(tool.schema)))
        or _canonical_tool(tool)
        for tool in settings.tools
    ]
    if tools == functions:
        return logged_settings.tools
    return (*tools, *(tool for tool in logged_settings.tools if tool.kind != "function"))


def _schema_key(schema: Json | None) -> bytes:
    """An empty schema is displayed as one without properties."""
    return msgspec.json.encode(schema or EMPTY_SCHEMA, order="sorted")


def _canonical_tool(tool: Tool) -> CanonTool:
    return CanonTool(name=tool.name, description=tool.description or None, schema=tool.schema)


def _tool_choice(settings: PromptSettings) -> ToolChoice | None:
    tool_choice, parallel = settings.params.tool_choice, settings.params.parallel_tool_calls
    if not settings.tools or (tool_choice is None and parallel is None):
        return None
    mode: Any = _CHOICES[tool_choice] if tool_choice else None
    return ToolChoice(mode=mode, parallel=parallel)


def _output_format(settings: PromptSettings) -> Output:
    """The output format; strict only if that leaves the schema unchanged."""
    schema = settings.schema
    if schema is None:
        return Output()
    changed_keywords = restrict_to_openai_strict(schema)[1]
    return Output(format="schema", name="response", schema=schema, strict=not changed_keywords)


def render_body(dialect: str, request: Request) -> tuple[Json, list[Json]]:
    """JSON body for the client dialect, and the settings it cannot express.

    Omits the model and the stream flag if the path of the dialect has them. Raises
    GatewayError.
    """
    traits = Traits(
        preset=_CLIENT_PROVIDER,
        model=request.model,
        reasoning=True,
        efforts=EFFORTS,
        reasoning_modes=("adaptive", "enabled", "disabled"),
        prefill=True,
        custom_tools=True,
        audio=True,
        tool_result_images=True,
        top_k=True,
        min_p=True,
        repetition_penalty=True,
        stop_max=None,
        verbosity=True,
        allowed_tools=True,
        document_urls=True,
        reasoning_budgets=_REASONING_BUDGETS if _has_budget(request) else (),
        cache=_CACHES.get(dialect, "implicit"),
        reasoning_field="reasoning_content",
        replay_reasoning="native",
    )
    turns = []
    for turn in request.turns:
        parts = tuple(_with_wrapped_state(dialect, part, request.model) for part in turn.parts)
        turns.append(msgspec.structs.replace(turn, parts=parts))
    provider_request = msgspec.structs.replace(
        request, turns=tuple(turns), client_paths=_field_paths()
    )
    rendered_request = DIALECTS[dialect].provider.render_request(provider_request, traits)
    report = tuple(item for item in rendered_request.report if item.path not in _IGNORED_LOSS_PATHS)
    body = (
        _with_state_items(rendered_request.body, request)
        if dialect in _STATE_ITEMS
        else rendered_request.body
    )
    return body, adaptation_rows(report)


def _has_budget(request: Request) -> bool:
    """Whether reasoning is limited in tokens: Gemini accepts either a budget or a level."""
    return request.reasoning is not None and request.reasoning.budget is not None


def _field_paths() -> dict[str, str]:
    """Field paths of the playground's document, for reported losses."""
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


def _with_wrapped_state(dialect: str, part: Part, model: str) -> Part:
    """A part of a response as a client returns it: its state in the gateway's wrapper."""
    if isinstance(part, Reasoning):
        state = part.signature or Signature(kind="text")
        return msgspec.structs.replace(part, signature=_wrap_state(dialect, state, model))
    if not isinstance(part, ToolCall) or part.signature is None:
        return part
    signature = None if dialect in _STATE_ITEMS else _wrap_state(dialect, part.signature, model)
    return msgspec.structs.replace(part, signature=signature)


def _with_state_items(body: Json, request: Request) -> Json:
    """Body with the state of each tool call as a separate item after the call."""
    parts = [part for turn in request.turns for part in turn.parts]
    states = {p.id: p.signature for p in parts if isinstance(p, ToolCall) and p.signature}
    items: list[Json] = []
    for item in body["input"]:
        items.append(item)
        state = states.get(item.get("call_id", "")) if item["type"] == "function_call" else None
        if state is not None:
            token = wrap_signature(msgspec.structs.replace(state, item_id=item["call_id"]))
            items.append({"type": "reasoning", "summary": [], "encrypted_content": token})
    return {**body, "input": items}


def _wrap_state(dialect: str, state: Signature, model: str) -> Signature:
    state_kind = "signature" if state.kind == "text" else state.kind
    value = wrap_signature(state)
    if dialect in _BASE64:
        value = base64.b64encode(value.encode()).decode()
    kind = _STATE_KINDS.get(dialect, state_kind)
    return Signature(provider=_CLIENT_PROVIDER, model=model, kind=kind, value=value)


def next_round_request(
    request: Request, parts: tuple[Part, ...], results: tuple[Part, ...]
) -> Request:
    """Request of the next round: appends the response and the tool results."""
    turns = (Turn(role="assistant", parts=parts), Turn(role="user", parts=results))
    return msgspec.structs.replace(request, turns=(*request.turns, *turns))
