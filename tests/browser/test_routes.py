"""Routes in a browser: drag and drop, buttons, live validation, dry run, no JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.site import Site
from tests.waits import wait_until

MAKE = """
from gateway.models import Model, Provider, Route
from gateway.routing.route_spec import RouteSpec, StepSpec, TargetSpec
from gateway.store.routes import save_route
provider = Provider.objects.get(preset="demo")
names = ["demo", "demo-a", "demo-b", "demo-c"]
for name in names:
    Model.objects.get_or_create(provider=provider, name=name)
Route.objects.filter(name__in=["story", "made"]).delete()
T = lambda name, weight=1: TargetSpec(model=f"{provider.name}/{name}", weight=weight)
save_route(RouteSpec(name="story", aliases=("claude-*",), steps=(
    StepSpec(name="Primary", strategy="weighted", targets=(T("demo-a", 60), T("demo-b", 40))),
    StepSpec(name="Fallback", fallback_on=("rate_limit", "timeout"), targets=(T("demo-c"),)),
)), route=None, number=0, author="admin")
"""
STORY = "/console/routes/story"


@pytest.fixture(autouse=True)
def _routes_and_traffic(site: Site) -> None:
    site.shell(MAKE)


def target_names(page: Any) -> Any:
    """Return the targets of each step on the page."""
    return page.locator("section.step").evaluate_all(
        "steps => steps.map(step => [...step.querySelectorAll('.target .t-name b')]"
        ".map(name => name.innerText))"
    )


def expect_targets(page: Any, *steps: list[str]) -> None:
    """Wait until the steps have these targets."""
    wait_until(lambda: target_names(page) == list(steps))


def drag(page: Any, name: str, onto: str) -> None:
    """Drag a target until it is in the step of another target.

    The page moves the target while the mouse is over a step, but not during the previous update.
    """
    row, drop_target = (
        page.locator(".target", has_text=name),
        page.locator(".target", has_text=onto),
    )
    page.mouse.move(*_middle(row.locator(".grip")))
    page.mouse.down()

    def arrived() -> bool:
        page.mouse.move(*_middle(drop_target.locator(".t-name")), steps=8)
        return any({name, onto} <= set(step) for step in target_names(page))

    wait_until(arrived)
    page.mouse.up()


def _middle(part: Any) -> tuple[float, float]:
    box = part.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_target_is_dragged_into_another_step_and_saved(signed_in: Any) -> None:
    page = signed_in
    page.goto(STORY)
    expect_targets(page, ["demo-a", "demo-b"], ["demo-c"])
    drag(page, "demo-a", onto="demo-c")
    expect(page.locator("#route-bar")).to_contain_text("moved demo-a to step 2")
    placed = target_names(page)
    assert [sorted(step) for step in placed] == [["demo-b"], ["demo-a", "demo-c"]]
    page.keyboard.press("Control+s")
    toast, bar = page.locator(".toast"), page.locator("#route-bar")
    expect(toast).to_contain_text("saved as version 2")
    box = toast.bounding_box()
    assert box["y"] + box["height"] <= bar.bounding_box()["y"], "Save stays visible"
    page.reload()
    expect_targets(page, *placed)


def test_a_target_is_moved_by_keyboard_announced_and_keeps_the_focus(signed_in: Any) -> None:
    page = signed_in
    page.goto(STORY)
    down = page.get_by_role("button", name="Move demo-a down")
    down.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#live")).to_have_text("demo/demo-a moved to step 1, position 2")
    expect_targets(page, ["demo-b", "demo-a"], ["demo-c"])
    expect(page.get_by_role("button", name="Move demo-a down")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#live")).to_have_text("demo/demo-a moved to step 2, position 1")
    expect(page.locator("#route-bar")).to_contain_text("moved demo-a to step 2")


def test_validation_does_not_interrupt_typing(signed_in: Any, page_errors: Any) -> None:
    page_errors.allow("422")
    page = signed_in
    page.goto(STORY)
    weight = page.get_by_label("Weight of demo-a")
    weight.fill("160")
    expect(page.locator("#route-bar")).to_contain_text("demo-a weight 60 to 160")
    expect(page.locator(".split")).to_contain_text(["demo-a 80 %"])
    expect(weight).to_be_focused()
    weight.fill("0")
    page.get_by_label("Weight of demo-b").fill("0")
    expect(page.locator("#route-checks")).to_contain_text("All weights of step 1 are 0.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#route-checks")).to_contain_text("Errors prevent saving")


def test_conditions_are_read_on_the_line_between_the_steps(signed_in: Any) -> None:
    page = signed_in
    page.goto(STORY)
    line = page.locator("details.link").nth(1)
    expect(line.locator("summary")).to_contain_text("rate limit (429)")
    line.locator("summary").click()
    line.get_by_label("context too long").check()
    line.get_by_label("Max tokens").fill("9000")
    expect(line.locator("summary")).to_contain_text("context too long")
    expect(line.locator("summary")).to_contain_text("up to 9,000 tokens")
    page.get_by_role("button", name="Add step").click()
    expect(page.locator("section.step")).to_have_count(3)
    expect(line.get_by_label("Max tokens")).to_have_value("9000")
    expect(line.get_by_label("Max tokens")).to_be_visible()


def test_two_tabs_cannot_overwrite_each_other(
    open_page: Callable[..., Any], page_errors: Any
) -> None:
    page_errors.allow("409")
    first, second = open_page("admin"), open_page("admin")
    for page in (first, second):
        page.goto(STORY)
    first.get_by_label("Weight of demo-a").fill("70")
    first.get_by_role("button", name="Save").click()
    expect(first.locator(".toast")).to_contain_text("version 2")
    second.get_by_label("Unsupported fields").select_option("1")
    second.get_by_role("button", name="Save").click()
    alert = second.get_by_role("alert")
    expect(alert).to_contain_text("demo-a weight 60 to 70")
    expect(alert).to_contain_text("reject unsupported fields: no → yes")
    second.get_by_role("button", name="Overwrite with my changes").click()
    expect(second.locator(".toast")).to_contain_text("version 3")


def test_a_model_is_found_by_typing(signed_in: Any) -> None:
    page = signed_in
    page.goto("/console/new-route")
    select = page.get_by_label("Model to add to step 1")
    select.click()
    page.keyboard.type("schema")
    expect(page.locator(".select-popup [role=option]")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(select).to_have_value("demo/demo-bad-schema")
    expect(select).to_be_focused()
    select.press("ArrowDown")
    page.keyboard.press("Escape")
    expect(page.locator(".select-popup")).to_have_count(0)


def test_a_new_route_is_created_dry_run_reviewed_saved_and_deleted(signed_in: Any) -> None:
    page = signed_in
    page.goto("/console/routes")
    page.get_by_role("link", name="New route").click()
    page.get_by_label("Route name").fill("made")
    page.get_by_label("Aliases").fill("my-*")
    page.get_by_label("Model to add to step 1").select_option("demo/demo-a")
    page.get_by_role("button", name="Target", exact=True).click()
    expect(page.get_by_role("button", name="Remove my-*")).to_be_visible()
    page.get_by_label("Requested model").fill("my-model")
    page.get_by_label("Sample").select_option("image")
    page.get_by_role("button", name="Start dry run").click()
    trace = page.get_by_label("Steps")
    expect(trace).to_contain_text("made, by a pattern matching my-model")
    expect(trace.locator(".pick")).to_contain_text("demo-a")
    page.get_by_text("Upstream request").click()
    expect(page.locator("#dry-run-body")).to_contain_text('"weather"')
    page.get_by_role("button", name="Review").click()
    expect(page.locator("#review-pane")).to_contain_text("added demo-a")
    page.get_by_role("button", name="Create route").click()
    expect(page.locator(".toast")).to_contain_text("made saved as version 1")
    expect(page).to_have_url(re.compile("/console/routes/made$"))
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete route").click()
    expect(page.locator(".toast")).to_contain_text("made deleted")


def test_an_earlier_version_is_restored_with_one_click(signed_in: Any) -> None:
    page = signed_in
    page.goto(STORY)
    page.get_by_label("Weight of demo-a").fill("70")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast")).to_contain_text("version 2")
    page.get_by_role("link", name="Versions").click()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_label("Weight of demo-a")).to_have_value("60")


def test_the_page_works_without_scripts(open_page: Callable[..., Any]) -> None:
    page = open_page("admin", java_script_enabled=False)
    page.goto(STORY)
    page.get_by_label("Weight of demo-a").fill("75")
    page.get_by_role("button", name="Move demo-b up").click()
    expect_targets(page, ["demo-b", "demo-a"], ["demo-c"])
    expect(page.get_by_label("Weight of demo-a")).to_have_value("75")
    page.get_by_role("button", name="Start dry run").click()
    expect(page.get_by_label("Steps")).to_contain_text("selected")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast")).to_contain_text("saved as version 2")
    expect_targets(page, ["demo-b", "demo-a"], ["demo-c"])


def test_a_viewer_can_read_but_not_change(viewer_page: Any) -> None:
    page = viewer_page
    page.goto(STORY)
    expect(page.get_by_label("Route name")).to_be_disabled()
    assert page.get_by_role("button", name="Save").count() == 0
    assert page.get_by_role("button", name="Start dry run").count() == 0
    expect_targets(page, ["demo-a", "demo-b"], ["demo-c"])


def test_a_new_route_shows_errors_only_after_input_or_save(
    signed_in: Any, page_errors: Any
) -> None:
    page_errors.allow("422")
    page = signed_in
    page.goto("/console/new-route")
    checks, errors = page.locator("#route-checks"), page.locator("#route-checks .callout.bad")
    name = page.get_by_label("Route name")
    expect(checks).to_contain_text("2 to do")
    expect(errors).to_have_count(0)
    name.focus()
    page.keyboard.press("Tab")
    expect(errors).to_have_text(re.compile("The route has no name"))
    expect(checks).to_contain_text("1 error")
    name.fill("fresh")
    expect(errors).to_have_count(0)
    expect(checks).to_contain_text("1 to do")
    page.get_by_role("button", name="Create route").click()
    expect(errors).to_have_text(re.compile("The route has no target"))
    page.get_by_label("Name of step 1").fill("Only")
    expect(page.locator("#route-bar")).to_contain_text("2 unsaved")
    expect(errors).to_have_count(1)


PAGES = [
    "/console/routes",
    STORY,
    "/console/new-route",
    "/console/route-versions/story?show=1",
    "/console/route-yaml/story",
    "/console/route-delete/story",
]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.wide(every=2)
def test_every_page_is_accessible_and_fits(
    open_page: Callable[..., Any],
    axe_in_themes: Any,
    no_sideways_scroll: Any,
    size: dict[str, int],
) -> None:
    page = open_page("admin", size=size)
    for path in PAGES:
        page.goto(path)
        axe_in_themes(page)
        no_sideways_scroll(page)
    page.goto(STORY)
    for line in page.locator("details.link > summary, details.more > summary").all():
        line.click()
    page.get_by_label("Route name").fill("storey")
    expect(page.locator("#route-checks")).to_contain_text("will be renamed")
    page.locator("#dry-run").click()
    expect(page.get_by_label("Steps")).to_be_visible()
    page.get_by_text("Upstream request").click()
    wide, window = page.locator("#route-side").evaluate(
        "side => [side.scrollWidth, side.clientWidth]"
    )
    assert wide <= window, "what is sent scrolls in its own box"
    page.locator("#review").click()
    expect(page.locator("#review-pane")).to_be_visible()
    axe_in_themes(page)
    no_sideways_scroll(page)


def test_the_route_list_is_searched_by_name(signed_in: Any) -> None:
    page = signed_in
    page.goto("/console/routes?q=nothing")
    expect(page.get_by_text("No routes match this search.")).to_be_visible()
    page.get_by_label("Search routes").fill("stor")
    expect(page.locator("#all-routes tr")).to_have_count(1)
    assert page.url.endswith("?q=stor")
    page.get_by_label("Search routes").fill("")
    expect(page.locator("#all-routes")).to_contain_text("story")


def test_many_routes_are_paged_and_all_can_be_searched(signed_in: Any, site: Any) -> None:
    site.shell(
        "from gateway.models import Route\n"
        "Route.objects.bulk_create(Route(name=f'bulk{n:03}', enabled=False) for n in range(120))"
    )
    page = signed_in
    page.goto("/console/routes")
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("link", name="bulk119")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("link", name="bulk000")).to_be_visible()
    page.get_by_role("link", name="bulk000").click()
    expect(page.get_by_role("link", name=re.compile("^All 1.. routes$"))).to_be_visible()
    page.get_by_label("Search routes").fill("bulk119")
    page.get_by_label("Search routes").press("Enter")
    expect(page.locator("#all-routes tr")).to_have_count(1)
    site.shell(
        "from gateway.models import Route; Route.objects.filter(name__startswith='bulk').delete()"
    )
