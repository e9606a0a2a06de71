"""The provider catalog: every row is complete and found by each of its names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.providers.auth import AUTH_SCHEMES
from gateway.providers.capabilities import merge_traits
from gateway.providers.catalog import PRESETS, resolve_preset
from gateway.providers.catalog.litellm_names import match_prefix
from gateway.providers.edits import apply, check
from gateway.providers.listing import markdown
from gateway.providers.prices import entries
from gateway.providers.profile import Preset
from tests.each import each

ROOT = Path(__file__).parents[2]
LOGOS = (ROOT / "static/vendor/logos/logos.svg").read_text(encoding="utf-8")

rows = each("preset", PRESETS.values(), ids=PRESETS)


@rows
def test_a_preset_has_a_known_dialect(preset: Preset) -> None:
    assert preset.dialect in DIALECTS


@rows
def test_a_preset_has_a_base_url_or_an_example(preset: Preset) -> None:
    url = urlsplit(preset.base_url or preset.url_example)
    assert url.scheme in {"https", "http", "demo"}
    assert url.netloc
    assert not url.path.endswith("/")


@rows
def test_only_local_providers_use_plain_http(preset: Preset) -> None:
    url = urlsplit(preset.base_url)
    if url.scheme == "http":
        assert preset.local
        assert url.hostname == "127.0.0.1"


@rows
def test_the_auth_of_a_row_is_known(preset: Preset) -> None:
    assert preset.auth in AUTH_SCHEMES


@rows
def test_a_hosted_provider_names_the_variable_of_its_key(preset: Preset) -> None:
    if not preset.local and preset.base_url:
        assert preset.env
    assert all(name.isupper() for name in preset.env)


@rows
def test_a_row_points_to_the_providers_documentation(preset: Preset) -> None:
    if preset.auth != "none":
        assert preset.docs.startswith("https://")


@rows
def test_the_traits_of_a_row_are_traits(preset: Preset) -> None:
    assert merge_traits(Traits(), preset.traits)


@rows
def test_the_edits_of_a_row_can_be_carried_out(preset: Preset) -> None:
    for edit in preset.edits:
        check(edit)


@rows
def test_an_edit_that_loses_something_has_a_reason(preset: Preset) -> None:
    assert all(edit.reason for edit in preset.edits if edit.op in {"drop", "min", "max"})


@rows
def test_the_price_list_of_a_row_exists(preset: Preset) -> None:
    assert not preset.prices or entries(preset.prices)


@rows
def test_a_row_is_found_by_each_of_its_names(preset: Preset) -> None:
    for name in (preset.name, *preset.aliases, *preset.litellm):
        assert resolve_preset(name) is preset


def test_a_provider_name_is_unique() -> None:
    names = [
        name.replace("-", "_")
        for preset in PRESETS.values()
        for name in {preset.name, *preset.aliases, *preset.litellm}
    ]
    assert sorted(names) == sorted(set(names))


@each(
    ("name", "preset"),
    [
        ("openai_chat", "openai"),
        ("anthropic_messages", "anthropic"),
        ("anthropic", "anthropic"),
        ("azure_openai", "azure_openai"),
        ("azure", "azure_openai"),
        ("deepseek", "deepseek"),
        ("mistral", "mistral"),
        ("together_ai", "together"),
        ("fireworks_ai", "fireworks"),
        ("hosted_vllm", "vllm"),
        ("ollama_chat", "ollama"),
        ("lm_studio", "lmstudio"),
        ("custom_anthropic", "custom-anthropic"),
        ("DeepSeek-Anthropic", "deepseek-anthropic"),
    ],
)
def test_the_names_of_cases_and_of_litellm_resolve(name: str, preset: str) -> None:
    actual_preset = resolve_preset(name)
    assert actual_preset is not None
    assert actual_preset.name == preset


@each("name", ["", "no-such-provider", "openai/gpt-4o"])
def test_an_unknown_name_resolves_to_nothing(name: str) -> None:
    assert resolve_preset(name) is None


def test_azure_has_its_deployment_in_the_path() -> None:
    azure = PRESETS["azure_openai"]
    path = azure.paths["generate"].replace("{model}", "DEPLOY")
    query = "&".join(f"{name}={value}" for name, value in azure.query)
    assert f"{azure.url_example}{path}?{query}" == (
        "https://RES.openai.azure.com/openai/deployments/DEPLOY/chat/completions"
        "?api-version=2024-10-21"
    )


def test_the_page_about_providers_shows_the_catalog() -> None:
    """Update it with `python -m gateway.providers.listing > docs/providers.md`."""
    assert (ROOT / "docs" / "providers.md").read_text(encoding="utf-8") == markdown()


@rows
def test_a_catalog_row_is_complete(preset: Preset) -> None:
    """Pages show a row's title, URL, authentication, documentation and logo."""
    assert preset.title
    assert preset.base_url or preset.url_example
    assert preset.env or preset.auth == "none" or preset.name.startswith("custom")
    assert preset.docs or preset.name == "demo"
    logo = preset.logo or preset.name
    assert f'id="{logo}"' in LOGOS, f"the sprite of logos has no {logo}"


