"""Nodes behind the sites of deploy/ for nginx and Caddy: restarts in turn, and WebSockets."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.e2e.sites import caddy, nginx
from tests.e2e.stack import MASTER_KEY, Gateway
from tests.waits import wait_until

pytestmark = pytest.mark.e2e
NGINX = pytest.mark.skipif(not shutil.which("nginx"), reason="apt-get install nginx-light")
CADDY = pytest.mark.skipif(not shutil.which("caddy"), reason="apt-get install caddy")
SITES = pytest.mark.parametrize(
    "site", [pytest.param(nginx, marks=NGINX), pytest.param(caddy, marks=CADDY)]
)
Site = Callable[..., AbstractContextManager[str]]
WAIT_S = 2
LEAST = 2000
CLIENTS = 12
REQUEST = {"messages": [{"role": "user", "content": "Hello"}]}
# The demo's at 1 ms a word; now and then a stream that takes a second, so that some are cut
# into by each drain.
QUICK, SLOW = "demo/demo@1ms", "demo/demo@50ms"


class DrainingNode(Gateway):
    """A node that waits before it drains, as in deploy/."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"DRAGOMAN_DRAIN_WAIT": str(WAIT_S)}


class ContinuousLoad:
    """Clients that send requests without a pause, and their failures."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/v1/chat/completions"
        self.over = threading.Event()
        self.answered = 0
        self.slowest_s = 0.0
        self.failed: list[str] = []
        self._lock = threading.Lock()

    def run(self) -> None:
        """Send requests until stopped, every fourth one streamed."""
        headers = {"authorization": f"Bearer {MASTER_KEY}"}
        with httpx.Client(headers=headers, timeout=30) as client:
            number = 0
            while not self.over.is_set():
                number += 1
                model = SLOW if number % 40 == 0 else QUICK
                start = time.monotonic()
                reason = self._ask(client, model, stream=number % 4 == 0)
                with self._lock:
                    self.answered += 1
                    self.slowest_s = max(self.slowest_s, time.monotonic() - start)
                    if reason:
                        self.failed.append(reason)

    def _ask(self, client: httpx.Client, model: str, *, stream: bool) -> str:
        """Return why a request failed; empty if it succeeded."""
        try:
            response = client.post(self.url, json={**REQUEST, "model": model, "stream": stream})
        except httpx.HTTPError as error:
            return repr(error)
        if response.status_code != 200:
            return f"{response.status_code} {response.text[:200]}"
        is_complete = "data: [DONE]" in response.text if stream else response.json()["choices"]
        return "" if is_complete else f"cut: {response.text[-200:]}"


@pytest.mark.timeout(400)  # a busy machine takes its time for two restarts and all the requests
@pytest.mark.wide(every=0)
@SITES
def test_no_request_fails_while_the_nodes_restart(tmp_path: Path, site: Site) -> None:
    config = {"model_list": [], "general_settings": {"master_key": MASTER_KEY}}
    with ExitStack() as stack:
        nodes: list[Gateway] = []
        for number, workers in enumerate((1, 2)):
            directory = tmp_path / f"node{number}"
            directory.mkdir()
            nodes.append(DrainingNode(directory, config, workers=workers))
            stack.callback(nodes[-1].kill)
            nodes[-1].start()
        urls = [node.url for node in nodes]
        load = ContinuousLoad(stack.enter_context(site(tmp_path, *urls, wait_s=WAIT_S)))
        pool = stack.enter_context(ThreadPoolExecutor(CLIENTS))
        stack.callback(load.over.set)
        for _ in range(CLIENTS):
            pool.submit(load.run)
        start = time.monotonic()
        for node in nodes:
            assert node.stop() in {0, -15}, node.output
            node.start()
        wait_until(lambda: load.answered >= LEAST or load.failed, within_s=200)
        load.over.set()
        pool.shutdown()
        elapsed_s = time.monotonic() - start
    print(
        f"{load.answered} requests in {elapsed_s:.1f} s, {len(load.failed)} failed, "
        f"the slowest took {load.slowest_s:.1f} s"
    )
    assert not load.failed, load.failed[:5]


@SITES
def test_the_site_forwards_websockets(tmp_path: Path, site: Site) -> None:
    (tmp_path / "node").mkdir()
    gateway = Gateway(tmp_path / "node", {"model_list": []}).start()
    headers = {"authorization": f"Bearer {gateway.key}"}
    try:
        with (
            site(tmp_path, gateway.url) as url,
            connect(f"ws{url[4:]}/v1/responses", additional_headers=headers) as socket,
        ):
            create = {"type": "response.create", "model": QUICK, "input": "Hello"}
            socket.send(json.dumps(create))
            assert json.loads(socket.recv(10))["type"] == "response.created"
    finally:
        gateway.kill()
