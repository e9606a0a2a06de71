"""The prompt cache analysis: agent sessions, and where their common prefix ends."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from console.pages.requests import sessions
from console.pages.requests.cache_breaks import Finding, cache_break_report
from console.prompt_cache.prefix import common_prefix, prompt_segments, text_difference
from gateway import store
from gateway.models import RequestLog
from gateway.relay.exchange.log_record import Attempt, Bodies
from tests.markup import normalize_html
from tests.store.factories import make_record, model, provider

MODEL = "claude-sonnet-4-5"
Json = dict[str, Any]

TOOLS: list[Json] = [
    {"name": name, "description": f"{name} something. " * 60, "input_schema": {"type": "object"}}
    for name in ("Bash", "Edit", "Read", "Grep")
]


def claude_code(turns: int, day: str = "2026-11-20") -> Json:
    """Return a Claude Code request: two system blocks, cache breakpoints on the last message."""
    messages: list[Json] = [
        {"role": "user", "content": [{"type": "text", "text": "Fix the failing test."}]}
    ]
    for number in range(turns - 1):
        call = {"type": "tool_use", "id": f"toolu_{number}", "name": "Bash", "input": {"n": number}}
        result = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": "ok " * 50}
        messages += [
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ]
    messages[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
    return {
        "model": MODEL,
        "max_tokens": 32000,
        "system": [
            {"type": "text", "text": "You are Claude Code, Anthropic's official CLI."},
            {
                "type": "text",
                "text": "Rules. " * 500 + f"<env>\nToday's date: {day}\n</env>\nBe brief.",
                "cache_control": {"type": "ephemeral"},
            },
        ],
        "tools": copy.deepcopy(TOOLS),
        "messages": messages,
        "stream": True,
    }


def codex(turns: int) -> Json:
    """Return a Codex request to Responses, with its whole history in `input`."""
    items: list[Json] = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix it."}]}
    ]
    for n in range(turns - 1):
        items.append(
            {"type": "function_call", "call_id": f"c{n}", "name": "shell", "arguments": "{}"}
        )
        items.append({"type": "function_call_output", "call_id": f"c{n}", "output": "ok " * 50})
    tools = [{"type": "function", "name": name, "parameters": {}} for name in ("shell", "plan")]
    return {
        "model": "gpt-5",
        "instructions": "You are Codex. " * 200,
        "input": items,
        "tools": tools,
    }


@pytest.fixture
def claude(db: None) -> None:
    model(MODEL, provider("claude", "anthropic"))


@pytest.fixture
def log(db: None) -> Callable[..., None]:
    """A function that logs a turn of the session `s-1`."""
    count = 0

    def write(body: Json, fresh: int, read: int | None, **values: Any) -> None:
        nonlocal count
        count += 1
        fields: Json = {
            "started_at": time.time() - 3600 + 20 * count,
            "session": "s-1",
            "requested_model": MODEL,
            "provider": "claude",
            "model": MODEL,
            "client_dialect": "anthropic_messages",
            "upstream_dialect": "anthropic_messages",
            "cache_write_tokens": fresh,
            "input_tokens": 4,
            "output_tokens": 100,
            "cache_read_tokens": read,
        }
        encoded_body = msgspec.json.encode(body)
        bodies = Bodies(client_request=encoded_body, upstream_request=encoded_body)
        store.write([make_record(f"req_{count}", bodies=bodies, **(fields | values))])

    return write


def prompt_findings() -> list[Finding]:
    return cache_break_report(sessions.session("s-1")).findings


def test_an_append_only_session_has_no_cache_loss(claude: None, log: Callable[..., None]) -> None:
    """Cache breakpoints move to the last message in each turn without breaking the prefix."""
    for turn in range(1, 6):
        log(claude_code(turn), 300, 0 if turn == 1 else 20_000 + 300 * turn)
    assert prompt_findings() == []


def test_a_date_in_the_system_prompt_is_found_and_priced(
    claude: None, log: Callable[..., None]
) -> None:
    log(claude_code(3), 20_000, 0)
    log(claude_code(4, day="2026-11-21"), 18_300, 2_000)
    (finding,) = prompt_findings()
    broken = finding.cache_break
    assert (broken.kind, broken.path, broken.part) == ("system", "system[1]", "system")
    assert (broken.old_text, broken.new_text) == ("2026-11-20", "2026-11-21")
    assert broken.prefix_text.endswith("Today's date: ")
    assert (broken.expected_tokens, broken.cached_tokens, broken.missed_tokens) == (
        20_004,
        2_000,
        18_004,
    )
    # 18,004 tokens written at 3.75 instead of read at 0.30, a million.
    assert broken.extra_usd == Decimal(18_004) * (Decimal("3.75") - Decimal("0.3")) / 1_000_000
    assert "a date or time" in finding.advice.lower()


def test_reordered_tools_are_distinct_from_changed_tools(
    claude: None, log: Callable[..., None]
) -> None:
    reordered = claude_code(3)
    reordered["tools"].reverse()
    log(claude_code(2), 20_000, 0)
    log(reordered, 20_500, 0)
    (finding,) = prompt_findings()
    assert finding.cache_break.kind == "order"
    assert (finding.cache_break.old_text, finding.cache_break.new_text) == (
        "Bash, Edit, Read, Grep",
        "Grep, Read, Edit, Bash",
    )


def test_an_added_tool_is_named(claude: None, log: Callable[..., None]) -> None:
    more = claude_code(3)
    more["tools"].insert(0, {"name": "WebFetch", "input_schema": {}})
    log(claude_code(2), 20_000, 0)
    log(more, 20_500, 0)
    (finding,) = prompt_findings()
    assert (
        finding.cache_break.kind,
        finding.cache_break.old_text,
        finding.cache_break.new_text,
    ) == (
        "tool",
        "",
        "WebFetch",
    )


def test_a_tool_with_a_changed_description_shows_it(claude: None, log: Callable[..., None]) -> None:
    other = claude_code(3)
    other["tools"][2]["description"] += "Updated at 10:42."
    log(claude_code(2), 20_000, 0)
    log(other, 14_000, 6_000)
    (finding,) = prompt_findings()
    assert (finding.cache_break.kind, finding.cache_break.name) == ("tool", "Read")
    assert "Updated at 10:42." in finding.cache_break.new_text


def test_a_fallback_to_another_model_is_named_as_the_cause(
    claude: None, log: Callable[..., None]
) -> None:
    model("claude-opus-4-6", provider("other", "anthropic"))
    failed_fields = {
        "target": f"claude/{MODEL}",
        "provider": "claude",
        "model": MODEL,
        "dialect": "anthropic_messages",
        "error_kind": "overloaded",
    }
    attempts = [msgspec.convert(failed_fields, Attempt)]
    log(claude_code(2), 20_000, 0)
    log(claude_code(3), 20_500, 0, provider="other", model="claude-opus-4-6", attempts=attempts)
    (finding,) = prompt_findings()
    assert finding.cache_break.kind == "target"
    assert "overloaded" in finding.advice
    # At the price of the model that answered.
    assert (
        finding.cache_break.extra_usd
        == Decimal(20_004) * (Decimal("6.25") - Decimal("0.5")) / 1_000_000
    )


def test_an_earlier_message_that_was_rewritten_is_found(
    claude: None, log: Callable[..., None]
) -> None:
    changed = claude_code(4)
    changed["messages"][2]["content"][0]["content"] = "shortened"
    log(claude_code(3), 20_000, 0)
    log(changed, 15_000, 5_500)
    (finding,) = prompt_findings()
    assert (finding.cache_break.kind, finding.cache_break.path) == (
        "message",
        "messages[2].content[0]",
    )


def test_removed_cache_breakpoints_are_reported(claude: None, log: Callable[..., None]) -> None:
    bare = msgspec.json.decode(
        msgspec.json.encode(claude_code(3)).replace(
            b'"cache_control":{"type":"ephemeral"}', b'"x":1'
        )
    )
    for block in (*bare["system"], *bare["messages"][-1]["content"]):
        block.pop("x", None)
    log(claude_code(2), 20_000, 0)
    log(bare, 0, 0, input_tokens=20_500)
    (finding,) = prompt_findings()
    assert finding.cache_break.kind == "breakpoints_removed"
    # Paid as plain input.
    assert (
        finding.cache_break.extra_usd == Decimal(20_004) * (Decimal(3) - Decimal("0.3")) / 1_000_000
    )


@pytest.mark.parametrize(("idle", "kind"), [(30, "missed"), (1200, "expired")])
def test_an_unchanged_prompt_without_cache_hit_is_expired_or_a_provider_miss(
    claude: None, log: Callable[..., None], idle: int, kind: str
) -> None:
    start = time.time() - 3000
    log(claude_code(2), 20_000, 0, started_at=start)
    log(claude_code(3), 20_500, 0, started_at=start + idle)
    assert [finding.cache_break.kind for finding in prompt_findings()] == [kind]


def test_a_sub_agent_between_two_turns_is_ignored(claude: None, log: Callable[..., None]) -> None:
    other = claude_code(1)
    other["system"], other["tools"] = "You are a search agent. " * 300, TOOLS[2:]
    other["messages"] = [{"role": "user", "content": "Find the caller."}]
    log(claude_code(2), 20_000, 0)
    log(other, 9_000, 0)
    log(claude_code(3), 400, 20_004)
    assert prompt_findings() == []


def test_a_provider_that_does_not_count_cached_tokens_gets_no_price(
    log: Callable[..., None],
) -> None:
    values = {"provider": "p", "model": "m", "upstream_dialect": "openai_chat"}
    log(claude_code(2), 0, None, input_tokens=20_000, **values)
    log(claude_code(3), 0, None, input_tokens=20_400, **values)
    assert prompt_findings() == []
    log(claude_code(4, day="2026-11-21"), 0, None, input_tokens=20_800, **values)
    (finding,) = prompt_findings()
    assert (
        finding.cache_break.kind,
        finding.cache_break.missed_tokens,
        finding.cache_break.extra_usd,
    ) == (
        "system",
        None,
        None,
    )


def test_an_unknown_price_leaves_the_cost_unknown(log: Callable[..., None]) -> None:
    log(claude_code(2), 20_000, 0, provider="gone")
    log(claude_code(3, day="2026-11-21"), 20_400, 0, provider="gone")
    (finding,) = prompt_findings()
    assert (finding.cache_break.missed_tokens, finding.cache_break.extra_usd) == (20_004, None)


def test_responses_requests_are_compared_too(log: Callable[..., None]) -> None:
    changed = codex(3)
    changed["instructions"] = changed["instructions"].replace("Codex. You", "Codex! You", 1)
    values = {"upstream_dialect": "openai_responses", "input_tokens": 20_000}
    log(codex(2), 0, 0, **values)
    log(codex(3), 0, 19_968, **values)
    log(changed, 0, 0, **values)
    (finding,) = prompt_findings()
    assert (finding.cache_break.kind, finding.cache_break.path) == ("system", "instructions")
    assert (finding.cache_break.old_text, finding.cache_break.new_text) == ("Codex.", "Codex!")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"messages": 5, "tools": {"a": 1}}', b"\xff"])
def test_an_unreadable_body_is_skipped(claude: None, log: Callable[..., None], body: bytes) -> None:
    log(claude_code(2), 20_000, 0)
    log(claude_code(3), 400, 20_004)
    row = RequestLog.objects.get(request_id="req_1")
    row.body.blob = store.bodies.pack_bodies(Bodies(upstream_request=body))
    row.body.save()
    assert prompt_findings() == []


def test_the_page_explains_the_cache_break_with_permission_to_read_bodies(
    claude: None, log: Callable[..., None]
) -> None:
    log(claude_code(3), 20_000, 0)
    log(claude_code(4, day="2026-11-21"), 18_300, 2_000)
    page = reverse("request", args=["req_2"]) + "?tab=session"
    people = get_user_model().objects
    ada, vic = Client(), Client()
    ada.force_login(people.create_superuser("ada"))
    vic.force_login(people.create_user("vic"))
    text = ada.get(page).content.decode()
    assert "The system prompt changed" in text
    assert "<del>2026-11-20</del><ins>2026-11-21</ins>" in normalize_html(text)
    assert "18,004 were billed in full" in text
    hidden = vic.get(page).content.decode()
    assert "The system prompt changed" not in hidden


# -- the pieces ---------------------------------------------------------------------------


def test_sections_are_in_cache_order_without_cache_breakpoints() -> None:
    body = claude_code(2)
    parts = [piece.part for piece in prompt_segments(body)]
    assert parts == ["tools"] * 4 + ["system"] * 2 + ["messages"] * 3
    assert sum(piece.has_breakpoint for piece in prompt_segments(body)) == 2
    assert not any("cache_control" in piece.text for piece in prompt_segments(body))


def test_a_string_and_one_text_block_are_equal() -> None:
    string_body = {"messages": [{"role": "user", "content": "Hi"}]}
    other = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}
    assert common_prefix(prompt_segments(string_body), prompt_segments(other)).segments == 1


def test_gemini_and_chat_requests_are_split_into_sections() -> None:
    gemini = {
        "systemInstruction": {"parts": [{"text": "Be kind"}]},
        "tools": [{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}],
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
    }
    assert [p.part for p in prompt_segments(gemini)] == ["tools", "tools", "system", "messages"]
    chat = {
        "messages": [{"role": "system", "content": "Be kind"}, {"role": "user", "content": "Hi"}]
    }
    assert [p.part for p in prompt_segments(chat)] == ["system", "messages"]


def test_a_difference_is_shown_with_short_context() -> None:
    lead, old, new, trailing = text_difference(
        "a" * 500 + "xy" + "b" * 500, "a" * 500 + "z" + "b" * 500
    )
    assert (lead, old, new, trailing) == ("a" * 60, "xy", "z", "b" * 60)
    assert len(text_difference("a" + "x" * 900, "a")[1]) == 241


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("it is 10:41 now", "it is 10:42 now", ("it is ", "10:41", "10:42", " now")),
        ("one two", "one two three", ("one ", "two", "two three", "")),
        ("same", "same", ("", "same", "same", "")),
        ("", "new", ("", "", "new", "")),
    ],
)
def test_body_differences_are_shown_by_whole_words(
    old: str, new: str, expected: tuple[str, str, str, str]
) -> None:
    assert text_difference(old, new) == expected
