"""Inserts the messages and default parameters of a stored prompt into a request body.

The prompt's messages come before the client's. Values of the client stay raw JSON.

OpenAI Chat, Ollama   `messages`
Anthropic Messages    `system` and `messages`
Gemini                `systemInstruction` and `contents`
OpenAI Responses      `input`, system messages included
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gateway.canon.errors import invalid
from gateway.canon.json_values import to_raw
from gateway.dialects.base import PromptFormat
from gateway.prompts.prompt import Message, Parameters

Fields = dict[str, msgspec.Raw]


def insert_messages(fields: Fields, form: PromptFormat, messages: Sequence[Message]) -> None:
    """Put the messages before those of the body. Raises GatewayError for a malformed body."""
    turns: Sequence[Message] = messages
    if form.system:
        system = [message.content for message in messages if message.role == "system"]
        turns = [message for message in messages if message.role != "system"]
        if form.uses_parts:
            _insert_system_instruction(fields, form.system, system)
        else:
            blocks = [_text_block(text) for text in system]
            _prepend_items(fields, form.system, blocks, item_of_text=_text_block)
    items = [_render_message(turn, form) for turn in turns]
    _prepend_items(fields, form.messages, items, item_of_text=_user_message)


def insert_parameters(fields: Fields, form: PromptFormat, parameters: Parameters) -> None:
    """Add the parameters that the body does not have and the format supports."""
    values = msgspec.to_builtins(parameters)
    if not values:
        return
    name = _name_in_body(fields, form.parameters_object)
    target = _object_field(fields, name) if name else fields
    for parameter, value in values.items():
        spellings = form.parameters.get(parameter, ())
        if spellings and not any(_is_set(target, spelling) for spelling in spellings):
            target[spellings[0]] = to_raw(value)
    if name and target:
        fields[name] = to_raw(target)


def _render_message(message: Message, form: PromptFormat) -> dict[str, Any]:
    role = form.assistant_role if message.role == "assistant" else message.role
    if form.uses_parts:
        return {"role": role, "parts": [{"text": message.content}]}
    return {"role": role, "content": message.content}


def _user_message(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _prepend_items(
    fields: Fields, name: str, items: list[Any], *, item_of_text: Callable[[str], Any]
) -> None:
    """Put items before those of a list; a text in place of the list becomes an item."""
    old_items: list[Any] = []
    if _is_set(fields, name):
        raw = fields[name]
        if bytes(raw)[:1] == b'"':
            old_items = [item_of_text(msgspec.json.decode(raw))]
        else:
            old_items = list(_list_field(raw, name))
    if items:
        fields[name] = to_raw([*items, *old_items])


def _insert_system_instruction(fields: Fields, field: str, texts: list[str]) -> None:
    if not texts:
        return
    name = _name_in_body(fields, field)
    if _is_set(fields, name) and bytes(fields[name])[:1] == b'"':
        fields[name] = to_raw({"parts": [{"text": msgspec.json.decode(fields[name])}]})
    instruction = _object_field(fields, name)
    old_parts = instruction.get("parts")
    # Gemini accepts a single part in place of the list.
    parts = (
        []
        if old_parts is None
        else [old_parts]
        if bytes(old_parts)[:1] == b"{"
        else _list_field(old_parts, f"{name}.parts")
    )
    instruction["parts"] = to_raw([*({"text": text} for text in texts), *parts])
    fields[name] = to_raw(instruction)


def _name_in_body(fields: Fields, name: str) -> str:
    """The name, or its form in snake case (which protocol buffers accept) if the body has it."""
    alias = re.sub("([A-Z])", r"_\1", name).lower()
    return alias if _is_set(fields, alias) else name


def _object_field(fields: Fields, name: str) -> Fields:
    if not _is_set(fields, name):
        return {}
    try:
        return msgspec.json.decode(fields[name], type=Fields)
    except msgspec.MsgspecError:
        raise invalid(f"{name} must be an object", name) from None


def _list_field(raw: msgspec.Raw, name: str) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(raw, type=list[msgspec.Raw])
    except msgspec.MsgspecError:
        raise invalid(f"{name} must be a list", name) from None


def _is_set(fields: Fields, name: str) -> bool:
    return name in fields and bytes(fields[name]) != b"null"
