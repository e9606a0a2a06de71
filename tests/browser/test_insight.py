"""Overview, usage and health in a browser: charts, tables, and pages without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE, TABLET, PageErrors, watch
from tests.browser.site import Site
from tests.waits import wait_until

PAGES = {"overview": "/console/", "usage": "/console/usage", "health": "/console/health"}


@pytest.fixture(scope="module")
def busy_site(site: Site) -> Site:
    """The site after two days of traffic."""
    site.manage("seed_requests", "3000", "--days", "2")
    return site


@pytest.fixture
def fresh_site(tmp_path: Path) -> Iterator[Site]:
    """A site without requests."""
    running = Site(tmp_path)
    try:
        yield running.with_users().start()
    finally:
        running.stop()


def test_the_empty_overview_fills_after_the_first_call(
    browser: Any, fresh_site: Site, page_errors: PageErrors
) -> None:
    context = browser.new_context(base_url=fresh_site.url, reduced_motion="reduce")
    context.add_cookies(
        [{"name": "sessionid", "value": fresh_site.sessions["admin"], "url": fresh_site.url}]
    )
    page = context.new_page()
    watch(page, page_errors)
    page.goto("/console/")
    expect(page.get_by_role("heading", name="No requests yet.")).to_be_visible()
    key = re.search(r"sk-dgm-\w{54}", fresh_site.output)
    assert key
    response = httpx.post(
        f"{fresh_site.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {key[0]}"},
        json={"model": "demo", "messages": [{"role": "user", "content": "Hello"}]},
        timeout=30,
    )
    assert response.status_code == 200
    # By itself: the page renews its content.
    expect(page.get_by_role("heading", name="Newest requests")).to_be_visible(timeout=60_000)
    expect(page.locator(".figure-text").first).to_have_text("1")
    context.close()
    assert not page_errors


def test_a_number_stays_beside_its_unit(open_page: Any, busy_site: Site) -> None:
    page = open_page("admin", size=TABLET)
    page.goto("/console/usage?by=model")
    cell = page.get_by_role("cell", name=re.compile("^[0-9.]+ %$")).first
    cell.evaluate("cell => { cell.textContent = '100 %'; }")
    lines = cell.evaluate(
        "cell => { const text = document.createRange(); text.selectNodeContents(cell);"
        " return text.getClientRects().length; }"
    )
    assert lines == 1


def test_a_request_of_the_overview_opens(signed_in: Any, busy_site: Site) -> None:
    signed_in.goto("/console/")
    signed_in.locator(".recent-requests tbody th a").first.click()
    expect(signed_in).to_have_url(re.compile(r"/console/requests/\d+"))


def test_a_table_that_was_unfolded_stays_so_when_the_page_renews_itself(
    signed_in: Any, busy_site: Site
) -> None:
    signed_in.goto("/console/")
    signed_in.get_by_text("Show as a table").click()
    renew = "htmx.ajax('GET', '/console/', {target: '#overview', swap: 'innerMorph'})"
    signed_in.evaluate(f"() => {renew}")
    expect(signed_in.locator("#overview table.plain-table")).to_be_visible()


def test_charts_are_drawn_with_their_values(signed_in: Any, busy_site: Site) -> None:
    signed_in.goto("/console/usage?span=7d")
    expect(signed_in.locator(".plot canvas")).to_have_count(2)
    box = signed_in.locator(".plot .u-over").first.bounding_box()
    signed_in.mouse.move(box["x"] + box["width"] - 40, box["y"] + 60)
    tip = signed_in.locator(".plot-tooltip").first
    expect(tip).to_be_visible()
    expect(tip).to_contain_text("$")
    drawn = signed_in.evaluate(
        """() => {
          const c = document.querySelector('.plot canvas');
          const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
          const found = new Set();
          for (let i = 0; i < p.length; i += 4) if (p[i + 3] === 255) found.add(`${p[i]},${p[i+1]},${p[i+2]}`);
          return found.size;
        }"""
    )
    assert drawn >= 7  # as many colors as series


def test_another_split_is_chosen_without_a_button(signed_in: Any, busy_site: Site) -> None:
    signed_in.goto("/console/usage?span=7d")
    signed_in.get_by_label("Split by").select_option("route")
    expect(signed_in).to_have_url(re.compile(r"span=7d.*by=route|by=route.*span=7d"))
    expect(signed_in.get_by_role("heading", name="By route")).to_be_visible()


def test_without_scripts_tables_show_all_data(
    open_page: Callable[..., Any], busy_site: Site
) -> None:
    page = open_page("viewer", java_script_enabled=False)
    page.goto("/console/usage")
    page.get_by_label("Split by").select_option("provider")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("heading", name="By provider")).to_be_visible()
    page.get_by_text("Show as a table").first.click()
    expect(page.locator("table.steps").first.get_by_text("$").first).to_be_visible()


def test_the_csv_is_downloaded(signed_in: Any, busy_site: Site) -> None:
    signed_in.goto("/console/usage?by=key&span=7d")
    with signed_in.expect_download() as waiting:
        signed_in.get_by_role("link", name="CSV").click()
    assert waiting.value.suggested_filename == "usage-key-7d.csv"


def test_health_lists_the_targets_and_renews_itself(signed_in: Any, busy_site: Site) -> None:
    signed_in.goto("/console/health")
    row = signed_in.locator(".targets tr", has_text="gpt-mini")
    expect(row.locator(".status-bars .cell")).to_have_count(24)
    with signed_in.expect_response("**/console/health*") as waiting:
        pass
    assert "HX-Request" in waiting.value.headers["vary"]
    expect(row).to_be_visible()


def test_health_renews_the_page_of_targets_that_is_open(signed_in: Any, busy_site: Site) -> None:
    busy_site.shell(
        "from gateway.models import Model, Provider, Route, Target\n"
        "demo = Provider.objects.get(name='demo')\n"
        "rows = Model.objects.bulk_create(\n"
        "    Model(provider=demo, name=f'bulk-{n:03}') for n in range(100))\n"
        "route = Route.objects.create(name='bulk')\n"
        "Target.objects.bulk_create(\n"
        "    Target(route=route, model=row, order=n) for n, row in enumerate(rows))\n"
    )
    page = signed_in
    page.goto("/console/health")
    wait_until(lambda: page.reload() and page.get_by_role("link", name="Next").count() > 0)
    page.get_by_role("link", name="Next").click()
    row = page.locator(".targets tr", has_text="bulk-060")
    expect(row).to_be_visible()
    with page.expect_response("**/console/health?*page=2") as waiting:
        pass
    assert "bulk-060" in waiting.value.text()
    expect(row).to_be_visible()
    # A search looks through all pages, and stays when the page renews itself.
    page.get_by_label("Search targets").fill("bulk-001")
    expect(page.locator(".targets tbody tr")).to_have_count(1)
    with page.expect_response("**/console/health?q=bulk-001") as waiting:
        pass
    expect(page.locator(".targets tbody tr")).to_have_count(1)
    # Other tests of this site look for their targets on the first page.
    busy_site.shell(
        "from gateway.models import Model, Route\n"
        "Route.objects.get(name='bulk').delete()\n"
        "Model.objects.filter(name__startswith='bulk-').delete()"
    )
    wait_until(
        lambda: page.goto("/console/health") and not page.get_by_label("Search targets").count()
    )


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.wide(every=3)
def test_usage_pages_have_no_accessibility_violations(
    open_page: Callable[..., Any],
    busy_site: Site,
    axe_in_themes: Callable[[Any], None],
    no_sideways_scroll: Callable[[Any], None],
    name: str,
    size: dict[str, int],
) -> None:
    page = open_page("admin", size=size)
    page.goto(PAGES[name])
    for summary in page.locator(".chart-table > summary").all():
        summary.click()
    no_sideways_scroll(page)
    axe_in_themes(page)


def test_the_names_of_price_lists_are_seen_to_be_links(
    site_with_data: Site, signed_in: Any
) -> None:
    signed_in.goto("/console/cost/prices")
    decoration = "link => getComputedStyle(link).textDecorationLine"
    assert signed_in.get_by_role("link", name="newer.json").evaluate(decoration) == "underline"


def test_the_values_of_an_axis_have_the_same_digits(signed_in: Any) -> None:
    signed_in.goto("/console/usage")
    script = """async (values) => {
        const { roundTokens } = await import("/static/js/format.js");
        return values.map(roundTokens);
    }"""
    axis = signed_in.evaluate(script, [0, 50_000, 100_000, 1_000_000, 1_500_000, 7500])
    assert axis == ["0", "50k", "100k", "1M", "1.5M", "7,500"]
