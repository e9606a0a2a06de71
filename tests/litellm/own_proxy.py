"""LiteLLM's proxy as a process with its own PostgreSQL database.

It stores everything through Prisma, whose engine is a binary that no package registry has;
`prisma_engine/query_engine.cjs` replaces it. The tables do not need Prisma's command line
program either: LiteLLM's migrations are SQL.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.clients.environments import node_modules, python_with
from tests.fakes.openai import KEY as PROVIDER_KEY
from tests.litellm.proxy_calls import BASE, KEY, MASTER_KEY, SALT_KEY, WRITES_S, Proxy
from tests.ports import free_port
from tests.waits import wait_until

VERSION = "1.106.2"
# LiteLLM works with this version of Prisma's client, not with those after it.
PACKAGES = (f"litellm[proxy]=={VERSION}", "prisma==0.11.0")
ENGINE_MODULES = (
    *("@prisma/client@5.17.0", "@prisma/adapter-pg@5.17.0", "@prisma/driver-adapter-utils@5.17.0"),
    *("pg@8.22", "graphql@16"),
)
# It generates the code of the client; 0.11.0 accepts this version alone.
GENERATOR_MODULES = ("prisma@5.4.2",)
ENGINE = Path(__file__).parent / "prisma_engine" / "query_engine.cjs"
_START_S = 600.0
_GENERATE_S = 120.0
_CALL_S = 60.0
_CONFIG = """
general_settings:
  store_model_in_db: true
  disable_spend_logs: true
  master_key: os.environ/LITELLM_MASTER_KEY
"""


def installed_packages() -> Path:
    """Return the folder of LiteLLM's packages, installed on first use. Raises Unavailable."""
    python = python_with(PACKAGES)
    (folder,) = (python.parent.parent / "lib").glob("python*/site-packages")
    if not (folder / "prisma" / "client.py").exists():
        _generate_client(folder)
    return folder


@contextmanager
def running_proxy(directory: Path, database: str, provider: str) -> Iterator[Proxy]:
    """Run a proxy on a database with LiteLLM's tables, with an OpenAI at a base URL.

    Raises:
        Unavailable: its packages cannot be installed.
    """
    folder = installed_packages()
    (directory / "config.yaml").write_text(_CONFIG, encoding="utf-8")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        **_environment(),
        "NODE_PATH": str(node_modules(ENGINE_MODULES) / "node_modules"),
        "PRISMA_QUERY_ENGINE_BINARY": str(ENGINE),
        "DATABASE_URL": database.replace("postgres://", "postgresql://"),
        "DISABLE_SCHEMA_UPDATE": "true",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MASTER_KEY": MASTER_KEY,
        "LITELLM_SALT_KEY": SALT_KEY,
        "PROXY_BATCH_WRITE_AT": str(WRITES_S),
        BASE: f"{provider}/v1",
        KEY: PROVIDER_KEY,
    }
    command = [str(folder.parents[2] / "bin" / "litellm"), "--config", "config.yaml"]
    with (directory / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=directory,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        wait_until(lambda: process.poll() is not None or _is_ready(url), within_s=_START_S)
        assert process.poll() is None, (directory / "output.txt").read_text(encoding="utf-8")
        with httpx.Client(base_url=url, timeout=_CALL_S) as client:
            yield Proxy(client)
    finally:
        # The engine is in its process group.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _is_ready(url: str) -> bool:
    try:
        response = httpx.get(f"{url}/health/readiness", timeout=5)
    except httpx.HTTPError:
        return False
    return response.status_code == 200 and response.json().get("db") == "connected"


def _generate_client(folder: Path) -> None:
    """Generate the code of Prisma's client for LiteLLM's tables, into its package."""
    text = (folder / "litellm" / "proxy" / "schema.prisma").read_text(encoding="utf-8")
    # Each of these would be an engine to download.
    lines = [line for line in text.splitlines() if "binaryTargets" not in line]
    schema = folder / "prisma" / "litellm.prisma"
    schema.write_text("\n".join(lines), encoding="utf-8")
    program = node_modules(GENERATOR_MODULES) / "node_modules" / "prisma" / "build" / "index.js"
    engines = ("QUERY_ENGINE_BINARY", "QUERY_ENGINE_LIBRARY", "SCHEMA_ENGINE_BINARY")
    ran = subprocess.run(
        ["node", str(program), "generate", "--schema", str(schema)],
        env={
            **_environment(),
            "NODE_PATH": str(node_modules(ENGINE_MODULES) / "node_modules"),
            "PATH": f"{folder.parents[2] / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "CHECKPOINT_DISABLE": "1",
            **{f"PRISMA_{name}": str(ENGINE) for name in engines},
        },
        capture_output=True,
        text=True,
        timeout=_GENERATE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]


def _environment() -> dict[str, str]:
    """Return the environment of its processes."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
