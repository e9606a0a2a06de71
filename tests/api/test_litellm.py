"""LiteLLM's endpoints for model lists, spend logs and utilities."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from django.db.models.signals import post_init
from django.test import Client

from gateway import store
from gateway.edge.endpoints import is_edge_path
from gateway.models import Alias, Model, Provider, RequestLog, Route, Target
from tests.store.factories import add_usage

SECRET = "sk-canary-0123456789abcdef"


def post(api: Client, path: str, body: Any) -> Any:
    return api.post(path, json.dumps(body), content_type="application/json")


@pytest.fixture
def api_with_models(api: Client) -> Client:
    openai = Provider.objects.create(name="openai", preset="openai")
    store.set_credential(openai, SECRET)
    claude = Provider.objects.create(name="anthropic", preset="anthropic")
    for provider, name, model in (
        (openai, "fast", "gpt-4o-mini"),
        (claude, "fast", "claude-haiku-4-5"),
        (claude, "big", "claude-opus-4-6"),
    ):
        row = Model.objects.create(provider=provider, name=model)
        route, _ = Route.objects.get_or_create(name=name)
        Target.objects.create(route=route, model=row)
    Alias.objects.create(pattern="small", route=Route.objects.get(name="fast"))
    return api


def as_key(**values: Any) -> Client:
    return Client(headers={"authorization": f"Bearer {store.create_key('c', **values)[1]}"})


@pytest.mark.parametrize("path", ["/model/info", "/v1/model/info"])
def test_every_target_is_listed_with_context_price_and_abilities(
    api_with_models: Client, path: str
) -> None:
    assert not is_edge_path(path)
    data = api_with_models.get(path).json()["data"]
    assert [row["model_name"] for row in data] == ["big", "fast", "fast", "small", "small"]
    entry = next(row for row in data if row["litellm_params"]["model"] == "openai/gpt-4o-mini")
    info = entry["model_info"]
    assert (info["max_input_tokens"], info["max_output_tokens"]) == (128_000, 16_384)
    assert info["input_cost_per_token"] == pytest.approx(0.15e-6)
    assert info["output_cost_per_token"] == pytest.approx(0.6e-6)
    assert (info["litellm_provider"], info["mode"]) == ("openai", "chat")
    assert (info["supports_vision"], info["supports_function_calling"]) == (True, True)
    assert entry["litellm_params"]["api_base"] == "https://api.openai.com/v1"
    assert SECRET not in json.dumps(data)


@pytest.mark.parametrize(
    ("model", "mode"),
    [
        ("text-embedding-3-small", "embedding"),
        ("gpt-3.5-turbo-instruct", "completion"),
        ("o3-pro", "responses"),
        ("gpt-image-1.5", "image_generation"),
        ("gpt-4o-transcribe", "audio_transcription"),
        ("gpt-4o-mini-tts", "audio_speech"),
        ("tts-1", "audio_speech"),
        ("omni-moderation-latest", "moderation"),
    ],
)
def test_the_mode_is_what_a_model_is_for(api: Client, model: str, mode: str) -> None:
    row = Model.objects.create(
        provider=Provider.objects.create(name="openai", preset="openai"), name=model
    )
    Target.objects.create(route=Route.objects.create(name="it"), model=row)
    store.set_credential(row.provider, SECRET)
    (entry,) = api.get("/model/info").json()["data"]
    (group,) = api.get("/model_group/info").json()["data"]
    assert (entry["model_info"]["mode"], group["mode"]) == (mode, mode)


def test_model_info_returns_one_deployment_by_id(api_with_models: Client) -> None:
    pk = Target.objects.get(model__name="claude-opus-4-6").pk
    (row,) = api_with_models.get("/model/info", {"litellm_model_id": pk}).json()["data"]
    assert row["model_name"] == "big"
    response = api_with_models.get("/model/info", {"litellm_model_id": "none"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "litellm_model_id")


def test_a_key_sees_only_its_models_without_api_base(api_with_models: Client) -> None:
    client = as_key(routes=["big"])
    (row,) = client.get("/model/info").json()["data"]
    assert row["model_name"] == "big"
    assert "api_base" not in row["litellm_params"]
    (group,) = client.get("/model_group/info").json()["data"]
    assert group["model_group"] == "big"
    assert client.get("/model_group/info", {"model_group": "fast"}).json() == {"data": []}


def test_a_model_group_has_the_best_values_of_its_targets(api_with_models: Client) -> None:
    (group,) = api_with_models.get("/model_group/info", {"model_group": "fast"}).json()["data"]
    assert group["providers"] == ["anthropic", "openai"]
    assert group["max_input_tokens"] == 200_000
    assert group["input_cost_per_token"] == pytest.approx(1e-6)
    assert "temperature" in group["supported_openai_params"]
    names = [row["model_group"] for row in api_with_models.get("/model_group/info").json()["data"]]
    assert names == ["big", "fast", "small"]


@pytest.mark.django_db(transaction=True)
def test_the_models_are_read_from_the_database_only_after_a_change(
    api_with_models: Client,
) -> None:
    loaded: list[Model] = []

    def note(instance: Model, **_: Any) -> None:
        loaded.append(instance)

    api_with_models.get("/model/info")
    post_init.connect(note, sender=Model)
    try:
        api_with_models.get("/model/info")
        assert loaded == []
    finally:
        post_init.disconnect(note, sender=Model)
    Route.objects.get(name="big").delete()
    data = api_with_models.get("/model/info").json()["data"]
    assert "big" not in {row["model_name"] for row in data}


@pytest.mark.parametrize("path", ["/model/info", "/model_group/info", "/key/info"])
def test_a_request_without_key_gets_401(api_with_models: Client, path: str) -> None:
    response = Client().get(path)
    assert (response.status_code, response.json()["error"]["type"]) == (401, "auth_error")


def test_an_expired_key_gets_the_expired_key_error(api_with_models: Client) -> None:
    client = as_key(expires_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    error = client.get("/model/info").json()["error"]
    assert (error["type"], error["code"]) == ("expired_key", "401")


# --- spend ------------------------------------------------------------------------------


@pytest.fixture
def logged_spend(api: Client) -> Client:
    row, _ = store.create_key("ci", user="ann")
    for number, (day, usd) in enumerate(((1, "0.5"), (1, None), (3, "0.25"))):
        start = dt.datetime(2026, 11, day, 12, tzinfo=dt.UTC)
        cost = Decimal(usd) if usd else None
        RequestLog.objects.create(
            request_id=f"req-{number}",
            started_at=start,
            endpoint="/v1/chat/completions",
            key_id=row.pk,
            key_prefix=row.prefix,
            route="fast",
            provider="openai",
            model="gpt-4o-mini",
            status=200 if usd else 502,
            outcome="ok" if usd else "error",
            error_kind="" if usd else "upstream_error",
            duration_ms=1500,
            tags=["batch"],
            input_tokens=10,
            cache_read_tokens=5,
            output_tokens=7,
            cost_usd=cost,
            charged_usd=cost,
        )
        add_usage(
            start,
            float(cost or 0),
            key_id=row.pk,
            key_prefix=row.prefix,
            route="fast",
            provider="openai",
            model="gpt-4o-mini",
            priced_requests=int(cost is not None),
        )
    return api


def test_requests_are_listed_with_their_cost(logged_spend: Client) -> None:
    rows = logged_spend.get("/spend/logs").json()
    assert [row["request_id"] for row in rows] == ["req-2", "req-1", "req-0"]
    first, failed_row = rows[2], rows[1]
    assert (first["spend"], first["call_type"]) == (0.5, "acompletion")
    assert (first["prompt_tokens"], first["completion_tokens"], first["total_tokens"]) == (
        15,
        7,
        22,
    )
    assert first["endTime"] > first["startTime"]
    assert (first["status"], first["model_group"]) == ("success", "fast")
    assert first["request_tags"] == ["batch"]
    assert (failed_row["status"], failed_row["spend"]) == ("failure", 0.0)
    assert failed_row["metadata"]["spend_known"] is False


def test_rows_are_found_by_key_request_and_day(logged_spend: Client) -> None:
    (row,) = logged_spend.get("/spend/logs", {"request_id": "req-1"}).json()
    assert len(logged_spend.get("/spend/logs", {"api_key": row["api_key"]}).json()) == 3
    assert logged_spend.get("/spend/logs", {"api_key": "sk-other"}).json() == []
    assert (row["user"], len(logged_spend.get("/spend/logs", {"user_id": "ann"}).json())) == (
        "ann",
        3,
    )
    assert logged_spend.get("/spend/logs", {"user_id": "bob"}).json() == []
    days = {"start_date": "2026-11-02", "end_date": "2026-11-04", "summarize": "false"}
    assert [row["request_id"] for row in logged_spend.get("/spend/logs", days).json()] == ["req-2"]


def test_spend_is_summed_by_day(logged_spend: Client) -> None:
    days = {"start_date": "2026-11-01", "end_date": "2026-11-05"}
    rows = logged_spend.get("/spend/logs", days).json()
    pairs = [(row["startTime"], row["spend"]) for row in rows]
    assert pairs == [
        ("2026-11-01", 0.5),
        ("2026-11-03", 0.25),
        ("2026-11-04", 0.0),
        ("2026-11-05", 0.0),
    ]
    assert (rows[0]["models"], rows[0]["users"]) == ({"gpt-4o-mini": 0.5}, {"ann": 0.5})
    (key,) = {name for row in rows for name in row if name.startswith("sk-")}
    assert rows[0][key] == 0.5


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"start_date": "2026-11-01"}, "end_date"),
        ({"start_date": "soon", "end_date": "2026-11-01"}, "start_date"),
        ({"start_date": "2026-11-02", "end_date": "2026-11-01"}, "end_date"),
        ({"end_user": "ann"}, "end_user"),
    ],
)
def test_an_invalid_spend_query_is_refused_with_its_param(
    logged_spend: Client, query: Any, param: str
) -> None:
    response = logged_spend.get("/spend/logs", query)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


# --- tokens and requests ----------------------------------------------------------------

WORDS = [{"role": "user", "content": "How many tokens are these words?"}]


@pytest.mark.parametrize(
    "request_document",
    [
        {"messages": WORDS},
        {"prompt": WORDS[0]["content"]},
        {"contents": [{"role": "user", "parts": [{"text": WORDS[0]["content"]}]}]},
        {"messages": WORDS, "system": "Be brief."},
    ],
    ids=["messages", "prompt", "contents", "system"],
)
def test_tokens_are_counted(api_with_models: Client, request_document: dict[str, Any]) -> None:
    response = post(
        as_key(routes=["fast"]), "/utils/token_counter", {"model": "fast", **request_document}
    )
    body = response.json()
    assert 6 <= body["total_tokens"] <= 25
    assert (body["request_model"], body["model_used"]) == ("fast", "gpt-4o-mini")
    assert body["error"] is False


def test_the_token_count_includes_tools(api_with_models: Client) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    bare = post(
        api_with_models, "/utils/token_counter", {"model": "fast", "messages": WORDS}
    ).json()
    for tool in (
        {"type": "function", "function": {"name": "weather", "parameters": schema}},
        {"name": "weather", "input_schema": schema},
    ):
        body = {"model": "fast", "messages": WORDS, "tools": [tool]}
        more = post(api_with_models, "/utils/token_counter", body).json()
        assert more["total_tokens"] > bare["total_tokens"] + 10


def test_a_model_without_a_provider_is_counted_by_its_name(api_with_models: Client) -> None:
    body = post(
        api_with_models, "/utils/token_counter", {"model": "gpt-4o", "prompt": "words"}
    ).json()
    assert body["model_used"] == "gpt-4o"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"messages": WORDS}, 400, "model"),
        ({"model": "fast"}, 400, "messages"),
        ({"model": "fast", "prompt": "x", "messages": WORDS}, 400, "messages"),
        ({"model": "fast", "prompt": "x", "system": "y"}, 400, "system"),
        ({"model": "fast", "messages": WORDS, "texts": []}, 400, "texts"),
        ({"model": "big", "messages": WORDS}, 403, "model"),
    ],
)
def test_an_invalid_token_count_request_is_refused(
    api_with_models: Client, body: Any, status: int, param: str
) -> None:
    response = post(as_key(routes=["fast"]), "/utils/token_counter", body)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)


def test_no_depth_of_a_body_is_an_internal_error(api_with_models: Client) -> None:
    """Near the interpreter's limit, the first step could decode a body and a later one could not."""
    key = as_key(routes=["fast"])
    for depth in range(800, 1000, 2):
        body = '{"model":"fast","messages":%s}' % ("[" * depth + "]" * depth)
        response = key.post("/utils/token_counter", body, content_type="application/json")
        assert response.status_code == 400, depth


