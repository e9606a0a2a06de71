"""A page whose server fails, is slow or ended the session reports it and keeps the input."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.site import Site


def test_a_failed_part_shows_its_error_and_can_be_retried(
    site_with_data: Site, signed_in: Any, page_errors: Any
) -> None:
    page_errors.allow("500")
    page_errors.allow("ERR_FAILED")
    page_errors.allow("Failed to fetch")
    page = signed_in
    page.goto("/console/requests?range=all")
    row = page.locator("#rows > tr").first
    row.wait_for()
    for fail in (
        lambda route: route.fulfill(status=500, body="<h1>Server Error (500)</h1>"),
        lambda route: route.abort(),
    ):
        page.route(re.compile(r"/console/requests/\d+"), fail)
        row.locator("a.request-link").click()
        toast = page.locator(".toast.error")
        expect(toast).to_have_count(1)
        assert "Server Error" not in page.locator("#main").inner_text()
        page.unroute(re.compile(r"/console/requests/\d+"))
        toast.get_by_role("button", name="Retry").click()
        expect(page.locator("#detail-title")).to_be_visible()
        expect(page.locator(".toast.error")).to_have_count(0)
        page.goto("/console/requests?range=all")


def test_a_slow_fragment_shows_a_loading_state(site_with_data: Site, signed_in: Any) -> None:
    page = signed_in
    page.goto("/console/requests?range=all")
    row = page.locator("#rows > tr").first
    row.wait_for()
    routes: list[Any] = []
    page.route(re.compile(r"/console/requests/\d+"), lambda route: routes.append(route))
    row.locator("a.request-link").click()
    expect(page.locator("#progress-line")).to_be_visible()
    expect(row).to_have_attribute("aria-busy", "true")
    routes[0].continue_()
    expect(page.locator("#detail-title")).to_be_visible()
    expect(page.locator("#progress-line")).to_be_hidden()


def sign_in_again(page: Any, site: Site) -> None:
    # Not `wait_for_url`: it fails if a second request that finds the session ended navigates, too.
    expect(page).to_have_url(re.compile("/console/sign-in"))
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(site.password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_unsaved_input_survives_a_new_session(
    site_with_data: Site, open_page: Callable[..., Any], page_errors: Any
) -> None:
    page_errors.allow("401")
    page_errors.allow("403")
    page = open_page("admin")
    page.goto("/console/teams/add")
    page.locator("input[name=name]").fill("Team of tomorrow")
    page.context.clear_cookies()
    page.get_by_role("button", name="Add team").or_(
        page.locator("main form button.primary")
    ).first.click()
    sign_in_again(page, site_with_data)
    page.wait_for_url(re.compile("/console/teams/add"))
    expect(page.locator("input[name=name]")).to_have_value("Team of tomorrow")
    expect(page.locator(".toast")).to_contain_text("not saved yet")
    # A page that is opened later begins empty.
    page.goto("/console/teams/add")
    expect(page.locator("input[name=name]")).to_have_value("")


def test_added_rows_of_a_form_survive_a_new_session(
    site_with_data: Site, open_page: Callable[..., Any]
) -> None:
    page = open_page("admin")
    page.goto("/console/evaluate/new")
    for _ in range(2):
        page.get_by_role("button", name="Add assertion").click()
    page.locator("[name=assert-2-type]").select_option("contains")
    page.locator("[name=assert-2-value]").fill("Paris")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Create evaluation").click()
    sign_in_again(page, site_with_data)
    page.wait_for_url(re.compile("/console/evaluate/new"))
    expect(page.locator("[name=assert-2-type]")).to_have_value("contains")
    expect(page.locator("[name=assert-2-value]")).to_have_value("Paris")


@pytest.mark.parametrize("path", ["/console/prompts/new", "/console/prompts/{prompt}"])
def test_added_messages_of_a_prompt_survive_a_new_session(
    site_with_data: Site, open_page: Callable[..., Any], page_errors: Any, path: str
) -> None:
    """The server adds the rows, to a page at the address of the form's action."""
    for status in ("401", "403"):
        page_errors.allow(status)
    page = open_page("admin")
    page.goto(path.format(**site_with_data.names))
    rows = page.locator("textarea[name^=content-]")
    count = rows.count()
    for number in range(count + 1, count + 3):
        page.get_by_role("button", name="Add message").click()
        expect(rows).to_have_count(number)
    rows.last.fill("Use the units of {{country}}.")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name=re.compile("Save|Create prompt")).click()
    sign_in_again(page, site_with_data)
    page.wait_for_url(re.compile(path.format(**site_with_data.names) + "$"))
    expect(rows).to_have_count(count + 2)
    expect(rows.last).to_have_value("Use the units of {{country}}.")
    expect(page.locator(".toast")).to_contain_text("not saved yet")


def test_input_with_an_error_survives_a_new_session(
    site_with_data: Site, open_page: Callable[..., Any], page_errors: Any
) -> None:
    """The server had filled in the fields, which no longer counted as changed."""
    for status in ("401", "403", "422"):
        page_errors.allow(status)
    page = open_page("admin")
    page.goto("/console/teams/add")
    page.locator("input[name=name]").fill("Team of tomorrow")
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    page.locator("input[name=budget_day_usd]").fill("-3")
    save = page.locator("main form button.primary")
    save.click()
    expect(page.locator("[aria-invalid=true]")).to_have_count(1)
    page.context.clear_cookies(name="sessionid")
    save.click()
    sign_in_again(page, site_with_data)
    page.wait_for_url(re.compile("/console/teams/add"))
    expect(page.locator("input[name=name]")).to_have_value("Team of tomorrow")
    expect(page.locator("input[name=budget_day_usd]")).to_have_value("-3")


def test_a_draft_of_a_route_outlives_the_session(
    site_with_data: Site, open_page: Callable[..., Any], page_errors: Any
) -> None:
    page_errors.allow("401")
    page_errors.allow("403")
    page = open_page("admin")
    page.goto("/console/routes/coding")
    page.get_by_role("button", name="Add step").click()
    expect(page.locator(".step.card")).to_have_count(3)
    page.locator(".step-name").nth(2).fill("Third")
    page.context.clear_cookies(name="sessionid")
    # The check while typing, or Save, whichever is first, finds the session ended.
    sign_in_again(page, site_with_data)
    page.wait_for_url(re.compile("/console/routes/coding"))
    expect(page.locator(".step.card")).to_have_count(3)
    expect(page.locator(".step-name").nth(2)).to_have_value("Third")
