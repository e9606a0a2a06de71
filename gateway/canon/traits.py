"""Capabilities of one model at one provider, as data for the dialects.

No code branches on a provider's name: a difference between providers is a value here or
an edit in `gateway.providers`. The values come from the capability table, the provider's
model list, an operator's edit, or an upstream's error.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """The capability flags of a target; the defaults are a plain, current Chat model.

    Attributes:
        preset: the name of the provider preset; the `p` of state tokens.
        model: the upstream model id.
        reasoning: whether it is a reasoning model.
        sampling: whether temperature, top_p and top_k may be sent.
        temperature_max: the largest temperature accepted.
        penalties: whether frequency and presence penalties may be sent.
        reasoning_modes: Anthropic `thinking.type` values accepted.
        reasoning_always_on: whether reasoning cannot be turned off.
        efforts: reasoning efforts accepted, weakest first; empty if none.
        effort_default: the effort of a request without one; empty if unknown.
        effort_map: canonical effort -> the provider's value, where the provider
            documents a coarser scale; reported, except for `minimal`.
        reasoning_request: the field that requests reasoning from a Chat provider:
            `reasoning_effort`, `thinking` (`{type}` object and effort),
            `reasoning` (OpenRouter's object), `none`.
        reasoning_budgets: minimum and maximum of Gemini's `thinkingBudget`; empty for models
            that accept a level.
        prefill: whether the last turn may be the assistant's.
        mid_system: whether a system turn is accepted between other turns. Passthrough keeps
            them, as many operators serve other chat templates than the model's own.
        user_after_tool: whether a user turn may directly follow a tool result.
        structured: the strictest output format: `schema`, `json` or `none`.
        structured_with_tools: whether a Gemini model accepts an output format together with
            tools; else the format is sent as an instruction.
        object_output: whether the root of an output format's schema must be an object (OpenAI).
        plain_tool_schemas: whether the root of a tool's schema may contain only `type`,
            `properties` and `required` (Nova).
        strict_tools: whether tools may be `strict`.
        forced_tools: whether tool_choice may force a call.
        json_arguments: whether the arguments of calls in a history must be a JSON object: vLLM,
            SGLang and llama.cpp parse them, and refuse the request otherwise. OpenAI does not.
        whole_calls: whether a stream has each tool call in one event.
        parallel_toggle: whether parallel calls can be disabled.
        tool_result_images: whether a tool result may contain images.
        tool_result_status: whether a tool result of Converse may have a status.
        search_results: whether a Converse message may contain search results.
        mixed_results: whether a turn of Converse may contain text besides tool results.
        cache: the prompt-cache breakpoints accepted: `none`, `implicit`,
            `breakpoints` (OpenAI), `cache_control`, `cachePoint`.
        tool_cache: whether a tool of Converse may be followed by a breakpoint.
        cache_hour: whether a breakpoint of Converse may have the lifetime `1h` (Claude).
        auto_cache: the prefixes that a route's `prompt_cache` marks for clients that mark none.
        stop_max: the maximum number of stop sequences; None for no limit.
        n_max: the maximum number of choices.
        top_k, min_p, repetition_penalty: whether that field is accepted.
        nested_top_k: whether Converse's `top_k` is the model's own `inferenceConfig.topK` (Nova).
        max_output: the maximum number of output tokens; None if unknown.
        context_window: the maximum of input and output tokens together; None if unknown.
        default_context: the context length in tokens that Ollama uses without `num_ctx`: a request
            that needs more sets it. None or 0 never sets it.
        embeddings: `only` for a model that creates vectors and cannot chat.
        embed_max: the maximum number of inputs of one embeddings call; None for no limit.
        embed_form: how vectors are requested from Vertex AI: as a `predict`ion, or by
            `content`, one at a time.
        count_form: `bare` if a token count accepts the request's own body.
        default_max_output: the limit to send where the API requires one.
        agent_max_output: the limit to send there for an agent's turn: a streamed response that
        may call tools.
        max_tokens_field: the Chat name of the output limit.
        responses: whether the provider also serves the model in OpenAI's Responses, at
            the same base URL.
        responses_only: whether the provider serves it there only, and not in Chat.
        completions: whether it serves the model in OpenAI's text completions, at the same
            base URL: `none`, `too`, or `only` (the model cannot chat).
        responses_required_with_tools: whether tools need OpenAI's Responses API.
        built_in_tools_in_responses: whether the provider runs tools such as web search for the
            model in OpenAI's Responses API, but not in Chat. Without `responses`, only requests
            with such a tool go there.
        built_in_tools: the tools that a Responses API other than OpenAI's runs, each with the
            fields that it accepts; requests are then never passed through, and calls of these
            tools in a history are not sent. Empty: every tool of OpenAI's.
        reasoning_field: the field for reasoning in Chat responses and histories:
            `reasoning_content`, `reasoning`, `reasoning_details`, `none`; `thinking`:
            chunks of the content (Mistral).
        reasoning_output: the Chat fields that request reasoning in a field of its own, from
            providers that otherwise return it in the text, between tags.
        replay_reasoning: how reasoning in a history is treated: `required_on_tools`,
            `ignored` or `native`.
        reasoning_summaries: whether reasoning summaries are requested from OpenAI's Responses for
            clients that expect them without a request; not every account may use them.
        tool_id_rule: the ids accepted: `any`, `word`, `bedrock64`, `any64`, `mistral9`.
        count_tokens: `endpoint` or `estimate`.
        system_role: the Chat role of instructions: `system` or `developer`.
        stream_options: whether `stream_options.include_usage` is accepted.
        user_field: the Chat field of the end user's id: `safety_identifier`,
            `user`, `none`.
        session_field: the Chat field of the session: `prompt_cache_key` or `none`.
        metadata: whether a `metadata` map is accepted.
        metadata_without_store: whether Chat accepts `metadata` without `store: true`; OpenAI
            does not (https://github.com/tmc/langchaingo/issues/1484).
        store: whether `store` is accepted.
        verbosity: whether `verbosity` is accepted.
        prefill_field: the Chat flag that requests the continuation of the last assistant
            turn: `prefix` (on the message), `continue_final_message`, `none`.
        tool_choice_any: the Chat value for "some tool must be called".
        tool_result_name: whether Chat tool messages have the tool's `name`.
        empty_content: Chat `content` of an assistant turn with only tool calls:
            `null`, `empty` (an empty string) or `omit`.
        text_parts: whether Chat `content` may be a list of text parts; else texts are
            joined into one string (DeepSeek rejects a list with 400).
        media_chunks: whether files and audio in Chat `content` are chunks of one string
            each (`document_url`, `input_audio`), as in Mistral's API.
        no_name_or_refusal: whether Chat messages accept neither `name` nor `refusal`.
        allowed_tools: whether `tool_choice` may name a subset of the tools; else the
            other tools are not sent.
        document_urls: whether a Chat `file` may be a URL.
        anthropic_version: the version to send when translating.
        mcp_servers: whether the provider calls MCP servers itself (Anthropic's connector).
        message_threads: whether the provider stores the conversations of `thread` (Anthropic).
        code_execution: the server tool that runs code, as its dialect writes it
            (`code_execution_20250825`, `codeExecution`); empty if there is none.
        image_output: whether a Gemini model returns images if `responseModalities` requests them.
        web_search: the server tool that searches the web, as its dialect writes it
            (`web_search_20260318`, `googleSearch`; for Chat the field that requests it,
            or the type of a tool); empty if there is none.
        web_search_options: whether a Chat API accepts `web_search_options` from its own clients;
            else the field is dropped, also on passthrough.
        built_in_with_functions: whether Gemini accepts its built-in tools together with function
            declarations: `none`, `flag` (with `includeServerSideToolInvocations`, which
            Vertex AI does not support) or `plain`.
    """

    preset: str = ""
    model: str = ""
    reasoning: bool = False
    sampling: bool = True
    temperature_max: float = 2.0
    penalties: bool = True
    seed: bool = True
    reasoning_modes: tuple[str, ...] = ()
    reasoning_always_on: bool = False
    efforts: tuple[str, ...] = ()
    effort_default: str = ""
    effort_map: dict[str, str] = {}
    reasoning_request: Literal["reasoning_effort", "thinking", "reasoning", "none"] = (
        "reasoning_effort"
    )
    reasoning_budgets: tuple[int, ...] = ()
    prefill: bool = False
    mid_system: bool = True
    user_after_tool: bool = True
    structured: Literal["schema", "json", "none"] = "schema"
    structured_with_tools: bool = True
    object_output: bool = False
    tools: bool = True
    plain_tool_schemas: bool = False
    strict_tools: bool = True
    custom_tools: bool = False
    forced_tools: bool = True
    json_arguments: bool = True
    whole_calls: bool = False
    parallel_toggle: bool = True
    images: bool = True
    image_urls: bool = True
    pdf: bool = True
    audio: bool = False
    tool_result_images: bool = False
    tool_result_status: bool = True
    search_results: bool = True
    mixed_results: bool = True
    cache: Literal["none", "implicit", "breakpoints", "cache_control", "cachePoint"] = "implicit"
    tool_cache: bool = True
    cache_hour: bool = True
    auto_cache: tuple[Literal["tools", "system", "turns"], ...] = ()
    stop_max: int | None = 4
    n_max: int = 128
    logprobs: bool = True
    logit_bias: bool = True
    top_k: bool = False
    nested_top_k: bool = False
    min_p: bool = False
    repetition_penalty: bool = False
    max_output: int | None = None
    context_window: int | None = None
    default_context: int | None = None
    embeddings: Literal["none", "only"] = "none"
    embed_max: int | None = None
    embed_form: Literal["own", "predict", "content"] = "own"
    count_form: Literal["own", "bare"] = "own"
    default_max_output: int = 8192
    agent_max_output: int = 32_000
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"
    responses: bool = False
    responses_only: bool = False
    completions: Literal["none", "too", "only"] = "none"
    responses_required_with_tools: bool = False
    built_in_tools_in_responses: bool = False
    built_in_tools: dict[str, tuple[str, ...]] = {}
    reasoning_field: Literal[
        "reasoning_content", "reasoning", "reasoning_details", "thinking", "none"
    ] = "none"
    reasoning_output: dict[str, Any] = {}
    replay_reasoning: Literal["required_on_tools", "ignored", "native"] = "ignored"
    reasoning_summaries: bool = False
    tool_id_rule: Literal["any", "word", "bedrock64", "any64", "mistral9"] = "any"
    count_tokens: Literal["endpoint", "estimate"] = "estimate"
    system_role: Literal["system", "developer"] = "system"
    stream_options: bool = True
    user_field: Literal["safety_identifier", "user", "none"] = "safety_identifier"
    session_field: Literal["prompt_cache_key", "none"] = "prompt_cache_key"
    metadata: bool = True
    metadata_without_store: bool = True
    store: bool = True
    verbosity: bool = False
    service_tier: bool = True
    prefill_field: Literal["prefix", "continue_final_message", "none"] = "none"
    tool_choice_any: Literal["required", "any"] = "required"
    tool_result_name: bool = False
    empty_content: Literal["null", "empty", "omit"] = "null"
    text_parts: bool = True
    media_chunks: bool = False
    no_name_or_refusal: bool = False
    allowed_tools: bool = False
    document_urls: bool = False
    anthropic_version: str = "2023-06-01"
    web_search: str = ""
    web_search_options: bool = True
    mcp_servers: bool = False
    message_threads: bool = False
    code_execution: str = ""
    image_output: bool = False
    built_in_with_functions: Literal["none", "flag", "plain"] = "plain"

    @property
    def requires_reasoning_replay(self) -> bool:
        """Whether a turn with tool calls must have its reasoning when it is sent back."""
        return self.replay_reasoning == "required_on_tools"