def test_the_upstream_request_is_shown_without_the_key(api_with_models: Client) -> None:
    body = {"model": "big", "messages": WORDS, "max_tokens": 9, "stop": ["END"]}
    request_document = {"call_type": "completion", "request_body": body}
    payload = post(api_with_models, "/utils/transform_request", request_document).json()
    assert payload["raw_request_api_base"] == "https://api.anthropic.com/v1/messages"
    upstream_body = payload["raw_request_body"]
    assert (upstream_body["model"], upstream_body["stop_sequences"]) == ("claude-opus-4-6", ["END"])
    assert payload["error"] is None
    request_document["request_body"] = {**body, "model": "fast"}
    headers = post(api_with_models, "/utils/transform_request", request_document).json()[
        "raw_request_headers"
    ]
    assert "***" in str(headers)
    assert SECRET not in str(headers)


def test_the_upstream_request_has_no_fields_of_litellm(api_with_models: Client) -> None:
    own = {"tags": ["a"], "fallbacks": ["big"], "cache": {"no-cache": True}, "num_retries": 1}
    body = {"model": "fast", "messages": WORDS, **own}
    request_document = {"call_type": "completion", "request_body": body}
    payload = post(api_with_models, "/utils/transform_request", request_document).json()
    assert payload["raw_request_body"] == {"model": "gpt-4o-mini", "messages": WORDS}
    request_document["request_body"] = {**body, "timeout": "soon"}
    payload = post(api_with_models, "/utils/transform_request", request_document).json()
    assert payload["error"] == "timeout must be a number of seconds"


