"""The capability tables of models, which translation depends on."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.traits import Traits
from gateway.providers.capabilities import edits_for, merge_traits, normalize_model_name, traits_for
from gateway.providers.families import FAMILIES
from tests.each import each

ANY_EFFORT = ("low", "medium", "high", "xhigh", "max")


def traits_of(preset: str, model: str, *names: str) -> tuple[Any, ...]:
    """Return some traits of a model, in the given order."""
    traits = traits_for(preset, model)
    return tuple(getattr(traits, name) for name in names)


def test_traits_have_their_provider_kind_and_model() -> None:
    assert traits_of("deepseek", "deepseek-v4-pro", "preset", "model") == (
        "deepseek",
        "deepseek-v4-pro",
    )


@each(
    ("model", "sampling", "modes", "efforts"),
    [
        ("claude-fable-5-2", False, ("adaptive",), ANY_EFFORT),
        ("claude-mythos-5-2", False, ("adaptive",), ANY_EFFORT),
        ("claude-opus-5-5", False, ("adaptive",), ANY_EFFORT),
        ("claude-opus-5", False, ("adaptive",), ANY_EFFORT),
        ("claude-sonnet-5-5", False, ("adaptive",), ANY_EFFORT),
        ("claude-sonnet-5", False, ("adaptive",), ANY_EFFORT),
        ("claude-haiku-5-5", False, ("adaptive",), ANY_EFFORT),
        ("claude-opus-4-8", False, ("adaptive",), ANY_EFFORT),
        ("claude-opus-4-7", False, ("adaptive",), ANY_EFFORT),
        ("claude-opus-4-6", True, ("adaptive", "enabled"), ("low", "medium", "high", "max")),
        ("claude-sonnet-4-6", True, ("adaptive", "enabled"), ("low", "medium", "high", "max")),
        ("claude-opus-4-5-20251101", True, ("enabled",), ("low", "medium", "high")),
        ("claude-sonnet-4-5", True, ("enabled",), ()),
        ("claude-haiku-4-5-20251001", True, ("enabled",), ()),
        ("claude-opus-4-1-20250805", True, ("enabled",), ()),
        ("claude-opus-4-20250514", True, ("enabled",), ()),
        ("claude-sonnet-4-20250514", True, ("enabled",), ()),
        ("claude-3-7-sonnet-latest", True, ("enabled",), ()),
        ("claude-3-5-haiku-20241022", True, (), ()),
        ("claude-nobody-knows-9", False, ("adaptive",), ANY_EFFORT),
    ],
)
def test_claude_models_think_and_sample_as_documented(
    model: str, sampling: bool, modes: tuple[str, ...], efforts: tuple[str, ...]
) -> None:
    features = traits_of("anthropic", model, "sampling", "reasoning_modes", "efforts")
    assert features == (sampling, modes, efforts)


@each(
    ("model", "prefill"),
    [
        ("claude-opus-4-5", True),
        ("claude-haiku-4-5", True),
        ("claude-3-5-sonnet-20241022", True),
        ("claude-sonnet-4-6", False),
        ("claude-opus-4-7", False),
        ("claude-opus-5-5", False),
        ("claude-mythos-preview", False),
    ],
)
def test_prefill_ends_with_claude_4_5(model: str, prefill: bool) -> None:
    assert traits_of("anthropic", model, "prefill") == (prefill,)


@each(
    ("model", "mid_system"),
    [
        ("claude-opus-4-8", True),
        ("claude-opus-5", True),
        ("claude-opus-5-5", True),
        ("claude-fable-5", True),
        ("claude-mythos-5-2", True),
        ("claude-opus-4-7", False),
        ("claude-sonnet-5", False),
        ("claude-sonnet-4-6", False),
        ("claude-haiku-4-5", False),
        ("claude-3-opus-latest", False),
    ],
)
def test_system_turns_in_between_are_for_some_claudes(model: str, mid_system: bool) -> None:
    assert traits_of("anthropic", model, "mid_system") == (mid_system,)


@each(
    ("model", "always_on", "forced_tools"),
    [
        ("claude-fable-5", True, True),
        ("claude-mythos-5-2", True, True),
        ("claude-mythos-preview", True, False),
        ("claude-opus-5", False, True),
    ],
)
def test_the_largest_claudes_always_think(model: str, always_on: bool, forced_tools: bool) -> None:
    features = traits_of("anthropic", model, "reasoning_always_on", "forced_tools")
    assert features == (always_on, forced_tools)


@each(
    ("model", "max_output", "window"),
    [
        ("claude-opus-5-5", 128_000, 1_000_000),
        ("claude-sonnet-4-6", 128_000, 1_000_000),
        ("claude-sonnet-4-5", 64_000, 200_000),
        ("claude-haiku-4-5", 64_000, 200_000),
        ("claude-opus-4-1", 32_000, 200_000),
        ("claude-opus-4-0", 32_000, 200_000),
        ("claude-opus-4-5", 64_000, 200_000),
        ("claude-3-7-sonnet-20250219", 64_000, 200_000),
        ("claude-3-5-sonnet-20241022", 8192, 200_000),
        ("claude-3-haiku-20240307", 4096, 200_000),
    ],
)
def test_claude_models_have_their_limits(model: str, max_output: int, window: int) -> None:
    assert traits_of("anthropic", model, "max_output", "context_window") == (max_output, window)


@each(
    ("model", "structured"),
    [
        ("claude-opus-5-5", "schema"),
        ("claude-opus-4-1", "schema"),
        ("claude-haiku-4-5", "schema"),
        ("claude-sonnet-4-20250514", "none"),
        ("claude-3-5-haiku-latest", "none"),
    ],
)
def test_structured_output_came_with_claude_4_1(model: str, structured: str) -> None:
    assert traits_of("anthropic", model, "structured") == (structured,)


def test_claude_at_another_host_keeps_its_model_traits() -> None:
    names = ("sampling", "prefill", "mid_system", "max_tokens_field")
    features = traits_of("openrouter", "anthropic/claude-sonnet-5", *names)
    assert features == (False, False, True, "max_completion_tokens")


@each(
    ("model", "efforts"),
    [
        ("o1", ("low", "medium", "high")),
        ("o3-mini", ("low", "medium", "high")),
        ("o4-mini-2025-04-16", ("low", "medium", "high")),
        ("gpt-5", ("minimal", "low", "medium", "high")),
        ("gpt-5-2025-08-07", ("minimal", "low", "medium", "high")),
        ("gpt-5-mini", ("minimal", "low", "medium", "high")),
        ("gpt-5-codex", ("low", "medium", "high")),
        ("gpt-5-pro", ("high",)),
        ("gpt-5.1", ("none", "low", "medium", "high")),
        ("gpt-5.1-2025-11-13", ("none", "low", "medium", "high")),
        ("gpt-5.1-codex-max", ("low", "medium", "high", "xhigh")),
        ("gpt-5.2", ("none", "low", "medium", "high", "xhigh")),
        ("gpt-5.2-pro", ("medium", "high", "xhigh")),
        ("gpt-5.4-mini", ("none", "low", "medium", "high", "xhigh")),
        ("gpt-5.6-sol", ("none", "low", "medium", "high", "xhigh", "max")),
        ("gpt-6-sol", ("none", "low", "medium", "high", "xhigh", "max")),
        ("gpt-6-astra", ("low", "medium", "high", "xhigh", "max")),
        ("gpt-6.1-sol", ("low", "medium", "high", "xhigh", "max")),
        ("gpt-7", ("none", "low", "medium", "high", "xhigh", "max")),
    ],
)
def test_openai_models_accept_their_own_efforts(model: str, efforts: tuple[str, ...]) -> None:
    assert traits_of("openai", model, "reasoning", "efforts") == (True, efforts)


@each("model", ["o1", "o3", "o4-mini", "gpt-5", "gpt-5.2", "gpt-6-astra"])
def test_openais_reasoning_models_reject_sampling_parameters(model: str) -> None:
    names = ("sampling", "penalties", "stop_max", "system_role")
    assert traits_of("openai", model, *names) == (False, False, 0, "developer")


@each(
    ("model", "max_output", "window"),
    [
        ("gpt-4.1", 32_768, 1_047_576),
        ("gpt-4.1-mini-2025-04-14", 32_768, 1_047_576),
        ("gpt-4o", 16_384, 128_000),
        ("gpt-4o-2024-05-13", 4096, 128_000),
        ("ft:gpt-4o-2024-08-06:acme::abc", 16_384, 128_000),
        ("gpt-4-turbo", 4096, 128_000),
        ("gpt-4-0613", 8192, 8192),
        ("gpt-3.5-turbo", 4096, 16_385),
        ("gpt-5.4", 128_000, 1_050_000),
        ("o3", 100_000, 200_000),
    ],
)
def test_openai_models_have_their_limits(model: str, max_output: int, window: int) -> None:
    assert traits_of("openai", model, "max_output", "context_window") == (max_output, window)


@each("model", ["gpt-4o", "gpt-4.1", "gpt-5-chat-latest", "gpt-3.5-turbo"])
def test_openais_chat_models_do_not_reason(model: str) -> None:
    features = traits_of("openai", model, "reasoning", "efforts", "sampling", "system_role")
    assert features[:3] == (False, (), True)


@each(
    ("model", "required"),
    [
        ("gpt-5.4", True),
        ("gpt-5.6-terra", True),
        ("gpt-6-luna", True),
        ("gpt-5.2", False),
        ("gpt-5-2025-08-07", False),
        ("gpt-4.1", False),
    ],
)
def test_newer_openai_models_need_responses_for_tools(model: str, required: bool) -> None:
    assert traits_of("openai", model, "responses_required_with_tools") == (required,)
    assert traits_of("openrouter", f"openai/{model}", "responses_required_with_tools") == (False,)


@each(
    ("model", "only"),
    [
        ("gpt-5-codex", True),
        ("gpt-5.1-codex-max", True),
        ("gpt-5.2-pro-2025-12-11", True),
        ("codex-mini-latest", True),
        ("o1-pro", True),
        ("o3-pro-2025-06-10", True),
        ("o4-mini-deep-research", True),
        ("computer-use-preview", True),
        ("gpt-5", False),
        ("gpt-5.1", False),
        ("o3", False),
        ("o4-mini", False),
    ],
)
def test_some_openai_models_are_in_responses_only(model: str, only: bool) -> None:
    assert traits_of("openai", model, "responses_only", "responses") == (only, True)
    assert traits_of("azure_openai", model, "responses_only") == (only,)
    assert traits_of("openrouter", f"openai/{model}", "responses_only") == (False,)


@each(
    ("model", "cache"),
    [("gpt-4.1", "implicit"), ("gpt-5.5", "implicit"), ("gpt-5.6", "breakpoints")],
)
def test_cache_breakpoints_came_with_gpt_5_6(model: str, cache: str) -> None:
    assert traits_of("openai", model, "cache") == (cache,)


def test_an_older_name_of_the_output_limit_is_renamed_for_reasoning_models() -> None:
    assert [edit.value for edit in edits_for("openai", "gpt-5")] == ["max_completion_tokens"]
    assert edits_for("openai", "gpt-4o") == ()
    assert edits_for("custom", "gpt-5") == ()


def test_mistral_models_have_their_traits() -> None:
    features = traits_of(
        "mistral",
        "mistral-large-latest",
        "tool_id_rule",
        "max_tokens_field",
        "tool_choice_any",
        "stream_options",
        "user_field",
        "store",
        "prefill_field",
        "efforts",
    )
    assert features[:7] == ("mistral9", "max_tokens", "any", False, "none", False, "prefix")
    assert "high" in features[7]


@pytest.mark.parametrize("model", ["ministral-8b-latest", "mistral-large-2512"])
def test_a_mistral_model_without_reasoning_receives_none(model: str) -> None:
    assert traits_for("mistral", model).replay_reasoning == "ignored"
    assert traits_for("mistral", "mistral-medium-3-5").replay_reasoning == "native"


def test_deepseek_models_have_their_traits() -> None:
    traits = traits_for("deepseek", "deepseek-v4-pro")
    assert traits.reasoning_request == "thinking"
    assert traits.replay_reasoning == "required_on_tools"
    assert traits.reasoning_field == "reasoning_content"
    assert traits.max_tokens_field == "max_tokens"
    assert traits.efforts == ("low", "high", "max")


@each(
    ("requested", "expected"),
    [("minimal", "low"), ("medium", "high"), ("xhigh", "high"), ("ultra", "max")],
)
def test_deepseek_maps_the_efforts_it_does_not_have(requested: str, expected: str) -> None:
    assert traits_for("deepseek", "deepseek-flash").effort_map[requested] == expected


@each(
    ("preset", "model", "field"),
    [
        ("vllm", "Qwen/Qwen3-32B", "reasoning"),
        ("groq", "openai/gpt-oss-120b", "reasoning"),
        ("together", "deepseek-ai/DeepSeek-V4", "reasoning"),
        ("fireworks", "accounts/fireworks/models/kimi-k2-thinking", "reasoning_content"),
        ("openrouter", "deepseek/deepseek-v4-pro", "reasoning_details"),
        ("openai", "gpt-5", "none"),
    ],
)
def test_reasoning_is_read_from_the_providers_field(preset: str, model: str, field: str) -> None:
    assert traits_of(preset, model, "reasoning_field") == (field,)


@each(
    ("preset", "model"),
    [
        ("groq", "openai/gpt-oss-20b"),
        ("ollama", "gpt-oss:20b"),
        ("vllm", "deepseek-ai/DeepSeek-R1"),
        ("ollama", "qwen3:8b"),
        ("moonshot", "kimi-k2.6"),
    ],
)
def test_an_open_weight_model_reasons_at_every_provider(preset: str, model: str) -> None:
    assert traits_of(preset, model, "reasoning") == (True,)


@each(("preset", "model"), [("ollama", "llama3.1"), ("custom", "my-model"), ("vllm", "phi-4")])
def test_an_unknown_model_has_no_reasoning(preset: str, model: str) -> None:
    assert traits_of(preset, model, "reasoning", "efforts", "max_output") == (False, (), None)


def test_an_unknown_preset_has_the_default_traits() -> None:
    assert traits_for("nobody", "m") == Traits(preset="nobody", model="m")


@each(
    ("model", "efforts"),
    [
        ("gemini-3-pro-preview", ("low", "high")),
        ("gemini-3.1-pro-preview", ("low", "medium", "high")),
        ("gemini-3.5-flash", ("minimal", "low", "medium", "high")),
        ("gemini-2.5-flash", ("none", "minimal", "low", "medium", "high")),
        ("gemini-2.0-flash", ()),
    ],
)
def test_gemini_models_accept_their_own_efforts(model: str, efforts: tuple[str, ...]) -> None:
    assert traits_of("gemini", model, "efforts") == (efforts,)


def test_routers_such_as_openrouter_accept_every_effort() -> None:
    assert "xhigh" in traits_for("openrouter", "openai/o3").efforts


@each(
    ("written", "plain"),
    [
        ("Claude-Opus-4.5", "claude-opus-4-5"),
        ("anthropic/claude-3.5-haiku", "claude-haiku-3-5"),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4-5-20251101-v1:0"),
        ("claude-4-sonnet", "claude-sonnet-4"),
        ("accounts/fireworks/models/deepseek-v3p1", "deepseek-v3p1"),
        ("ft:gpt-4o-mini:acme::1", "gpt-4o-mini"),
        ("gpt-5.6-sol", "gpt-5-6-sol"),
    ],
)
def test_capabilities_of_a_model_do_not_depend_on_the_provider(written: str, plain: str) -> None:
    assert normalize_model_name(written) == plain


@each("family", FAMILIES, ids=lambda family: family.model or "any")
def test_every_row_of_the_table_has_traits(family: Any) -> None:
    assert family.traits or family.edits
    merge_traits(Traits(), family.traits)


def test_an_operators_edit_changes_a_trait() -> None:
    changed = merge_traits(
        Traits(), {"efforts": ["low", "high"], "max_output": 7, "sampling": False}
    )
    assert (changed.efforts, changed.max_output, changed.sampling) == (("low", "high"), 7, False)


@each(
    ("override", "named"),
    [
        ({"no_such": 1}, "no_such"),
        ({"sampling": "yes"}, "sampling"),
        ({"max_output": -0.5}, "max_output"),
        ({"structured": "xml"}, "structured"),
        ({"efforts": "low"}, "efforts"),
    ],
    ids=["unknown", "text for a flag", "fraction for a count", "no such word", "no list"],
)
def test_a_wrong_override_is_refused_by_name(override: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        merge_traits(Traits(), override)


@each(
    ("model", "expected_traits"),
    [
        ("us.anthropic.claude-opus-5-v1:0", ("cachePoint", "thinking", True, True)),
        ("anthropic.claude-3-haiku-20240307-v1:0", ("none", "thinking", True, True)),
        ("us.amazon.nova-pro-v1:0", ("cachePoint", "none", True, True)),
        ("us.amazon.nova-2-lite-v1:0", ("cachePoint", "reasoning", True, True)),
        ("us.meta.llama3-3-70b-instruct-v1:0", ("none", "none", False, False)),
        ("openai.gpt-oss-120b-1:0", ("none", "reasoning_effort", False, False)),
        ("mistral.mistral-large-2402-v1:0", ("none", "none", True, False)),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/x", ("none", "none", False, False)),
    ],
)
def test_bedrocks_models_differ_by_vendor(model: str, expected_traits: tuple[Any, ...]) -> None:
    names = ("cache", "reasoning_request", "forced_tools", "tool_result_status")
    assert traits_of("bedrock", model, *names) == expected_traits


@each(
    ("model", "expected_traits"),
    [
        ("command-a-plus-05-2026", (True, True, 64_000)),
        ("command-a-reasoning-08-2025", (True, False, 32_000)),
        ("command-a-vision-07-2025", (False, True, None)),
        ("command-r-08-2024", (False, False, None)),
    ],
)
def test_cohere_models_have_their_traits(model: str, expected_traits: tuple[Any, ...]) -> None:
    assert traits_of("cohere", model, "reasoning", "images", "max_output") == expected_traits


def test_claude_has_the_same_traits_at_every_provider() -> None:
    for preset in ("vertex-anthropic", "azure-anthropic", "bedrock-anthropic"):
        name = (
            "anthropic.claude-sonnet-4-5" if preset.startswith("bedrock") else "claude-sonnet-4-5"
        )
        assert traits_of(preset, name, "reasoning_modes", "prefill", "mid_system") == (
            ("enabled",),
            True,
            False,
        )
