"""Traces of the OpenAI Agents SDK, exported to a live gateway and shown in a browser."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import CHROMIUM, DESKTOP, FLAGS
from tests.browser.site import Site
from tests.clients.environments import Unavailable, python_with
from tests.clients.table import AGENTS
from tests.documentation_blocks import blocks
from tests.waits import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.frameworks, pytest.mark.timeout(1500)]
SCRIPT = Path(__file__).parent / "scripts" / "trace_agents.py"
GROUP = "group_weather"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site(tmp_path_factory.mktemp("site"))
    try:
        yield running.with_users().start()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def agent_output(site: Site) -> Any:
    """The printed outputs and trace ids of the agents, by API."""
    try:
        python = python_with(AGENTS)
    except Unavailable as error:
        pytest.skip(str(error))
    (block,) = [b for b in blocks() if (b.page, b.language) == ("docs/traces.md", "python")]
    exporter = block.code.replace("<gateway key>", site.key)
    exporter = exporter.replace("http://localhost:4000", site.url)
    request = {"base": site.url, "key": site.key, "model": "demo", "group": GROUP}
    request["exporter"] = exporter
    done = subprocess.run(
        [str(python), str(SCRIPT), json.dumps(request)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Tracing" not in done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def page(site: Site) -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium-headless-shell")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = running.new_context(base_url=site.url, viewport=DESKTOP)
        context.add_cookies(
            [{"name": "sessionid", "value": site.sessions["admin"], "url": site.url}]
        )
        yield context.new_page()
        running.close()


def rows(page: Any, path: str) -> list[str]:
    """Return kind and name of each line of a waterfall, once it has the two requests."""

    def lines() -> list[str]:
        page.goto(path)
        return [
            " ".join(cell.split())
            for cell in page.locator(".waterfall tbody .what").all_inner_texts()
        ]

    wait_until(lambda: sum(line.startswith("Request") for line in lines()) >= 2)
    return lines()


def _prompt_tokens(row: str) -> int:
    found = re.search(r"(\d+) → \d+", row)
    assert found is not None, row
    return int(found[1])


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_spans_and_requests_of_an_agent_are_one_waterfall(
    agent_output: Any, page: Any, api: str
) -> None:
    lines = rows(page, f"/console/traces/{agent_output[api]['trace']}")
    generation = "response" if api == "responses" else "demo"
    assert lines == [
        "custom prepare",
        "custom task",
        f"agent Forecaster {api}",
        "custom turn 1",
        f"generation {generation}",
        "Request demo",
        "tool get_weather",
        "custom turn 2",
        f"generation {generation}",
        "Request demo",
    ]
    agent = page.locator(".waterfall tr.agent").inner_text()
    requests = page.locator(".waterfall tr.request").all_inner_texts()
    assert _prompt_tokens(agent) == sum(map(_prompt_tokens, requests)) > 0
    page.locator(".waterfall tr.request a").first.click()
    page.locator("#detail-title").wait_for()
    if api == "responses":
        page.get_by_role("link", name="Agent trace").wait_for()


def test_the_list_names_both_workflows(agent_output: Any, page: Any) -> None:
    page.goto("/console/traces")
    names = page.locator("table.traces tbody a").all_inner_texts()
    assert sorted(names) == ["Weather chat", "Weather responses"]
    assert page.locator("table.traces tbody tr").first.inner_text().count(GROUP) == 1


def test_a_tool_span_has_its_input_and_output(agent_output: Any, page: Any) -> None:
    rows(page, f"/console/traces/{agent_output['responses']['trace']}")
    page.locator(".waterfall tr.tool a").first.click()
    page.get_by_text("Sunny in Paris, 21 degrees").wait_for()
