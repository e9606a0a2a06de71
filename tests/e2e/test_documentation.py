"""The code blocks of README, docs/ and examples/ work as described.

Shell blocks run in bash, page by page and in order, with a live gateway on the demo provider;
data is parsed, and configuration is read by its loader. Only the texts of `substitutions` differ
from the page.
"""

from __future__ import annotations

import ast
import dataclasses
import datetime as dt
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from django.urls import reverse

from console.pages.api_reference.operations import operations
from console.pages.connect.clients import panels
from gateway import store
from gateway.alerts.delivery import _notification_payload, sample_notification
from gateway.compat.litellm.config import read
from gateway.log_export.destination import Destination
from gateway.log_export.exporter import export_complete_rows
from gateway.management.configuration_file import apply_file
from gateway.models import RequestLog
from tests.documentation_blocks import Block, blocks, pages
from tests.e2e.stack import empty_database
from tests.e2e.test_up import UpProcess, running_up
from tests.litellm.proxy_database import SALT_KEY, new_database
from tests.one_api.test_import import NEW
from tests.ports import free_port
from tests.store.factories import make_record, model, provider
from tests.waits import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
BLOCKS = list(blocks())

# Pages whose blocks another test runs, and compares with what the page says.
OTHER_TESTS = {
    "docs/api.md": "tests/api/test_docs.py",
    "docs/quick-start.md": "tests/e2e/test_quick_start.py",
    "docs/errors.md": "tests/test_error_codes.py",
}
# Single blocks of other pages that another test runs, by page and first words.
_DEPLOYMENT = "tests/e2e/test_deployment_blocks.py"
RUN_ELSEWHERE = {
    ("docs/deployment.md", "docker build"): _DEPLOYMENT,
    ("docs/deployment.md", "cp deploy/stack.env.example"): _DEPLOYMENT,
    ("docs/deployment.md", "helm install"): _DEPLOYMENT,
    ("docs/deployment.md", "kubectl create secret"): _DEPLOYMENT,
    ("docs/deployment.md", "python3 -m venv /opt"): _DEPLOYMENT,
    ("docs/deployment.md", "systemd-run"): _DEPLOYMENT,
}
# Blocks without a language: they are no code.
TEXTS = {
    ("README.md", "gateway/canon/"): "a picture of the folders, which tests/test_docs.py checks",
    (
        "docs/security.md",
        "x-dragoman-key",
    ): "headers, which tests/relay/test_client_credential.py sends",
    (
        "docs/upgrading.md",
        "this program is Dragoman",
    ): "a message, which tests/test_troubleshooting.py finds in the code",
}

# What a framework's exporter does with the variables.
SEND_SPAN = """from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

provider, memory = TracerProvider(), InMemorySpanExporter()
provider.add_span_processor(SimpleSpanProcessor(memory))
provider.get_tracer("docs").start_span("step").end()
result = OTLPSpanExporter().export(memory.get_finished_spans())
assert result.name == "SUCCESS", result
"""
_PRELUDE = """set -euo pipefail
curl() { command curl --silent --show-error --fail-with-body "$@"; echo; }
pip() { [ "$1" = install ]; }
uv() {
  case "$1 $2" in
    "run manage.py") dragoman "${@:3}" ;;
    "run pytest") run_a_test ;;
    *) return 1 ;;
  esac
}
dragoman() {
  case "$1" in
    up) start_and_stop "${@:2}" ;;
    *) "$PYTHON" "$ROOT/manage.py" "$@" ;;
  esac
}
run_a_test() {  # for all of them
  ([ -d tests ] || cd "$ROOT"; "$PYTHON" -m pytest -q -n 0 -p no:cacheprovider tests/test_each.py)
}
start_and_stop() {  # `up` on a data directory of its own, until it is ready
  local data output pid
  data=$(mktemp -d) output=$(mktemp)
  chmod 700 "$data" && cp "$EMPTY_DATABASE" "$data"
  DRAGOMAN_DATA_DIR="$data" "$PYTHON" "$ROOT/manage.py" up --port "$FREE_PORT" "$@" > "$output" 2>&1 &
  pid=$!
  for _ in $(seq 300); do
    if grep -q "Dragoman is running" "$output" || ! kill -0 "$pid" 2> /dev/null; then break; fi
    sleep 0.1
  done
  kill -TERM "$pid" || { cat "$output"; return 1; }
  wait "$pid" || { cat "$output"; return 1; }
}
"""


