"""The shell around all pages."""

from __future__ import annotations

from typing import Any

from tests.browser.site import Site


def test_the_shell_shows_and_is_clean(signed_in: Any, site: Site, axe: Any) -> None:
    signed_in.goto("/console/")
    assert signed_in.locator("nav.side a[aria-current=page]").inner_text() == "Overview"
    axe(signed_in)
