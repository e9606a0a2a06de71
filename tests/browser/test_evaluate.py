"""Evaluations on a real site: created, run in the background, compared, exported, and the same
from the terminal.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.site import ROOT, Site
from tests.waits import wait_until

FILE = """
name: {name}
models: [{models}]
prompt: Say {{{{word}}}}
concurrency: 16
assert:
  - {{type: contains, value: "{{{{word}}}}"}}
  - {{type: not-contains, value: "7”"}}
  - {{type: llm-rubric, value: Mentions the word.}}
judge: demo/demo-fast
cases:
"""


def evaluation_file(
    path: Path, name: str, models: str, cases: int, *, rubric: bool = False
) -> Path:
    """Write an evaluation file whose cases that end in 7 fail on models that quote the prompt."""
    text = FILE.format(name=name, models=models)
    if not rubric:
        text = text.replace("  - {type: llm-rubric, value: Mentions the word.}\n", "")
    rows = "".join(f"  - vars: {{word: w{n}}}\n" for n in range(cases))
    path.write_text(text + rows, encoding="utf-8")
    return path


def import_file(page: Page, file: Path) -> None:
    page.goto("/console/evaluate/import")
    page.set_input_files("[name=file]", file)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_visible()


def start_run(page: Page) -> None:
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#progress")).to_be_visible()


def allow_connection_errors(page_errors: Any) -> None:
    """Allow the errors of a polling page while its server is down."""
    for text in ("Failed to load resource", "Failed to fetch"):
        page_errors.allow(text)


def status(page: Page, label: str, *, within_s: float = 60) -> None:
    pill = page.locator("#progress header > .pill")
    expect(pill).to_have_text(label, timeout=within_s * 1000)


def exported(page: Page, kind: str) -> str:
    reply = page.request.get(page.url.partition("?")[0] + f".{kind}")
    assert reply.ok
    return reply.text()


def stored_responses(site: Site, page: Page) -> Callable[[], int]:
    """Return the progress of the run on a page, as the server reports it."""
    url, cookies = page.url.partition("?")[0], {"sessionid": site.sessions["admin"]}

    def stored() -> int:
        text = httpx.get(url + "?part=progress", cookies=cookies, timeout=30).text
        match = re.search(r"([\d,]+) of [\d,]+ responses", text)
        assert match is not None
        return int(match[1].replace(",", ""))

    return stored


def run_eval_command(site: Site, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run `dragoman eval` with the site's key."""
    environment = {
        **os.environ,
        "DRAGOMAN_API_KEY": site.key,
        "DRAGOMAN_DATA_DIR": str(site.data_dir),
        "DJANGO_SETTINGS_MODULE": "gateway.config.settings",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "manage.py", "eval", *map(str, arguments), "--base-url", site.url]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def scores(document: str) -> dict[tuple[int, str, int], tuple[bool, float, list[bool]]]:
    """Return passed, score and checks of each response in a JSON export."""
    return {
        (row["case"], row["model"], row["repetition"]): (
            row["passed"],
            row["score"],
            [check["passed"] for check in row["checks"]],
        )
        for row in json.loads(document)["results"]
    }


def test_a_menu_stays_open_while_results_arrive(signed_in: Page, tmp_path: Path) -> None:
    page = signed_in
    import_file(page, evaluation_file(tmp_path / "slow.yaml", "Slow", "demo/demo-slow", 160))
    start_run(page)
    page.locator("#results summary", has_text="Sort").click()
    for _ in range(2):  # the first results are on the page when the second ones arrive
        with page.expect_response(lambda response: "part=results" in response.url):
            pass
    expect(page.get_by_role("link", name="Lowest score")).to_be_visible()
    page.locator("#progress").get_by_role("button", name="Cancel").click()
    status(page, "Cancelled")


