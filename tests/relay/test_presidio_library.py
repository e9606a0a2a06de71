"""Presidio's library in its own process: the real one, and failing programs."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.guardrails.guardrail import Guardrail, PresidioSettings
from gateway.guardrails.settings import parse_settings
from gateway.relay.upstream import presidio_process
from gateway.relay.upstream.presidio_process import PresidioError, PresidioProcess
from tests.relay.card_number import CARD
from tests.relay.harness import completion, gateway, provider, route, snapshot

INSTALLED = importlib.util.find_spec("presidio_analyzer") is not None
needs_presidio = pytest.mark.skipif(
    not INSTALLED, reason="needs Presidio (300 MB): uv sync --group presidio"
)
CHAT = "/v1/chat/completions"
QUESTION = {"language": "en", "spacy_model": "", "entities": (), "min_score": 0.5, "timeout_s": 30}


def analyze_body(text: str) -> dict[str, Any]:
    return {"model": "r", "messages": [{"role": "user", "content": text}]}


def guard(action: Any = "mask", **settings: Any) -> Guardrail:
    return Guardrail(
        name="g",
        settings=PresidioSettings(**settings),
        action=action,
        everywhere=True,
        timeout_s=30,
    )


def registry(guardrail: Guardrail) -> Any:
    return snapshot(route("r", provider("up")), guardrails={"g": guardrail})


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that runs this code in place of the analyzer."""

    def use(code: str) -> None:
        path = tmp_path / "worker.py"
        path.write_text(f"import json, sys, time\n{code}\n")
        monkeypatch.setattr(presidio_process, "_WORKER", path)

    return use


# --- the real library -------------------------------------------------------------------


@needs_presidio
@pytest.mark.timeout(180)
async def test_patterns_are_masked_without_a_model(tmp_path: Path) -> None:
    text = f"I am Ada, pay {CARD} to DE89370400440532013000, write ada@example.com"
    answer_upstream = lambda _: completion()  # noqa: E731 - an upstream
    async with gateway(tmp_path, registry(guard()), up=answer_upstream) as live:
        reply = await live.post(CHAT, analyze_body(text))
        upstream_body = json.loads(live.upstreams.requests[0].content)
        row = await live.record()
    assert reply.status == 200, reply.body
    assert upstream_body["messages"][0]["content"] == (
        "I am Ada, pay [CREDIT_CARD] to [IBAN_CODE], write [EMAIL_ADDRESS]"
    )
    assert row.guardrails[0].findings["CREDIT_CARD"] == 1


@needs_presidio
@pytest.mark.timeout(180)
async def test_a_missing_model_or_language_is_named(tmp_path: Path) -> None:
    process = PresidioProcess()
    try:
        await process.start()
        with pytest.raises(PresidioError, match="python -m spacy download en_none_sm"):
            await process.analyze(CARD, **{**QUESTION, "spacy_model": "en_none_sm"})
        with pytest.raises(PresidioError, match="language `xq`"):
            await process.analyze(CARD, **{**QUESTION, "language": "xq"})
        # Other languages have fewer recognizers, and need no model for them either.
        findings = await process.analyze(CARD, **{**QUESTION, "language": "es"})
        assert [match["entity_type"] for match in findings] == ["CREDIT_CARD"]
        only = {**QUESTION, "entities": ("EMAIL_ADDRESS",)}
        assert await process.analyze(CARD, **only) == []
        # Concurrent texts get their own results.
        texts = [CARD, "ada@example.com", "nothing", CARD]
        matches_of_texts = await asyncio.gather(
            *(process.analyze(text, **QUESTION) for text in texts)
        )
        assert [bool(matches) for matches in matches_of_texts] == [True, True, False, True]
    finally:
        await process.close()


@needs_presidio
@pytest.mark.timeout(180)
async def test_the_analyzer_opens_no_connection(tmp_path: Path, program: Any) -> None:
    """Presidio's email recognizer would download the list of top-level domains."""
    worker = presidio_process._WORKER
    program(
        "import runpy, socket\n"
        "def refuse(*a, **k): sys.exit(7)\n"
        "socket.getaddrinfo = socket.create_connection = refuse\n"
        f"runpy.run_path({str(worker)!r}, run_name='__main__')"
    )
    process = PresidioProcess()
    try:
        await process.start()
        findings = await process.analyze("write ada@example.co.uk", **QUESTION)
    finally:
        await process.close()
    assert "EMAIL_ADDRESS" in {match["entity_type"] for match in findings}


# --- without it, or with a failing one --------------------------------------------------------


