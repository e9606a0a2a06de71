"""Traits of models by family: an ordered table, later rows override earlier ones.

A row applies to a model wherever it is served, or, with `presets` or `dialect`, at these
providers. Patterns are regular expressions that match from the start of the name as
`capabilities.normalize_model_name` writes it: lower case, no vendor path, `4.5` as `4-5`.
Within a family the newest generation comes first and is the default for unknown names; rows
with the restrictions of older ones follow.

Sources: the wire documentation (state 2026-11-21), platform.claude.com and
developers.openai.com model pages, models.dev (MIT) for limits.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.request import EFFORTS
from gateway.providers.profile import Edit


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A row: traits of the models that match `model`, at these presets and this dialect.

    `edits` are for passthrough, where the request is not rendered anew.
    """

    model: str
    traits: dict[str, Any] = {}
    edits: tuple[Edit, ...] = ()
    presets: tuple[str, ...] = ()
    dialect: str = ""


OPENAI = ("openai", "azure_openai", "azure-openai-v1", "openai_responses")
CLAUDE_SURFACES = ("anthropic", "azure-anthropic", "bedrock-anthropic", "vertex-anthropic")

_REASONING_FROM_5_1 = ("none", "low", "medium", "high")
_REASONING_FROM_5_2 = (*_REASONING_FROM_5_1, "xhigh")
_REASONING_FROM_5_6 = (*_REASONING_FROM_5_2, "max")

# Reasoning models of OpenAI: o1, o3, o4-mini, GPT-5 and later except the chat models.
_O_SERIES = r"o[1-9](?![\d.a-z])"
_GPT_5 = r"(?:gpt-(?:[5-9]|[1-9]\d)(?!\d)(?!.*\bchat\b)|codex-|chat-latest$|gpt-chat-latest$)"
_OPENAI_REASONING = rf"(?:{_O_SERIES}|{_GPT_5})"
_OPENAI_MODEL = rf"(?:gpt-(?!oss)|chatgpt-|codex-|{_O_SERIES})"
_OLD_SIZE = r"(?:opus|sonnet|haiku)"
_CLAUDE_4_6 = rf"claude-{_OLD_SIZE}-4-6(?!\d)"
_CLAUDE_UP_TO_4_5 = rf"claude-(?:{_OLD_SIZE}-(?:4(?!-[6-9](?!\d))|3)|[123v]|instant)"

CLAUDE: tuple[Family, ...] = (
    # The current generation: Opus 4.7 and later, Sonnet 5, Fable, Mythos, Haiku 5.5.
    Family(
        model="claude-",
        traits={
            "reasoning": True,
            "sampling": False,
            "temperature_max": 1.0,
            "reasoning_modes": ("adaptive",),
            "efforts": ("low", "medium", "high", "xhigh", "max"),
            "prefill": False,
            "max_output": 128_000,
            "context_window": 1_000_000,
        },
    ),
    Family(
        model="claude-",
        dialect="anthropic_messages",
        traits={"auto_cache": ("tools", "system", "turns")},
    ),
    Family(
        model="claude-",
        dialect="bedrock_converse",
        traits={"auto_cache": ("tools", "system", "turns")},
    ),
    # OpenRouter documents breakpoints on text parts only.
    Family(model="claude-", presets=("openrouter",), traits={"auto_cache": ("system", "turns")}),
    Family(model=r"claude-(?:fable|mythos)", traits={"reasoning_always_on": True}),
    Family(
        model="claude-mythos-preview",
        traits={"reasoning_modes": ("adaptive", "enabled"), "forced_tools": False},
    ),
    # Mid-conversation system messages: Opus 4.8+, Opus 5+, Fable and Mythos 5+. Sonnet 5
    # has none; for Sonnet and Haiku 5.5 it is undocumented, and hoisting is always safe.
    Family(
        model=r"claude-(?:sonnet|haiku|opus-4-7|mythos-preview)",
        dialect="anthropic_messages",
        traits={"mid_system": False},
    ),
    Family(
        model=_CLAUDE_4_6,
        traits={
            "sampling": True,
            "reasoning_modes": ("adaptive", "enabled"),
            "efforts": ("low", "medium", "high", "max"),
        },
    ),
    Family(
        model=_CLAUDE_4_6,
        dialect="anthropic_messages",
        traits={"mid_system": False},
    ),
    Family(
        model=_CLAUDE_UP_TO_4_5,
        traits={
            "sampling": True,
            "reasoning_modes": ("enabled",),
            "efforts": (),
            "prefill": True,
            "max_output": 64_000,
            "context_window": 200_000,
        },
    ),
    Family(
        model=_CLAUDE_UP_TO_4_5,
        dialect="anthropic_messages",
        traits={"mid_system": False},
    ),
    # Newer searches are called from code by default, which these models cannot do:
    # "does not support programmatic tool calling".
    Family(
        model=_CLAUDE_UP_TO_4_5,
        presets=CLAUDE_SURFACES,
        traits={"web_search": "web_search_20250305"},
    ),
    # Vertex AI has only the first version of the search, calls no MCP servers and runs no code.
    Family(
        model=r"claude-",
        presets=("vertex-anthropic",),
        traits={"web_search": "web_search_20250305", "mcp_servers": False, "code_execution": ""},
    ),
    # https://platform.claude.com/docs/en/agents-and-tools/tool-use/code-execution-tool
    Family(
        model=rf"claude-(?:{_OLD_SIZE}-3|[123v]|instant)",
        traits={"code_execution": ""},
    ),
    Family(model=r"claude-opus-4-5(?!\d)", traits={"efforts": ("low", "medium", "high")}),
    Family(model=r"claude-opus-4(?!-[5-9](?!\d))", traits={"max_output": 32_000}),
    # Structured outputs and strict tools came with Opus 4.1 and Sonnet 4.5.
    Family(
        model=rf"claude-(?:{_OLD_SIZE}-(?:4(?!-[1-9](?!\d))|3)|[123v]|instant)",
        traits={"structured": "none", "strict_tools": False},
    ),
    Family(
        model=r"claude-(?:(?:opus|haiku)-3|sonnet-3(?!-7)|[123v]|instant)",
        traits={"reasoning": False, "reasoning_modes": (), "max_output": 4096},
    ),
    Family(model=r"claude-(?:sonnet|haiku)-3-5", traits={"max_output": 8192}),
)

