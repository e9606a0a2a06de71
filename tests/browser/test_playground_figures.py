"""The playground's display of run events: figures, verdicts, code and end states."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.playground_page import Playground, with_models
from tests.browser.site import Site

RUN = "00000000-0000-4000-8000-000000000001"
CODE = "Look:\n\n```python\ndef double(x):\n    return 2 * x  # twice\n```\n"


@pytest.fixture(scope="module")
def site(site: Site) -> Site:
    """A gateway with the demo provider."""
    return with_models(site)


def response_events(col: str, content: str, **end: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of one response; without `end` it does not finish."""
    result = [
        ("start", {"col": col, "n": 0, "model": "m", "route": "m", "notes": []}),
        ("delta", {"col": col, "n": 0, "kind": "text", "text": content}),
    ]
    usual = {
        "status": "ok",
        "total_ms": 900,
        "ttft_ms": 300,
        "input": 10,
        "output": 20,
        "cost": 0.01,
    }
    return [*result, ("end", {"col": col, "n": 0, **usual, **end})] if end is not None else result


def frames(*events: tuple[str, dict[str, Any]]) -> str:
    rows = [("run", {"id": RUN}), *events]
    return "".join(
        f"id: {n}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
        for n, (kind, data) in enumerate(rows, 1)
    )


def play_events(
    playground: Playground, *events: tuple[str, dict[str, Any]], path: str = "runs"
) -> None:
    """Answer the next run with these events."""
    playground.page.route(
        re.compile(f"/console/playground/{path}$" if path == "runs" else path),
        lambda route: route.fulfill(content_type="text/event-stream", body=frames(*events)),
    )


DONE = ("done", {"id": RUN})
THREE = ("demo/demo-fast", "demo/demo", "demo/demo-slow")


def test_code_has_colors_and_a_copy_button(playground: Playground) -> None:
    playground.open("demo/demo-fast", "demo").fill_prompt("Code")
    play_events(playground, *response_events("A", CODE), *response_events("B", "No code."), DONE)
    playground.run().wait_until_done()
    response = playground.response("A")
    expect(response.locator(".code-bar")).to_contain_text("python")
    expect(response.locator("pre.code .l").first).to_have_text("def")
    expect(response.locator("pre.code .c")).to_have_text("# twice")
    expect(response.get_by_role("button", name="Copy")).to_be_visible()
    expect(playground.response("B").locator(".code-bar")).to_have_count(0)


def test_a_stopped_response_is_not_the_cheapest(playground: Playground) -> None:
    playground.open(*THREE).fill_prompt("Hello")
    stopped = response_events("A", "Hi", status="stopped", cost=0.001, total_ms=10)
    adapted = (
        response_events("B", "Hi", cost=0.01, adaptations=1),
        response_events("C", "Hi", cost=0.02, adaptations=2),
    )
    play_events(playground, *stopped, *adapted[0], *adapted[1], DONE)
    playground.run().wait_until_done()
    for letter, label in (("B", "1 setting adapted"), ("C", "2 settings adapted")):
        expect(playground.response(letter)).to_contain_text(label)
    result = playground.page.locator("#pg-result")
    expect(result).to_contain_text(re.compile("CheapestB"))
    expect(result).to_contain_text(re.compile("FastestB"))
    expect(playground.column("A").locator(".stat.best")).to_have_count(0)


def test_an_unknown_cost_is_not_zero(playground: Playground) -> None:
    playground.open(*THREE[:2]).fill_prompt("Hello")
    play_events(
        playground,
        *response_events("A", "Hi", cost=0),
        *response_events("B", "Hi", cost=None),
        DONE,
    )
    playground.run().wait_until_done()
    expect(playground.page.locator("#pg-result")).to_contain_text("unknown for B")