def test_an_evaluation_is_written_run_read_and_exported(
    signed_in: Page, axe: Callable[[Any], None], no_sideways_scroll: Callable[[Any], None]
) -> None:
    page = signed_in
    page.goto("/console/evaluate")
    page.get_by_role("link", name="New evaluation").first.click()
    page.fill("[name=name]", "Greetings")
    page.fill("[name=prompt]", "Say {{input}}")
    page.fill("[name=text]", "hello\ngood day\nservus")
    page.get_by_label("Search models").fill("demo-")
    expect(page.get_by_label("demo/demo", exact=True)).to_be_hidden()
    page.get_by_label("demo/demo-fast").check()
    page.get_by_label("demo/demo-refusal").check()
    page.get_by_label("Type").select_option("contains")
    page.get_by_label("Value").fill("{{input}}")
    page.get_by_role("button", name="Add assertion").click()
    page.locator("[name=assert-1-type]").select_option("latency")
    page.locator("[name=assert-1-threshold]").fill("60000")
    axe(page)
    page.get_by_role("button", name="Create evaluation").click()
    expect(page.get_by_role("link", name="2. good day", exact=True)).to_be_visible()
    axe(page)
    start_run(page)
    status(page, "Done")
    fast = page.locator(".scores tr", has_text="demo/demo-fast")
    expect(fast).to_contain_text("100 %")
    expect(fast).to_contain_text("3 / 3")
    expect(page.locator(".scores tr", has_text="demo/demo-refusal")).to_contain_text("0 %")
    # The trophy of the best model does not shorten its bar.
    bars = page.locator(".scores .bar")
    widths = bars.evaluate_all("bars => bars.map((bar) => bar.clientWidth)")
    assert len(widths) == 2
    assert len(set(widths)) == 1
    # The results follow the progress without a reload.
    expect(page.locator(".results .state.ok")).to_have_count(3)
    page.get_by_role("link", name="2. good day", exact=True).click()
    responses = page.locator("#case-1")
    expect(responses).to_contain_text("You wrote: “Say good day”")
    expect(responses).to_contain_text("does not contain good day")
    axe(page)
    no_sideways_scroll(page)
    page.get_by_role("link", name="2. good day", exact=True).click()
    expect(responses).to_be_empty()
    page.get_by_role("link", name="Failures").click()
    expect(page.locator(".results .state.bad")).to_have_count(3)
    rows = [*csv.DictReader(io.StringIO(exported(page, "csv")))]
    assert [row["passed"] for row in rows] == ["true", "false"] * 3
    assert "| demo/demo-fast | 100.0 % | 3 of 3 |" in exported(page, "md")
    assert len(scores(exported(page, "json"))) == 6


def test_a_missing_variable_is_named_at_the_prompt(signed_in: Page, page_errors: Any) -> None:
    page_errors.allow("422")
    page = signed_in
    page.goto("/console/evaluate/new")
    page.fill("[name=name]", "Missing")
    page.fill("[name=prompt]", "Say {{word}}")
    page.fill("[name=text]", "hello")
    page.get_by_role("button", name="Create evaluation").click()
    message = "Case 1: the prompt uses {{word}}, which the case does not have."
    expect(page.get_by_text(message)).to_be_visible()
    expect(page.locator("[name=text]")).to_have_value("hello")


def test_a_run_is_compared_with_the_one_before(signed_in: Page, tmp_path: Path) -> None:
    page = signed_in
    file = evaluation_file(tmp_path / "e.yaml", "Regressions", "demo/demo-fast", 10)
    import_file(page, file)
    start_run(page)
    status(page, "Done")
    expect(page.locator(".scores tr", has_text="demo/demo-fast")).to_contain_text("9 / 10")
    page.get_by_role("link", name="Regressions").first.click()
    page.get_by_role("link", name="Edit").click()
    page.locator("[name=assert-1-value]").fill("3”")
    page.get_by_role("button", name="Save").click()
    start_run(page)
    status(page, "Done")
    row = page.locator(".scores tr", has_text="demo/demo-fast")
    expect(row).to_contain_text("1 worse")
    expect(row).to_contain_text("1 better")
    page.get_by_role("link", name="Regressions 1", exact=True).click()
    expect(page.locator(".results")).to_contain_text("w3")
    expect(page.locator(".results .pill.bad")).to_have_text("Regression")
    page.get_by_label("Compare with").select_option("nothing")
    expect(page.locator(".results .pill")).to_have_count(0)


def test_a_run_is_paused_resumed_and_cancelled(site: Site, signed_in: Page, tmp_path: Path) -> None:
    page = signed_in
    file = evaluation_file(tmp_path / "e.yaml", "Slow", "demo/demo", 60)
    file.write_text(file.read_text().replace("concurrency: 16", "concurrency: 4"))
    import_file(page, file)
    start_run(page)
    done = page.locator("#progress [role=status]")
    expect(done).not_to_contain_text("0 of 60 responses")
    page.get_by_role("button", name="Pause").click()
    status(page, "Paused")

    stored = stored_responses(site, page)
    wait_until(lambda: stored() == stored())  # responses in progress are still stored
    paused_at = stored()
    assert 0 < paused_at < 60
    page.get_by_role("button", name="Resume").click()
    status(page, "Done")
    rows = [*csv.DictReader(io.StringIO(exported(page, "csv")))]
    assert [int(row["case"]) for row in rows] == [*range(1, 61)]
    assert sum(row["passed"] == "true" for row in rows) == 54
    page.get_by_role("button", name="Run again").click()
    page.get_by_role("button", name="Cancel").click()
    status(page, "Cancelled")


