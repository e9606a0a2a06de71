"""Playground runs in process: a real relay, the demo provider and an in-memory store."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from console.dialects import CONSOLE_DIALECTS
from console.playground.events import decode_events
from console.playground.plan_parser import parse
from console.playground.results import RunResults, collect_results
from console.playground.run import Run, active_run
from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Price
from gateway.relay.runtime import Runtime
from gateway.routing.snapshot import Provider, Route, Snapshot, Target, model_of
from tests.relay.harness import Gateway, gateway
from tests.waits import is_ever_within, wait_until_async

Json = dict[str, Any]

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "born": {"type": "integer"}},
    "required": ["name", "born"],
    "additionalProperties": False,
}
TOOL = {
    "name": "get_weather",
    "schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
# A prompt that is continued offers no tools.
TAKES_TOOLS = sorted(set(CONSOLE_DIALECTS) - {"openai_completions"})
EXPECTED = [{"name": "get_weather", "arguments": {"city": "Paris"}}]
ASKS_TOOL = "What is the weather? Use get_weather for “Paris”."


class RecordingRunStore:
    """A store that records finished runs and passes on stops of other processes."""

    def __init__(self) -> None:
        self.saved: list[Run] = []
        self.stop_requests: list[str] = []

    def save(self, run: Run) -> None:
        self.saved.append(run)

    def stops(self, run: Run) -> list[str]:
        return self.stop_requests


def registry() -> Snapshot:
    preset = PRESETS["demo"]
    demo = Provider(
        id=1, name="demo", preset="demo", dialect=preset.dialect, base_url=preset.base_url
    )

    def to(*names: str) -> tuple[Target, ...]:
        return tuple(Target(id=n, model=model_of(demo, x), order=n) for n, x in enumerate(names, 1))

    price = Price(input=Decimal(1000), output=Decimal(1000))
    priced_model = msgspec.structs.replace(model_of(demo, "demo-fast"), price=price)
    routes = (
        Route(id=1, name="safe", targets=to("demo-500", "demo-fast"), retries=0, cooldown_s=0),
        Route(id=2, name="broken", targets=to("demo-500"), retries=0, cooldown_s=0),
        Route(id=3, name="priced", targets=(Target(id=3, model=priced_model, order=1),)),
    )
    return Snapshot(version=1, providers={"demo": demo}, routes={r.name: r for r in routes})


# The runtime of the gateway that the test uses.
_RUNTIMES: list[Runtime] = []


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path, registry()) as live:
        _RUNTIMES.append(live.runtime)
        yield live
        _RUNTIMES.clear()


def body(*models: str, prompt: str = "Hello", **more: Any) -> Json:
    columns = [{"id": "ABCDEFGH"[n], "model": model} for n, model in enumerate(models)]
    return {"columns": columns, "messages": [{"role": "user", "content": prompt}], **more}


def make_run(document: Json, **more: Any) -> tuple[Run, RecordingRunStore]:
    store = RecordingRunStore()
    return Run(_RUNTIMES[-1], "run-1", parse(document), store, **more), store


async def read_events(run: Run) -> list[tuple[str, Json]]:
    run.begin()
    frames = b"".join([part async for part in run.stream()])
    return list(decode_events([part + b"\n\n" for part in frames.split(b"\n\n") if part]))


async def responses(document: Json, **more: Any) -> tuple[list[tuple[str, Json]], RunResults]:
    run, store = make_run(document, **more)
    async with asyncio.timeout(60):
        events = await read_events(run)
    assert events[0][0] == "run"
    assert [kind for kind, _ in events[-2:]] == ["summary", "done"]
    assert store.saved == [run]
    return events, collect_results(events)


def column_result(results: RunResults, col: str) -> Any:
    (result,) = results.of_column(col)
    return result


# --- columns ------------------------------------------------------------------------------


async def test_four_models_of_different_speed_stream_in_their_columns(live: Gateway) -> None:
    """Four models of different pace, one failover, one invalid tool call, one invalid schema."""
    events, results = await responses(
        body("demo/demo-fast", "safe", "demo/demo@30ms", "demo/demo-slow@10ms")
    )
    for col in "ABCD":
        result = column_result(results, col)
        assert result.end["status"] == "ok"
        assert "Hello from" in result.text
        assert result.end["total_ms"] >= result.end["ttft_ms"] > 0
        assert result.end["output"] > 10
    assert column_result(results, "C").end["total_ms"] > column_result(results, "A").end["total_ms"]
    summary = next(data for kind, data in events if kind == "summary")
    assert summary["fastest"] in {"A", "B"}
    assert [c["col"] for c in summary["columns"]] == ["A", "B", "C", "D"]


async def test_a_fallback_shows_the_failed_attempt_and_the_answering_target(live: Gateway) -> None:
    _, results = await responses(body("safe"))
    result = column_result(results, "A")
    tries = [(a["target"], a["error_kind"]) for a in result.attempts]
    assert tries == [("demo/demo-500", "upstream_error"), ("demo/demo-fast", None)]
    assert result.end["fallback"] is True
    assert result.end["upstream_model"] == "demo-fast"


async def test_an_error_stays_in_its_column(live: Gateway) -> None:
    _, results = await responses(body("broken", "demo/demo-fast", "nobody"))
    assert column_result(results, "B").end["status"] == "ok"
    failed_end = column_result(results, "A").end
    assert (failed_end["status"], failed_end["error_kind"]) == ("error", "upstream_error")
    assert "internal" in failed_end["error"] or "error" in failed_end["error"]
    assert column_result(results, "C").end["error_kind"] == "not_found"


async def test_an_interrupted_response_keeps_the_received_text(live: Gateway) -> None:
    _, results = await responses(body("demo/demo-cut@1ms"))
    result = column_result(results, "A")
    assert result.end["status"] == "cut"
    assert result.text


async def test_reasoning_and_text_are_separate(live: Gateway) -> None:
    _, results = await responses(body("demo/demo-reasoning@0ms"))
    result = column_result(results, "A")
    assert "nothing to work out" in result.reasoning
    assert "Hello from" in result.text
    assert result.end["reasoning"] > 0


async def test_every_call_lands_in_the_log_under_the_playground(live: Gateway) -> None:
    _, results = await responses(body("demo/demo-fast"), owner=7)
    record = await live.record()
    assert record.id == column_result(results, "A").end["request_id"]
    assert record.key_prefix == "playground"
    assert record.session == "playground-7-run-1-A"


async def test_the_first_chunk_is_sent_immediately_and_later_ones_are_batched(
    live: Gateway,
) -> None:
    events, results = await responses(body("demo/demo@2ms"))
    pieces = [data["text"] for kind, data in events if kind == "delta"]
    assert pieces[0] == "Hello"
    tokens = column_result(results, "A").end["output"]
    assert 3 <= len(pieces) < tokens / 3


# --- the client's dialect -------------------------------------------------------------------


@pytest.mark.parametrize("dialect", CONSOLE_DIALECTS)
async def test_a_run_uses_the_requested_dialect(live: Gateway, dialect: str) -> None:
    _, results = await responses(
        body("demo/demo-fast", dialect=dialect, system="Be brief.", params={"max_tokens": 500})
    )
    assert column_result(results, "A").end["status"] == "ok"
    record = await live.record()
    assert record.client_dialect == dialect
    assert b"Be brief." in (record.bodies.client_request if record.bodies else b"")


async def test_a_parameter_unsupported_by_a_dialect_is_noted(live: Gateway) -> None:
    events, _ = await responses(
        body("demo/demo-fast", dialect="anthropic_messages", params={"seed": 7})
    )
    start = next(data for kind, data in events if kind == "start")
    assert [(note["field"], note["action"]) for note in start["notes"]][:1] == [
        ("params.seed", "dropped")
    ]


async def test_an_unsendable_request_is_an_error_of_its_column(live: Gateway) -> None:
    native_content = [
        {"role": "assistant", "content": [{"type": "tool_result", "id": "x", "content": "1"}]}
    ]
    document = body("demo/demo-fast", "demo/demo-fast")
    document["columns"][0]["messages"] = native_content
    _, results = await responses(document)
    assert column_result(results, "A").model == "demo/demo-fast"
    assert column_result(results, "A").end["status"] in {"ok", "error"}
    assert column_result(results, "B").end["status"] == "ok"


THOUGHTS = {
    "openai_chat": ("messages", lambda rerun_body: rerun_body["messages"][-2]["reasoning_content"]),
    "openai_responses": ("input", lambda rerun_body: rerun_body["input"][-3]["encrypted_content"]),
    "gemini": (
        "contents",
        lambda rerun_body: rerun_body["contents"][-2]["parts"][0]["thoughtSignature"],
    ),
    "ollama": ("messages", lambda rerun_body: rerun_body["messages"][-2]["thinking"]),
}


@pytest.mark.parametrize("dialect", THOUGHTS)
async def test_every_dialect_shows_reasoning(live: Gateway, dialect: str) -> None:
    """Clients of a dialect store either the reasoning text or the gateway's token for it."""
    mocked = {**TOOL, "mock": "18 degrees"}
    _, results = await responses(
        body("demo/demo-reasoning@0ms", prompt=ASKS_TOOL, tools=[mocked], dialect=dialect)
    )
    assert column_result(results, "A").end["status"] == "ok"
    second = (await live.rows(2))[-1]
    assert second.bodies is not None
    rerun_body = json.loads(second.bodies.client_request or b"")
    holder, thought = THOUGHTS[dialect]
    assert holder in rerun_body
    assert thought(rerun_body)
    # The upstream gets the thought's words back, whoever carried them.
    reached = json.loads(second.bodies.upstream_request or b"")
    assert "reasoning_content" in json.dumps(reached["messages"])


