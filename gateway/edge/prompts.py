"""Stored prompts in requests: finds the prompt that a body names, and inserts it.

    {"dragoman": {"prompt": {"id": "support", "version": 2, "variables": {"city": "Oslo"}}}}
    {"prompt": {"id": "support", "version": "2", "variables": {...}}}         OpenAI Responses

The field is removed from the body: no provider knows the gateway's prompts.
https://platform.openai.com/docs/api-reference/responses/create#responses-create-prompt
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.json_values import to_raw
from gateway.prompts.insert import insert_messages, insert_parameters
from gateway.prompts.prompt import Prompt, PromptVersion
from gateway.prompts.variables import MissingVariable
from gateway.relay.exchange.call import Exchange

FIELD = "dragoman"
_NAMES = ("id", "name", "version", "variables")


def insert_prompt(exchange: Exchange) -> None:
    """Insert the prompt that the body names. Raises GatewayError naming the invalid field."""
    fields = dict(exchange.fields)
    reference: Any = None
    path = ""
    if FIELD in fields:
        options = _decode_object(fields.pop(FIELD), FIELD)
        for name in options or ():
            if name != "prompt":
                raise invalid(f"{FIELD}.{name[:80]} is not supported; use {FIELD}.prompt", FIELD)
        reference = (options or {}).get("prompt")
        path = f"{FIELD}.prompt"
    own_field = exchange.dialect.prompt_format.reference_field
    if reference is None and own_field and own_field in fields:
        path = own_field
        reference = _decode_object(fields[path], path)
        if _is_foreign(exchange, reference):
            reference = None
        else:
            del fields[path]
    if reference is not None:
        _apply_prompt(exchange, fields, reference, path)
    exchange.fields = fields
    exchange.body = msgspec.json.encode(fields)


def _apply_prompt(
    exchange: Exchange, fields: dict[str, msgspec.Raw], reference: Any, path: str
) -> None:
    if not isinstance(reference, dict):
        raise invalid(f"{path} must be an object", path)
    form = exchange.dialect.prompt_format
    if not form.messages or exchange.verb == "embed" or not form.excluded_fields.isdisjoint(fields):
        raise invalid(f"{path} is supported in requests with messages only", path)
    prompt, version = _find_prompt(exchange, reference, path)
    variables = reference.get("variables")
    if variables is not None and not isinstance(variables, dict):
        raise invalid(f"{path}.variables must be an object", f"{path}.variables")
    values = {
        name: _text_value(value, f"{path}.variables.{name[:80]}")
        for name, value in (variables or {}).items()
    }
    try:
        messages = version.render(values)
    except MissingVariable as error:
        message = f"the prompt `{prompt.name}` needs a value for the variable `{error.name[:80]}`"
        raise invalid(message, f"{path}.variables.{error.name[:80]}") from None
    insert_messages(fields, form, messages)
    insert_parameters(fields, form, version.parameters)
    if not exchange.model and version.model:
        exchange.model = version.model
        fields["model"] = to_raw(version.model)
    exchange.prompt_tag = f"prompt:{prompt.name}@{version.number}"


def _find_prompt(
    exchange: Exchange, reference: dict[str, Any], path: str
) -> tuple[Prompt, PromptVersion]:
    for name in reference:
        if name not in _NAMES:
            supported_names = ", ".join(_NAMES)
            raise invalid(
                f"{path}.{name[:80]} is not supported; supported are {supported_names}", path
            )
    field = "name" if reference.get("id") is None else "id"
    prompt_name = reference.get(field)
    if not isinstance(prompt_name, str) or not prompt_name:
        raise invalid(f"{path}.id is required: the name of a stored prompt", f"{path}.id")
    prompt = exchange.snapshot.prompts.get(prompt_name)
    if prompt is None:
        message = f"there is no stored prompt `{prompt_name[:100]}`"
        raise GatewayError(Error(kind="not_found", message=message, param=f"{path}.{field}"))
    requested_version = reference.get("version")
    if requested_version is None:
        return prompt, prompt.versions[prompt.active]
    param = f"{path}.version"
    text = str(requested_version) if isinstance(requested_version, (int, str)) else ""
    if isinstance(requested_version, bool) or not (
        text.isascii() and text.isdigit() and len(text) < 10
    ):
        raise invalid(f"{param} must be the number of a version, such as 2", param)
    version = prompt.versions.get(int(text))
    if version is None:
        message = f"the prompt `{prompt.name}` has no usable version {int(text)}"
        raise GatewayError(Error(kind="not_found", message=message, param=param))
    return prompt, version


def _is_foreign(exchange: Exchange, reference: Any) -> bool:
    """Whether the provider resolves the prompt; also true for null."""
    if reference is None:
        return True
    prompt_id = reference.get("id")
    return (
        isinstance(prompt_id, str)
        and prompt_id.startswith(exchange.dialect.prompt_format.foreign_id_prefix)
        and prompt_id not in exchange.snapshot.prompts
    )


def _text_value(value: Any, path: str) -> Any:
    """The value of a variable: OpenAI's `input_text` objects become their text."""
    if isinstance(value, dict) and str(value.get("type", "")).startswith("input_"):
        if value["type"] != "input_text" or not isinstance(value.get("text"), str):
            raise invalid(f"{path} must be text: stored prompts have no files or images", path)
        return value["text"]
    return value


def _decode_object(raw: msgspec.Raw, name: str) -> dict[str, Any] | None:
    """The object of a field, None for null. Raises GatewayError."""
    try:
        return msgspec.json.decode(raw, type=dict[str, Any] | None)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise invalid(f"{name} must be an object", name) from None
