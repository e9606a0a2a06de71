"""Settings of each client for the gateway, and the files that it reads them from."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from console.client_environment import KEY_VARIABLE
from console.client_files import file_formats


class Connection(NamedTuple):
    """The gateway's base URL without `/v1`, a gateway key and a model."""

    base_url: str
    key: str
    model: str


class FileEdit(NamedTuple):
    """A file, and the function that returns its new text for its present one (or `""`)."""

    path: Path
    edit: Callable[[str], str]


class Client(NamedTuple):
    """A client.

    Attributes:
        dialect: the API that it calls.
        files: the edits that connect it.
        variables: environment variables that it needs besides.
        docs: its documentation of these settings.
    """

    title: str
    dialect: str
    files: Callable[[Connection], list[FileEdit]]
    docs: str
    variables: Callable[[Connection], dict[str, str]] = lambda _: {}


def _claude_code(connection: Connection) -> list[FileEdit]:
    models = ("ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL")
    variables = {
        "ANTHROPIC_BASE_URL": connection.base_url,
        "ANTHROPIC_AUTH_TOKEN": connection.key,
        **dict.fromkeys(models, connection.model),
    }
    path = _config_directory("CLAUDE_CONFIG_DIR", ".claude") / "settings.json"
    return [FileEdit(path, partial(file_formats.set_json, values={"env": variables}))]


def _codex_edits(connection: Connection) -> list[FileEdit]:
    provider = {
        "name": "Dragoman",
        "base_url": f"{connection.base_url}/v1",
        "env_key": KEY_VARIABLE,
        "wire_api": "responses",
    }
    values: dict[str, Any] = {
        "model": connection.model,
        "model_provider": "dragoman",
        "model_providers": {"dragoman": provider},
    }
    path = _config_directory("CODEX_HOME", ".codex") / "config.toml"
    return [FileEdit(path, partial(file_formats.set_toml, values=values))]


def _gemini_cli(connection: Connection) -> list[FileEdit]:
    folder = Path.home() / ".gemini"
    variables = {
        "GOOGLE_GEMINI_BASE_URL": connection.base_url,
        "GEMINI_API_KEY": connection.key,
        "GEMINI_MODEL": connection.model,
    }
    sign_in = {"security": {"auth": {"selectedType": "gemini-api-key"}}}
    return [
        FileEdit(folder / ".env", partial(file_formats.set_variables, values=variables)),
        FileEdit(folder / "settings.json", partial(file_formats.set_json, values=sign_in)),
    ]


def _opencode_edits(connection: Connection) -> list[FileEdit]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Dragoman",
        "options": {"baseURL": f"{connection.base_url}/v1", "apiKey": connection.key},
        "models": {connection.model: {"name": connection.model}},
    }
    values = {
        "$schema": "https://opencode.ai/config.json",
        "provider": {"dragoman": provider},
        "model": f"dragoman/{connection.model}",
    }
    folder = _config_directory("XDG_CONFIG_HOME", ".config") / "opencode"
    return [FileEdit(folder / "opencode.json", partial(file_formats.set_json, values=values))]


def _aider_edits(connection: Connection) -> list[FileEdit]:
    values = {
        "openai-api-base": f"{connection.base_url}/v1",
        "openai-api-key": connection.key,
        "model": f"openai/{connection.model}",
    }
    path = Path.home() / ".aider.conf.yml"
    return [FileEdit(path, partial(file_formats.set_yaml_keys, values=values))]


def _continue_edits(connection: Connection) -> list[FileEdit]:
    item = {
        "name": f"Dragoman {connection.model}",
        "provider": "openai",
        "model": connection.model,
        "apiBase": f"{connection.base_url}/v1",
        "apiKey": connection.key,
        "roles": ["chat", "edit", "apply"],
    }

    def edit(text: str) -> str:
        new_file = "name: Local Config\nversion: 1.0.0\nschema: v1\n"
        return file_formats.set_yaml_item(text or new_file, item, key="models")

    folder = _config_directory("CONTINUE_GLOBAL_DIR", ".continue")
    return [FileEdit(folder / "config.yaml", edit)]


def _llm_edits(connection: Connection) -> list[FileEdit]:
    item = {
        "model_id": f"dragoman/{connection.model}",
        "model_name": connection.model,
        "api_base": f"{connection.base_url}/v1",
        "api_key_name": "dragoman",
    }
    default_folder = "Library/Application Support" if sys.platform == "darwin" else ".config"
    folder = Path(
        os.environ.get("LLM_USER_PATH") or Path.home() / default_folder / "io.datasette.llm"
    )
    models = partial(file_formats.set_yaml_item, item=item)
    keys = partial(file_formats.set_json, values={"dragoman": connection.key})
    return [
        FileEdit(folder / "extra-openai-models.yaml", models),
        FileEdit(folder / "keys.json", keys),
    ]


def _config_directory(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default)


CLIENTS: dict[str, Client] = {
    "claude-code": Client(
        "Claude Code",
        "anthropic_messages",
        _claude_code,
        "https://code.claude.com/docs/en/settings",
    ),
    "codex": Client(
        "Codex CLI",
        "openai_responses",
        _codex_edits,
        "https://developers.openai.com/codex/config-reference",
        lambda connection: {KEY_VARIABLE: connection.key},
    ),
    "gemini-cli": Client(
        "Gemini CLI",
        "gemini",
        _gemini_cli,
        "https://geminicli.com/docs/reference/configuration",
    ),
    "opencode": Client(
        "OpenCode", "openai_chat", _opencode_edits, "https://opencode.ai/docs/providers/"
    ),
    "aider": Client(
        "Aider", "openai_chat", _aider_edits, "https://aider.chat/docs/config/aider_conf.html"
    ),
    "continue": Client(
        "Continue", "openai_chat", _continue_edits, "https://docs.continue.dev/reference"
    ),
    "llm": Client(
        "llm", "openai_chat", _llm_edits, "https://llm.datasette.io/en/stable/other-models.html"
    ),
    "open-webui": Client(
        "Open WebUI",
        "openai_chat",
        lambda _: [],
        "https://docs.openwebui.com/reference/env-configuration",
        lambda connection: {
            "OPENAI_API_BASE_URL": f"{connection.base_url}/v1",
            "OPENAI_API_KEY": connection.key,
            "ENABLE_OLLAMA_API": "false",
            "DEFAULT_MODELS": connection.model,
        },
    ),
}
