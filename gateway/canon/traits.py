"""What one model at one provider can do, as data that dialects consult.

Never a branch on a provider's name: a difference between providers is a value here
or an edit in `gateway.providers`. Filled from the capability table, the provider's
own model list, an operator's edit, or learned from a refusal.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """The capability flags of a target; the defaults are a plain, current Chat model.

    Attributes:
        kind: the provider preset's name; the `p` of opaque tokens.
        model: the upstream model id.
        reasoning: whether it is a reasoning model at all.
        sampling: whether temperature, top_p and top_k may be sent.
        temperature_max: the largest temperature accepted.
        penalties: whether frequency and presence penalties may be sent.
        thinking_modes: Anthropic `thinking.type` values accepted.
        thinking_always_on: whether thinking can not be turned off.
        efforts: reasoning efforts accepted, weakest first; empty: none at all.
        effort_default: the effort that holds where a request names none; empty where unknown.
        effort_map: canonical effort -> the provider's word, where the provider
            documents a coarser scale; such a mapping is not reported.
        thinking_request: how a Chat-speaking provider is told to reason:
            `reasoning_effort`, `thinking` (`{type}` object and effort),
            `reasoning` (OpenRouter's object), `none`.
        thinking_budgets: the least and most tokens of Gemini's `thinkingBudget`; empty
            for models that take a level.
        prefill: whether the last turn may be the assistant's.
        mid_system: whether a system turn may stand between other turns. A body that passes
            through in its own dialect keeps them: many operators serve other chat templates
            than the model's own, and who writes OpenAI's Chat to such a server means it.
        user_after_tool: whether a user turn may follow a tool's result at once.
        structured: the strongest output form: `schema`, `json` or `none`.
        strict_tools: whether `strict` is understood on tools.
        forced_tools: whether tool_choice may force a call.
        parallel_toggle: whether parallel calls can be switched off.
        tool_result_images: whether a tool result may hold images.
        tool_result_status: whether a tool result of Converse may say that it failed.
        mixed_results: whether a turn of Converse may hold words beside tool results.
        cache: the prompt-cache marks understood: `none`, `implicit`,
            `breakpoints` (OpenAI), `cache_control`, `cachePoint`.
        stop_max: the most stop sequences; 0 means none are accepted, None no limit.
        n_max: the most choices.
        top_k, min_p, repetition_penalty: whether that field is understood.
        max_output: the most tokens it can generate; None where unknown.
        context_window: the most tokens in and out together; None where unknown.
        embeddings: `only` for a model that makes vectors and does not chat.
        embed_max: the most inputs of one call for embeddings; None where there is no limit.
        embed_form: how Vertex AI is asked for a vector: as a `predict`ion, or by `content`, one
            at a time.
        count_form: `bare` where a token count takes the request's own body.
        default_max_output: what to send where the wire demands a limit.
        agent_max_output: the same for an agent's turn: a streamed answer that may call tools.
        max_tokens_field: the Chat name of the output limit.
        responses: whether the provider also serves the model in OpenAI's Responses, at
            the same base URL.
        completions: whether it serves the model in OpenAI's text completions, at the same
            base URL: `none`, `too`, or `only` (the model does not chat).
        responses_required_with_tools: whether tools need OpenAI's Responses API.
        reasoning_field: where Chat answers and history carry reasoning:
            `reasoning_content`, `reasoning`, `reasoning_details`, `none`; `thinking`:
            chunks of the content (Mistral).
        replay_reasoning: what a replayed thought means: `required_on_tools`,
            `ignored` or `native`.
        reasoning_summaries: whether OpenAI's Responses may be asked for summaries of thoughts
            by clients that expect them unasked; not every account may have them.
        tool_id_rule: the ids accepted: `any`, `word`, `bedrock64`, `any64`, `mistral9`.
        count_tokens: `endpoint` or `estimate`.
        system_role: the Chat role of instructions: `system` or `developer`.
        stream_options: whether `stream_options.include_usage` is understood.
        user_field: the Chat field of the end user's id: `safety_identifier`,
            `user`, `none`.
        session_field: the Chat field of the session: `prompt_cache_key` or `none`.
        metadata: whether a `metadata` map is understood.
        store: whether `store` is understood.
        verbosity: whether `verbosity` is understood.
        prefill_field: the Chat flag that says the last assistant turn is to be
            continued: `prefix` (on the message), `continue_final_message`, `none`.
        tool_choice_any: the Chat word for "some tool must be called".
        tool_result_name: whether Chat tool messages carry the tool's `name`.
        empty_content: Chat `content` of an assistant turn with only tool calls:
            `null`, `empty` (an empty string) or `omit`.
        text_parts: whether Chat `content` may be a list of text parts; else texts are
            joined into one string (DeepSeek answers 400 to a list).
        media_chunks: whether files and sound in Chat `content` are chunks of one string
            each (`document_url`, `input_audio`), as Mistral has them.
        no_name_or_refusal: whether Chat messages take neither `name` nor `refusal`.
        allowed_tools: whether `tool_choice` may name a subset of the tools; else the
            other tools are left out.
        document_urls: whether a Chat `file` may be given by URL.
        anthropic_version: the version to send when translating.
        web_search: the server tool that searches the web, as its dialect writes it
            (`web_search_20260318`, `googleSearch`; for Chat the field that asks for it,
            or the type of a tool); empty where there is none.
        built_in_with_functions: whether Gemini takes its built-in tools beside function
            declarations: `none`, `flag` (with `includeServerSideToolInvocations`, which
            Vertex AI does not know) or `plain`.
    """

    kind: str = ""
    model: str = ""
    reasoning: bool = False
    sampling: bool = True
    temperature_max: float = 2.0
    penalties: bool = True
    seed: bool = True
    thinking_modes: tuple[str, ...] = ()
    thinking_always_on: bool = False
    efforts: tuple[str, ...] = ()
    effort_default: str = ""
    effort_map: dict[str, str] = {}
    thinking_request: Literal["reasoning_effort", "thinking", "reasoning", "none"] = (
        "reasoning_effort"
    )
    thinking_budgets: tuple[int, ...] = ()
    prefill: bool = False
    mid_system: bool = True
    user_after_tool: bool = True
    structured: Literal["schema", "json", "none"] = "schema"
    tools: bool = True
    strict_tools: bool = True
    custom_tools: bool = False
    forced_tools: bool = True
    parallel_toggle: bool = True
    images: bool = True
    image_urls: bool = True
    pdf: bool = True
    audio: bool = False
    tool_result_images: bool = False
    tool_result_status: bool = True
    mixed_results: bool = True
    cache: Literal["none", "implicit", "breakpoints", "cache_control", "cachePoint"] = "implicit"
    stop_max: int | None = 4
    n_max: int = 128
    logprobs: bool = True
    logit_bias: bool = True
    top_k: bool = False
    min_p: bool = False
    repetition_penalty: bool = False
    max_output: int | None = None
    context_window: int | None = None
    embeddings: Literal["none", "only"] = "none"
    embed_max: int | None = None
    embed_form: Literal["own", "predict", "content"] = "own"
    count_form: Literal["own", "bare"] = "own"
    default_max_output: int = 8192
    agent_max_output: int = 32_000
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"
    responses: bool = False
    completions: Literal["none", "too", "only"] = "none"
    responses_required_with_tools: bool = False
    reasoning_field: Literal[
        "reasoning_content", "reasoning", "reasoning_details", "thinking", "none"
    ] = "none"
    replay_reasoning: Literal["required_on_tools", "ignored", "native"] = "ignored"
    reasoning_summaries: bool = False
    tool_id_rule: Literal["any", "word", "bedrock64", "any64", "mistral9"] = "any"
    count_tokens: Literal["endpoint", "estimate"] = "estimate"
    system_role: Literal["system", "developer"] = "system"
    stream_options: bool = True
    user_field: Literal["safety_identifier", "user", "none"] = "safety_identifier"
    session_field: Literal["prompt_cache_key", "none"] = "prompt_cache_key"
    metadata: bool = True
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
    built_in_with_functions: Literal["none", "flag", "plain"] = "plain"
