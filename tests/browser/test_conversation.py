"""The conversation view of a logged request: markdown, files, tool calls with their results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.checks import assert_page_is_clean
from tests.browser.site import Site

SIZES = tuple({"width": width, "height": 900} for width in (390, 1024, 1440, 1920))
_ROW = """
import base64, json, time, zlib, struct
from gateway import store
from gateway.relay.exchange.log_record import Bodies, LogRecord

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
png = b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 120, 60, 8, 2, 0, 0, 0))
png += chunk(b"IDAT", zlib.compress(b"".join(b"\\0" + b"\\x30\\x60\\xc0" * 120 for _ in range(60)))) + chunk(b"IEND", b"")
image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png).decode()}}
pdf = {"type": "document", "title": "report.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(b"%PDF-1.4").decode()}}
remote = {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}}
sent = {
    "model": "fast", "max_tokens": 500, "system": "You are a **careful** assistant.",
    "tools": [{"name": "look_up", "description": "Finds a vendor.", "input_schema": {"type": "object", "properties": {"id": {"type": "integer"}}}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "What does this *invoice* say?\\n\\n- total\\n- vendor\\n\\n<img src=x onerror=alert(1)>"}, image, pdf, remote]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "I should look the vendor up.", "signature": "s"},
            {"type": "text", "text": "I look it up."},
            {"type": "tool_use", "id": "t1", "name": "look_up", "input": {"id": 7}},
            {"type": "tool_use", "id": "t2", "name": "look_up", "input": {"id": 8}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "Acme Ltd"},
            {"type": "tool_result", "tool_use_id": "t2", "content": "no such vendor", "is_error": True}]},
        {"role": "user", "content": "Explain at length. " + "word " * 600},
    ],
}
answer = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "up", "stop_reason": "max_tokens", "stop_sequence": None,
    "content": [{"type": "thinking", "thinking": "Long thoughts.", "signature": "s"},
                {"type": "text", "text": "The vendor is **Acme Ltd**.\\n\\n```python\\nprint(7)\\n```\\n\\n| a | b |\\n|---|---|\\n| 1 | 2 |"}],
    "usage": {"input_tokens": 30, "output_tokens": 12},
}
store.write([LogRecord(
    id="req_talk", started_at=time.time() - 5, endpoint="/v1/messages", client_dialect="anthropic_messages",
    upstream_dialect="anthropic_messages", provider="anthropic", model="claude", route="fast",
    requested_model="fast", status=200, input_tokens=30, output_tokens=12, duration_ms=1234.5,
    bodies=Bodies(client_request=json.dumps(sent).encode(), upstream_response=json.dumps(answer).encode(),
                  same_response=True))])
"""


@pytest.fixture(scope="module")
def conversation_path(site: Site) -> str:
    """The path of a request with every kind of content part."""
    site.shell(_ROW)
    return "/console/requests/req_talk?range=all"


def test_a_request_opens_on_its_rendered_messages(signed_in: Any, conversation_path: str) -> None:
    signed_in.goto(conversation_path)
    detail = signed_in.locator("#detail")
    expect(detail.locator(".tabs [aria-current]")).to_have_text("Conversation")
    user = detail.locator(".msg.user").first
    expect(user.locator("em")).to_have_text("invoice")
    expect(user.locator("li")).to_have_text(["total", "vendor"])
    # HTML in a message is text, and a remote image is a link.
    expect(user).to_contain_text("<img src=x onerror=alert(1)>")
    expect(user.locator("img")).to_have_count(1)
    width = user.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert width == 120
    expect(user.get_by_role("link", name="report.pdf")).to_be_visible()
    expect(user.get_by_role("link", name="https://example.com/cat.png")).to_be_visible()
    calls = detail.locator(".msg.assistant").first.locator(".call")
    expect(calls).to_have_count(2)
    expect(calls.nth(0)).to_contain_text("Acme Ltd")
    expect(calls.nth(1).locator(".result.failed")).to_contain_text("no such vendor")
    reply = detail.locator(".msg.reply")
    expect(reply.locator("strong")).to_have_text("Acme Ltd")
    expect(reply.locator("td")).to_have_text(["1", "2"])
    expect(reply.get_by_role("button", name="Copy")).to_be_visible()
    expect(reply).to_contain_text("Token limit reached")


def test_reasoning_tools_and_long_texts_are_folded(signed_in: Any, conversation_path: str) -> None:
    signed_in.goto(conversation_path)
    detail = signed_in.locator("#detail")
    expect(detail.get_by_text("Long thoughts.", exact=True)).to_be_hidden()
    detail.locator(".reply .reasoning summary").click()
    expect(detail.get_by_text("Long thoughts.", exact=True)).to_be_visible()
    expect(detail.get_by_text("Finds a vendor.", exact=True)).to_be_hidden()
    detail.get_by_text("1 tool offered").click()
    expect(detail.get_by_text("Finds a vendor.", exact=True)).to_be_visible()
    long = detail.locator(".folded")
    expect(long.locator(".preview")).to_be_visible()
    long.get_by_text("Show all").click()
    expect(long.locator(".preview")).to_be_hidden()
    expect(long.locator("details .md")).to_contain_text("Explain at length.")


def test_the_conversation_is_accessible_and_fits(
    signed_in: Any, conversation_path: str, axe: Any, no_sideways_scroll: Any
) -> None:
    for size in SIZES:
        signed_in.set_viewport_size(size)
        signed_in.goto(conversation_path)
        expect(signed_in.locator(".msg.reply strong")).to_have_text("Acme Ltd")
        assert_page_is_clean(signed_in, axe, no_sideways_scroll, size)


def test_the_conversation_is_readable_without_scripts(
    open_page: Callable[..., Any], conversation_path: str
) -> None:
    page = open_page("admin", java_script_enabled=False)
    page.goto(conversation_path)
    expect(page.locator(".msg.reply")).to_contain_text("The vendor is **Acme Ltd**.")
    expect(page.locator(".msg.user img")).to_be_visible()