def is_settings(block: Block) -> bool:
    """Return whether a block has environment variables only."""
    lines = [line for line in block.code.splitlines() if not line.startswith("pip install")]
    return all(re.match(r"[A-Z_]+=\S*(?:\s+#.*)?$|[A-Z_]+='[^']*'$", line) for line in lines)


def row_of(table: dict[tuple[str, str], str], block: Block) -> str:
    """Return a table's row for a block; empty if there is none."""
    for (page, start), reason in table.items():
        if block.page == page and block.code.startswith(start):
            return reason
    return ""


def blocks_in(*languages: str) -> list[Block]:
    """Return the blocks in these languages that are run or parsed here."""
    return [
        block
        for block in BLOCKS
        if block.language in languages
        and block.page not in OTHER_TESTS
        and not row_of(RUN_ELSEWHERE, block)
    ]


SHELL = [block for block in blocks_in("sh", "bash") if not is_settings(block)]
SETTINGS = [block for block in blocks_in("sh") if is_settings(block)]


@dataclasses.dataclass
class DocumentationShell:
    """A live gateway and a folder to run commands in."""

    gateway: UpProcess
    folder: Path
    data_dir: Path
    litellm_url: str

    @property
    def admin(self) -> dict[str, str]:
        """Return the header with the admin key."""
        return {"authorization": f"Bearer {(self.data_dir / 'admin_key').read_text()}"}

    def set_up(self) -> None:
        """Create the resources that the pages assume."""

        def post(path: str, **body: Any) -> None:
            url = f"{self.gateway.base}/api/{path}"
            reply = httpx.post(url, json=body, headers=self.admin, timeout=30)
            assert reply.status_code in {200, 201}, reply.text

        targets = [{"model": "demo/demo"}]
        for name in ("chat", "openai/gpt-5-mini", "claude-sonnet"):
            post("routes", name=name, steps=[{"targets": targets}])
        post("providers", name="openai", preset="openai", credential="sk-none")
        post("models", name="openai/gpt-5.4")
        # Any address that answers a POST.
        hook = f"{self.gateway.base}/v1/traces?key={self.gateway.key}"
        code = "from gateway.models import AlertChannel as A; row = A(name='pager', kind='webhook')"
        self.run(f"dragoman shell -v 0 -c \"{code}; row.destination = '{hook}'; row.save()\"")

    def file(self, name: str, text: str) -> str:
        """Write a file into the folder and return its name."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def environment(self) -> dict[str, str]:
        """Return the environment of the commands: addresses and keys of this gateway."""
        admin = self.admin["authorization"].removeprefix("Bearer ")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            # The checkout may belong to someone else.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "TMPDIR": str(self.folder),
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
            "CLAUDE": "env",
            "ROOT": str(ROOT),
            "FREE_PORT": str(free_port()),
            "EMPTY_DATABASE": str(empty_database()),
            "DRAGOMAN_DATA_DIR": str(self.data_dir),
            "DRAGOMAN_FIND_LOCAL_SERVERS": "false",
            "DRAGOMAN_BASE_URL": self.gateway.base,
            "DRAGOMAN_API_KEY": str(self.gateway.key),
            "ADMIN_KEY": admin,
        }

    def run(self, code: str, **variables: str) -> str:
        """Run a script and return its output; asserts that it succeeds."""
        done = subprocess.run(
            ["bash", "-c", _PRELUDE + code],
            cwd=self.folder,
            env={**self.environment(), **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{code}\n--- prints\n{done.stdout}{done.stderr}"
        return done.stdout

    def substitutions(self) -> dict[str, str]:
        """Return the placeholders of the pages and this gateway's values for them."""
        return {
            "http://localhost:4000": self.gateway.base,
            "localhost:4000": self.gateway.base,
            "DRAGOMAN_API_KEY=sk-dgm-...": f"DRAGOMAN_API_KEY={self.gateway.key}",
            "DRAGOMAN_API_KEY=sk-...": f"DRAGOMAN_API_KEY={self.gateway.key}",
            "--key sk-...": f"--key {self.gateway.key}",
            "--write": "--write --yes",
            "--undo": "--undo --yes",
            "LITELLM_SALT_KEY=...": f"LITELLM_SALT_KEY={SALT_KEY}",
            "postgresql://user:password@host:5432/litellm": self.litellm_url,
            "/data/one-api.db": "one-api.db",
            "/new/directory": "new-directory",
            "clone REPOSITORY": f"clone {ROOT}",
            "var/admin_key": str(self.data_dir / "admin_key"),
            "--models a,b": "--models demo,demo/demo-fast",
            # Models that need keys of their providers, and knowledge that the demo lacks.
            "deepseek/deepseek-chat": "demo/demo",
            "anthropic/claude-sonnet-4-5": "demo/demo",
            "openai/gpt-4.1": "demo/demo-fast",
            "ollama/qwen3": "demo/demo",
            "capital of {{country}}?": "capital of {{country}}? {{capital}}",
            "threshold: 3000": "threshold: 60000",
        }

    def substituted(self, code: str) -> str:
        """Return a block with the placeholders replaced."""
        for text, replacement in self.substitutions().items():
            code = code.replace(text, replacement)
        return code


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentationShell]:
    folder = tmp_path_factory.mktemp("documentation")
    work, data_dir = folder / "work", folder / "data"
    work.mkdir()
    for name in ("examples", "deploy"):
        (work / name).symlink_to(ROOT / name)
    with ExitStack() as stack:
        litellm_url, _ = stack.enter_context(new_database())
        gateway = stack.enter_context(running_up(data_dir, DRAGOMAN_FIND_LOCAL_SERVERS="false"))
        test_place = DocumentationShell(gateway, work, data_dir, litellm_url)
        test_place.set_up()
        yield test_place
        assert gateway.end() == 0


