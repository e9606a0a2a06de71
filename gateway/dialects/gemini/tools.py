"""Tools, tool choice and schemas: a client's to canonical, and back for a provider."""

from __future__ import annotations

import re
from typing import Any, assert_never

from msgspec.structs import replace

from gateway.canon.object_schema import has_null_members, merge_into_object
from gateway.canon.request import Tool, ToolChoice
from gateway.canon.schema import (
    describe_constraints,
    unwrap_single_all_of,
    with_object_schemas,
)
from gateway.dialects.gemini.context import CALLING_CONFIG, NAME, Json, RenderContext, camel_case
from gateway.dialects.shared import code_execution, image_generation
from gateway.dialects.shared.fields import (
    enum_value,
    mapping,
    objects,
    required_text,
    strings,
    text,
)
from gateway.dialects.shared.free_text_tools import TEXT_INPUT_SCHEMA, describe_free_text_tool
from gateway.dialects.shared.unique_tools import unique_tools
from gateway.dialects.shared.web_search import has_options, without_included_sources

# --- schemas --------------------------------------------------------------------------------------
#
# Keywords outside the subset are moved to the description, where the model reads them.

# ai.google.dev, structured outputs: the documented keywords of `*JsonSchema`.
_SUPPORTED_KEYWORDS = frozenset(
    {
        "$id",
        "$defs",
        "$ref",
        "$anchor",
        "type",
        "format",
        "title",
        "description",
        "enum",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "anyOf",
        "oneOf",
        "properties",
        "additionalProperties",
        "required",
        "propertyOrdering",
    }
)
# Keywords for tooling, not for a model: dropped without a note in the description.
_TOOLING_KEYWORDS = frozenset({"$comment", "examples", "deprecated", "readOnly", "writeOnly"})
_MAX_DEPTH = 100
_OLD_DEFS, _NEW_DEFS = "#/definitions/", "#/$defs/"

# --- for a provider -------------------------------------------------------------------------------


def to_gemini_schema(schema: Json) -> tuple[Json, list[str]]:
    """The schema in Gemini's subset, and the keywords that had to be changed."""
    changed_keywords: dict[str, None] = {}
    converted_schema = _convert_schema(with_object_schemas(schema), changed_keywords, 0)
    return converted_schema, list(changed_keywords)


def _convert_schema(schema: Json, changed_keywords: dict[str, None], depth: int) -> Json:
    if depth > _MAX_DEPTH:
        changed_keywords["nesting"] = None
        return schema
    schema = _rename_keywords(unwrap_single_all_of(schema), changed_keywords)
    schema = _separate_null(_separate_reference(schema))
    if "$ref" in schema:
        return _convert_reference(schema, changed_keywords, depth)
    unsupported_keywords = [
        key for key in schema if key not in _SUPPORTED_KEYWORDS or _is_unsupported(key, schema[key])
    ]
    changed_keywords.update(dict.fromkeys(unsupported_keywords))
    dropped_keywords = frozenset(unsupported_keywords)
    out = {key: value for key, value in schema.items() if key not in dropped_keywords}
    describe_constraints(
        out, schema, [key for key in unsupported_keywords if key not in _TOOLING_KEYWORDS]
    )
    return _convert_subschemas(out, changed_keywords, depth)


def _convert_subschemas(out: Json, changed_keywords: dict[str, None], depth: int) -> Json:
    for key in ("properties", "$defs"):
        if isinstance(out.get(key), dict):
            out[key] = {
                name: _convert_value(s, changed_keywords, depth) for name, s in out[key].items()
            }
    for key in ("anyOf", "oneOf", "prefixItems", "items", "additionalProperties"):
        if key in out:
            out[key] = _convert_value(out[key], changed_keywords, depth)
    return out


def _convert_value(value: Any, changed_keywords: dict[str, None], depth: int) -> Any:
    """A schema, or each of a list of them; `true` and `false` are schemas too."""
    if isinstance(value, list):
        return [_convert_value(item, changed_keywords, depth + 1) for item in value]
    return _convert_schema(value, changed_keywords, depth + 1) if isinstance(value, dict) else value


