"""The usage page: sums by model, key, provider and route; an unknown price is not zero."""

from __future__ import annotations

import csv
import datetime as dt
import itertools
import json
import re
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.insight import series, time_ranges
from console.insight.variants import compare_variants
from gateway import store
from gateway.models import Team
from gateway.relay.exchange.log_record import LogRecord
from gateway.usage_querysets import Totals
from tests.markup import normalize_html
from tests.store.factories import make_record
from tests.store.test_hedge_losers import hedged_request

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("frozen_now")]

NOW = dt.datetime(2026, 11, 21, 10, 20, tzinfo=dt.UTC)


def add_request(id: str = "req_1", *, ago: float = 60, **values: Any) -> LogRecord:
    fields: dict[str, Any] = {
        "started_at": timezone.now().timestamp() - ago,
        "provider": "openai",
        "model": "gpt-5",
        "key_prefix": "sk-dgm-mira",
        "input_tokens": 100,
        "cache_read_tokens": 50,
        "output_tokens": 20,
        "cost_usd": Decimal("0.25"),
    }
    return make_record(id, **(fields | values))


def page(client: Client, **query: str) -> str:
    response = client.get(reverse("usage"), query)
    assert response.status_code == 200
    return response.content.decode()


def chart(text: str, measure: str) -> dict[str, Any]:
    match = re.search(rf'<script id="{measure}-chart" type="application/json">(.*?)</script>', text)
    assert match
    return json.loads(match[1])


def test_an_empty_log_links_to_the_playground(viewer_client: Client) -> None:
    text = page(viewer_client)
    assert f'href="{reverse("playground")}"' in text
    assert "uPlot" not in text.replace("uPlot.min.css", "")


def test_cost_and_tokens_are_summed(viewer_client: Client) -> None:
    store.write([add_request("a"), add_request("b")])
    text = page(viewer_client)
    assert "$0.50" in text
    assert sum(chart(text, "cost")["series"][0]["values"]) == 0.5
    # Cached input is a part of the prompt.
    assert sum(chart(text, "tokens")["series"][0]["values"]) == 340


def test_checks_of_targets_cost_but_are_no_requests(viewer_client: Client) -> None:
    store.write([add_request("a"), add_request("check_1", key_prefix="check", outcome="error")])
    text = normalize_html(page(viewer_client, by="key"))
    assert "<dt>Requests</dt><dd>1</dd>" in text
    assert "<dt>Failed</dt><dd>0 %</dd>" in text
    assert "$0.50" in text
    total = series.usage(time_ranges.time_range_of("24h"), "key")
    assert {line.name: line.totals.requests for line in total.rows} == {
        "sk-dgm-mira": 1,
        "check": 0,
    }


def test_checks_are_no_requests_of_a_variant(viewer_client: Client) -> None:
    store.write(
        [
            add_request("a", variant="now"),
            add_request("check_1", key_prefix="check", variant="now"),
        ],
    )
    (line,) = compare_variants(timezone.now() - dt.timedelta(days=1))
    assert (line.name, line.requests) == ("now", 1)


def test_an_unknown_price_is_shown_as_unknown_not_zero(viewer_client: Client) -> None:
    store.write([add_request(cost_usd=None)])
    text = page(viewer_client)
    assert "unknown" in text
    assert "$0<" not in text
    assert chart(text, "cost")["series"][0]["labels"][-1] == "unknown"


def test_an_incomplete_sum_is_marked(viewer_client: Client) -> None:
    store.write([add_request("a"), add_request("b", cost_usd=None)])
    assert "and 1 unknown" in page(viewer_client)


@pytest.mark.parametrize(
    ("by", "name"),
    [("model", "openai/gpt-5"), ("key", "sk-dgm-mira"), ("provider", "openai"), ("route", "fast")],
)
def test_usage_is_grouped_by_the_selected_dimension(
    viewer_client: Client, by: str, name: str
) -> None:
    store.write([add_request()])
    assert [row["name"] for row in chart(page(viewer_client, by=by), "cost")["series"]] == [name]


