"""API keys in a browser: created, copied, rotated, revoked and restored."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.site import Site


def status(site: Site, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.get(f"{site.url}/v1/models", headers=headers, timeout=30).status_code


def create_key(page: Any, name: str) -> str:
    """Create a key on the page and return its secret."""
    page.goto("/console/keys")
    page.get_by_role("link", name="Create key").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Create key").click()
    return str(page.locator("#secret").inner_text())


def test_a_key_is_created_shown_once_copied_and_works(open_page: Any, site: Site) -> None:
    page = open_page("admin", permissions=["clipboard-read", "clipboard-write"])
    token = create_key(page, "browser key")
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#live")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == token
    site.wait_for_key(token)
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_role("link", name="browser key")).to_be_visible()
    assert token not in page.content()


def test_two_clicks_create_one_key(signed_in: Any) -> None:
    signed_in.goto("/console/keys/add")
    signed_in.get_by_label("Name", exact=True).fill("one of a kind")
    box = signed_in.get_by_role("button", name="Create key").bounding_box()
    signed_in.mouse.move(box["x"] + 5, box["y"] + 5)
    for _ in range(2):
        signed_in.mouse.down()
        signed_in.mouse.up()
        signed_in.wait_for_timeout(20)  # a double click of a person; at 0 ms Chromium sends one
    expect(signed_in.locator("#secret")).to_be_visible()
    signed_in.goto("/console/keys")
    expect(signed_in.get_by_role("link", name="one of a kind")).to_have_count(1)
    signed_in.evaluate("history.go(-2)")  # not one by one: the response to a form is not cached
    signed_in.get_by_label("Name", exact=True).fill("the next one")
    signed_in.get_by_role("button", name="Create key").click()
    expect(signed_in.locator("#secret")).to_be_visible()


def test_two_clicks_insert_one_key_into_the_snippets(signed_in: Any) -> None:
    """htmx sends a second click after the first, unless it drops it."""
    signed_in.goto("/console/connect")
    sent: list[str] = []
    signed_in.on("request", lambda r: sent.append(r.url) if r.method == "POST" else None)
    with signed_in.expect_response("**/connect/key"):
        signed_in.get_by_role("button", name="Insert a new key").dblclick()
    expect(signed_in.locator("#panels")).to_contain_text("sk-dgm-")
    signed_in.wait_for_load_state("networkidle")
    assert len(sent) == 1


def test_a_rejected_form_continues_at_its_first_error(signed_in: Any, page_errors: Any) -> None:
    page_errors.allow("422")
    signed_in.goto("/console/keys/add")
    signed_in.get_by_label("Name", exact=True).fill("too little")
    signed_in.locator("summary", has_text="Advanced").click()
    expect(signed_in.get_by_label("Team or project")).to_have_text(re.compile("None"))
    signed_in.locator("#id_limit_tpd").fill("1e3")
    signed_in.get_by_role("button", name="Create key").click()
    expect(signed_in.locator("#id_limit_tpd")).to_be_focused()
    expect(signed_in.locator("#id_limit_tpd")).to_be_in_viewport()


def test_an_old_secret_is_valid_during_its_grace_period(signed_in: Any, site: Site) -> None:
    old = create_key(signed_in, "rotating")
    signed_in.goto("/console/keys")
    signed_in.get_by_role("link", name="rotating").click()
    signed_in.get_by_label("Keep the old secret valid for").select_option("hour")
    signed_in.get_by_role("button", name="Rotate").click()
    new = signed_in.locator("#secret").inner_text()
    site.wait_for_key(new)
    assert status(site, old) == 200
    signed_in.goto("/console/keys")
    signed_in.get_by_role("link", name="rotating").click()
    signed_in.get_by_role("button", name="Revoke now").click()
    site.wait_for_key(old, 401)
    assert status(site, new) == 200


def test_a_revocation_can_be_undone(signed_in: Any, site: Site) -> None:
    token = create_key(signed_in, "slip of the hand")
    site.wait_for_key(token)
    signed_in.goto("/console/keys?q=hand")
    signed_in.get_by_role("button", name="Revoke slip of the hand").click()
    undo = signed_in.get_by_role("button", name="Undo")
    undo.wait_for()
    site.wait_for_key(token, 401)
    expect(signed_in).to_have_url(re.compile(r"/keys\?q=hand$"))
    undo.click()
    signed_in.get_by_text("restored").wait_for()
    site.wait_for_key(token)


def test_the_undo_button_disappears_after_ten_seconds(signed_in: Any) -> None:
    create_key(signed_in, "for good")
    signed_in.goto("/console/keys")
    signed_in.get_by_role("button", name="Revoke for good").click()
    signed_in.get_by_role("button", name="Undo").wait_for()
    signed_in.get_by_role("button", name="Undo").wait_for(state="detached")


def test_route_fields_are_visible_only_with_selected_routes(
    signed_in: Any, page_errors: Any
) -> None:
    page_errors.allow("422")
    signed_in.goto("/console/keys/add")
    patterns = signed_in.get_by_label("Additional names and patterns")
    expect(patterns).to_be_hidden()
    signed_in.get_by_text("Advanced").click()
    expect(patterns).to_be_hidden()
    signed_in.get_by_label("Selected routes").check()
    expect(patterns).to_be_visible()
    signed_in.get_by_label("Name", exact=True).fill("no routes")
    signed_in.get_by_role("button", name="Create key").click()
    expect(signed_in.get_by_text("Choose at least one route")).to_be_visible()
    expect(signed_in.get_by_label("Name", exact=True)).to_have_value("no routes")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.wide(every=2)
def test_key_pages_have_no_accessibility_violations(
    open_page: Any, axe_in_themes: Any, no_sideways_scroll: Any, size: Any
) -> None:
    page = open_page("admin", size=size)
    create_key(page, "looked at")
    axe_in_themes(page)
    no_sideways_scroll(page)
    for path in ("/console/keys", "/console/keys/add", "/console/keys/1"):
        page.goto(path)
        axe_in_themes(page)
        no_sideways_scroll(page)
    page.goto("/console/keys")
    page.get_by_role("button", name="Revoke looked at").click()
    page.get_by_role("button", name="Undo").wait_for()
    axe_in_themes(page)
    page.goto("/console/keys?show=revoked")
    axe_in_themes(page)
    no_sideways_scroll(page)
    page.get_by_role("link", name="Delete looked at").first.click()
    axe_in_themes(page)
    page.get_by_role("button", name="Delete key").click()
