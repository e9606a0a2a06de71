"""`/api/traces`: the list, the tree of a trace, and permissions on span content."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from gateway.models import ClientTrace
from tests.console.test_traces import HEX, request, span, time_at

pytestmark = pytest.mark.django_db


def get(client: Client, path: str, **params: Any) -> Any:
    reply = client.get(f"/api/{path}", params)
    assert reply.status_code == 200, reply.content
    return reply.json()


def test_a_trace_is_a_tree_of_spans_and_requests_with_sums(viewer_client: Client) -> None:
    span(1, last=3, name="Forecaster", kind="agent")
    span(2, 1, last=2, name="lookup", kind="tool", error="no data", attributes={"tool": "x"})
    request("req_a", 1, trace_id=HEX, parent_span_id="s1")
    response = get(viewer_client, f"traces/{HEX}")
    assert [
        (row["kind"], row["name"], row["parent"], row["depth"]) for row in response["lines"]
    ] == [
        ("agent", "Forecaster", None, 0),
        ("tool", "lookup", 0, 1),
        ("request", response["lines"][2]["name"], 0, 1),
    ]
    agent, tool, request_line = response["lines"]
    assert (agent["requests"], agent["prompt_tokens"], float(agent["cost_usd"])) == (1, 10, 0.5)
    assert (agent["errors"], tool["error"], tool["attributes"]) == (1, "no data", {"tool": "x"})
    assert (request_line["id"], request_line["duration_ms"]) == ("req_a", 100.0)
    assert (response["spans"], response["requests"], response["name"]) == (2, 1, "Workflow")


def test_the_list_has_pages_filters_and_counts(viewer_client: Client) -> None:
    for number in range(3):
        span(number, trace_id=f"trace_{number}", error="x" if number == 2 else "")
    own_filters = {"session": "s", "key_prefix": "sk-dgm-a", "service": "planner", "failed": True}
    ClientTrace.objects.filter(trace_id="trace_1").update(**own_filters)
    first = get(viewer_client, "traces", limit=2)
    assert [row["trace_id"] for row in first["items"]] == ["trace_2", "trace_1"]
    assert (first["items"][0]["spans"], first["items"][0]["errors"]) == (1, 1)
    next_page = get(viewer_client, "traces", limit=2, cursor=first["next"])
    assert [row["trace_id"] for row in next_page["items"]] == ["trace_0"]
    assert next_page["next"] is None
    assert first["items"][1]["service"] == "planner"
    filtered: list[dict[str, Any]] = [{"session": "s"}, {"key": "sk-dgm-a"}, {"service": "planner"}]
    for filters in (*filtered, {"failed": True}, {"q": "PLAN"}):
        assert [row["trace_id"] for row in get(viewer_client, "traces", **filters)["items"]] == [
            "trace_1"
        ]
    assert get(viewer_client, "traces", since=time_at(3600).isoformat())["items"] == []
    assert len(get(viewer_client, "traces", until=time_at(3600).isoformat())["items"]) == 3


def test_content_requires_permission_to_read_bodies(
    admin_client: Client, viewer_client: Client
) -> None:
    full = span(1, content=json.dumps({"input": "hi"}).encode(), content_omitted="")
    off = span(2, content_omitted="off")
    response = get(admin_client, f"traces/{HEX}/spans/{full.pk}/content")
    assert response == {"stored": True, "reason": "", "content": {"input": "hi"}}
    response = get(admin_client, f"traces/{HEX}/spans/{off.pk}/content")
    assert (response["stored"], "disable" in response["reason"]) == (False, True)
    assert viewer_client.get(f"/api/traces/{HEX}/spans/{full.pk}/content").status_code == 403
    assert admin_client.get(f"/api/traces/{HEX}/spans/{off.pk + 9}/content").status_code == 404
    assert admin_client.get(f"/api/traces/other/spans/{full.pk}/content").status_code == 404
    assert admin_client.get("/api/traces/other").status_code == 404