def _rename_keywords(schema: Json, changed_keywords: dict[str, None]) -> Json:
    """The schema with keywords renamed to those that Gemini supports.

    It has no `$schema`, which constrains nothing: its removal is not a change.
    """
    out = {key: value for key, value in schema.items() if key != "$schema"}
    if "definitions" in out and "$defs" not in out:
        out["$defs"] = out.pop("definitions")
    if "const" in out and "enum" not in out and _is_enum_value(out["const"]):
        changed_keywords["const"] = None
        out["enum"] = [out.pop("const")]
    return out


def _separate_reference(schema: Json) -> Json:
    """The schema with a described reference in an `anyOf`, so that the description stays."""
    if "$ref" not in schema or "description" not in schema or "anyOf" in schema:
        return schema
    described = {key: value for key, value in schema.items() if key != "$ref"}
    return {**described, "anyOf": [{"$ref": schema["$ref"]}]}


def _separate_null(schema: Json) -> Json:
    """The schema with a nullable enum as two alternatives; an enum itself may not contain null."""
    kinds, values = schema.get("type"), schema.get("enum")
    if not (isinstance(kinds, list) and "null" in kinds and isinstance(values, list)):
        return schema
    other_kinds = [kind for kind in kinds if kind != "null"]
    other_values = [value for value in values if value is not None]
    if "anyOf" in schema or not other_kinds or len(other_values) in (0, len(values)):
        return schema
    kind = other_kinds[0] if len(other_kinds) == 1 else other_kinds
    shared = {key: value for key, value in schema.items() if key not in ("type", "enum")}
    return {**shared, "anyOf": [{"type": kind, "enum": other_values}, {"type": "null"}]}


def _convert_reference(schema: Json, changed_keywords: dict[str, None], depth: int) -> Json:
    """A reference; only keywords with a `$` may stand next to it."""
    out = {
        key: value
        for key, value in schema.items()
        if key.startswith("$") and key not in _TOOLING_KEYWORDS
    }
    changed_keywords.update(dict.fromkeys(key for key in schema if key not in out))
    if isinstance(out["$ref"], str):
        out["$ref"] = out["$ref"].replace(_OLD_DEFS, _NEW_DEFS)
    return _convert_subschemas(out, changed_keywords, depth)


def _is_unsupported(key: str, value: Any) -> bool:
    if key == "enum":
        return not isinstance(value, list) or not all(map(_is_enum_value, value))
    return False


def _is_enum_value(value: Any) -> bool:
    """Whether an enum may contain it: strings and numbers only."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


# --- a client's tools -----------------------------------------------------------------------------

_COUNT_KEYWORDS = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
)
# An int64, which Google's JSON has as a string.
_COUNT = re.compile(r"[0-9]{1,18}")


def from_google_schema(schema: Any, depth: int = 0) -> Any:
    """Google's `Schema` (upper-case types, `nullable`, counts as strings) as JSON Schema."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return schema
    out: Json = {}
    for name, value in schema.items():
        _set_keyword(out, camel_case(name), value, depth)
    if out.pop("nullable", None) is True:
        _make_nullable(out)
    _order_properties(out, out.pop("propertyOrdering", None))
    return out


def _set_keyword(out: Json, key: str, value: Any, depth: int) -> None:
    if key == "type" and isinstance(value, str):
        if value.upper() != "TYPE_UNSPECIFIED":
            out["type"] = value.lower()
    elif key in {"properties", "defs", "$defs"} and isinstance(value, dict):
        name = "$defs" if key == "defs" else key
        out[name] = {inner: from_google_schema(item, depth + 1) for inner, item in value.items()}
    elif key in {"anyOf", "oneOf", "prefixItems"} and isinstance(value, list):
        out[key] = [from_google_schema(item, depth + 1) for item in value]
    elif key in {"items", "additionalProperties"}:
        out[key] = from_google_schema(value, depth + 1)
    elif key in _COUNT_KEYWORDS and isinstance(value, str) and _COUNT.fullmatch(value):
        out[key] = int(value)
    elif key == "example":
        out["examples"] = [value]
    elif key == "ref":
        out["$ref"] = value
    elif not (key == "format" and value == "enum"):
        out[key] = value


