"""Stored prompts as documents. A write with other content stores a new version."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.models import Prompt
from gateway.prompts.prompt import parse_version
from gateway.store.documents.schemas import (
    PromptDoc,
    Refused,
    as_json,
    check_row,
    claim,
    convert_document,
)
from gateway.store.prompts import active_version, save_prompt, version_value


def read_prompt(row: Prompt) -> dict[str, Any]:
    """The prompt as a document, with the content of its active version."""
    version = active_version(row)
    content: dict[str, Any] = {}
    if version is not None:
        value = version_value(version)
        content = {
            "messages": list(value.messages),
            "parameters": value.parameters,
            "model": value.model,
        }
    document: dict[str, Any] = as_json(
        PromptDoc(name=row.name, description=row.description, **content)
    )
    return document


def write_prompt(document: dict[str, Any], row: Prompt | None) -> Prompt:
    """Create or change a prompt. Raises Refused."""
    values = convert_document(document, PromptDoc)
    row = row or Prompt()
    claim(row)
    if row.pk and values.name != row.name:
        raise Refused("name", "a prompt cannot be renamed: requests refer to its name")
    row.name, row.description = values.name, values.description
    try:
        content = parse_version(
            0, msgspec.to_builtins(values.messages), msgspec.to_builtins(values.parameters)
        )
    except ValueError as error:
        field, _, reason = str(error).partition(": ")
        raise Refused(field, reason) from None
    if len(values.model) > 200:
        raise Refused("model", "must have at most 200 characters")
    check_row(row)
    return save_prompt(row, msgspec.structs.replace(content, model=values.model))
