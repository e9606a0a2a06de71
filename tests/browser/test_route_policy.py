"""The route editor's sections for failures, hedging, health checks and response cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.site import Site
from tests.waits import wait_until

MAKE = """
from gateway.models import Model, Provider, Route
from gateway.routing.route_spec import RouteSpec, StepSpec, TargetSpec
from gateway.store.routes import save_route
provider = Provider.objects.get(preset="demo")
for name in ["demo", "demo-a", "demo-b"]:
    Model.objects.get_or_create(provider=provider, name=name)
Route.objects.filter(name__in=["way", "spare", "shade"]).delete()
T = lambda name: TargetSpec(model=f"{provider.name}/{name}")
for name in ["spare", "shade", "way"]:
    save_route(RouteSpec(name=name, steps=(StepSpec(name="One", targets=(T("demo-a"), T("demo-b"))),)),
               route=None, number=0, author="admin")
"""
ROUTE = "/console/routes/way"
SECTION = "Reliability"


@pytest.fixture(autouse=True)
def _policy_route(site: Site) -> None:
    site.shell(MAKE)


def open_policy_section(page: Any) -> Any:
    """Open the section and return it."""
    section = page.locator("#route-policy")
    if not section.evaluate("part => part.open"):
        section.locator("summary").click()
    return section


def save_route_form(page: Any, version: int) -> None:
    """Save the route and wait for the confirmation."""
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast").last).to_contain_text(f"saved as version {version}")


def test_entered_values_are_saved(signed_in: Any) -> None:
    page = signed_in
    page.goto(ROUTE)
    section = open_policy_section(page)
    texts = {
        "Retry backoff (s)": "0.5",
        "Max Retry-After (s)": "7",
        "Failures before cooldown": "4",
        "Hedge after (s)": "1.5",
        "Health check interval (s)": "60",
        "Shadow share (%)": "12.5",
        "Retries after: timeout": "2",
        "Failures before cooldown: rate limit (429)": "9",
    }
    for label, text in texts.items():
        section.get_by_label(label, exact=True).fill(text)
    section.get_by_label("Tag matching").select_option("all")
    section.get_by_label("Shadow route").select_option("shade")
    section.get_by_label("In every step, skip targets").check()
    section.get_by_label("Fallback route after: context too long").select_option("spare")
    expect(section.get_by_role("checkbox", name="spare")).to_be_checked()
    save_route_form(page, 2)
    page.reload()
    section = open_policy_section(page)
    for label, text in texts.items():
        expect(section.get_by_label(label, exact=True)).to_have_value(text)
    expect(section.get_by_label("Tag matching")).to_have_value("all")
    expect(section.get_by_label("Shadow route")).to_have_value("shade")
    expect(section.get_by_label("In every step, skip targets")).to_be_checked()
    expect(section.get_by_role("checkbox", name="spare")).to_be_checked()
    section.get_by_role("checkbox", name="spare").uncheck()
    section.get_by_label("Retries after: timeout").fill("")
    save_route_form(page, 3)
    page.reload()
    section = open_policy_section(page)
    expect(section.get_by_role("checkbox", name="spare")).to_have_count(0)
    expect(section.get_by_label("Retries after: timeout")).to_have_value("")


@pytest.mark.parametrize(
    ("label", "text", "output_text"),
    [
        ("Retry backoff (s)", "999", "a number from 0 to 60"),
        ("Failures before cooldown", "0", "a number from 1 to 100"),
        ("Hedge after (s)", "soon", "a number from 0.01 to 600"),
        ("Health check interval (s)", "1", "a number from"),
        ("Shadow share (%)", "20", "choose a shadow route"),
        ("Retries after: timeout", "x", "a number from 0 to 100"),
        ("Failures before cooldown: content policy", "101", "a number from 0 to 100"),
    ],
)
def test_an_error_is_shown_at_its_field(
    signed_in: Any, page_errors: Any, label: str, text: str, output_text: str
) -> None:
    page_errors.allow("422")
    page = signed_in
    page.goto(ROUTE)
    open_policy_section(page).get_by_label(label, exact=True).fill(text)
    page.get_by_role("button", name="Save").click()
    section = page.locator("#route-policy")
    error = section.locator(".errors")
    expect(error).to_be_visible()
    expect(error).to_contain_text(output_text)
    expect(section.get_by_label(label, exact=True)).to_have_value(text)
    page.reload()
    expect(page.locator("#route-bar")).to_contain_text("version 1")


def test_the_section_is_usable_by_keyboard(signed_in: Any) -> None:
    page = signed_in
    page.goto(ROUTE)
    page.locator("#route-policy > summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    first = page.get_by_label("Retry backoff (s)")
    expect(first).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("0.75")
    expect(page.locator("#route-bar")).to_contain_text("unsaved")
    expect(first).to_be_focused()
    page.keyboard.press("Control+s")
    expect(page.locator(".toast")).to_contain_text("saved as version 2")
    page.reload()
    open_policy_section(page)
    expect(page.get_by_label("Retry backoff (s)")).to_have_value("0.75")


def test_cached_responses_are_stored_counted_and_cleared(
    signed_in: Any, site: Site, page_errors: Any
) -> None:
    page_errors.allow("422")
    page = signed_in
    page.goto(ROUTE)
    page.locator("#route-more > summary").click()
    page.get_by_label("Cache TTL (s)").fill("long")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#route-more .errors")).to_contain_text(
        "Enter a number of seconds from 1 to 2,592,000 (30 days)"
    )
    page.get_by_label("Cache TTL (s)").fill("600")
    page.get_by_label("Cache scope").select_option("route")
    save_route_form(page, 2)
    page.reload()
    page.locator("#route-more > summary").click()
    expect(page.get_by_label("Cache TTL (s)")).to_have_value("600")
    expect(page.get_by_label("Cache scope")).to_have_value("route")
    page.get_by_role("link", name="view cache").click()
    expect(page.locator("#stored-responses")).to_contain_text("0 responses are cached")
    page.get_by_role("button", name="Clear cache").click()
    expect(page.locator(".toast")).to_be_visible()


VARIED = """
import datetime as dt
from django.utils import timezone
from gateway.models import RequestLog
RequestLog.objects.filter(route="varied").delete()
for number, (variant, outcome) in enumerate([("canary", "ok"), ("canary", "error"), ("plain", "ok")]):
    RequestLog.objects.create(request_id=f"req_varied{number}", route="varied", variant=variant,
        outcome=outcome, started_at=timezone.now(), duration_ms=100, first_token_ms=20,
        output_tokens=10, cost_usd="0.01")
