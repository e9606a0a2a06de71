"""Renders the provider catalog as docs/providers.md; a test compares them.

Update it: `python -m gateway.providers.listing > docs/providers.md`.
"""

from __future__ import annotations

from gateway.providers.catalog import PRESETS
from gateway.providers.passthrough_catalog import PASSTHROUGH_PATHS
from gateway.providers.profile import Preset

_PAGE_HEAD = """\
# Providers

A provider is an upstream API with a base URL and a credential. A [preset](#presets) contains everything
except the credential. For providers without a preset that have OpenAI's or Anthropic's API format, use
`custom` or `custom-anthropic` with a base URL.

## Add a provider

In the console:

1. Open *Providers* > *Add provider* and choose a preset.
2. Paste the API key, or enter the name of an environment variable that contains it.
3. Click *Test connection*, then *Add provider*.
4. Click *Fetch models* and select the models that you want to use.

Alternatively, set the preset's environment variable and start the gateway (next section), use the
[management API](api.md), or a configuration file:

```yaml
dragoman: 1
providers:
  - name: openai
    preset: openai
    credential: os.environ/OPENAI_API_KEY
models:
  - name: openai/gpt-5-mini
```

## Providers that are added at startup

At each start, `up` adds or updates a provider for each credential that it finds, with the name of the preset.
It does not change a provider that you edited. It looks in the environment, in `.env` next to the data
directory, and in the credential files of AWS and Google:

| provider | found by |
|---|---|
| the providers in the table below | the variable in the column `Key`; for those without a base URL of their own, also `PREFIX_API_BASE` |
| `gemini`, `gemini-openai` | `GEMINI_API_KEY` or `GOOGLE_API_KEY`: Google's own API and its OpenAI format |
| `azure_openai` | `AZURE_API_KEY` with `AZURE_API_BASE`, or `AZURE_OPENAI_API_KEY` with `AZURE_OPENAI_ENDPOINT`; `AZURE_API_VERSION` or `OPENAI_API_VERSION` |
| `bedrock` | `AWS_BEARER_TOKEN_BEDROCK`, or what botocore's chain uses: variables, a profile, a web identity, a container's or an EC2 instance's role; needs the extra `aws` |
| `vertex` | application default credentials and a project (`VERTEXAI_PROJECT`, `GOOGLE_CLOUD_PROJECT`, or the project in the credentials); `VERTEXAI_LOCATION`, otherwise `global`; needs the extra `google` |
| `ollama`, `vllm`, `lmstudio`, `llamacpp` | a response on port 11434, 8000, 1234 or 8080 of this machine within 0.2 s (`DRAGOMAN_FIND_LOCAL_SERVERS`), or `PREFIX_API_BASE`, or `OLLAMA_HOST`; the server's models are added too |

`PREFIX_API_BASE` or `PREFIX_BASE_URL` sets the base URL of any of them; the prefix is that of the key's
variable (`OPENAI_BASE_URL`), LiteLLM's, or the preset's name. URLs and keys of the gateway itself, as
clients use them, are ignored.

## Model names without a provider

`provider/model` works for every model of a provider. With `DRAGOMAN_KNOWN_MODELS` (the default), a name that is
not a route, alias or `provider/model` is resolved in this order:

1. The vendor's own provider, if the name looks like one of the vendor's models: `gpt-4o` is `openai/gpt-4o`,
   `claude-sonnet-4-5` is `anthropic/claude-sonnet-4-5`, `gemini-2.5-flash` is `gemini/gemini-2.5-flash`
   (otherwise `vertex`, then `gemini-openai`). The patterns are in `gateway/providers/known_models.py`.
2. The providers that have a model of that name in the console, by provider name: `llama3` is
   `ollama/llama3:latest`.

Limits, budgets, prices and the log use the full name. You can restrict a key with either name. The name of a
disabled route or alias is not resolved.

## Credentials

Three clouds use credentials other than an API key:

- Amazon (`bedrock`, `bedrock-anthropic`, `sagemaker`): a Bedrock API key (not at SageMaker); an AWS key as `ID:SECRET` or
  `ID:SECRET:SESSION`; a JSON object with `aws_access_key_id`, `aws_secret_access_key` and
  optionally `aws_session_token` and `aws_region_name`, or with an `aws_profile_name`; or empty for
  the default AWS credential chain. The region is part of the base URL.
- Google (`vertex` and variants): an access token; the JSON of a service account, or the path of its
  file; or empty for the default credentials of the machine.
- Microsoft (providers with the auth `entra`): an access token, or a JSON object with `tenant_id`,
  `client_id` and `client_secret`. API keys use the auth of the preset.

Tokens are cached and renewed before they expire.

## Context length of Ollama

Ollama truncates a prompt that is longer than its context, without an error, and its context is 4,096 tokens on
machines with less than 24 GiB of video memory. A translated request to the preset `ollama` that needs more for its
estimated prompt and its response (at most 2,048 tokens are reserved) therefore sets `options.num_ctx` to 8,192,
16,384 and so on, up to the model's context window. The log and the response headers report it as a defaulted
field. An edit (`default`, `options.num_ctx`) of the provider, model or target takes precedence. Requests of Ollama clients
pass through with their own `num_ctx`, or none.

Ollama reloads a model when its context length changes, which takes seconds. If your server has a larger
default (`OLLAMA_CONTEXT_LENGTH`, or more video memory), set the trait `default_context` of its models to this value: then only
requests that need more set `num_ctx`. 0 turns this off, as for cloud models (`...-cloud`). Ollama's OpenAI and
Anthropic APIs (`ollama-openai`, `ollama-anthropic`) have no such field.

## Presets

`Name` is the preset, as in `provider/model`. `Key` is the first environment variable in which `up` looks for the
API key. `LiteLLM` lists the prefixes in LiteLLM configuration files. `Passthrough` lists the supported
[passthrough endpoints](passthrough.md). This file is generated by `python -m gateway.providers.listing`.

| Name | Provider | API format | Base URL | Key | LiteLLM | Passthrough |
|---|---|---|---|---|---|---|
"""  # noqa: E501 - rows of a Markdown table


def markdown() -> str:
    """Complete page as Markdown."""
    return _PAGE_HEAD + "".join(_preset_row(preset) for preset in PRESETS.values())


def _preset_row(preset: Preset) -> str:
    title = f"[{preset.title}]({preset.docs})" if preset.docs else preset.title
    url = preset.base_url or f"yours, e.g. {preset.url_example}"
    key = f"`{preset.env[0]}`" if preset.env else "none"
    litellm = ", ".join(f"`{name}`" for name in preset.litellm) or "none"
    families = ", ".join(PASSTHROUGH_PATHS.get(preset.name, {})) or "none"
    cells = (f"`{preset.name}`", title, f"`{preset.dialect}`", url, key, litellm, families)
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - this module is the page's printer
