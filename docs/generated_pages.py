"""Pages that mkdocs makes of the code: a guide per client, a page per provider, the endpoints.

The guides are the snippets of the console's Connect page, which tests run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
BASE_URL, MODEL = "http://localhost:4000", "gpt-4.1"
_GUIDES, _PRESETS = "guides", "presets"


def on_config(config: Any) -> Any:
    """Fill the navigation with the generated pages."""
    _set_up()
    names = {
        _GUIDES: [f"{_GUIDES}/{panel.id}.md" for panel in _panels()],
        _PRESETS: [f"{_PRESETS}/{name}.md" for name in _presets()],
    }
    for section in config.nav:
        for pages in section.values():
            for entry in pages:
                if isinstance(entry, dict):
                    entry.update({title: names[folder] for title, folder in entry.items()})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    for path, text in _pages():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links to files outside docs/ at their text in the site."""
    return markdown.replace("](../CHANGELOG.md)", "](changelog.md)")


def _set_up() -> None:
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.config.settings")
    import django

    django.setup()


def _panels() -> list[Any]:
    from console.pages.connect.clients import panels

    return panels(BASE_URL, MODEL)


def _presets() -> dict[str, Any]:
    from gateway.providers.catalog import PRESETS

    return dict(sorted(PRESETS.items(), key=lambda item: item[1].title.lower()))


def _pages() -> Iterator[tuple[str, str]]:
    for panel in _panels():
        yield f"{_GUIDES}/{panel.id}.md", _guide(panel)
    for name, preset in _presets().items():
        yield f"{_PRESETS}/{name}.md", _preset_page(name, preset)
    yield "endpoints.md", _endpoints()
    yield "changelog.md", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def _guide(panel: Any) -> str:
    install = f"Install it:\n\n```sh\n{panel.install}\n```\n\n" if panel.install else ""
    language = "" if panel.language == "text" else panel.language
    return (
        f"# {panel.name}\n\n"
        f"{panel.name} uses the API of {panel.dialect_title}. Set `DRAGOMAN_API_KEY` to a gateway "
        f"key, and replace `{MODEL}` with a route or model of the gateway "
        f'(`curl {BASE_URL}/v1/models -H "Authorization: Bearer $DRAGOMAN_API_KEY"` lists them).'
        f"\n\n{install}```{language}\n{panel.text}\n```\n\n"
        "The model can be of any provider: the gateway translates requests and responses. The "
        "request log in the console shows each request and what translation changed. "
        "[Clients](../clients.md) lists what is tested with each client.\n"
    )


def _preset_page(name: str, preset: Any) -> str:
    rows = [
        ("preset", f"`{name}`"),
        ("API", f"`{preset.dialect}`"),
        ("base URL", f"`{preset.base_url or preset.url_example}`" + _needed(preset)),
        ("key", ", ".join(f"`{variable}`" for variable in preset.env) or "none"),
        ("LiteLLM prefix", ", ".join(f"`{prefix}/`" for prefix in preset.litellm) or "none"),
        ("vendor's documentation", f"<{preset.docs}>" if preset.docs else ""),
    ]
    table = "\n".join(f"| {label} | {value} |" for label, value in rows if value)
    key = preset.env[0] if preset.env else ""
    start = (
        f"If `{key}` is set when the gateway starts, it adds this provider:\n\n"
        f"```sh\nexport {key}=...\nuv run manage.py up\n```\n\n"
        if key
        else "Add the provider in the console under *Providers*, or with the management API.\n\n"
    )
    edits = [
        f"| `{edit.op}` | `{edit.path}` | {edit.reason} |" for edit in preset.edits if edit.reason
    ]
    changes = (
        "\n\n## Changes to requests\n\n| edit | field | reason |\n|---|---|---|\n"
        + "\n".join(edits)
        if edits
        else ""
    )
    return (
        f"# {preset.title}\n\n| | |\n|---|---|\n{table}\n\n## Use it\n\n{start}"
        f"Call its models as `{name}/MODEL`, or through a [route](../routing.md)."
        f"{changes}\n"
    )


def _needed(preset: Any) -> str:
    return "" if preset.base_url else " (an example; set your own)"


def _endpoints() -> str:
    from gateway.edge.endpoints import ENDPOINTS

    rows = sorted({(e.name, ", ".join(e.methods), e.dialect) for e in ENDPOINTS.values()})
    table = "\n".join(f"| `{path}` | {methods} | `{dialect}` |" for path, methods, dialect in rows)
    examples = "\n\n".join(_endpoint_example(path, title) for path, title in _EXAMPLES.items())
    return (
        "# Model endpoints\n\nThe endpoints that clients call. `/docs` of a running gateway "
        "describes them, and those of the management API, with every field. "
        "[Error codes](errors.md) lists the errors.\n\n"
        f"| path | methods | API |\n|---|---|---|\n{table}\n\n## Examples\n\n{examples}\n"
    )


# Paths of the API reference whose requests and responses are shown, and their headings.
_EXAMPLES = {
    "/v1/chat/completions": "OpenAI Chat Completions",
    "/v1/responses": "OpenAI Responses",
    "/v1/completions": "OpenAI Completions",
    "/v1/embeddings": "OpenAI Embeddings",
    "/v1/messages": "Anthropic Messages",
    "/v1/messages/count_tokens": "Anthropic, count tokens",
    "/v1beta/models/{id}:generateContent": "Gemini",
    "/model/{id}/converse": "Amazon Bedrock Converse",
    "/v2/chat": "Cohere",
    "/api/chat": "Ollama",
}


def _endpoint_example(path: str, title: str) -> str:
    from console.pages.api_reference.operations import operations

    (operation,) = (each for each in operations().values() if each.path == path)
    curl = operation.curl.replace("$DRAGOMAN_BASE_URL", BASE_URL).replace("$ID", "demo")
    (response,) = (each for each in operation.responses if each.status == "200")
    return f"### {title}\n\n```sh\n{curl}\n```\n\n```json\n{response.example}\n```"
