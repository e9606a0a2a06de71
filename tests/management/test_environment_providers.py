"""The providers that a first start finds on a machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from gateway.config.environment import load_env_file
from gateway.management.start import environment_providers
from gateway.management.start.environment_providers import EnvironmentProvider, find_providers
from gateway.management.start.local_servers import SERVERS, LocalServerModels, find_local_servers
from gateway.providers import cloud_credentials
from gateway.providers.catalog import PRESETS
from tests.each import each

AZURE = "https://res.openai.azure.com"
BEDROCK = "https://bedrock-runtime.{}.amazonaws.com"
KEY = "sk-a-key"


def found_providers(
    environ: dict[str, str], home: Path = Path("/nonexistent")
) -> dict[str, EnvironmentProvider]:
    return {p.name: p for p in find_providers(environ, home, own_port=4000).providers}


def notes(environ: dict[str, str]) -> str:
    return "\n".join(find_providers(environ, Path("/nonexistent"), own_port=4000).notes)


@each(
    ("environ", "expected"),
    [
        ({}, {}),
        ({"OPENAI_API_KEY": " "}, {}),
        ({"OPENAI_API_KEY": KEY}, {"openai": ""}),
        ({"OPENAI_API_KEY_FILE": "/run/key"}, {"openai": ""}),
        (
            {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "https://eu.test/v1/"},
            {"openai": "https://eu.test/v1"},
        ),
        (
            {"OPENAI_API_KEY": KEY, "OPENAI_API_BASE": "https://eu.test/v1/chat/completions"},
            {"openai": "https://eu.test/v1"},
        ),
        ({"ANTHROPIC_API_KEY": KEY}, {"anthropic": ""}),
        (
            {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "https://proxy.test/"},
            {"anthropic": "https://proxy.test"},
        ),
        ({"GEMINI_API_KEY": KEY}, {"gemini": "", "gemini-openai": ""}),
        (
            {"GOOGLE_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": "https://g.test"},
            {"gemini": "https://g.test", "gemini-openai": "https://g.test/v1beta/openai"},
        ),
        ({"AZURE_API_KEY": KEY}, {}),
        ({"AZURE_API_BASE": AZURE}, {}),
        ({"AZURE_API_KEY": KEY, "AZURE_API_BASE": f"{AZURE}/"}, {"azure_openai": AZURE}),
        (
            {"AZURE_OPENAI_API_KEY": KEY, "AZURE_OPENAI_ENDPOINT": f"{AZURE}/"},
            {"azure_openai": AZURE},
        ),
        (
            {"AZURE_API_KEY": KEY, "AZURE_API_BASE": f"{AZURE}/openai/v1/"},
            {"azure_openai": f"{AZURE}/openai/v1"},
        ),
        ({"MINIMAX_API_KEY": KEY}, {"minimax": ""}),
        ({"DEEPSEEK_API_KEY": KEY}, {"deepseek": ""}),
        ({"AWS_BEARER_TOKEN_BEDROCK": KEY}, {"bedrock": ""}),
        (
            {"AWS_BEARER_TOKEN_BEDROCK": KEY, "AWS_REGION": "eu-west-1"},
            {"bedrock": BEDROCK.format("eu-west-1")},
        ),
        ({"AWS_ACCESS_KEY_ID": "AKIA"}, {}),
        (
            {
                "AWS_ACCESS_KEY_ID": "AKIA",
                "AWS_SECRET_ACCESS_KEY": KEY,
                "AWS_DEFAULT_REGION": "eu-west-2",
            },
            {"bedrock": BEDROCK.format("eu-west-2")},
        ),
        (
            {"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"},
            {"bedrock": ""},
        ),
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x"}, {"bedrock": ""}),
        (
            {"VERTEX_ACCESS_TOKEN": KEY, "VERTEXAI_PROJECT": "p", "VERTEXAI_LOCATION": "eu-west1"},
            {
                "vertex": "https://eu-west1-aiplatform.googleapis.com/v1beta1/projects/p"
                "/locations/eu-west1"
            },
        ),
        ({"OLLAMA_HOST": "gpu"}, {"ollama": "http://gpu:11434"}),
        ({"OLLAMA_HOST": "0.0.0.0:11434"}, {"ollama": ""}),
        ({"OLLAMA_API_BASE": "http://gpu:11434"}, {"ollama": "http://gpu:11434"}),
        ({"HOSTED_VLLM_API_BASE": "http://gpu:8000"}, {"vllm": "http://gpu:8000/v1"}),
        ({"LM_STUDIO_API_BASE": "http://gpu:1234/v1"}, {"lmstudio": "http://gpu:1234/v1"}),
        (
            {"CLOUDFLARE_API_KEY": KEY, "CLOUDFLARE_ACCOUNT_ID": "acct"},
            {"cloudflare": "https://api.cloudflare.com/client/v4/accounts/acct/ai/v1"},
        ),
        (
            {"DATABRICKS_API_KEY": KEY, "DATABRICKS_API_BASE": "https://w.test/serving-endpoints"},
            {"databricks": "https://w.test/serving-endpoints"},
        ),
        (
            {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY, "GROQ_API_KEY": KEY},
            {"openai": "", "anthropic": "", "groq": ""},
        ),
    ],
)
def test_each_environment_has_its_providers(
    environ: dict[str, str], expected: dict[str, str]
) -> None:
    assert {name: p.base_url for name, p in found_providers(environ).items()} == expected


def test_each_key_variable_of_the_catalog_adds_exactly_its_provider() -> None:
    """Each variable alone adds one provider (Gemini: two), or the note names what is missing."""
    for variable in sorted({name for preset in PRESETS.values() for name in preset.env}):
        findings = find_providers({variable: KEY}, Path("/nonexistent"), own_port=4000)
        count = len(findings.providers) + len(findings.notes)
        assert count == (2 if variable in {"GEMINI_API_KEY", "GOOGLE_API_KEY"} else 1), variable


def test_a_base_url_chooses_the_api_behind_it() -> None:
    azure = found_providers({"AZURE_API_KEY": KEY, "AZURE_API_BASE": f"{AZURE}/openai/v1"})[
        "azure_openai"
    ]
    assert (azure.preset, azure.query) == ("azure-openai-v1", {})
    minimax = found_providers(
        {"MINIMAX_API_KEY": KEY, "MINIMAX_API_BASE": "https://api.minimax.io/v1"}
    )
    assert minimax["minimax"].preset == "minimax-openai"


def test_azures_api_version_variable_is_used() -> None:
    environ = {"AZURE_API_KEY": KEY, "AZURE_API_BASE": AZURE, "AZURE_API_VERSION": "2025-04-01"}
    assert found_providers(environ)["azure_openai"].query == {"api-version": "2025-04-01"}


@each(
    ("environ", "note"),
    [
        ({"AZURE_API_KEY": KEY}, "set AZURE_API_BASE to add Azure OpenAI"),
        ({"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "nonsense"}, "OpenAI is not added"),
        (
            {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "http://localhost:4000"},
            "ANTHROPIC_BASE_URL is the URL of this gateway",
        ),
        ({"OLLAMA_HOST": "http://127.0.0.1:4000"}, "OLLAMA_HOST is the URL of this gateway"),
        ({"OPENAI_API_KEY": "sk-dgm-x"}, "OPENAI_API_KEY is a key of this gateway"),
    ],
)
def test_a_provider_that_cannot_be_added_has_a_note(environ: dict[str, str], note: str) -> None:
    """A client's configuration for this gateway must not make the gateway call itself."""
    assert found_providers(environ) == {}
    assert note in notes(environ)
    assert KEY not in notes(environ)