GPT: tuple[Family, ...] = (
    Family(
        model=_OPENAI_REASONING,
        traits={
            "reasoning": True,
            "sampling": False,
            "penalties": False,
            "logprobs": False,
            "logit_bias": False,
            "stop_max": 0,
            "efforts": _REASONING_FROM_5_6,
            "max_output": 128_000,
        },
    ),
    Family(
        model=_O_SERIES,
        traits={
            "efforts": ("low", "medium", "high"),
            "max_output": 100_000,
            "context_window": 200_000,
        },
    ),
    Family(
        model=r"o1-(?:mini|preview)",
        traits={
            "efforts": (),
            "tools": False,
            "structured": "none",
            "max_output": 65_536,
            "context_window": 128_000,
        },
    ),
    Family(model=r"o3-mini", traits={"images": False, "pdf": False}),
    Family(
        model=r"gpt-5(?!-[1-9](?!\d))(?!.*chat)",
        traits={"efforts": ("minimal", "low", "medium", "high"), "context_window": 400_000},
    ),
    # They do not reason by default.
    Family(model=r"gpt-5-[1-5](?!\d)(?!.*(?:codex|pro|chat))", traits={"effort_default": "none"}),
    Family(model=r"gpt-5-1(?!\d)", traits={"efforts": _REASONING_FROM_5_1}),
    Family(model=r"gpt-5-[2-5](?!\d)", traits={"efforts": _REASONING_FROM_5_2}),
    # Reasoning of Astra and the 6.1 models cannot be disabled.
    Family(
        model=r"gpt-6-(?:astra|1(?!\d))",
        traits={"efforts": ("low", "medium", "high", "xhigh", "max")},
    ),
    Family(model=r"gpt-5(?:-1)?-codex", traits={"efforts": ("low", "medium", "high")}),
    Family(
        model=r"gpt-5-(?:1-codex-max|[23]-codex)",
        traits={"efforts": ("low", "medium", "high", "xhigh")},
    ),
    Family(model=r"gpt-5-pro", traits={"efforts": ("high",), "max_output": 272_000}),
    Family(model=r"gpt-5-[2-9]-pro", traits={"efforts": ("medium", "high", "xhigh")}),
    Family(
        model=r"gpt-5-\d-chat",
        traits={"sampling": False, "max_output": 16_384, "context_window": 128_000},
    ),
    Family(model=r"gpt-5-[12]-chat", traits={"reasoning": True, "efforts": ("medium",)}),
    Family(model=r"gpt-5-chat", traits={"max_output": 16_384, "context_window": 128_000}),
    # Models without reasoning.
    Family(
        model=r"(?:chatgpt-4o|gpt-(?:3-5|4|5-chat))", traits={"reasoning": False, "efforts": ()}
    ),
    Family(model=r"(?:chat)?gpt-4o", traits={"max_output": 16_384, "context_window": 128_000}),
    Family(model=r"gpt-4o-2024-05-13", traits={"max_output": 4096, "structured": "json"}),
    Family(model=r"gpt-4-1(?!\d)", traits={"max_output": 32_768, "context_window": 1_047_576}),
    Family(model=r"gpt-4-5", traits={"max_output": 16_384, "context_window": 128_000}),
    Family(
        model=r"gpt-4-(?:turbo|1106|0125)",
        traits={"max_output": 4096, "context_window": 128_000, "structured": "json"},
    ),
    Family(
        model=r"gpt-4(?:-0|-32k|$)",
        traits={
            "max_output": 8192,
            "context_window": 8192,
            "structured": "none",
            "images": False,
            "pdf": False,
        },
    ),
    Family(
        model=r"gpt-3-5",
        traits={
            "max_output": 4096,
            "context_window": 16_385,
            "structured": "json",
            "images": False,
            "pdf": False,
        },
    ),
    # Completion models, which do not chat.
    Family(
        model=r"(?:gpt-3-5-turbo-instruct|davinci-002|babbage-002)",
        presets=OPENAI,
        traits={
            "completions": "only",
            "tools": False,
            "structured": "none",
            "images": False,
            "pdf": False,
            "user_field": "user",
            "responses": False,
        },
    ),
    Family(model=r"gpt-(?:4o-(?:mini-)?)?audio", traits={"audio": True}),
    # At any provider: OpenAI's Chat accepts call ids of at most 40 characters.
    Family(
        model=_OPENAI_MODEL,
        dialect="openai_chat",
        traits={"tool_id_rule": "any64"},
    ),
    Family(
        model=r"gpt-.*-search-(?:preview|api)",
        traits={"sampling": False, "penalties": False, "web_search": "web_search_options"},
    ),
    # Facts of OpenAI's own APIs only.
    Family(
        model=_OPENAI_MODEL,
        presets=OPENAI,
        traits={
            "top_k": False,
            "min_p": False,
            "repetition_penalty": False,
            "object_output": True,
        },
    ),
    Family(
        model=r"(?:o1(?!-mini|-preview)|o[2-9]|gpt-(?:[5-9]|[1-9]\d)(?!\d))",
        presets=OPENAI,
        traits={"system_role": "developer"},
        # The older name is a 400 here, and some SDKs still send it.
        edits=(Edit(op="rename", path="max_tokens", value="max_completion_tokens"),),
    ),
    Family(model=_GPT_5, presets=OPENAI, traits={"verbosity": True, "custom_tools": True}),
    # An operator's own base URL may serve anything under other names.
    Family(
        model=r"(?:gpt-|chatgpt-|codex-|computer-use|o[1-9](?![\d.a-z]))",
        presets=("openai",),
        traits={"responses": True, "count_tokens": "endpoint"},
    ),
    # A deployment usually has the name of its model.
    Family(
        model=r"(?:gpt-(?:4o|4-1|[5-9]|[1-9]\d)|codex-|o[1-9](?![\d.a-z]))(?!.*(?:audio|image|tts|transcribe))",
        presets=("azure_openai", "azure-openai-v1"),
        traits={"responses": True},
    ),
    # https://developers.openai.com/api/docs/models: Chat Completions is not among the endpoints.
    Family(
        model=(
            r"(?:gpt-5(?:-\d)?-(?:codex|pro)|codex-mini|o[13]-pro|computer-use"
            r"|o(?:3|4-mini)-deep-research)"
        ),
        presets=("openai", "azure_openai", "azure-openai-v1"),
        traits={"responses_only": True},
    ),
    Family(
        model=r"gpt-(?:5-[4-9](?!\d)|[6-9]|[1-9]\d)(?!.*chat)",
        presets=OPENAI,
        traits={"responses_required_with_tools": True},
    ),
    Family(
        model=r"gpt-(?:5-[6-9](?!\d)|[6-9]|[1-9]\d)",
        presets=("openai",),
        traits={"cache": "breakpoints"},
    ),
    # https://developers.openai.com/api/docs/guides/tools: not for nano, mini reasoning models of
    # the o series and older ones.
    Family(
        model=(
            r"(?:gpt-4o(?!.*(?:audio|search|realtime|transcribe|tts|2024-05-13))"
            r"|gpt-4-1(?!\d|.*nano)|o3(?!-mini|\d)|o4-mini|gpt-(?:[5-9]|[1-9]\d)(?!\d|.*chat))"
        ),
        presets=("openai",),
        traits={"built_in_tools_in_responses": True},
    ),
)

