"""The words of this dialect that several of its modules use, as tables."""

from __future__ import annotations

import base64
from typing import Any

NAME = "gemini"
Json = dict[str, Any]

# Gemini 3 demands a signature under the first call of each step and takes this value
# where there is none (ai.google.dev, thought signatures).
SENTINEL = base64.b64encode(b"skip_thought_signature_validator").decode()

# A signature that stood under the part after a thought, and one under the part itself.
NEXT_PART = "thoughtSignature@0"
OWN_PART = "thoughtSignature"

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH")

CONFIG = "generationConfig"
CALLING = "toolConfig.functionCallingConfig"

# canonical field -> where this dialect's clients write it.
PATHS: dict[str, str] = {
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
    "tool_choice": CALLING,
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
TIERS = {"standard": "default", "priority": "priority", "flex": "flex"}
TIERS_OUT = {told: word for word, told in TIERS.items()}
