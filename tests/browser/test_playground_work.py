"""The playground: comparing, voting, saving and sharing runs."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.checks import assert_page_is_clean
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.playground_page import Playground, with_models
from tests.browser.site import Site
from tests.waits import wait_until


@pytest.fixture(scope="module")
def site(site: Site) -> Site:
    """A gateway with the demo provider and a fallback route."""
    return with_models(site)


def test_responses_are_repeated_and_their_medians_shown(playground: Playground) -> None:
    playground.open("demo/demo-fast", "over").fill_prompt("Hello")
    page = playground.page
    page.click("#tab-params")
    page.fill("#pg-repeat", "3")
    playground.run().wait_until_done()
    expect(playground.column("A").locator(".repetition")).to_have_count(3)
    expect(playground.column("A").locator(".repetitions")).to_contain_text("3 of 3 passed")
    expect(playground.figure("A", "First token").locator(".spread")).to_contain_text("–")
    playground.column("A").locator(".repetition").nth(2).click()
    expect(playground.column("A").locator(".repetition").nth(2)).to_have_attribute(
        "aria-pressed", "true"
    )


@pytest.mark.parametrize(("width", "columns"), [(1024, 4), (1280, 4), (1440, 3)])
def test_figures_and_roles_fit_narrow_columns(
    open_page: Callable[..., Any], width: int, columns: int
) -> None:
    page = open_page("admin", size={"width": width, "height": 800})
    playground = Playground(page).open("demo@50ms", *["demo/demo-fast"] * (columns - 1))
    playground.fill_prompt("Hello").run().wait_until_done()
    assert page.evaluate(_OVERFLOWING) == []


# Figures that are wider than their cell, and labels of messages on several lines.
_OVERFLOWING = """() => [
    ...[...document.querySelectorAll(".stat")].filter((e) => e.scrollWidth > e.clientWidth),
    ...[...document.querySelectorAll(".turn-head b")].filter((e) => e.getClientRects()[0].height > 24),
].map((e) => e.textContent)"""


def test_differing_words_are_highlighted(playground: Playground) -> None:
    playground.open("demo/demo-fast", "demo/demo", "demo/demo-refusal").fill_prompt(
        "Hello"
    ).run().wait_until_done()
    page = playground.page
    page.select_option("#pg-diff", "A")
    expect(playground.column("B").locator(".diff")).to_be_visible()
    # A refusal has nothing in common with a response: it stays readable.
    expect(playground.column("C").locator(".diff")).to_contain_text("Too different from")
    page.select_option("#pg-diff", "")
    expect(playground.column("C").locator(".diff")).to_have_count(0)


def test_a_blind_vote_hides_the_names_and_counts(playground: Playground) -> None:
    playground.open("demo/demo-fast", "over").fill_prompt("Hello")
    page = playground.page
    page.get_by_label("Blind", exact=True).check()
    playground.run().wait_until_done()
    heads = page.locator(".pcol header")
    assert all("demo" not in text and "over" not in text for text in heads.all_inner_texts())
    expect(page.locator(".response .callout")).to_have_count(0)
    page.get_by_role("button", name="Response 1").click()
    expect(page.locator("#pg-notice")).to_contain_text("You voted for")
    expect(page.locator("#pg-cols")).to_contain_text("over")
    page.get_by_role("button", name="Scoreboard of blind votes").click()
    rows = playground.dialog.locator("tbody tr")
    expect(rows).to_have_count(2)
    assert sorted(row.locator("td").first.inner_text() for row in rows.all()) == ["0", "1"]


def test_a_run_is_listed_in_the_history_and_shared(playground: Playground, site: Site) -> None:
    playground.open("demo/demo-fast", "demo/demo-bad-schema").insert_example(
        "Fill a schema"
    ).run().wait_until_done()
    # Highlighting is loaded after the response ends and adds its buttons to the text.
    expect(playground.response("A").locator(".code-bar")).to_be_visible()
    bar, code = (
        playground.response("A").locator(selector).bounding_box()
        for selector in (".code-bar", "pre.code")
    )
    assert bar and code and abs(bar["y"] + bar["height"] - code["y"]) < 1, "the bar has a gap"
    text = playground.response("A").inner_text()
    page = playground.page
    page.get_by_role("button", name="History").click()
    playground.dialog.locator("a").first.click()
    page.wait_for_url(re.compile(r"\?run="))
    playground.wait_for_state("A", "ok")
    expect(playground.response("A")).to_have_text(text, use_inner_text=True)
    expect(playground.response("B").locator(".verdict.bad")).to_be_visible()
    expect(playground.column("A").locator(".turn.user")).to_contain_text("Ada Lovelace")
    playground.run().wait_until_done()
    # The button to run is there still while the new response begins.
    expect(playground.response("A")).to_have_text(text, use_inner_text=True)


def test_results_are_exported(playground: Playground, tmp_path: Path) -> None:
    playground.open("demo/demo-fast", "demo/demo-bad-schema").insert_example(
        "Fill a schema"
    ).run().wait_until_done()
    page = playground.page
    texts = {}
    for kind in ("JSON", "CSV", "Markdown"):
        page.get_by_role("button", name="Export results").click()
        with page.expect_download() as download:
            page.get_by_role("menuitem", name=re.compile(f"^{kind}")).click()
        texts[kind] = Path(download.value.path()).read_text(encoding="utf-8")
    page.emulate_media(color_scheme="dark")
    page.get_by_role("button", name="Export results").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name=re.compile("^PNG")).click()
    assert download.value.suggested_filename == "comparison.png"
    # Two cards and their margins, twice as sharp; the background of the dark theme.
    assert png_corner(page, download.value.path()) == (2 * (2 * 380 + 16 + 2 * 24), [14, 16, 22])
    assert json.loads(texts["JSON"])
    rows = list(csv.DictReader(io.StringIO(texts["CSV"])))
    assert [row["column"] for row in rows] == ["A", "B"]
    assert "demo/demo-fast" in texts["Markdown"]


def png_corner(page: Any, path: Any) -> tuple[int, list[int]]:
    """Return the width in pixels of a PNG file and the color of its first pixel."""
    data = Path(path).read_bytes()
    assert data.startswith(b"\x89PNG")
    width, *color = page.evaluate(
        """async (text) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
            const canvas = new OffscreenCanvas(1, 1);
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            return [image.width, ...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
        }""",
        base64.b64encode(data).decode(),
    )
    return width, color


def test_columns_are_in_a_grid_and_scroll_together(playground: Playground) -> None:
    models = ["demo/demo-fast", "demo/demo", "over", "demo/demo-bad-schema"]
    playground.open(*models).fill_prompt(
        "\n\n".join("A long message." for _ in range(40))
    ).run().wait_until_done()
    page = playground.page

    def view(entry: str) -> None:
        page.get_by_role("button", name="View", exact=True).click()
        page.get_by_role("menuitem", name=entry).click()

    view("Columns in a grid")
    tops = [playground.column(letter).bounding_box()["y"] for letter in "ABCD"]
    assert tops[0] == tops[1] < tops[2] == tops[3]
    view("Scroll responses together")
    page.locator("#col-A .response").hover()
    page.mouse.wheel(0, 200)
    wait_until(lambda: page.evaluate("document.querySelector('#col-B .response').scrollTop") > 0)
    view("Hide timeline and result")
    expect(page.locator("#pg-timeline")).to_be_hidden()


def test_the_same_run_as_code_and_in_another_dialect(playground: Playground) -> None:
    playground.open("demo/demo-fast").insert_example("Call a tool").run().wait_until_done()
    page = playground.page
    page.get_by_role("button", name="Get code").click()
    code = playground.dialog.locator("pre")
    expect(code).to_contain_text("curl")
    playground.dialog.get_by_role("button", name="Python, anthropic").click()
    expect(code).to_contain_text("anthropic.Anthropic(")
    expect(code).to_contain_text("DRAGOMAN_API_KEY")
    page.keyboard.press("Escape")
    playground.menu("A", "Show the translation")
    playground.dialog.get_by_role("button", name="Anthropic Messages").click()
    expect(playground.dialog).to_contain_text('"input_schema"')
    expect(playground.dialog).to_contain_text("max_tokens")
    # The same marks as in the log: a line lights up its counterpart.
    playground.dialog.locator(".panes td.moved[data-links]").first.hover()
    expect(playground.dialog.locator(".panes td.highlighted")).not_to_have_count(0)
    expect(playground.dialog.locator(".notes li").first).to_be_visible()


def test_presets_are_saved_in_versions(playground: Playground) -> None:
    playground.open("demo/demo-fast", "over").fill_prompt("The first words")
    page = playground.page
    presets = page.get_by_role("button", name="Presets")
    presets.click()
    page.get_by_role("menuitem", name="Save as a new preset").click()
    playground.dialog.get_by_label("Name").fill("Greeting")
    playground.dialog.get_by_role("button", name="Save preset").click()
    expect(page.locator("#pg-preset")).to_have_text("Greetingv1")
    playground.fill_prompt("The second words")
    page.locator(".preset-btn").click()
    page.get_by_role("menuitem", name="Save as Greeting v2").click()
    expect(page.locator("#pg-preset")).to_have_text("Greetingv2")
    page.locator(".preset-btn").click()
    page.get_by_role("menuitem", name="Versions of Greeting").click()
    expect(playground.dialog.locator("li .hint")).to_have_text([re.compile(r"\d{4}")] * 2)
    playground.open("demo")
    page.locator(".preset-btn").click()
    page.get_by_role("menuitem", name=re.compile("^Greeting")).click()
    expect(page.locator("#pg-text")).to_have_value("The second words")
    expect(playground.column("B").locator(".model-pick")).to_contain_text("over")


def test_versions_of_a_preset_are_compared_and_an_earlier_one_is_loaded(
    playground: Playground, axe: Any, no_sideways_scroll: Any
) -> None:
    playground.open("demo/demo-fast").fill_prompt("Describe a river briefly.")
    page = playground.page
    page.get_by_role("button", name="Presets").click()
    page.get_by_role("menuitem", name="Save as a new preset").click()
    playground.dialog.get_by_label("Name").fill("River")
    playground.dialog.get_by_role("button", name="Save preset").click()
    expect(page.locator("#pg-preset")).to_have_text("Riverv1")
    playground.fill_prompt("Describe a lake briefly.")
    page.locator(".preset-btn").click()
    page.get_by_role("menuitem", name="Save as River v2").click()
    expect(page.locator("#pg-preset")).to_have_text("Riverv2")
    page.locator(".preset-btn").click()
    page.get_by_role("menuitem", name="Versions of River").click()
    playground.dialog.get_by_role("link", name="Compare versions").click()
    expect(page.locator("h1")).to_contain_text("River")
    removed = page.locator(".drop, .del, del").filter(has_text="river")
    added = page.locator(".add, .ins, ins").filter(has_text="lake")
    expect(removed.first).to_be_visible()
    expect(added.first).to_be_visible()
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        assert_page_is_clean(page, axe, no_sideways_scroll, size)
    page.set_viewport_size(DESKTOP)
    playground.open("demo/demo-fast")
    page.locator(".preset-btn").click()
    page.get_by_role("menuitem", name=re.compile("^River")).click()
    expect(page.locator("#pg-preset")).to_have_text("Riverv2")
    page.locator(".preset-btn").click()
    page.get_by_role("menuitem", name="Versions of River").click()
    playground.dialog.get_by_role("button", name="Load v1").click()
    expect(page.locator("#pg-text")).to_have_value("Describe a river briefly.")


def test_the_texts_are_saved_as_a_prompt_and_opened_again(playground: Playground) -> None:
    playground.open("demo/demo-fast").fill_prompt("Weather in {{city}}?")
    page = playground.page
    page.get_by_role("button", name="Save as prompt").click()
    page.get_by_label("Name", exact=True).fill("weather")
    page.get_by_label("Name", exact=True).press("Enter")
    page.get_by_label("city").fill("Oslo")
    page.get_by_role("button", name="Update preview").click()
    expect(page.locator("#preview pre")).to_have_text("Weather in Oslo?")
    page.get_by_role("link", name="Open in playground").click()
    expect(page.locator("#pg-text")).to_have_value("Weather in Oslo?")
    expect(playground.column("A").locator(".model-pick")).to_contain_text("demo-fast")


def test_a_response_leads_to_its_place_in_the_log(playground: Playground) -> None:
    playground.open("demo/demo-fast", "demo").fill_prompt("Hello").run().wait_until_done()
    link = playground.column("A").locator("a.state")
    assert re.fullmatch(r"/console/requests/[\w-]+", link.get_attribute("href") or "")


SIZES = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.wide(every=2)
def test_the_playground_is_accessible_at_every_step(
    open_page: Callable[..., Any], axe_in_themes: Any, no_sideways_scroll: Any, size: Any
) -> None:
    page = open_page("admin", size=size)
    faulty_model = "demo/demo-bad-tool-arguments"
    playground = Playground(page).open("demo/demo-fast", "over", faulty_model, "demo/demo-429")
    axe_in_themes(page)
    playground.insert_example("Call a tool").run().wait_until_done()
    axe_in_themes(page)
    no_sideways_scroll(page)
    for tab in ("system", "tools", "schema", "params", "images"):
        page.click(f"#tab-{tab}")
        no_sideways_scroll(page)
        axe_in_themes(page)
    playground.column("A").locator(".model-pick").click()
    axe_in_themes(page)
    page.keyboard.press("Escape")
    playground.menu("A", "Override settings")
    axe_in_themes(page)
    page.keyboard.press("Escape")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_public_link_shows_the_run_without_an_account(
    open_page: Callable[..., Any], axe: Any, no_sideways_scroll: Any, size: dict[str, int]
) -> None:
    playground = Playground(open_page("admin", size=size))
    playground.open("demo/demo-fast", "demo/demo-refusal").fill_prompt(
        "Share me"
    ).run().wait_until_done()
    page = playground.page
    if size == PHONE:
        page.locator("[data-action=more]").click()
        page.get_by_role("menuitem", name="Share this run").click()
    else:
        page.locator("[data-action=share]").click()
    page.get_by_role("menuitem", name="Create a public link").click()
    page.get_by_label("Expires after").select_option("1")
    page.get_by_role("button", name="Create link").click()
    link = page.get_by_label("Public link").input_value()
    assert_page_is_clean(page, axe, no_sideways_scroll, size)
    anonymous_page = open_page(None, size=size, java_script_enabled=False)
    assert anonymous_page.goto(link).status == 200
    expect(anonymous_page.get_by_role("heading", level=1)).to_have_text("Share me")
    expect(anonymous_page.locator(".shared-responses section")).to_have_count(2)
    with anonymous_page.expect_download() as download:
        anonymous_page.get_by_text("Image, dark").click()
    assert Path(download.value.path()).read_text(encoding="utf-8").startswith("<svg")
    reader = open_page(None, size=size)
    reader.goto(link)
    with reader.expect_download() as download:
        reader.get_by_role("link", name="PNG").click()
    assert png_corner(reader, download.value.path()) == (
        2 * (2 * 380 + 16 + 2 * 24),
        [245, 246, 249],
    )
    assert_page_is_clean(reader, axe, no_sideways_scroll, size)


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_run_is_named_found_and_deleted(
    open_page: Callable[..., Any], axe: Any, no_sideways_scroll: Any, size: dict[str, int]
) -> None:
    playground = Playground(open_page("admin", size=size))
    prompt = f"Name me at {size['width']}"
    playground.open("demo/demo-fast").fill_prompt(prompt).run().wait_until_done()
    page = playground.page
    if size == PHONE:
        page.locator("[data-action=more]").click()
        page.get_by_role("menuitem", name="History").click()
    else:
        page.get_by_role("button", name="History").click()
    box = playground.dialog
    box.get_by_role("button", name=f"Rename: {prompt}").click()
    box.get_by_label("Name of the run").fill(f"Best of {size['width']}")
    box.get_by_role("button", name="Save").click()
    box.get_by_label("Search runs").fill(f"best {size['width']}")
    expect(box.locator(".runs li")).to_have_count(1)
    expect(box.locator(".runs li b")).to_have_text(f"Best of {size['width']}")
    assert_page_is_clean(page, axe, no_sideways_scroll, size)
    box.get_by_role("button", name="Delete").click()
    box.get_by_role("button", name="Delete run").click()
    expect(box.locator(".runs a")).to_have_count(0)


def test_a_run_is_shown_again_after_a_reload_and_on_the_way_back(playground: Playground) -> None:
    """Responses with their figures, and the message that is not sent yet; no response twice."""
    playground.open("demo/demo-fast", "over").fill_prompt("Hello").run().wait_until_done()
    page = playground.page
    expect(playground.response("A")).to_contain_text("You wrote")
    text, tokens = (
        playground.response("A").inner_text(),
        playground.figure("A", "Tokens").inner_text(),
    )
    playground.fill_prompt("And then?")
    page.wait_for_timeout(600)  # the draft is saved soon, not at once
    page.reload()
    for _ in range(2):
        playground.wait_for_state("A", "ok")
        playground.wait_for_state("B", "fallback")
        expect(playground.response("A")).to_have_text(text, use_inner_text=True)
        expect(playground.figure("A", "Tokens")).to_have_text(tokens, use_inner_text=True)
        expect(page.locator("#pg-text")).to_have_value("And then?")
        expect(playground.column("A").locator(".turn")).to_have_count(1)
        playground.column("A").locator("a.state").click()
        page.wait_for_url("**/requests/**")
        page.go_back()
    # The next response continues the conversation of the reopened run.
    playground.run().wait_until_done()
    expect(playground.column("A").locator(".turn")).to_have_count(3)
    # Without its run, the page keeps the conversation: here from the navigation.
    page.wait_for_timeout(600)
    page.goto("/console/playground")
    expect(playground.column("A").locator(".turn")).to_have_count(4)


def test_a_reload_in_the_middle_of_a_run_keeps_what_had_arrived(playground: Playground) -> None:
    playground.open("demo/demo-slow").fill_prompt("Hello").run()
    expect(playground.response("A")).to_contain_text("Hello from")
    playground.page.reload()
    playground.wait_for_state("A", "stopped")
    expect(playground.response("A")).to_contain_text("Hello from")
    # A new conversation is no longer this run.
    playground.page.get_by_role("button", name="New conversation").click()
    expect(playground.page).to_have_url(re.compile(r"/console/playground$"))