_MISTRAL = r".*(?:mistral|mixtral|ministral|codestral|devstral|magistral|pixtral|voxtral)"

# Open-weight models reason wherever they run, mostly without an effort setting.
OPEN_FAMILIES: tuple[Family, ...] = (
    # Their chat templates reject system messages elsewhere, at any provider.
    Family(model=r".*(?:qwen|qwq|llama|gemma)", traits={"mid_system": False}),
    # "Expected last role User or Tool", "Unexpected role 'user' after role 'tool'".
    Family(model=_MISTRAL, traits={"mid_system": False, "user_after_tool": False}),
    Family(
        model=r"(?:gpt-oss|deepseek-(?:r\d|reasoner|v[4-9]|flash|pro)|qwq|qwen-?3(?!.*instruct)"
        r"|magistral|glm-(?:4-[5-9]|[5-9])|kimi-k(?:2-(?:[5-9]|thinking)|[3-9])|minimax-m[2-9]"
        r"|nemotron|.*(?:thinking|reasoning))",
        traits={"reasoning": True},
    ),
    Family(
        model=r"(?:meta-)?llama-?[\d.]+(?!.*(?:nemotron|thinking|reasoning))",
        traits={"reasoning": False, "efforts": ()},
    ),
    # "property 'top_k' is unsupported"
    Family(
        model=r"",
        presets=("groq", "cerebras"),
        traits={"top_k": False, "min_p": False, "repetition_penalty": False},
    ),
    Family(
        model=r"gpt-oss",
        traits={"efforts": ("low", "medium", "high"), "max_output": 65_536, "images": False},
    ),
    Family(model=r"deepseek-(?:r\d|v\d|reasoner|chat)", traits={"images": False}),
    Family(
        model=r"deepseek-chat$",
        presets=("deepseek", "deepseek-anthropic"),
        traits={
            "reasoning": False,
            "efforts": (),
            "reasoning_modes": (),
            "forced_tools": True,
            "replay_reasoning": "ignored",
        },
    ),
    Family(
        model=r"qwen-?3",
        presets=("groq",),
        traits={
            "efforts": ("none", "default"),
            "effort_map": dict.fromkeys(EFFORTS[1:], "default"),
        },
    ),
    # "The format defaults to raw" (console.groq.com/docs/reasoning), and at Cerebras for Qwen
    # (inference-docs.cerebras.ai/capabilities/reasoning).
    Family(
        model=r"qwen-?3(?!.*(?:instruct|coder))",
        presets=("groq", "cerebras"),
        traits={"reasoning_output": {"reasoning_format": "parsed"}},
    ),
    Family(
        model=r"(?:gpt-oss|llama-4|kimi-k2)", presets=("groq",), traits={"structured": "schema"}
    ),
    Family(
        model=(
            r"(?:open-|ministral|codestral|pixtral|devstral|voxtral|mistral-(?:nemo|embed|ocr)"
            r"|(?!magistral).*-2[45]\d\d$)"
        ),
        presets=("mistral",),
        # Mistral rejects thinking chunks for these models.
        traits={"reasoning": False, "efforts": (), "replay_reasoning": "ignored"},
    ),
    # "The model thinks minimally" without an effort
    # (docs.mistral.ai/capabilities/reasoning/adjustable); Magistral always reasons.
    Family(model=r"mistral-", presets=("mistral",), traits={"effort_default": "none"}),
    # "tool_choice 'required' is incompatible with thinking enabled", which is their default
    # (UKGovernmentBEIS/inspect_ai#5152).
    Family(
        model=r"kimi-k2-(?:[5-9]|thinking)", presets=("moonshot",), traits={"forced_tools": False}
    ),
    # It has efforts instead of `thinking`, which it rejects (mnfst/modelparams.dev#168).
    Family(
        model=r"kimi-k[3-9]",
        presets=("moonshot",),
        traits={"reasoning_request": "reasoning_effort", "efforts": ("low", "high", "max")},
    ),
    Family(model=r"minimax-m2", traits={"images": False, "max_output": 131_072}),
    Family(model=r"minimax-m3", traits={"max_output": 128_000, "context_window": 1_000_000}),
    # https://platform.minimax.io/docs/api-reference/text-openai-api
    Family(
        model=r"minimax-m[2-9]",
        presets=("minimax-openai",),
        traits={"reasoning_output": {"reasoning_split": True}},
    ),
    Family(
        model=r"minimax-m2",
        presets=("minimax",),
        # It thinks even if thinking is disabled.
        traits={"reasoning_always_on": True, "context_window": 204_800},
    ),
)

