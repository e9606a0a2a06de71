"""Every page is accessible, fits its window, works without JavaScript and requires a sign-in.

`open_page` and `reuse_page` also fail on script errors, CSP violations and requests to other hosts.
This module takes longest, and a worker runs whole modules: what needs few pages has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, LAYOUT_RULES, PHONE, new_context
from tests.browser.pages import PAGES, PageSpec
from tests.browser.screenshots import path_of
from tests.browser.site import Site

# What is wider than its window or its table cell, or covers another field, at this moment.
_MISPLACED = """() => {
    const found = [];
    const root = document.documentElement;
    if (root.scrollWidth > root.clientWidth) found.push(`${root.scrollWidth} px in ${root.clientWidth}`);
    for (const cell of document.querySelectorAll("#main :is(td, th)")) {
        if (!cell.checkVisibility() || getComputedStyle(cell).overflowX !== "visible") continue;
        const excess = cell.scrollWidth - cell.clientWidth;
        if (excess > 2) found.push(`${cell.textContent.trim().slice(0, 40)}: ${excess} px over its cell`);
    }
    const fields = [...document.querySelectorAll("#main :is(input, select, textarea):not([type=hidden])")]
        .filter((field) => field.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
        .filter((field) => !field.closest(".ticks"))  // a list that scrolls: rows out of sight overlap
        .map((field) => [field.name, field.getBoundingClientRect()])
        .filter(([, box]) => box.width > 2 && box.height > 2);
    fields.forEach(([name, a], i) => {
        for (const [other, b] of fields.slice(i + 1)) {
            const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            if (wide > 2 && high > 2) found.push(`${name} over ${other}`);
        }
    });
    return found;
}"""


def misplaced(page: Any) -> Any:
    """Return the elements that stay outside the window after charts have been resized."""
    for _ in range(20):
        if not (misplaced_elements := page.evaluate(_MISPLACED)):
            return misplaced_elements
        page.wait_for_timeout(100)
    return misplaced_elements


@pytest.mark.parametrize("page_spec", PAGES, ids=lambda page_spec: page_spec.name)
@pytest.mark.wide(every=12)
def test_a_page_is_accessible_and_fits_every_width(
    site_with_data: Site,
    reuse_page: Callable[[str | None], Any],
    axe: Callable[..., None],
    page_errors: Any,
    page_spec: PageSpec,
) -> None:
    """All widths and both themes are checked with one page load."""
    if page_spec.name == "refused":
        page_errors.allow("403")
    page = reuse_page(page_spec.user)
    response = page.goto(path_of(site_with_data, page_spec))
    assert response.status == (403 if page_spec.name == "refused" else 200)
    page.wait_for_load_state(
        "networkidle"
    ) if page_spec.name != "requests" else page.wait_for_timeout(300)
    axe(page)
    for width in (1440, 1920, 1280, 1024, 390, 320):
        page.set_viewport_size({"width": width, "height": 900})
        assert misplaced(page) == [], f"at {width} px"
    # The same elements at other places, and the colors of the other theme; the test below checks
    # what is around them on each page, and what only a phone shows.
    page.emulate_media(color_scheme="dark")
    axe(page, rules=LAYOUT_RULES, within="#main")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", ["overview", "requests"])
def test_the_shell_is_accessible_in_both_themes(
    site_with_data: Site,
    reuse_page: Callable[[str | None], Any],
    axe_in_themes: Callable[[Any], None],
    name: str,
    size: dict[str, int],
) -> None:
    page_spec = next(page_spec for page_spec in PAGES if page_spec.name == name)
    page = reuse_page(page_spec.user)
    page.set_viewport_size(size)
    page.goto(path_of(site_with_data, page_spec))
    axe_in_themes(page)


@pytest.mark.wide(every=0)
def test_every_page_of_a_viewer_fits(
    site_with_data: Site, open_page: Callable[..., Any], page_errors: Any
) -> None:
    """Some are error pages: admins' pages are refused, evaluations of others do not exist."""
    page_errors.allow("403")
    page_errors.allow("404")
    page = open_page("viewer")
    faults: dict[str, Any] = {}
    for page_spec in PAGES:
        if page_spec.user is None or page_spec.name == "refused":
            continue
        status = page.goto(path_of(site_with_data, page_spec)).status
        if status not in {200, 403, 404 if page_spec.name.startswith("evaluation") else 403}:
            faults[page_spec.name] = status
            continue
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            if actual_misplaced := misplaced(page):
                faults[f"{page_spec.name} at {width}"] = actual_misplaced
    assert faults == {}


@pytest.fixture(scope="module")
def page_without_scripts(browser: Any, site: Site) -> Any:
    """The admin's page without JavaScript; it keeps no state but its address."""
    return new_context(browser, site, "admin", java_script_enabled=False).new_page()


@pytest.mark.parametrize("page_spec", [p for p in PAGES if p.user == "admin"], ids=lambda p: p.name)
@pytest.mark.wide(every=12)
def test_a_page_renders_without_scripts(
    site_with_data: Site, page_without_scripts: Any, page_spec: PageSpec
) -> None:
    response = page_without_scripts.goto(path_of(site_with_data, page_spec))
    assert response.status == 200
    assert page_without_scripts.locator("h1:visible").first.inner_text().strip()
    # These do nothing without a script.
    assert page_without_scripts.locator("button[type=button]:visible").all_inner_texts() == []


def test_an_anonymous_user_is_sent_to_sign_in_and_back(site: Site, page: Any) -> None:
    page.goto("/console/requests?q=is:check")
    assert page.url == f"{site.url}/console/sign-in?next=%2Fconsole%2Frequests%3Fq%3Dis%3Acheck"
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(site.password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("/console/requests?q=is:check")


def test_the_first_load_of_the_playground_is_small(site_with_data: Site, signed_in: Any) -> None:
    signed_in.goto("/console/playground")
    signed_in.wait_for_load_state("networkidle")
    sizes = signed_in.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".map(e => [e.name, e.encodedBodySize])"
    )
    assert any(name.endswith(".woff2") for name, _ in sizes)
    assert sum(size for _, size in sizes) <= 150_000, sorted(sizes, key=lambda row: -row[1])
