"""The header, navigation and search that all pages share."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from playwright.sync_api import expect

from tests.browser.site import Site


def test_the_navigation_renders_without_accessibility_violations(
    signed_in: Any, site: Site, axe: Any
) -> None:
    signed_in.goto("/console/")
    assert signed_in.locator("nav.side a[aria-current=page]").inner_text() == "Overview"
    axe(signed_in)


def test_keyboard_shortcuts_search_open_pages_and_can_be_disabled(signed_in: Any) -> None:
    page = signed_in
    page.goto("/console/models")
    page.keyboard.press("/")
    search = page.locator("#main input[type=search]:visible").first
    expect(search).to_be_focused()
    # Keys are text while one types.
    page.keyboard.type("g?")
    expect(search).to_have_value("g?")
    search.evaluate("field => field.blur()")
    page.keyboard.press("?")
    dialog = page.locator("#keyboard")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    for letter, path in (("r", "requests"), ("t", "routes"), ("p", "playground"), ("o", "")):
        page.keyboard.press("g")
        page.keyboard.press(letter)
        # With its scripts: a key pressed before they run goes nowhere.
        page.wait_for_url(re.compile(f"/console/{path}$"), wait_until="load")
    page.keyboard.press("?")
    dialog.get_by_label("Single-key shortcuts").uncheck()
    dialog.get_by_role("button", name="Close").click()
    # The choice outlives the page; keys with Ctrl still work.
    page.goto("/console/routes")
    page.keyboard.press("?")
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_timeout(300)
    expect(dialog).to_be_hidden()
    assert page.url.endswith("/console/routes")
    page.keyboard.press("Control+k")
    expect(page.locator("dialog[open]")).to_be_visible()


def test_the_theme_is_switched_announced_and_remembered(signed_in: Any) -> None:
    signed_in.goto("/console/")
    button, root = signed_in.get_by_role("button", name="Change theme"), signed_in.locator("html")
    for theme in ("dark", "light"):
        button.click()
        expect(root).to_have_attribute("data-theme", theme)
        expect(signed_in.locator("#live")).to_have_text(f"{theme.title()} theme")
        signed_in.reload()
        expect(root).to_have_attribute("data-theme", theme)


def test_the_window_has_no_scrollbar_of_its_own(signed_in: Any) -> None:
    """Navigation and content scroll by themselves; a second scrollbar beside theirs moves nothing."""
    for path in ("/console/", "/console/models", "/console/playground", "/console/requests"):
        signed_in.goto(path)
        high, window = signed_in.evaluate(
            "[document.documentElement.scrollHeight, document.documentElement.clientHeight]"
        )
        assert high == window, path


def test_all_entries_of_an_admin_are_visible_in_900_px(signed_in: Any) -> None:
    signed_in.goto("/console/")
    sidebar = signed_in.locator("#side")
    expect(sidebar.locator(".health-status")).to_be_visible()
    assert sidebar.evaluate("side => side.scrollHeight <= side.clientHeight")


def test_signing_out_and_the_current_page_are_visible_in_a_low_window(signed_in: Any) -> None:
    """The navigation of an admin is higher than the window of a laptop."""
    signed_in.set_viewport_size({"width": 1280, "height": 640})
    for path, name in (("/console/", "Overview"), ("/console/settings", "Settings")):
        signed_in.goto(path)
        expect(signed_in.get_by_role("button", name="Sign out")).to_be_in_viewport(ratio=1)
        current = signed_in.locator("nav.side a[aria-current=page]")
        expect(current).to_have_text(name)
        box, foot = current.bounding_box(), signed_in.locator(".side-foot").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= foot["y"]


def test_times_are_in_the_time_zone_of_the_browser(open_page: Any) -> None:
    page = open_page("admin", timezone_id="Asia/Tokyo")
    page.goto("/console/")  # its script sets the cookie for the next page
    page.goto("/console/changes")
    moment = page.locator("#main time").first
    expect(moment).to_have_attribute("title", re.compile("JST$"))
    local = dt.datetime.fromisoformat(moment.get_attribute("datetime")) + dt.timedelta(hours=9)
    expect(moment).to_contain_text(f"{local:%H:%M}")


def test_earlier_changes_get_the_keyboard_focus(site: Site, signed_in: Any) -> None:
    """The pressed link is replaced by the changes: the next key would begin at the top."""
    site.shell(
        "from gateway.models import Change\n"
        "Change.objects.bulk_create("
        "Change(row_id=n, kind='team', name=f'team-{n:02}', action='created', via='console')"
        " for n in range(70))"
    )
    signed_in.goto("/console/changes?kind=team")
    signed_in.get_by_role("link", name="Show earlier changes").focus()
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_role("heading", name="Team team-19")).to_be_focused()


def test_a_page_is_printed_completely_and_without_its_controls(signed_in: Any) -> None:
    """Only the part on the screen was printed in landscape format, beside the navigation."""
    signed_in.goto("/console/settings")
    signed_in.emulate_media(media="print")
    expect(signed_in.locator("nav.side")).to_be_hidden()
    body = signed_in.locator(".page-body")
    assert body.evaluate("element => element.clientHeight >= element.scrollHeight")
    assert body.evaluate("element => element.clientHeight > innerHeight")
    # What is filtered stays: the page lists only that.
    for path in ("/console/models", "/console/requests"):
        signed_in.goto(path)
        expect(signed_in.locator("#main input[type=search]:visible").first).to_be_visible()
        expect(signed_in.locator(".btn:visible")).to_have_count(0)