GEMINI: tuple[Family, ...] = (
    Family(
        model=r"gemini-",
        traits={
            "reasoning": True,
            "efforts": ("minimal", "low", "medium", "high"),
            "max_output": 65_536,
            "context_window": 1_048_576,
        },
    ),
    Family(model=r"gemini-[3-9].*pro", traits={"efforts": ("low", "medium", "high")}),
    Family(model=r"gemini-3-pro", traits={"efforts": ("low", "high")}),
    Family(
        model=r"gemini-2-5-flash", traits={"efforts": ("none", "minimal", "low", "medium", "high")}
    ),
    Family(
        model=r"gemini-(?:1|2-0)",
        traits={"reasoning": False, "efforts": (), "max_output": 8192},
    ),
    # Gemini 3 rejects a step whose first call has lost its thought signature.
    Family(
        model=r"gemini-",
        dialect="gemini",
        traits={
            "replay_reasoning": "required_on_tools",
            "tool_result_images": True,
            # "Please enable tool_config.include_server_side_tool_invocations to use
            # Built-in tools with Function calling."; Vertex AI does not know the field.
            "built_in_with_functions": "flag",
        },
    ),
    Family(model=r"gemini-", presets=("vertex",), traits={"built_in_with_functions": "plain"}),
    Family(model=r"gemini-[3-9].*pro", dialect="gemini", traits={"reasoning_always_on": True}),
    Family(
        model=r"gemini-[12]-",
        dialect="gemini",
        traits={
            "replay_reasoning": "native",
            "tool_result_images": False,
            # "Tool use with function calling is unsupported by the model."
            "built_in_with_functions": "none",
            # "Function calling with a response mime type: 'application/json' is unsupported"
            # (googleapis/python-genai#867).
            "structured_with_tools": False,
        },
    ),
    # https://ai.google.dev/gemini-api/docs/image-generation
    Family(
        model=r"gemini-.*-image",
        dialect="gemini",
        traits={"image_output": True, "code_execution": ""},
    ),
    Family(
        model=r"gemini-2-5-pro",
        dialect="gemini",
        traits={"reasoning_budgets": (128, 32_768), "reasoning_always_on": True},
    ),
    Family(model=r"gemini-2-5-flash", dialect="gemini", traits={"reasoning_budgets": (1, 24_576)}),
    Family(
        model=r"gemini-2-5-flash-lite",
        dialect="gemini",
        traits={"reasoning_budgets": (512, 24_576)},
    ),
)