def test_settings_without_a_url_need_the_library() -> None:
    if INSTALLED:
        assert parse_settings("presidio", {}) == PresidioSettings()
        return
    with pytest.raises(ValueError, match=r"pip install 'dragoman\[presidio\]'"):
        parse_settings("presidio", {})


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("sys.exit(1)", "the analyzer's process ended"),
        ("print(json.dumps({'error': 'nothing is installed'}))", "nothing is installed"),
        ("print('{}', flush=True); sys.stdin.readline()", "the analyzer's process ended"),
        (
            "print('{}', flush=True); i = json.loads(sys.stdin.readline())['id']\n"
            "print(json.dumps({'id': i, 'error': 'it failed'}), flush=True); time.sleep(60)",
            "it failed",
        ),
    ],
    ids=["ends at once", "cannot start", "ends in a check", "fails"],
)
async def test_a_failing_analyzer_rejects_the_request(
    tmp_path: Path, program: Any, code: str, reason: str
) -> None:
    program(code)
    async with gateway(tmp_path, registry(guard()), up=lambda _: completion()) as live:
        reply = await live.post(CHAT, analyze_body("hello"))
        assert live.upstreams.requests == []
        row = await live.record()
    assert reply.json()["error"]["code"] == "guardrail_unavailable"
    assert reason in row.guardrails[0].error


async def test_a_late_reply_does_not_answer_the_next_request(program: Any) -> None:
    program(
        "print('{}', flush=True)\n"
        "for line in sys.stdin:\n"
        "    r = json.loads(line)\n"
        "    time.sleep(0.3 if r['text'] == 'slow' else 0)\n"
        "    e = {'start': 0, 'end': 1, 'entity_type': r['text'], 'score': 1}\n"
        "    print(json.dumps({'id': r['id'], 'entities': [e]}), flush=True)"
    )
    process = PresidioProcess()
    try:
        await process.start()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await process.analyze("slow", **QUESTION)
        (match,) = await process.analyze("fast", **QUESTION)
        assert match["entity_type"] == "fast"
        with pytest.raises(PresidioError, match="more than 1,000,000 characters"):
            await process.analyze("x" * 1_000_001, **QUESTION)
        with pytest.raises(PresidioError, match="more than 50,000 characters, too many for 1 s"):
            await process.analyze("x" * 50_001, **{**QUESTION, "timeout_s": 1})
    finally:
        await process.close()


async def test_an_ended_process_is_restarted(program: Any) -> None:
    program(
        "print('{}', flush=True); i = json.loads(sys.stdin.readline())['id']\n"
        "print(json.dumps({'id': i, 'entities': []}), flush=True)"
    )
    process = PresidioProcess()
    try:
        for _ in range(2):
            await process.start()
            assert await process.analyze("text", **QUESTION) == []
            running = process._process
            assert running is not None
            await running.wait()
    finally:
        await process.close()


ECHO = (
    "print('{}', flush=True)\n"
    "for line in sys.stdin:\n"
    "    r = json.loads(line)\n"
    "    if r['text'] == 'hang': time.sleep(60)\n"
    "    text = 'not JSON' if r['text'] == 'damaged' else json.dumps({'id': r['id'], 'entities': []})\n"
    "    print(text + ' ' * (9_000_000 if r['text'] == 'long' else 0), flush=True)"
)


@pytest.mark.parametrize("text", ["long", "damaged"])
async def test_a_reply_that_cannot_be_read_fails_only_its_own_check(
    program: Any, text: str
) -> None:
    program(ECHO)
    process = PresidioProcess()
    try:
        await process.start()
        with pytest.raises(PresidioError, match="ended"):
            async with asyncio.timeout(10):
                await process.analyze(text, **QUESTION)
        await process.start()
        async with asyncio.timeout(10):
            assert await process.analyze("next", **QUESTION) == []
    finally:
        await process.close()


async def test_a_process_that_is_stuck_with_a_text_is_replaced(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = tmp_path / "starts"
    program(f"open({str(starts)!r}, 'a').write('x')\n{ECHO}")
    monkeypatch.setattr(presidio_process, "STUCK_S", 0.5)
    process = PresidioProcess()
    brief = {**QUESTION, "timeout_s": 0.1}
    try:
        await process.start()
        for text in ("hang", "waits"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await process.analyze(text, **brief)
        await process.start()
        assert starts.read_text() == "x", "it may still finish"
        await asyncio.sleep(0.6)
        await process.start()
        assert starts.read_text() == "xx"
        async with asyncio.timeout(10):
            assert await process.analyze("next", **QUESTION) == []
    finally:
        await process.close()


async def test_few_texts_wait_for_a_process_that_reads_none(
    program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("print('{}', flush=True); time.sleep(60)")
    monkeypatch.setattr(presidio_process, "_MAX_PENDING_BYTES", 100_000)
    process = PresidioProcess()
    try:
        await process.start()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await process.analyze("x" * 900_000, **QUESTION)
        with pytest.raises(PresidioError, match="too many texts wait"):
            await process.analyze("next", **QUESTION)
    finally:
        await process.close()


def test_the_worker_imports_nothing_of_the_gateway() -> None:
    """It is started as a file, without the program's directory in the path."""
    text = presidio_process._WORKER.read_text()
    assert "gateway." not in text.partition('"""')[2].partition('"""')[2]
    assert sys.version_info >= (3, 11), "python -P"
