"""Accepted prices are part of the exported and applied configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError
from django.urls import reverse

from gateway.models import BillLine, PriceUpdate, RowSource
from gateway.providers.prices import apply_updates, price_for
from gateway.store.price_updates import apply_accepted_updates, read_book, store_proposal
from tests.management.test_configuration import command_output, export_configuration

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def shipped_prices() -> Iterator[None]:
    """The shipped prices, restored after the test."""
    apply_updates({})
    yield
    apply_updates({})


def write_file(tmp_path: Path, document: Any, name: str = "gateway.yaml") -> Path:
    path = tmp_path / name
    path.write_text(yaml.safe_dump({"dragoman": 1, **document}, sort_keys=False))
    return path


def apply_prices(tmp_path: Path, *prices: Any, **options: Any) -> list[str]:
    path = write_file(tmp_path, {"prices": list(prices)} if prices else {})
    return command_output("apply", str(path), **options).splitlines()


def accept_price_list(input_usd: str, name: str = "newer.json") -> PriceUpdate:
    """Import a price list of two models and accept it, as on the console."""
    old = price_for("openai", "gpt-5")
    assert old.input is not None
    rows = [
        [["=gpt-5"], [input_usd, "10", "0.1"], 400000, "", [[200000, ["4", "20"]]]],
        [["=gpt-of-tomorrow"], ["7", "70"]],
    ]
    book = {
        "source": "a list",
        "license": "MIT",
        "fetched_on": "2026-11-20",
        "fallback": {},
        "providers": {"openai": rows},
    }
    row = store_proposal(read_book(json.dumps(book).encode()), name)
    new = [n for n, change in enumerate(row.changes) if change["new"] is not None]
    row.accept(new, "mira")
    return row


def price_of(model: str = "gpt-5") -> Decimal | None:
    apply_accepted_updates()
    return price_for("openai", model).input


OWN = {"list": "openai", "match": ["=gpt-5"], "input": "3.5", "output": "11"}


def test_accepted_prices_are_exported_and_imported_unchanged(
    tmp_path: Path,
) -> None:
    accept_price_list("2.5")
    by_model = {
        model: (apply_accepted_updates(), price_for("openai", model))[1]
        for model in ("gpt-5", "gpt-of-tomorrow")
    }
    prices = export_configuration()["prices"]
    assert prices[0] == {
        "list": "openai",
        "match": ["=gpt-5"],
        "before": "=gpt-of-tomorrow",
        "window": 400000,
        "above": [{"tokens": 200000, "input": "4", "output": "20"}],
        "origin": "a list of 2026-11-20",
        "input": "2.5",
        "output": "10",
        "cache_read": "0.1",
    }
    PriceUpdate.objects.all().delete()
    apply_updates({})
    lines = apply_prices(tmp_path, *prices)
    assert lines[:2] == ["+ price openai/gpt-5", "+ price openai/gpt-of-tomorrow"]
    apply_accepted_updates()
    assert {model: price_for("openai", model) for model in by_model} == by_model
    assert export_configuration()["prices"] == prices
    assert PriceUpdate.objects.get().source == RowSource.CODE


def test_a_second_application_changes_nothing(tmp_path: Path) -> None:
    apply_prices(tmp_path, OWN)
    row = PriceUpdate.objects.get()
    assert not [line for line in apply_prices(tmp_path, OWN) if line[:1] in "+-~"]
    assert PriceUpdate.objects.get().updated_at == row.updated_at


def test_a_changed_price_is_listed_by_field_and_a_removed_one_reset(
    tmp_path: Path,
) -> None:
    carried = price_of()
    apply_prices(tmp_path, OWN)
    assert price_of() == Decimal("3.5")
    lines = apply_prices(tmp_path, OWN | {"input": "4"}, dry_run=True)
    assert any("price openai/gpt-5" in line and "input" in line and "4" in line for line in lines)
    assert price_of() == Decimal("3.5"), "a dry run writes nothing"
    assert apply_prices(tmp_path)[0] == "- price openai/gpt-5"
    assert price_of() == carried
    assert not PriceUpdate.objects.exists()


def test_an_accepted_price_is_replaced_only_with_take(tmp_path: Path) -> None:
    accept_price_list("2.5")
    with pytest.raises(CommandError, match=r"gateway\.yaml:3.*--take"):
        apply_prices(tmp_path, OWN)
    assert price_of() == Decimal("2.5")
    apply_prices(tmp_path, OWN, take=True)
    assert price_of() == Decimal("3.5")
    assert export_configuration()["prices"][0]["input"] == "3.5"
    apply_prices(tmp_path)
    assert price_of() == Decimal("2.5"), "what was accepted before holds again"


def test_an_export_of_the_same_database_is_no_change_of_prices(tmp_path: Path) -> None:
    accept_price_list("2.5")
    before = price_of()
    apply_prices(tmp_path, *export_configuration()["prices"])
    assert price_of() == before


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (OWN | {"list": "nobody"}, r"prices\[0\]\.list: there is no such list; there are .*openai"),
        (OWN | {"match": []}, r"prices\[0\]: its clauses are not valid"),
        (OWN | {"match": ["/("]}, r"prices\[0\]: its clauses are not valid"),
        (OWN | {"input": "-1"}, r"prices\[0\]: a price must be a number that is not negative"),
        (OWN | {"inptu": "1"}, r"prices\[0\]\.inptu: there is no such field"),
        ({"list": "openai"}, r"prices\[0\]: .*match"),
        ("gpt-5: 3", r"prices\[0\]: must be a mapping"),
    ],
    ids=["list", "no names", "expression", "negative", "field", "missing", "no mapping"],
)
def test_errors_have_their_path(tmp_path: Path, bad: Any, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        apply_prices(tmp_path, bad)
    with pytest.raises(CommandError, match=r"prices\[1\]\.match: openai/gpt-5 is listed twice"):
        apply_prices(tmp_path, OWN, OWN)
    assert not PriceUpdate.objects.exists()


def test_bills_are_not_exported() -> None:
    BillLine.objects.create(provider="p", since="2026-11-01", until="2026-11-01", usd=1)
    assert export_configuration() == {"dragoman": 1}


def test_the_console_does_not_change_prices_of_the_file(tmp_path: Path, admin_client: Any) -> None:
    apply_prices(tmp_path, OWN)
    row = PriceUpdate.objects.get()
    page = admin_client.get(reverse("price-update", args=[row.pk])).content.decode()
    assert "gateway.yaml" in page and 'value="drop"' not in page
    for action in ("drop", "some"):
        admin_client.post(reverse("price-accept", args=[row.pk]), {"what": action})
    assert PriceUpdate.objects.get().accepted == [0]


def test_the_example_of_the_documentation_is_applied(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "cost.md").read_text()
    (example,) = re.findall(r"```yaml\n(dragoman: 1\nprices:.*?)```", text, re.DOTALL)
    apply_prices(tmp_path, *yaml.safe_load(example)["prices"])
    assert price_of() == Decimal("1.25")
    ((_, long),) = price_for("openai", "gpt-5").above
    assert (long.input, long.output) == (Decimal("2.5"), Decimal(15))
