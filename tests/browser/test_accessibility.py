"""No page has violations of axe's rules, in all sizes and both themes.

This is a module of its own because it takes longest, and a worker runs whole modules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import LAYOUT_RULES, PHONE, WIDE
from tests.browser.pages import PAGES, PageSpec
from tests.browser.screenshots import path_of
from tests.browser.site import Site


@pytest.mark.parametrize("page_spec", PAGES, ids=lambda page_spec: page_spec.name)
@pytest.mark.wide(every=12)
def test_a_page_has_no_accessibility_violations(
    site_with_data: Site,
    reuse_page: Callable[[str | None], Any],
    axe: Callable[..., None],
    axe_in_themes: Callable[[Any], None],
    no_sideways_scroll: Callable[[Any], None],
    page_errors: Any,
    page_spec: PageSpec,
) -> None:
    """All sizes and themes are checked with one page load."""
    if page_spec.name == "refused":
        page_errors.allow("403")
    page = reuse_page(page_spec.user)
    response = page.goto(path_of(site_with_data, page_spec))
    assert response.status == (403 if page_spec.name == "refused" else 200)
    page.wait_for_load_state(
        "networkidle"
    ) if page_spec.name != "requests" else page.wait_for_timeout(300)
    axe_in_themes(page)
    no_sideways_scroll(page)
    # The same elements at other places; the test below checks what only a phone shows.
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)
    axe(page, rules=LAYOUT_RULES)
    no_sideways_scroll(page)
    page.set_viewport_size(WIDE)
    no_sideways_scroll(page)


@pytest.mark.parametrize("name", ["overview", "requests"])
def test_what_only_a_phone_shows_has_no_accessibility_violations(
    site_with_data: Site,
    reuse_page: Callable[[str | None], Any],
    axe_in_themes: Callable[[Any], None],
    name: str,
) -> None:
    page_spec = next(page_spec for page_spec in PAGES if page_spec.name == name)
    page = reuse_page(page_spec.user)
    page.set_viewport_size(PHONE)
    page.goto(path_of(site_with_data, page_spec))
    axe_in_themes(page)
