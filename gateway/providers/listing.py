"""The catalogue as the table in docs/providers.md; a test keeps the two alike.

Renew it: `python -m gateway.providers.listing > docs/providers.md`.
"""

from __future__ import annotations

from gateway.providers.catalog import PRESETS
from gateway.providers.offers import OFFERS
from gateway.providers.profile import Preset

_HEAD = """\
# Providers

One row for each preset. `Name` is what a provider row, a golden case or `provider/model`
says; `LiteLLM` are the prefixes by which LiteLLM's configuration files mean it; `Key` is
the first environment variable in which `up` finds its credential; `Passed on` are the
calls beside chats and embeddings that go on to it as they are
([forwarding.md](forwarding.md)). A provider that is not here and speaks OpenAI's or
Anthropic's format is `custom` or `custom-anthropic` with its own base URL.

Three clouds take credentials from which the header of a request is made:

- Amazon (`bedrock`, `bedrock-anthropic`): a Bedrock API key as it is; an AWS key as
  `ID:SECRET` or `ID:SECRET:SESSION`, or a JSON object with `aws_access_key_id`,
  `aws_secret_access_key`, and, if you like, `aws_session_token`, `aws_region_name`, or just an
  `aws_profile_name`; nothing at all for what AWS's own chain finds on this machine. The
  region stands in the base URL.
- Google (`vertex` and its kin): an access token; the JSON of a service account, or the path
  of its file; nothing at all for the machine's default credentials.
- Microsoft (any row with the auth `entra`): an access token; a JSON object with `tenant_id`,
  `client_id` and `client_secret`. With an API key the auth is the preset's own.

Tokens are fetched once and renewed while they are still good.

This file is written by `python -m gateway.providers.listing`.

| Name | Provider | Speaks | Base URL | Key | LiteLLM | Passed on |
|---|---|---|---|---|---|---|
"""


def markdown() -> str:
    """The whole page."""
    return _HEAD + "".join(_row(preset) for preset in PRESETS.values())


def _row(preset: Preset) -> str:
    title = f"[{preset.title}]({preset.docs})" if preset.docs else preset.title
    url = preset.base_url or f"yours, e.g. {preset.url_example}"
    key = f"`{preset.env[0]}`" if preset.env else "none"
    litellm = ", ".join(f"`{name}`" for name in preset.litellm) or "none"
    offered = ", ".join(OFFERS.get(preset.name, {})) or "none"
    cells = (f"`{preset.name}`", title, f"`{preset.dialect}`", url, key, litellm, offered)
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - this module is the page's printer