def test_differences_ignore_failed_and_unrelated_responses(playground: Playground) -> None:
    playground.open(*THREE, "over").fill_prompt("Hello")
    play_events(
        playground,
        *response_events("A", "The **sky** is blue because light is scattered."),
        *response_events("B", "", status="error", error="Rate limit reached"),
        *response_events("C", "Quantum chromodynamics describes gluons."),
        *response_events("D", "The *sky* is green because light is scattered."),
        DONE,
    )
    page = playground.run().wait_until_done().page
    page.select_option("#pg-diff", "A")
    expect(playground.response("B").get_by_role("button", name="Retry")).to_be_visible()
    different_response = playground.column("C").locator(".response")
    expect(different_response).to_contain_text("Too different from A")
    expect(different_response).to_contain_text("gluons")
    differences = playground.column("D").locator(".diff")
    expect(differences.locator("del")).to_have_text("blue")
    expect(differences.locator("ins")).to_have_text("green")
    expect(differences).not_to_contain_text("*")
    expect(differences).to_contain_text("Differences from A · 88 % identical")


def test_a_lost_connection_stops_timers_and_is_shown(playground: Playground) -> None:
    playground.open(*THREE[:2]).fill_prompt("Hello")
    content = "one two three four five six seven eight nine ten"
    open_ = [event for event in response_events("A", content) if event[0] != "end"]
    usage = ("usage", {"col": "A", "n": 0, "output": 1, "estimated": True})
    quiet = ("quiet", {"col": "A", "n": 0, "ms": 4000})
    play_events(playground, *open_, usage, quiet, *response_events("B", "Hi"))
    playground.run()
    page = playground.page
    expect(page.locator("#pg-lost")).to_be_visible()
    playground.wait_for_state("A", "lost")
    expect(playground.response("A")).to_contain_text("Connection lost.")
    expect(playground.response("A")).not_to_contain_text("The connection is open")
    expect(playground.figure("A", "Tokens")).to_contain_text("12")
    before = playground.column("A").locator(".stats").inner_text()
    page.wait_for_timeout(400)
    assert playground.column("A").locator(".stats").inner_text() == before
    # The gateway was restarted: its process knows nothing more of this run.
    play_events(playground, ("done", {"id": RUN, "interrupted": True}), path="/events")
    page.get_by_role("button", name="Continue").click()
    playground.wait_for_state("A", "failed")
    expect(playground.response("A")).to_contain_text("The gateway was restarted")
    expect(page.locator("#pg-lost")).to_be_hidden()
    playground.wait_until_done()


def test_a_long_response_ends_with_its_beginning_in_view(playground: Playground) -> None:
    """Columns used to end scrolled to the bottom."""
    playground.open(*THREE[:2]).fill_prompt("Hello")
    long_text = "\n\n".join(f"Paragraph {n}." for n in range(200))
    unfinished = [event for event in response_events("A", long_text) if event[0] != "end"]
    play_events(playground, *unfinished, *response_events("B", "Hi"))
    playground.run()
    playground.wait_for_state("A", "lost")
    top = "element => element.scrollTop"
    region = playground.column("A").locator(".response")
    assert region.evaluate(top) > 0, "it follows the text while it is written"
    play_events(playground, response_events("A", long_text)[-1], DONE, path="/events")
    playground.page.get_by_role("button", name="Continue").click()
    playground.wait_for_state("A", "ok")
    assert region.evaluate(top) == 0


def test_tools_without_expected_calls_are_counted_where_called(playground: Playground) -> None:
    playground.open(*THREE[:2]).fill_prompt("Hello")
    verdict = ("verdict", {"col": "A", "n": 0, "check": "tools", "ok": True, "final": True})
    events_of_a = response_events("A", "Hi")
    play_events(
        playground, *events_of_a[:-1], verdict, events_of_a[-1], *response_events("B", "Hi"), DONE
    )
    playground.run().wait_until_done()
    expect(playground.page.locator("#pg-result")).to_contain_text("Tool call correct1 of 1")