def _make_nullable(out: Json) -> None:
    kind = out.get("type")
    if isinstance(kind, str):
        out["type"] = [kind, "null"]
        if isinstance(out.get("enum"), list) and None not in out["enum"]:
            out["enum"] = [*out["enum"], None]
    elif isinstance(out.get("anyOf"), list):
        out["anyOf"] = [*out["anyOf"], {"type": "null"}]


def _order_properties(out: Json, order: Any) -> None:
    """Put the properties into the requested order."""
    properties = out.get("properties")
    if isinstance(order, list) and isinstance(properties, dict):
        first = {name: properties[name] for name in order if name in properties}
        out["properties"] = {**first, **properties}


# --- tools and tool choice ------------------------------------------------------------------------

_JSON_SCHEMA = "parametersJsonSchema"
_FUNCTION_FIELDS = frozenset({"name", "description", "parameters", _JSON_SCHEMA})
_DECLARATIONS = "functionDeclarations"
_ALLOWED_NAMES = "allowedFunctionNames"
_CALLING_MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")
# Web search: its canonical name, and Google's.
_WEB_SEARCH, _GOOGLE_SEARCH = "web_search", "googleSearch"


# --- a client's tools -----------------------------------------------------------------------------


def parse_tools(body: Json, *, strict: bool | None) -> tuple[Tool, ...]:
    """The tools; those that Google runs stay in their native form. `strict` is of all functions."""
    tools: list[Tool] = []
    for index, item in enumerate(objects(body, "tools")):
        tool_path = f"tools[{index}]"
        for function_index, function in enumerate(objects(item, _DECLARATIONS, tool_path)):
            path = f"{tool_path}.{_DECLARATIONS}[{function_index}]"
            tools.append(_parse_function(function, path, strict=strict))
        tools += [
            _parse_server(key, value, tool_path)
            for key, value in item.items()
            if key != _DECLARATIONS and value is not None
        ]
    return tuple(tools)


def _parse_function(function: Json, path: str, *, strict: bool | None) -> Tool:
    schema = mapping(function, _JSON_SCHEMA, path)
    if schema is None:
        schema = from_google_schema(mapping(function, "parameters", path))
    extra = {k: v for k, v in function.items() if k not in _FUNCTION_FIELDS and v is not None}
    return Tool(
        name=required_text(function, "name", path),
        description=text(function, "description", path),
        schema=schema,
        strict=strict,
        dialect=NAME if extra else "",
        extra=extra,
        path=path,
    )


def find_schema_field(body: Json) -> str:
    """The field with the schemas of the request's functions, which clients use for all of them."""
    functions = (f for item in objects(body, "tools") for f in objects(item, _DECLARATIONS))
    is_json_schema = any(function.get(_JSON_SCHEMA) is not None for function in functions)
    return _JSON_SCHEMA if is_json_schema else "parameters"


def _parse_server(key: str, value: Any, path: str) -> Tool:
    name = key
    if camel_case(key) == _GOOGLE_SEARCH:
        name = _WEB_SEARCH
    elif key in code_execution.GEMINI_TOOLS:
        name = code_execution.NAME
    return Tool(name=name, kind="server", dialect=NAME, native={key: value}, path=f"{path}.{key}")


