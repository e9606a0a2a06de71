"""A gateway of two processes that stores responses, with its keys and providers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from tests.e2e.stack import ROOT, Gateway, litellm_config, strict_config
from tests.fakes import StrictAnthropic, StrictDeepSeek
from tests.fakes.stateful_openai import StatefulOpenAI

OWN, CHAT, MESSAGES = "gpt-5.6-sol", "deepseek-v4-pro", "claude-sonnet-4-5"


@dataclass
class ResponseNodes:
    """The gateway and its providers."""

    gateway: Gateway
    openai: StatefulOpenAI
    deepseek: StrictDeepSeek
    anthropic: StrictAnthropic

    def client(self, key: str = "", *, alone: bool = True) -> openai.OpenAI:
        """Return an SDK client with this key, by default the master key.

        `alone`: each request has its own connection, so that both processes get some.
        """
        base = f"{self.gateway.url}/v1"
        close = {"connection": "close"} if alone else {}
        key = key or self.gateway.key
        return openai.OpenAI(base_url=base, api_key=key, max_retries=0, default_headers=close)

    def new_key(self, **more: Any) -> str:
        """Create a key and return its secret."""
        return self.gateway.new_key(**more)

    def run(self, code: str) -> str:
        """Run Python code in the gateway's shell and return its output."""
        environment = {
            **self.gateway.environment(),
            "DRAGOMAN_DATA_DIR": str(self.gateway.data_dir),
        }
        done = subprocess.run(
            [
                sys.executable,
                "manage.py",
                "shell",
                "--no-imports",
                "-c",
                f"from gateway import store; {code}",
            ],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()


@contextmanager
def response_nodes(
    directory: Path, server: Callable[..., Gateway] = Gateway
) -> Iterator[ResponseNodes]:
    """Start everything and stop it at the end. `served`: the server, with its most processes."""
    with ExitStack() as stack:
        stateful = stack.enter_context(StatefulOpenAI())
        anthropic = stack.enter_context(StrictAnthropic())
        deepseek = stack.enter_context(StrictDeepSeek())
        rows = strict_config(stateful, anthropic, deepseek)
        # One name for several providers: where a conversation goes on matters here.
        for public, model, base, key in (
            ("mixed", f"anthropic/{MESSAGES}", anthropic.url, anthropic.key),
            ("mixed", f"openai/{OWN}", f"{stateful.url}/v1", stateful.key),
        ):
            params = {"model": model, "api_base": base, "api_key": key}
            rows.append({"model_name": public, "litellm_params": params})
        gateway = server(directory, litellm_config(rows), workers=2).start()
        stack.callback(gateway.kill)
        yield ResponseNodes(gateway, stateful, deepseek, anthropic)
        gateway.stop()
