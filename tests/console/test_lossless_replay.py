"""A logged request that is opened in the playground and run sends the same upstream request."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from console.dialects import CONSOLE_DIALECTS, path_of
from console.playground.client_request import render_body
from console.playground.plan import Plan
from console.playground.plan_parser import parse
from console.playground.prefill import from_log, logged_body
from console.playground.run import Run
from gateway import store
from gateway.canon.request import without_paths
from gateway.dialects import DIALECTS
from gateway.models import RequestLog
from gateway.relay.exchange.log_record import LogRecord
from tests.console.test_conversation import AGENT
from tests.console.test_requests_dialects import MODEL, OPEN
from tests.relay.harness import gateway

pytestmark = pytest.mark.django_db

# Settings in each dialect that the page displays, and some that it does not.
MORE: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "temperature": 0.4,
        "n": 2,
        "logit_bias": {"50256": -5},
        "metadata": {"team": "a"},
        "user": "someone",
        "response_format": {"type": "json_object"},
        "parallel_tool_calls": False,
        "stop": ["END"],
    },
    "openai_responses": {
        "temperature": 0.4,
        "metadata": {"team": "a"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"verbosity": "low"},
        "parallel_tool_calls": False,
        "store": False,
    },
    "anthropic_messages": {
        "temperature": 0.4,
        "top_k": 7,
        "metadata": {"user_id": "u"},
        "tool_choice": {"type": "tool", "name": "look_up"},
        "stop_sequences": ["END"],
    },
    "gemini": {
        "generationConfig": {
            "temperature": 0.4,
            "topK": 7,
            "thinkingConfig": {"thinkingBudget": 512, "includeThoughts": True},
        },
    },
    "ollama": {"options": {"temperature": 0.4, "min_p": 0.1, "repeat_penalty": 1.1}},
    "bedrock_converse": {
        "inferenceConfig": {"temperature": 0.4, "maxTokens": 300, "stopSequences": ["END"]},
        "additionalModelRequestFields": {"top_k": 7},
        "requestMetadata": {"team": "a"},
    },
    "cohere": {"temperature": 0.4, "k": 7, "p": 0.9, "stop_sequences": ["END"]},
    "openai_completions": {"temperature": 0.4, "echo": True, "suffix": "."},
}


def client_body(dialect: str, *, stream: bool) -> dict[str, Any]:
    request = msgspec.structs.replace(AGENT, model=MODEL, stream=stream, reasoning=None)
    if dialect == "openai_completions":
        request = msgspec.structs.replace(request, turns=request.turns[-1:], tools=())
        request = msgspec.structs.replace(request, instructions=())
    body = {**render_body(dialect, request)[0], **MORE[dialect]}
    if dialect == "anthropic_messages":
        body["system"] = [
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}
        ]
    return body


def rerun(
    tmp_path: Path,
    body: dict[str, Any],
    dialect: str,
    *,
    stream: bool,
    edit: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[LogRecord, LogRecord]:
    """Return the log records of the client's request and of its run in the playground."""

    class NullRunStore:
        def save(self, run: Run) -> None: ...

        def stops(self, run: Run) -> list[str]:
            return []

    async def log_both() -> tuple[LogRecord, LogRecord]:
        async with gateway(tmp_path, OPEN) as live:
            await live.post(path_of(dialect, MODEL, stream=stream), body)
            first = await live.record()
            plan = await asyncio.to_thread(opened, first)
            run = Run(live.runtime, "r", plan, NullRunStore())
            run.begin()
            await run.wait()
            (column_run,) = run.column_runs
            return first, column_run.records[0]

    def opened(first: LogRecord) -> Plan:
        store.write([msgspec.structs.replace(first, started_at=time.time() - 30)])
        row = RequestLog.objects.get(request_id=first.id)
        settings = from_log(row)
        assert settings is not None
        page = json.loads(json.dumps(settings))
        if edit is not None:
            edit(page)
        assert page["logged_request"] == row.pk
        logged = logged_body(row)
        return msgspec.structs.replace(parse(page), logged=logged)

    return asyncio.run(log_both())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("stream", [False, True], ids=["complete", "streamed"])
@pytest.mark.parametrize("dialect", CONSOLE_DIALECTS)
def test_an_unedited_request_is_sent_unchanged(
    tmp_path: Path, dialect: str, *, stream: bool
) -> None:
    first, rerun_record = rerun(
        tmp_path, client_body(dialect, stream=stream), dialect, stream=stream
    )
    assert first.bodies is not None
    assert rerun_record.bodies is not None
    for name in ("client_request", "upstream_request"):
        assert json.loads(getattr(rerun_record.bodies, name)) == json.loads(
            getattr(first.bodies, name)
        )
    assert (rerun_record.stream, rerun_record.client_dialect) == (stream, dialect)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("dialect", CONSOLE_DIALECTS)
def test_an_edit_keeps_everything_else(tmp_path: Path, dialect: str) -> None:
    def edit(page: dict[str, Any]) -> None:
        page["messages"][-1]["content"][-1]["text"] = "And next week?"

    body = client_body(dialect, stream=True)
    first, rerun_record = rerun(tmp_path, body, dialect, stream=True, edit=edit)
    assert first.bodies is not None
    assert rerun_record.bodies is not None
    parse_request = DIALECTS[dialect].client.parse_request
    path = {"model": MODEL, "stream": True} if DIALECTS[dialect].model_in_path else {}
    canonical = [
        without_paths(parse_request({**json.loads(data or b""), **path}, {}))
        for data in (first.bodies.client_request, rerun_record.bodies.client_request)
    ]
    before, after = canonical
    assert after.turns[-1].parts[-1].text == "And next week?"
    assert after.turns[:-1] == before.turns[:-1]
    assert msgspec.structs.replace(after, turns=()) == msgspec.structs.replace(before, turns=())
