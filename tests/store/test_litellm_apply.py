"""Rows of a LiteLLM file in the registry: created, updated and removed, others unchanged."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway import models, store
from gateway.compat.litellm.config.apply import apply
from gateway.models import RowSource
from gateway.routing.limits import Budget, Limits
from gateway.store.network_values import network_value
from tests.certificates import CertificateAuthority
from tests.litellm.make import config, entries
from tests.store.factories import model, provider, route

pytestmark = pytest.mark.django_db

GPT = {"model": "gpt-4o", "api_key": "os.environ/OPENAI_API_KEY"}
OWN = {"model": "openai/x", "api_base": "http://gpu:8000/v1", "api_key": "sk-literal-key"}


def rows() -> dict[str, list[str]]:
    tables = (models.Provider, models.Model, models.Route, models.Target, models.Alias)
    return {table.__name__: sorted(map(str, table.objects.all())) for table in tables}


def test_a_file_becomes_rows_with_their_source(tmp_path: Path) -> None:
    notes = apply(entries(tmp_path, GPT, {**OWN, "weight": 2}))
    assert notes == []
    assert rows() == {
        "Provider": ["openai", "openai-gpu-8000"],
        "Model": ["openai-gpu-8000/x", "openai/gpt-4o"],
        "Route": ["fast"],
        "Target": ["fast -> openai-gpu-8000/x", "fast -> openai/gpt-4o"],
        "Alias": [],
    }
    for table in (models.Provider, models.Model, models.Route, models.Target):
        for row in table.objects.all():
            assert row.source == RowSource.FILE
            assert row.source_ref.startswith("litellm_config.yaml:")


def test_imported_rows_load_into_the_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-outside")
    text = """
        model_list:
        - model_name: fast
          litellm_params: {model: gpt-4o, rpm: 9, timeout: 60, temperature: 0.1, max_tokens: 5}
          model_info: {input_cost_per_token: 1e-6, max_output_tokens: 77}
        - model_name: "claude-*"
          litellm_params: {model: anthropic/claude-*, api_key: sk-ant-literal}
        router_settings:
          num_retries: 4
          model_group_alias: {quick: fast}
          fallbacks: [{fast: ["claude-*"]}]
    """
    apply(config(tmp_path, text))
    snapshot = store.load_snapshot()
    assert snapshot.warnings == ()
    fast = snapshot.route("quick")
    assert fast is not None
    (target,) = fast.targets
    assert (fast.retries, fast.fallbacks, fast.default_max_output) == (4, ("claude-*",), 5)
    assert (target.weight, target.timeouts.first_byte_s, target.timeouts.idle_s) == (9, 60, 60)
    assert [edit.path for edit in target.edits] == ["temperature", "max_completion_tokens"]
    assert (target.model.price.input, target.model.traits.max_output) == (1, 77)
    assert target.model.provider.credential.reveal() == "sk-from-outside"
    wild = snapshot.route("claude-sonnet-4-5")
    assert wild is not None
    assert wild.targets[0].model.label.endswith("/claude-sonnet-4-5")
    assert wild.targets[0].model.provider.credential.reveal() == "sk-ant-literal"


def test_a_provider_drops_parameters_unless_the_file_disables_it(tmp_path: Path) -> None:
    apply(entries(tmp_path, {**OWN, "drop_params": False}, {**GPT, "model_name": "slow"}))
    drops = {name: row.drop_params for name, row in store.load_snapshot().providers.items()}
    assert drops == {"openai": True, "openai-gpu-8000": False}


@pytest.mark.parametrize("section", ["general_settings", "litellm_settings"])
def test_clients_own_credentials_are_forwarded_if_the_file_enables_it(
    tmp_path: Path, section: str
) -> None:
    bedrock = {"model_name": "cloud", "model": "bedrock/anthropic.claude-3-haiku-20240307-v1:0"}
    region = {"aws_region_name": "us-east-1"}
    sections = {section: {"forward_llm_provider_auth_headers": True}}
    apply(entries(tmp_path, GPT, {**bedrock, **region}, **sections))
    providers = store.load_snapshot().providers.values()
    forwarding = {row.auth: row.client_credential for row in providers}
    assert forwarding == {"bearer": True, "sigv4": False}


def test_no_secret_is_in_the_database_in_clear(tmp_path: Path, dump: Callable[[], str]) -> None:
    environ = {"OPENAI_API_KEY": "sk-secret-one", "TOKEN": "secret-two"}
    headers = {"x-token": "os.environ/TOKEN"}
    apply(entries(tmp_path, {**GPT, "extra_headers": headers}, OWN, environ=environ))
    text = dump()
    assert "gpt-4o" in text
    assert "secret" not in text
    assert "sk-literal-key" not in text


def test_a_header_is_looked_up_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "abc")
    row = {**OWN, "extra_headers": {"x-token": "os.environ/TOKEN"}}
    apply(entries(tmp_path, row, environ={"TOKEN": "abc"}))
    (changed_model,) = store.load_snapshot().providers.values()
    assert dict(changed_model.headers)["x-token"] == "abc"
    monkeypatch.delenv("TOKEN")
    snapshot = store.load_snapshot()
    assert snapshot.providers == {}
    assert "variable TOKEN is not set" in snapshot.warnings[0].reason


def test_the_same_file_again_changes_nothing(tmp_path: Path) -> None:
    rows_given = (GPT, OWN, {**OWN, "model_name": "claude-*"})
    apply(entries(tmp_path, *rows_given))
    before, version = rows(), store.current_version()
    assert apply(entries(tmp_path, *rows_given)) == []
    assert (rows(), store.current_version()) == (before, version)


def test_rows_that_the_file_no_longer_has_are_removed(tmp_path: Path) -> None:
    alias = {"router_settings": {"model_group_alias": {"quick": "slow"}}}
    apply(entries(tmp_path, GPT, OWN, {**OWN, "model_name": "slow"}, **alias))
    apply(entries(tmp_path, GPT))
    assert rows() == {
        "Provider": ["openai"],
        "Model": ["openai/gpt-4o"],
        "Route": ["fast"],
        "Target": ["fast -> openai/gpt-4o"],
        "Alias": [],
    }
    apply(entries(tmp_path))
    assert set(map(tuple, rows().values())) == {()}


def test_changes_of_the_file_are_applied(tmp_path: Path) -> None:
    apply(entries(tmp_path, {**OWN, "rpm": 1}))
    apply(entries(tmp_path, {**OWN, "rpm": 2, "api_key": "sk-new"}))
    assert models.Target.objects.get().weight == 2
    assert store.credential_of(models.Provider.objects.get()) == "sk-new"
    apply(entries(tmp_path, {**OWN, "api_key": "os.environ/OTHER"}))
    row = models.Provider.objects.get()
    assert (row.credential, row.credential_env) == ("", "OTHER")


def test_rows_created_by_an_operator_are_never_changed_or_removed(tmp_path: Path) -> None:
    theirs = model("gpt-5", provider("mine"))
    route("theirs", theirs)
    apply(entries(tmp_path, GPT))
    apply(entries(tmp_path))
    assert rows()["Route"] == ["theirs"]
    assert rows()["Provider"] == ["mine"]


def test_a_route_created_by_an_operator_keeps_its_name(tmp_path: Path) -> None:
    route("fast", model("gpt-5", provider("mine")))
    (note,) = apply(entries(tmp_path, GPT))
    assert note.startswith("litellm_config.yaml:")
    assert "the route fast was not created by this file; it is not changed" in note
    assert rows()["Target"] == ["fast -> mine/gpt-5"]


def test_a_provider_created_by_an_operator_gets_no_traffic_of_the_file(tmp_path: Path) -> None:
    provider("openai", base_url="https://elsewhere.example/v1")
    (note,) = apply(entries(tmp_path, GPT))
    assert "the provider openai was not created by this file; this one is named openai-" in note
    target = models.Target.objects.get()
    assert target.model.provider.name.startswith("openai-")
    assert target.model.provider.base_url == ""
    assert models.Provider.objects.get(name="openai").source == RowSource.DATABASE


def test_a_provider_found_in_the_environment_is_shared(tmp_path: Path) -> None:
    fields = {"credential_env": "OPENAI_API_KEY", "source": RowSource.ENVIRONMENT}
    provider("openai", **fields)
    assert apply(entries(tmp_path, GPT)) == []
    assert rows()["Provider"] == ["openai"]
    apply(entries(tmp_path))
    assert models.Provider.objects.get().source == RowSource.ENVIRONMENT


def test_an_alias_created_by_an_operator_keeps_its_name(tmp_path: Path) -> None:
    theirs = route("theirs", model("gpt-5", provider("mine")))
    models.Alias.objects.create(pattern="quick", route=theirs)
    alias = {"router_settings": {"model_group_alias": {"quick": "fast"}}}
    (note,) = apply(entries(tmp_path, GPT, **alias))
    assert "the alias quick was not created by this file" in note
    assert models.Alias.objects.get().route.name == "theirs"


def test_a_file_row_used_by_others_is_not_removed(tmp_path: Path) -> None:
    apply(entries(tmp_path, OWN))
    theirs = model("added", models.Provider.objects.get())
    route("theirs", theirs)
    notes = apply(entries(tmp_path))
    assert rows()["Provider"] == ["openai-gpu-8000"]
    assert rows()["Model"] == ["openai-gpu-8000/added"]
    assert "no longer in the file; it is kept because it is in use" in notes[0]


def test_a_model_not_created_by_the_file_is_not_changed(tmp_path: Path) -> None:
    existing_provider = provider("openai", credential_env="OPENAI_API_KEY")
    model("gpt-4o", existing_provider, traits={"max_output": 1})
    changed_model: dict[str, Any] = {**GPT, "model_info": {"max_tokens": 2}}
    (note,) = apply(entries(tmp_path, changed_model))
    assert "the model openai/gpt-4o was not created by this file" in note
    assert models.Model.objects.get().traits == {"max_output": 1}


def test_a_file_that_fails_halfway_writes_nothing(tmp_path: Path) -> None:
    good = entries(tmp_path, GPT, OWN)
    good.routes["fast"].fallbacks = [object()]
    with pytest.raises(TypeError):
        apply(good)
    assert set(map(tuple, rows().values())) == {()}


LIMITED: dict[str, Any] = {
    **GPT,
    "rpm": 60,
    "max_parallel_requests": 4,
    "max_budget": 2.5,
    "budget_duration": "7d",
    "default_api_key_rpm_limit": 3,
}
ALL: dict[str, Any] = {
    "litellm_settings": {"max_budget": 100, "budget_duration": "30d"},
    "general_settings": {"global_max_parallel_requests": 50},
    "router_settings": {
        "enable_pre_call_checks": True,
        "provider_budget_config": {"openai": {"budget_limit": 9, "time_period": "1d"}},
    },
}


def test_limits_and_budgets_of_a_file_apply_to_their_owners(tmp_path: Path) -> None:
    """They are written, read by the hot path, and removed with the next file."""
    assert apply(entries(tmp_path, LIMITED, **ALL)) == []
    snapshot = store.load_snapshot()
    fast = snapshot.routes["fast"]
    target = fast.targets[0]
    assert target.limits == Limits(requests_per_minute=60, concurrency=4)
    assert target.budget == Budget(week_usd=Decimal("2.5"))
    assert target.model.provider.budget == Budget(day_usd=Decimal(9))
    assert (fast.key_limits, fast.retry_before_fallback) == (Limits(requests_per_minute=3), True)
    assert snapshot.limits == Limits(concurrency=50)
    assert snapshot.budget == Budget(month_usd=Decimal(100))
    assert store.load_options().values["budget"].origin == "file"

    apply(entries(tmp_path, GPT))
    snapshot = store.load_snapshot()
    fast = snapshot.routes["fast"]
    assert (fast.targets[0].limits, fast.targets[0].budget) == (Limits(), Budget())
    assert (fast.key_limits, fast.targets[0].model.provider.budget) == (Limits(), Budget())
    assert (snapshot.limits, snapshot.budget) == (Limits(), Budget())


def test_global_settings_made_in_the_console_are_kept(tmp_path: Path) -> None:
    store.set_options({"budget": {"day_usd": "3"}})
    (note,) = apply(entries(tmp_path, GPT, litellm_settings={"max_budget": 100}))
    assert "the setting budget was not created by this file; it is not changed" in note
    assert store.load_snapshot().budget == Budget(day_usd=Decimal(3))


def test_certificates_are_columns_of_the_provider(tmp_path: Path) -> None:
    issued = CertificateAuthority().issue("client")
    pem = tmp_path / "client.pem"
    pem.write_text(f"{issued.certificate}\n{issued.key}")
    apply(entries(tmp_path, {**OWN, "ssl_verify": False, "ssl_certificate": str(pem)}))
    row = models.Provider.objects.get()
    assert row.ssl_verify is False
    assert row.client_key == issued.key.strip()
    network = network_value(row)
    assert network is not None
    assert network.client_certificate == issued.certificate.strip()
    assert apply(entries(tmp_path, {**OWN, "ssl_verify": False, "ssl_certificate": str(pem)})) == []
    assert models.Provider.objects.get().updated_at == row.updated_at
