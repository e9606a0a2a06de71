"""A member signs in through the identity provider, creates a key and a passkey."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PageErrors, watch
from tests.browser.site import Site
from tests.fakes.oidc import CLIENT_ID, CLIENT_SECRET, oidc_provider
from tests.waits import WAIT_TIMEOUT_S

PASSKEYS = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


# Pages below /console/security that have something to show at this point.
STEPS = ("", "passkeys/1/remove", "codes/add", "recovery/new")


def assert_no_horizontal_overflow(page: Any) -> None:
    """Assert that the page is no wider than its window at common widths."""
    for width in (390, 1024, 1280, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        wide, window = page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert wide <= window, f"{wide} px in {window} px at {page.url}"


@pytest.fixture(scope="module")
def oidc_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with oidc_provider() as provider:
        environment = {
            "DRAGOMAN_OIDC_ISSUER": provider.issuer,
            "DRAGOMAN_OIDC_CLIENT_ID": CLIENT_ID,
            "DRAGOMAN_OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "DRAGOMAN_OIDC_NAME": "Acme",
            "DRAGOMAN_MEMBER_MONTH_USD": "20",
        }
        site = Site(tmp_path_factory.mktemp("oidc"), **environment).with_users().start()
        yield site
        site.stop()


def test_a_member_signs_in_makes_a_key_and_adds_a_passkey(
    browser: Any, oidc_site: Site, page_errors: PageErrors
) -> None:
    # Passkeys exist on localhost, not on an address.
    base = f"http://localhost:{oidc_site.port}"
    context = browser.new_context(base_url=base, reduced_motion="reduce")
    context.set_default_timeout(WAIT_TIMEOUT_S * 1000)
    page = context.new_page()
    watch(page, page_errors)
    page.goto("/console/sign-in")
    assert_no_horizontal_overflow(page)
    page.get_by_role("link", name="Sign in with Acme").click()
    page.wait_for_url(f"{base}/console/personal/keys")

    page.locator("#main").get_by_role("link", name="Create key").click()
    page.get_by_label("Name").fill("laptop")
    page.get_by_label("Monthly budget").fill("5")
    page.get_by_role("button", name="Create key").click()
    secret = page.locator("#secret").inner_text()
    assert_no_horizontal_overflow(page)
    oidc_site.wait_for_key(secret)
    body = {"model": "demo", "messages": [{"role": "user", "content": "Hello from a member"}]}
    headers = {"authorization": f"Bearer {secret}"}
    response = httpx.post(f"{base}/v1/chat/completions", json=body, headers=headers, timeout=30)
    oidc_site.wait_for_log(response.headers["x-request-id"])
    page.goto("/console/personal/keys")
    assert "$15.00 is not assigned" in page.inner_text("#main")
    page.locator("table a").first.click()
    assert "Hello from a member" in page.inner_text("#main")

    authenticator = context.new_cdp_session(page)
    authenticator.send("WebAuthn.enable")
    authenticator.send("WebAuthn.addVirtualAuthenticator", {"options": PASSKEYS})
    page.goto("/console/security/passkeys/add")
    assert_no_horizontal_overflow(page)
    page.get_by_role("button", name="Create passkey").click()
    page.wait_for_url(f"{base}/console/security/recovery")
    assert_no_horizontal_overflow(page)
    for step in STEPS:
        assert page.goto(f"/console/security/{step}".rstrip("/")).status == 200, step
        assert_no_horizontal_overflow(page)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(f"{base}/console/personal/keys")
    context.close()
    assert not page_errors.unexpected()


def test_passkeys_are_not_offered_on_an_address(page: Any, site: Site) -> None:
    """The browser refused each with "This is an invalid domain"."""
    page.goto("/console/sign-in")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(site.password)
    expect(page.get_by_role("button", name="Sign in with a passkey")).to_be_hidden()
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/console/")
    page.goto("/console/security/passkeys/add")
    page.get_by_role("textbox", name="Password").fill(site.password)
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("not on an IP address")).to_be_visible()
    expect(page.get_by_role("button", name="Create passkey")).to_be_disabled()