@pytest.mark.parametrize("dialect", TAKES_TOOLS)
async def test_a_schema_is_sent_in_every_dialect(live: Gateway, dialect: str) -> None:
    _, results = await responses(
        body("demo/demo-fast@0ms", prompt="Fill it in.", schema=SCHEMA, dialect=dialect)
    )
    assert column_result(results, "A").verdicts["schema"]["ok"] is True


async def test_fields_of_the_path_are_not_in_the_body(live: Gateway) -> None:
    """Gemini requests have the model and the stream method in the path."""
    _, results = await responses(body("demo/demo-fast@0ms", dialect="gemini", stream=False))
    assert column_result(results, "A").end["status"] == "ok"
    record = await live.record()
    assert record.requested_model == "demo/demo-fast@0ms"
    assert record.stream is False
    assert record.bodies is not None
    rerun_body = json.loads(record.bodies.client_request or b"")
    assert set(rerun_body) == {"contents"}


async def test_reasoning_is_returned_in_the_client_dialect(live: Gateway) -> None:
    """A Messages client sends back thinking blocks with the gateway's token."""
    mocked = {**TOOL, "mock": "18 degrees"}
    _, results = await responses(
        body(
            "demo/demo-reasoning@0ms",
            prompt=ASKS_TOOL,
            tools=[mocked],
            dialect="anthropic_messages",
        )
    )
    assert column_result(results, "A").end["status"] == "ok"
    second = (await live.rows(2))[-1]
    assert second.bodies is not None
    rerun_body = json.loads(second.bodies.client_request or b"")
    thought, call = rerun_body["messages"][-2]["content"]
    assert thought["type"] == "thinking"
    assert thought["signature"].startswith("dgm1.")
    assert call["type"] == "tool_use"
    assert rerun_body["messages"][-1]["content"][0]["type"] == "tool_result"


