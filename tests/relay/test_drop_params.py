"""Passthrough requests omit parameters that the model refuses, and report them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.canon.errors import GatewayError
from gateway.dialects import DIALECTS
from gateway.providers.catalog import PRESETS
from gateway.relay.exchange.call import Call, Exchange
from gateway.relay.translate.prepare import prepare
from gateway.routing.snapshot import Provider, Route, Snapshot, Target, model_of
from gateway.simulate import translate
from tests.fakes import anthropic_rules, openai_rules, responses_rules

Json = dict[str, Any]
Report = set[tuple[str, str]]

HI = {"role": "user", "content": "Hi"}
VERSION = {"anthropic-version": "2023-06-01"}
SAMPLING: Json = {"temperature": 0, "top_p": 0.5}
PENALTIES: Json = {"frequency_penalty": 0.5, "presence_penalty": -1, "stop": ["x"]}
STRANGE: Json = {"top_k": 5, "min_p": 0.1}


def translate_request(
    preset: str, model: str, request: Json, dialect: str = "openai_chat"
) -> tuple[Json, Report]:
    """Return the upstream body of a passthrough request, and the report."""
    request = {"model": "gw", **request}
    request |= {"input": "hi"} if dialect == "openai_responses" else {"messages": [HI]}
    translation = translate.request(dialect, preset, request, VERSION, model)
    assert translation["passthrough"]
    return translation["body"], {(row["field"], row["action"]) for row in translation["report"]}


def dropped_report(request: Json) -> Report:
    return {(name, "dropped") for name in request}


@pytest.mark.parametrize(
    ("preset", "model", "fields"),
    [
        ("openai", "gpt-5", {**SAMPLING, **PENALTIES, "logit_bias": {"5": 1}, "logprobs": True}),
        ("openai", "o3-mini", {**SAMPLING, **PENALTIES}),
        ("openai", "gpt-5.6-sol", {**SAMPLING, **PENALTIES}),
        ("openai", "gpt-4o", {"reasoning_effort": "low", **STRANGE}),
        ("openai", "gpt-4.1-mini", {"reasoning_effort": "low"}),
        ("openai", "gpt-3.5-turbo", {"reasoning_effort": "low"}),
        ("azure_openai", "gpt-4o", {"reasoning_effort": "low", **STRANGE}),
        ("azure-openai-v1", "gpt-5", {**SAMPLING, **PENALTIES}),
        ("xai", "grok-4", {**PENALTIES, "reasoning_effort": "low"}),
        ("xai", "grok-3", {"reasoning_effort": "low"}),
        ("groq", "llama-3.3-70b-versatile", {"reasoning_effort": "low", **STRANGE}),
        ("groq", "meta-llama/llama-4-scout-17b-16e-instruct", {"reasoning_effort": "low"}),
        ("cerebras", "llama3.1-8b", {"reasoning_effort": "low"}),
        ("cerebras", "llama-3.3-70b", {"reasoning_effort": "low", **STRANGE}),
    ],
)
def test_chat_requests_omit_parameters_that_the_model_refuses(
    preset: str, model: str, fields: Json
) -> None:
    refuses = openai_rules.compatible_refusal
    assert refuses(preset, {"model": model, "messages": [HI], **fields}) is not None
    body, report = translate_request(preset, model, fields)
    assert refuses(preset, body) is None
    assert body == {"model": model, "messages": [HI]}
    assert report == dropped_report(fields)


@pytest.mark.parametrize(
    ("preset", "model", "fields"),
    [
        ("openai", "gpt-4o", {**SAMPLING, **PENALTIES, "logprobs": True, "seed": 1}),
        ("openai", "gpt-5", {"reasoning_effort": "minimal", "verbosity": "low"}),
        # Told not to reason, or not told to, they take sampling fields.
        ("openai", "gpt-5.6-sol", {**SAMPLING, "reasoning_effort": "none"}),
        ("openai", "gpt-5.1", SAMPLING),
        ("xai", "grok-4", SAMPLING),
        ("xai", "grok-4.3", {"reasoning_effort": "low"}),
        ("groq", "openai/gpt-oss-120b", {"reasoning_effort": "low", **SAMPLING}),
        ("groq", "qwen/qwen3-32b", {"reasoning_effort": "default"}),
        # Nobody knows what these are.
        ("openai", "my-finetune", {**SAMPLING, **PENALTIES, **STRANGE, "reasoning_effort": "low"}),
        ("vllm", "qwen3", {**SAMPLING, **STRANGE, "reasoning_effort": "low"}),
        ("openrouter", "meta-llama/llama-3.3-70b-instruct", {"reasoning_effort": "low", **STRANGE}),
        ("together", "meta-llama/Llama-3.3-70B", {"logprobs": 1, **STRANGE}),
    ],
)
def test_accepted_parameters_are_sent_unchanged(preset: str, model: str, fields: Json) -> None:
    body, report = translate_request(preset, model, fields)
    assert body == {"model": model, "messages": [HI], **fields}
    assert report == set()


@pytest.mark.parametrize("preset", ["openai", "azure_openai", "azure-openai-v1"])
@pytest.mark.parametrize(
    ("model", "thinking", "effort"),
    [
        ("gpt-5", {"type": "enabled", "budget_tokens": 2000}, "medium"),
        ("gpt-5.1", {"type": "disabled"}, "none"),
        ("gpt-4o", {"type": "enabled", "budget_tokens": 2000}, None),
    ],
)
def test_thinking_becomes_the_effort_of_a_model_of_openai(
    preset: str, model: str, thinking: Json, effort: str | None
) -> None:
    """LiteLLM's clients send Anthropic's field in Chat requests; OpenAI rejects it."""
    request = {"model": "gw", "messages": [HI], "thinking": thinking}
    assert openai_rules.compatible_refusal(preset, {**request, "model": model}) is not None
    translation = translate.request("openai_chat", preset, request, VERSION, model)
    body = translation["body"]
    assert openai_rules.compatible_refusal(preset, body) is None
    assert body.get("reasoning_effort") == effort
    if effort is None:
        assert "thinking" in {row["field"].partition(".")[0] for row in translation["report"]}


@pytest.mark.parametrize(("preset", "model"), [("openai", "glm-5"), ("vllm", "qwen3")])
def test_thinking_reaches_models_that_may_accept_it(preset: str, model: str) -> None:
    fields = {"thinking": {"type": "enabled"}}
    body, report = translate_request(preset, model, fields)
    assert (body, report) == ({"model": model, "messages": [HI], **fields}, set())


def test_metadata_is_sent_to_openai_only_with_store() -> None:
    """OpenAI: "The 'metadata' parameter is only allowed when 'store' is enabled"."""
    metadata = {"metadata": {"trace_id": "t"}}
    body, report = translate_request("openai", "gpt-4o", metadata)
    assert openai_rules.refusal({"model": "gpt-4o", "messages": [HI], **metadata}) is not None
    assert (body, report) == ({"model": "gpt-4o", "messages": [HI]}, {("metadata", "dropped")})
    for preset, fields in (("openai", {**metadata, "store": True}), ("openrouter", metadata)):
        body, report = translate_request(preset, "gpt-4o", fields)
        assert (body, report) == ({"model": "gpt-4o", "messages": [HI], **fields}, set())


def test_a_parameter_equal_to_its_default_is_dropped_unreported() -> None:
    body, report = translate_request(
        "openai",
        "gpt-5",
        {"temperature": 1, "presence_penalty": 0, "logprobs": False, "stop": None},
    )
    assert body == {"model": "gpt-5", "messages": [HI]}
    assert report == set()


def test_too_many_stop_sequences_are_cut() -> None:
    body, report = translate_request("xai", "grok-3", {"stop": list("abcdef")})
    assert body["stop"] == list("abcd")
    assert report == {("stop", "approximated")}


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("gpt-5", SAMPLING),
        ("o3", SAMPLING),
        ("gpt-4o", {"reasoning": {"effort": "low"}}),
    ],
)
def test_responses_requests_omit_parameters_that_the_model_refuses(
    model: str, fields: Json
) -> None:
    refusal = responses_rules.refusal
    assert refusal({"model": model, "input": "hi", **fields}) is not None
    body, report = translate_request("openai", model, fields, "openai_responses")
    assert refusal(body) is None
    assert report == dropped_report(fields)


def test_newer_claudes_get_no_sampling() -> None:
    request = {"max_tokens": 9, "temperature": 0.5, "top_k": 3}
    body, report = translate_request("anthropic", "claude-opus-5-5", request, "anthropic_messages")
    assert body == {"model": "claude-opus-5-5", "messages": [HI], "max_tokens": 9}
    assert anthropic_rules.refusal(body, VERSION, counting=False) is None
    assert report == {("temperature", "dropped"), ("top_k", "dropped")}


def test_older_claude_models_get_the_sampling_fields() -> None:
    fields = {"max_tokens": 9, "temperature": 0.5, "top_k": 3}
    body, report = translate_request("anthropic", "claude-haiku-4-5", fields, "anthropic_messages")
    assert body == {"model": "claude-haiku-4-5", "messages": [HI], **fields}
    assert report == set()


def prepare_temperature(
    *, drop_params: bool = True, strict: bool = False, **known_traits: Any
) -> Any:
    """Return the upstream request to gpt-5 with a temperature, for these settings."""
    row = PRESETS["openai"]
    provider = Provider(
        id=1,
        name="p",
        preset="openai",
        dialect=row.dialect,
        base_url=row.base_url,
        drop_params=drop_params,
    )
    model = model_of(provider, "gpt-5")
    if known_traits:
        traits = msgspec.structs.replace(model.traits, **known_traits)
        declared = model.declared_traits | known_traits.keys()
        model = msgspec.structs.replace(model, traits=traits, declared_traits=declared)
    exchange = Exchange(
        request_id="r",
        endpoint="chat",
        verb="generate",
        dialect=DIALECTS["openai_chat"],
        snapshot=Snapshot(version=0),
        headers={},
        started=0.0,
    )
    exchange.body = msgspec.json.encode({"model": "gw", "messages": [HI], "temperature": 0})
    exchange.fields = msgspec.json.decode(exchange.body, type=dict[str, msgspec.Raw])
    target = Target(id=1, model=model)
    return prepare(Call(exchange), Route(id=1, name="gw", targets=(target,), strict=strict), target)


def test_the_providers_switch_does_not_change_the_body() -> None:
    assert b'"temperature":0' in prepare_temperature(drop_params=False).content
    assert b'"temperature"' not in prepare_temperature().content


def test_an_operators_traits_override_the_known_ones() -> None:
    assert b'"temperature":0' in prepare_temperature(sampling=True).content


def test_a_strict_route_refuses_the_request() -> None:
    with pytest.raises(GatewayError) as error:
        prepare_temperature(strict=True)
    assert error.value.error.param == "temperature"
