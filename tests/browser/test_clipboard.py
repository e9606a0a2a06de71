"""Copy buttons, also where the browser offers no clipboard: on plain http."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.playground_page import Playground
from tests.browser.site import Site

# What pages on plain http get from a browser, except on localhost.
WITHOUT_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', {value: undefined})"


def pasted(page: Page) -> str:
    """Return the text of the clipboard."""
    page.goto("/console/models")
    search = page.locator("#main input[type=search]:visible").first
    search.focus()
    page.keyboard.press("Control+v")
    return search.input_value()


def test_a_copy_button_works_on_plain_http(signed_in: Page) -> None:
    signed_in.add_init_script(WITHOUT_CLIPBOARD)
    signed_in.goto("/console/connect")
    url = signed_in.locator("#base").input_value()
    signed_in.get_by_role("button", name="Copy the base URL").click()
    expect(signed_in.locator("#live")).to_have_text("Copied")
    assert pasted(signed_in) == url


def test_the_playground_copies_from_a_dialog_on_plain_http(playground: Playground) -> None:
    page = playground.page
    page.add_init_script(WITHOUT_CLIPBOARD)
    playground.open("demo/demo-fast").fill_prompt("Hello").run().wait_until_done()
    page.get_by_role("button", name="Get code").click()
    copy = playground.dialog.get_by_role("button", name="Copy", exact=True)
    copy.click()
    expect(page.locator("#pg-notice")).to_have_text("Copied.")
    expect(copy).to_be_focused()
    assert "/v1/chat/completions" in pasted(page)


def test_a_copy_button_keeps_its_icon(signed_in: Page, site_with_data: Site) -> None:
    signed_in.goto(f"/console/prompts/{site_with_data.names['prompt']}")
    button = signed_in.locator("#code [data-copy]").first
    button.click()
    expect(button).to_have_text("Copied")
    expect(button).to_have_text("Copy", timeout=10_000)
    expect(button.locator("svg")).to_be_visible()


def test_a_copy_button_works_outside_of_the_console(page: Page) -> None:
    page.goto("/docs/openai_chat_completions")
    button = page.locator("[data-copy]").first
    button.click()
    expect(button).to_have_text("Copied")


def test_two_clicks_on_copy_do_not_keep_the_message(signed_in: Page) -> None:
    signed_in.goto("/console/route-yaml/demo")
    button = signed_in.locator("[data-copy]")
    button.dblclick()
    expect(button).to_have_text("Copied")
    expect(button).to_have_text("Copy", timeout=10_000)
    signed_in.wait_for_timeout(1600)
    expect(button).to_have_text("Copy")