def test_a_key_of_the_registry_is_shown_by_its_name(viewer_client: Client) -> None:
    key, _ = store.create_key("agents of Mira")
    store.write([add_request(key_id=key.pk, key_prefix=key.prefix)])
    assert chart(page(viewer_client, by="key"), "cost")["series"][0]["name"] == "agents of Mira"


def test_rows_outside_the_range_are_omitted(viewer_client: Client) -> None:
    store.write([add_request("new"), add_request("old", ago=3 * 86_400)])
    assert sum(chart(page(viewer_client, span="24h"), "cost")["series"][0]["values"]) == 0.25
    assert sum(chart(page(viewer_client, span="7d"), "cost")["series"][0]["values"]) == 0.5


def test_invalid_query_parameters_show_the_default_view(viewer_client: Client) -> None:
    store.write([add_request()])
    text = page(viewer_client, by="password", span="<script>")
    assert len(chart(text, "cost")["captions"]) == 30


def test_many_small_groups_are_summed_as_others(viewer_client: Client) -> None:
    store.write([add_request(f"req_{n}", model=f"m{n}") for n in range(12)])
    actual_series = chart(page(viewer_client), "cost")["series"]
    assert len(actual_series) == series.MAX_SERIES
    assert actual_series[-1]["name"] == "6 others"
    assert sum(sum(row["values"]) for row in actual_series) == pytest.approx(3.0)


def test_a_long_table_ends_with_the_sum_of_the_others(
    viewer_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "MAX_ROWS", 4)
    store.write([add_request(f"r{n}", model=f"m{n}", cost_usd=Decimal(n)) for n in range(1, 7)])
    table = page(viewer_client).partition('id="lines-title"')[2]
    names = re.findall(r'class="trunc"[^>]*>([^<]*)<', table)
    assert names == ["openai/m6", "openai/m5", "openai/m4", "3 others"]
    assert "$6.00" in table.rpartition("3 others")[2], "1 + 2 + 3"
    rows = series.usage(time_ranges.time_range_of("24h"), "model").rows
    assert sum(row.totals.requests for row in rows) == 6


def test_a_page_of_many_names_runs_no_more_queries(
    viewer_client: Client, django_assert_max_num_queries: Any
) -> None:
    store.write([add_request(f"r{n}", model=f"m{n}") for n in range(150)])
    with django_assert_max_num_queries(16):
        page(viewer_client)


def test_a_hostile_model_name_is_escaped(viewer_client: Client) -> None:
    store.write([add_request(model="</script><img src=x onerror=alert(1)>")])
    text = page(viewer_client)
    assert "<img src=x" not in text
    assert "onerror" in chart(text, "cost")["series"][0]["name"]


def test_the_table_below_a_chart_has_its_numbers(viewer_client: Client) -> None:
    store.write([add_request()])
    table = (
        page(viewer_client).partition('class="table plain-table steps"')[2].partition("</table>")[0]
    )
    assert table.count("$0.25") == 2  # the model, and all together


def rows_of(client: Client, **query: str) -> list[dict[str, str]]:
    response = client.get(reverse("usage-csv"), query)
    assert "attachment" in response["Content-Disposition"]
    return list(csv.DictReader(response.content.decode().splitlines()))


def test_csv_has_the_exact_cost_and_an_empty_cell_where_it_is_unknown(
    viewer_client: Client,
) -> None:
    store.write(
        [
            add_request("a", cost_usd=Decimal("0.0000000012")),
            add_request("b", model="x", cost_usd=None),
        ]
    )
    rows = {row["model"]: row for row in rows_of(viewer_client)}
    assert rows["openai/gpt-5"]["cost_usd"] == "0.0000000012"
    assert rows["openai/x"]["cost_usd"] == ""
    assert rows["openai/x"]["requests_without_price"] == "1"