def prepare_examples(shell: DocumentationShell) -> dict[str, str]:
    """Create the files and resources that blocks mention."""
    yaml_block = next(b for b in BLOCKS if b.page == "docs/evaluate.md" and b.language == "yaml")
    shell.file("capitals.yaml", shell.substituted(yaml_block.code))
    shell.file("cases.csv", "text,__expected\nGood morning,icontains: good morning\n")
    shutil.copy(
        ROOT / "examples/litellm-files/several-providers.yaml", shell.folder / "litellm_config.yaml"
    )
    if not (shell.folder / "one-api.db").exists():
        with closing(sqlite3.connect(shell.folder / "one-api.db")) as database:
            for statements in NEW:
                database.executescript(statements)
    request_id = shell.gateway.chat(shell.gateway.key).headers["x-request-id"]
    row = f"{shell.gateway.base}/api/requests/{request_id}"
    wait_until(lambda: httpx.get(row, headers=shell.admin, timeout=30).status_code == 200)
    return {"REQUEST_ID": request_id, **send_trace(shell)}


def send_trace(shell: DocumentationShell) -> dict[str, str]:
    """Send a trace with one span and return the variables that identify them."""
    now = dt.datetime.now(dt.UTC).isoformat()
    trace = {"object": "trace", "id": "trace_docs", "workflow_name": "Docs", "group_id": "g"}
    span = {"object": "trace.span", "id": "span_docs", "trace_id": "trace_docs", "error": None}
    span |= {"started_at": now, "ended_at": now, "span_data": {"type": "function", "name": "tool"}}
    key = {"authorization": f"Bearer {shell.gateway.key}"}
    url = f"{shell.gateway.base}/v1/traces/ingest"
    reply = httpx.post(url, json={"data": [trace, span]}, headers=key, timeout=30)
    assert reply.status_code == 204, reply.text
    url = f"{shell.gateway.base}/api/traces/trace_docs"
    (line,) = httpx.get(url, headers=shell.admin, timeout=30).json()["lines"]
    return {"TRACE_ID": "trace_docs", "SPAN": str(line["id"])}


