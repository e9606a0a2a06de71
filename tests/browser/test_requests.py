"""The requests page in a browser: live tail, details, tabs and replay."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.checks import assert_page_is_clean
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.site import Site

TABS = (
    "conversation",
    "overview",
    "translation",
    "response",
    "stream",
    "headers",
    "session",
    "scores",
)


@pytest.fixture(scope="module")
def key(site: Site) -> str:
    return site.wait_for_key(site.manage("create_key", "browser-test").strip().splitlines()[-1])


def send_request(site: Site, key: str, text: str = "Hello there", **more: Any) -> str:
    """Send a Messages request to the demo model, which has another dialect; return its id."""
    body = {
        "model": "demo",
        "max_tokens": 300,
        "top_k": 4,
        "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": text}],
        **more,
    }
    response = httpx.post(
        f"{site.url}/v1/messages",
        json=body,
        headers={"x-api-key": key, "anthropic-version": "2023-06-01", "x-session-id": "s-1"},
        timeout=30,
    )
    return site.wait_for_log(response.headers["x-request-id"])


def test_a_request_appears_by_itself_and_opens_beside_the_list(
    signed_in: Any, site: Site, key: str
) -> None:
    send_request(site, key)
    signed_in.goto("/console/requests")
    rows = signed_in.locator("#rows > tr")
    rows.first.wait_for()
    before = rows.count()
    name = send_request(site, key, stream=True)
    signed_in.wait_for_function(
        "n => document.querySelectorAll('#rows > tr').length > n", arg=before
    )
    rows.first.locator("a.request-link").click()
    expect(signed_in.locator("#detail-title")).to_have_text(name)
    expect(signed_in).to_have_url(re.compile("/console/requests/"))
    expect(signed_in.locator("#rows > tr[aria-current]")).to_have_count(1)
    signed_in.keyboard.press("j")
    signed_in.wait_for_function(
        "name => document.querySelector('#detail-title').textContent !== name", arg=name
    )
    signed_in.go_back()
    signed_in.wait_for_function(
        "name => document.querySelector('#detail-title')?.textContent === name", arg=name
    )


def test_the_live_tail_pauses_while_a_row_is_read(
    open_page: Callable[..., Any], site: Site, key: str
) -> None:
    for n in range(30):
        send_request(site, key, f"number {n}")
    page = open_page("admin", size={"width": 1440, "height": 500})
    page.goto("/console/requests")
    page.locator("#rows > tr").nth(25).wait_for()
    page.locator("#list").evaluate("list => { list.scrollTop = 300; }")
    before = page.locator("#rows > tr").count()
    send_request(site, key)
    news = page.locator("[data-new-rows]")
    news.wait_for(state="visible")
    expect(news).to_have_text("1 new")
    assert page.locator("#rows > tr").count() == before
    news.click()
    page.wait_for_function("n => document.querySelectorAll('#rows > tr').length > n", arg=before)
    page.wait_for_function("document.querySelector('#list').scrollTop === 0")
    page.locator("[data-live]").click()
    after = page.locator("#rows > tr").count()
    send_request(site, key)
    page.wait_for_timeout(2500)
    assert page.locator("#rows > tr").count() == after


@pytest.mark.parametrize(
    ("size", "box"),
    [(PHONE, "document.scrollingElement"), (DESKTOP, "document.querySelector('#list')")],
    ids=["phone", "desktop"],
)
def test_the_live_tail_does_not_move_what_is_read(
    open_page: Callable[..., Any], site: Site, key: str, size: dict[str, int], box: str
) -> None:
    for n in range(20):
        send_request(site, key, f"A question that is long enough to scroll. {n} " * 20)
    page = open_page("admin", size=size)
    page.goto("/console/requests")
    page.locator("#rows > tr").nth(19).wait_for()
    page.locator("#rows > tr a").first.click()
    page.locator("#detail:not([hidden])").wait_for()
    page.wait_for_timeout(500)
    page.evaluate(f"{box}.scrollTop = 150")
    page.wait_for_timeout(5000)
    assert page.evaluate(f"{box}.scrollTop") == 150


def test_the_live_tail_does_not_poll_in_a_hidden_tab(
    open_page: Callable[..., Any], site: Site, key: str
) -> None:
    send_request(site, key)
    page = open_page("admin")
    urls: list[str] = []
    page.on(
        "request",
        lambda request: urls.append(request.url) if "requests/tail" in request.url else None,
    )
    page.add_init_script(
        "globalThis.away = true;"
        "Object.defineProperty(document, 'hidden', {get: () => globalThis.away})"
    )
    page.goto("/console/requests")
    page.wait_for_timeout(2500)  # more than twice as long as it waits in between
    assert urls == []
    with page.expect_request("**/requests/tail*"):
        page.evaluate("globalThis.away = false")


def test_the_search_is_in_the_url(signed_in: Any, site: Site, key: str) -> None:
    send_request(site, key)
    send_request(site, key, model="no-such-model")
    signed_in.goto("/console/requests")
    signed_in.locator("[data-shortcut=search]").fill("status:404")
    signed_in.keyboard.press("Enter")
    signed_in.wait_for_url(re.compile(r"q=status%3A404"))
    signed_in.wait_for_function(
        "[...document.querySelectorAll('#rows .st')].every(cell => cell.innerText === '404')"
    )
    assert set(signed_in.locator("#rows .st").all_inner_texts()) == {"404"}
    signed_in.locator(".chosen .pill a").click()
    signed_in.wait_for_url(lambda url: "status" not in url)
    signed_in.get_by_text("Status", exact=True).first.click()
    signed_in.get_by_role("link", name="2xx success").click()
    signed_in.wait_for_url(re.compile(r"q=status%3A2xx"))


def test_a_search_is_completed_saved_and_narrowed_by_the_histogram(
    signed_in: Any, site: Site, key: str
) -> None:
    send_request(site, key)
    signed_in.goto("/console/requests?range=1h")
    search = signed_in.locator("[data-autocomplete]")
    search.press_sequentially("stat")
    search.press("Tab")
    search.press_sequentially("2x")
    signed_in.get_by_role("option", name="status:2xx", exact=True).click()
    expect(search).to_have_value("status:2xx ")
    search.press("Enter")
    signed_in.wait_for_url(re.compile(r"q=status%3A2xx"))
    signed_in.get_by_text("Views", exact=True).click()
    signed_in.get_by_label("Save this search as").fill("Successes")
    signed_in.get_by_role("button", name="Save view").click()
    expect(signed_in.locator(".toast")).to_contain_text("View Successes saved.")
    signed_in.get_by_role("link", name="Cost", exact=True).last.click()
    signed_in.wait_for_url(re.compile("sort=cost"))
    expect(signed_in.locator("th[aria-sort=descending]")).to_contain_text("Cost")
    signed_in.get_by_text("Columns", exact=True).click()
    signed_in.get_by_label("Upstream").uncheck()
    expect(signed_in.locator("#rows td.up").first).to_be_hidden()
    signed_in.get_by_label("Upstream").check()
    chart = signed_in.locator("[data-histogram] svg").bounding_box()
    middle = chart["y"] + chart["height"] / 2
    signed_in.mouse.move(chart["x"] + chart["width"] * 0.5, middle)
    signed_in.mouse.down()
    signed_in.mouse.move(chart["x"] + chart["width"] - 1, middle)
    signed_in.mouse.up()
    signed_in.wait_for_url(re.compile(r"since%3A.*until%3A"))
    signed_in.get_by_text("Views", exact=True).click()
    signed_in.get_by_role("link", name="Successes", exact=True).click()
    signed_in.wait_for_url(lambda url: "since" not in url and "status%3A2xx" in url)


def test_the_detail_has_a_divider_and_full_width(signed_in: Any, site: Site, key: str) -> None:
    name = send_request(site, key)
    signed_in.goto(f"/console/requests/{name}")
    detail, divider = signed_in.locator("#detail"), signed_in.locator(".divider")
    before = detail.bounding_box()["width"]
    divider.focus()
    for _press in range(3):
        signed_in.keyboard.press("ArrowLeft")
    assert divider.get_attribute("aria-valuenow") == "44"
    assert detail.bounding_box()["width"] > before
    signed_in.get_by_role("button", name="Full width").click()
    expect(signed_in.locator("#list")).to_be_hidden()
    signed_in.locator("nav.tabs a", has_text="Headers").click()
    expect(signed_in.locator("nav.tabs a[aria-current]")).to_have_text("Headers")
    expect(signed_in.get_by_role("button", name="Full width")).to_have_attribute(
        "aria-pressed", "true"
    )
    signed_in.get_by_role("button", name="Full width").click()
    expect(signed_in.locator("#list")).to_be_visible()


def test_the_translation_is_marked_on_both_sides(signed_in: Any, site: Site, key: str) -> None:
    name = send_request(site, key)
    signed_in.goto(f"/console/requests/{name}?tab=translation")
    signed_in.locator(".panes td.dropped").first.wait_for()
    expect(signed_in.locator(".panes")).to_contain_text("top_k")
    expect(signed_in.locator(".panes td.moved").first).to_be_visible()
    notes = signed_in.locator(".notes")
    expect(notes).to_contain_text("OpenAI Chat has no top_k, so it was removed.")
    expect(notes.locator("code", has_text="top_k").last).to_be_visible()
    signed_in.locator(".notes a[data-links*=theirs]").first.focus()
    expect(signed_in.locator(".panes td.highlighted")).not_to_have_count(0)
    signed_in.get_by_role("link", name="Losses only").click()
    expect(signed_in.locator(".panes td.moved")).to_have_count(0)
    expect(signed_in.locator(".panes td.dropped").first).to_be_visible()
    signed_in.locator(".legend .seg a", has_text="Response").click()
    signed_in.get_by_text("Client received").first.wait_for()


def test_a_replayed_request_is_linked(signed_in: Any, site: Site, key: str) -> None:
    name = send_request(site, key)
    signed_in.goto(f"/console/requests/{name}")
    signed_in.locator(".replay > summary").click()
    target = signed_in.get_by_label("Send to")
    target.fill("demo-fast")
    expect(signed_in.locator("#replay-targets option")).to_have_count(1)
    # Enter sent the request again, which is billed.
    target.press("Enter")
    target.fill("demo/demo-fast")
    signed_in.get_by_role("button", name="Send again").click()
    signed_in.locator(".d-head").get_by_text("Replay of").wait_for()
    expect(signed_in.locator(".connector .mid b")).to_have_text("demo/demo-fast")
    expect(signed_in.locator("#detail-title")).not_to_have_text(name)
    signed_in.get_by_role("link", name=name).click()
    signed_in.get_by_text("Replayed as").wait_for()


def test_curl_is_shown_without_a_secret(signed_in: Any, site: Site, key: str) -> None:
    name = send_request(site, key)
    signed_in.goto(f"/console/requests/{name}")
    signed_in.get_by_role("button", name="Copy as curl").click()
    expect(signed_in.locator("#curl-client")).to_contain_text("$DRAGOMAN_API_KEY")
    assert key not in signed_in.content()


def test_the_page_works_without_scripts(
    open_page: Callable[..., Any], site: Site, key: str
) -> None:
    send_request(site, key)
    page = open_page("admin", java_script_enabled=False)
    page.goto("/console/requests")
    page.locator("[data-shortcut=search]").fill("status:200")
    page.get_by_role("button", name="Search", exact=True).click()
    page.locator("#rows a.request-link").first.click()
    page.locator("#detail .tabs a", has_text="Translation").click()
    expect(page.locator("#detail")).to_contain_text("Client sent")


def test_a_viewer_sees_no_bodies(viewer_page: Any, site: Site, key: str) -> None:
    name = send_request(site, key, "a secret plan")
    for tab in TABS:
        viewer_page.goto(f"/console/requests/{name}?tab={tab}")
        assert "secret plan" not in viewer_page.content()
    assert viewer_page.locator(".replay").count() == 0


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.wide(every=2)
def test_every_tab_is_accessible_and_fits(
    open_page: Callable[..., Any],
    site: Site,
    key: str,
    axe_in_themes: Any,
    no_sideways_scroll: Any,
    size: dict[str, int],
) -> None:
    name = send_request(site, key, stream=True)
    page = open_page("admin", size=size)
    for path in ("", "?group=session", *(f"/{name}?tab={tab}" for tab in TABS)):
        page.goto(f"/console/requests{path}")
        no_sideways_scroll(page)
        axe_in_themes(page)


def test_no_filter_is_cut_off_at_any_width(open_page: Callable[..., Any]) -> None:
    page = open_page("admin")
    page.goto("/console/requests")
    for width in (390, 832, 833, 930, 1024, 1180, 1181, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        wide, room = page.locator(".filters").evaluate("bar => [bar.scrollWidth, bar.clientWidth]")
        assert wide <= room, f"{wide} px of filters in {room} px at {width}"


@pytest.mark.parametrize("width", [1280, 1440])
def test_the_list_fits_beside_the_detail(
    open_page: Callable[..., Any], site: Site, key: str, width: int
) -> None:
    name = send_request(site, key)
    page = open_page("admin", size={"width": width, "height": 900})
    page.goto(f"/console/requests/{name}")
    wide, room = page.locator(".req-list").evaluate("list => [list.scrollWidth, list.clientWidth]")
    assert wide <= room


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_request_is_scored_and_found_by_its_score(
    open_page: Callable[..., Any],
    site: Site,
    key: str,
    axe: Any,
    no_sideways_scroll: Any,
    size: dict[str, int],
) -> None:
    name = send_request(site, key, f"Score me at {size['width']}")
    page = open_page("admin", size=size)
    page.goto(f"/console/requests/{name}")
    page.get_by_role("button", name="Bad response").click()
    expect(page.get_by_role("button", name="Bad response")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.get_by_role("navigation", name="Request details").get_by_text("Scores").click()
    page.get_by_label("Score, 0 to 1").fill("0.35")
    page.get_by_label("Name", exact=True).fill("tone")
    page.get_by_label("Comment").fill("Not kind.")
    page.locator(".score-form").get_by_role("button", name="Save").click()
    expect(page.locator(".scores li")).to_have_count(2)
    expect(page.locator(".scores")).to_contain_text("Not kind.")
    assert_page_is_clean(page, axe, no_sideways_scroll, size)
    page.goto("/console/requests?q=score:tone has:comment")
    expect(page.locator("#rows .score-pills").first).to_contain_text("0.35")
    assert_page_is_clean(page, axe, no_sideways_scroll, size)


def test_feedback_that_a_client_sends_with_its_key_is_shown(
    signed_in: Any, site: Site, key: str
) -> None:
    name = send_request(site, key, "A question with feedback")
    response = httpx.post(
        f"{site.url}/api/requests/{name}/scores",
        json={"value": 0, "comment": "Wrong city.", "scored_by": "user-17"},
        headers={"authorization": f"Bearer {key}"},
        timeout=30,
    )
    assert response.status_code == 201, response.text
    signed_in.goto(f"/console/requests/{name}?tab=scores")
    scores = signed_in.locator("#detail")
    expect(scores).to_contain_text("Wrong city.")
    expect(scores).to_contain_text("key browser-test: user-17")


def test_the_menu_of_columns_has_one_line_per_column(site_with_data: Site, signed_in: Any) -> None:
    signed_in.goto("/console/requests")
    signed_in.get_by_text("Columns", exact=True).click()
    labels = signed_in.locator(".menu label", has=signed_in.locator("[data-column]"))
    heights = [label.bounding_box()["height"] for label in labels.all()]
    assert len(heights) > 3
    assert len(set(heights)) == 1, "the longest name does not wrap"
    assert labels.filter(has_text="Total / First").count() == 1, "as in the header"


def test_an_empty_result_does_not_touch_the_edges(site_with_data: Site, signed_in: Any) -> None:
    signed_in.goto("/console/requests?q=nothing-matches-this")
    pane, box = (signed_in.locator(name).bounding_box() for name in ("#list", "#list .empty"))
    assert box["x"] >= pane["x"] + 8
    assert box["x"] + box["width"] <= pane["x"] + pane["width"] - 8
