"""nginx and Caddy with the sites of deploy/ in front of nodes."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.e2e.stack import ROOT
from tests.ports import free_port
from tests.waits import wait_until

DEPLOY = ROOT / "deploy"


@contextmanager
def nginx(directory: Path, *nodes: str, wait_s: int = 5) -> Iterator[str]:
    """Run nginx in front of the nodes with these URLs; yield its base URL.

    `wait_s` is the nodes' DRAGOMAN_DRAIN_WAIT.
    """
    port = free_port()
    servers = "\n".join(f"    server {_address(node)} max_fails=0;" for node in nodes)
    site = _changed(
        (DEPLOY / "nginx.conf").read_text(),
        (r"^\s*ssl_certificate.*\n", ""),
        (r"listen 443 ssl", f"listen 127.0.0.1:{port}"),
        (r"^\s*server 127\.0\.0\.1:4000 max_fails=0;$", servers),
        # As it is to DRAGOMAN_DRAIN_WAIT in deploy/, so it is here.
        (r"keepalive_timeout 4s;", f"keepalive_timeout {wait_s - 1}s;"),
    )
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind}; "
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = directory / "nginx.conf"
    path.write_text(
        f"daemon off; pid {directory}/pid; error_log {directory}/error.log;\n"
        f"events {{ worker_connections 512; }}\n"
        f"http {{ access_log off; {temporary} {site} }}\n"
    )
    command = ["nginx", "-e", str(directory / "error.log"), "-c", str(path)]
    yield from _serve(command, f"http://127.0.0.1:{port}", directory)


@contextmanager
def caddy(directory: Path, *nodes: str, wait_s: int = 5) -> Iterator[str]:
    """Run Caddy in front of the nodes with these URLs; yield its base URL.

    `wait_s` is the nodes' DRAGOMAN_DRAIN_WAIT.
    """
    port = free_port()
    site = _changed(
        (DEPLOY / "Caddyfile").read_text(),
        (r"^llm\.example\.com \{", f"http://127.0.0.1:{port} {{"),
        (r"reverse_proxy 127\.0\.0\.1:4000", f"reverse_proxy {' '.join(map(_address, nodes))}"),
        (r"keepalive 4s", f"keepalive {wait_s - 1}s"),
    )
    path = directory / "Caddyfile"
    path.write_text("{\n\tadmin off\n}\n" + site)
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(path)]
    yield from _serve(command, f"http://127.0.0.1:{port}", directory)


def _address(url: str) -> str:
    return url.removeprefix("http://")


def _changed(site: str, *changes: tuple[str, str]) -> str:
    for pattern, new in changes:
        site, count = re.subn(pattern, new, site, flags=re.M)
        assert count, pattern
    return site


def _serve(command: list[str], url: str, home: Path) -> Iterator[str]:
    environment = {**os.environ, "HOME": str(home)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _responses(f"{url}/health/live"))
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _responses(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False
