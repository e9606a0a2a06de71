"""The details of every kind of log row, for both roles and at every width."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.site import Site

WIDTHS = (360, 390, 833, 1024, 1280, 1331, 1332, 1440)
# One row of each kind, with bodies; `store.write` is what the log's writer calls.
_ROWS = """
import json, time
from decimal import Decimal
import msgspec
from gateway import store
from gateway.canon.errors import KINDS
from gateway.dialects import DIALECTS
from gateway.edge.endpoints import ENDPOINTS
from gateway.relay.exchange.log_record import HEDGE_LOSER, Attempt, Bodies, LogRecord

sent = msgspec.json.encode({"model": "a-route-with-a-long-name", "messages": [{"role": "user", "content": "Hi"}]})
got = msgspec.json.encode({"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]})
labels = ["console", "check", "shadow", "batch", "cache", "translate", "dry_run", "passthrough",
          "GET /v1/files/{id}/content", "POST /v1/messages/batches", "/v2/rerank",
          "/v1beta/models/{id}:generateContent", "/v1beta/models/{id}:streamGenerateContent"]
ids = []
records = []
for number, endpoint in enumerate([*labels, *sorted({e.name for e in ENDPOINTS.values()})]):
    failed = number % 3 == 2
    dialect = "gemini" if "v1beta" in endpoint else "openai_chat"
    records.append(LogRecord(
        id=f"req_kind_{number}", started_at=time.time() - number, endpoint=endpoint,
        client_dialect=dialect, upstream_dialect="openai_chat", provider="demo", model="demo",
        key_prefix="an unusually long name of a key, as people give them to tell keys apart",
        route="demo", requested_model="a-route-with-a-long-name" * 3, stream=number % 2 == 0,
        status=502 if failed else 200, outcome="error" if failed else "ok",
        error_kind="upstream_error" if failed else "", session="kinds",
        input_tokens=123456, output_tokens=65432, duration_ms=61234.5, first_token_ms=1234.5,
        bodies=Bodies(client_request=sent, upstream_request=sent, upstream_response=got, client_response=got),
    ))
    ids.append([endpoint, f"req_kind_{number}"])

def attempt(model, **values):
    return Attempt(target=f"a-provider/{model}", provider="a-provider", model=model, dialect="openai_chat", **values)

usd = Decimal("0.0123")
tried = [
    attempt("a-model-that-rests", skipped="cooldown"),
    attempt("a-model-with-a-long-name" * 4, status=529, error_kind="overloaded", error="x" * 900, ended_ms=900.0),
    attempt("gpt-5", started_ms=900.0, first_byte_ms=1000.0, ended_ms=61234.5, status=200),
]
lost = [attempt("gpt-5", error_kind=HEDGE_LOSER, input_tokens=9, cost_usd=usd, charged_usd=usd), tried[2]]
changed = [{"field": "messages[0].content[0].cache_control", "action": "dropped", "note": "no equivalent " * 20}]
kinds = {
    "attempts": {"attempts": tried, "passthrough": True},
    "hedge": {"attempts": lost, "cost_usd": usd},
    "adaptations": {"adaptations": changed, "attempts": tried[2:]},
    "cut": {"outcome": "cut", "error_kind": "upstream_error", "error": "the stream broke off"},
    "left": {"outcome": "client_closed", "status": 499},
    "shadow of": {"shadow_of": "req_kind_0", "endpoint": "shadow"},
    "variant": {"variant": "a-variant-with-a-name", "service_tier": "priority", "tags": ["paid"] * 9},
    "replay": {"key_prefix": "replay", "user_agent": "replay of req_kind_0"},
    "evaluation": {"key_prefix": "evaluation"},
    "unknown cost": {"usage_source": "estimated", "price_source": "standard price, no price known"},
} | {f"cache {kind}": {"cache": kind, "cache_age_s": 9.5, "saved_usd": usd}
     for kind in ("hit", "semantic", "miss", "bypass")
} | {f"error {kind}": {"status": 502, "outcome": "error", "error_kind": kind, "error": "why " * 200}
     for kind in KINDS
} | {f"no bodies {why}": {"bodies": None, "bodies_omitted": why}
     for why in ("", "off", "rejected", "pressure", "size", "expired")
} | {f"{client} to {upstream}": {"client_dialect": client, "upstream_dialect": upstream}
     for client, upstream in zip(DIALECTS, [*list(DIALECTS)[3:], *list(DIALECTS)[:3]])}
for number, (name, values) in enumerate(kinds.items()):
    values = {"endpoint": "/v1/chat/completions", "bodies": records[0].bodies} | values
    records.append(LogRecord(
        **{"id": f"req_more_{number}", "started_at": time.time() - 500 - number, "client_dialect": "openai_chat",
           "upstream_dialect": "openai_chat", "provider": "demo", "model": "demo", "route": "demo",
           "requested_model": "demo", "status": 200} | values))
    ids.append([name, f"req_more_{number}"])
assert store.write(records) == 0
print(json.dumps(ids))
"""
_CUT = """() => {
    const pane = document.querySelector("#detail").getBoundingClientRect();
    const cut = [...document.querySelectorAll("#detail .d-head *")].filter((e) => {
        const box = e.getBoundingClientRect();
        if (!box.width || e.closest(".sr, svg, .menu > :not(summary), .trunc *")) return false;
        return box.right > Math.min(innerWidth, pane.right) + 1 || box.left < pane.left - 1;
    });
    const close = [...document.querySelectorAll("#detail [data-close-detail], #detail .d-back a")];
    const reach = close.some((e) => {
        const box = e.getBoundingClientRect();
        const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
        return box.width && e.contains(top);
    });
    const wide = document.documentElement.scrollWidth > innerWidth;
    return [...cut.slice(0, 3).map((e) => `${e.tagName}.${e.className}`), ...(reach ? [] : ["no way to close"]),
        ...(wide ? ["scrolls sideways"] : [])];
}"""


# Fetches each row as htmx does for a click; what is not a detail is a fault.
_FETCH = """async (urls) => {
    window.details = [];
    const faults = [];
    for (const url of urls) {
        const response = await fetch(url, { headers: { "HX-Request": "true" } });
        const html = await response.text();
        if (response.status === 200 && html.includes('id="detail"')) window.details.push([url, html]);
        else faults.push([url, response.status]);
    }
    return faults;
}"""
_MEASURE = f"""() => window.details.flatMap(([url, html]) => {{
    document.querySelector("#detail").outerHTML = html;
    const found = ({_CUT})();
    return found.length ? [[url, innerWidth, found]] : [];
}})"""


@pytest.fixture(scope="module")
def kinds(site: Site) -> list[str]:
    """The id of a row of each kind."""
    printed = site.shell(_ROWS)
    return [row for _, row in json.loads(printed.strip().splitlines()[-1])]


@pytest.mark.parametrize("user", ["admin", "viewer"])
def test_the_details_of_every_kind_of_row_render(
    open_page: Callable[..., Any], kinds: list[str], user: str
) -> None:
    page = open_page(user)
    assert page.goto(f"/console/requests/{kinds[0]}").status == 200
    faults = page.evaluate(_FETCH, [f"/console/requests/{row}?range=all" for row in kinds])
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        faults += page.evaluate(_MEASURE)
    assert faults == []


def test_a_value_of_the_overview_is_on_one_line(signed_in: Any, kinds: list[str]) -> None:
    signed_in.set_viewport_size({"width": 1440, "height": 900})
    signed_in.goto(f"/console/requests/{kinds[0]}?range=all&tab=overview")
    term = signed_in.locator(".facts dt", has_text="Started")
    value = term.locator("xpath=following-sibling::dd")
    value.wait_for()
    assert value.bounding_box()["height"] < 30


def test_cut_text_has_its_whole_text_as_the_title(signed_in: Any, kinds: list[str]) -> None:
    signed_in.set_viewport_size({"width": 1440, "height": 900})
    signed_in.goto(f"/console/requests/{kinds[0]}")
    model, cost = signed_in.locator(".connector .mid b"), signed_in.locator(".d-kpis dd").last
    assert model.get_attribute("title") is None
    model.hover()
    expect(model).to_have_attribute("title", "a-route-with-a-long-name" * 3)
    cost.hover()
    expect(model).not_to_have_attribute("title", "a-route-with-a-long-name" * 3)
    assert cost.get_attribute("title") is None


def test_a_double_click_on_a_thumb_scores_once(signed_in: Any, kinds: list[str]) -> None:
    """The second click comes after the response to the first, and would remove the score."""
    signed_in.goto(f"/console/requests/{kinds[0]}")
    thumb = signed_in.get_by_role("button", name="Good response")
    box = thumb.bounding_box()
    position = box["x"] + 5, box["y"] + 5
    with signed_in.expect_response("**/scores*"):
        signed_in.mouse.click(*position)
    expect(thumb).to_have_attribute("aria-pressed", "true")
    posts: list[str] = []
    signed_in.on("request", lambda request: posts.append(request.method))
    signed_in.mouse.down(click_count=2)
    signed_in.mouse.up(click_count=2)
    signed_in.evaluate("new Promise((done) => setTimeout(done, 100))")
    assert "POST" not in posts
    thumb.click()  # a click of its own
    expect(thumb).to_have_attribute("aria-pressed", "false")
