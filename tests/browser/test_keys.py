"""API keys in a browser: made, copied, rotated, revoked and taken back."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.site import Site


def status(site: Site, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.get(f"{site.url}/v1/models", headers=headers, timeout=10).status_code


def until(site: Site, page: Any, token: str, wanted: int) -> None:
    """Wait until the gateway answers a token so; a change holds within a second."""
    for _ in range(40):
        if status(site, token) == wanted:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"still {status(site, token)}, not {wanted}")


def made(page: Any, name: str) -> str:
    """Make a key by hand; gives it as the page shows it."""
    page.goto("/console/keys")
    page.get_by_role("link", name="Create key").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Create key").click()
    return str(page.locator("#secret").inner_text())


def test_a_key_is_made_shown_once_copied_and_works(open_page: Any, site: Site) -> None:
    page = open_page("ada", permissions=["clipboard-read", "clipboard-write"])
    token = made(page, "browser key")
    page.get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == token
    until(site, page, token, 200)
    page.get_by_role("link", name="I have copied it").click()
    assert token not in page.content()
    assert page.get_by_role("link", name="browser key").is_visible()


def test_an_old_secret_lives_through_its_grace(signed_in: Any, site: Site) -> None:
    old = made(signed_in, "rotating")
    signed_in.goto("/console/keys")
    signed_in.get_by_role("link", name="rotating").click()
    signed_in.get_by_label("The old secret stays good for").select_option("hour")
    signed_in.get_by_role("button", name="Rotate").click()
    new = signed_in.locator("#secret").inner_text()
    until(site, signed_in, new, 200)
    assert status(site, old) == 200
    signed_in.goto("/console/keys")
    signed_in.get_by_role("link", name="rotating").click()
    signed_in.get_by_role("button", name="End now").click()
    until(site, signed_in, old, 401)
    assert status(site, new) == 200


def test_a_revocation_is_taken_back(signed_in: Any, site: Site) -> None:
    token = made(signed_in, "slip of the hand")
    until(site, signed_in, token, 200)
    signed_in.goto("/console/keys")
    signed_in.get_by_role("button", name="Revoke slip of the hand").click()
    undo = signed_in.get_by_role("button", name="Undo")
    undo.wait_for()
    until(site, signed_in, token, 401)
    assert "revoked=" not in signed_in.url
    undo.click()
    signed_in.get_by_text("is good again").wait_for()
    until(site, signed_in, token, 200)


def test_the_undo_goes_after_ten_seconds(signed_in: Any) -> None:
    made(signed_in, "for good")
    signed_in.goto("/console/keys")
    signed_in.get_by_role("button", name="Revoke for good").click()
    signed_in.get_by_role("button", name="Undo").wait_for()
    signed_in.get_by_role("button", name="Undo").wait_for(state="detached", timeout=13_000)


def test_the_routes_are_asked_for_only_where_they_count(signed_in: Any, complaints: Any) -> None:
    complaints.forgive("422")
    signed_in.goto("/console/keys/add")
    patterns = signed_in.get_by_label("Other names and patterns")
    assert patterns.is_hidden()
    signed_in.get_by_label("Only these").check()
    assert patterns.is_visible()
    signed_in.get_by_label("Name", exact=True).fill("no routes")
    signed_in.get_by_role("button", name="Create key").click()
    assert signed_in.get_by_text("Choose at least one route").is_visible()
    assert signed_in.get_by_label("Name", exact=True).input_value() == "no routes"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_clean(
    open_page: Any, axe: Any, no_sideways_scroll: Any, size: Any, theme: str
) -> None:
    page = open_page("ada", size=size, theme=theme)
    made(page, "looked at")
    axe(page)
    no_sideways_scroll(page)
    for path in ("/console/keys", "/console/keys/add", "/console/keys/1"):
        page.goto(path)
        axe(page)
        no_sideways_scroll(page)
    page.goto("/console/keys")
    page.get_by_role("button", name="Revoke looked at").click()
    page.get_by_role("button", name="Undo").wait_for()
    axe(page)
    page.goto("/console/keys?show=revoked")
    axe(page)
    no_sideways_scroll(page)
    page.get_by_role("link", name="Delete looked at").first.click()
    axe(page)
    page.get_by_role("button", name="Delete key").click()
