"""The fields of a client's request that are read, at every depth."""

from __future__ import annotations

from typing import Any

from gateway.dialects.bedrock_converse.context import MODEL_FIELDS
from gateway.dialects.shared.known_fields import OTHERS, Kinds, Known, compile_fields, named

_CACHE_POINT = {"cachePoint": named("type", "ttl")}
_S3_LOCATION = {"s3Location": named("uri", "bucketOwner")}
_MEDIA_SOURCE: Known = {"bytes": None, **_S3_LOCATION}
_DOCUMENT_SOURCE: dict[str, Any] = {"bytes": None, "text": None, **_S3_LOCATION}
_IMAGE: Known = {"format": None, "source": _MEDIA_SOURCE}
_LOCATIONS: Known = {
    **dict.fromkeys(
        ("documentChar", "documentPage", "documentChunk"), named("documentIndex", "start", "end")
    ),
    "searchResultLocation": named("searchResultIndex", "start", "end"),
    "web": named("url", "domain"),
}
_CITATION: Known = {
    **named("title", "source"),
    "sourceContent": named("text"),
    "location": _LOCATIONS,
}
_TOOL_RESULT: dict[str, Any] = named("toolUseId", "status", "type")
_SEARCH_RESULT: dict[str, Any] = {**named("title", "source"), "citations": named("enabled")}
_BLOCKS = Kinds(
    "",
    {
        kind: {kind: fields}
        for kind, fields in {
            "image": _IMAGE,
            "document": {
                **named("format", "name", "context"),
                "source": _DOCUMENT_SOURCE,
                "citations": named("enabled"),
            },
            "audio": {"format": None, "source": _MEDIA_SOURCE},
            "searchResult": _SEARCH_RESULT,
            "toolUse": named("toolUseId", "name", "input", "type"),
            "toolResult": _TOOL_RESULT,
            "citationsContent": {"content": named("text"), "citations": _CITATION},
            "reasoningContent": {
                "reasoningText": named("text", "signature"),
                "redactedContent": None,
            },
            **_CACHE_POINT,
        }.items()
    },
)
# Blocks contain blocks.
_DOCUMENT_SOURCE["content"] = _TOOL_RESULT["content"] = _SEARCH_RESULT["content"] = _BLOCKS

KNOWN_FIELDS = compile_fields(
    {
        OTHERS: None,
        "system": _BLOCKS,
        "messages": {"role": None, "content": _BLOCKS},
        "toolConfig": {
            "tools": Kinds(
                "",
                {
                    "toolSpec": {
                        "toolSpec": {
                            **named("name", "description", "strict"),
                            "inputSchema": named("json"),
                        }
                    },
                    "cachePoint": _CACHE_POINT,
                    "systemTool": {"systemTool": named("name")},
                },
            ),
            "toolChoice": {"auto": {}, "any": {}, "tool": named("name")},
        },
        "outputConfig": {
            "effort": None,
            "textFormat": {
                "type": None,
                "structure": {"jsonSchema": named("schema", "name", "description")},
            },
        },
        MODEL_FIELDS: {
            OTHERS: None,
            "thinking": named("type", "budget_tokens", "display"),
            "reasoningConfig": named("type", "maxReasoningEffort"),
            "tool_choice": named("type", "name", "disable_parallel_tool_use"),
            "output_config": {OTHERS: None, "format": named("type", "schema")},
        },
        "serviceTier": named("type"),
    }
)
