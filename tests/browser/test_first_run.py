"""The pages of settings, users and clients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.accounts import PASSWORD
from tests.browser.checks import assert_page_is_clean
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.site import Site

SIZES = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")]
THEMES = ("light", "dark")


@pytest.fixture
def open_admin_page(open_page: Callable[..., Any]) -> Callable[..., Page]:
    """A function that opens pages as the admin."""
    return lambda **more: open_page("admin", **more)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "path", ["users", "users/add", "users/{viewer}", "settings", "connect", "import", "password"]
)
@pytest.mark.wide(every=4)
def test_admin_pages_have_no_accessibility_violations(
    open_admin_page: Callable[..., Page],
    site: Site,
    axe: Any,
    no_sideways_scroll: Any,
    path: str,
    size: dict[str, int],
) -> None:
    page = open_admin_page(size=size)
    page.goto("/console/users")
    row = page.get_by_role("link", name="viewer", exact=True).get_attribute("href") or ""
    page.goto(f"/console/{path.format(viewer=row.rpartition('/')[2])}")
    assert_page_is_clean(page, axe, no_sideways_scroll, size)


def test_signing_in_again_returns_to_the_page(
    open_admin_page: Callable[..., Page], site: Site
) -> None:
    page = open_admin_page()
    page.goto("/console/settings")
    page.context.clear_cookies()
    page.get_by_role("link", name="Users", exact=True).click()
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/console/users")


def test_another_route_changes_the_panels_without_leaving(
    open_admin_page: Callable[..., Page], site: Site
) -> None:
    site.shell(
        "from gateway.models import *; "
        "r = Route.objects.create(name='other'); "
        "Target.objects.create(route=r, model=Model.objects.first())",
    )
    page = open_admin_page()
    page.goto("/console/connect")
    page.get_by_label("Route").select_option("demo")
    expect(page.locator("#claude-code")).to_contain_text("ANTHROPIC_MODEL=demo")
    page.get_by_label("Route").select_option("other")
    expect(page.locator("#claude-code")).to_contain_text("ANTHROPIC_MODEL=other")


def test_the_list_of_clients_shows_one_pane(
    open_admin_page: Callable[..., Page], site: Site
) -> None:
    page = open_admin_page()
    page.goto("/console/connect")
    expect(page.locator("[data-panel]:visible")).to_have_count(1)
    page.get_by_role("link", name="Zed", exact=True).click()
    expect(page.locator("#zed")).to_contain_text("openai_compatible")
    expect(page.locator("#zed .k").first).to_be_visible()
    page.get_by_label("Route").select_option("demo")
    expect(page.locator("#zed")).to_contain_text('"demo"')
    expect(page.locator("[data-panel]:visible")).to_have_count(1)
    # The same pane after a reload.
    page.goto("/console/connect")
    expect(page.locator("#panel-zed")).to_be_visible()


def test_the_indicator_does_not_poll_in_a_hidden_tab(
    open_admin_page: Callable[..., Page], site: Site
) -> None:
    page = open_admin_page()
    urls: list[str] = []
    page.on(
        "request",
        lambda request: urls.append(request.url) if "connect/status" in request.url else 0,
    )
    page.add_init_script(
        "globalThis.away = true;"
        "Object.defineProperty(document, 'hidden', {get: () => globalThis.away})"
    )
    page.goto("/console/connect")
    page.wait_for_timeout(4500)  # twice as long as it waits in between
    assert urls == []
    with page.expect_request("**/connect/status*"):
        page.evaluate("globalThis.away = false")


def test_masked_text_is_not_in_the_log(open_admin_page: Callable[..., Page], site: Site) -> None:
    """A mask saved in the console is used by the relay within a second."""
    page = open_admin_page()
    page.goto("/console/settings")
    page.get_by_label("Mask patterns").fill(r"acme-\d{4}")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast")).to_contain_text("within a second")
    headers = {"authorization": f"Bearer {site.key}"}
    body = {"model": "demo", "messages": [{"role": "user", "content": "I am acme-4711."}]}

    def bodies(number: int) -> str:
        """Send a request and return its stored bodies."""
        name = {"x-request-id": f"masked-{number}"}
        url = f"{site.url}/v1/chat/completions"
        response = httpx.post(url, headers={**headers, **name}, json=body, timeout=30)
        assert response.status_code == 200
        site.wait_for_log(f"masked-{number}")
        return site.shell(
            "from gateway import store; from gateway.models import RequestLog; "
            f"b = store.load_bodies(RequestLog.objects.get(client_request_id='masked-{number}').pk); "
            "print(b.client_request, b.client_response, b.upstream_request)",
        )

    output_text = next(text for number in range(9) if "I am *********." in (text := bodies(number)))
    assert "acme-4711" not in output_text


def test_a_litellm_file_is_previewed_and_imported(
    open_admin_page: Callable[..., Page],
    site: Site,
    axe: Any,
    no_sideways_scroll: Any,
    tmp_path: Path,
) -> None:
    path = tmp_path / "litellm_config.yaml"
    path.write_text(
        "model_list:\n"
        "- model_name: brought\n"
        "  litellm_params: {model: openai/gpt-4.1, api_key: sk-literal-0123456789, rpm: 9}\n"
        "- litellm_params: {model: openai/gpt-4.1}\n"
        "litellm_settings: {callbacks: [langfuse]}\n"
    )
    page = open_admin_page(size=PHONE)
    page.goto("/console/import")
    page.get_by_label("File", exact=False).first.set_input_files(path)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="Will not be imported")).to_be_visible()
    assert_page_is_clean(page, axe, no_sideways_scroll, PHONE)
    page.get_by_role("button", name="Import").click()
    page.goto("/console/connect?route=brought")
    expect(page.get_by_label("Route")).to_have_value("brought")


@pytest.mark.parametrize("page_spec", ["", "playground", "requests", "routes"])
@pytest.mark.wide(every=4)
def test_an_abandoned_first_run_does_not_widen_the_page(
    open_admin_page: Callable[..., Page], site: Site, no_sideways_scroll: Any, page_spec: str
) -> None:
    """On phones the link to resume the setup in the page header is an icon only."""
    script = "from console import setup_progress; setup_progress.advance('provider')"
    site.shell(script)
    try:
        page = open_admin_page(size=PHONE)
        page.goto(f"/console/{page_spec}")
        expect(page.get_by_role("link", name="Resume setup")).to_be_visible()
        no_sideways_scroll(page)
    finally:
        gone = (
            "from gateway.models import Setting; Setting.objects.filter(name='first_run').delete()"
        )
        site.shell(gone)


def test_an_unfinished_setup_leaves_the_playground_its_controls(
    open_admin_page: Callable[..., Page], site: Site
) -> None:
    """The button that resumes the setup used the space of the presets on small laptops."""
    manager = (
        "from gateway.models import Setting; pending = Setting.objects.filter(name='first_run')"
    )
    set_up = (
        "Setting.objects.update_or_create(name='first_run', defaults={'value': {'step': 'key'}})"
    )
    site.shell(f"{manager}; {set_up}")
    try:
        page = open_admin_page(size={"width": 1280, "height": 800})
        page.goto("/console/playground")
        expect(page.get_by_role("link", name="Resume setup")).to_be_visible()
        cut = "label => label.scrollWidth > label.clientWidth"
        assert not page.locator("#pg-preset").evaluate(cut)
    finally:
        site.shell(f"{manager}; pending.delete()")