@pytest.mark.parametrize("path", ["/ui", "/ui/"])
def test_the_address_of_litellms_user_interface_leads_to_the_console(
    api: Client, path: str
) -> None:
    assert Client().get(path)["location"] == "/"


@pytest.mark.parametrize(
    ("request_document", "status", "param"),
    [
        ({"call_type": "speech", "request_body": {"model": "fast"}}, 400, "call_type"),
        ({"call_type": "completion", "request_body": 3}, 400, "request_body"),
        (
            {"call_type": "completion", "request_body": {"model": "none", "messages": WORDS}},
            404,
            "request_body.model",
        ),
    ],
)
def test_an_upstream_request_that_cannot_be_shown_is_refused(
    api_with_models: Client, request_document: Any, status: int, param: str
) -> None:
    response = post(api_with_models, "/utils/transform_request", request_document)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)


def test_an_untranslatable_request_is_an_error_in_the_response(api_with_models: Client) -> None:
    """LiteLLM responds with status 200 and the reason in `error`."""
    body = {"model": "big", "messages": "hello"}
    response = post(
        api_with_models,
        "/utils/transform_request",
        {"call_type": "completion", "request_body": body},
    )
    assert response.json()["raw_request_body"] is None
    assert response.json()["error"]


def test_litellm_endpoints_are_in_the_openapi_document(api: Client) -> None:
    paths = api.get("/api/openapi.json").json()["paths"]
    for path in (
        "/model/info",
        "/v1/model/info",
        "/model_group/info",
        "/key/generate",
        "/key/update",
        "/key/block",
        "/key/unblock",
        "/key/delete",
        "/key/info",
        "/key/list",
        "/spend/logs",
        "/utils/token_counter",
        "/utils/transform_request",
    ):
        assert path in paths


@pytest.mark.parametrize(
    "path",
    ["/key/list", "/model/info", "/user/list", "/team/info", "/spend/logs"],
)
def test_a_query_of_many_parameters_is_rejected_in_litellms_format(api: Client, path: str) -> None:
    response = api.get(path, {f"p{index}": "1" for index in range(1200)})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "400")
    assert response.json()["error"]["message"] == "there are too many parameters"


def test_a_large_body_is_rejected_in_litellms_format(api: Client) -> None:
    response = post(api, "/key/generate", {"key_alias": "x" * (8 * 1024 * 1024)})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "413")
