"""`connect` changes the files of each client in place and restores them."""

from __future__ import annotations

import json
import os
import tomllib
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from console.client_files import file_formats
from console.client_files.clients import CLIENTS, Connection
from console.client_files.file_formats import UnreadableFile

KEY = "sk-dgm-verysecret"
OPTIONS = {"base_url": "http://gw:4000/v1/", "key": KEY, "model": 'a "route"', "no_check": True}
FILES = {
    "claude-code": [".claude/settings.json"],
    "codex": [".codex/config.toml"],
    "gemini-cli": [".gemini/.env", ".gemini/settings.json"],
    "opencode": [".config/opencode/opencode.json"],
    "aider": [".aider.conf.yml"],
    "continue": [".continue/config.yaml"],
    "llm": [
        ".config/io.datasette.llm/extra-openai-models.yaml",
        ".config/io.datasette.llm/keys.json",
    ],
    "open-webui": [],
}
CONTINUE = """\
name: Mine
version: 1.0.0
schema: v1
models:
  # a comment
  - name: GPT
    provider: openai
    model: gpt-4o
context:
  - provider: file
"""
# What people have in these files before.
PRESENT = {
    ".claude/settings.json": '{"permissions": {"allow": ["Bash"]}, "env": {"FOO": "1"}}',
    ".codex/config.toml": '# mine\napproval_policy = "never"\n\n[mcp_servers.docs]\ncommand = "x"\n',
    ".gemini/.env": "# keys\nexport GEMINI_API_KEY=old\nOTHER=1",
    ".gemini/settings.json": '{"ui": {"theme": "Dracula"}}',
    ".config/opencode/opencode.json": '{"theme": "nord", "provider": {"openai": {}}}',
    ".aider.conf.yml": "# mine\nmodel: gpt-4o\nauto-commits: false\n",
    ".continue/config.yaml": CONTINUE,
    ".config/io.datasette.llm/extra-openai-models.yaml": "- model_id: other\n  model_name: other\n",
    ".config/io.datasette.llm/keys.json": '{"openai": "sk-o"}',
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("CONTINUE_GLOBAL_DIR", "LLM_USER_PATH", "DRAGOMAN_API_KEY", "DRAGOMAN_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path


def connect(client: str, **options: Any) -> str:
    output = StringIO()
    call_command("connect", client, stdout=output, **{**OPTIONS, **options})
    return output.getvalue()


def parse_client_file(path: Path) -> Any:
    text = path.read_text()
    if path.suffix == ".json":
        return json.loads(text)
    if path.suffix == ".toml":
        return tomllib.loads(text)
    if path.suffix in {".yml", ".yaml"}:
        return yaml.safe_load(text)
    return dict(
        line.removeprefix("export ").split("=", 1) for line in text.splitlines() if "=" in line
    )


@pytest.mark.parametrize("present", [False, True], ids=["new", "present"])
@pytest.mark.parametrize("client", CLIENTS)
def test_files_are_written_and_restored(client: str, present: bool, home: Path) -> None:
    before: dict[str, str] = PRESENT if present else {}
    for name in FILES[client] if present else ():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(before[name])
        (home / name).chmod(0o644)
    connection = connect(client)
    assert KEY not in connection or client in {"codex", "open-webui"}  # its environment variable
    for name in FILES[client]:
        assert (home / name).exists() == present
        assert name in connection
    if not FILES[client]:
        return
    wrote = connect(client, write=True, yes=True)
    for name in FILES[client]:
        assert f"Wrote {home / name}" in wrote
        assert (home / name).stat().st_mode & 0o777 == (0o644 if present else 0o600)
        parse_client_file(home / name)
    assert "is already configured" in connect(client, write=True)
    # Another model replaces the first one.
    connect(client, write=True, yes=True, model="second")
    texts = "".join((home / name).read_text() for name in FILES[client])
    assert "second" in texts
    if client != "opencode":  # which lists the models of a provider
        assert "route" not in texts
    restored = connect(client, undo=True)
    for name in FILES[client]:
        assert f"Restored {home / name}" in restored
        assert (home / name).exists() == present
        if present:
            assert (home / name).read_text() == before[name]
    with pytest.raises(CommandError, match="nothing to undo"):
        connect(client, undo=True)


def test_client_configurations_are_read_by_their_clients(home: Path) -> None:
    for name, text in PRESENT.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    for client in CLIENTS:
        connect(client, write=True, yes=True)
    claude = parse_client_file(home / ".claude/settings.json")
    assert claude["permissions"] == {"allow": ["Bash"]}
    assert claude["env"] == {
        "FOO": "1",
        "ANTHROPIC_BASE_URL": "http://gw:4000",
        "ANTHROPIC_AUTH_TOKEN": KEY,
        "ANTHROPIC_MODEL": 'a "route"',
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": 'a "route"',
    }
    codex = parse_client_file(home / ".codex/config.toml")
    assert codex["mcp_servers"] == {"docs": {"command": "x"}}
    assert (codex["model"], codex["model_provider"]) == ('a "route"', "dragoman")
    assert codex["model_providers"]["dragoman"]["base_url"] == "http://gw:4000/v1"
    assert (home / ".codex/config.toml").read_text().startswith("# mine\n")
    gemini = (home / ".gemini/.env").read_text()
    assert gemini.startswith(f"# keys\nGEMINI_API_KEY={KEY}\nOTHER=1\n")
    assert parse_client_file(home / ".gemini/settings.json")["ui"] == {"theme": "Dracula"}
    opencode = parse_client_file(home / ".config/opencode/opencode.json")
    assert opencode["provider"].keys() == {"openai", "dragoman"}
    assert opencode["model"] == 'dragoman/a "route"'
    aider = parse_client_file(home / ".aider.conf.yml")
    assert (aider["model"], aider["auto-commits"]) == ('openai/a "route"', False)
    cont = parse_client_file(home / ".continue/config.yaml")
    assert [model["model"] for model in cont["models"]] == ['a "route"', "gpt-4o"]
    assert cont["context"] == [{"provider": "file"}]
    assert "# a comment" in (home / ".continue/config.yaml").read_text()
    llm = parse_client_file(home / ".config/io.datasette.llm/extra-openai-models.yaml")
    assert [model["model_name"] for model in llm] == ["other", 'a "route"']
    assert parse_client_file(home / ".config/io.datasette.llm/keys.json") == {
        "openai": "sk-o",
        "dragoman": KEY,
    }


def test_a_file_changed_since_is_not_restored_without_confirmation(home: Path) -> None:
    connect("aider", write=True, yes=True)
    path = home / ".aider.conf.yml"
    path.write_text(path.read_text() + "dark-mode: true\n")
    with pytest.raises(CommandError, match="was changed since"):
        connect("aider", undo=True)
    assert "dark-mode" in path.read_text()
    connect("aider", undo=True, yes=True)
    assert not path.exists()


def test_a_symlinked_file_remains_a_symlink(home: Path) -> None:
    real = home / "dotfiles" / "aider.yml"
    real.parent.mkdir()
    real.write_text("model: x\n")
    (home / ".aider.conf.yml").symlink_to(real)
    connect("aider", write=True, yes=True)
    assert (home / ".aider.conf.yml").is_symlink()
    assert "openai-api-base" in real.read_text()


@pytest.mark.parametrize(
    ("client", "name", "text", "reason"),
    [
        ("claude-code", ".claude/settings.json", "{", "is not changed: it is not JSON"),
        ("claude-code", ".claude/settings.json", "[]", "it is not a JSON object"),
        ("codex", ".codex/config.toml", "a =", "it is not TOML"),
        ("aider", ".aider.conf.yml", "a: {\n", "it is not YAML"),
        ("aider", ".aider.conf.yml", "a: !!bool x\n", "it is not YAML"),
        ("aider", ".aider.conf.yml", "a: !!timestamp x\n", "it is not YAML"),
        ("continue", ".continue/config.yaml", "models: [{name: x}]\n", "unexpected form"),
        ("llm", ".config/io.datasette.llm/extra-openai-models.yaml", "a: b\n", "unexpected form"),
    ],
)
def test_an_unreadable_file_is_unchanged(
    client: str, name: str, text: str, reason: str, home: Path
) -> None:
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(text)
    with pytest.raises(CommandError, match=reason):
        connect(client, write=True, yes=True)
    assert (home / name).read_text() == text


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"key": ""}, "set --key"),
        ({"key": "two words"}, "no spaces"),
        ({"base_url": "gw:4000"}, "must begin with http"),
        ({"model": "a\nb"}, "--model must be"),
        ({"write": True}, "add --yes"),
    ],
)
def test_invalid_options_are_refused(
    options: dict[str, Any], reason: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO())
    with pytest.raises(CommandError, match=reason):
        connect("aider", **options)
    assert os.listdir(home) == []


