"""The detail of every kind of row that the product writes, for both roles, at every width."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.site import Site

WIDTHS = (360, 390, 833, 1024, 1280, 1331, 1332, 1440)
# One row of each kind, with bodies; `store.write` is what the log's writer calls.
_ROWS = """
import json, time
import msgspec
from gateway import store
from gateway.edge.endpoints import ENDPOINTS
from gateway.relay.exchange.log_record import Bodies, LogRecord

sent = msgspec.json.encode({"model": "a-route-with-a-long-name", "messages": [{"role": "user", "content": "Hi"}]})
got = msgspec.json.encode({"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]})
labels = ["console", "check", "shadow", "batch", "cache", "translate", "dry_run", "passthrough",
          "GET /v1/files/{id}/content", "POST /v1/messages/batches", "/v2/rerank",
          "/v1beta/models/{id}:generateContent", "/v1beta/models/{id}:streamGenerateContent"]
ids = []
entries = []
for number, endpoint in enumerate([*labels, *sorted({e.name for e in ENDPOINTS.values()})]):
    failed = number % 3 == 2
    dialect = "gemini" if "v1beta" in endpoint else "openai_chat"
    entries.append(LogRecord(
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
store.write(entries)
print(json.dumps(ids))
"""
_CUT = """() => {
    const pane = document.querySelector("#detail").getBoundingClientRect();
    const cut = [...document.querySelectorAll("#detail .d-head *")].filter((e) => {
        const box = e.getBoundingClientRect();
        if (!box.width || e.closest(".sr, svg, .menu > div")) return false;
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


@pytest.fixture(scope="module")
def kinds(site: Site) -> list[tuple[str, str]]:
    """Endpoint and id of each row."""
    printed = site.manage("shell", "-v0", "-c", _ROWS)
    return [tuple(pair) for pair in json.loads(printed.strip().splitlines()[-1])]


@pytest.mark.parametrize("who", ["ada", "vic"])
def test_the_detail_of_every_kind_of_row_is_whole(
    open_page: Callable[..., Any], kinds: list[tuple[str, str]], who: str
) -> None:
    page = open_page(who)
    faults = []
    for number, (endpoint, request) in enumerate(kinds):
        answer = page.goto(f"/console/requests/{request}")
        if answer.status != 200:
            faults.append((endpoint, answer.status))
            continue
        # The header's width does not depend on the kind: a few are measured at every width.
        for width in WIDTHS if number < 3 else (1280,):
            page.set_viewport_size({"width": width, "height": 900})
            if found := page.evaluate(_CUT):
                faults.append((endpoint, width, found))
    assert faults == []
