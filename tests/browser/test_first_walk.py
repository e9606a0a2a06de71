"""The setup from the first start to the first request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.accounts import PASSWORD
from tests.browser.checks import assert_page_is_clean
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running gateway without users, as after the first start."""
    running = Site(tmp_path_factory.mktemp("first"), MY_GROQ_VALUE="gsk-0123456789abcdef")
    try:
        yield running.start()
    finally:
        running.stop()


def send_chat(site: Site, key: str) -> httpx.Response:
    """Send a chat request."""
    return httpx.post(
        f"{site.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {key}"},
        json={"model": "demo", "messages": [{"role": "user", "content": "Hello"}]},
        timeout=30,
    )


def _assert_setup_can_be_resumed_from_the_playground(page: Page) -> None:
    """The link is an icon there: its header is full."""
    playground = page.context.new_page()
    for size in (DESKTOP, PHONE):
        playground.set_viewport_size(size)
        playground.goto("/console/playground")
        link = playground.get_by_role("link", name="Resume setup")
        expect(link.locator("svg")).to_be_visible()
        expect(link.get_by_text("Resume setup")).to_be_hidden()
    playground.close()


def test_from_the_first_start_to_the_first_call(
    open_page: Callable[..., Any], site: Site, page_errors: Any, axe: Any, no_sideways_scroll: Any
) -> None:
    """One test covers all steps, as the setup of a gateway runs only once."""
    page = open_page(size=PHONE)
    # A page for whom the token is missing is a response 403, which the browser notes.
    page_errors.allow("403")
    page_errors.allow("422")
    check = lambda: assert_page_is_clean(page, axe, no_sideways_scroll, PHONE)  # noqa: E731

    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("No account yet")
    check()

    address = re.search(r"http://localhost:\d+/\?setup=\S+", site.output)
    assert address, site.output
    page.goto(address.group().replace("localhost", "127.0.0.1"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Create your account")
    expect(page).not_to_have_url(re.compile("setup="))
    check()
    page.get_by_label("Username").fill("admin")
    page.get_by_label("New password").fill("short")
    page.get_by_label("Confirm password").fill("short")
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_text("too short")).to_be_visible()
    expect(page.get_by_label("Username")).to_have_value("admin")
    check()
    expect(page.get_by_label("Keep bodies")).to_have_value("7")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("Confirm password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Add your first provider")
    check()
    # A name of several lines stays in its tile.
    name = page.locator(".preset", has_text="Amazon Bedrock (Claude, Messages)")
    assert name.evaluate("tile => tile.scrollHeight <= tile.clientHeight")
    # A key that the test has refused is not added without a warning.
    page.get_by_role("radio", name="OpenAI", exact=True).check()
    page.locator("input[name=key]").fill("sk-wrong")
    page.locator("input[name=base_url]").fill("http://127.0.0.1:9")
    test_button = page.get_by_role("button", name="Test connection")
    # The lowest element that the user has seen.
    test_button.evaluate("button => button.scrollIntoView({ block: 'end' })")
    test_button.click()
    expect(page.get_by_text("requests to this provider will fail too")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Add anyway")).to_be_visible()
    page.locator("input[name=key]").fill("sk-another")
    expect(page.get_by_role("button", name="Add provider")).to_be_visible()
    expect(page.locator("#test-result")).to_be_empty()
    # The models that a test lists are suggested, also once a value is entered.
    page.locator("input[name=base_url]").fill("demo://local")
    test_button.click()
    expect(page.get_by_text("models available")).to_be_visible()
    page.get_by_label("First model").fill("demo-f")
    expect(page.get_by_text("models available")).to_be_hidden()
    suggested = page.get_by_label("First model").evaluate(
        "field => [...field.list.options].map(o => o.value)"
    )
    assert "demo-fast" in suggested
    page.get_by_role("button", name="Use demo").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("A key")
    check()
    page.get_by_role("button", name="Create key").click()
    key = page.locator("#key").inner_text()
    assert key.startswith("sk-dgm-")
    check()
    _assert_setup_can_be_resumed_from_the_playground(page)
    # Left and taken up again: whoever signs in goes on where it was.
    page.context.clear_cookies()
    page.goto("/console/setup")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    check()
    page.get_by_role("button", name="Sign in", exact=True).click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Connect a client")
    expect(page.locator("#connection-status")).to_contain_text("Waiting for your first request")
    expect(page.locator("#curl")).to_contain_text(site.url)
    check()
    assert send_chat(site, key).status_code == 200
    expect(page.locator("#connection-status")).to_have_attribute("data-state", "ok")
    expect(page.locator("#connection-status")).to_contain_text("demo · 200")
    check()
    page.get_by_role("button", name="Finish").click()
    page.wait_for_url("**/console/")
    page.goto("/console/setup")
    page.wait_for_url("**/console/")