def test_the_command_computes_the_same_scores(site: Site, signed_in: Page, tmp_path: Path) -> None:
    models = "demo/demo-fast, demo/demo-refusal, demo/demo-500"
    file = evaluation_file(tmp_path / "e.yaml", "Terminal", models, 8, rubric=True)
    import_file(signed_in, file)
    start_run(signed_in)
    status(signed_in, "Done")
    page_scores = scores(exported(signed_in, "json"))
    ran = run_eval_command(site, file, "--output", "json")
    assert ran.returncode == 1, ran.stderr
    assert "24/24 responses" in ran.stderr
    assert scores(ran.stdout) == page_scores
    assert len({passed for passed, _, _ in page_scores.values()}) == 2
    signed_in.get_by_role("link", name="Terminal").click()
    written = tmp_path / "written.yaml"
    written.write_text(signed_in.request.get(signed_in.url + "/file").text())
    second = run_eval_command(site, written, "--models", "demo/demo-fast", "--pass-rate", "0.85")
    assert second.returncode == 0, second.stderr
    assert "87.5 %" in second.stdout and "FAILED 8. w7 · demo/demo-fast" in second.stdout


def test_the_terminal_refuses_invalid_input_with_status_2(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "cases.csv"
    file.write_text("word,__expected\nhi,javascript: output\n")
    refused_run = run_eval_command(site, file, "--models", "demo/demo-fast")
    assert refused_run.returncode == 2 and "runs code" in refused_run.stderr
    file.write_text("word\nhi\n")
    missing = run_eval_command(site, file, "--models", "demo/demo-fast")
    assert missing.returncode == 2
    assert "case 1: the prompt uses {{input}}, which the case does not have" in missing.stderr
    refused_response = run_eval_command(
        site, file, "--models", "demo/demo-fast", "--prompt", "{{word}}", "--key", "sk-dgm-wrong"
    )
    assert refused_response.returncode == 2 and "HTTP 401" in refused_response.stderr


def test_a_viewer_has_evaluations_but_not_those_of_others(
    site: Site, signed_in: Page, viewer_page: Page, tmp_path: Path, page_errors: Any
) -> None:
    page_errors.allow("404")
    import_file(signed_in, evaluation_file(tmp_path / "e.yaml", "Private", "demo/demo-fast", 1))
    viewer_page.goto("/console/evaluate")
    expect(viewer_page.get_by_text("Private")).to_have_count(0)
    reply = viewer_page.goto(signed_in.url)
    assert reply is not None and reply.status == 404
    import_file(viewer_page, evaluation_file(tmp_path / "v.yaml", "Own", "demo/demo-fast", 1))
    start_run(viewer_page)
    status(viewer_page, "Done")


def test_logged_requests_become_cases(site: Site, signed_in: Page) -> None:
    page, ids = signed_in, []
    for text in ("Say one {{word}}", "Say two"):
        body = {
            "model": "demo/demo-fast",
            "system": "Be brief.",
            "messages": [{"role": "user", "content": text}],
            "max_tokens": 200,
        }
        headers = {"x-api-key": site.key, "anthropic-version": "2023-06-01"}
        reply = httpx.post(f"{site.url}/v1/messages", json=body, headers=headers, timeout=30)
        ids.append(site.wait_for_log(reply.headers["request-id"]))
    page.goto(f"/console/requests/{ids[0]}")
    page.get_by_role("link", name="Add to evaluation").click()
    expect(page.locator("pre", has_text="Say one {{word}}").first).to_be_visible()
    page.get_by_role("button", name="Add", exact=True).click()
    page.locator(".add-cases summary").click()
    page.get_by_role("link", name="Add from log").click()
    page.get_by_role("searchbox", name="Search requests").fill(f"id:{ids[1]}")
    page.get_by_role("button", name="Search").click()
    page.get_by_label(ids[1]).check()
    page.get_by_role("button", name="Add selected").click()
    expect(page.locator(".case-list tbody tr")).to_have_count(2)
    start_run(page)
    status(page, "Done")
    rows = [*csv.DictReader(io.StringIO(exported(page, "csv")))]
    assert [row["name"] for row in rows] == ids
    # The messages are those of the request, and so is the response.
    assert [row["response"] for row in rows] == [row["expected"] for row in rows]
    assert "Say one {{word}}" in rows[0]["response"]


@pytest.mark.wide(every=2)
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("cases", "concurrency"), [(30, 2), (500, 16)])
def test_many_cases_on_four_models_survive_a_restart(
    site: Site, signed_in: Page, tmp_path: Path, page_errors: Any, cases: int, concurrency: int
) -> None:
    allow_connection_errors(page_errors)
    models = "demo/demo, demo/demo-fast, demo/demo-refusal, demo/demo-empty"
    file = evaluation_file(tmp_path / "e.yaml", f"Cases {cases}", models, cases)
    text = file.read_text().replace("concurrency: 16", f"concurrency: {concurrency}")
    file.write_text(text)
    import_file(signed_in, file)
    start_run(signed_in)
    stored = stored_responses(site, signed_in)
    wait_until(lambda: stored() > cases // 2)
    site.kill()
    site.start()
    assert stored() < 4 * cases
    status(signed_in, "Done", within_s=400)
    page_scores = scores(exported(signed_in, "json"))
    assert len(page_scores) == 4 * cases
    ran = run_eval_command(site, file, "--output", "json", "--quiet", "--concurrency", 16)
    assert ran.returncode == 1, ran.stderr
    assert scores(ran.stdout) == page_scores