@pytest.mark.parametrize("page", list(dict.fromkeys(block.page for block in SHELL)))
def test_the_commands_of_a_page_succeed(shell: DocumentationShell, page: str) -> None:
    variables = prepare_examples(shell)
    codes = [shell.substituted(block.code) for block in SHELL if block.page == page]
    shell.run("\n".join(codes), **variables)


@pytest.mark.parametrize("block", SETTINGS, ids=lambda block: f"{block.page}: {block.first_line}")
def test_settings_of_a_page_are_valid(shell: DocumentationShell, block: Block) -> None:
    """The gateway parses them; those of OpenTelemetry are a client's, whose span is accepted."""
    command = '"$PYTHON" -c "import gateway.config.settings"'
    if "OTEL_EXPORTER" in block.code:
        command = f'"$PYTHON" "{shell.file("send_span.py", SEND_SPAN)}"'
    code = block.code.replace("<gateway key>", str(shell.gateway.key))
    shell.run(f"set -a\n{shell.substituted(code)}\n{command}")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "block", blocks_in("yaml"), ids=lambda block: f"{block.page}: {block.first_line}"
)
def test_configuration_is_accepted(tmp_path: Path, block: Block) -> None:
    parsed, path = yaml.safe_load(block.code), tmp_path / "file.yaml"
    if {"models", "prompt", "cases"} <= parsed.keys():
        return  # an evaluation, which `dragoman eval` runs above
    if "image" in parsed:
        chart = (ROOT / "deploy/helm/dragoman/values.yaml").read_text(encoding="utf-8")
        assert parsed.keys() <= yaml.safe_load(chart).keys()
        path.write_text(parsed["config"], encoding="utf-8")
        read_config = read(path, {"OPENAI_API_KEY": "sk-none"})
        assert read_config.routes
        assert not read_config.remarks
        return
    openai = provider()
    model("gpt-4.1", openai)
    model("claude-sonnet-4-5", provider("anthropic", "anthropic"))
    model("qwen3", provider("local", "ollama", base_url="http://127.0.0.1:11434"))
    path.write_text(block.code, encoding="utf-8")
    outcome = apply_file(path, take=True)
    assert outcome.lines
    assert not apply_file(path).lines


@pytest.mark.parametrize(
    "block", blocks_in("json"), ids=lambda block: f"{block.page}: {block.first_line}"
)
def test_an_alert_sends_json(block: Block) -> None:
    assert json.loads(block.code).keys() == _notification_payload(sample_notification()).keys()


@pytest.mark.parametrize("block", blocks_in("http"), ids=lambda block: block.first_line)
def test_requests_are_answered(shell: DocumentationShell, block: Block) -> None:
    line, _, body = block.code.partition("\n")
    method, path = line.split()
    url = f"{shell.gateway.base}{path}"
    reply = httpx.request(method, url, json=json.loads(body), headers=shell.admin, timeout=30)
    assert reply.status_code == 200, reply.text


@pytest.mark.django_db
@pytest.mark.parametrize("cost", [None, Decimal("0.25")], ids=["unknown", "known"])
def test_duckdb_reads_the_exported_log(tmp_path: Path, cost: Decimal | None) -> None:
    duckdb = pytest.importorskip("duckdb", reason="uv sync --group docs")
    (block,) = [block for block in BLOCKS if block.language == "sql"]
    store.write([make_record("req_1", cost_usd=cost), make_record("req_2", cost_usd=cost)])
    assert export_complete_rows(Destination(tmp_path.as_uri()), bodies=False) == 2
    (row,) = duckdb.sql(block.code.replace("/var/log/dragoman", str(tmp_path))).fetchall()
    route = RequestLog.objects.values_list("route", flat=True)[0]
    assert row == (route, None if cost is None else 2 * float(cost))