# --- files of the clouds ----------------------------------------------------------------


@each(
    ("config", "credentials", "environ", "origin", "region"),
    [
        ("", "[default]\naws_access_key_id = A\naws_secret_access_key = B", {}, "default", ""),
        (
            "[default]\nregion = eu-west-1",
            "[default]\naws_access_key_id = A",
            {},
            "default",
            "eu-west-1",
        ),
        ("[default]\nregion = eu-west-1", "", {}, None, ""),
        ("[profile dev]\nsso_session = s\nregion = eu-west-1", "", {}, None, ""),
        (
            "[profile dev]\nsso_session = s\nregion = eu-west-1",
            "",
            {"AWS_PROFILE": "dev"},
            "dev",
            "eu-west-1",
        ),
        ("[profile dev]\ncredential_process = /bin/false", "", {"AWS_PROFILE": "dev"}, "dev", ""),
        ("[profile dev]\nrole_arn = arn", "", {"AWS_PROFILE": "dev"}, "dev", ""),
        ("not an ini file", "", {}, None, ""),
    ],
)
def test_an_aws_profile_adds_bedrock(
    tmp_path: Path,
    config: str,
    credentials: str,
    environ: dict[str, str],
    origin: str | None,
    region: str,
) -> None:
    (tmp_path / ".aws").mkdir(exist_ok=True)
    (tmp_path / ".aws" / "config").write_text(config)
    (tmp_path / ".aws" / "credentials").write_text(credentials)
    providers = found_providers(environ, tmp_path)
    assert set(providers) == ({"bedrock"} if origin else set())
    if origin:
        bedrock = providers["bedrock"]
        assert bedrock.origin == f"profile {origin}"
        assert bedrock.credential_env == ""
        assert bedrock.base_url == (BEDROCK.format(region) if region else "")