async def test_a_response_in_one_chunk_is_shown(live: Gateway) -> None:
    _, results = await responses(body("demo/demo-fast", stream=False))
    result = column_result(results, "A")
    assert (result.end["status"], (await live.record()).stream) == ("ok", False)
    assert "Hello from" in result.text


# --- verdicts -------------------------------------------------------------------------------


async def test_a_schema_violation_is_reported_during_and_after_the_stream(live: Gateway) -> None:
    events, results = await responses(
        body("demo/demo-bad-schema@150ms", "demo/demo@5ms", schema=SCHEMA)
    )
    reported_verdict = [d for kind, d in events if kind == "verdict" and d["col"] == "A"]
    assert [verdict["final"] for verdict in reported_verdict][-1] is True
    assert any(not v["final"] and v["ok"] is False for v in reported_verdict)
    assert reported_verdict[-1]["ok"] is False
    assert "this_field" in next(v["message"] for v in reported_verdict if not v["ok"])
    assert column_result(results, "B").verdicts["schema"]["ok"] is True


async def test_an_unexpected_tool_call_is_distinct_from_the_expected_one(live: Gateway) -> None:
    _, results = await responses(
        body(
            "demo/demo-fast",
            "demo/demo-wrong-tool@0ms",
            "demo/demo-bad-tool-json@0ms",
            prompt=ASKS_TOOL,
            tools=[TOOL],
            expected=EXPECTED,
        )
    )
    right, invalid_call, broken = (column_result(results, col).verdicts["tools"] for col in "ABC")
    assert (right["ok"], right["arguments"], right["final"]) == (True, "equal", True)
    assert (invalid_call["ok"], invalid_call["called"], invalid_call["name"]) == (
        False,
        True,
        False,
    )
    assert broken["ok"] is False
    assert broken["calls"][0]["problem"] == "json"
    assert column_result(results, "A").calls[0].arguments == '{"city":"Paris"}'


