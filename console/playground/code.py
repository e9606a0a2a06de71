"""Client code for the request of a column: curl, and the SDK of each dialect.

The code reads the API key from an environment variable; the page may insert a new key.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from console.client_environment import KEY_VARIABLE
from console.dialects import headers_of, path_of
from console.playground import client_request
from console.playground.plan import Column
from console.shell import quote

Json = dict[str, Any]

_ANTHROPIC = "anthropic_messages"
_CHAT = "openai_chat"
_RESPONSES = "openai_responses"
_GEMINI = "gemini"
_OLLAMA = "ollama"
_BEDROCK = "bedrock_converse"
_COHERE = "cohere"


def render_code(lang: str, base: str, dialect: str, column: Column) -> str:
    """Code in a language of RENDERERS. Raises GatewayError, and KeyError for an unknown one."""
    return RENDERERS[lang](base.rstrip("/"), dialect, column)


def _request_body(dialect: str, column: Column) -> Json:
    return client_request.render_body(dialect, client_request.build_request(column, stream=True))[0]


def _curl_code(base: str, dialect: str, column: Column) -> str:
    body = _request_body(dialect, column)
    path = path_of(dialect, column.model, stream=True)
    lines = [f"curl -N {quote(base + path)}"]
    # Double quotes: the shell puts the key in.
    lines += [f'-H "{header}"' for header in headers_of(dialect, f"${KEY_VARIABLE}")]
    lines += ['-H "Content-Type: application/json"']
    lines += [f"-d {quote(json.dumps(body, ensure_ascii=False, indent=2))}"]
    return " \\\n  ".join(lines) + "\n"


def _python_openai(base: str, dialect: str, column: Column) -> str:
    body = _request_body(_CHAT, column)
    return f"""import os

from openai import OpenAI

client = OpenAI(base_url={base + "/v1"!r}, api_key=os.environ[{KEY_VARIABLE!r}])