def test_botocore_finds_the_same_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore itself finds a credential in the same files."""
    session = pytest.importorskip("botocore.session")
    (tmp_path / "credentials").write_text("[dev]\naws_access_key_id = A\naws_secret_access_key = B")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "dev")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert session.Session().get_credentials().access_key == "A"
    assert found_providers(dict(os.environ), tmp_path)["bedrock"].origin == "profile dev"


def test_the_metadata_service_is_called_only_on_ec2(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata service is a link-local address: requests from other machines would time out."""
    requested_urls: list[str] = []

    class Metadata(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.respond(b"token")

        def do_GET(self) -> None:
            assert self.headers["x-aws-ec2-metadata-token"] == "token"
            self.respond(b"role")

        def respond(self, body: bytes) -> None:
            requested_urls.append(self.path)
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with running_http_server(Metadata) as port:
        monkeypatch.setattr(cloud_credentials, "_METADATA_HOST", f"127.0.0.1:{port}")
        assert found_providers({}) == {}
        assert requested_urls == []
        monkeypatch.setattr(
            cloud_credentials, "_read_dmi", {"sys_vendor": "Amazon EC2", "product_name": ""}.get
        )
        assert found_providers({})["bedrock"].origin == "instance role"
        assert found_providers({"AWS_EC2_METADATA_DISABLED": "true"}) == {}


def test_googles_default_credentials_add_vertex(tmp_path: Path) -> None:
    path = tmp_path / ".config" / "gcloud" / "application_default_credentials.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"type": "authorized_user", "quota_project_id": "quota"}))
    base = "https://aiplatform.googleapis.com/v1beta1/projects/{}/locations/global"
    assert found_providers({}, tmp_path)["vertex"].base_url == base.format("quota")
    named = found_providers({"GOOGLE_CLOUD_PROJECT": "mine"}, tmp_path)["vertex"]
    assert (named.base_url, named.credential_env) == (base.format("mine"), "")
    key = tmp_path / "key.json"
    key.write_text(json.dumps({"type": "service_account", "project_id": "of-the-key"}))
    variable = {"GOOGLE_APPLICATION_CREDENTIALS": str(key)}
    assert found_providers(variable)["vertex"].base_url == base.format("of-the-key")
    key.write_text("not JSON")
    assert found_providers(variable) == {}
    path.write_text('{"type": "authorized_user"}')
    assert found_providers({}, tmp_path) == {}
    assert "VERTEXAI_PROJECT" in find_providers({}, tmp_path, own_port=4000).notes[0]


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment_providers, "is_installed", lambda module: False)
    key = tmp_path / "key.json"
    key.write_text(json.dumps({"type": "service_account", "project_id": "p"}))
    environ = {
        "AWS_ACCESS_KEY_ID": "A",
        "AWS_SECRET_ACCESS_KEY": "B",
        "GOOGLE_APPLICATION_CREDENTIALS": str(key),
    }
    assert found_providers(environ) == {}
    assert "dragoman[aws]" in notes(environ)
    assert "dragoman[google]" in notes(environ)


# --- servers on this machine ------------------------------------------------------------


