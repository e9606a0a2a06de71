"""Traces of agents: matching of requests and spans, sums, and permissions."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console.pages.traces.waterfall import AXIS, Waterfall, trace_waterfall
from gateway import store
from gateway.models import ClientSpan, ClientTrace, RequestLog
from tests.console.test_requests import logged

HEX = "ab" * 16
START = timezone.now() - dt.timedelta(minutes=5)


def time_at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def span(
    number: int, parent: int = 0, first: float = 0.0, last: float = 1.0, **changes: Any
) -> ClientSpan:
    trace_id = changes.pop("trace_id", HEX)
    ClientTrace.objects.get_or_create(
        trace_id=trace_id,
        key_id=changes.get("key_id", 0),
        defaults={"started_at": START, "ended_at": START, "name": "Workflow"},
    )
    fields = {
        "trace_id": trace_id,
        "span_id": f"s{number}",
        "parent_id": f"s{parent}" if parent else "",
        "name": f"span {number}",
        "kind": "custom",
        "started_at": time_at(first),
        "ended_at": time_at(last),
        "content_omitted": "none",
        **changes,
    }
    return ClientSpan.objects.create(**fields)


def request(name: str, seconds: float, **changes: Any) -> RequestLog:
    fields = {"duration_ms": 100.0, "cost_usd": Decimal("0.5"), "input_tokens": 10, **changes}
    row = logged(name, **fields)
    RequestLog.objects.filter(pk=row.pk).update(started_at=time_at(seconds))
    return row


def shape(waterfall: Waterfall) -> list[tuple[int, str]]:
    return [
        (line.depth, line.span.span_id if line.span else line.request.request_id)
        for line in waterfall.lines
        if line.span or line.request
    ]


def test_a_request_is_a_child_of_the_span_in_its_traceparent(db: None) -> None:
    span(1, last=3)
    span(2, 1, last=2)
    request("req_a", 1, trace_id=HEX, parent_span_id="s2")
    waterfall = trace_waterfall([HEX])
    assert shape(waterfall) == [(0, "s1"), (1, "s2"), (2, "req_a")]


def test_a_trace_without_requests_has_no_cost(admin_client: Client) -> None:
    """The cost is not unknown: there is nothing that has a price."""
    span(1, last=3)
    page = admin_client.get(f"/console/traces/{HEX}").content.decode()
    sums = page[page.index('<dl class="sums">') : page.index("</dl>")]
    assert "unknown" not in sums
    assert "0.0 ms" not in sums.partition("Tools")[0]


@pytest.mark.parametrize(
    ("response_id", "fields"),
    [
        pytest.param("resp_77", {"response_id": "resp_77"}, id="Responses API"),
        pytest.param("chatcmpl-x", {"request_id": "req_x"}, id="translated Chat"),
        pytest.param("chatcmpl-up", {"upstream_id": "chatcmpl-up"}, id="passthrough"),
    ],
)
def test_a_request_is_a_child_of_the_span_with_its_response(
    db: None, response_id: str, fields: dict[str, Any]
) -> None:
    span(1, kind="generation", response_id=response_id)
    name = fields.pop("request_id", "req_a")
    request(name, 0.5, **fields)
    request("req_other", 0.5, upstream_id="other")
    assert shape(trace_waterfall([HEX])) == [(0, "s1"), (1, name)]


def test_without_ids_key_model_and_time_decide(db: None) -> None:
    span(1, kind="generation", model="gw", key_id=1, first=0, last=1)
    span(2, kind="generation", model="gw", key_id=1, first=2, last=3)
    for name, seconds, changes in (
        ("req_first", 0.1, {}),
        ("req_second", 2.1, {}),
        ("req_other_key", 0.2, {"key_id": 2}),
        ("req_other_model", 0.2, {"requested_model": "else"}),
        ("req_too_long", 2.2, {"duration_ms": 5000.0}),
        ("req_known_elsewhere", 0.2, {"response_id": "resp_1"}),
        ("req_before", -30, {}),
    ):
        request(name, seconds, **{"key_id": 1, "requested_model": "gw", **changes})
    assert shape(trace_waterfall([HEX])) == [
        (0, "s1"),
        (1, "req_first"),
        (0, "s2"),
        (1, "req_second"),
    ]


def test_cost_tokens_and_errors_are_sums_of_the_subtree(db: None) -> None:
    span(1, last=9)
    span(2, 1, last=4)
    span(3, 1, first=5, last=9, kind="tool", error="boom")
    for number, parent in ((1, "s2"), (2, "s2"), (3, "s1")):
        request(f"req_{number}", number, trace_id=HEX, parent_span_id=parent, output_tokens=3)
    waterfall = trace_waterfall([HEX])
    sums = {
        line.span.span_id: (line.requests, line.prompt_tokens, line.output_tokens, line.cost_usd)
        for line in waterfall.lines
        if line.span
    }
    assert sums["s1"] == (3, 30, 9, Decimal("1.5"))
    assert sums["s2"] == (2, 20, 6, Decimal("1.0"))
    assert sums["s3"] == (0, 0, 0, None)
    assert waterfall.lines[0].errors == 1
    assert (waterfall.cost_usd, waterfall.tool_ms, waterfall.errors) == (Decimal("1.5"), 4000, 1)


def test_an_unknown_cost_is_not_zero(db: None) -> None:
    span(1, last=9)
    request("req_a", 1, trace_id=HEX, parent_span_id="s1", cost_usd=None)
    waterfall = trace_waterfall([HEX])
    assert (waterfall.lines[0].cost_usd, waterfall.cost_usd) == (None, None)


def test_parents_that_form_a_cycle_or_are_missing_are_shown(db: None) -> None:
    span(1, 2)
    span(2, 1)
    span(3, 99)
    span(4, 4)
    assert sorted(name for _, name in shape(trace_waterfall([HEX]))) == ["s1", "s2", "s3", "s4"]


def test_a_deep_chain_is_shown(db: None) -> None:
    for number in range(1, 400):
        span(number, number - 1, first=number / 1000)
    assert max(depth for depth, _ in shape(trace_waterfall([HEX]))) == 398


def test_bars_lie_on_the_axis_and_pauses_are_shortened(db: None) -> None:
    span(1, first=0, last=1)
    span(2, first=3600, last=3601)
    waterfall = trace_waterfall([HEX])
    first, second = waterfall.lines
    assert waterfall.has_pauses
    assert first.x == 0
    assert first.width == pytest.approx(second.width, abs=1)
    assert second.x + second.width <= AXIS
    assert first.width > AXIS / 3


def test_the_list_leads_to_the_waterfall_and_to_the_request(admin_client: Client) -> None:
    span(1, kind="agent", name="Planner", last=2)
    row = request("req_a", 1, trace_id=HEX, parent_span_id="s1")
    page = admin_client.get("/console/traces").content.decode()
    assert f'href="/console/traces/{HEX}"' in page
    page = admin_client.get(f"/console/traces/{HEX}").content.decode()
    assert "Planner" in page
    assert f'href="/console/requests/{row.pk}?range=all"' in page
    page = admin_client.get(f"/console/requests/{row.pk}").content.decode()
    assert f'href="/console/traces/{HEX}"' in page


def test_the_session_of_requests_shows_the_traces_of_the_same_group(admin_client: Client) -> None:
    span(1, kind="agent", name="Planner", trace_id="trace_1")
    ClientTrace.objects.update(session="talk")
    row = request("req_a", 0.5, session="talk")
    page = admin_client.get(f"/console/requests/{row.pk}?tab=session").content.decode()
    assert "Planner" in page
    assert page.count('<tr class="request"') == 1


def test_content_requires_permission_to_read_bodies(
    admin_client: Client, viewer_client: Client
) -> None:
    content = json.dumps({"input": "private words", "<b>": 1}).encode()
    row = span(1, content=content, content_omitted="", attributes={"model": "gw"})
    page = admin_client.get(f"/console/traces/spans/{row.pk}").content.decode()
    assert "private words" in page
    assert "&lt;b&gt;" in page
    page = viewer_client.get(f"/console/traces/spans/{row.pk}").content.decode()
    assert "private words" not in page
    assert "Your role may not read content." in page
    assert "gw" in page


def test_a_span_has_its_duration(admin_client: Client) -> None:
    ended, running = span(1, last=3.5), span(2, ended_at=None)
    page = admin_client.get(f"/console/traces/spans/{ended.pk}").content.decode()
    assert "<dt>Duration</dt><dd>3.50 s</dd>" in page
    page = admin_client.get(f"/console/traces/spans/{running.pk}").content.decode()
    assert "<dt>Duration</dt><dd>—</dd>" in page


def test_unknown_traces_and_spans_are_404(admin_client: Client) -> None:
    assert admin_client.get("/console/traces/none").status_code == 404
    assert admin_client.get("/console/traces/spans/7").status_code == 404
    assert "appear here" in admin_client.get("/console/traces").content.decode()
    assert admin_client.get("/console/traces?before=x").status_code == 200


def test_the_key_of_a_trace_has_its_name(admin_client: Client) -> None:
    key, _secret = store.create_key("travel agent")
    span(1, key_id=key.pk)
    span(2, key_id=key.pk + 1, trace_id="cd" * 16)
    ClientTrace.objects.filter(key_id=key.pk).update(key_prefix=key.prefix)
    ClientTrace.objects.exclude(key_id=key.pk).update(key_prefix="sk-dgm-deleted")
    page = admin_client.get("/console/traces").content.decode()
    assert f'title="{key.prefix}" data-label="Key">travel agent<' in page
    assert 'data-label="Key">sk-dgm-deleted<' in page
    assert "travel agent" in admin_client.get(f"/console/traces/{HEX}").content.decode()