def parse_tool_choice(body: Json, extra: Json) -> tuple[ToolChoice | None, bool | None]:
    """Which functions may or must be called, and whether calls follow their schemas strictly.

    The mode VALIDATED is AUTO with calls that follow the schemas (ai.google.dev, function calling;
    2026-08). Settings without an equivalent go into `extra`.
    """
    config = mapping(body, "toolConfig") or {}
    extra |= {
        f"toolConfig.{k}": v
        for k, v in config.items()
        if k != "functionCallingConfig" and v is not None
    }
    calling_config = mapping(config, "functionCallingConfig", "toolConfig")
    if calling_config is None:
        return None, None
    mode = enum_value(calling_config, "mode", _CALLING_MODES, CALLING_CONFIG)
    names = strings(calling_config, _ALLOWED_NAMES, CALLING_CONFIG)
    extra |= {
        f"{CALLING_CONFIG}.{k}": v
        for k, v in calling_config.items()
        if k not in ("mode", _ALLOWED_NAMES)
    }
    if names and mode not in ("ANY", "VALIDATED"):
        extra[f"{CALLING_CONFIG}.{_ALLOWED_NAMES}"] = list(names)
    return _parse_mode(mode, names), True if mode == "VALIDATED" else None


def _parse_mode(mode: str | None, names: tuple[str, ...]) -> ToolChoice | None:
    match mode:
        case "ANY" if len(names) == 1:
            return ToolChoice(mode="named", names=names)
        case "ANY" if names:
            return ToolChoice(mode="allowed", names=names, required=True)
        case "ANY":
            return ToolChoice(mode="any")
        case "NONE":
            return ToolChoice(mode="none")
        case "VALIDATED" if names:
            return ToolChoice(mode="allowed", names=names)
        case "VALIDATED" | "AUTO":
            return ToolChoice(mode="auto")
        case _:
            return None


# --- a provider's tools ---------------------------------------------------------------------------


def render_tools(context: RenderContext, body: Json) -> None:
    """Render the tools and the tool choice into the body."""
    request, traits = context.request, context.traits
    if request.tools and not traits.tools:
        context.drop_tools(f"{context.model} does not support tools")
    offered_tools = _select_tools(context) if traits.tools else []
    functions = [_render_function(context, tool) for tool in offered_tools if tool.kind != "server"]
    tools: list[Json] = [{_DECLARATIONS: functions}] if functions else []
    built_in = [t for t in offered_tools if t.kind == "server"]
    if functions and traits.built_in_with_functions == "none" and not context.same_dialect:
        for tool in built_in:
            context.drop(
                tool.path,
                f"{context.model} does not support built-in tools together with functions",
            )
        built_in = []
    built_in_objects = [item for tool in built_in if (item := _render_server_tool(context, tool))]
    tools += built_in_objects
    if tools:
        body["tools"] = tools
    has_both_kinds = bool(functions and built_in_objects) and not context.same_dialect
    needs_invocation_flag = has_both_kinds and traits.built_in_with_functions == "flag"
    config = _render_tool_choice(context, {function["name"] for function in functions})
    if needs_invocation_flag and config == {"mode": "AUTO"}:
        # Not accepted with both kinds; their default, VALIDATED, lets the model choose too.
        config = None
    if config is not None:
        body["toolConfig"] = {"functionCallingConfig": config}
    if needs_invocation_flag:
        body.setdefault("toolConfig", {})["includeServerSideToolInvocations"] = True


def _select_tools(context: RenderContext) -> list[Tool]:
    """The tools to offer: all, or only those that the client allows without forcing one."""
    choice = context.request.tool_choice
    loaded = unique_tools(context, context.load_deferred_tools())
    if context.same_dialect or (choice is not None and choice.required):
        return loaded
    return context.filter_allowed_tools(loaded)


def _render_function(context: RenderContext, tool: Tool) -> Json:
    declaration: Json = {"name": context.sent_name(tool.name)}
    description = tool.description or ""
    if tool.kind == "custom":
        description = describe_free_text_tool(context, tool)
    if description:
        declaration["description"] = description
    declaration[_JSON_SCHEMA] = (
        TEXT_INPUT_SCHEMA if tool.kind == "custom" else _render_schema(context, tool)
    )
    context.drop_cache_marks(tool.cache)
    for key, value in tool.extra.items():
        if tool.dialect == NAME:
            declaration[key] = value
        else:
            context.drop(f"{tool.path}.{key}", "no equivalent")
    return declaration