@contextmanager
def running_http_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def listing(response: Any, *, status: int = 200, hold: Event | None = None) -> Any:
    class Listing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if hold is not None:
                hold.wait(10)
            body = response if isinstance(response, bytes) else json.dumps(response).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Listing


def detect(preset: str, handler: type[BaseHTTPRequestHandler], own_port: int = 0) -> Any:
    from msgspec.structs import replace

    (server,) = [server for server in SERVERS if server.preset == preset]
    with running_http_server(handler) as port:
        response = find_local_servers(own_port or -1, [replace(server, port=port)])
        return [replace(f, base_url=f.base_url.replace(str(port), "PORT")) for f in response]


def models(owner: str, *names: str) -> dict[str, Any]:
    data = [{"id": name, "object": "model", "owned_by": owner} for name in names]
    return {"object": "list", "data": data}


def test_each_local_server_is_known_by_its_response() -> None:
    tags = {"models": [{"name": "llama3:latest"}, {"name": "../x"}]}
    assert detect("ollama", listing(tags)) == [
        LocalServerModels("ollama", "http://127.0.0.1:PORT", ("llama3:latest",))
    ]
    for preset, owner in (
        ("vllm", "vllm"),
        ("lmstudio", "organization_owner"),
        ("llamacpp", "llamacpp"),
    ):
        assert detect(preset, listing(models(owner, "m"))) == [
            LocalServerModels(preset, "http://127.0.0.1:PORT/v1", ("m",))
        ]


@each(
    ("preset", "handler"),
    [
        ("ollama", listing({"models": "none"})),
        ("ollama", listing(b"<html>")),
        ("ollama", listing([])),
        ("ollama", listing({"models": []}, status=404)),
        ("vllm", listing(models("somebody", "m"))),
        ("vllm", listing({"object": "list", "data": []})),
        ("vllm", listing({"object": "list", "data": ["m"]})),
        ("llamacpp", listing(models("vllm", "m"))),
    ],
)
def test_another_program_on_the_port_is_no_server(
    preset: str, handler: type[BaseHTTPRequestHandler]
) -> None:
    assert detect(preset, handler) == []


def test_a_server_that_does_not_answer_is_not_waited_for() -> None:
    hold = Event()
    try:
        assert detect("ollama", listing({"models": []}, hold=hold)) == []
    finally:
        hold.set()


def test_the_gateway_is_not_detected_as_a_local_server() -> None:
    (server,) = [server for server in SERVERS if server.preset == "vllm"]
    assert find_local_servers(server.port, [server]) == []


# --- .env -------------------------------------------------------------------------------


def test_an_env_file_sets_only_unset_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("PLAIN", "EXPORTED", "SINGLE", "COMMENTED", "EMPTY", "SET", "TOKEN", "TOKEN_FILE")
    for name in names:
        monkeypatch.setenv(name, "before")
        if name not in {"SET", "TOKEN_FILE"}:
            monkeypatch.delenv(name)
    path = tmp_path / ".env"
    path.write_text(
        '\ufeff# comment\nPLAIN=a=b#c\nexport EXPORTED = "x # y\\n\\"z"  # comment\n'
        "SINGLE='it \\n $x'\nCOMMENTED=two words  # comment\nEMPTY=\nSET=after\n"
        "TOKEN=the variable TOKEN_FILE is set\nthis is no line\n"
    )
    load_env_file(path)
    assert {name: os.environ.get(name) for name in names} == {
        "PLAIN": "a=b#c",
        "EXPORTED": 'x # y\n"z',
        "SINGLE": "it \\n $x",
        "COMMENTED": "two words",
        "EMPTY": "",
        "SET": "before",
        "TOKEN": None,
        "TOKEN_FILE": "before",
    }
    assert "line 9" in caplog.text
    assert "this is no line" not in caplog.text


def test_an_env_file_that_others_may_write_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PLANTED", "before")
    monkeypatch.delenv("PLANTED")
    path = tmp_path / ".env"
    path.write_text("PLANTED=1")
    path.chmod(0o666)
    load_env_file(path)
    assert "PLANTED" not in os.environ
    assert "other users can change it" in caplog.text
    load_env_file(tmp_path / "missing")
