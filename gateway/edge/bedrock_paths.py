"""Amazon Bedrock's paths, which contain the model.

/model/{model}/converse, .../converse-stream, .../count-tokens
/model/{model}/invoke, .../invoke-with-response-stream      Messages (`messages_envelope`)
/foundation-models, /foundation-models/{model}      the list of models

All of them also work below /bedrock. A model may contain slashes, as an ARN does.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

Action = Literal["generate", "count_tokens", "models", "model"]
_MODEL_PATH = re.compile(
    r"(?:/bedrock)?/model/(?P<model>.+)/"
    r"(?P<operation>converse|converse-stream|count-tokens|invoke|invoke-with-response-stream)/?",
    re.DOTALL,
)
_LIST_PATH = re.compile(r"(?:/bedrock)?/foundation-models(?:/(?P<model>.+?))?/?", re.DOTALL)
_PATH_PREFIXES = ("/model/", "/bedrock/", "/foundation-models", "/inference-profiles")


class BedrockPath(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed path; `name` is that of the endpoint in the log, `dialect` that of the body."""

    name: str
    action: Action
    model: str = ""
    stream: bool = False
    dialect: str = "bedrock_converse"


def is_bedrock(path: str) -> bool:
    """Whether only clients of Bedrock call paths like this one."""
    return path.startswith(_PATH_PREFIXES)


def parse(path: str) -> BedrockPath | None:
    """Parse a path; None for one that is not an operation of Bedrock."""
    if not path.startswith(_PATH_PREFIXES):
        return None
    if match := _MODEL_PATH.fullmatch(path):
        operation = match["operation"]
        return BedrockPath(
            name=f"/model/{{id}}/{operation}",
            action="count_tokens" if operation == "count-tokens" else "generate",
            model=match["model"],
            stream=operation.endswith("-stream"),
            dialect="anthropic_messages" if operation.startswith("invoke") else "bedrock_converse",
        )
    if match := _LIST_PATH.fullmatch(path):
        model = match["model"] or ""
        name = "/foundation-models/{id}" if model else "/foundation-models"
        return BedrockPath(name=name, action="model" if model else "models", model=model)
    return None