"""


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_variants_are_compared_in_usage(
    open_page: Callable[..., Any],
    site: Site,
    axe: Any,
    no_sideways_scroll: Any,
    size: dict[str, int],
) -> None:
    site.shell(VARIED)
    chat = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": f"Bearer {site.key}"}
    httpx.post(f"{site.url}/v1/chat/completions", json=chat, headers=headers, timeout=30)
    page = open_page("admin", size=size)
    page.goto("/console/usage")
    region = page.get_by_role("region", name="Variant comparison")
    wait_until(lambda: page.reload() and region.count())  # the sums are made beside the requests
    table = region.get_by_role("table")
    expect(table.locator("tbody tr")).to_have_count(2)
    rows = {row.locator(".pill").inner_text(): row for row in table.locator("tbody tr").all()}
    assert set(rows) == {"canary", "plain"}
    expect(rows["canary"].locator("[data-label=Failed]")).to_contain_text("50 %")
    expect(rows["plain"].locator("[data-label=Requests]")).to_contain_text("1")
    axe(page)
    no_sideways_scroll(page)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.wide(every=2)
def test_the_open_sections_are_accessible_and_fit(
    open_page: Callable[..., Any],
    axe_in_themes: Any,
    no_sideways_scroll: Any,
    page_errors: Any,
    size: dict[str, int],
) -> None:
    page_errors.allow("422")
    page = open_page("admin", size=size)
    page.goto(ROUTE)
    page.locator("#route-more > summary").click()
    section = open_policy_section(page)
    section.get_by_label("Retry backoff (s)").fill("999")
    section.get_by_label("Retries after: timeout").fill("x")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#route-policy .errors")).to_have_count(2)
    expect(page.locator("[aria-invalid=true]").first).to_be_focused()
    axe_in_themes(page)
    no_sideways_scroll(page)
    page.goto("/console/route-cache/way")
    axe_in_themes(page)
    no_sideways_scroll(page)
