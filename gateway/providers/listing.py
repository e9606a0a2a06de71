"""The catalogue as the table in docs/providers.md; a test keeps the two alike.

Renew it: `python -m gateway.providers.listing > docs/providers.md`.
"""

from __future__ import annotations

from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Preset

_HEAD = """\
# Providers

One row for each preset. `Name` is what a provider row, a golden case or `provider/model`
says; `LiteLLM` are the prefixes by which LiteLLM's configuration files mean it; `Key` is
the first environment variable in which `up` finds its credential. A provider that is
not here and speaks OpenAI's or Anthropic's format is `custom` or `custom-anthropic` with
its own base URL.

This file is written by `python -m gateway.providers.listing`.

| Name | Provider | Speaks | Base URL | Key | LiteLLM |
|---|---|---|---|---|---|
"""


def markdown() -> str:
    """The whole page."""
    return _HEAD + "".join(_row(preset) for preset in PRESETS.values())


def _row(preset: Preset) -> str:
    title = f"[{preset.title}]({preset.docs})" if preset.docs else preset.title
    url = preset.base_url or f"yours, e.g. {preset.url_example}"
    key = f"`{preset.env[0]}`" if preset.env else "none"
    litellm = ", ".join(f"`{name}`" for name in preset.litellm) or "none"
    cells = (f"`{preset.name}`", title, f"`{preset.dialect}`", url, key, litellm)
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - this module is the page's printer
