"""The cost pages: bills and computed cost, price updates, markups, and the export."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.pages.cost import price_lists as price_lists_page
from gateway import store
from gateway.models import ApiKey, BillLine, Change, PriceUpdate, Team
from gateway.providers import prices
from gateway.providers.prices import price_for
from tests.store.factories import make_record, model, provider
from tests.store.test_price_updates import SONNET, newer_snapshot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("frozen_now")]


@pytest.fixture(autouse=True)
def _restore_prices() -> Iterator[None]:
    yield
    prices.apply_updates({})


def add_request(id: str = "r1", **values: Any) -> None:
    fields: dict[str, Any] = {
        "started_at": timezone.now().timestamp(),
        "provider": "openai",
        "model": "gpt-5",
        "input_tokens": 10,
        "output_tokens": 5,
        "usage_source": "reported",
        "cost_usd": Decimal("0.5"),
        "charged_usd": Decimal("0.6"),
    }
    store.write([make_record(id, **(fields | values))])


def upload(name: str, data: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data)


def test_an_empty_gateway_has_a_page(viewer_client: Client) -> None:
    assert viewer_client.get(reverse("cost")).status_code == 200


def test_a_bill_as_a_file_shows_the_difference_by_day(
    admin_client: Client, frozen_now: dt.datetime
) -> None:
    provider("openai")
    add_request()
    bill = upload("bill.csv", f"date,model,cost\n{frozen_now:%Y-%m-%d},gpt-5,0.75\n".encode())
    response = admin_client.post(
        reverse("bill-enter"), {"provider": "openai", "file": bill}, follow=True
    )
    text = response.content.decode()
    assert "$0.50" in text
    assert "$0.75" in text
    assert response.context["reconciliation"].difference == Decimal("0.25")
    assert (BillLine.objects.get().created_by, BillLine.objects.get().origin) == ("ada", "bill.csv")


def test_a_sum_of_days_is_enough(admin_client: Client, frozen_now: dt.datetime) -> None:
    provider("openai")
    add_request()
    today = f"{frozen_now:%Y-%m-%d}"
    body = {"provider": "openai", "since": today, "until": today, "usd": "0.5"}
    response = admin_client.post(reverse("bill-enter"), body, follow=True)
    assert response.context["reconciliation"].difference == 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"since": "2026-01-02", "until": "2026-01-02"}, "usd"),
        ({"since": "2026-01-02", "until": "2000-01-01", "usd": "1"}, "usd"),
        ({"file": upload("x.csv", b"nonsense\n1\n")}, "file"),
        ({"file": upload("x.csv", b"date,cost\n")}, "file"),
        ({"file": upload("x.csv", b"\xff\xfe\x00")}, "file"),
    ],
)
def test_an_empty_bill_is_refused(admin_client: Client, fields: Any, field: str) -> None:
    provider("openai")
    response = admin_client.post(reverse("bill-enter"), {"provider": "openai", **fields})
    assert response.status_code == 422
    assert field in response.context["form"].errors
    assert not BillLine.objects.exists()


def test_possible_reasons_for_a_difference_are_shown(viewer_client: Client) -> None:
    add_request("r1", cost_usd=None, charged_usd=None)
    add_request("r2", outcome="cut")
    text = viewer_client.get(reverse("cost"), {"provider": "openai"}).content.decode()
    assert "Unknown price" in text
    assert "Interrupted streams" in text


@pytest.mark.parametrize(
    "query",
    [{"since": "soon"}, {"since": "2026-01-02", "until": "2026-01-01"}, {"since": "2001-01-01"}],
)
def test_an_invalid_period_shows_a_problem(viewer_client: Client, query: dict[str, str]) -> None:
    response = viewer_client.get(reverse("cost"), query)
    assert response.status_code == 200
    assert response.context["problem"]


def test_an_unknown_provider_shows_a_problem(viewer_client: Client) -> None:
    """Its page had the figures of another provider without a word."""
    content = viewer_client.get(reverse("cost"), {"provider": "nobody"}).content.decode()
    assert "There is no provider named nobody." in content


def test_the_export_has_the_requested_columns(viewer_client: Client) -> None:
    team = Team.objects.create(name="search")
    key = ApiKey.objects.create(name="ci", prefix="sk-ci", digest=b"x", team=team)
    add_request(key_id=key.pk, key_prefix="sk-ci")
    page = viewer_client.get(reverse("cost")).content.decode()
    assert re.search(r'name="by" value="end_user">\s*End user\s*<', page)
    response = viewer_client.get(reverse("spend-export"), {"by": ["team", "key"], "format": "csv"})
    (row,) = csv.DictReader(io.StringIO(response.content.decode()))
    assert (row["team"], row["key"], Decimal(row["charged_usd"])) == (
        "search",
        "ci",
        Decimal("0.6"),
    )
    response = viewer_client.get(reverse("spend-export"), {"by": "model", "format": "json"})
    assert json.loads(response.content)[0]["model"] == "openai/gpt-5"


def test_a_global_markup_is_set_and_removed(admin_client: Client) -> None:
    admin_client.post(reverse("markup-set"), {"markup": "1.25"})
    assert store.load_snapshot().markup == Decimal("1.25")
    admin_client.post(reverse("markup-set"), {"markup": ""})
    assert store.load_snapshot().markup is None
    response = admin_client.post(reverse("markup-set"), {"markup": "-1"})
    assert store.load_snapshot().markup is None
    assert response.status_code == 422
    assert 'value="-1"' in response.content.decode()


def test_a_newer_list_is_looked_at_and_accepted_in_part(admin_client: Client) -> None:
    model(SONNET, provider("claude", "anthropic"))
    data = newer_snapshot(usd=["4", "15", "0.3", "3.75", "6"], new=True)
    response = admin_client.post(
        reverse("price-lists"), {"file": upload("newer.json", data)}, follow=True
    )
    text = response.content.decode()
    assert "<ins>$4.00</ins>" in text
    assert "+33.3 %" in text
    assert "claude-next" not in text, "models in use come first"
    row = PriceUpdate.objects.get()
    indexes = [record["index"] for record in response.context["entries"]]
    admin_client.post(
        reverse("price-accept", args=[row.pk]), {"what": "some", "index": indexes, "shown": indexes}
    )
    store.load_snapshot()
    assert price_for("anthropic", SONNET).input == 4
    assert price_for("anthropic", "claude-next").input is None
    assert Change.objects.filter(kind="priceupdate", actor="ada", action="changed").exists()


def test_a_price_update_is_accepted_completely_and_dropped(admin_client: Client) -> None:
    data = newer_snapshot(usd=["4", "15", "0.3", "3.75", "6"], new=True)
    admin_client.post(reverse("price-lists"), {"file": upload("newer.json", data)})
    accept = reverse("price-accept", args=[PriceUpdate.objects.get().pk])
    admin_client.post(accept, {"what": "all"})
    store.load_snapshot()
    assert price_for("anthropic", "claude-next").input == 7
    admin_client.post(accept, {"what": "drop"})
    store.load_snapshot()
    assert price_for("anthropic", "claude-next").input is None


def test_rows_not_on_the_page_stay_accepted(admin_client: Client) -> None:
    data = newer_snapshot(usd=["4", "15", "0.3", "3.75", "6"], new=True)
    admin_client.post(reverse("price-lists"), {"file": upload("newer.json", data)})
    row = PriceUpdate.objects.get()
    row.accept([0, 1], "ada")
    admin_client.post(reverse("price-accept", args=[row.pk]), {"what": "some", "shown": ["0"]})
    row.refresh_from_db()
    assert row.accepted == [1]


def test_changes_of_a_price_list_are_paged(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes after the first 300 could only be accepted together with all others."""
    monkeypatch.setattr(price_lists_page, "PAGE_ROWS", 1)
    data = newer_snapshot(usd=["4", "15", "0.3", "3.75", "6"], new=True)
    admin_client.post(reverse("price-lists"), {"file": upload("newer.json", data)})
    row = PriceUpdate.objects.get()
    url = reverse("price-update", args=[row.pk], query={"all": 1, "page": 2})
    text = admin_client.get(url).content.decode()
    assert "2–2 of 2" in text and "claude-next" not in text and SONNET in text
    accept = reverse("price-accept", args=[row.pk])
    assert f'action="{accept}?all=1&amp;page=2"' in text
    response = admin_client.post(f"{accept}?all=1&page=2", {"what": "some", "shown": ["1"]})
    assert response.headers["Location"] == url


@pytest.mark.parametrize("data", [b"nonsense", b"{}", newer_snapshot()])
def test_a_file_that_is_no_newer_list_is_refused(admin_client: Client, data: bytes) -> None:
    response = admin_client.post(reverse("price-lists"), {"file": upload("x.json", data)})
    assert response.status_code == 422
    assert not PriceUpdate.objects.exists()


@pytest.mark.parametrize("name", ["bill-enter", "markup-set", "price-lists"])
def test_viewers_change_nothing(viewer_client: Client, name: str) -> None:
    assert viewer_client.post(reverse(name), {"markup": "9"}).status_code == 403


def test_viewers_see_no_form(viewer_client: Client) -> None:
    provider("openai")
    text = viewer_client.get(reverse("cost")).content.decode()
    assert reverse("bill-enter") not in text
    assert reverse("markup-set") not in text
