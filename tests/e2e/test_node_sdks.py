"""The official Node SDKs on a live gateway, on providers of both dialects."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import GatewayStack, is_installed
from tests.fakes import Call, Refusal, ScriptedResponse

SCRIPTS = Path(__file__).resolve().parent / "node"
PRESENT = is_installed("node") and is_installed("npm")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.clients,
    pytest.mark.skipif(
        not PRESENT and not os.environ.get("CI"), reason="node and npm are not installed"
    ),
]


@pytest.fixture(scope="session")
def scripts() -> Path:
    """The folder of the scripts and their packages, installed once and cached between runs."""
    hexdigest = hashlib.sha256((SCRIPTS / "package.json").read_bytes()).hexdigest()[:12]
    cache_folder = Path.home() / ".cache" / "dragoman-tests" / f"node-{hexdigest}"
    if not (cache_folder / "node_modules").exists():
        # Made aside and moved, as two test processes may do this at once.
        making = cache_folder.with_name(f"{cache_folder.name}-{os.getpid()}")
        making.mkdir(parents=True)
        shutil.copy(SCRIPTS / "package.json", making)
        install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(install, cwd=making, check=True, capture_output=True, timeout=100)
        try:
            making.rename(cache_folder)
        except OSError:
            shutil.rmtree(making)
    for script in SCRIPTS.glob("*.mjs"):
        copy = cache_folder / f"{script.stem}-{os.getpid()}.tmp"
        shutil.copy(script, copy)
        copy.rename(cache_folder / script.name)
    return cache_folder


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5"])
@pytest.mark.parametrize("script", ["openai.mjs", "anthropic.mjs"])
@pytest.mark.wide(every=2)
def test_a_node_sdk_works(stack: GatewayStack, scripts: Path, script: str, model: str) -> None:
    limited = Refusal(429, "rate_limit_error", "Slow.", headers={"retry-after": "1"})
    stack.on("Refuse with rate_limit for node", ScriptedResponse(error=limited))
    calls = tuple(Call("get_weather", {"city": city}) for city in ("Paris", "Rome"))
    stack.on("Node weather of two cities", ScriptedResponse(calls=calls))
    assert run(scripts / script, stack.gateway.url, stack.gateway.key, model) == {
        "whole": "Hello from the strict upstream.",
        "streamed": "Hello from the strict upstream.",
        "cities": ["Paris", "Rome"],
        "answered": "The tools answered: sun | sun",
        "unknown": "NotFoundError",
        "limited": "RateLimitError",
        "refused": "AuthenticationError",
        "listed": True,
    }


def run(script: Path, *arguments: str) -> Any:
    """Run a script and return its output."""
    done = subprocess.run(
        ["node", str(script), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
