"""Runs a client's script against its upstreams and reads its results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.clients.client import Client
from tests.clients.environments import node_modules, python_with
from tests.clients.table import CLIENTS
from tests.clients.upstreams import UPSTREAMS, GatewayStack
from tests.clients.websocket_proxy import websocket_proxy

SCRIPTS = Path(__file__).resolve().parent / "scripts"
# Claude Code starts five times for each of the eight upstreams.
RUN_S = 900.0


@dataclass
class ClientOutput:
    """The results of a client's scenarios.

    `results_by_route[model][scenario]` is `{"saw": ...}` or `{"failed": ...}`;
    `memory_by_upstream[upstream]` is whether the upstream received the reasoning of both turns.
    """

    results_by_route: dict[str, dict[str, dict[str, Any]]]
    output: str
    memory_by_upstream: dict[str, bool] = field(default_factory=dict)


def run(client: Client, stack: GatewayStack, home: Path) -> ClientOutput:
    """Run a client's script on all its upstreams, with `home` as its home directory.

    Raises:
        Unavailable: its packages cannot be installed.
        AssertionError: it ended without results; contains its output.
    """
    stack.teach(client.shell)
    scenarios = {route_of(client, name): scenarios_of(client, name) for name in client.upstreams}
    proxied = websocket_proxy(stack.gateway.url) if client.socket else nullcontext(stack.gateway)
    with proxied as server:
        results = run_client(client, server.url, stack.gateway.key, home, scenarios)
    tool = client.shell[0] if client.shell else "get_weather"
    for name in client.upstreams:
        if UPSTREAMS[name].state is not None and "thinking" in scenarios_of(client, name):
            results.memory_by_upstream[name] = all(
                stack.reasoning_was_returned(name, number, tool) for number in (0, 1)
            )
        scenario_results = results.results_by_route[route_of(client, name)]
        if "structured" in scenario_results and not stack.schema_was_sent(name):
            scenario_results["structured"] = {"failed": "the provider did not get the schema"}
    return results


def run_client(
    client: Client, base: str, key: str, home: Path, scenarios: Mapping[str, tuple[str, ...]]
) -> ClientOutput:
    """Run a client's script with a base URL and the scenarios of each route. Raises as `run`."""
    modules = node_modules(client.modules) if client.modules else None
    run_config = {
        "base": base,
        "key": key,
        "variant": client.variant,
        "modules": str(modules),
        "scenarios": scenarios,
    }
    done = subprocess.run(
        [*_command(client, modules), json.dumps(run_config)],
        cwd=home,
        env=_environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    output = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, output
    return ClientOutput(json.loads(done.stdout.strip().splitlines()[-1]), output)


def client_result(output: ClientOutput, name: str, upstream: str, scenario: str) -> dict[str, Any]:
    """Return the result of one scenario on one upstream."""
    if scenario == "memory":
        return {"saw": output.memory_by_upstream[upstream]}
    return output.results_by_route[route_of(CLIENTS[name], upstream)][scenario]


def route_of(client: Client, upstream: str) -> str:
    """Return the name of the route that a client requests for an upstream."""
    return client.names.get(upstream) or UPSTREAMS[upstream].model


def scenarios_of(client: Client, upstream: str) -> tuple[str, ...]:
    """Return the scenarios of an upstream, without reasoning if it refuses reasoning."""
    is_openai = client.dialect.startswith("openai")
    without = "thinking" if is_openai and not UPSTREAMS[upstream].thinks else ""
    return tuple(name for name in client.scenarios if name != without)


def _command(client: Client, modules: Path | None) -> list[str]:
    """Return the command that runs the script, after installing its packages."""
    script = SCRIPTS / client.script
    if script.suffix == ".mjs":
        assert modules is not None
        return ["node", str(_copy_to_modules(modules, script))]
    python = python_with(client.packages) if client.packages else Path(sys.executable)
    return [str(python), str(script)]


def _copy_to_modules(modules: Path, script: Path) -> Path:
    """Copy the script to where Node finds its modules; return its path."""
    for source in SCRIPTS.glob("*.mjs"):
        copy = modules / f"{source.stem}-{os.getpid()}.tmp"
        shutil.copy(source, copy)
        copy.rename(modules / source.name)
    return modules / script.name


def _environment(home: Path) -> dict[str, str]:
    """Return an environment without the variables of the test run."""
    environs_by_name = {
        name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ
    }
    return {**environs_by_name, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
