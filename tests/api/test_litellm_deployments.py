"""LiteLLM's endpoints that add and delete models, with the requests of its documentation."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from gateway import store
from gateway.models import Alias, Model, Provider, Route, RowSource, Target
from tests.each import each

SECRET = "sk-provider-secret-0123456789"
AZURE = {
    "model_name": "my-model",
    "litellm_params": {
        "model": "openai/gpt-4o",
        "api_key": SECRET,
        "api_base": "https://proxy.example.com/v1",
        "weight": 2,
    },
    "model_info": {"id": "anything", "description": "mine"},
}


def post(api: Client, path: str, body: Any, status: int = 200) -> Any:
    response = api.post(path, json.dumps(body), content_type="application/json")
    assert response.status_code == status, response.content
    assert SECRET.encode() not in response.content
    return response.json()


def test_a_model_is_added_and_deleted(api: Client) -> None:
    added = post(api, "/model/new", AZURE)
    assert (added["model_name"], added["litellm_params"]["model"]) == ("my-model", "openai/gpt-4o")
    route = store.load_snapshot().route("my-model")
    assert route is not None
    (target,) = route.targets
    assert target.model.provider.base_url == "https://proxy.example.com/v1"
    assert store.credential_of(Provider.objects.get()) == SECRET
    response = api.get("/model/info", {"litellm_model_id": added["model_id"]}).json()["data"]
    assert [row["model_name"] for row in response] == ["my-model"]
    # Another deployment of the same name is a further target.
    params = {**AZURE["litellm_params"], "model": "openai/gpt-4.1"}  # type: ignore[dict-item]
    second = post(api, "/model/new", {**AZURE, "litellm_params": params})
    models = [t.model.name for t in Route.objects.get().targets.order_by("pk")]
    assert models == ["gpt-4o", "gpt-4.1"]
    assert Provider.objects.count() == 1
    for number, row in enumerate((second, added)):
        message = post(api, "/model/delete", {"id": row["model_id"]})["message"]
        assert message == f"Model: {row['model_id']} deleted successfully"
        assert Route.objects.count() == 1 - number
    post(api, "/model/delete", {"id": added["model_id"]}, 400)


def test_a_model_is_changed_and_keeps_its_id(api: Client) -> None:
    """The requests of docs.litellm.ai/docs/proxy/model_management."""
    added = post(api, "/model/new", AZURE)
    info = {"id": added["model_id"]}
    body = {"litellm_params": {"model": "openai/gpt-4.1", "weight": 7}, "model_info": info}
    changed = post(api, "/model/update", body)
    assert changed["model_id"] == added["model_id"]
    assert (changed["model_name"], changed["litellm_params"]["model"]) == (
        "my-model",
        "openai/gpt-4.1",
    )
    (target,) = Target.objects.all()
    assert target.weight == 7
    assert target.model.provider.base_url == "https://proxy.example.com/v1"
    assert store.credential_of(target.model.provider) == SECRET
    # Other parameters stay when only one is sent, and another name is another route.
    body = {
        "model_name": "other",
        "litellm_params": {"order": 2, "tags": ["paid"]},
        "model_info": info,
    }
    post(api, "/model/update", body)
    (target,) = Target.objects.all()
    assert (target.route.name, target.order, target.weight) == ("other", 2, 7)
    assert target.model.name == "gpt-4.1"
    assert [row.name for row in Route.objects.all()] == ["other"]


def prices_of(target: Target) -> dict[str, Decimal]:
    names = ("input", "output", "cache_read", "cache_write")
    prices = {name: getattr(target.model, f"price_{name}") for name in names}
    return {name: price for name, price in prices.items() if price is not None}


@each("field", ["litellm_params", "model_info"])
def test_an_update_changes_prices(api: Client, field: str) -> None:
    params = {**AZURE["litellm_params"], "input_cost_per_token": 1e-6}  # type: ignore[dict-item]
    added = post(api, "/model/new", {"model_name": f"m-{field}", "litellm_params": params})
    info = {"id": added["model_id"]}
    costs = {
        "input_cost_per_token": 2e-6,
        "output_cost_per_token": 3e-6,
        "cache_read_input_token_cost": 0,
        "cache_creation_input_token_cost": 2.5e-6,
    }
    body: dict[str, Any] = {"litellm_params": {}, "model_info": info}
    changed = post(api, "/model/update", {**body, field: {**body[field], **costs}})
    assert {name: changed["model_info"][name] for name in costs} == costs
    target = Target.objects.get(pk=added["model_id"])
    prices = {"input": 2, "output": 3, "cache_read": 0, "cache_write": Decimal("2.5")}
    assert prices_of(target) == prices
    # Prices that are not sent stay.
    update = {"litellm_params": {"output_cost_per_token": 4e-6}, "model_info": info}
    post(api, "/model/update", update)
    assert prices_of(Target.objects.get(pk=target.pk)) == {**prices, "output": 4}
    # Null removes one.
    removal = {**body, field: {**body[field], "cache_creation_input_token_cost": None}}
    post(api, "/model/update", removal)
    del prices["cache_write"]
    assert prices_of(Target.objects.get(pk=target.pk)) == {**prices, "output": 4}
    route = store.load_snapshot().route(f"m-{field}")
    assert route is not None
    assert route.targets[0].model.price.output == 4
    post(api, "/model/delete", {"id": added["model_id"]})


def test_a_new_deployment_of_a_known_model_sets_its_prices_and_says_so(api: Client) -> None:
    post(api, "/model/new", AZURE)
    params = {**AZURE["litellm_params"], "input_cost_per_token": 2e-6}  # type: ignore[dict-item]
    info = {"max_input_tokens": 1000}
    body = {"model_name": "other", "litellm_params": params, "model_info": info}
    added = post(api, "/model/new", body)
    (row,) = Model.objects.all()
    assert (row.price_input, row.traits["context_window"]) == (2, 1000)
    assert "also apply to its other targets" in added["notes"][0]


def test_a_model_of_a_file_keeps_its_prices(api: Client) -> None:
    info = {"id": post(api, "/model/new", AZURE)["model_id"]}
    Model.objects.update(source=RowSource.FILE, source_ref="x.yaml:1")
    body = {"litellm_params": {"input_cost_per_token": 2e-6}, "model_info": info}
    assert "not changed" in post(api, "/model/update", body)["notes"][0]
    assert Model.objects.get().price_input is None


def test_another_provider_does_not_get_the_old_credential(api: Client) -> None:
    info = {"id": post(api, "/model/new", AZURE)["model_id"]}
    params = {"model": "anthropic/claude-sonnet-4-5", "api_key": "sk-ant-other"}
    post(api, "/model/update", {"litellm_params": params, "model_info": info})
    provider = Target.objects.get().model.provider
    assert provider.preset == "anthropic"
    assert store.credential_of(provider) == "sk-ant-other"
    assert provider.base_url != "https://proxy.example.com/v1"


def updated(api: Client, added: Any, **params: Any) -> Target:
    post(api, "/model/update", {"litellm_params": params, "model_info": {"id": added["model_id"]}})
    return Target.objects.get()


def test_parameters_of_the_request_are_changed_one_by_one(api: Client) -> None:
    custom_params = {
        "temperature": 0.1,
        "max_tokens": 100,
        "extra_body": {"seed_bank": 1, "zone": "a"},
        "additional_drop_params": ["user"],
    }
    params = {**AZURE["litellm_params"], **custom_params}  # type: ignore[dict-item]
    added = post(api, "/model/new", {**AZURE, "litellm_params": params})
    target = updated(api, added, temperature=0.9, max_completion_tokens=200, top_p=0.5)
    assert _edits(target) == {
        ("default", "temperature", 0.9),
        ("default", "top_p", 0.5),
        ("default", target.edits[-1]["path"], 200),
        ("set", "seed_bank", 1),
        ("set", "zone", "a"),
        ("drop", "user", None),
    }
    target = updated(
        api, added, extra_body={"zone": "b"}, additional_drop_params=["stop"], top_p=None
    )
    assert _edits(target) == {
        ("default", "temperature", 0.9),
        ("default", target.edits[1]["path"], 200),
        ("set", "zone", "b"),
        ("drop", "stop", None),
    }
    assert target.weight == 2


def _edits(target: Target) -> set[tuple[Any, ...]]:
    return {(edit["op"], edit["path"], edit.get("value")) for edit in target.edits}


def test_a_changed_parameter_replaces_the_stored_value(api: Client) -> None:
    """A new value may use other provider fields; no field of the old value remains."""
    params = {"model": "anthropic/claude-sonnet-4-5", "api_key": SECRET, "reasoning_effort": "high"}
    added = post(api, "/model/new", {"model_name": "a", "litellm_params": params})
    assert Target.objects.get().edits
    assert updated(api, added, reasoning_effort=None).edits == []


def test_fields_missing_from_an_update_are_unchanged(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROXY_KEY", SECRET)
    params = {
        "model": "openai/gpt-4o",
        "api_key": "os.environ/PROXY_KEY",
        "api_base": "https://proxy.example.com/v1",
        "extra_headers": {"x-zone": "a"},
        "drop_params": False,
    }
    added = post(api, "/model/new", {"model_name": "a", "litellm_params": params})
    for changes in ({"weight": 5}, {"temperature": 0.5}, {"model": "openai/gpt-4.1"}):
        provider = updated(api, added, **changes).model.provider
        assert provider.credential_env == "PROXY_KEY"
        assert provider.base_url == "https://proxy.example.com/v1"
        assert provider.headers == {"x-zone": "a"}
        assert provider.drop_params is False
    assert Target.objects.get().model.name == "gpt-4.1"


def test_a_model_whose_variable_is_not_set_is_updated(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROXY_KEY", SECRET)
    params = {"model": "openai/gpt-4o", "api_key": "os.environ/PROXY_KEY"}
    added = post(api, "/model/new", {"model_name": "a", "litellm_params": params})
    monkeypatch.delenv("PROXY_KEY")
    target = updated(api, added, weight=5)
    assert (target.weight, target.model.provider.credential_env) == (5, "PROXY_KEY")


def test_a_stored_key_is_not_sent_to_another_server(api: Client) -> None:
    info = {"id": post(api, "/model/new", AZURE)["model_id"]}
    moved = {"api_base": "https://attacker.example.com/v1"}
    body = {"litellm_params": moved, "model_info": info}
    error = post(api, "/model/update", body, 400)["error"]
    assert error["param"] == "litellm_params.api_key"
    assert "enter the key again" in error["message"]
    assert Target.objects.get().model.provider.base_url == "https://proxy.example.com/v1"
    assert Provider.objects.count() == 1
    # Another path of the same server, or with a new key.
    post(
        api, "/model/update", {**body, "litellm_params": {"api_base": "https://proxy.example.com"}}
    )
    post(api, "/model/update", {**body, "litellm_params": {**moved, "api_key": "sk-new-key"}})
    assert store.credential_of(Target.objects.get().model.provider) == "sk-new-key"


@each(
    ("body", "text"),
    [
        ({}, "needs the id"),
        ({"model_info": {}}, "is required"),
        # PostgreSQL's sequences go on counting after a rollback: a small id may be given.
        ({"model_info": {"id": "999999999"}}, "not found"),
        ({"model_info": {"id": "ID"}, "litellm_params": "x"}, "must be a mapping"),
        ({"model_info": {"id": "ID"}, "litellm_params": {"model": "nowhere/x"}}, "skipped"),
        ({"model_info": {"id": "ID"}, "speed": 1}, "speed"),
    ],
)
def test_a_wrong_update_changes_nothing(api: Client, body: Any, text: str) -> None:
    model_id = post(api, "/model/new", AZURE)["model_id"]
    before = list(Target.objects.values())
    update = json.loads(json.dumps(body).replace("ID", model_id))
    assert text in post(api, "/model/update", update, 400)["error"]["message"]
    assert list(Target.objects.values()) == before
    assert Provider.objects.count() == 1


def test_a_wildcard_of_a_cloud_is_one_deployment_for_each_of_its_apis(api: Client) -> None:
    params = {"model": "vertex_ai/*", "vertex_project": "p", "vertex_location": "us-central1"}
    added = post(api, "/model/new", {"model_name": "vertex_ai/*", "litellm_params": params})
    assert added["model_name"] == "vertex_ai/*"
    presets = dict(Target.objects.values_list("route__name", "model__provider__preset"))
    assert presets["vertex_ai/gemini*"] == "vertex"
    assert presets["vertex_ai/claude*"] == "vertex-anthropic"
    # Each is a deployment of its own, which a change of another one does not affect.
    body = {"litellm_params": {"weight": 7}, "model_info": {"id": added["model_id"]}}
    assert post(api, "/model/update", body)["model_id"] == added["model_id"]
    assert dict(Target.objects.values_list("route__name", "model__provider__preset")) == presets
    assert Target.objects.count() == len(presets)
    assert [target.weight for target in Target.objects.filter(weight=7)] == [7]


def test_a_wildcard_deployment_has_an_alias(api: Client) -> None:
    params = {"model": "anthropic/*", "api_key": SECRET}
    added = post(api, "/model/new", {"model_name": "claude/*", "litellm_params": params})
    route = store.load_snapshot().route("claude/claude-sonnet-4-5")
    assert route is not None
    assert route.targets[0].model.name == "claude-sonnet-4-5"
    post(api, "/model/delete", {"id": added["model_id"]})
    assert (Route.objects.count(), Alias.objects.count()) == (0, 0)


@each(
    ("body", "text"),
    [
        ({}, "needs a model_name"),
        ({"model_name": "a"}, "needs litellm_params"),
        ({"model_name": "a", "litellm_params": "x"}, "must be a mapping"),
        ({"model_name": "a", "litellm_params": {}}, "needs a model"),
        ({"model_name": "a", "litellm_params": {"model": "nowhere/x"}}, "skipped"),
        ({"model_name": "", "litellm_params": {"model": "openai/x"}}, "must not be empty"),
        ({"model_name": "a", "litellm_params": {"model": "openai/x"}, "speed": 1}, "speed"),
        ({"model_name": "a", "litellm_params": {"model": "openai/x\0"}}, "NUL"),
        ({"model_name": "a", "litellm_params": {"model": "openai/x", "a\0": 1}}, "NUL"),
    ],
)
def test_an_unsupported_model_is_refused(api: Client, body: Any, text: str) -> None:
    assert text in post(api, "/model/new", body, 400)["error"]["message"]
    assert (Target.objects.count(), Provider.objects.count()) == (0, 0)


def test_fields_without_effect_are_noted(api: Client) -> None:
    params = {"model": "openai/gpt-4o", "api_key": SECRET, "merge_reasoning_content_in_choices": 1}
    notes = post(api, "/model/new", {"model_name": "a", "litellm_params": params})["notes"]
    assert any(note.startswith("litellm_params.merge_reasoning") for note in notes)


def test_routes_of_a_file_are_not_changed(api: Client) -> None:
    Route.objects.create(name="my-model", source=RowSource.FILE, source_ref="litellm.yaml:3")
    error = post(api, "/model/new", AZURE, 409)["error"]
    assert "litellm.yaml:3" in error["message"]
    assert Provider.objects.count() == 0


@each("body", [{}, {"id": 5}, {"id": "9" * 30}, {"id": "x"}, {"id": "\0"}, {"id": "1", "a": 1}])
def test_unknown_ids_are_refused(api: Client, body: Any) -> None:
    post(api, "/model/delete", body, 400)


@pytest.mark.parametrize("path", ["/model/new", "/model/update", "/model/delete"])
def test_only_admins_change_models(db: None, path: str) -> None:
    _, secret = store.create_key("client")
    for headers in ({}, {"authorization": f"Bearer {secret}"}):
        response = Client(headers=headers).post(path, "{}", content_type="application/json")
        assert response.status_code == 401
