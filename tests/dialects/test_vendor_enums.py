"""Every finish reason and error code of the vendors' SDKs is known; others are reported."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, get_args

import pytest
from anthropic.types.beta import BetaStopReason
from cohere.types import ChatFinishReason
from google.genai.types import FinishReason
from openai.types import CompletionChoice
from openai.types.chat.chat_completion import Choice
from openai.types.responses.response import IncompleteDetails
from openai.types.responses.response_error import ResponseError
from pydantic import BaseModel

from gateway.canon.errors import GatewayError
from gateway.canon.response import Finish, unknown_finish
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from tests.dialects.full_responses import FULL_RESPONSES
from tests.each import each
from tests.fakes.bedrock_rules import shape

Json = dict[str, Any]


def texts_of(annotation: Any) -> set[str]:
    """Return the texts among the values of a type."""
    if isinstance(annotation, str):
        return {annotation}
    return {text for argument in get_args(annotation) for text in texts_of(argument)}


def values_of(model: type[BaseModel], field: str) -> set[str]:
    return texts_of(model.model_fields[field].annotation)


REASONS: dict[str, set[str]] = {
    "openai_chat": values_of(Choice, "finish_reason"),
    "openai_completions": values_of(CompletionChoice, "finish_reason"),
    "openai_responses": values_of(IncompleteDetails, "reason"),
    "anthropic_messages": texts_of(BetaStopReason),
    "gemini": {reason.value for reason in FinishReason} - {"FINISH_REASON_UNSPECIFIED"},
    "ollama": {"stop", "length", "load", "unload"},
    "cohere": texts_of(ChatFinishReason),
    "bedrock_converse": set(shape("StopReason").enum),
}


def finish_of(dialect: str, reason: str) -> Finish | None:
    """Return the finish of a provider's response with this reason; None if it is an error."""
    body: Json = deepcopy(FULL_RESPONSES[dialect])
    match dialect:
        case "openai_chat" | "openai_completions":
            body["choices"][0]["finish_reason"] = reason
        case "openai_responses":
            body |= {"status": "incomplete", "incomplete_details": {"reason": reason}}
        case "anthropic_messages":
            body["stop_reason"] = reason
        case "gemini":
            body["candidates"][0]["finishReason"] = reason
        case "ollama":
            body["done_reason"] = reason
        case "cohere":
            body["finish_reason"] = reason
        case "bedrock_converse":
            body["stopReason"] = reason
    try:
        return DIALECTS[dialect].provider.parse_response(body, Traits(), None).finish
    except GatewayError:
        return None


@pytest.mark.parametrize("dialect", REASONS)
def test_the_finish_reasons_of_the_sdk_are_known(dialect: str) -> None:
    assert REASONS[dialect]
    finishes = {reason: finish_of(dialect, reason) for reason in REASONS[dialect]}
    assert {r for r, finish in finishes.items() if finish and finish.unknown} == set()


@each("dialect", REASONS)
def test_an_unknown_finish_reason_is_reported(dialect: str) -> None:
    finish = finish_of(dialect, "a_new_reason")
    assert finish is not None
    [report] = unknown_finish(finish)
    assert (report.path, report.action, report.before) == (
        "finish_reason",
        "approximated",
        "a_new_reason",
    )


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("compaction", "pause"),
        ("PUP_LIMITED_DISABLED", "filter"),
        ("abort", "malformed"),
        ("network_error", "malformed"),
        ("sensitive", "filter"),
        ("model_context_window_exceeded", "context"),
        ("content_filter: PROHIBITED_CONTENT", "filter"),
        ("MAX_TOKENS", "length"),
    ],
)
def test_the_meaning_of_a_finish_reason(reason: str, expected: str) -> None:
    dialects = {"compaction": "anthropic_messages", "PUP_LIMITED_DISABLED": "gemini"}
    finish = finish_of(dialects.get(reason, "openai_chat"), reason)
    assert finish is not None
    assert finish.reason == expected


# --- error codes --------------------------------------------------------------------------

# Codes of a failed response that are the provider's own fault.
PROVIDER_FAULTS = {"server_error", "data_residency_mismatch"}
OTHER_KINDS = {
    "rate_limit_exceeded": "rate_limit",
    "vector_store_timeout": "timeout",
    "invalid_prompt": "content_policy",
    "bio_policy": "content_policy",
    "misalignment_policy_violation": "content_policy",
    "image_content_policy_violation": "content_policy",
}


def test_a_failed_response_is_the_providers_fault_only_if_it_says_so() -> None:
    """An image that OpenAI cannot read fails the response; another provider cannot read it either.

    As an upstream error, it would be retried elsewhere and put the target into cooldown.
    """
    codes = values_of(ResponseError, "code")
    assert codes > PROVIDER_FAULTS | OTHER_KINDS.keys()
    kinds = {}
    for code in codes:
        body = {"status": "failed", "error": {"code": code, "message": "m"}, "output": []}
        with pytest.raises(GatewayError) as failure:
            DIALECTS["openai_responses"].provider.parse_response(body, Traits(), None)
        kinds[code] = failure.value.error.kind
    images = dict.fromkeys(codes - PROVIDER_FAULTS - OTHER_KINDS.keys(), "invalid_request")
    assert kinds == images | dict.fromkeys(PROVIDER_FAULTS, "upstream_error") | OTHER_KINDS
