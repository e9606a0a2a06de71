"""The registry in the API: providers, models and omitted rows, without secrets."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from console.models import PlaygroundPreset, PlaygroundRun
from gateway import store
from gateway.api.app import api as ninja
from gateway.edge.endpoints import is_edge_path
from gateway.models import (
    Alias,
    ApiKey,
    CapabilityReport,
    ClientSpan,
    ClientTrace,
    Guardrail,
    Prompt,
    PromptVersion,
    Provider,
    RequestLog,
    Route,
    Team,
)
from gateway.relay.exchange.log_record import Bodies
from gateway.store.routes import save_route, spec_of
from tests.api.conformance import ConformanceClient
from tests.store.factories import make_record, model, provider, route

SECRET = "sk-canary-0123456789abcdef"


def create_rows() -> str:
    provider_row = provider("openai", base_url="http://10.0.0.7/v1")
    store.set_credential(provider_row, SECRET)
    provider("groq", "groq", credential_env="GROQ_TEST_KEY")
    row = route(
        "fast", model("gpt-5", provider_row, price_input=Decimal("0.5")), fallbacks=["other"]
    )
    Alias.objects.create(pattern="claude-*", route=row)
    Provider.objects.create(name="bad", preset="nope", source="file", source_ref="x.yaml:3")
    _, plain = store.create_key("a key")
    Team.objects.create(name="crew")
    hook = {"url": "https://hooks.test/check"}
    Guardrail.objects.create(name="hook", kind="litellm", settings=hook, credential=SECRET)
    prompt = Prompt.objects.create(name="greeting")
    PromptVersion.objects.create(
        prompt=prompt, number=1, messages=[{"role": "user", "content": "Hi {{name}}"}]
    )
    store.write([make_record("req_x", bodies=Bodies(client_request=b"{}"))])
    return plain


def test_a_provider_row_has_its_source_and_masked_credential(api: Client) -> None:
    create_rows()
    item = {row["name"]: row for row in api.get("/api/providers").json()["items"]}
    assert item["openai"]["credential"] == "***"
    assert item["openai"]["base_url"] == "http://10.0.0.7/v1"
    assert item["groq"]["credential"] == "$GROQ_TEST_KEY"
    assert (item["bad"]["source"], item["bad"]["source_ref"]) == ("file", "x.yaml:3")


def test_models_list_changed_fields(api: Client) -> None:
    create_rows()
    (item,) = api.get("/api/models").json()["items"]
    assert (item["name"], item["traits"]) == ("openai/gpt-5", {})
    prices = item["prices"]
    assert prices.pop("input") == "0.5"
    assert not any(prices.values())


def test_warnings_name_omitted_rows(api: Client) -> None:
    create_rows()
    rows = {item["row"]: item["reason"] for item in api.get("/api/warnings").json()["items"]}
    assert "nope" in rows["provider `bad` (x.yaml:3)"]
    assert rows["route `fast`"] == "its fallback `other` is not a route"


def test_no_response_contains_a_secret(api: Client) -> None:
    """Every GET operation is requested, so that new operations are covered."""
    plain = create_rows()
    admin_user = User.objects.create_superuser("ada", password="a long password")
    key = ApiKey.objects.get()
    ApiKey.objects.update(owner=admin_user)
    RequestLog.objects.update(key_id=key.pk)
    # The admin credential has no keys of its own.
    signed_in = ConformanceClient()
    signed_in.force_login(admin_user)
    preset = PlaygroundPreset.objects.save_version(admin_user, "mine", {"temperature": 0})
    run = PlaygroundRun.objects.create(owner=admin_user, document={})
    test_provider = Provider.objects.get(name="openai")
    report = CapabilityReport.objects.create(provider=test_provider, model="gpt-5", state="done")
    row = Route.objects.get()
    save_route(spec_of(row), route=row, number=1, author="ada")
    sealed = Provider.objects.get(name="openai").credential
    times = {"started_at": timezone.now(), "ended_at": timezone.now()}
    ClientTrace.objects.create(trace_id="trace_x", **times)
    span = ClientSpan.objects.create(
        trace_id="trace_x", span_id="s", kind="tool", content_omitted="none", **times
    )
    paths = [path for path, item in ninja.get_openapi_schema()["paths"].items() if "get" in item]
    names = {
        "providers": "openai",
        "models": "openai/gpt-5",
        "routes": "fast",
        "keys": key.prefix,
        "teams": "crew",
        "guardrails": "hook",
        "prompts": "greeting",
        "users": "ada",
    }
    numbers = {
        "prompts": "1",
        "routes": "1",
        "capability-reports": str(report.pk),
        "playground": str(preset.pk),
        "traces": str(span.pk),
    }
    own_paths = [
        path.replace("{request_id}", "req_x")
        .replace("{trace_id}", span.trace_id)
        .replace("{name}", names.get(path.split("/")[2], ""))
        .replace("{number}", numbers.get(path.split("/")[2], ""))
        .replace("{run}", str(run.uuid))
        .replace("/usage/what-if", "/usage/what-if?models=openai/gpt-5")
        for path in paths
        if path.startswith("/api/") and not is_edge_path(path)
    ]
    assert len(own_paths) >= 7
    for path in [*own_paths, "/api/openapi.json", "/docs"]:
        response = (signed_in if path.startswith("/api/personal/") else api).get(path)
        assert response.status_code == 200, path
        for secret in (SECRET, SECRET[:12], sealed, plain, plain[15:]):
            assert secret not in response.content.decode(), path


@pytest.mark.parametrize(
    "path",
    [
        *("/api/keys", "/api/health/targets/reset", "/api/playground/presets"),
        *("/key/generate", "/customer/new", "/model/update"),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        *(b"[" * 100_000, b'{"a":' * 20_000, b"\xff", b'{"a":"\xff"}', b"NaN"),
        # Half of a surrogate pair: Python's parser accepts it, and no response can repeat it.
        *(b'{"target":"\\ud800"}', b'{"\\udfff":1}'),
    ],
)
def test_a_body_that_is_no_json_is_refused(api: Client, path: str, body: bytes) -> None:
    reply = api.generic("POST", path, body, content_type="application/json")
    assert reply.status_code in {400, 422}
    assert b"not valid JSON" in reply.content