@pytest.mark.parametrize("dialect", TAKES_TOOLS)
async def test_a_mock_result_is_sent_and_the_model_continues(live: Gateway, dialect: str) -> None:
    mocked = {**TOOL, "mock": {"celsius": 18}}
    _, results = await responses(
        body("demo/demo-fast", prompt=ASKS_TOOL, tools=[mocked], dialect=dialect)
    )
    result = column_result(results, "A")
    assert result.calls[0].result == '{"celsius":18}'
    assert "The tool answered" in result.text
    assert "celsius" in result.text
    assert result.end["rounds"] == 2
    assert len(result.end["request_ids"]) == 2
    rows = await live.rows(2)
    assert result.end["input"] == sum(row.input_tokens or 0 for row in rows)


async def test_a_call_without_a_mock_ends_the_response(live: Gateway) -> None:
    _, results = await responses(body("demo/demo-fast", prompt=ASKS_TOOL, tools=[TOOL]))
    result = column_result(results, "A")
    assert (result.end["rounds"], result.end["finish"]) == (1, "tool")


# --- stopping -------------------------------------------------------------------------------


async def test_stopping_one_column_leaves_the_others_running(live: Gateway) -> None:
    run, _ = make_run(body("demo/demo-stall@1ms", "demo/demo@20ms"))
    reading = asyncio.create_task(read_events(run))
    while not any(result.text for result in run.results.of_column("A")):
        await asyncio.sleep(0.01)
    run.stop("A")
    async with asyncio.timeout(60):
        results = collect_results(await reading)
    assert column_result(results, "A").end["status"] == "stopped"
    assert column_result(results, "A").text
    assert column_result(results, "B").end["status"] == "ok"


async def test_a_disconnected_reader_ends_the_run(live: Gateway) -> None:
    run, store = make_run(body("demo/demo-stall@1ms", "demo/demo-slow"))
    run.begin()
    stream = run.stream()
    async for frames in stream:
        if b"event: delta" in frames:
            break
    disconnected_at = time.perf_counter()
    await stream.aclose()  # type: ignore[attr-defined]
    await run.wait()
    assert time.perf_counter() - disconnected_at < 10, "not when the models are done"
    assert store.saved == [run]
    assert {result.end["status"] for result in run.results.by_key.values() if result.end} == {
        "stopped"
    }
    rows = await live.rows(2)
    assert {row.outcome for row in rows} == {"client_closed"}