def test_csv_is_not_aggregated(viewer_client: Client) -> None:
    store.write([add_request(f"req_{n}", model=f"m{n}") for n in range(12)])
    assert len(rows_of(viewer_client)) == 12


def test_csv_cells_are_never_formulas(viewer_client: Client) -> None:
    store.write([add_request(route="=cmd()")])
    assert [row["route"] for row in rows_of(viewer_client, by="route")] == ["'=cmd()"]


# Ranges


@pytest.mark.parametrize("name", time_ranges.TIME_RANGES)
def test_the_steps_of_a_range_are_complete_and_end_now(name: str) -> None:
    span = time_ranges.TIME_RANGES[name]
    step_starts = time_ranges.step_starts(span, NOW)
    assert len(set(step_starts)) == span.count
    assert step_starts == sorted(step_starts)
    assert step_starts[-1] <= NOW
    assert time_ranges.step_start(span.step, NOW) == step_starts[-1]


def test_days_are_those_of_utc_in_each_time_zone() -> None:
    """As for budgets and bills, so that pages have the same sums."""
    with timezone.override("America/New_York"):
        step_starts = time_ranges.step_starts(time_ranges.TIME_RANGES["30d"], NOW)
        captions = [time_ranges.caption("day", start) for start in step_starts]
    assert {start.hour for start in step_starts} == {0}
    assert captions[-1] == f"{NOW.day} {NOW:%b}"


def test_hours_are_neither_lost_nor_doubled_when_clocks_change() -> None:
    changed = dt.datetime(2026, 10, 25, 12, tzinfo=dt.UTC)
    with timezone.override("Europe/Berlin"):
        step_starts = time_ranges.step_starts(time_ranges.TIME_RANGES["24h"], changed)
    steps = {later - earlier for earlier, later in itertools.pairwise(step_starts)}
    assert steps == {dt.timedelta(hours=1)}


def test_a_cell_distinguishes_zero_unknown_and_empty() -> None:
    assert series.cell(Totals(), "cost").text == "—"
    assert series.cell(Totals(requests=1, priced_requests=1), "cost").text == "$0"
    assert series.cell(Totals(requests=1, unpriced_requests=1), "cost").text == "unknown"


def test_charges_are_shown_beside_costs_with_markups(viewer_client: Client) -> None:
    store.write([add_request("a", charged_usd=Decimal("0.25"))])
    assert "with markup" not in page(viewer_client)
    store.write([add_request("b", charged_usd=Decimal("0.50"))])
    assert "$0.75 charged, with markup" in page(viewer_client)


def test_a_provider_with_only_hedge_losers_has_its_cost(viewer_client: Client) -> None:
    store.write([hedged_request(started=timezone.now().timestamp() - 60)])
    text = page(viewer_client, by="provider")
    assert "$0.04" in text
    rows = csv.DictReader(
        viewer_client.get(reverse("usage-csv"), {"by": "provider"}).content.decode().splitlines()
    )
    by_provider = {row["provider"]: (row["requests"], Decimal(row["cost_usd"])) for row in rows}
    assert by_provider == {"quick": ("1", Decimal("0.1")), "slow": ("0", Decimal("0.04"))}


def test_usage_is_grouped_by_team_project_and_user_of_the_key(viewer_client: Client) -> None:
    team = Team.objects.create(name="blue")
    key, _ = store.create_key("agents")
    key.team, key.user = Team.objects.create(name="search", parent=team), "mira"
    key.save()
    store.write([add_request(key_id=key.pk, cost_usd=Decimal(1)), add_request("req_2")])
    for by, name in (("team", "blue"), ("project", "search"), ("user", "mira")):
        text = page(viewer_client, by=by)
        series = chart(text, "cost")["series"]
        assert [row["name"] for row in series] == [name, f"no {by}"]
        assert f"By {by}" in text
        assert [row[by] for row in rows_of(viewer_client, by=by)] == [name, f"no {by}"]