stream = client.chat.completions.create(
{_python_arguments(body, _CHAT)}
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
"""


def _python_responses(base: str, dialect: str, column: Column) -> str:
    body = _request_body(_RESPONSES, column)
    return f"""import os

from openai import OpenAI

client = OpenAI(base_url={base + "/v1"!r}, api_key=os.environ[{KEY_VARIABLE!r}])

stream = client.responses.create(
{_python_arguments(body, _RESPONSES)}
)
for event in stream:
    if event.type == "response.output_text.delta":
        print(event.delta, end="", flush=True)
"""


def _python_anthropic(base: str, dialect: str, column: Column) -> str:
    body = _request_body(_ANTHROPIC, column)
    body.pop("stream", None)
    return f"""import os

import anthropic

client = anthropic.Anthropic(base_url={base!r}, api_key=os.environ[{KEY_VARIABLE!r}])

with client.messages.stream(
{_python_arguments(body, _ANTHROPIC)}
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
"""


def _python_gemini(base: str, dialect: str, column: Column) -> str:
    """The SDK's `config` merges `generationConfig` with the other fields of the body."""
    body = _request_body(_GEMINI, column)
    contents = body.pop("contents")
    config = {**body.pop("generationConfig", {}), **body}
    arguments = {"model": column.model, "contents": contents, "config": config or None}
    argument_lines = "\n".join(
        f"    {n}={_python_literal(v, 1)}," for n, v in arguments.items() if v is not None
    )
    return f"""import os

from google import genai

client = genai.Client(
    api_key=os.environ[{KEY_VARIABLE!r}],
    http_options={{"base_url": {base!r}}},
)

for chunk in client.models.generate_content_stream(
{argument_lines}
):
    print(chunk.text or "", end="", flush=True)
"""


def _python_ollama(base: str, dialect: str, column: Column) -> str:
    body = _request_body(_OLLAMA, column)
    return f"""import os

from ollama import Client

client = Client(
    host={base!r},
    headers={{"Authorization": "Bearer " + os.environ[{KEY_VARIABLE!r}]}},
)

for part in client.chat(
{_python_arguments(body, _OLLAMA)}
):
    print(part.message.content or "", end="", flush=True)
"""


def _python_cohere(base: str, dialect: str, column: Column) -> str:
    body = _request_body(_COHERE, column)
    body.pop("stream", None)
    return f"""import os

import cohere

client = cohere.ClientV2(base_url={base!r}, api_key=os.environ[{KEY_VARIABLE!r}])

for event in client.chat_stream(
{_python_arguments(body, _COHERE)}
):
    if event.type == "content-delta":
        print(event.delta.message.content.text or "", end="", flush=True)
    elif event.type == "tool-plan-delta":
        print(event.delta.message.tool_plan, end="", flush=True)
"""


class _Bytes:
    """Bytes of a file as Python code."""

    def __init__(self, data: str) -> None:
        self._data = data

    def __repr__(self) -> str:
        return f"base64.b64decode({self._data!r})"


def _with_bytes(value: Any) -> Any:
    """The body as boto3 takes it: files are bytes, which it encodes."""
    if isinstance(value, list):
        return [_with_bytes(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        k: _Bytes(v) if k in {"bytes", "redactedContent"} and isinstance(v, str) else _with_bytes(v)
        for k, v in value.items()
    }


def _python_boto3(base: str, dialect: str, column: Column) -> str:
    """Over plain HTTP boto3 sends no Bedrock API key, so the header is added here."""
    body = _with_bytes(_request_body(_BEDROCK, column))
    arguments = _python_arguments({"modelId": column.model, **body}, _BEDROCK)
    return f"""{"import base64" + chr(10) if "base64.b64decode" in arguments else ""}import os

import boto3
from botocore import UNSIGNED
from botocore.config import Config

client = boto3.client(
    "bedrock-runtime",
    region_name="us-east-1",
    endpoint_url={base!r},
    config=Config(signature_version=UNSIGNED),
)
key = os.environ[{KEY_VARIABLE!r}]
client.meta.events.register(
    "request-created.bedrock-runtime",
    lambda request, **_: request.headers.add_header("Authorization", f"Bearer {{key}}"),
)

response = client.converse_stream(
{arguments}
)
for event in response["stream"]:
    if "contentBlockDelta" in event:
        print(event["contentBlockDelta"]["delta"].get("text", ""), end="", flush=True)
"""


def _javascript_code(base: str, dialect: str, column: Column) -> str:
    body = _request_body(_CHAT, column)
    return f"""{_client_js(base)}
const stream = await client.chat.completions.create({_js_object(body)});
for await (const chunk of stream) {{
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}}
"""


def _javascript_responses(base: str, dialect: str, column: Column) -> str:
    body = _request_body(_RESPONSES, column)
    return f"""{_client_js(base)}
const stream = await client.responses.create({_js_object(body)});
for await (const event of stream) {{
  if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
}}
"""


def _client_js(base: str) -> str:
    return f"""import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: {json.dumps(base + "/v1")},
  apiKey: process.env.{KEY_VARIABLE},
}});
"""


def _js_object(body: Json) -> str:
    return json.dumps(body, ensure_ascii=False, indent=2)


RENDERERS: dict[str, Callable[[str, str, Column], str]] = {
    "curl": _curl_code,
    "python-openai": _python_openai,
    "python-responses": _python_responses,
    "python-anthropic": _python_anthropic,
    "python-gemini": _python_gemini,
    "python-ollama": _python_ollama,
    "python-boto3": _python_boto3,
    "python-cohere": _python_cohere,
    "javascript": _javascript_code,
    "javascript-responses": _javascript_responses,
}
TITLES = {
    "curl": "curl",
    "python-openai": "Python, OpenAI Chat",
    "python-responses": "Python, OpenAI Responses",
    "python-anthropic": "Python, Anthropic",
    "python-gemini": "Python, Google Gen AI",
    "python-ollama": "Python, Ollama",
    "python-boto3": "Python, Amazon Bedrock",
    "python-cohere": "Python, Cohere",
    "javascript": "JavaScript, OpenAI Chat",
    "javascript-responses": "JavaScript, OpenAI Responses",
}
# Fields without an argument in the SDK go into `extra_body`: Chat fields of other vendors,
# and fields that Anthropic's SDK removed in version 2 but its API still accepts.
_EXTRA_BODY_FIELDS: dict[str, set[str]] = {
    _CHAT: {"top_k", "min_p", "repetition_penalty"},
    _ANTHROPIC: {"temperature", "top_p", "top_k"},
}


def _python_arguments(body: Json, dialect: str) -> str:
    """Body fields as keyword arguments of a Python call."""
    extra = {k: v for k, v in body.items() if k in _EXTRA_BODY_FIELDS.get(dialect, ())}
    arguments = {k: v for k, v in body.items() if k not in extra}
    if extra:
        arguments["extra_body"] = extra
    return "\n".join(
        f"    {name}={_python_literal(value, 1)}," for name, value in arguments.items()
    )


def _python_literal(value: Any, depth: int) -> str:
    """JSON value as a Python literal, over several lines if it is long."""
    one_line = repr(value)
    if len(one_line) + 4 * depth <= 88 or not isinstance(value, dict | list) or not value:
        return one_line
    pad, end = "    " * (depth + 1), "    " * depth
    if isinstance(value, dict):
        entry_lines = [f"{pad}{k!r}: {_python_literal(v, depth + 1)}," for k, v in value.items()]
        return "{\n" + "\n".join(entry_lines) + f"\n{end}}}"
    entry_lines = [f"{pad}{_python_literal(item, depth + 1)}," for item in value]
    return "[\n" + "\n".join(entry_lines) + f"\n{end}]"
