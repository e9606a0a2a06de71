"""Configuration files of tests, written into pytest's directories."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml

from gateway.compat.litellm.config.parse import read
from gateway.compat.litellm.config.rows import Config, ProviderRow, RouteRow, TargetRow

KEYS = {"OPENAI_API_KEY": "sk-o", "ANTHROPIC_API_KEY": "sk-a", "GEMINI_API_KEY": "g"}


def write_config(directory: Path, text: str, name: str = "litellm_config.yaml") -> Path:
    path = directory / name
    path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return path


def config(directory: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    """Return the parsed configuration of a file, with only these environment variables."""
    return read(write_config(directory, text), KEYS if environ is None else environ)


def entries(
    directory: Path, *rows: dict[str, Any], environ: dict[str, str] | None = None, **sections: Any
) -> Config:
    """Return the configuration of model_list entries: `model_name` and its litellm_params."""
    items = []
    for row in rows:
        params = {k: v for k, v in row.items() if k not in {"model_name", "model_info"}}
        entry = {"model_name": row.get("model_name", "fast"), "litellm_params": params}
        items.append(entry | ({"model_info": row["model_info"]} if "model_info" in row else {}))
    return config(directory, yaml.safe_dump({"model_list": items, **sections}), environ)


def only_target(parsed_config: Config) -> TargetRow:
    (route,) = parsed_config.routes.values()
    (target,) = route.targets
    return target


def only_provider(parsed_config: Config) -> tuple[str, ProviderRow]:
    (item,) = parsed_config.providers.items()
    return item


def route(parsed_config: Config, name: str = "fast") -> RouteRow:
    return parsed_config.routes[name]