def test_a_gateway_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(CommandError, match=r"no response from http://127\.0\.0\.1:9"):
        connect("aider", base_url="http://127.0.0.1:9", no_check=False)


def test_every_client_has_a_dialect_that_is_checked() -> None:
    checked = {"anthropic_messages", "openai_responses", "openai_chat", "gemini"}
    assert {client.dialect for client in CLIENTS.values()} <= checked
    connection = Connection("http://gw", KEY, "m")
    assert {name for name, client in CLIENTS.items() if not client.files(connection)} == {
        "open-webui"
    }


def test_a_yaml_list_keeps_its_indentation() -> None:
    text = "models:\n- name: a\n  model: a\n"
    changed = file_formats.set_yaml_item(text, {"name": "b"}, key="models")
    assert [item["name"] for item in yaml.safe_load(changed)["models"]] == ["b", "a"]
    assert file_formats.set_yaml_item(changed, {"name": "b"}, key="models") == changed
    empty = file_formats.set_yaml_item("models: []\nrules: []\n", {"name": "b"}, key="models")
    assert yaml.safe_load(empty) == {"models": [{"name": "b"}], "rules": []}
    with pytest.raises(UnreadableFile):
        file_formats.set_yaml_item("models: {a: 1}\n", {"name": "b"}, key="models")
