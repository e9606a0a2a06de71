"""From the first start to the first call, and the pages of settings, users and clients."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.people import PASSWORD
from tests.browser.site import Site

SIZES = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")]
THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running gateway without people: as after the very first start."""
    running = Site(tmp_path_factory.mktemp("first"), MY_GROQ_VALUE="gsk-0123456789abcdef")
    try:
        yield running.start()
    finally:
        running.stop()


def clean(page: Page, axe: Any, no_sideways_scroll: Any, size: dict[str, int]) -> None:
    """Nothing to complain of in both themes; nothing wider than the window."""
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        axe(page)
    no_sideways_scroll(page)


def ask(site: Site, key: str) -> httpx.Response:
    """One call as a client makes it."""
    return httpx.post(
        f"{site.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {key}"},
        json={"model": "demo", "messages": [{"role": "user", "content": "Hello"}]},
        timeout=20,
    )


def test_from_the_first_start_to_the_first_call(
    open_page: Callable[..., Any], site: Site, complaints: Any, axe: Any, no_sideways_scroll: Any
) -> None:
    """One walk through all steps, as the steps of one gateway can be walked only once."""
    page = open_page(size=PHONE)
    # A page for whom the token is missing is an answer 403, which the browser notes.
    complaints.forgive("403")
    complaints.forgive("422")
    check = lambda: clean(page, axe, no_sideways_scroll, PHONE)  # noqa: E731

    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Nobody has an account yet")
    check()

    address = re.search(r"http://localhost:\d+/\?setup=\S+", site.output)
    assert address, site.output
    page.goto(address.group().replace("localhost", "127.0.0.1"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("your account")
    assert "setup=" not in page.url
    check()
    page.get_by_label("Your name").fill("ada")
    page.get_by_label("New password").fill("short")
    page.get_by_label("The same again").fill("short")
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_text("too short")).to_be_visible()
    assert page.get_by_label("Your name").input_value() == "ada"
    check()
    assert page.get_by_label("Keep bodies for").input_value() == "7"
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Whom shall it call?")
    check()
    page.get_by_role("button", name="Use the demo").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("A key")
    check()
    page.get_by_role("button", name="Make the key").click()
    key = page.locator("#key").inner_text()
    assert key.startswith("sk-dgm-")
    check()
    # Left and taken up again: whoever signs in goes on where it was.
    page.context.clear_cookies()
    page.goto("/console/setup")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    check()
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Connect a client")
    expect(page.locator("#light")).to_contain_text("Waiting for the first call")
    expect(page.locator("#curl")).to_contain_text(site.url)
    check()
    assert ask(site, key).status_code == 200
    expect(page.locator("#light")).to_have_attribute("data-state", "ok")
    expect(page.locator("#light")).to_contain_text("demo · 200")
    check()
    page.get_by_role("button", name="Finish").click()
    page.wait_for_url("**/console/")
    page.goto("/console/setup")
    page.wait_for_url("**/console/")


@pytest.fixture
def ada(open_page: Callable[..., Any], site: Site) -> Callable[..., Page]:
    """Opens pages of the admin; makes her where the walk above has not."""
    if not site.sessions:
        shell = "from django.contrib.auth.models import User as U; U.objects.all().delete()"
        site.manage("shell", "-c", shell)
        site.with_people()
    return lambda **more: open_page("ada", **more)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "path", ["users", "users/add", "users/{vic}", "settings", "connect", "import", "password"]
)
def test_pages_are_clean(
    ada: Callable[..., Page],
    site: Site,
    axe: Any,
    no_sideways_scroll: Any,
    path: str,
    size: dict[str, int],
) -> None:
    page = ada(size=size)
    page.goto("/console/users")
    row = page.get_by_role("link", name="Change vic").get_attribute("href") or ""
    page.goto(f"/console/{path.format(vic=row.rpartition('/')[2])}")
    clean(page, axe, no_sideways_scroll, size)


def test_a_session_that_ended_comes_back_to_where_it_was(
    ada: Callable[..., Page], site: Site
) -> None:
    page = ada()
    page.goto("/console/settings")
    page.context.clear_cookies()
    page.get_by_role("link", name="Users").click()
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/console/users")


def test_another_route_changes_the_panels_without_leaving(
    ada: Callable[..., Page], site: Site
) -> None:
    site.manage(
        "shell",
        "-c",
        "from gateway.models import *; "
        "r = Route.objects.create(name='other'); "
        "Target.objects.create(route=r, model=Model.objects.first())",
    )
    page = ada()
    page.goto("/console/connect")
    page.get_by_label("Route").select_option("demo")
    expect(page.locator("#claude-code")).to_contain_text("ANTHROPIC_MODEL=demo")
    page.get_by_label("Route").select_option("other")
    expect(page.locator("#claude-code")).to_contain_text("ANTHROPIC_MODEL=other")


def test_the_light_does_not_ask_while_nobody_looks(ada: Callable[..., Page], site: Site) -> None:
    page = ada()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "light" in request.url else 0)
    page.add_init_script(
        "Object.defineProperty(document, 'hidden', {get: () => globalThis.away === true})"
    )
    page.goto("/console/connect")
    page.evaluate("globalThis.away = true")
    page.wait_for_timeout(4500)
    assert asked == []
    page.evaluate("globalThis.away = false")
    page.wait_for_timeout(2500)
    assert asked


def test_what_is_masked_is_not_in_the_log(ada: Callable[..., Page], site: Site) -> None:
    """Saved in the console, in use by the relay within a second."""
    page = ada()
    page.goto("/console/settings")
    page.get_by_label("Mask in bodies").fill(r"acme-\d{4}")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast")).to_contain_text("within a second")
    page.wait_for_timeout(1000)
    key = re.search(r"sk-dgm-\S+", site.manage("makekey", "masking"))
    assert key
    answer = httpx.post(
        f"{site.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {key.group()}", "x-request-id": "masked-1"},
        json={"model": "demo", "messages": [{"role": "user", "content": "I am acme-4711."}]},
        timeout=20,
    )
    assert answer.status_code == 200
    page.wait_for_timeout(1000)
    script = (
        "from gateway import store; from gateway.models import RequestLog; "
        "b = store.load_bodies(RequestLog.objects.get(request_id='masked-1').pk); "
        "print(b.client_request, b.client_response, b.upstream_request)"
    )
    bodies = site.manage("shell", "-c", script)
    assert "I am *********." in bodies
    assert "acme-4711" not in bodies


def test_a_litellm_file_is_previewed_and_imported(
    ada: Callable[..., Page], site: Site, axe: Any, no_sideways_scroll: Any, tmp_path: Path
) -> None:
    path = tmp_path / "litellm_config.yaml"
    path.write_text(
        "model_list:\n"
        "- model_name: brought\n"
        "  litellm_params: {model: openai/gpt-4.1, api_key: sk-literal-0123456789, rpm: 9}\n"
        "litellm_settings: {callbacks: [langfuse]}\n"
    )
    page = ada(size=PHONE)
    page.goto("/console/import")
    page.get_by_label("File", exact=False).first.set_input_files(path)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="Not taken over")).to_be_visible()
    clean(page, axe, no_sideways_scroll, PHONE)
    page.get_by_role("button", name="Import").click()
    page.goto("/console/connect?route=brought")
    expect(page.get_by_label("Route")).to_have_value("brought")
