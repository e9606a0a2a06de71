"""The pictures of the console in README and docs/.

    uv run python -m tests.browser.documentation_images

Starts a site, sends a request and runs a comparison against the demo provider, and writes
docs/images/request-log.png and docs/images/playground.png.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import httpx

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.playground_page import Playground, with_models
from tests.browser.site import ROOT, Site

FOLDER = ROOT / "docs" / "images"
VIEWPORT: Any = {"width": 1360, "height": 800}
_WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
_EARLIER_PROMPTS = (
    "Summarize the release notes in three bullet points.",
    "Which of these two functions is faster, and why?",
    "Write a test for the parser of durations.",
    "Translate the error messages into French.",
    "Explain what this regular expression matches.",
    "Suggest a name for this module.",
)
_REQUEST = {
    "model": "demo",
    "max_tokens": 1024,
    "system": "You are a travel assistant.",
    "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
    "tools": [_WEATHER],
    "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
    "top_k": 40,
    "stream": True,
}


def send_requests(site: Site) -> str:
    """Send a few requests; return the ID of the last one, which is translated."""
    request_id = ""
    headers = {"authorization": f"Bearer {site.key}", "anthropic-version": "2023-06-01"}
    with httpx.Client(base_url=site.url, timeout=30, headers=headers) as client:
        for number, prompt in enumerate(_EARLIER_PROMPTS):
            model = "demo/demo-fast" if number % 3 else "demo"
            body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
            if number % 2:
                client.post("/v1/messages", json={**body, "max_tokens": 512})
            else:
                client.post("/v1/chat/completions", json=body)
        response = client.post("/v1/messages", json=_REQUEST)
        request_id = response.headers["x-request-id"]
    return site.wait_for_log(request_id)


def main() -> None:
    """Write the pictures."""
    from playwright.sync_api import sync_playwright

    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        site = with_models(Site(Path(directory)).with_users().start())
        try:
            request_id = send_requests(site)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            context = browser.new_context(base_url=site.url, viewport=VIEWPORT)
            context.add_cookies(
                [{"name": "sessionid", "value": site.sessions["admin"], "url": site.url}]
            )
            page = context.new_page()
            page.goto(f"/console/requests/{request_id}?tab=translation")
            page.wait_for_timeout(500)
            page.screenshot(path=FOLDER / "request-log.png")
            playground = Playground(page, site.url)
            playground.open("demo/demo-fast", "demo/demo-slow", "demo/demo-bad-tool-arguments")
            playground.insert_example("Call a tool").run().wait_until_done()
            page.screenshot(path=FOLDER / "playground.png")
            browser.close()
        finally:
            site.stop()


if __name__ == "__main__":
    main()
