"""Hostile input of Gemini."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.dialects.gemini import DIALECT
from tests.dialects.fuzz import FuzzInput, frames_of, json_values
from tests.dialects.gemini.make import traits

KEYS = [
    *("contents", "parts", "role", "text", "thought", "thoughtSignature", "functionCall", "id"),
    *("functionResponse", "name", "args", "response", "output", "error", "inlineData", "data"),
    *("mimeType", "fileData", "fileUri", "system_instruction", "systemInstruction", "tools"),
    *("functionDeclarations", "parameters", "parametersJsonSchema", "type", "properties"),
    *("toolConfig", "functionCallingConfig", "mode", "allowedFunctionNames", "googleSearch"),
    *("generationConfig", "generation_config", "temperature", "topK", "stopSequences"),
    *("candidateCount", "responseMimeType", "responseSchema", "responseJsonSchema"),
    *("thinkingConfig", "thinkingBudget", "thinkingLevel", "includeThoughts", "labels"),
    *("candidates", "content", "finishReason", "finishMessage", "index", "groundingMetadata"),
    *("groundingSupports", "groundingChunks", "segment", "startIndex", "endIndex", "web", "uri"),
    *("usageMetadata", "promptTokenCount", "promptFeedback", "blockReason", "code", "message"),
    *("status", "details", "violations", "retryDelay", "serviceTier", "store", "safetySettings"),
]
junk = json_values(
    KEYS,
    ["", "x", "user", "model", "STOP", "OTHER", "ANY", "LOW", "OBJECT", "{}", "ZGdtMS4=", "%"],
)
parts = st.dictionaries(st.sampled_from(KEYS[3:18]), junk, max_size=3)
contents = st.builds(
    lambda role, items: {"role": role, "parts": items},
    st.sampled_from(["user", "model", None, "function", 5]),
    st.lists(parts | junk, max_size=3),
)
bodies = st.builds(
    lambda items, more: {**more, "model": "gw", "contents": items},
    st.lists(contents, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(KEYS), junk, max_size=4),
)
chunks = st.builds(
    lambda content, reason, more: {
        **more,
        "candidates": [{"content": content, "finishReason": reason, "index": 0}],
    },
    contents,
    st.sampled_from([None, None, "STOP", "OTHER", "SAFETY", "MALFORMED_FUNCTION_CALL", 5]),
    st.dictionaries(st.sampled_from(["usageMetadata", "responseId", "modelVersion"]), junk),
)

FUZZ = FuzzInput(
    dialect=DIALECT,
    traits=traits(),
    values=junk,
    streams=st.lists(frames_of(chunks | junk), max_size=8),
    responses=chunks,
    requests=bodies
    | st.dictionaries(st.sampled_from(KEYS), junk, max_size=6).map(lambda b: {"model": "gw", **b}),
)