def test_python_blocks_are_python() -> None:
    """Those of the quick start and of the traces run in their own environments."""
    run = {
        "docs/quick-start.md": "tests/e2e/test_quick_start.py",
        "docs/traces.md": "tests/clients/test_agent_traces.py",
    }
    for block in BLOCKS:
        if block.language == "python":
            ast.parse(block.code)
            assert Path(block.page).name in (ROOT / run[block.page]).read_text(encoding="utf-8")


def test_every_block_is_run_or_has_a_reason() -> None:
    languages = {"sh", "bash", "python", "yaml", "json", "toml", "http", "sql", "mermaid"}
    assert [b for b in BLOCKS if b.language not in languages and not row_of(TEXTS, b)] == []
    for table in (RUN_ELSEWHERE, TEXTS):
        for page, start in table:
            count = sum(b.page == page and b.code.startswith(start) for b in BLOCKS)
            assert count == 1, f"{page}: {count} blocks begin with {start!r}"
    for (_, start), test in RUN_ELSEWHERE.items():
        assert f'block("{start}' in (ROOT / test).read_text(encoding="utf-8"), start
    for page, test in OTHER_TESTS.items():
        assert any(block.page == page for block in BLOCKS)
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")


def test_extras_that_are_to_be_installed_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {
        extra
        for path in pages()
        for names in re.findall(r"dragoman\[([a-z,]+)\]", path.read_text(encoding="utf-8"))
        for extra in names.split(",")
    }
    assert {"sso", "otel", "postgres"} <= named <= set(project["optional-dependencies"])


# Guides of clients whose packages the development environment has.
LIGHT_GUIDES = (
    *("openai-python", "openai-responses", "anthropic-python", "google-genai"),
    *("ollama-python", "boto3", "cohere"),
)
# One process for all, as importing an SDK costs more than its call.
RUN_ALL = """import contextlib, io, json, sys

for name, text in json.load(sys.stdin).items():
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(text, name, "exec"), {})
    print(json.dumps([name, output.getvalue()]))
"""


def test_guides_of_sdks_print_a_response(shell: DocumentationShell) -> None:
    guides = {
        panel.id: panel.text
        for panel in panels(shell.gateway.base, "demo")
        if panel.id in LIGHT_GUIDES
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN_ALL],
        input=json.dumps(guides),
        env=shell.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = dict(map(json.loads, done.stdout.splitlines()))
    assert printed.keys() == set(LIGHT_GUIDES)
    assert [name for name, text in printed.items() if "Say hello." not in text] == []


def test_the_guide_of_curl_gets_a_response(shell: DocumentationShell) -> None:
    (panel,) = [guide for guide in panels(shell.gateway.base, "demo") if guide.id == "curl"]
    assert "Say hello." in shell.run(panel.text)


# What the reference of the API and docs/generated_pages.py show; the demo provider has no embeddings.
REFERENCE = (
    *("/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/messages"),
    *("/v1/messages/count_tokens", "/v1beta/models/{id}:generateContent", "/model/{id}/converse"),
    *("/v2/chat", "/api/chat"),
)


@pytest.mark.parametrize("path", REFERENCE)
def test_commands_of_the_api_reference_get_responses_like_their_example(
    shell: DocumentationShell, path: str
) -> None:
    reverse("docs")  # loads the URLs, which complete the document
    (operation,) = [item for item in operations().values() if item.path == path]
    (response,) = [item for item in operation.responses if item.status == "200"]
    reply = shell.run(operation.curl, ID="demo")
    # Ollama's default is a stream, whose last line has all fields.
    actual = json.loads(reply.strip().splitlines()[-1])
    assert json.loads(response.example).keys() <= actual.keys()
