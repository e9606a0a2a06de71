"""Screenshots of every page, in both themes and at four widths.

    uv run python -m tests.browser.screenshots DIRECTORY [NAME ...]

Starts a site, sends sample requests, and writes NAME-{390,1024,1440,1920}-{light,dark}.png.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tests.browser.conftest import CHROMIUM, DESKTOP, FLAGS, PHONE, TABLET, WIDE, new_context
from tests.browser.pages import PAGES, PageSpec
from tests.browser.site import Site
from tests.waits import wait_until

# The size of the window, and how many pixels of the screenshot one CSS pixel has.
SIZES = ((PHONE, 2), (TABLET, 1), (DESKTOP, 1), (WIDE, 1))
_CALLS = (
    ("demo", "What is the capital of France?"),
    ("demo", "Write three lines about a river."),
    ("demo/demo-fast", "What is the weather in Paris?"),
    ("demo/demo-slow", "Think about it."),
    ("demo/demo-500", "This one fails."),
    ("nobody", "This one does not exist."),
)
# The newest row, which the pages of a request show: a failure with its attempts.
_LAST_CALL = ("demo/demo-429", "This one is refused.")


def send_sample_requests(site: Site, times: int = 3) -> None:
    """Send requests of different kinds, so that every page has content."""
    headers = {"authorization": f"Bearer {site.key}"}
    with (
        httpx.Client(base_url=site.url, timeout=30, headers=headers) as client,
        ThreadPoolExecutor(len(_CALLS)) as threads,
    ):
        # Side by side: the slow ones take 4 s each.
        for _ in threads.map(partial(_send_sample_request, client), _CALLS * times):
            pass
        _send_sample_request(client, _LAST_CALL)


def _send_sample_request(client: httpx.Client, call: tuple[str, str]) -> None:
    model, text = call
    chat = {"model": model, "messages": [{"role": "user", "content": text}]}
    client.post("/v1/chat/completions", json=chat)
    messages = {**chat, "max_tokens": 200, "stream": True, "system": "Be brief.", "top_k": 5}
    client.post(
        "/v1/messages",
        json=messages,
        headers={"anthropic-version": "2023-06-01", "x-claude-code-session-id": "s-1"},
    )


def path_of(site: Site, page_spec: PageSpec) -> str:
    """Return the path of a page on this site."""
    if "{request}" not in page_spec.path:
        return page_spec.path.format(**site.names)
    key = (site.data_dir / "admin_key").read_text(encoding="utf-8").strip()
    headers = {"authorization": f"Bearer {key}"}
    url, items = f"{site.url}/api/requests?limit=1&provider=demo", []

    def has_rows() -> bool:
        items[:] = httpx.get(url, headers=headers, timeout=30).json()["items"]
        return bool(items)

    wait_until(has_rows)
    return page_spec.path.replace("{request}", items[0]["request_id"])


def take_screenshots(site: Site, browser: Any, page_spec: PageSpec, folder: Path) -> None:
    """Write the screenshots of a page: every width in both themes."""
    for viewport, scale in SIZES:
        for theme in ("light", "dark"):
            context = new_context(
                browser,
                site,
                page_spec.user,
                size=viewport,
                theme=theme,
                device_scale_factor=scale,
            )
            page = context.new_page()
            page.goto(path_of(site, page_spec))
            page.wait_for_timeout(400)
            page.screenshot(path=folder / f"{page_spec.name}-{viewport['width']}-{theme}.png")
            context.close()


def main() -> None:
    """Write the screenshots."""
    parser = argparse.ArgumentParser(description="Screenshots of every page.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("names", nargs="*", help="pages of tests/browser/pages.py; all without any")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    folder: Path = arguments.directory
    folder.mkdir(parents=True, exist_ok=True)
    selected_pages = [
        page_spec for page_spec in PAGES if not arguments.names or page_spec.name in arguments.names
    ]
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        site = Site(Path(directory)).with_users().start().with_sample_data()
        try:
            send_sample_requests(site)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for page_spec in selected_pages:
                take_screenshots(site, browser, page_spec, folder)
                print(page_spec.name)
            browser.close()
        finally:
            site.stop()


if __name__ == "__main__":
    main()
