"""The playground page as tests use it, and its models."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any, Self

from playwright.sync_api import Locator, Page, expect

from tests.browser.site import Site
from tests.fakes.openai import KEY
from tests.ports import free_port

# `over` answers from its second target; `blind-man` cannot read pictures; `strict` is a
# provider of its own whose words a test writes.
_ROWS = """
from gateway.models import Model, Provider
from gateway.store import set_credential
from tests.store import factories

demo = {{m.name: m for m in Model.objects.filter(provider__name="demo")}}
factories.model("demo@500ms", demo["demo"].provider)
over = factories.route("over", retries=0)
for order, name in enumerate(("demo-429", "demo-fast"), 1):
    over.targets.create(model=demo[name], order=order)
free = {{"price_input": "0.25", "price_output": "2"}}
demo_provider = Provider.objects.get(name="demo")
blind = factories.model("demo@1ms", demo_provider, traits={{"images": False}}, **free)
factories.route("blind-man", blind)
factories.model("demo@50ms", demo_provider, **free)
if {upstream!r}:
    strict = factories.provider("strict", "custom", base_url={upstream!r}, dialect="openai_chat")
    set_credential(strict, {key!r})
    factories.route("strict", factories.model("gpt-4o-mini", strict, **free))
"""

_WATCH = """() => {
    globalThis.seen = [];
    const host = document.getElementById("pg-cols");
    const note = () => {
        for (const column of host.querySelectorAll(".pcol")) {
            const now = [column.id.slice(4), column.dataset.state, column.innerText];
            const before = seen.findLast(([letter]) => letter === now[0]);
            if (before?.[1] !== now[1] || before?.[2] !== now[2]) seen.push(now);
        }
    };
    const options = { subtree: true, childList: true, characterData: true, attributeFilter: ["data-state"] };
    new MutationObserver(note).observe(host, options);
}"""


def with_models(site: Site, upstream: str = "") -> Site:
    """Create the models that the playground tests need."""
    site.shell(_ROWS.format(upstream=upstream, key=KEY))
    return site


class Playground:
    """Page object of the playground."""

    def __init__(self, page: Page, url: str = "") -> None:
        self.page = page
        self._url = url

    def open(self, *models: str) -> Self:
        """Open the playground with a column for each of these models."""
        query = f"?models={','.join(models)}" if models else ""
        self.page.goto(f"{self._url}/console/playground{query}")
        expect(self.column("A").locator(".model-pick")).to_be_visible()
        return self

    def column(self, letter: str) -> Locator:
        """Return a column: a response with its header and figures."""
        return self.page.locator(f"#col-{letter}")

    def response(self, letter: str) -> Locator:
        """Return the text of a column's response."""
        return self.column(letter).locator(".response-content")

    def state(self, letter: str) -> str | None:
        """Return a column's state: idle, busy, ok, fallback, failed, stopped or lost."""
        return self.column(letter).get_attribute("data-state")

    def wait_for_state(self, letter: str, state: str) -> None:
        """Wait until a column has a state."""
        expect(self.column(letter)).to_have_attribute("data-state", state, timeout=60_000)

    def watch(self) -> Self:
        """Start recording the states and texts of the columns, however briefly they are shown."""
        self.page.evaluate(_WATCH)
        return self

    def finished_columns(self) -> list[str]:
        """Return the letters of the finished columns, in the order in which they finished."""
        return [str(letter) for letter, state, _ in self.page.evaluate("seen") if state != "busy"]

    def has_shown(self, letter: str, shown_text: str) -> bool:
        """Return whether a column has shown this text since `watch`."""
        recorded = self.page.evaluate("seen")
        return any(column == letter and shown_text in text for column, _, text in recorded)

    def fill_prompt(self, text: str) -> Self:
        """Fill in the prompt."""
        self.page.fill("#pg-text", text)
        return self

    def insert_example(self, title: str) -> Self:
        """Insert an example by its title."""
        self.page.get_by_role("button", name=title).click()
        return self

    def run(self, button: Locator | None = None, *, refused: bool = False) -> Self:
        """Click a run button and wait until the run has started, unless it is to be refused."""
        page = self.page.locator("#pg")
        before = int(page.get_attribute("data-runs") or 0)
        (button or self.page.locator("#pg-run")).click()
        if not refused:
            expect(page).to_have_attribute("data-runs", str(before + 1))
        return self

    def wait_until_done(self) -> Self:
        """Wait until no response is streaming."""
        expect(self.page.locator("#pg-run")).to_be_visible(timeout=90_000)
        return self

    def menu(self, letter: str, entry: str) -> None:
        """Choose an entry of a column's menu."""
        self.page.get_by_role("button", name=f"More for {letter}").click()
        self.page.get_by_role("menuitem", name=entry).click()

    @property
    def dialog(self) -> Locator:
        """Return the open dialog."""
        return self.page.locator("dialog[open]")

    def figure(self, letter: str, label: str) -> Locator:
        """Return a figure below a response by its label."""
        return self.column(letter).locator(".stat", has_text=label).locator("dd")


class CuttableProxy:
    """A TCP proxy between browser and site whose connections can be cut."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._to = port
        self._open: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", self.port))
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        """The URL that the browser opens."""
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Close all open connections and refuse new ones."""
        cut, self._open = self._open, []
        for end in cut:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        """Stop the proxy."""
        # Closing alone does not wake a thread that waits in `accept`, which then takes one more.
        self._door.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._door.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._door.accept()
                self._open.append(near)
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open.append(far)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pass, args=(source, sink), daemon=True).start()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def sign_in_page(page: Page, site: Site, user: str) -> Any:
    """Sign a page in as a user, for any port of the site."""
    cookie = {"name": "sessionid", "value": site.sessions[user], "domain": "127.0.0.1", "path": "/"}
    page.context.add_cookies([cookie])  # type: ignore[list-item]
    return page
