"""Guides of the Connect page, and the files of `connect`: `uv run pytest -m frameworks`.

Each guide is followed unchanged, and each client whose files `connect` writes is started.

The guides of SDKs that the development environment has are run by
tests/e2e/test_documentation.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from console.client_files.clients import CLIENTS as client_files
from console.pages.connect.clients import Panel, panels
from tests.clients.environments import ROOT, Unavailable, node_modules, python_with
from tests.clients.javascript_table import VERCEL
from tests.clients.table import CLIENTS
from tests.e2e.test_documentation import LIGHT_GUIDES
from tests.e2e.test_up import UpProcess, running_up

pytestmark = [pytest.mark.e2e, pytest.mark.frameworks, pytest.mark.timeout(1500)]
PROMPT = "Say hello."


@dataclass(frozen=True)
class Guide:
    """How a guide is followed without a terminal.

    Attributes:
        packages, modules: the packages from PyPI and npm that its `install` line installs.
        file: the path of its file below the home directory; empty for a program or a script.
        command: the command that starts the client with PROMPT, if the guide is a file.
        functions: shell functions that pass PROMPT to the programs of a script.
    """

    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    file: str = ""
    command: str = ""
    functions: str = ""


OPENAI_JS = ("openai@^7",)
LANGCHAIN_JS = ("@langchain/openai@^1.5.8", "@langchain/core@^1.4.0")
AIDER = '--message "$PROMPT" --no-git --yes-always --no-analytics --no-check-update --no-pretty'
GEMINI_SETTINGS = '{"security": {"auth": {"selectedType": "gemini-api-key"}}}'
# npm's installation script, which does not run here, puts the program in place of this one.
CLAUDE_CODE = 'claude() { node "$MODULES/@anthropic-ai/claude-code/cli-wrapper.cjs" -p "$PROMPT"; }'
GUIDES = {
    "claude-code": Guide(modules=("@anthropic-ai/claude-code@^2.1.197",), functions=CLAUDE_CODE),
    "langchain": Guide(packages=("langchain-openai>=1.7,<2",)),
    "llamaindex": Guide(packages=("llama-index-llms-openai-like>=0.8,<0.9",)),
    "openai-agents": Guide(packages=("openai-agents>=0.24,<0.25",)),
    "claude-agent-sdk": Guide(packages=CLIENTS["claude-code"].packages),
    "pydantic-ai": Guide(packages=("pydantic-ai-slim[openai]>=2.68,<3",)),
    "vercel-ai": Guide(modules=VERCEL),
    "openai-js": Guide(modules=OPENAI_JS),
    "openai-responses-js": Guide(modules=OPENAI_JS),
    "langchain-js": Guide(modules=LANGCHAIN_JS),
    "aider": Guide(
        packages=("aider-chat>=0.86,<0.87",),
        functions=f'aider() {{ command aider "$@" {AIDER}; }}',
    ),
    "codex": Guide(
        modules=CLIENTS["codex"].modules,
        functions='codex() { command codex exec --skip-git-repo-check "$@" "$PROMPT"; }',
    ),
    "cline": Guide(
        modules=("cline@^3.0.65",),
        functions='cline() { [ $# -gt 0 ] || set -- --json "$PROMPT"; command cline "$@"; }',
    ),
    "gemini-cli": Guide(
        modules=("@google/gemini-cli@^0.61",),
        functions=f"mkdir -p ~/.gemini; echo '{GEMINI_SETTINGS}' > ~/.gemini/settings.json\n"
        'gemini() { command gemini --skip-trust "$@" -p "$PROMPT"; }',
    ),
    "continue": Guide(
        modules=("@continuedev/cli@^1.5.47",),
        file=".continue/config.yaml",
        command='cn --config ~/.continue/config.yaml -p "$PROMPT"',
    ),
    "opencode": Guide(
        modules=("opencode-ai@^1.18.33",),
        file=".config/opencode/opencode.json",
        # npm's installation script, which does not run here, puts this in place of a stub.
        command='"$MODULES"/opencode-linux-*64/bin/opencode run "$PROMPT"',
    ),
}
# Guides that no test follows, and why.
NOT_RUN = {
    "cursor": "an editor whose own servers call the gateway: it must be reachable from the internet",
    "zed": "an editor without a mode for scripts",
    "open-webui": "an image, or 2 GB of packages and half a minute to start",
    "n8n": "its credentials and nodes are set on a web page",
    "postman": "a program with windows; tests/clients/test_newman.py runs the collection without",
    "embeddings": "the demo provider has none; the client `openai-embeddings` is its test",
    "curl": "in tests/e2e/test_documentation.py",
}
# What starts a client that `connect` has configured.
CONNECTED = {
    "claude-code": (GUIDES["claude-code"], "claude"),
    "codex": (GUIDES["codex"], "codex"),
    "gemini-cli": (GUIDES["gemini-cli"], 'gemini --skip-trust -p "$PROMPT"'),
    "opencode": (GUIDES["opencode"], GUIDES["opencode"].command),
    "aider": (GUIDES["aider"], "aider"),
    "continue": (GUIDES["continue"], GUIDES["continue"].command),
    "llm": (Guide(packages=("llm>=0.28,<1",)), 'llm -m dragoman/demo "$PROMPT"'),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    data_dir = tmp_path_factory.mktemp("guides") / "data"
    with running_up(data_dir, DRAGOMAN_FIND_LOCAL_SERVERS="false") as running:
        yield running
        assert running.end() == 0


def panel_of(gateway: UpProcess, client: str) -> Panel:
    """Return the guide of a client for this gateway."""
    (result,) = [panel for panel in panels(gateway.base, "demo") if panel.id == client]
    return result


def install(guide: Guide) -> dict[str, str]:
    """Return the environment with its programs. Skip the test if they cannot be installed."""
    try:
        modules = node_modules(guide.modules) / "node_modules" if guide.modules else None
        python = python_with(guide.packages) if guide.packages else None
    except Unavailable as error:
        pytest.skip(str(error))
    folders = [str(modules / ".bin")] if modules else []
    folders += [str(python.parent)] if python else []
    return {"PATH": ":".join([*folders, os.environ["PATH"]]), "MODULES": str(modules)}


def script_of(guide: Guide, panel: Panel, home: Path, environment: dict[str, str]) -> str:
    """Write the files of a guide and return the shell script that follows it."""
    if guide.file:
        path = home / guide.file
        path.parent.mkdir(parents=True)
        path.write_text(panel.text.replace("$DRAGOMAN_API_KEY", environment["DRAGOMAN_API_KEY"]))
        return guide.command
    if panel.language == "python":
        (home / "program.py").write_text(panel.text)
        return "python program.py"
    if panel.language == "javascript":
        (home / "program.mjs").write_text(panel.text)
        (home / "node_modules").symlink_to(environment["MODULES"])
        return "node program.mjs"
    return f"{guide.functions}\n{panel.text}"


@pytest.mark.parametrize("client", GUIDES)
def test_a_guide_leads_to_a_response(gateway: UpProcess, client: str, tmp_path: Path) -> None:
    guide, panel = GUIDES[client], panel_of(gateway, client)
    environment = {
        **install(guide),
        "HOME": str(tmp_path),
        "PROMPT": PROMPT,
        "DRAGOMAN_API_KEY": str(gateway.key),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    assert_response(script_of(guide, panel, tmp_path, environment), tmp_path, environment)


@pytest.mark.parametrize("client", CONNECTED)
def test_the_files_of_connect_lead_to_a_response(
    gateway: UpProcess, client: str, tmp_path: Path
) -> None:
    guide, command = CONNECTED[client]
    environment = {
        **install(guide),
        "HOME": str(tmp_path),
        "PROMPT": PROMPT,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    options = f"--base-url {gateway.base} --key {gateway.key} --model demo --write --yes"
    connect = f"{sys.executable} {ROOT / 'manage.py'} connect {client} {options} > connect.txt"
    functions = "" if client == "gemini-cli" else guide.functions
    # The variables that it prints are for the reader's shell.
    script = f"{connect}\neval $(grep ^export connect.txt)\n{functions}\n{command}"
    assert_response(script, tmp_path, environment)


def assert_response(script: str, home: Path, environment: dict[str, str]) -> None:
    """Run a script and assert that it prints the demo model's response."""
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a scripted model inside Dragoman" in " ".join(done.stdout.split())


def test_every_client_of_connect_is_started() -> None:
    """Open WebUI has no file and is too large to install."""
    assert CONNECTED.keys() == client_files.keys() - {"open-webui"}


def test_every_guide_is_followed_or_has_a_reason() -> None:
    names = [*GUIDES, *NOT_RUN, *LIGHT_GUIDES]
    assert sorted(names) == sorted(panel.id for panel in panels("http://h:1", "demo"))
