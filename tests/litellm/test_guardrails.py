"""LiteLLM's guardrails and end users become rows and settings, or are reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import store
from gateway.compat.litellm.config.apply import apply
from gateway.compat.litellm.config.rows import Config
from gateway.models import Guardrail, Route
from tests.litellm import make

MODEL = {"model_name": "gpt", "litellm_params": {"model": "openai/gpt-4.1", "api_key": "sk-x"}}


def config(directory: Path, content: dict[str, Any]) -> Config:
    return make.config(directory, yaml.safe_dump(content), {"GUARD_KEY": "guard-secret"})


def config_with_guardrails(tmp_path: Path, *guardrails: dict[str, Any], **params: Any) -> Config:
    model = {**MODEL, "litellm_params": {**MODEL["litellm_params"], **params}}  # type: ignore[dict-item]
    items = [
        {"guardrail_name": item.pop("name", "g"), "litellm_params": item} for item in guardrails
    ]
    return config(tmp_path, {"model_list": [model], "guardrails": items})


@pytest.mark.django_db
def test_a_service_keeps_its_variable_and_applies_to_all_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARD_KEY", "guard-secret")
    params = {
        "guardrail": "generic_guardrail_api",
        "mode": ["pre_call", "post_call"],
        "api_base": "https://guard.test",
        "api_key": "os.environ/GUARD_KEY",
        "unreachable_fallback": "fail_open",
        "default_on": True,
        "additional_provider_specific_params": {"threshold": 0.8},
    }
    guardrails = config_with_guardrails(tmp_path, params)
    assert guardrails.remarks == []
    assert apply(guardrails) == []
    row = Guardrail.objects.get()
    assert (row.credential, row.everywhere, row.on_error) == ("os.environ/GUARD_KEY", True, "allow")
    value = store.load_snapshot().guardrails["g"]
    assert value.credential.reveal() == "guard-secret"
    assert (value.kind, value.check_requests, value.check_responses) == ("litellm", True, True)
    apply(config(tmp_path, {"model_list": [MODEL]}))
    assert not Guardrail.objects.exists()


@pytest.mark.django_db
def test_a_model_names_its_guardrails(tmp_path: Path) -> None:
    presidio = {
        "guardrail": "presidio",
        "mode": "pre_call",
        "presidio_analyzer_api_base": "http://presidio:3000/",
        "pii_entities_config": {"EMAIL_ADDRESS": "MASK", "CREDIT_CARD": "BLOCK"},
    }
    guardrails = config_with_guardrails(tmp_path, presidio, guardrails=["g", "other"])
    assert any("there is no guardrail `other` here" in note for note in guardrails.remarks)
    apply(guardrails)
    assert Route.objects.get(name="gpt").guardrails == ["g (block)", "g (mask)"]
    snapshot = store.load_snapshot()
    actions = {g.action: g.settings.entities for g in snapshot.guardrails.values()}  # type: ignore[union-attr]
    assert actions == {"block": ("CREDIT_CARD",), "mask": ("EMAIL_ADDRESS",)}


def test_content_filters_become_patterns_and_moderation_uses_the_files_provider(
    tmp_path: Path,
) -> None:
    content_filter = {
        "name": "filter",
        "guardrail": "litellm_content_filter",
        "patterns": [
            {"pattern_type": "prebuilt", "pattern_name": "us_ssn", "action": "BLOCK"},
            {"pattern_type": "regex", "name": "ticket", "pattern": "TCK-[0-9]+", "action": "BLOCK"},
            {"pattern_type": "prebuilt", "pattern_name": "zodiac", "action": "BLOCK"},
        ],
        "blocked_words": [{"keyword": "C++", "action": "MASK"}],
    }
    moderation = {"name": "mod", "guardrail": "openai_moderation", "mode": "post_call"}
    guardrails = config_with_guardrails(tmp_path, content_filter, moderation)
    settings = {name: row.settings for name, row in guardrails.guardrails.items()}
    assert settings["filter (block)"]["pii"] == ["us_ssn"]
    assert settings["filter (mask)"]["patterns"][0]["name"] == "C++"
    assert settings["mod"] == {"provider": next(iter(guardrails.providers))}
    assert any("there is no such pattern here" in note for note in guardrails.remarks)


@pytest.mark.parametrize(
    ("params", "note"),
    [
        ({"guardrail": "lakera_v2"}, "lakera_v2 is not supported"),
        ({"guardrail": "generic_guardrail_api"}, "needs an api_base"),
        ({"guardrail": "presidio", "mode": "logging_only"}, "must be one of pre_call"),
        (
            {"guardrail": "presidio", "presidio_analyzer_api_base": "x"},
            "must be a URL with http:// or https://",
        ),
        (
            {
                "guardrail": "litellm_content_filter",
                "patterns": [{"pattern_type": "regex", "pattern": "("}],
            },
            "not a regular expression",
        ),
    ],
)
def test_omitted_guardrail_settings_are_reported(
    tmp_path: Path, params: dict[str, Any], note: str
) -> None:
    guardrails = config_with_guardrails(tmp_path, params)
    assert not guardrails.guardrails
    assert any(note in line for line in guardrails.remarks), guardrails.remarks
    assert "gpt" in guardrails.routes


@pytest.mark.django_db
def test_end_users_become_settings(tmp_path: Path) -> None:
    parsed_config = config(
        tmp_path,
        {
            "model_list": [MODEL],
            "litellm_settings": {
                "max_end_user_budget": 0.5,
                "extra_spend_tag_headers": ["X-Team", "authorization"],
            },
            "general_settings": {
                "user_header_name": "X-Forwarded-User",
                "user_header_mappings": [
                    {"header_name": "X-OpenWebUI-User-Email", "litellm_user_role": "customer"},
                    {"header_name": "X-Staff", "litellm_user_role": "internal_user"},
                ],
            },
        },
    )
    apply(parsed_config)
    snapshot = store.load_snapshot()
    assert str(snapshot.end_user_budget.total_usd) == "0.5"
    assert snapshot.end_user_headers[:2] == ("x-forwarded-user", "x-openwebui-user-email")
    assert snapshot.tag_headers == ("x-team",)
    assert any("contains a credential" in note for note in parsed_config.remarks)
    assert any("only customers are named by headers" in note for note in parsed_config.remarks)
