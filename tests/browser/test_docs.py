"""The API reference in a browser; test_pages.py covers accessibility and width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_an_operation_is_searched_and_opened(open_page: Callable[..., Any], scripts: bool) -> None:
    page = open_page(None, java_script_enabled=scripts)
    page.goto("/docs")
    page.get_by_role("searchbox", name="Search operations").fill("score request")
    page.get_by_role("searchbox", name="Search operations").press("Enter")
    page.get_by_role("link", name="POST /api/requests/{request_id}/scores").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Create score")
    body = page.get_by_role("region", name="Body")
    expect(body.get_by_role("row", name="scored_by")).to_contain_text("string")
    expect(page.locator("#example")).to_contain_text("curl -X POST")
    expect(page.get_by_role("button", name="Copy")).to_be_visible(visible=scripts)


def test_headings_of_the_api_reference_are_anchors(open_page: Callable[..., Any]) -> None:
    page = open_page(None)
    page.goto("/docs/openai_chat_completions")
    page.get_by_role("link", name="Gateway", exact=True).click()
    expect(page).to_have_url("/docs#gateway")
    expect(page.get_by_role("heading", name="gateway")).to_be_in_viewport()
