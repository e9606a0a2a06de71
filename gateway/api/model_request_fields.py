"""Fields of the requests of model clients, for the OpenAPI document.

Each dialect has its vendor's fields. Fields that are not listed here are accepted too, and sent
or reported as documented in docs/crossing.md.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_STRING, _NUMBER, _INTEGER, _BOOLEAN, _OBJECT = (
    {"type": name} for name in ("string", "number", "integer", "boolean", "object")
)
_TEXTS = {"type": "array", "items": _STRING}
_OBJECTS = {"type": "array", "items": _OBJECT}
_TEXT_OR_TEXTS = {"anyOf": [_STRING, _TEXTS]}
_TEXT_OR_OBJECTS = {"anyOf": [_STRING, _OBJECTS]}
_TEXT_OR_OBJECT = {"anyOf": [_STRING, _OBJECT]}
_BOOLEAN_OR_TEXT = {"anyOf": [_BOOLEAN, _STRING]}

_MODEL = "Route, alias, model name or `provider/model`."
_TEMPERATURE = "Sampling temperature; higher values give more varied responses."
_TOP_P = "Nucleus sampling: the share of the probability mass that is considered."
_STREAM = "Whether to send the response as events while it is generated."
_USER = "Identifies the end user, for limits, budgets and the request log."
_METADATA = "Key-value pairs. `tags` select targets and appear in the request log."
_STOP = "Generation ends before any of these texts."
_TOOLS = "Tools that the model may call."
_TOOL_CHOICE = "Whether the model may, must or must not call tools, or which one."
_SEED = "For reproducible sampling, where the model supports it."
_SERVICE_TIER = "The provider's processing tier."
# https://platform.claude.com/docs/en/api/versioning
_OLD_VERSION = " Only with `anthropic-version: 2023-06-01`."
_MAX_TOKENS = "Maximum number of output tokens."


def _field_schema(schema: Schema, description: str, example: object = None) -> Schema:
    field = {**schema, "description": description}
    return field if example is None else {**field, "example": example}


_CHAT_SAMPLING = {
    "temperature": _field_schema(_NUMBER, _TEMPERATURE),
    "top_p": _field_schema(_NUMBER, _TOP_P),
    "frequency_penalty": _field_schema(
        _NUMBER, "Lowers the probability of frequent tokens; -2 to 2."
    ),
    "presence_penalty": _field_schema(_NUMBER, "Lowers the probability of used tokens; -2 to 2."),
    "logit_bias": _field_schema(_OBJECT, "Token id to a bias of -100 to 100."),
    "seed": _field_schema(_INTEGER, _SEED),
    "stop": _field_schema(_TEXT_OR_TEXTS, _STOP),
    "n": _field_schema(_INTEGER, "Number of responses. Sent as several requests where needed."),
    "stream": _field_schema(_BOOLEAN, _STREAM),
    "stream_options": _field_schema(_OBJECT, "`include_usage`: end the stream with the usage."),
    "user": _field_schema(_STRING, _USER),
}
_MESSAGES_EXAMPLE = [{"role": "user", "content": "Hello"}]

CHAT: Schema = {
    "model": _field_schema(_STRING, _MODEL, "demo"),
    "messages": _field_schema(_OBJECTS, "The conversation so far.", _MESSAGES_EXAMPLE),
    "max_completion_tokens": _field_schema(_INTEGER, _MAX_TOKENS + " Includes reasoning."),
    "max_tokens": _field_schema(_INTEGER, "The older name of `max_completion_tokens`."),
    **_CHAT_SAMPLING,
    "tools": _field_schema(_OBJECTS, _TOOLS),
    "tool_choice": _field_schema(_TEXT_OR_OBJECT, _TOOL_CHOICE),
    "parallel_tool_calls": _field_schema(_BOOLEAN, "Whether a response may call several tools."),
    "response_format": _field_schema(
        _OBJECT, "`text`, `json_object`, or `json_schema` with a schema."
    ),
    "reasoning_effort": _field_schema(
        _STRING, "How much to reason: `none`, `low`, `medium`, `high` ..."
    ),
    "verbosity": _field_schema(_STRING, "Length of the response: `low`, `medium` or `high`."),
    "modalities": _field_schema(_TEXTS, "What to generate: `text`, `audio`."),
    "audio": _field_schema(_OBJECT, "Voice and format of generated audio."),
    "prediction": _field_schema(_OBJECT, "Text that the response will mostly repeat."),
    "logprobs": _field_schema(
        _BOOLEAN, "Whether to return log probabilities of the output tokens."
    ),
    "top_logprobs": _field_schema(_INTEGER, "Number of the most likely tokens at each position."),
    "web_search_options": _field_schema(_OBJECT, "Lets the model search the web."),
    "prompt_cache_key": _field_schema(_STRING, "Groups requests that share a prefix."),
    "safety_identifier": _field_schema(_STRING, _USER),
    "service_tier": _field_schema(_STRING, _SERVICE_TIER),
    "metadata": _field_schema(_OBJECT, _METADATA),
    "store": _field_schema(_BOOLEAN, "Whether the provider stores the response."),
}

COMPLETIONS: Schema = {
    "model": _field_schema(_STRING, _MODEL, "demo"),
    "prompt": _field_schema(_TEXT_OR_TEXTS, "The text to continue, or several.", "Hello"),
    "suffix": _field_schema(_STRING, "The text after the completion."),
    "max_tokens": _field_schema(_INTEGER, _MAX_TOKENS),
    **_CHAT_SAMPLING,
    "best_of": _field_schema(_INTEGER, "Completions to generate, of which the best are returned."),
    "echo": _field_schema(_BOOLEAN, "Whether to return the prompt before the completion."),
    "logprobs": _field_schema(_INTEGER, "Number of the most likely tokens at each position."),
}

EMBEDDINGS: Schema = {
    "model": _field_schema(_STRING, _MODEL, "demo"),
    "input": _field_schema(_TEXT_OR_TEXTS, "The text to embed, or several.", "Hello"),
    "dimensions": _field_schema(_INTEGER, "Length of the vectors, where the model supports it."),
    "encoding_format": _field_schema(_STRING, "`float` or `base64`."),
    "user": _field_schema(_STRING, _USER),
}

COHERE_EMBED: Schema = {
    "model": _field_schema(_STRING, _MODEL, "demo"),
    "texts": _field_schema(_TEXTS, "The texts to embed.", ["Hello"]),
    "input_type": _field_schema(
        _STRING, "`search_document`, `search_query` ...", "search_document"
    ),
    "embedding_types": _field_schema(_TEXTS, "`float`, `int8`, `base64` ..."),
    "output_dimension": _field_schema(
        _INTEGER, "Length of the vectors, where the model supports it."
    ),
    "truncate": _field_schema(
        _STRING, "Where to cut texts that are too long: `START`, `END`, `NONE`."
    ),
}

OLLAMA_EMBED: Schema = {
    "model": _field_schema(_STRING, _MODEL, "demo"),
    "input": _field_schema(_TEXT_OR_TEXTS, "The text to embed, or several.", "Hello"),
    "dimensions": _field_schema(_INTEGER, "Length of the vectors, where the model supports it."),
    "truncate": _field_schema(_BOOLEAN, "Whether to cut texts that are too long."),
}

OLLAMA_EMBEDDINGS: Schema = {
    "model": _field_schema(_STRING, _MODEL, "demo"),
    "prompt": _field_schema(_STRING, "The text to embed.", "Hello"),
}

RESPONSES: Schema = {
    "model": _field_schema(_STRING, _MODEL, "demo"),
    "input": _field_schema(
        _TEXT_OR_OBJECTS, "A text, or a list of messages and other items.", "Hello"
    ),
    "instructions": _field_schema(_STRING, "The system message."),
    "previous_response_id": _field_schema(
        _STRING, "Continues the conversation of a stored response."
    ),
    "max_output_tokens": _field_schema(_INTEGER, _MAX_TOKENS + " Includes reasoning."),
    "max_tool_calls": _field_schema(_INTEGER, "Maximum number of calls of built-in tools."),
    "temperature": _field_schema(_NUMBER, _TEMPERATURE),
    "top_p": _field_schema(_NUMBER, _TOP_P),
    "tools": _field_schema(_OBJECTS, _TOOLS),
    "tool_choice": _field_schema(_TEXT_OR_OBJECT, _TOOL_CHOICE),
    "parallel_tool_calls": _field_schema(_BOOLEAN, "Whether a response may call several tools."),
    "reasoning": _field_schema(_OBJECT, "`effort` and `summary`."),
    "text": _field_schema(_OBJECT, "`format` (text, JSON or a JSON schema) and `verbosity`."),
    "include": _field_schema(_TEXTS, "Additional output, such as `reasoning.encrypted_content`."),
    "top_logprobs": _field_schema(_INTEGER, "Number of the most likely tokens at each position."),
    "store": _field_schema(_BOOLEAN, "Whether the gateway stores the response; true by default."),
    "background": _field_schema(
        _BOOLEAN, "Whether to respond immediately and generate in the background."
    ),
    "stream": _field_schema(_BOOLEAN, _STREAM),
    "truncation": _field_schema(
        _STRING, "`auto` drops the oldest items of a conversation that is too long."
    ),
    "prompt": _field_schema(_OBJECT, "A stored prompt: `id`, `version` and `variables`."),
    "prompt_cache_key": _field_schema(_STRING, "Groups requests that share a prefix."),
    "safety_identifier": _field_schema(_STRING, _USER),
    "user": _field_schema(_STRING, _USER),
    "service_tier": _field_schema(_STRING, _SERVICE_TIER),
    "metadata": _field_schema(_OBJECT, _METADATA),
}

ANTHROPIC_VERSION = _field_schema(_STRING, "The version of the body.", "bedrock-2023-05-31")
MESSAGES: Schema = {
    "model": _field_schema(_STRING, _MODEL, "demo"),
    "messages": _field_schema(_OBJECTS, "The conversation so far.", _MESSAGES_EXAMPLE),
    "max_tokens": _field_schema(_INTEGER, _MAX_TOKENS, 1024),
    "system": _field_schema(_TEXT_OR_OBJECTS, "The system message, as text or blocks."),
    "temperature": _field_schema(_NUMBER, _TEMPERATURE + _OLD_VERSION),
    "top_p": _field_schema(_NUMBER, _TOP_P + _OLD_VERSION),
    "top_k": _field_schema(
        _INTEGER, "Number of the most likely tokens to sample from." + _OLD_VERSION
    ),
    "stop_sequences": _field_schema(_TEXTS, _STOP),
    "stream": _field_schema(_BOOLEAN, _STREAM),
    "tools": _field_schema(_OBJECTS, _TOOLS),
    "tool_choice": _field_schema(_OBJECT, _TOOL_CHOICE),
    "thinking": _field_schema(_OBJECT, "Extended thinking: `type` and `budget_tokens`."),
    "output_config": _field_schema(_OBJECT, "`format` (a JSON schema) and `effort`."),
    "cache_control": _field_schema(_OBJECT, "Caches the prompt up to its last block."),
    "container": _field_schema(_STRING, "Container of an earlier code execution."),
    "service_tier": _field_schema(_STRING, _SERVICE_TIER),
    "metadata": _field_schema(_OBJECT, "`user_id` identifies the end user."),
}

COUNT_TOKENS: Schema = {
    name: MESSAGES[name]
    for name in ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config")
}

GENERATE_CONTENT: Schema = {
    "contents": _field_schema(
        _OBJECTS, "The conversation so far.", [{"role": "user", "parts": [{"text": "Hello"}]}]
    ),
    "systemInstruction": _field_schema(_OBJECT, "The system message, as a content of text parts."),
    "generationConfig": _field_schema(
        _OBJECT,
        "`temperature`, `topP`, `topK`, `maxOutputTokens`, `stopSequences`, `responseMimeType`, "
        "`responseJsonSchema`, `thinkingConfig` and others.",
    ),
    "tools": _field_schema(_OBJECTS, _TOOLS),
    "toolConfig": _field_schema(_OBJECT, _TOOL_CHOICE),
    "safetySettings": _field_schema(_OBJECTS, "Thresholds of the content filter."),
    "cachedContent": _field_schema(_STRING, "Name of a cached prefix of the conversation."),
}

COHERE_CHAT: Schema = {
    "model": _field_schema(_STRING, _MODEL, "demo"),
    "messages": _field_schema(_OBJECTS, "The conversation so far.", _MESSAGES_EXAMPLE),
    "max_tokens": _field_schema(_INTEGER, _MAX_TOKENS),
    "temperature": _field_schema(_NUMBER, _TEMPERATURE),
    "p": _field_schema(_NUMBER, _TOP_P),
    "k": _field_schema(_INTEGER, "Number of the most likely tokens to sample from."),
    "seed": _field_schema(_INTEGER, _SEED),
    "frequency_penalty": _field_schema(
        _NUMBER, "Lowers the probability of frequent tokens; 0 to 1."
    ),
    "presence_penalty": _field_schema(_NUMBER, "Lowers the probability of used tokens; 0 to 1."),
    "stop_sequences": _field_schema(_TEXTS, _STOP),
    "stream": _field_schema(_BOOLEAN, _STREAM),
    "tools": _field_schema(_OBJECTS, _TOOLS),
    "tool_choice": _field_schema(_STRING, "`REQUIRED` or `NONE`."),
    "strict_tools": _field_schema(_BOOLEAN, "Whether tool calls must match their schemas."),
    "documents": _field_schema(_OBJECTS, "Documents that the response can cite."),
    "citation_options": _field_schema(_OBJECT, "`mode` of the citations."),
    "response_format": _field_schema(_OBJECT, "`text`, or `json_object` with an optional schema."),
    "safety_mode": _field_schema(_STRING, "`CONTEXTUAL`, `STRICT` or `OFF`."),
    "thinking": _field_schema(_OBJECT, "Reasoning: `type` and `token_budget`."),
    "logprobs": _field_schema(
        _BOOLEAN, "Whether to return log probabilities of the output tokens."
    ),
}

CONVERSE: Schema = {
    "messages": _field_schema(
        _OBJECTS, "The conversation so far.", [{"role": "user", "content": [{"text": "Hello"}]}]
    ),
    "system": _field_schema(_OBJECTS, "The system message, as blocks."),
    "inferenceConfig": _field_schema(
        _OBJECT, "`maxTokens`, `temperature`, `topP`, `stopSequences`."
    ),
    "toolConfig": _field_schema(_OBJECT, "`tools` and `toolChoice`."),
    "outputConfig": _field_schema(_OBJECT, "`textFormat`: a JSON schema."),
    "additionalModelRequestFields": _field_schema(_OBJECT, "Other fields of the model's own API."),
    "guardrailConfig": _field_schema(_OBJECT, "A guardrail of Bedrock."),
    "requestMetadata": _field_schema(_OBJECT, "Key-value pairs for the provider's log."),
}

OLLAMA_CHAT: Schema = {
    "model": _field_schema(_STRING, _MODEL, "demo"),
    "messages": _field_schema(_OBJECTS, "The conversation so far.", _MESSAGES_EXAMPLE),
    "tools": _field_schema(_OBJECTS, _TOOLS),
    "stream": _field_schema(
        _BOOLEAN, "Whether to send the response as JSON lines; true by default."
    ),
    "format": _field_schema(_TEXT_OR_OBJECT, "`json`, or a JSON schema."),
    "options": _field_schema(
        _OBJECT, "`temperature`, `num_ctx`, `num_predict`, `stop` and others."
    ),
    "think": _field_schema(_BOOLEAN_OR_TEXT, "Whether to reason, or how much."),
    "keep_alive": _field_schema(_STRING, "How long the model stays loaded."),
}

OLLAMA_GENERATE: Schema = {
    "model": _field_schema(_STRING, _MODEL, "demo"),
    "prompt": _field_schema(_STRING, "The user's message.", "Hello"),
    "system": _field_schema(_STRING, "The system message."),
    "suffix": _field_schema(_STRING, "The text after the completion."),
    "images": _field_schema(_TEXTS, "Images in base64."),
    **{name: OLLAMA_CHAT[name] for name in ("stream", "format", "options", "think", "keep_alive")},
}
