"""The message orders that chat templates and Mistral's API refuse, with the error messages."""

from __future__ import annotations

import itertools
import re
from typing import Any

from tests.fakes import openai_rules
from tests.fakes.openai import StrictOpenAI
from tests.fakes.openai_rules import invalid_request
from tests.fakes.script import Refusal
from tests.fakes.server import RecordedRequest

_NINE = re.compile(r"[a-zA-Z0-9]{9}")
# mistral_common.protocol.instruct.validator: what may follow a role.
_AFTER = {
    "system": {"user", "assistant", "system"},
    "user": {"assistant", "system", "user"},
    "assistant": {"assistant", "user", "tool"},
    "tool": {"assistant", "tool"},
}
_MISTRAL_FIELDS = {
    "model",
    "messages",
    "temperature",
    "top_p",
    "max_tokens",
    "min_tokens",
    "stream",
    "stop",
    "random_seed",
    "n",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "top_k",
    "logprobs",
    "top_logprobs",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "prediction",
    "reasoning_effort",
    "prompt_mode",
    "safe_prompt",
    "guardrails",
    "prompt_cache_key",
    "service_tier",
    "metadata",
}


def mistral_refusal(body: dict[str, Any]) -> Refusal | None:
    """Return the refusal of Mistral's API; None if the body is valid."""
    if unknown := set(body) - _MISTRAL_FIELDS:
        return Refusal(422, "", f"Extra inputs are not permitted: {sorted(unknown)}")
    messages = body["messages"]
    for before, message in itertools.pairwise(messages):
        if message["role"] not in _AFTER.get(before["role"], set()):
            return _order(f"Unexpected role '{message['role']}' after role '{before['role']}'")
    last = messages[-1]
    ends_with_user = last["role"] in {"user", "tool"}
    if not ends_with_user and not (last["role"] == "assistant" and last.get("prefix")):
        return _order(
            "Expected last role User or Tool (or Assistant with prefix True) for serving but "
            f"got {last['role']}"
        )
    for message in messages:
        ids = [call["id"] for call in message.get("tool_calls") or ()]
        ids += [message["tool_call_id"]] if message["role"] == "tool" else []
        for call_id in ids:
            if not _NINE.fullmatch(call_id):
                return invalid_request(
                    f"Tool call id was {call_id} but must be a-z, A-Z, 0-9, with a length of 9."
                )
        if message["role"] == "assistant" and not (
            message.get("content") or message.get("tool_calls")
        ):
            return invalid_request(
                "Assistant message must have either content or tool_calls, but not none."
            )
    return None


def azure_refusal(body: dict[str, Any]) -> Refusal | None:
    """Return the refusal of Azure OpenAI, api-version 2024-10-21; None if the body is valid."""
    for name in ("safety_identifier", "prompt_cache_key", "verbosity", "store", "metadata"):
        if name in body:
            return invalid_request(f"Unrecognized request argument supplied: {name}")
    return openai_rules.refusal(body)


def _order(message: str) -> Refusal:
    return Refusal(400, "invalid_request_message_order", message, "3230")


def template_refusal(model: str, messages: list[dict[str, Any]]) -> str | None:
    """Return the refusal of a model's chat template; None if it accepts these messages."""
    if not re.search(r"qwen|llama|gemma|mistral", model.lower()):
        return None
    if any(message["role"] == "system" for message in messages[1:]):
        return "System message must be at the beginning."
    return None


class StrictMistral(StrictOpenAI):
    """Mistral's API: its order of messages, its call ids, its fields."""

    responses = False
    models = ("mistral-large-latest", "mistral-small-latest", "devstral-medium-latest")

    def refusal(self, body: dict[str, Any]) -> Refusal | None:
        """Return the service's refusal of this body; None if it is valid."""
        return mistral_refusal(body)


class StrictVllm(StrictOpenAI):
    """vLLM with open models: ignores unknown fields and applies the chat template."""

    responses = False
    models = ("Qwen/Qwen3-32B", "google/gemma-3-27b-it", "meta-llama/Llama-3.3-70B-Instruct")

    def refusal(self, body: dict[str, Any]) -> Refusal | None:
        """Return the server's refusal of this body; None if it is valid."""
        reason = template_refusal(body["model"], body["messages"])
        return invalid_request(reason) if reason else None


class StrictAzure(StrictOpenAI):
    """Azure OpenAI: a deployment per model, and an api-version with fewer fields."""

    responses = False
    models = ("gpt-4o",)

    def _at_the_door(self, request: RecordedRequest) -> Refusal | None:
        if request.headers.get("api-key") != self.key:
            message = "Access denied due to invalid subscription key or wrong API endpoint."
            return Refusal(401, "", message, "401")
        if request.path in {f"/openai/deployments/{name}/chat/completions" for name in self.models}:
            return None
        return Refusal(404, "", "Resource not found", "404")

    def refusal(self, body: dict[str, Any]) -> Refusal | None:
        """Return the service's refusal of this body; None if it is valid."""
        return azure_refusal(body)
