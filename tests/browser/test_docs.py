"""The API reference: readable in both themes, on a phone and on a desktop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import AXE, DESKTOP, PHONE

_CONTRAST = """async () => {
    const found = await axe.run({ runOnly: ["color-contrast"] });
    return found.violations.flatMap((each) => each.nodes.map((node) => node.target.join(" ")));
}"""


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_reference_is_readable_in_both_themes(
    open_page: Callable[..., Any], no_sideways_scroll: Any, size: dict[str, int]
) -> None:
    # The policy refuses the script that the test adds.
    page = open_page(None, size=size, bypass_csp=True)
    page.goto("/docs")
    page.locator(".opblock-summary-control").first.click()
    page.locator(".opblock-body").first.wait_for()
    page.add_script_tag(path=str(AXE))
    grounds = set()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        # Swagger UI fades colours in.
        page.wait_for_function(
            "document.getAnimations().every((each) => each.playState === 'finished')"
        )
        assert page.evaluate(_CONTRAST) == []
        style = "getComputedStyle(document.querySelector('.opblock')).backgroundColor"
        grounds.add(page.evaluate(style))
    assert len(grounds) == 2
    no_sideways_scroll(page)
