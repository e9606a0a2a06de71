"""The registry over the API: what there is, what was left out, and never a secret."""

from __future__ import annotations

from decimal import Decimal

from django.test import Client

from gateway import store
from gateway.api import api as ninja
from gateway.edge.endpoints import is_edge
from gateway.models import Alias, Model, Provider
from gateway.relay.entry import Bodies
from tests.store.factories import entry, model, provider, route

SECRET = "sk-canary-0123456789abcdef"


def fill() -> str:
    own = provider("openai", base_url="http://10.0.0.7/v1")
    store.set_credential(own, SECRET)
    provider("groq", "groq", credential_env="GROQ_TEST_KEY")
    row = route("fast", model("gpt-5", own, price_input=Decimal("0.5")), fallbacks=["other"])
    Alias.objects.create(pattern="claude-*", route=row)
    Provider.objects.create(name="bad", preset="nope", source="file", source_ref="x.yaml:3")
    _, plain = store.make_key("a key")
    store.write([entry("req_x", bodies=Bodies(client_request=b"{}"))])
    return plain


def test_providers_tell_where_a_credential_is_and_how_it_ends(api: Client) -> None:
    fill()
    told = {row["name"]: row for row in api.get("/api/providers").json()}
    assert told["openai"]["credential"] == "...cdef"
    assert told["openai"]["base_url"] == "http://10.0.0.7/v1"
    assert told["groq"]["credential"] == "$GROQ_TEST_KEY"
    assert told["bad"] == {
        "name": "bad",
        "preset": "nope",
        "dialect": "",
        "base_url": "",
        "auth": "",
        "credential": "",
        "source": "file",
        "source_ref": "x.yaml:3",
        "enabled": True,
    }


def test_models_tell_what_was_changed(api: Client) -> None:
    fill()
    (told,) = api.get("/api/models").json()
    assert (told["provider"], told["name"], told["traits"]) == ("openai", "gpt-5", {})
    assert Decimal(told["price_input"]) == Decimal("0.5")
    assert told["price_output"] is None


def test_a_model_with_nonsense_in_its_fields_is_told_all_the_same(api: Client) -> None:
    model("m", traits=[1], learned="x")
    assert api.get("/api/models").json()[0]["traits"] == [1]
    assert Model.objects.count() == 1


def test_routes_are_told_as_they_are_used(api: Client) -> None:
    fill()
    assert api.get("/api/routes").json() == [
        {
            "name": "fast",
            "strategy": "ordered",
            "targets": ["openai/gpt-5"],
            "aliases": ["claude-*"],
            "retries": 1,
            "fallbacks": [],
            "strict": False,
        }
    ]


def test_warnings_name_what_was_left_out(api: Client) -> None:
    fill()
    rows = {told["row"]: told["why"] for told in api.get("/api/warnings").json()}
    assert "nope" in rows["provider `bad` (x.yaml:3)"]
    assert rows["route `fast`"] == "its fallback `other` is not a route"


def test_no_answer_holds_a_secret(api: Client) -> None:
    """Every GET there is, so that a new one is covered."""
    plain = fill()
    sealed = Provider.objects.get(name="openai").credential
    paths = [path for path, item in ninja.get_openapi_schema()["paths"].items() if "get" in item]
    own = [
        path.replace("{request_id}", "req_x")
        for path in paths
        if path.startswith("/api/") and not is_edge(path)
    ]
    assert len(own) >= 7
    for path in [*own, "/api/openapi.json", "/docs"]:
        response = api.get(path)
        assert response.status_code == 200, path
        for secret in (SECRET, SECRET[:12], sealed, plain, plain[15:]):
            assert secret not in response.content.decode(), path
