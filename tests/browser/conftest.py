"""Fixtures for browser tests: a Chromium instance and a running site.

The system's Chromium is driven by Playwright. The driver lives as long as a module, because
its event loop would interfere with the asynchronous tests of the same process.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.browser.site import Site
from tests.waits import WAIT_TIMEOUT_S

# The shell is Chromium without its window: a third less processor time for the same pages.
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser"))),
    None,
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# The rules whose result depends on where a page's elements are and what is behind them.
LAYOUT_RULES = ("color-contrast", "scrollable-region-focusable", "target-size")
DESKTOP = {"width": 1440, "height": 900}
WIDE = {"width": 1920, "height": 1080}
TABLET = {"width": 1024, "height": 768}
PHONE = {"width": 390, "height": 844}
_LOCAL = re.compile(
    r"^(?:https?|wss?)://(?:127\.0\.0\.1|localhost)(?::\d+)?/|^(?:data|blob|about):"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Raise the timeout of browser tests for slow machines."""
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium-headless-shell")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_TIMEOUT_S * 1000)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running gateway with the demo provider, the users `admin` and `viewer`."""
    running = Site(tmp_path_factory.mktemp("site"))
    try:
        yield running.with_users().start()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def site_with_data(site: Site) -> Site:
    """A site with sample data."""
    from tests.browser.screenshots import send_sample_requests

    send_sample_requests(site.with_sample_data(), 1)
    return site


class PageErrors(list[str]):
    """Errors that pages reported: script errors, CSP violations and requests to other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self._allowed: list[str] = []

    def allow(self, text: str) -> None:
        """Accept errors that contain this text."""
        self._allowed.append(text)

    def unexpected(self) -> list[str]:
        """Return the errors that were not allowed."""
        return [text for text in self if not any(allowed in text for allowed in self._allowed)]


@pytest.fixture
def page_errors() -> PageErrors:
    """The errors of all pages of the test."""
    return PageErrors()


@pytest.fixture
def open_page(browser: Any, site: Site, page_errors: PageErrors) -> Iterator[Callable[..., Any]]:
    """A function that opens observed pages: `open_page(user="admin", size=PHONE, theme="dark")`."""
    contexts = []

    def opened(user: str | None = None, **options: Any) -> Any:
        context = new_context(browser, site, user, **options)
        contexts.append(context)
        page = context.new_page()
        watch(page, page_errors)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not page_errors.unexpected()


@pytest.fixture(scope="module")
def _pages(browser: Any) -> tuple[dict[str | None, Any], PageErrors]:
    """Pages by user that live as long as the module, and their errors since the last test."""
    return {}, PageErrors()


@pytest.fixture
def reuse_page(
    _pages: tuple[dict[str | None, Any], PageErrors],
    browser: Any,
    site: Site,
    page_errors: PageErrors,
) -> Iterator[Callable[[str | None], Any]]:
    """A function that gives a user's observed page, for tests that change nothing on it.

    The tests of a module share it, so that scripts and styles come from its cache.
    """
    pages, errors = _pages

    def reused(user: str | None) -> Any:
        if user not in pages:
            pages[user] = new_context(browser, site, user).new_page()
            watch(pages[user], errors)
        pages[user].set_viewport_size(DESKTOP)
        pages[user].emulate_media(color_scheme="light")
        return pages[user]

    yield reused
    for page in pages.values():
        page.goto("about:blank")  # what this test's page reports later belongs to no other test
    page_errors.extend(errors)
    errors.clear()
    assert not page_errors.unexpected()


def new_context(
    browser: Any,
    site: Site,
    user: str | None = None,
    *,
    size: dict[str, int] = DESKTOP,
    theme: str = "light",
    **more: Any,
) -> Any:
    """Return a browser context of a site, signed in if a user is given."""
    context = browser.new_context(
        base_url=site.url,
        viewport=size,
        color_scheme=theme,
        reduced_motion="reduce",
        locale="en-GB",
        **more,
    )
    context.set_default_timeout(WAIT_TIMEOUT_S * 1000)
    if user is not None:
        cookie = {"name": "sessionid", "value": site.sessions[user], "url": site.url}
        context.add_cookies([cookie])
    return context


def watch(page: Any, page_errors: PageErrors) -> None:
    """Record script errors, CSP violations and requests to other hosts of a page."""
    page.on("pageerror", lambda error: page_errors.append(f"script error: {error}"))
    page.on(
        "console",
        lambda message: (
            page_errors.append(f"console: {message.text} {message.location.get('url', '')}")
            if message.type == "error"
            else None
        ),
    )
    page.on(
        "request",
        lambda request: (
            None
            if _LOCAL.match(request.url)
            else page_errors.append(f"leaves the machine: {request.url}")
        ),
    )


@pytest.fixture
def page(open_page: Callable[..., Any]) -> Any:
    """A page without a signed-in user."""
    return open_page()


@pytest.fixture
def signed_in(open_page: Callable[..., Any]) -> Any:
    """A page with the admin signed in."""
    return open_page("admin")


@pytest.fixture
def playground(signed_in: Any) -> Any:
    """The playground, opened by the admin."""
    from tests.browser.playground_page import Playground

    return Playground(signed_in)


@pytest.fixture
def viewer_page(open_page: Callable[..., Any]) -> Any:
    """A page with the viewer signed in."""
    return open_page("viewer")


@pytest.fixture
def axe() -> Callable[..., None]:
    """A function that asserts that axe finds no violation of all rules, or of `rules`.

    It checks the whole page, or the elements below `within`.
    """

    def check(page: Any, *, rules: Sequence[str] = (), within: str = "html") -> None:
        page.wait_for_load_state()  # style sheets may be missing before
        if not page.evaluate("'axe' in window"):
            page.evaluate(AXE.read_text(encoding="utf-8"))
        kind = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": AXE_TAGS}
        options = {"runOnly": kind, "resultTypes": ["violations"]}
        violations = page.evaluate(_RUN_AXE, [within, options])
        assert [_violation(row) for row in violations] == []

    return check


# What passes is a hundred times as much as a violation, and is not read.
_RUN_AXE = "async ([within, options]) => (await axe.run(within, options)).violations"


def _violation(row: dict[str, Any]) -> str:
    nodes = "; ".join(f"{node['target']} {node['failureSummary']}" for node in row["nodes"][:4])
    return f"{row['id']}: {nodes}"


@pytest.fixture
def axe_in_themes(axe: Callable[..., None]) -> Callable[[Any], None]:
    """A function that runs `axe` on a page in both themes and asserts that their colors differ."""

    def check(page: Any) -> None:
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            axe(page, rules=["color-contrast"] if theme == "dark" else ())

    return check


@pytest.fixture
def no_sideways_scroll() -> Callable[[Any], None]:
    """A function that asserts that a page is not wider than its window."""

    def check(page: Any) -> None:
        page.wait_for_load_state()
        wide, window = page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert wide <= window, f"{wide} px of content in {window} px at {page.url}"

    return check
