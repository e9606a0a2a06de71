"""What several browser tests check of a page."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

THEMES = ("light", "dark")


def clean(page: Page, axe: Any, no_sideways_scroll: Any, size: dict[str, int]) -> None:
    """Nothing to complain of in both themes; nothing wider than the window."""
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        axe(page)
    no_sideways_scroll(page)
