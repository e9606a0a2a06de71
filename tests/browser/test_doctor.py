"""The doctor in a browser: start, progress, stop, findings, and applying the results."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE


def open_model(page: Any, name: str) -> None:
    page.goto(f"/console/models?q={name}")
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("link", name="Doctor").click()
    page.wait_for_url("**/doctor")


def test_a_model_is_examined_and_a_fact_is_written(signed_in: Any, page_errors: Any) -> None:
    page = signed_in
    page_errors.allow("422")
    open_model(page, "demo-fast")
    expect(page.get_by_text("42 requests, about")).to_be_visible()
    page.get_by_role("button", name="Run checks", exact=True).click()
    page.get_by_role("button", name="Run checks again").wait_for(timeout=90_000)
    row = page.locator(".probes tr", has=page.get_by_text("Tool call", exact=True))
    expect(row).to_contain_text("Supported")
    expect(row).to_contain_text("read_gauge")
    page.locator(".probes summary", has_text="Forced tool").click()
    expect(page.get_by_text("A call of that tool.")).to_be_visible()
    # Not proven, so it is only offered.
    choice = page.get_by_role("checkbox", name=re.compile("images"))
    expect(choice).not_to_be_checked()
    page.get_by_role("button", name="Apply selected").click()
    expect(page.get_by_text("Select at least one property.")).to_be_visible()
    choice.check()
    page.get_by_role("button", name="Apply selected").click()
    page.get_by_text("Applied: images").wait_for()
    expect(page.get_by_role("checkbox")).to_have_count(0)


def test_a_doctor_run_is_watched_and_stopped(signed_in: Any) -> None:
    page = signed_in
    open_model(page, "demo-slow")
    page.get_by_role("button", name="Run checks", exact=True).click()
    status = page.locator("#doctor-live [role=status]")
    expect(status).to_contain_text(re.compile(r"[1-9]\d* of 36 checks done"))
    stop = page.get_by_role("button", name="Stop")
    stop.focus()
    before = status.inner_text()
    expect(status).not_to_have_text(before)
    expect(stop).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_text("Stopped").wait_for()
    expect(page.get_by_role("button", name="Run checks again")).to_be_visible()


def test_the_doctor_works_without_scripts(open_page: Any) -> None:
    page = open_page("admin", java_script_enabled=False)
    open_model(page, "demo-bad-schema")
    page.get_by_role("button", name="Run checks", exact=True).click()
    look = page.get_by_role("link", name="Refresh")
    for _ in range(180):
        if not look.count():
            break
        page.wait_for_timeout(500)
        page.reload()
    expect(page.locator(".probes tr", has_text="JSON schema")).to_contain_text("Wrong")


@pytest.fixture(scope="module")
def checked_model(site: Any) -> str:
    """A model that the doctor command has examined."""
    site.manage("doctor", "demo/demo-wrong-tool")
    return "demo-wrong-tool"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.wide(every=4)
def test_the_doctor_pages_have_no_accessibility_violations(
    open_page: Any, axe: Any, no_sideways_scroll: Any, checked_model: str, size: Any, theme: str
) -> None:
    page = open_page("admin", size=size, theme=theme)
    open_model(page, checked_model)
    axe(page)
    no_sideways_scroll(page)
    page.get_by_role("link", name="All models").click()
    expect(page.get_by_role("heading", name="Side by side")).to_be_visible()
    axe(page)
    no_sideways_scroll(page)
    page.get_by_role("link", name="Run checks on demo-quota").click()
    expect(page.get_by_text("not run yet").first).to_be_visible()
    axe(page)
    no_sideways_scroll(page)


def test_on_a_phone_each_capability_is_a_line_that_unfolds(
    open_page: Any, checked_model: str
) -> None:
    page = open_page("admin", size=PHONE)
    open_model(page, checked_model)
    row = page.locator(".probes tr", has_text="Parallel calls disabled")
    response_text = row.locator(".response")
    expect(row.get_by_text("Wrong", exact=True)).to_be_visible()
    expect(response_text).to_be_hidden()
    assert row.bounding_box()["height"] <= 48
    # All of it in four screens, not in ten.
    assert page.evaluate("document.documentElement.scrollHeight") < 4 * PHONE["height"]
    row.locator("summary").click()
    expect(response_text).to_be_visible()
    differs = page.locator(".probes tr", has=page.get_by_text("differs", exact=True)).first
    expect(differs.get_by_text("differs", exact=True)).to_be_visible()


def test_on_a_phone_models_are_compared_in_a_table(open_page: Any, checked_model: str) -> None:
    page = open_page("admin", size=PHONE)
    open_model(page, checked_model)
    page.get_by_role("link", name="All models").click()
    table = page.get_by_role("region", name="Results by model")
    row = table.get_by_role("row").filter(has_text="Parallel calls disabled")
    name, verdict = row.get_by_role("rowheader"), row.get_by_text("Wrong", exact=True)
    boxes = name.bounding_box(), verdict.bounding_box()
    assert boxes[1]["x"] >= boxes[0]["x"] + boxes[0]["width"] - 1
    never = page.get_by_role("row").filter(
        has=page.get_by_role("link", name="Run checks on demo-quota")
    )
    assert never.bounding_box()["height"] <= 56
