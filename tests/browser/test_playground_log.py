"""From the log into the playground: the whole conversation is opened, in every mode."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.playground_page import Playground, with_models
from tests.browser.site import Site

CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"id": 7}'}}
AGENT = [
    {"role": "user", "content": "Which vendor is number 7?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "Acme Ltd"},
]
CHAT = [
    {"role": "user", "content": "My name is Ada."},
    {"role": "assistant", "content": "Hello Ada."},
    {"role": "user", "content": "What is my name?"},
]


@pytest.fixture(scope="module")
def site(site: Site) -> Site:
    """A gateway with the demo provider."""
    return with_models(site)


def logged(site: Site, messages: list[dict[str, Any]]) -> str:
    """Send a request with these messages; return its id once it is in the log."""
    headers = {"authorization": f"Bearer {site.key}"}
    body = {"model": "demo/demo-fast", "messages": messages}
    url = f"{site.url}/v1/chat/completions"
    response = httpx.post(url, json=body, headers=headers, timeout=30)
    return site.wait_for_log(response.headers["x-request-id"])


def open_from_log(playground: Playground, request: str, mode: str) -> Playground:
    page = playground.page
    page.goto(f"/console/playground?request={request}")
    expect(playground.column("A").locator(".model-pick")).to_be_visible()
    page.get_by_role("button", name=mode, exact=True).click()
    return playground


def sent_messages(playground: Playground, site: Site, letter: str = "A") -> list[dict[str, Any]]:
    """Return the logged messages of the request of a column."""
    link = playground.column(letter).locator("a.state").get_attribute("href") or ""
    request = site.wait_for_log(link.rpartition("/")[2])
    admin = (site.data_dir / "admin_key").read_text(encoding="utf-8").strip()
    url = f"{site.url}/api/requests/{request}/bodies"
    row = httpx.get(url, headers={"authorization": f"Bearer {admin}"}, timeout=30).json()
    return list(json.loads(row["client_request"])["messages"])


@pytest.mark.parametrize("mode", ["Chat", "Compare"])
@pytest.mark.parametrize("messages", [CHAT, AGENT], ids=["chat", "agent"])
def test_a_logged_conversation_is_sent_complete(
    playground: Playground, site: Site, mode: str, messages: list[dict[str, Any]]
) -> None:
    open_from_log(playground, logged(site, messages), mode)
    expect(playground.column("A").locator(".turn")).to_have_count(len(messages))
    playground.run().wait_until_done()
    playground.wait_for_state("A", "ok")
    second = sent_messages(playground, site)
    assert [m["role"] for m in second] == [m["role"] for m in messages]
    assert "look_up" in json.dumps(second) or messages is CHAT
    assert json.dumps(second).count("Acme Ltd") == (messages is AGENT)
    assert json.dumps(second).count("My name is Ada.") == (messages is CHAT)


def test_a_conversation_opens_in_evaluate(playground: Playground, site: Site) -> None:
    open_from_log(playground, logged(site, CHAT), "Chat")
    page = playground.page
    page.locator("#pg-text").fill("And now {{what}}?")
    page.get_by_role("link", name="Evaluate", exact=True).last.click()
    page.wait_for_url("**/evaluate/*/edit")
    expect(page.locator("[name=messages]")).to_have_value(re.compile("And now {{what}}"))


def test_each_column_continues_with_its_own_response(playground: Playground, site: Site) -> None:
    playground.open("demo/demo-fast", "demo/demo-429").fill_prompt(
        "First question"
    ).run().wait_until_done()
    expect(playground.page.locator("#pg-text")).to_have_value("")
    playground.fill_prompt("Second question").run().wait_until_done()
    assert [m["role"] for m in sent_messages(playground, site, "A")] == [
        "user",
        "assistant",
        "user",
    ]
    expect(playground.column("A").locator(".turn")).to_have_count(3)
    # The other one has no response to go on from; its question is not lost.
    assert [m["role"] for m in sent_messages(playground, site, "B")] == ["user", "user"]
    assert "First question" in json.dumps(sent_messages(playground, site, "B"))


def test_running_again_repeats_the_latest_response(playground: Playground, site: Site) -> None:
    playground.open("demo/demo-fast", "demo").fill_prompt("First question").run().wait_until_done()
    playground.fill_prompt("Another question").run().wait_until_done()
    expect(playground.page.locator("#pg-run")).to_contain_text("Run again")
    playground.run().wait_until_done()
    assert [m["role"] for m in sent_messages(playground, site, "A")] == [
        "user",
        "assistant",
        "user",
    ]
    playground.page.get_by_role("button", name="New conversation").click()
    playground.fill_prompt("Something else").run().wait_until_done()
    assert [m["content"] for m in sent_messages(playground, site, "A")] == ["Something else"]


def test_a_message_is_edited_in_all_columns_and_run_from(
    playground: Playground, site: Site
) -> None:
    playground.open("demo/demo-fast", "demo").fill_prompt("First question").run().wait_until_done()
    playground.fill_prompt("Second question").run().wait_until_done()
    first = playground.column("A").locator(".turn").first
    first.hover()
    first.get_by_role("button", name="Edit message").click()
    editor = playground.column("A").locator(".msg-editor")
    editor.get_by_label("Text", exact=True).fill("Another first question")
    playground.run(editor.get_by_role("button", name="Save and run")).wait_until_done()
    for letter in "AB":
        assert [m["content"] for m in sent_messages(playground, site, letter)] == [
            "Another first question"
        ]


def test_a_message_is_run_from_once_while_its_response_is_written(playground: Playground) -> None:
    """Each further click was a run of its own that cost money, and that nothing on the page showed."""
    page = playground.open("demo/demo-slow", "demo").page
    playground.fill_prompt("Hello").run().wait_until_done()
    posted_paths: list[str] = []
    page.on("request", lambda r: posted_paths.append(r.url) if r.method == "POST" else None)
    message = playground.column("A").locator(".turn").first
    message.hover()
    box = message.get_by_role("button", name="Run from here").bounding_box()
    assert box is not None
    position = box["x"] + 9, box["y"] + 9
    with page.expect_response(lambda response: response.url.endswith("/runs")):
        page.mouse.dblclick(*position)
    expect(page.locator("#pg[data-runs='2']")).to_be_visible()
    page.mouse.click(*position)
    playground.wait_until_done()
    assert [path.rpartition("/")[2] for path in posted_paths] == ["runs"]


def test_an_edited_message_stops_the_responses_to_it(playground: Playground) -> None:
    """They went on unseen, and cost money."""
    page = playground.open("demo/demo-slow", "demo/demo-slow").page
    with page.expect_response(lambda response: response.url.endswith("/runs")):
        playground.fill_prompt("Hello").run()
    stopped_columns: list[str] = []
    page.on(
        "request",
        lambda r: (
            stopped_columns.append(r.post_data_json["col"]) if r.url.endswith("/stop") else None
        ),
    )
    message = playground.column("A").locator(".turn").first
    message.hover()
    message.get_by_role("button", name="Edit message").click()
    playground.column("A").locator(".msg-editor").get_by_label("Text", exact=True).fill("Hi")
    playground.column("A").get_by_role("button", name="Save", exact=True).click()
    expect(playground.column("A")).to_have_attribute("data-state", "idle")
    assert stopped_columns == ["A", "B"]


def test_a_response_is_regenerated_edited_and_branched(playground: Playground, site: Site) -> None:
    playground.open("demo/demo-fast", "demo").fill_prompt("First question").run().wait_until_done()
    column = playground.column("A")
    tools = column.locator(".response-tools")
    playground.run(tools.get_by_role("button", name="Regenerate")).wait_until_done()
    assert [m["role"] for m in sent_messages(playground, site, "A")] == ["user"]
    tools.get_by_role("button", name="Edit").click()
    editor = column.locator(".msg-editor")
    editor.get_by_label("Text", exact=True).fill("An answer of mine")
    editor.get_by_role("button", name="Save", exact=True).click()
    response = column.locator(".turn").nth(1)
    expect(response).to_contain_text("An answer of mine")
    response.hover()
    response.get_by_role("button", name="Branch").click()
    expect(playground.column("C").locator(".turn")).to_have_count(2)
    playground.fill_prompt("And then?").run().wait_until_done()
    for letter in "AC":
        contents = [m["content"] for m in sent_messages(playground, site, letter)]
        assert contents == ["First question", "An answer of mine", "And then?"]


def test_tool_calls_and_results_can_be_entered_by_hand(playground: Playground, site: Site) -> None:
    open_from_log(playground, logged(site, AGENT), "Chat")
    result = playground.column("A").locator(".turn").last
    result.hover()
    result.get_by_role("button", name="Edit message").click()
    editor = playground.column("A").locator(".msg-editor")
    editor.get_by_label("Tool result", exact=True).fill("Bolt Inc")
    editor.get_by_role("button", name="Save", exact=True).click()
    playground.run().wait_until_done()
    messages = sent_messages(playground, site)
    assert [m["role"] for m in messages] == ["user", "assistant", "tool"]
    assert messages[2]["content"] == "Bolt Inc"
    assert messages[1]["tool_calls"][0]["id"] == messages[2]["tool_call_id"]


def test_enter_sends_unless_that_is_switched_off(playground: Playground) -> None:
    page = playground.open("demo/demo-fast").page
    text = page.locator("#pg-text")
    text.fill("One")
    text.press("Shift+Enter")
    expect(text).to_have_value("One\n")
    text.press("Enter")
    expect(page.locator("#pg")).to_have_attribute("data-runs", "1")
    playground.wait_until_done()
    page.get_by_label("Enter sends").uncheck()
    text.fill("Two")
    text.press("Enter")
    expect(text).to_have_value("Two\n")
    expect(page.locator("#pg")).to_have_attribute("data-runs", "1")


def test_a_notice_explains_fields_that_cannot_be_opened(viewer_page: Any, site: Site) -> None:
    viewer_page.goto("/console/playground?run=00000000-0000-4000-8000-000000000000")
    expect(viewer_page.locator("#pg-notice")).to_contain_text("you have no access to it")
    viewer_page.goto(f"/console/playground?request={logged(site, CHAT)}")
    expect(viewer_page.locator("#pg-notice")).to_contain_text("Ask an admin")


@pytest.mark.parametrize("width", [390, 1440])
def test_a_notice_that_stays_covers_nothing(playground: Playground, width: int) -> None:
    page = playground.page
    page.set_viewport_size({"width": width, "height": 844})
    page.goto("/console/playground?request=req_unknown")
    expect(page.locator("#pg-notice")).to_contain_text("cannot be opened here")
    notice = page.locator("#pg-notice").bounding_box()
    columns = page.locator("#pg-cols").bounding_box()
    navigation = page.locator(".colnav").bounding_box() or columns
    assert notice and columns and navigation
    assert notice["y"] + notice["height"] <= min(columns["y"], navigation["y"])
