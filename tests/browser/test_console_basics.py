"""Keyboard, navigation, contrast themes and link names of the console."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE
from tests.browser.site import Site


def test_escape_closes_the_detail_of_a_request(site_with_data: Site, signed_in: Any) -> None:
    signed_in.goto("/console/requests")
    signed_in.locator("#rows > tr a.request-link").first.click()
    expect(signed_in.locator("#detail-title")).to_be_visible()
    signed_in.keyboard.press("Escape")
    expect(signed_in.locator("#detail-title")).to_have_count(0)
    signed_in.wait_for_url(lambda url: "/console/requests/" not in url)


def test_the_focus_survives_what_is_exchanged(site_with_data: Site, signed_in: Any) -> None:
    """After each tab of a request the keyboard began at the top of the page."""
    page = signed_in
    page.goto("/console/requests")
    rows = page.locator("#rows > tr")
    # By id: a request that ends during the test adds a row.
    older_row = page.locator(f'#rows > tr[data-id="{rows.nth(3).get_attribute("data-id")}"]')
    rows.nth(2).locator("a.request-link").focus()
    page.keyboard.press("Enter")
    detail = page.locator("#detail")

    def press(control: Any) -> None:
        control.focus()
        page.keyboard.press("Enter")

    tab = detail.get_by_role("link", name="Scores")
    press(tab)
    expect(tab).to_have_attribute("aria-current", "page")
    expect(tab).to_be_focused()
    thumb = detail.get_by_role("button", name="Good response")
    press(thumb)
    expect(thumb).to_have_attribute("aria-pressed", "true")
    expect(thumb).to_be_focused()
    older = detail.get_by_role("link", name="Older request").last
    press(older)
    expect(older_row).to_have_attribute("aria-current", "true")
    expect(older).to_be_focused()
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: "/console/requests/" not in url)
    expect(older_row.locator("a.request-link")).to_be_focused()


def test_the_focus_survives_two_swaps_at_once(site_with_data: Site, signed_in: Any) -> None:
    """The rows of the log are exchanged at any time, as while the detail is."""
    page = signed_in
    page.goto("/console/requests")
    page.locator("#rows > tr a.request-link").first.click()
    tab = page.locator("#detail").get_by_role("link", name="Scores")
    tab.focus()
    tab.evaluate(
        """(tab) => {
          const dispatch = (name) => document.dispatchEvent(new CustomEvent(name));
          dispatch("htmx:before:swap");
          tab.replaceWith(tab.cloneNode(true));
          dispatch("htmx:before:swap");
          dispatch("htmx:after:swap");
          dispatch("htmx:after:swap");
        }"""
    )
    expect(tab).to_be_focused()


def test_escape_closes_a_menu_before_the_detail(site_with_data: Site, signed_in: Any) -> None:
    signed_in.goto("/console/requests")
    signed_in.locator("#rows > tr a.request-link").first.click()
    expect(signed_in.locator("#detail-title")).to_be_visible()
    menu = signed_in.locator("details.menu", has_text="Status").first
    menu.locator("summary").focus()
    signed_in.keyboard.press("Enter")
    expect(menu).to_have_attribute("open", "")
    signed_in.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")
    expect(menu.locator("summary")).to_be_focused()
    expect(signed_in.locator("#detail-title")).to_be_visible()
    signed_in.keyboard.press("Escape")
    expect(signed_in.locator("#detail-title")).to_have_count(0)


@pytest.mark.parametrize("path", ["requests", "evaluate/runs/{evaluation_run}", "routes/coding"])
@pytest.mark.parametrize("width", [320, 390])
def test_no_menu_is_cut_off_on_a_phone(
    site_with_data: Site, signed_in: Any, path: str, width: int
) -> None:
    signed_in.set_viewport_size({"width": width, "height": 844})
    signed_in.goto(f"/console/{path}".format(**site_with_data.names))
    opened = 0
    for menu in signed_in.locator("details.menu").all():
        if not menu.is_visible():
            continue
        menu.locator("> summary").click()
        panel = menu.locator("> :not(summary)")
        is_inside = "e => e.getBoundingClientRect().left >= 0 && e.getBoundingClientRect().right <= innerWidth"
        signed_in.wait_for_function(is_inside, arg=panel.element_handle(), timeout=10_000)
        signed_in.keyboard.press("Escape")
        opened += 1
    assert opened


def test_escape_closes_the_navigation_of_a_phone(site: Site, open_page: Callable[..., Any]) -> None:
    page = open_page("admin", size=PHONE)
    page.goto("/console/models")
    button = page.get_by_role("link", name="Menu")
    expect(button).to_have_attribute("aria-expanded", "false")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_role("link", name="Playground", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(button).to_be_focused()


def test_request_links_are_named_by_model_status_and_time(
    site_with_data: Site, signed_in: Any
) -> None:
    signed_in.goto("/console/requests?range=all")
    names = signed_in.eval_on_selector_all(
        "#rows > tr a.request-link",
        "links => links.map(link => link.ariaLabel || link.textContent.trim())",
    )
    assert len(names) > 3
    assert [
        name for name in names if not re.search(r"^\S+, status \d+, \d\d:\d\d:\d\d", name)
    ] == []


def test_enter_makes_an_alias_and_empties_the_field(site_with_data: Site, signed_in: Any) -> None:
    signed_in.goto("/console/new-route")
    field = signed_in.locator("#route-alias")
    field.fill("another-name")
    field.press("Enter")
    expect(signed_in.locator("input[type=hidden][name=alias][value=another-name]")).to_have_count(1)
    expect(signed_in.locator("#route-alias")).to_have_value("")


def test_viewers_see_no_empty_section(site_with_data: Site, viewer_page: Any) -> None:
    viewer_page.goto("/console/")
    expect(viewer_page.locator("nav").get_by_text("Admin", exact=True)).to_have_count(0)
    expect(viewer_page.get_by_text("viewer").first).to_be_visible()


def test_high_contrast_themes_show_selected_states(
    site_with_data: Site, open_page: Callable[..., Any]
) -> None:
    page = open_page("admin", forced_colors="active")
    page.goto("/console/requests")
    look = "box => { const at = getComputedStyle(box); return [at.backgroundColor, at.outline, at.border, at.forcedColorAdjust].join() }"
    switch = page.locator("input[type=checkbox][role=switch]").first
    before = switch.evaluate(look)
    switch.evaluate("box => { box.checked = !box.checked }")
    assert switch.evaluate(look) != before
