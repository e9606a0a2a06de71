"""The playground: runs of one or several models, and user actions during a run."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, PageErrors
from tests.browser.playground_page import CuttableProxy, Playground, sign_in_page, with_models
from tests.browser.site import Site
from tests.waits import wait_until

# Writes for some twenty seconds, so that it is still at it when it is stopped.
SLOW = "demo/demo@500ms"


@pytest.fixture(scope="module")
def site(site: Site) -> Site:
    """A gateway with the demo provider, a fallback route and a model without image input."""
    return with_models(site)


def test_models_of_different_pace_response_side_by_side(playground: Playground) -> None:
    faulty_model = "demo/demo-bad-tool-arguments"
    playground.open("demo/demo-fast", "demo/demo-slow", "over", faulty_model).insert_example(
        "Call a tool"
    )
    playground.watch().run().wait_until_done()
    ended = playground.finished_columns()
    assert ended.index("A") < ended.index("B"), "the quick one did not wait for the slow one"
    for letter, state in zip("ABCD", ("ok", "ok", "fallback", "ok"), strict=True):
        playground.wait_for_state(letter, state)
    for letter in "ABC":
        expect(playground.response(letter).locator(".toolcall .pill")).to_have_text("Correct")
    fallback = playground.response("C").locator(".callout").first
    expect(fallback).to_contain_text(
        # The second, where another test has just put the target into a cooldown.
        re.compile(r"demo (returned 429 after [\d.]+ m?s|was skipped: .+)\. Route over fell back")
    )
    expect(playground.response("D").locator(".toolcall .pill")).to_have_text("Wrong arguments")
    expect(playground.response("D").locator(".toolcall .hint")).to_contain_text('{"city":"Paris"}')
    page = playground.page
    expect(page.locator("#pg-result")).to_contain_text("Tool call correct3 of 4")
    expect(page.locator("#pg-timeline li")).to_have_count(4)
    if "returned 429" in fallback.inner_text():
        expect(page.locator("#pg-timeline li").nth(2)).to_contain_text("failed attempt")
    expect(page.locator(".stat.best .sr").first).to_contain_text("fastest")


def test_responses_are_checked_against_the_schema(playground: Playground) -> None:
    playground.open("demo/demo-fast", "demo/demo-bad-schema").insert_example(
        "Fill a schema"
    ).run().wait_until_done()
    expect(playground.response("A").locator(".verdict")).to_contain_text("Schema valid")
    expect(playground.response("B").locator(".verdict.bad")).to_contain_text("Schema error")
    assert playground.response("A").locator("pre.code .k").first.inner_text() == '"name"'
    expect(playground.page.locator("#pg-result")).to_contain_text("Schema valid1 of 2")


def test_stopping_one_column_leaves_the_others_running(playground: Playground) -> None:
    playground.open(SLOW, SLOW, "demo/demo-fast").fill_prompt("Tell a story.")
    playground.run()
    expect(playground.response("A").locator(".md")).not_to_be_empty()
    playground.page.get_by_role("button", name="Stop A, writing").click()
    playground.wait_for_state("A", "stopped")
    assert playground.state("B") == "busy"
    expect(playground.response("A")).to_contain_text("Stopped. The received text is shown.")
    playground.page.keyboard.press("Escape")
    playground.wait_for_state("B", "stopped")
    playground.wait_until_done()
    playground.wait_for_state("C", "ok")


def test_a_response_stopped_before_its_first_token_shows_no_text(playground: Playground) -> None:
    playground.open("demo/demo-slow-first-token").fill_prompt("Tell a story.").run()
    expect(playground.response("A")).to_contain_text("Waiting for the first token")
    playground.page.keyboard.press("Escape")
    playground.wait_for_state("A", "stopped")
    expect(playground.response("A")).to_contain_text("Stopped before the first token.")


def test_a_long_list_of_models_says_that_it_is_cut(playground: Playground, site: Site) -> None:
    """Models after the 200th were missing without a word."""
    site.shell(
        "from gateway.models import Model, Provider; demo = Provider.objects.get(name='demo'); "
        "Model.objects.bulk_create(Model(provider=demo, name=f'many-{n:03}', price_input='0.3', "
        "price_output='2.5') for n in range(210))"
    )
    page = playground.page
    try:
        wait_until(lambda: "many-209" in page.request.get("/console/playground").text())
        playground.open("demo/demo-fast").column("A").locator(".model-pick").click()
        summary = page.locator(".picker").get_by_role("status")
        expect(summary).to_contain_text("Type to filter.")
        page.get_by_label("Filter models").fill("many-00")
        expect(page.locator(".picker").get_by_role("option")).to_have_count(10)
        expect(summary).to_be_hidden()
        expect(page.locator(".picker").get_by_role("option").first).to_contain_text("$0.30 / $2.50")
    finally:
        site.shell(
            "from gateway.models import Model; Model.objects.filter(name__startswith='many-').delete()"
        )


def test_a_column_is_added_and_removed_while_others_run(playground: Playground) -> None:
    playground.open(SLOW, "demo/demo-fast").fill_prompt("Tell a story.").run()
    page = playground.page
    page.locator(".addcol").click()
    page.keyboard.type("reasoning")
    page.keyboard.press("Enter")
    expect(playground.column("C").locator(".model-pick")).to_contain_text("demo-reasoning")
    playground.menu("C", "Run")
    playground.wait_for_state("C", "ok")
    expect(playground.response("C").locator("summary")).to_have_text("Reasoning")
    playground.menu("B", "Remove")
    expect(playground.column("B")).to_have_count(0)
    assert playground.state("A") == "busy"
    playground.wait_until_done()
    playground.wait_for_state("A", "ok")


def test_an_error_stays_in_its_column_and_can_be_retried(playground: Playground) -> None:
    playground.open("demo/demo-429", "demo/demo-cut", "demo/demo-fast").fill_prompt(
        "Hello"
    ).run().wait_until_done()
    for letter, state in zip("ABC", ("failed", "failed", "ok"), strict=True):
        playground.wait_for_state(letter, state)
    expect(playground.response("A")).to_contain_text("Rate limit reached for this demo model.")
    expect(playground.response("B")).to_contain_text("Stream interrupted")
    response_text = playground.response("C").inner_text()
    playground.run(playground.response("A").get_by_role("button", name="Retry")).wait_until_done()
    assert playground.response("C").inner_text() == response_text


def test_a_quiet_column_is_marked(playground: Playground) -> None:
    priced = "demo/demo@50ms"
    playground.open("demo/demo-slow-first-token", priced).fill_prompt(
        "Hello"
    ).watch().run().wait_until_done()
    playground.wait_for_state("A", "ok")
    assert playground.has_shown("A", "The connection is open.")
    assert playground.has_shown("B", "~$"), "the cost is estimated while the response is written"
    assert float(playground.figure("A", "First token").inner_text().split()[0]) > 3.9


def test_a_lost_connection_keeps_received_events_and_resumes(
    page: Any, site: Site, page_errors: Any
) -> None:
    page_errors.allow("ERR_INCOMPLETE_CHUNKED_ENCODING")
    wire = CuttableProxy(site.port)
    playground = Playground(sign_in_page(page, site, "admin"), wire.url)
    playground.open(SLOW, "demo/demo-fast").fill_prompt("Tell a story.").run()
    playground.wait_for_state("B", "ok")
    expect(playground.response("A").locator(".md")).not_to_be_empty()
    wire.cut()
    expect(page.locator("#pg-lost")).to_be_visible()
    playground.wait_for_state("A", "lost")
    came = playground.response("A").locator(".md").inner_text()
    assert came
    page.get_by_role("button", name="Continue").click()
    end_states = re.compile("ok|stopped")
    expect(playground.column("A")).to_have_attribute("data-state", end_states, timeout=60_000)
    expect(page.locator("#pg-lost")).to_be_hidden()
    assert playground.response("A").inner_text().startswith(came)
    wire.close()


def test_a_chat_sends_its_earlier_turns(playground: Playground) -> None:
    playground.open("demo/demo-fast")
    page = playground.page
    page.get_by_role("button", name="Chat", exact=True).click()
    playground.fill_prompt("My first question").run().wait_until_done()
    expect(page.locator("#pg-text")).to_have_value("")
    playground.fill_prompt("And a second one")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".turn.user")).to_have_count(2)
    playground.wait_until_done()
    expect(page.locator(".turn.user").first).to_contain_text("My first question")
    expect(page.locator(".turn.assistant")).to_have_count(1)
    # More than 20 tokens of input. It waits: the first response's figure stays until the second run.
    more_than_20 = re.compile(r"^\s*(2[1-9]|[3-9]\d|\d{3,})\s*→")
    expect(playground.figure("A", "Tokens")).to_have_text(more_than_20, timeout=60_000)


def test_settings_that_differ_in_one_column_are_marked(playground: Playground) -> None:
    playground.open("demo/demo-fast", "demo/demo-fast").fill_prompt("Count to three in `words`.")
    playground.menu("B", "Override settings")
    playground.dialog.get_by_label("Override parameters", exact=True).check()
    playground.page.fill("#override-params", '{"max_tokens": 2}')
    playground.dialog.get_by_role("button", name="Apply").click()
    expect(playground.column("B").locator("header .pill")).to_have_text("overridden")
    expect(playground.column("A").locator("header .pill")).to_be_hidden()
    playground.run().wait_until_done()
    expect(playground.response("B")).to_contain_text(
        "Incomplete: the response reached the token limit"
    )
    expect(playground.response("A")).not_to_contain_text("Incomplete")


def test_models_without_vision_show_a_warning_about_images(playground: Playground) -> None:
    playground.open("demo", "blind-man").fill_prompt("What is this?")
    page = playground.page
    page.click("#tab-images")
    with page.expect_file_chooser() as chooser:
        page.get_by_text("Choose images").click()
    chooser.value.set_files({"name": "dot.png", "mimeType": "image/png", "buffer": DOT})
    expect(page.locator(".thumbs img")).to_have_attribute("alt", "dot.png")
    expect(playground.column("B").locator(".note")).to_have_text("Does not support images.")
    expect(playground.column("A").locator(".note")).to_be_hidden()
    page.get_by_role("button", name="Remove dot.png").click()
    expect(playground.column("B").locator(".note")).to_be_hidden()


def test_the_estimated_price_is_shown_before_the_run(playground: Playground) -> None:
    playground.open("blind-man").fill_prompt("word " * 4000)
    expect(playground.page.locator("#pg-cost")).to_have_text(re.compile(r"^about \$0\.00\d+$"))


def test_input_errors_are_shown_beside_the_prompt(playground: Playground, page_errors: Any) -> None:
    playground.open("demo", "demo/demo-fast").run(refused=True)
    page = playground.page
    expect(page.locator("#pg-errors")).to_have_text("Write a message first.")
    playground.fill_prompt("Hello")
    page.click("#tab-schema")
    page.fill("#pg-schema", '{"type": "nothing"}')
    page_errors.allow("400")
    playground.run(refused=True)
    expect(page.locator("#pg-errors")).to_contain_text("Not a valid JSON Schema")
    assert page.input_value("#pg-schema") == '{"type": "nothing"}'
    expect(page.locator("#tab-schema")).to_have_attribute("aria-selected", "true")


def test_on_a_phone_columns_are_swiped(open_page: Any, no_sideways_scroll: Any) -> None:
    page: Page = open_page("admin", size=PHONE)
    playground = (
        Playground(page)
        .open("demo", "demo/demo-fast", "over")
        .fill_prompt("Hello")
        .run()
        .wait_until_done()
    )
    no_sideways_scroll(page)
    expect(page.locator(".colnav a").first).to_have_attribute("aria-current", "true")
    page.locator(".colnav a").nth(2).click()
    expect(page.locator(".colnav a").nth(2)).to_have_attribute("aria-current", "true")
    expect(playground.response("C")).to_be_in_viewport()
    expect(page.locator("#pg-run")).to_be_in_viewport()


def test_a_viewer_can_open_the_playground(viewer_page: Any) -> None:
    playground = (
        Playground(viewer_page).open("demo/demo-fast").fill_prompt("Hello").run().wait_until_done()
    )
    playground.wait_for_state("A", "ok")


def test_without_scripts_the_page_explains_that_it_needs_them(open_page: Any) -> None:
    page = open_page("admin", java_script_enabled=False)
    page.goto("/console/playground")
    expect(page.locator("main")).to_contain_text("requires JavaScript")
    expect(page.locator("#pg")).to_be_hidden()


DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154"
    "789c63f8cfc0f01f0005000155a2b7d50000000049454e44ae426082"
)


def test_a_route_of_a_real_model_is_offered_before_the_demo(
    playground: Playground, site: Site
) -> None:
    rows = "from tests.store import factories; factories.route('zeta', factories.model('gpt-5'))"
    gone = "from gateway.models import Provider, Route; Route.objects.get(name='zeta').delete()"
    site.shell(rows)
    try:

        def chosen() -> str:
            playground.open().page.evaluate("sessionStorage.clear()")  # the draft
            picked: str = playground.open().column("A").locator(".model-pick").inner_text()
            return picked

        wait_until(lambda: "zeta" in chosen())
    finally:
        site.shell(f"{gone}; Provider.objects.get(name='openai').delete()")


def test_without_models_no_list_opens_and_the_error_is_shown_once(
    playground: Playground, site: Site, page_errors: PageErrors
) -> None:
    """The list of models opened in the corner of the page, and errors were repeated."""
    switch = "from gateway.models import Provider; Provider.objects.all().update(enabled={})"
    site.shell(switch.format(False))
    page = playground.page
    page_errors.allow("400 (Bad Request)")
    try:
        wait_until(lambda: '"models": []' in page.request.get("/console/playground").text())
        playground.open()
        expect(playground.column("A").locator(".model-pick")).to_have_text("Model of A: No model ")
        expect(page.locator(".picker")).to_be_hidden()
        page.get_by_label("Message to the models").fill("Hello")
        playground.run()
        expect(page.locator("#pg-errors")).to_have_text("Choose a model.")
        expect(page.locator(".picker")).to_be_hidden()
    finally:
        site.shell(switch.format(True))
    wait_until(lambda: '"models": []' not in page.request.get("/console/playground").text())
    playground.open()
    page.get_by_role("button", name="Add a model").click()
    expect(page.locator(".picker")).to_be_visible()


def test_a_double_click_runs_the_models_once(playground: Playground) -> None:
    """Each click was a run of its own that cost money, and that nothing on the page showed."""
    page = playground.open("demo/demo-fast", "demo/demo-429").page
    posted_paths: list[str] = []
    page.on("request", lambda r: posted_paths.append(r.url) if r.method == "POST" else None)
    page.get_by_label("Message to the models").fill("Hello")
    page.locator("#pg-run").dblclick()
    expect(page.locator("#pg[data-runs='1']")).to_be_visible()
    playground.wait_until_done()
    page.locator("#pg-run").dblclick()
    expect(page.locator("#pg[data-runs='2']")).to_be_visible()
    playground.wait_until_done()
    assert [path.rpartition("/")[2] for path in posted_paths] == ["runs", "runs"]


def test_a_typed_message_survives_the_end_of_the_session(
    page: Any, site: Site, page_errors: PageErrors
) -> None:
    """The settings of the link replaced what was typed."""
    page_errors.allow("401 (Unauthorized)")
    playground = Playground(sign_in_page(page, site, "admin")).open("demo/demo-fast")
    page.get_by_label("Message to the model").fill("A long message")
    page.context.clear_cookies(name="sessionid")
    page.locator("#pg-run").click()
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(site.password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_label("Message to the model")).to_have_value("A long message")
    expect(playground.column("A").locator(".model-pick")).to_contain_text("demo-fast")
