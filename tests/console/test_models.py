"""The model pages: filter, source of each property, custom values and reset."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from console.model_properties import PROPERTIES, properties_of, rate_of
from console.templatetags.ui import day
from gateway import store
from gateway.models import Model, RowSource
from gateway.providers.prices import price_book
from tests.store.factories import model, provider, route

pytestmark = pytest.mark.django_db


def text(response: Any) -> str:
    return response.content.decode()


def names(response: Any) -> list[str]:
    return [item["row"].name for item in response.context["rows"]]


def some_models() -> None:
    openai, deepseek = provider("openai"), provider("deepseek", "deepseek")
    model("gpt-5", openai)
    model("gpt-4o", openai, enabled=False)
    model("deepseek-chat", deepseek)
    model("deepseek-reasoner", deepseek, traits={"tools": False})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["deepseek-chat", "deepseek-reasoner", "gpt-4o", "gpt-5"]),
        ("q=GPT", ["gpt-4o", "gpt-5"]),
        ("q=openai/gpt-5", ["gpt-5"]),
        ("q=deep+chat", ["deepseek-chat"]),
        ("provider=deepseek", ["deepseek-chat", "deepseek-reasoner"]),
        ("state=off", ["gpt-4o"]),
        ("can=images", ["gpt-4o", "gpt-5"]),
        ("can=tools&can=reasoning", ["gpt-5"]),
        ("q=%00", []),
        ("q=no-such-model", []),
        ("state=nonsense&can=nonsense", ["deepseek-chat", "deepseek-reasoner", "gpt-4o", "gpt-5"]),
    ],
)
def test_the_filter_in_the_url_applies(
    admin_client: Client, query: str, expected: list[str]
) -> None:
    some_models()
    assert names(admin_client.get(f"{reverse('models')}?{query}")) == expected


def test_typing_swaps_only_the_rows(admin_client: Client) -> None:
    some_models()
    response = admin_client.get(reverse("models"), {"q": "gpt"})
    part = admin_client.get(reverse("models"), {"q": "gpt"}, headers={"HX-Request": "true"})
    assert "<html" in text(response)
    assert "<html" not in text(part)
    assert names(part) == names(response)
    assert "HX-Request" in part["Vary"]


def test_each_property_names_its_source() -> None:
    row = model(
        "gpt-5",
        provider("openai"),
        traits={"images": False},
        learned={"max_output": 1000, "images": True},
        price_output=Decimal("7.5"),
    )
    properties = properties_of(row)
    assert properties["images"].source.origin == "custom"
    assert properties["images"].value is False
    assert properties["max_output"].label == "learned from the provider"
    assert properties["max_output"].default.value != 1000
    assert properties["reasoning"].source.origin == "family"
    assert properties["output"].label == "custom"
    list_date = dt.date.fromisoformat(price_book().fetched_on)
    assert properties["input"].label == f"price list of {day(list_date)}"


def test_properties_are_labelled_preset_assumed_or_unknown() -> None:
    properties = properties_of(model("no-such-model", provider("deepseek", "deepseek")))
    assert properties["structured"].label == "preset DeepSeek"
    assert properties["tools"].label == "assumed"
    assert properties["input"].label == "unknown"


@pytest.mark.parametrize(
    "name", ["gpt-5", "claude-opus-4-8", "deepseek-chat", "no-such-model", "o3"]
)
@pytest.mark.parametrize("preset", ["openai", "anthropic", "deepseek", "openrouter", "ollama"])
def test_the_page_shows_the_values_that_the_gateway_uses(preset: str, name: str) -> None:
    """Sources and values are looked up separately and must agree."""
    row = model(name, provider("p", preset), traits={"pdf": False}, learned={"max_output": 9})
    stored_model = store.load_snapshot().models[f"p/{name}"]
    for model_property in PROPERTIES:
        holder: Any = stored_model.price if model_property.kind == "usd" else stored_model.traits
        name = rate_of(model_property) if model_property.kind == "usd" else model_property.name
        assert properties_of(row)[model_property.name].value == getattr(holder, name), (
            model_property.name
        )


def test_properties_are_changed_and_reset(admin_client: Client) -> None:
    row = model("gpt-5", provider("openai"), traits={"seed": False})
    edit = reverse("model-edit", args=[row.pk])
    request = {
        "context_window": "1000",
        "images": "no",
        "structured": "json",
        "input": "0.25",
        "output": "0",
    }
    assert admin_client.post(edit, request).status_code == 302
    stored_model = store.load_snapshot().models["openai/gpt-5"]
    assert (
        stored_model.traits.context_window,
        stored_model.traits.images,
        stored_model.traits.structured,
    ) == (
        1000,
        False,
        "json",
    )
    assert (stored_model.price.input, stored_model.price.output) == (Decimal("0.25"), Decimal(0))
    page_text = text(admin_client.get(edit))
    assert page_text.count("custom") == 5
    assert re.search(r'name="input" value="0.25"', page_text)
    admin_client.post(reverse("model-reset", args=[row.pk]), {"property": "input"})
    row.refresh_from_db()
    assert (row.price_input, row.price_output, "images" in row.traits) == (None, 0, True)
    admin_client.post(reverse("model-reset", args=[row.pk]), {"property": ""})
    row.refresh_from_db()
    assert (row.price_output, row.traits) == (None, {"seed": False})


def test_an_empty_field_follows_the_tables(admin_client: Client) -> None:
    row = model("gpt-5", provider("openai"))
    before = store.load_snapshot().models["openai/gpt-5"]
    admin_client.post(reverse("model-edit", args=[row.pk]), {})
    row.refresh_from_db()
    assert (row.traits, row.price_input) == ({}, None)
    assert store.load_snapshot().models["openai/gpt-5"].traits == before.traits


def test_resetting_also_removes_doctor_findings(admin_client: Client) -> None:
    row = model("m", learned={"max_output": 5, "images": False})
    admin_client.post(reverse("model-reset", args=[row.pk]), {"property": "max_output"})
    row.refresh_from_db()
    assert row.learned == {"images": False}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("context_window", "0"),
        ("max_output", "a lot"),
        ("input", "-1"),
        ("tools", "maybe"),
        ("output", "1e99"),
    ],
)
def test_an_error_is_shown_at_its_field(admin_client: Client, field: str, value: str) -> None:
    row = model("m")
    response = admin_client.post(
        reverse("model-edit", args=[row.pk]), {"cache_read": "0.125", field: value}
    )
    assert response.status_code == 422
    assert field in response.context["form"].errors
    assert "0.125" in text(response)
    row.refresh_from_db()
    assert (row.traits, row.price_cache_read) == ({}, None)


def test_an_invalid_row_is_shown_and_can_be_corrected(admin_client: Client) -> None:
    row = model("m", traits=[1], learned="x")
    assert admin_client.get(reverse("models")).status_code == 200
    assert admin_client.get(reverse("model-edit", args=[row.pk])).status_code == 200
    admin_client.post(reverse("model-edit", args=[row.pk]), {"images": "no"})
    row.refresh_from_db()
    assert row.traits == {"images": False}


def test_a_model_is_added_manually(admin_client: Client) -> None:
    provider_row = provider("openai")
    page_text = text(admin_client.get(reverse("model-add"), {"provider": provider_row.pk}))
    assert "Choose a provider" in page_text
    assert re.search(rf'value="{provider_row.pk}" selected', page_text)
    add = {"provider": provider_row.pk, "name": "gpt-6"}
    assert admin_client.post(reverse("model-add"), add).status_code == 302
    assert Model.objects.get().name == "gpt-6"
    second_response = admin_client.post(reverse("model-add"), add)
    assert second_response.status_code == 422
    assert Model.objects.count() == 1


def test_deleting_lists_the_affected_routes(admin_client: Client) -> None:
    row = model("m")
    route("fast", row)
    delete = reverse("model-delete", args=[row.pk])
    assert "fast" in text(admin_client.get(delete))
    assert admin_client.post(delete).status_code == 302
    assert not Model.objects.exists()


def test_a_model_is_switched_off_and_on(admin_client: Client) -> None:
    row = model("m")
    for on, is_served in (("no", False), ("yes", True)):
        admin_client.post(reverse("model-enable", args=[row.pk]), {"on": on})
        assert ("openai/m" in store.load_snapshot().models) is is_served


def test_a_model_of_a_file_is_read_only_until_it_is_copied(admin_client: Client) -> None:
    row = model("m", source=RowSource.FILE, source_ref="x.yaml:9")
    edit = reverse("model-edit", args=[row.pk])
    assert "x.yaml:9" in text(admin_client.get(edit))
    for name in ("edit", "reset", "delete"):
        assert admin_client.post(reverse(f"model-{name}", args=[row.pk])).status_code == 409
    admin_client.post(reverse("model-copy", args=[row.pk]))
    assert admin_client.post(edit, {"images": "no"}).status_code == 302
    row.refresh_from_db()
    assert (row.source, row.traits) == ("database", {"images": False})


def test_a_viewer_sees_properties_and_changes_nothing(viewer_client: Client) -> None:
    row = model("gpt-5", provider("openai"))
    page = text(viewer_client.get(reverse("models")))
    assert "gpt-5" in page
    assert reverse("model-edit", args=[row.pk]) not in page
    for name in ("edit", "reset", "enable", "copy", "delete"):
        assert viewer_client.post(reverse(f"model-{name}", args=[row.pk])).status_code == 403, name


def test_an_empty_model_list_explains_what_to_do(admin_client: Client) -> None:
    assert reverse("providers") in text(admin_client.get(reverse("models")))


def test_prices_of_tiers_and_long_prompts_are_lines(admin_client: Client) -> None:
    row = model("claude-sonnet-4-5", provider("claude", "anthropic"))
    edit = reverse("model-edit", args=[row.pk])
    body = {"tiers": "flex 0.5\npriority input=6 output=30", "above": "100000 input=9"}
    assert admin_client.post(edit, body).status_code == 302
    price = store.load_snapshot().models["claude/claude-sonnet-4-5"].price
    assert (price.tiers["flex"].input, price.tiers["priority"].output) == (Decimal("1.5"), 30)
    assert [(tokens, long.input) for tokens, long in price.above] == [(100_000, 9)]
    page = admin_client.get(edit).content.decode()
    assert "priority input=6 output=30" in page
    assert "the price list has separate prices for prompts over 200,000 tokens" in page
    assert (
        admin_client.post(reverse("model-reset", args=[row.pk]), {"property": ""}).status_code
        == 302
    )
    row.refresh_from_db()
    assert (row.price_tiers, row.price_above) == ({}, None)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("tiers", "flex"),
        ("tiers", "flex cheap"),
        ("tiers", "flex input=1 2"),
        ("tiers", "flex nonsense=1"),
        ("above", "many input=1"),
        ("above", "100 0.5"),
        ("above", "100 input=1\n100 input=2"),
    ],
)
def test_a_line_that_is_no_price_is_refused(admin_client: Client, field: str, text: str) -> None:
    row = model("gpt-5", provider("openai"))
    response = admin_client.post(reverse("model-edit", args=[row.pk]), {field: text})
    assert response.status_code == 422
    errors = response.context["form"].errors
    assert errors.keys() == {field}
    assert "prices." not in str(errors)


def test_the_properties_of_models_that_are_not_shown_are_not_computed(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 3,000 models of OpenRouter, the page took seconds."""
    from console.pages.models import views

    many = provider("many")
    Model.objects.bulk_create(Model(provider=many, name=f"m{n}") for n in range(5))
    computed: list[str] = []
    properties_of = views.properties_of
    monkeypatch.setattr(
        views, "properties_of", lambda row: computed.append(row.name) or properties_of(row)
    )
    monkeypatch.setattr(views, "PAGE_ROWS", 2)
    response = admin_client.get(reverse("models"), {"provider": "many", "page": "2"})
    assert response.context["count"] == 5
    assert computed == ["m2", "m3"]
    assert "3–4 of 5" in response.content.decode()
    assert 'href="?provider=many&amp;page=3"' in response.content.decode()
