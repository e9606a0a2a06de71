"""Price updates: changes, accepted in full or in part, applied and audited."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from gateway import store
from gateway.models import Change, PriceUpdate
from gateway.providers import prices
from gateway.providers.prices import FILE, price_for
from gateway.store.price_updates import (
    apply_accepted_updates,
    changes_of,
    compare_prices,
    effects,
    rate_changes,
    read_book,
    store_proposal,
)
from tests.store.factories import make_record, model, provider

pytestmark = pytest.mark.django_db

SONNET = "claude-sonnet-4-5"


@pytest.fixture(autouse=True)
def _restore_prices() -> Iterator[None]:
    yield
    prices.apply_updates({})


def newer_snapshot(**changes: Any) -> bytes:
    """Return the snapshot of a newer version; `changes` are keyed by the first clause."""
    book = json.loads(FILE.read_bytes())
    book["source"], book["fetched_on"] = "genai-prices 9.9", "2027-01-02"
    rows = book["providers"]["anthropic"]
    for row in rows:
        if row[0][0] == f"^{SONNET}" and "usd" in changes:
            row[1] = changes["usd"]
    if "new" in changes:
        rows.insert(0, [["=claude-next"], ["7", "35", None, None, None], 500_000, ""])
    if "gone" in changes:
        rows[:] = [row for row in rows if row[0][0] != changes["gone"]]
    return json.dumps(book).encode()


def test_the_current_price_list_proposes_no_changes() -> None:
    assert compare_prices(read_book(FILE.read_bytes())) == []


def test_a_change_names_each_price_old_and_new() -> None:
    usd = ["4", "15", "0.3", "3.75", "6"]
    (change,) = compare_prices(read_book(newer_snapshot(usd=usd)))
    assert (change.list, change.name, change.kind) == ("anthropic", SONNET, "changed")
    (line,) = rate_changes(change)
    assert (line.name, line.old, line.new, line.percent) == ("input", 3, 4, Decimal("33.3"))


def test_new_and_removed_models_are_listed() -> None:
    changes = compare_prices(read_book(newer_snapshot(new=True, gone="=claude-v1")))
    assert [(change.kind, change.name) for change in changes] == [
        ("new", "claude-next"),
        ("gone", "claude-v1"),
    ]


def test_a_proposed_price_does_not_apply_before_it_is_accepted() -> None:
    store_proposal(read_book(newer_snapshot(usd=["4", "15"])), "prices.json")
    store.load_snapshot()
    assert price_for("anthropic", SONNET).input == 3


def test_accepted_prices_apply_to_the_next_snapshot_with_their_source() -> None:
    model(SONNET, provider("claude", "anthropic"))
    before = store.load_snapshot()
    row = store_proposal(
        read_book(newer_snapshot(usd=["4", "15", None, None, None], new=True)), "prices.json"
    )
    row.accept([0, 1], "ada")
    after = store.load_snapshot()
    assert after.version > before.version
    price = after.models[f"claude/{SONNET}"].price
    assert (price.input, price.cache_read) == (4, None)
    assert price.source == "genai-prices 9.9 of 2027-01-02"
    assert price_for("anthropic", "claude-next").output == 35


def test_only_accepted_prices_apply() -> None:
    row = store_proposal(read_book(newer_snapshot(usd=["4", "15"], new=True)), "prices.json")
    new_indexes = [n for n, change in enumerate(changes_of(row)) if change.kind == "new"]
    row.accept(new_indexes, "ada")
    apply_accepted_updates()
    assert price_for("anthropic", "claude-next").input == 7
    assert price_for("anthropic", SONNET).input == 3


def test_undoing_an_update_restores_the_earlier_prices() -> None:
    row = store_proposal(read_book(newer_snapshot(usd=["4", "15"])), "prices.json")
    row.accept([0], "ada")
    apply_accepted_updates()
    row.accept([], "ada")
    apply_accepted_updates()
    assert price_for("anthropic", SONNET).input == 3


def test_a_new_models_clause_precedes_wider_clauses() -> None:
    """`^claude-sonnet-4-5` would have matched the name otherwise."""
    book = json.loads(newer_snapshot())
    rows = book["providers"]["anthropic"]
    index = next(n for n, row in enumerate(rows) if row[0][0] == f"^{SONNET}")
    rows.insert(index, [[f"={SONNET}-turbo"], ["1", "2"], None, ""])
    store_proposal(read_book(json.dumps(book).encode()), "x").accept([0], "ada")
    apply_accepted_updates()
    assert price_for("anthropic", f"{SONNET}-turbo").input == 1
    assert price_for("anthropic", f"{SONNET}-20250929").input == 3


def test_a_change_shows_its_effect_on_models_in_use() -> None:
    model(SONNET, provider("claude", "anthropic"))
    model("claude-3-opus", provider("other", "anthropic"), price_input=Decimal(1))
    timestamp = (timezone.now() - dt.timedelta(days=1)).timestamp()
    store.write(
        [
            make_record(
                started_at=timestamp,
                provider="claude",
                model=SONNET,
                input_tokens=1_000_000,
                output_tokens=100_000,
                cost_usd=Decimal("4.5"),
            )
        ]
    )
    changes = compare_prices(read_book(newer_snapshot(usd=["4", "15", "0.3", "3.75", "6"])))
    ((effect,),) = effects(changes).values()
    assert (effect.model, effect.old, effect.new) == (
        f"claude/{SONNET}",
        Decimal("4.5"),
        Decimal("5.5"),
    )


def test_a_price_update_is_in_the_audit_log() -> None:
    store_proposal(read_book(newer_snapshot(usd=["4", "15"])), "prices.json").accept([0], "ada")
    kinds = list(
        Change.objects.filter(kind="priceupdate").order_by("pk").values_list("action", flat=True)
    )
    assert kinds == ["created", "changed"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"nonsense", "this is not a price list"),
        (b"{}", "this is not a price list"),
        (newer_snapshot(usd=["-4", "15"]), "a price must be a number"),
        (newer_snapshot(usd=["NaN", "15"]), "price"),
        (newer_snapshot().replace(b'"=claude-v1"', b'"/("'), "clauses are not valid"),
    ],
)
def test_an_invalid_price_list_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_book(data)


def test_a_price_list_without_changes_is_not_stored() -> None:
    with pytest.raises(ValueError, match="in use"):
        store_proposal(read_book(newer_snapshot()), "x")
    assert not PriceUpdate.objects.exists()


def test_the_command_shows_and_accepts(tmp_path: Path, capsys: Any) -> None:
    model(SONNET, provider("claude", "anthropic"))
    file = tmp_path / "newer.json"
    file.write_bytes(newer_snapshot(usd=["4", "15", "0.3", "3.75", "6"], new=True))
    call_command("prices", diff=str(file))
    out = capsys.readouterr().out
    assert "input: $3 -> $4 (+33.3%)" in out
    assert f"in use: claude/{SONNET}" in out
    assert "2 changes, 1 of models in use" in out
    call_command("prices", accept=str(file), only=[f"anthropic/{SONNET}"])
    apply_accepted_updates()
    assert price_for("anthropic", SONNET).input == 4
    assert price_for("anthropic", "claude-next").input is None
    with pytest.raises(CommandError, match="does not change anthropic/none"):
        call_command("prices", accept=str(file), only=["anthropic/none"])