async def test_a_response_without_an_end_is_ended(
    live: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.playground.stream_listener.MAX_CHARS", 60)
    _, results = await responses(body("demo/demo@1ms", "demo/demo-stall@1ms", prompt="x" * 100))
    end = column_result(results, "A").end
    assert (end["status"], end["error_kind"]) == ("error", "too_large")
    assert len(column_result(results, "A").text) <= 60


async def test_another_process_can_stop_a_column(live: Gateway) -> None:
    run, store = make_run(body("demo/demo-stall@1ms"))
    reading = asyncio.create_task(read_events(run))
    await wait_until_async(lambda: any(result.text for result in run.results.of_column("A")))
    store.stop_requests = ["*"]
    async with asyncio.timeout(60):
        results = collect_results(await reading)
    assert column_result(results, "A").end["status"] == "stopped"


async def test_a_column_without_output_for_two_seconds_is_called_quiet(live: Gateway) -> None:
    events, _ = await responses(body("demo/demo-slow-first-token@0ms", "demo/demo-fast"))
    quiet = [data for kind, data in events if kind == "quiet"]
    assert {data["col"] for data in quiet} == {"A"}
    assert all(data["ms"] >= 2000 for data in quiet)


# --- several responses ------------------------------------------------------------------------


async def test_repetitions_have_a_median_and_a_spread(live: Gateway) -> None:
    events, results = await responses(body("demo/demo@1ms", "broken", repeat=3))
    assert [result.n for result in results.of_column("A")] == [0, 1, 2]
    a, b = next(data for kind, data in events if kind == "summary")["columns"]
    assert (a["runs"], a["ok"], b["failed"]) == (3, 3, 3)
    assert a["total_ms"]["count"] == 3
    assert a["total_ms"]["min"] <= a["total_ms"]["median"] <= a["total_ms"]["max"]
    assert b["total_ms"] is None


async def test_a_spent_budget_ends_the_run_with_a_message(live: Gateway) -> None:
    _, results = await responses(body("demo/demo-fast"), remaining_usd=0.0)
    end = column_result(results, "A").end
    assert end["status"] == "refused"
    assert "budget" in end["error"]
    assert not live.records


async def test_runs_of_one_user_at_the_same_time_share_the_budget(live: Gateway) -> None:
    document = body("priced", repeat=10)
    run, _ = make_run(document, owner=7)
    await asyncio.wait_for(read_events(run), 60)
    response_usd = run.cost / 10
    assert response_usd > 0
    store = RecordingRunStore()
    runs = [
        Run(_RUNTIMES[-1], f"run-{n}", parse(document), store, owner=7, remaining_usd=run.cost)
        for n in range(3)
    ]
    await asyncio.wait_for(asyncio.gather(*map(read_events, runs)), 60)
    spent_usd = sum(each.cost for each in runs)
    # Each run may have one request in progress when the budget is spent.
    assert run.cost <= spent_usd <= run.cost + 3.01 * response_usd


# --- the stream ----------------------------------------------------------------------------


async def test_a_stream_can_be_resumed_from_any_event(live: Gateway) -> None:
    run, _ = make_run(body("demo/demo-fast"))
    run.begin()
    all_bytes = b"".join([part async for part in run.stream()])
    await run.wait()
    for after in (0, 3, len(run.log.frames)):
        remaining_bytes = b"".join([part async for part in run.log.follow(after)])
        assert remaining_bytes == b"".join(run.log.frames[after:])
        assert all_bytes.endswith(remaining_bytes)
    assert active_run("run-1") is None


async def test_all_eight_columns_begin_within_150_ms_of_each_other(live: Gateway) -> None:
    async def start_spread_s() -> float:
        run, _ = make_run(body(*["demo/demo@20ms"] * 8))
        first: dict[str, float] = {}
        run.begin()
        stream = run.stream()
        async for frames in stream:
            now = time.perf_counter()
            for part in frames.split(b"\n\n"):
                if b"event: delta" in part:
                    col = part.partition(b'"col":"')[2][:1].decode()
                    first.setdefault(col, now)
            if len(first) == 8:
                break
        await stream.aclose()  # type: ignore[attr-defined]
        await run.wait()
        return max(first.values()) - min(first.values())

    assert await is_ever_within(start_spread_s, 0.150)
