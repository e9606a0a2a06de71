"""Tool fields of a passthrough body that its target is known not to understand."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, approximated_field, dropped_field
from gateway.canon.json_values import to_raw
from gateway.canon.traits import Traits
from gateway.dialects.shared.render_context import ONLY_ALLOWED_SENT
from gateway.dialects.shared.server_tools import NO_WEB_SEARCH

Fields = dict[str, msgspec.Raw]

_SEARCH_OPTIONS, _ALLOWED_TOOLS = "web_search_options", "allowed_tools"
_NULL = b"null"
_EMPTY_TOOLS = b"[]"
# Tool choices that mean nothing without tools.
_OPTIONAL_CHOICES = (b"", _NULL, b'"auto"', b'"none"')
# OpenAI accepts these only next to tools.
_FIELDS_WITH_TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})


def fit_passed_tools(fields: Fields, traits: Traits) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The fields without `web_search_options` and `allowed_tools` that the target lacks.

    An empty list of tools, which many providers reject, is omitted. Returns the same object if
    nothing changes. A malformed field is left to the provider.
    """
    report: list[Adaptation] = []
    search = fields.get(_SEARCH_OPTIONS)
    if search is not None and not traits.web_search_options and bytes(search) != _NULL:
        fields = {name: value for name, value in fields.items() if name != _SEARCH_OPTIONS}
        report.append(dropped_field(_SEARCH_OPTIONS, NO_WEB_SEARCH))
    choice = bytes(fields.get("tool_choice", b""))
    if bytes(fields.get("tools", b"")) == _EMPTY_TOOLS and choice in _OPTIONAL_CHOICES:
        fields = {name: v for name, v in fields.items() if name not in _FIELDS_WITH_TOOLS}
    if not traits.allowed_tools and choice.find(b'"allowed_tools"') >= 0:
        try:
            fields = _filter_tools(fields, choice, traits, report)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, _MalformedChoiceError):
            return fields, tuple(report)
    return fields, tuple(report)


class _MalformedChoiceError(Exception):
    """A tool choice or a tool of another form than the API's."""


def _filter_tools(
    fields: Fields, choice: bytes, traits: Traits, report: list[Adaptation]
) -> Fields:
    """The fields with only the allowed tools, and the mode as the tool choice."""
    value = msgspec.json.decode(choice)
    if not isinstance(value, dict) or value.get("type") != _ALLOWED_TOOLS:
        return fields
    allowed_tools = value.get(_ALLOWED_TOOLS)
    refs = allowed_tools.get("tools") if isinstance(allowed_tools, dict) else None
    if not isinstance(refs, list):
        raise _MalformedChoiceError
    names = {_tool_name(ref) for ref in refs}
    tools = msgspec.json.decode(fields.get("tools", b"[]"), type=list[msgspec.Raw])
    sent_tools = [tool for tool in tools if _tool_name(msgspec.json.decode(tool)) in names]
    other_fields = {name: v for name, v in fields.items() if name not in {"tools", "tool_choice"}}
    if not sent_tools:
        report.append(dropped_field("tool_choice", "no tools are sent"))
        return other_fields
    required = isinstance(allowed_tools, dict) and allowed_tools.get("mode") == "required"
    mode = traits.tool_choice_any if required and traits.forced_tools else "auto"
    if len(sent_tools) < len(tools) or (required and not traits.forced_tools):
        report.append(approximated_field("tool_choice", ONLY_ALLOWED_SENT))
    return {
        **other_fields,
        "tools": to_raw(sent_tools),
        "tool_choice": to_raw(mode),
    }


def _tool_name(tool: Any) -> str:
    """The name in a tool or in a reference to one."""
    if not isinstance(tool, dict):
        raise _MalformedChoiceError
    definition = tool.get("function") or tool.get("custom")
    name = definition.get("name") if isinstance(definition, dict) else tool.get("type")
    if not isinstance(name, str):
        raise _MalformedChoiceError
    return name