GROK: tuple[Family, ...] = (
    Family(
        model=r"grok-",
        traits={"reasoning": True, "penalties": False, "stop_max": 0, "efforts": ()},
    ),
    Family(
        model=r"grok-(?:3(?!-mini)|2|.*non-reasoning)",
        traits={"reasoning": False, "penalties": True, "stop_max": 4},
    ),
    Family(model=r"grok-3-mini", traits={"efforts": ("low", "high")}),
    Family(model=r"grok-4-[3-9]", traits={"efforts": ("none", "low", "medium", "high")}),
    # https://docs.x.ai/docs/guides/tools/overview: from Grok 4 on.
    Family(
        model=r"grok-(?:[4-9]|[1-9]\d)(?!\d)",
        presets=("xai",),
        traits={"built_in_tools_in_responses": True},
    ),
)

# At Bedrock a name has its vendor's prefix (`us.amazon.nova-pro-v1:0`), except Claude's.
BEDROCK: tuple[Family, ...] = (
    # Caching came with Claude 3.5.
    Family(
        model=r"claude-(?:(?:opus|haiku|sonnet)-3(?!-[57])|[12v]|instant)",
        presets=("bedrock",),
        traits={"cache": "none"},
    ),
    # The preset's traits are Claude's; other models support less.
    Family(
        model=r"(?!claude-)",
        presets=("bedrock",),
        traits={
            "reasoning_request": "none",
            "strict_tools": False,
            "structured": "none",
            "parallel_toggle": False,
            "forced_tools": False,
            "top_k": False,
            "tool_result_images": False,
            "tool_result_status": False,
            "search_results": False,
            "mixed_results": False,
            "cache": "none",
            "count_tokens": "estimate",
        },
    ),
    Family(
        model=r".*nova-",
        presets=("bedrock",),
        traits={
            # "The maximum tokens you requested exceeds the model limit of 10000."
            "max_output": 10_000,
            "top_k": True,
            "nested_top_k": True,
            # docs.aws.amazon.com/nova/latest/userguide/prompting-tool-troubleshooting.html
            "plain_tool_schemas": True,
            "forced_tools": True,
            "tool_result_images": True,
            "tool_result_status": True,
            "mixed_results": True,
            "cache": "cachePoint",
            # Nova caches no tools.
            "tool_cache": False,
            # docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
            "cache_hour": False,
            "auto_cache": ("system", "turns"),
            # docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html
            "prefill": True,
            "web_search": "nova_grounding",
        },
    ),
    Family(
        model=r".*nova-2",
        presets=("bedrock",),
        traits={
            "reasoning": True,
            "reasoning_request": "reasoning",
            "efforts": ("low", "medium", "high"),
            "max_output": 65_535,
        },
    ),
    Family(
        model=r".*nova-micro",
        presets=("bedrock",),
        traits={"images": False, "tool_result_images": False},
    ),
    Family(model=r".*mistral\.", presets=("bedrock",), traits={"forced_tools": True}),
    # Llama 3.2 with 11 and 90 billion parameters and Llama 4 read images.
    Family(
        model=r".*llama3(?:-[123])?-(?:1|3|8|70|405)b",
        presets=("bedrock",),
        traits={"images": False},
    ),
    Family(
        model=r".*(?:gpt-oss|deepseek)",
        presets=("bedrock",),
        traits={"reasoning": True, "images": False},
    ),
    Family(
        model=r".*gpt-oss",
        presets=("bedrock",),
        traits={"reasoning_request": "reasoning_effort", "efforts": ("low", "medium", "high")},
    ),
)

