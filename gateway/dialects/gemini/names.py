"""Constants and lookup tables that several modules of this dialect use."""

from __future__ import annotations

import base64
from typing import Any

from gateway.canon.model_names import encode_segment

NAME = "gemini"
Json = dict[str, Any]
# Collections of models; a tuned model's name includes its collection.
COLLECTIONS = ("models", "tunedModels")

# Gemini 3 demands a signature under the first call of each step and takes this value
# where there is none (ai.google.dev, thought signatures).
SKIP_SIGNATURE = base64.b64encode(b"skip_thought_signature_validator").decode()

# Signature kinds: of the part after the reasoning, and of the reasoning part itself.
NEXT_PART_SIGNATURE = "thoughtSignature@0"
SAME_PART_SIGNATURE = "thoughtSignature"

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
THINKING_LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH")

GENERATION_CONFIG = "generationConfig"
CALLING_CONFIG = "toolConfig.functionCallingConfig"

# canonical field -> where this dialect's clients write it.
FIELD_PATHS: dict[str, str] = {
    "max_output": "generationConfig.maxOutputTokens",
    "temperature": "generationConfig.temperature",
    "top_p": "generationConfig.topP",
    "top_k": "generationConfig.topK",
    "frequency_penalty": "generationConfig.frequencyPenalty",
    "presence_penalty": "generationConfig.presencePenalty",
    "seed": "generationConfig.seed",
    "stop": "generationConfig.stopSequences",
    "n": "generationConfig.candidateCount",
    "logprobs": "generationConfig.responseLogprobs",
    "top_logprobs": "generationConfig.logprobs",
    "tool_choice": CALLING_CONFIG,
    "thinking": "generationConfig.thinkingConfig",
    "budget": "generationConfig.thinkingConfig.thinkingBudget",
    "effort": "generationConfig.thinkingConfig.thinkingLevel",
    "visible": "generationConfig.thinkingConfig.includeThoughts",
    "format": "generationConfig.responseMimeType",
    "schema": "generationConfig.responseSchema",
    "metadata": "labels",
    "service_tier": "serviceTier",
    "store": "store",
    # below the part's own path
    "signature": "thoughtSignature",
}

# `serviceTier` <-> canonical.
SERVICE_TIERS = {"standard": "default", "priority": "priority", "flex": "flex"}
WIRE_TIERS = {canonical_tier: wire_tier for wire_tier, canonical_tier in SERVICE_TIERS.items()}


def split_resource(model: str) -> tuple[str, str]:
    """The collection and the id of a model: `models` for a name that has no collection."""
    collection, slash, name = model.partition("/")
    return (collection, name) if slash and collection in COLLECTIONS else ("models", model)


def resource_path(model: str) -> str:
    """The model as two segments of a path: collection and encoded id."""
    collection, name = split_resource(model)
    return f"{collection}/{encode_segment(name)}"
