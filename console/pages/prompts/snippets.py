"""Code that calls a stored prompt by its name."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from console.client_environment import KEY_VARIABLE
from console.shell import quote

_QUESTION = "Hello"


class Snippet(NamedTuple):
    """Code for a client, with an id for the page."""

    id: str
    title: str
    code: str


def snippets(base: str, name: str, variables: list[str], model: str) -> list[Snippet]:
    """Code for the OpenAI and Anthropic SDKs and curl; `base` is the gateway's URL."""
    reference: dict[str, Any] = {"id": name}
    if variables:
        reference["variables"] = dict.fromkeys(variables, "...")
    extra = {"dragoman": {"prompt": reference}}
    model = model or "MODEL"
    openai = f"""import os

from openai import OpenAI

client = OpenAI(base_url={base + "/v1"!r}, api_key=os.environ[{KEY_VARIABLE!r}])
"""
    body = {"model": model, "prompt": reference, "input": _QUESTION}
    return [
        Snippet(
            "responses",
            "OpenAI SDK, Responses",
            f"""{openai}
response = client.responses.create(
    model={model!r},
    prompt={reference!r},
    input={_QUESTION!r},
)
print(response.output_text)
""",
        ),
        Snippet(
            "chat",
            "OpenAI SDK, Chat Completions",
            f"""{openai}
completion = client.chat.completions.create(
    model={model!r},
    messages=[{{"role": "user", "content": {_QUESTION!r}}}],
    extra_body={extra!r},
)
print(completion.choices[0].message.content)
""",
        ),
        Snippet(
            "anthropic",
            "Anthropic SDK",
            f"""import os

from anthropic import Anthropic

client = Anthropic(base_url={base!r}, api_key=os.environ[{KEY_VARIABLE!r}])

message = client.messages.create(
    model={model!r},
    max_tokens=1024,
    messages=[{{"role": "user", "content": {_QUESTION!r}}}],
    extra_body={extra!r},
)
print(message.content[0].text)
""",
        ),
        Snippet(
            "curl",
            "curl",
            f"""curl {quote(base + "/v1/responses")} \\
  -H "Authorization: Bearer ${KEY_VARIABLE}" \\
  -H "Content-Type: application/json" \\
  -d {quote(json.dumps(body, ensure_ascii=False, indent=2))}
""",
        ),
    ]