COHERE: tuple[Family, ...] = (
    Family(
        model=r"command-a-(?:reasoning|plus)",
        presets=("cohere",),
        traits={"reasoning": True, "efforts": EFFORTS, "max_output": 32_000},
    ),
    Family(model=r"command-a-plus", presets=("cohere",), traits={"max_output": 64_000}),
    Family(
        model=r"(?:command-a-(?:vision|plus)|(?:c4ai-)?aya-vision)",
        presets=("cohere",),
        traits={"images": True},
    ),
)

# Routers that map efforts themselves; after all models, to override them.
ROUTERS: tuple[Family, ...] = (
    # Ollama's cloud models always have their maximum context.
    Family(model=r".*[:-]cloud$", presets=("ollama",), traits={"default_context": None}),
    Family(
        model=r"",
        presets=("openrouter",),
        traits={"efforts": EFFORTS},
    ),
)

# Embedding-only models, and how many texts one call may contain.
EMBEDDINGS: tuple[Family, ...] = (
    Family(
        model=(
            r"(?:.*embed|bge-(?!reranker)|gte-|e5-|multilingual-e5|all-minilm|voyage-\d"
            r"|voyage-(?:code|law|finance|context|multilingual)|jina-(?:clip|colbert)|nomic)"
        ),
        traits={"embeddings": "only"},
    ),
    Family(model=r"text-embedding", presets=OPENAI, traits={"embed_max": 2048}),
    Family(model=r".*embed", presets=("gemini", "gemini-openai"), traits={"embed_max": 100}),
    Family(model=r".*embed", presets=("vertex",), traits={"embed_max": 250}),
    # "For gemini-embedding-001, each request can only include a single input text."
    Family(model=r"gemini-embedding", presets=("vertex",), traits={"embed_max": 1}),
    Family(model=r"gemini-embedding-(?!0)", presets=("vertex",), traits={"embed_form": "content"}),
    Family(model=r".*embed", presets=("dashscope", "dashscope-cn"), traits={"embed_max": 10}),
    Family(model=r"embedding-", presets=("zhipu", "zai"), traits={"embed_max": 64}),
    Family(model=r".*", presets=("siliconflow",), traits={"embed_max": 32}),
    Family(model=r".*embed", presets=("nvidia", "cohere"), traits={"embed_max": 96}),
)

FAMILIES: tuple[Family, ...] = (
    *EMBEDDINGS,
    *CLAUDE,
    *GPT,
    *OPEN_FAMILIES,
    *GEMINI,
    *GROK,
    *BEDROCK,
    *COHERE,
    *ROUTERS,
)
