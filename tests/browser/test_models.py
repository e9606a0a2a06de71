"""Models in a browser: filtered while typing, changed and reset."""

from __future__ import annotations

import time
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE


def test_typing_narrows_the_list_and_the_address(signed_in: Any) -> None:
    page = signed_in
    page.goto("/console/models")
    assert page.locator(".models tbody tr").count() > 5
    page.get_by_label("Search models").press_sequentially("demo-fast")
    page.get_by_text("1 of ").first.wait_for()
    expect(page.locator(".models tbody tr")).to_have_count(1)
    page.wait_for_url("**q=demo-fast**")
    page.reload()
    expect(page.locator(".models tbody tr")).to_have_count(1)
    page.get_by_label("Search models").fill("no such model")
    page.get_by_text("No models match this filter").wait_for()


def test_the_last_letter_counts_on_a_slow_connection(signed_in: Any) -> None:
    page = signed_in
    page.goto("/console/models")
    page.route("**/console/models?**", lambda route: (time.sleep(0.6), route.continue_()))
    page.get_by_label("Search models").press_sequentially("demo-fast", delay=300)
    page.wait_for_url("**q=demo-fast**")
    expect(page.locator(".models tbody tr")).to_have_count(1)


def test_a_chip_filters_the_list(signed_in: Any) -> None:
    page = signed_in
    page.goto("/console/models")
    page.locator("label.capability", has_text="Images").click()
    page.wait_for_url("**can=images**")
    expect(page.locator("#model-rows").get_by_role("link", name="Show all")).to_be_visible()


def test_a_property_is_changed_and_reset(signed_in: Any) -> None:
    page = signed_in
    page.goto("/console/models?q=demo-slow")
    page.get_by_role("link", name="demo-slow", exact=True).click()
    page.get_by_label("Context").fill("4096")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved").wait_for()
    row = page.locator(".property", has=page.get_by_label("Context"))
    expect(row).to_contain_text("custom")
    row.get_by_role("button", name="Reset Context to its default").click()
    page.get_by_text("Reset to the built-in values").wait_for()
    expect(page.get_by_label("Context")).to_have_value("")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.wide(every=2)
def test_model_pages_have_no_accessibility_violations(
    open_page: Any, axe_in_themes: Any, no_sideways_scroll: Any, size: Any
) -> None:
    page = open_page("admin", size=size)
    for path in ("", "?q=nothing+fits", "/add", "/1", "/1/delete"):
        page.goto(f"/console/models{path}")
        axe_in_themes(page)
        no_sideways_scroll(page)
