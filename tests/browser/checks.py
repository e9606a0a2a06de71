"""Checks of pages that several browser tests share."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

THEMES = ("light", "dark")


def assert_page_is_clean(
    page: Page, axe: Any, no_sideways_scroll: Any, size: dict[str, int]
) -> None:
    """Assert that a page passes axe in both themes and does not scroll horizontally."""
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        axe(page)
    no_sideways_scroll(page)
