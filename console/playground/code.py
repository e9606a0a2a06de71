"""The code that asks what a column asks: curl, the OpenAI and Anthropic SDKs, JavaScript.

The key is a variable in it, never a value.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

from console.playground import wire
from console.playground.columns import Case, Column

Json = dict[str, Any]

KEY = "DRAGOMAN_API_KEY"
_ANTHROPIC = "anthropic_messages"
_CHAT = "openai_chat"
# Where a dialect is served, and the headers its clients send beside the content type.
_ENDPOINTS: dict[str, tuple[str, tuple[str, ...]]] = {
    _CHAT: ("/v1/chat/completions", (f"Authorization: Bearer ${KEY}",)),
    _ANTHROPIC: ("/v1/messages", (f"x-api-key: ${KEY}", "anthropic-version: 2023-06-01")),
}


def written(lang: str, base: str, dialect: str, column: Column, case: Case) -> str:
    """The code in a language of LANGS. Raises GatewayError, and KeyError for no language."""
    return LANGS[lang](base.rstrip("/"), dialect, column, case)


def _body(dialect: str, column: Column, case: Case, *, stream: bool) -> Json:
    return wire.rendered(dialect, wire.request(column, case, stream=stream))[0]


def _curl(base: str, dialect: str, column: Column, case: Case) -> str:
    path, headers = _ENDPOINTS.get(dialect, _ENDPOINTS[_CHAT])
    body = _body(dialect if dialect in _ENDPOINTS else _CHAT, column, case, stream=True)
    lines = [f"curl -N {shlex.quote(base + path)}"]
    # Double quotes: the shell puts the key in.
    lines += [f'-H "{header}"' for header in headers]
    lines += ['-H "Content-Type: application/json"']
    lines += [f"-d {shlex.quote(json.dumps(body, ensure_ascii=False, indent=2))}"]
    return " \\\n  ".join(lines) + "\n"


def _python_openai(base: str, dialect: str, column: Column, case: Case) -> str:
    body = _body(_CHAT, column, case, stream=True)
    return f"""import os

from openai import OpenAI

client = OpenAI(base_url={base + "/v1"!r}, api_key=os.environ[{KEY!r}])

stream = client.chat.completions.create(
{_keywords(body, _CHAT)}
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
"""


def _python_anthropic(base: str, dialect: str, column: Column, case: Case) -> str:
    body = _body(_ANTHROPIC, column, case, stream=True)
    body.pop("stream", None)
    return f"""import os

import anthropic

client = anthropic.Anthropic(base_url={base!r}, api_key=os.environ[{KEY!r}])

with client.messages.stream(
{_keywords(body, _ANTHROPIC)}
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
"""


def _javascript(base: str, dialect: str, column: Column, case: Case) -> str:
    body = _body(_CHAT, column, case, stream=True)
    text = json.dumps(body, ensure_ascii=False, indent=2)
    return f"""import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: {json.dumps(base + "/v1")},
  apiKey: process.env.{KEY},
}});

const stream = await client.chat.completions.create({text});
for await (const chunk of stream) {{
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}}
"""


LANGS: dict[str, Callable[[str, str, Column, Case], str]] = {
    "curl": _curl,
    "python-openai": _python_openai,
    "python-anthropic": _python_anthropic,
    "javascript": _javascript,
}
# What an SDK has no argument for goes into its free part of the body: Chat fields of
# other vendors, and what Anthropic's SDK dropped with version 2 but its API still takes.
_EXTRA = {
    _CHAT: {"top_k", "min_p", "repetition_penalty"},
    _ANTHROPIC: {"temperature", "top_p", "top_k"},
}


def _keywords(body: Json, dialect: str) -> str:
    """The body as the arguments of a Python call."""
    extra = {k: v for k, v in body.items() if k in _EXTRA[dialect]}
    plain = {k: v for k, v in body.items() if k not in extra}
    if extra:
        plain["extra_body"] = extra
    return "\n".join(f"    {name}={_literal(value, 1)}," for name, value in plain.items())


def _literal(value: Any, depth: int) -> str:
    """A JSON value in Python, over several lines where it is long."""
    flat = repr(value)
    if len(flat) + 4 * depth <= 88 or not isinstance(value, dict | list) or not value:
        return flat
    pad, end = "    " * (depth + 1), "    " * depth
    if isinstance(value, dict):
        inner = [f"{pad}{k!r}: {_literal(v, depth + 1)}," for k, v in value.items()]
        return "{\n" + "\n".join(inner) + f"\n{end}}}"
    inner = [f"{pad}{_literal(item, depth + 1)}," for item in value]
    return "[\n" + "\n".join(inner) + f"\n{end}]"
