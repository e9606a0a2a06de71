"""Default parameters of an entry -> edits of the provider's request.

A parameter is sent if the client omits it. If the provider's dialect has another form of it, such
as `reasoning_effort` at Gemini, it is translated like a client's: a request with the parameter is
compared with one without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.canon.errors import GatewayError
from gateway.compat.litellm.config.inference import ResolvedModel
from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.report import Report
from gateway.dialects import DIALECTS
from gateway.providers.capabilities import traits_for

# Names of the limit of a response's length.
LIMITS = ("max_completion_tokens", "max_tokens")
# Ollama's own options (docs.ollama.com/modelfile, "PARAMETER").
_OLLAMA_OPTIONS = (
    "num_ctx",
    "num_predict",
    "num_gpu",
    "num_thread",
    "num_batch",
    "repeat_penalty",
    "repeat_last_n",
    "mirostat",
    "mirostat_eta",
    "mirostat_tau",
    "tfs_z",
    "typical_p",
)
# Its values are those of the Chat API in upper case.
_GEMINI_MODALITIES = "generationConfig.responseModalities"
# Parameters of the Chat API -> their path in each dialect, where the value is the same.
DEFAULTS: dict[str, dict[str, str]] = {
    "openai_chat": {
        name: name
        for name in (
            "temperature",
            "top_p",
            "top_k",
            "n",
            "seed",
            "stop",
            "presence_penalty",
            "frequency_penalty",
            "logit_bias",
            "logprobs",
            "top_logprobs",
            "reasoning_effort",
            "response_format",
            "service_tier",
            "user",
            "verbosity",
            "thinking",
            "audio",
            "chat_template_kwargs",
            "min_p",
            "modalities",
            "parallel_tool_calls",
            "prediction",
            "repetition_penalty",
            "store",
            "web_search_options",
        )
    },
    "openai_responses": {
        **{name: name for name in ("temperature", "top_p", "top_logprobs", "service_tier")},
        "user": "user",
        "reasoning_effort": "reasoning.effort",
        "verbosity": "text.verbosity",
    },
    "anthropic_messages": {
        "temperature": "temperature",
        "top_p": "top_p",
        "top_k": "top_k",
        "stop": "stop_sequences",
        "thinking": "thinking",
        "service_tier": "service_tier",
        "max_tokens": "max_tokens",
    },
    "ollama": {
        **{
            name: f"options.{name}"
            for name in (
                "temperature",
                "top_p",
                "top_k",
                "seed",
                "stop",
                "presence_penalty",
                "frequency_penalty",
                "min_p",
                *_OLLAMA_OPTIONS,
            )
        },
        "keep_alive": "keep_alive",
        "max_tokens": "options.num_predict",
    },
    "gemini": {
        "safety_settings": "safetySettings",
        "temperature": "generationConfig.temperature",
        "top_p": "generationConfig.topP",
        "top_k": "generationConfig.topK",
        "n": "generationConfig.candidateCount",
        "seed": "generationConfig.seed",
        "stop": "generationConfig.stopSequences",
        "presence_penalty": "generationConfig.presencePenalty",
        "frequency_penalty": "generationConfig.frequencyPenalty",
        "max_tokens": "generationConfig.maxOutputTokens",
        "modalities": _GEMINI_MODALITIES,
    },
}
# Where a provider expects a list and LiteLLM also accepts a string.
_LISTS = frozenset(
    {
        "stop_sequences",
        "inferenceConfig.stopSequences",
        "options.stop",
        "generationConfig.stopSequences",
    }
)
ALL_DEFAULTS = tuple(
    dict.fromkeys(
        name for names in DEFAULTS.values() for name in names if name not in {"max_tokens"}
    )
)
# Client dialect in which a parameter is read, if it is not Chat.
_READ_AS = {"thinking": "anthropic_messages"}
# Objects of a body whose fields are parameters of their own.
_CONTAINERS = frozenset(
    {"generationConfig", "inferenceConfig", "options", "output_config", "text", "reasoning"}
)
# Enough for any budget of reasoning tokens.
_PROBE_MAX_TOKENS = 100_000


def default_edits(params: Node, model: ResolvedModel, report: Report) -> list[dict[str, Any]]:
    """Return edits that set parameters which the client omits. Raises ConfigError."""
    parameters = DEFAULTS.get(model.preset.dialect, {})
    edits: list[dict[str, Any]] = []
    for name in ALL_DEFAULTS:
        node = params.get(name)
        if node is None:
            continue
        value = node.to_python()
        path = parameters.get(name)
        if path is None:
            translated_params = _translate_param(name, value, model)
            if not translated_params:
                report.add_skipped(node, "is not sent: the provider has no such parameter")
            edits += [_default_edit(name, path, value) for path, value in translated_params.items()]
            continue
        if path in _LISTS and isinstance(value, str):
            value = [value]
        elif path == _GEMINI_MODALITIES and isinstance(value, list):
            value = [str(modality).upper() for modality in value]
        edits.append(_default_edit(name, path, value))
    limit = params.get(*LIMITS)
    if limit is not None:
        # Chat has two names for this limit, and each model accepts one of them.
        traits = traits_for(model.preset.name, model.model)
        path = parameters.get("max_tokens") or traits.max_tokens_field
        edits.append(_default_edit("max_tokens", path, limit.integer()))
    return edits


def edit_reason(name: str) -> str:
    """Return the reason of the edits that were created for a parameter of an entry."""
    return f"litellm_params.{'max_tokens' if name in LIMITS else name}"


def _default_edit(name: str, path: str, value: Any) -> dict[str, Any]:
    return {"op": "default", "path": path, "value": value, "reason": edit_reason(name)}


def _translate_param(name: str, value: Any, model: ResolvedModel) -> dict[str, Any]:
    """Return the fields, by path, that a client's parameter adds to the provider's request."""
    reader = DIALECTS[_READ_AS.get(name, "openai_chat")].client
    traits = traits_for(model.preset.name, model.model)
    body: dict[str, Any] = {
        "model": model.model,
        "max_tokens": _PROBE_MAX_TOKENS,
        "messages": [{"role": "user", "content": "x"}],
    }
    renderer = DIALECTS[model.preset.dialect].provider
    try:
        before = renderer.render_request(reader.parse_request(body, {}), traits).body
        after = renderer.render_request(reader.parse_request({**body, name: value}, {}), traits)
    except GatewayError:
        return {}
    return dict(_added_values(before, after.body))


def _added_values(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in after.items():
        if key in _CONTAINERS and isinstance(value, dict):
            nested_defaults = before.get(key) or {}
            yield from (
                (f"{key}.{name}", v) for name, v in value.items() if name not in nested_defaults
            )
        elif key not in before:
            yield key, value