@rows
def test_a_row_that_keeps_the_model_out_of_the_body_has_it_in_the_path(preset: Preset) -> None:
    for verb in preset.model_in_path:
        assert "{model}" in preset.paths[verb]
        assert "{model}" in preset.paths["stream" if verb == "generate" else verb]


def test_at_least_40_presets_use_openai_chat() -> None:
    chat_presets = [preset for preset in PRESETS.values() if preset.dialect == "openai_chat"]
    assert len(chat_presets) >= 40


@each(
    ("written", "preset", "model", "region"),
    [
        ("hosted_vllm/org/m", "vllm", "org/m", ""),
        ("together_ai/m", "together", "m", ""),
        ("bedrock/converse/m", "bedrock", "m", ""),
        ("bedrock/us-gov-west-1/m", "bedrock", "m", "us-gov-west-1"),
        ("vertex_ai/claude-opus-5@20260101", "vertex-anthropic", "claude-opus-5@20260101", ""),
        ("vertex_ai/gemini-3-pro", "vertex", "gemini-3-pro", ""),
        ("vertex_ai/mistral-large", "vertex-openai", "mistral-large", ""),
        ("azure_ai/Claude-Opus-5", "azure-anthropic", "Claude-Opus-5", ""),
        ("azure_ai/grok-4", "azure_ai", "grok-4", ""),
        ("openai/responses/gpt-5", "openai", "gpt-5", ""),
    ],
)
def test_litellm_provider_names_resolve(written: str, preset: str, model: str, region: str) -> None:
    prefix, _, name = written.partition("/")
    match = match_prefix(prefix, name)
    assert match is not None
    assert (match.preset.name, match.model, match.region) == (preset, model, region)


def test_an_unknown_litellm_prefix_has_no_match() -> None:
    assert match_prefix("no_such_prefix", "m") is None


@each("name", ["groq", "fireworks"])
def test_litellm_specific_fields_are_removed_where_refused(name: str) -> None:
    marked = {"role": "assistant", "content": "a", "provider_specific_fields": {"refusal": None}}
    body, report = apply(PRESETS[name].edits, {"messages": [marked]})
    assert body["messages"] == [{"role": "assistant", "content": "a"}]
    assert [note.path for note in report] == ["messages[0].provider_specific_fields"]


@each("name, sent", [("groq", {}), ("cerebras", {"reasoning": "r"})])
def test_reasoning_that_a_client_sends_back_is_in_an_accepted_field(
    name: str, sent: dict[str, str]
) -> None:
    """Groq and Cerebras reject `reasoning_content`, which other providers require."""
    details = [{"type": "reasoning.text", "text": "r"}]
    marked = {
        "role": "assistant",
        "content": "a",
        "reasoning_content": "r",
        "reasoning_details": details,
    }
    body, report = apply(PRESETS[name].edits, {"messages": [marked]})
    assert body["messages"] == [{"role": "assistant", "content": "a", **sent}]
    assert "messages[0].reasoning_details" in [note.path for note in report]


@each("name, limit", [("fireworks", 5), ("xai", 8)])
def test_more_alternatives_than_a_provider_returns_are_reported(name: str, limit: int) -> None:
    """Fireworks' and xAI's SDKs document the range of `top_logprobs`."""
    body, report = apply(PRESETS[name].edits, {"logprobs": True, "top_logprobs": 20})
    assert body == {"logprobs": True, "top_logprobs": limit}
    assert [(note.path, note.action) for note in report] == [("top_logprobs", "approximated")]


def test_groq_gets_no_field_that_it_does_not_support() -> None:
    unknown = {"prompt_cache_key": "k", "verbosity": "low", "safety_identifier": "u"}
    body, report = apply(PRESETS["groq"].edits, {"model": "m", **unknown})
    assert body == {"model": "m"}
    assert {note.path for note in report} == set(unknown)
