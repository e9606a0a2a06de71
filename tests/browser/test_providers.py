"""Providers in a browser: created from a preset, tested, models fetched; without JavaScript too."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE

SECRET = "sk-canary-0123456789abcdef"


def test_a_provider_is_added_tested_and_its_models_are_fetched(signed_in: Any) -> None:
    page = signed_in
    page.goto("/console/providers")
    page.get_by_role("link", name="Add provider").click()
    page.get_by_label("Search providers").fill("demo")
    expect(page.locator(".preset:visible")).to_have_count(1)
    page.locator(".preset:visible a").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("demo-2")
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("Connected").wait_for()
    expect(page.get_by_role("button", name="Test connection")).to_be_visible()
    page.get_by_label("Model optional", exact=True).fill("demo-401")
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("Connection failed").wait_for()
    page.get_by_text("requests to this provider will fail too").wait_for()
    page.get_by_role("button", name="Add anyway").click()
    page.get_by_role("link", name="Fetch models").click()
    page.locator("#narrow").fill("fast")
    page.get_by_role("button", name="Select all").click()
    page.get_by_role("button", name="Select all").click()
    page.get_by_label("Add demo-fast").check()
    page.locator("#narrow").fill("")
    for box in page.locator("#new input:checked").all():
        if box.get_attribute("value") != "demo-fast":
            box.uncheck()
    page.get_by_role("button", name="Import selected").click()
    page.get_by_text("1 model added").wait_for()
    expect(page.locator(".models tbody tr")).to_have_count(1)


def test_a_typed_key_can_be_shown_and_a_stored_one_cannot(signed_in: Any) -> None:
    page = signed_in
    page.goto("/console/providers/add/openai")
    page.get_by_label("Enter a key").check()
    field = page.locator("input[name=key]")
    field.fill(SECRET)
    assert field.get_attribute("type") == "password"
    page.get_by_role("button", name="Show key").click()
    expect(field).to_have_attribute("type", "text")
    page.get_by_role("button", name="Add provider").click()
    page.get_by_role("link", name="Fetch models").wait_for()
    assert SECRET not in page.content()
    assert "cdef" in page.content()
    page.goto("/console/providers")
    assert "cdef" in page.content()


def test_the_form_shows_while_typing_whether_a_variable_is_set(signed_in: Any) -> None:
    page = signed_in
    page.goto("/console/providers/add/groq")
    page.locator("input[name=key]").fill(SECRET)
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.get_by_label("Read from environment").check()
    variable = page.locator("input[name=credential_env]")
    variable.fill("NO_SUCH_KEY")
    page.get_by_text("NO_SUCH_KEY is not set.").wait_for()
    variable.fill("PYTHONPATH")
    page.get_by_text("PYTHONPATH is set.").wait_for()
    expect(page.locator("input[name=key]")).to_be_hidden()
    assert len(urls) == 2
    assert not [url for url in urls if SECRET in url]


def test_without_a_script_a_provider_is_tested_and_added(open_page: Any) -> None:
    page = open_page("admin", java_script_enabled=False)
    page.goto("/console/providers/add/demo")
    page.get_by_label("Name", exact=True).fill("scriptless")
    page.get_by_role("button", name="Test connection").click()
    expect(page.get_by_text("Connected")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("scriptless")
    page.get_by_role("button", name="Add provider").click()
    page.goto("/console/providers")
    page.get_by_role("link", name="scriptless", exact=True).click()
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete provider").click()
    expect(page.get_by_text("scriptless deleted")).to_be_visible()


def test_a_refused_form_is_shown_in_the_page(signed_in: Any, page_errors: Any) -> None:
    page_errors.allow("422")
    page = signed_in
    page.goto("/console/providers/add/custom")
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("Nothing was sent").wait_for()
    page.get_by_role("button", name="Add provider").click()
    expect(page.locator("#id_base_url_error")).to_be_visible()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.wide(every=2)
def test_provider_pages_have_no_accessibility_violations(
    open_page: Any, axe_in_themes: Any, no_sideways_scroll: Any, size: Any
) -> None:
    page = open_page("admin", size=size)
    paths = ("", "/add", "/add/openai", "/add/custom", "/1", "/1/fetch", "/1/delete")
    for path in paths:
        page.goto(f"/console/providers{path}")
        axe_in_themes(page)
        no_sideways_scroll(page)
    page.goto("/console/providers/1")
    page.get_by_text("Advanced").click()
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("Connected").wait_for()
    axe_in_themes(page)
    no_sideways_scroll(page)