def _render_schema(context: RenderContext, tool: Tool) -> Json:
    """The schema of a function's parameters, which must be an object."""
    if not tool.schema:
        return {"type": "object", "properties": {}}
    object_schema = tool.schema
    is_object = object_schema.get("type") == "object" and "allOf" not in object_schema
    if not is_object or has_null_members(object_schema):
        object_schema, merge_note = merge_into_object(object_schema)
        if merge_note:
            context.approximate(tool.path, merge_note)
    schema, changed_keywords = to_gemini_schema(object_schema)
    if changed_keywords:
        schema_field = context.request.client_paths.get("tool_schema")
        reason = f"{'/'.join(changed_keywords)}: not in Gemini's JSON Schema, moved to descriptions"
        context.approximate(f"{tool.path}.{schema_field}" if schema_field else tool.path, reason)
    return schema


def _render_server_tool(context: RenderContext, tool: Tool) -> Json | None:
    if tool.dialect == NAME and tool.native is not None:
        return tool.native
    if image_generation.is_image_generation(tool) and context.traits.image_output:
        return None  # `responseModalities` requests the images
    if context.requests_code_execution(tool):
        return {context.traits.code_execution: {}}
    if context.find_web_search(tool) is None:
        return None
    if has_options(tool):
        context.approximate(tool.path, "Google Search does not support these options")
    context.request = without_included_sources(context.request)
    return {context.traits.web_search: {}}


def _render_tool_choice(context: RenderContext, declared_names: set[str]) -> Json | None:
    """The calling config; None if the default applies. `declared_names` are the functions sent."""
    choice, request = context.request.tool_choice, context.request
    strict = [
        tool
        for tool in request.tools
        if tool.strict and context.sent_name(tool.name) in declared_names
    ]
    if choice is not None and choice.parallel is False:
        context.drop(request.client_path("parallel"), "parallel calls cannot be switched off")
    if not declared_names:
        context.drop_tool_choice()
        return None
    calling_config = _render_choice_mode(context, _restrict_choice(context, choice, declared_names))
    if strict and (calling_config is None or calling_config["mode"] == "AUTO"):
        for tool in () if context.same_dialect else strict:
            context.approximate(
                context.part_field(tool.path, "tool_strict"),
                "tool calls are validated against their schemas (VALIDATED)",
            )
        return {**(calling_config or {}), "mode": "VALIDATED"}
    return calling_config


def _restrict_choice(
    context: RenderContext, choice: ToolChoice | None, declared_names: set[str]
) -> ToolChoice | None:
    """The choice among functions that are sent: only declared ones may be named."""
    if choice is None or choice.mode not in {"named", "allowed"}:
        return choice
    names = tuple(name for name in choice.names if context.sent_name(name) in declared_names)
    if names == choice.names:
        return choice
    if names:
        context.approximate(
            context.request.client_path("tool_choice"),
            "tools that are not sent are removed from the list",
        )
        return replace(choice, names=names)
    context.drop(context.request.client_path("tool_choice"), "the tool it names is not sent")
    return replace(choice, mode=None)


def _render_choice_mode(context: RenderContext, choice: ToolChoice | None) -> Json | None:
    if choice is None:
        return None
    match choice.mode:
        case None:
            return None
        case "auto":
            return {"mode": "AUTO"}
        case "any":
            return {"mode": "ANY"}
        case "none":
            return {"mode": "NONE"}
        case "named":
            return {"mode": "ANY", _ALLOWED_NAMES: [context.sent_name(choice.names[0])]}
        case "allowed":
            names = [context.sent_name(name) for name in choice.names]
            if choice.required:
                return {"mode": "ANY", _ALLOWED_NAMES: names}
            return (
                {"mode": "AUTO", _ALLOWED_NAMES: names}
                if context.same_dialect
                else {"mode": "AUTO"}
            )
        case _:
            assert_never(choice.mode)
