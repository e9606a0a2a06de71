"""Spans of a real OpenTelemetry exporter and requests of the gateway in one waterfall."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tests.browser.conftest import PHONE
from tests.browser.site import Site
from tests.waits import wait_until

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "What is a span?"}]}


class ResultRecorder(OTLPSpanExporter):
    """An exporter that records the results of its exports."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.results: list[SpanExportResult] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.results.append(super().export(spans))
        return self.results[-1]


@pytest.fixture(scope="module")
def trace_id(site: Site) -> str:
    """Run a workflow whose agent calls the model and a failing tool; return the trace id."""
    exporter = ResultRecorder(
        endpoint=f"{site.url}/v1/traces",
        headers={"authorization": f"Bearer {site.key}"},
        compression=Compression.Gzip,
    )
    provider = TracerProvider(resource=Resource({"service.name": "planner"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    agent = {"gen_ai.operation.name": "invoke_agent", "session.id": "talk-7"}
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "population"}
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "demo"}
    with tracer.start_as_current_span("invoke_agent Planner", attributes=agent) as root:
        with tracer.start_as_current_span("chat demo", attributes=chat) as span:
            headers = {"authorization": f"Bearer {site.key}"}
            TraceContextTextMapPropagator().inject(headers)
            url = f"{site.url}/v1/chat/completions"
            reply = httpx.post(url, json=CHAT, headers=headers, timeout=30).json()
            span.set_attribute("gen_ai.response.id", reply["id"])
            span.set_attribute("gen_ai.input.messages", "What is a span?")
        # Without a traceparent: the id of the response leads to its request.
        with tracer.start_as_current_span("chat responses", attributes=chat) as span:
            headers = {"authorization": f"Bearer {site.key}"}
            body = {"model": "demo", "input": "And a trace?"}
            reply = httpx.post(f"{site.url}/v1/responses", json=body, headers=headers, timeout=30)
            span.set_attribute("gen_ai.response.id", reply.json()["id"])
        with tracer.start_as_current_span("execute_tool population", attributes=tool) as span:
            span.set_status(Status(StatusCode.ERROR, "no data for Paris"))
    provider.shutdown()
    assert exporter.results == [SpanExportResult.SUCCESS] * 4
    return f"{root.get_span_context().trace_id:032x}"


def waterfall_lines(page: Any, path: str) -> list[str]:
    """Return the lines of a waterfall once the log has the requests."""

    def lines() -> list[str]:
        page.goto(path)
        cells = page.locator(".waterfall tbody .what").all_inner_texts()
        return [" ".join(cell.split()) for cell in cells]

    wait_until(lambda: lines().count("Request demo") == 2)
    return lines()


def test_a_trace_is_found_and_its_request_opened(signed_in: Any, trace_id: str) -> None:
    assert waterfall_lines(signed_in, f"/console/traces/{trace_id}") == [
        "agent invoke_agent Planner 1 error",
        "generation chat demo",
        "Request demo",
        "generation chat responses",
        "Request demo",
        "tool execute_tool population error",
    ]
    signed_in.goto("/console/traces")
    signed_in.get_by_role("link", name="invoke_agent Planner").click()
    signed_in.locator(".waterfall tr.request a").first.click()
    signed_in.locator("#detail-title").wait_for()
    signed_in.get_by_role("link", name="Agent trace").click()
    signed_in.locator(".waterfall").wait_for()


def test_a_span_has_its_attributes_and_content(signed_in: Any, trace_id: str) -> None:
    waterfall_lines(signed_in, f"/console/traces/{trace_id}")
    signed_in.locator(".waterfall tr.generation a").first.click()
    signed_in.get_by_text("What is a span?").wait_for()
    signed_in.get_by_text("planner").wait_for()


def test_a_viewer_sees_the_spans_without_content(viewer_page: Any, trace_id: str) -> None:
    waterfall_lines(viewer_page, f"/console/traces/{trace_id}")
    viewer_page.locator(".waterfall tr.generation a").first.click()
    viewer_page.get_by_text("Your role may not read content.").wait_for()
    assert "What is a span?" not in viewer_page.locator("main").inner_text()


def test_on_a_phone_without_scripts_every_trace_bar_is_visible(
    open_page: Callable[..., Any], trace_id: str
) -> None:
    page = open_page("admin", size=PHONE, java_script_enabled=False)
    waterfall_lines(page, f"/console/traces/{trace_id}")
    for bar in page.locator(".waterfall td.timeline svg").all():
        box = bar.bounding_box()
        assert box is not None
        assert box["width"] > 100
        assert box["x"] + box["width"] <= PHONE["width"]


def test_an_exporter_with_a_wrong_key_gets_an_error(site: Site) -> None:
    exporter = ResultRecorder(
        endpoint=f"{site.url}/v1/traces", headers={"authorization": "Bearer sk-dgm-wrong"}
    )
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("tests").start_as_current_span("lost"):
        pass
    provider.shutdown()
    assert exporter.results == [SpanExportResult.FAILURE]
