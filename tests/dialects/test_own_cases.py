"""Unusual but legal requests beyond the golden cases, through the live code.

Each row applies one rule of wire/spec.md to a whole request.
"""

from __future__ import annotations

from typing import Any

import pytest

from gateway.simulate import translate

PNG = "iVBORw0KGgo="
F = {"type": "object", "properties": {"a": {"type": "integer"}}}


def case(
    name: str,
    direction: str,
    model: str,
    request: dict[str, Any],
    expected: dict[str, Any],
    *report: str,
) -> Any:
    """Return a row: client and provider, request, upstream fields and report."""
    source, target = direction.split(" -> ")
    return pytest.param(
        source, target, model, {"model": "gw", **request}, expected, report, id=name
    )


CASES = [
    case(
        "a Gemini client's loose JSON, calls without ids",
        "gemini -> anthropic",
        "claude-sonnet-4-6",
        {
            "system_instruction": {"parts": {"text": "s"}},
            "contents": [
                {"parts": {"text": "q", "inline_data": None}},
                {
                    "role": "model",
                    "parts": [
                        {"functionCall": {"name": "f", "args": {"a_b": 1}}},
                        {"functionCall": {"name": "g"}, "thoughtSignature": "QQ=="},
                    ],
                },
                {
                    "role": "function",
                    "parts": [
                        {"functionResponse": {"name": "g", "response": {"error": "no"}}},
                        {"functionResponse": {"name": "f", "response": {"result": 1}}},
                    ],
                },
            ],
            "tools": {"function_declarations": {"name": "f", "parameters": {"type": "OBJECT"}}},
            "generation_config": {"max_output_tokens": 9, "stop_sequences": None},
            "safety_settings": [{"category": "c"}],
        },
        {
            "max_tokens": 9,
            "system": [{"type": "text", "text": "s"}],
            "tools": [{"name": "f", "input_schema": {"type": "object"}}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "q"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "tool_use", "id": "call_1_0", "name": "f", "input": {"a_b": 1}},
                        {"type": "tool_use", "id": "call_1_1", "name": "g", "input": {}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "call_1_1",
                            "content": "no",
                            "is_error": True,
                        },
                        {
                            "type": "tool_result",
                            "tool_use_id": "call_1_0",
                            "content": '{"result":1}',
                        },
                    ],
                },
            ],
        },
        "contents[1].parts[1].thoughtSignature dropped",
        "safetySettings dropped",
    ),
    case(
        "what Mistral answers 422 to",
        "openai_chat -> mistral",
        "mistral-medium-latest",
        {
            "messages": [
                {
                    "role": "user",
                    "name": "Ann",
                    "content": [
                        {"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ=="}},
                        {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
                    ],
                },
                {"role": "assistant", "content": None, "refusal": "no"},
                {"role": "user", "content": "q"},
            ],
            "n": 2,
            "modalities": ["text", "audio"],
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "document_url",
                            "document_url": "data:application/pdf;base64,QQ==",
                        },
                        {"type": "input_audio", "input_audio": "QQ=="},
                    ],
                },
                {"role": "assistant", "content": "no"},
                {"role": "user", "content": "q"},
            ],
            "n": 2,
        },
        "messages[0].content[0] approximated",
        "messages[0].name dropped",
        "messages[1].refusal approximated",
        "modalities dropped",
    ),
    case(
        "an Anthropic client's cache marks and thoughts",
        "anthropic -> bedrock_converse",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        {
            "max_tokens": 4000,
            "system": [
                {"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
            ],
            "thinking": {"type": "enabled", "budget_tokens": 2048},
            "tools": [{"name": "f", "input_schema": F, "cache_control": {"type": "ephemeral"}}],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            "messages": [
                {"role": "user", "content": "q"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "t", "signature": "foreign"},
                        {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
                    ],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": True}],
                },
            ],
        },
        {
            "system": [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
            "toolConfig": {
                "tools": [
                    {"toolSpec": {"name": "f", "inputSchema": {"json": F}}},
                    {"cachePoint": {"type": "default"}},
                ],
                "toolChoice": {"auto": {}},
            },
            "inferenceConfig": {"maxTokens": 4000},
            "additionalModelRequestFields": {
                "thinking": {"type": "enabled", "budget_tokens": 2048},
                "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            },
            "messages": [
                {"role": "user", "content": [{"text": "q"}]},
                {
                    "role": "assistant",
                    "content": [{"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "toolResult": {
                                "toolUseId": "t1",
                                "content": [{"text": "(empty)"}],
                                "status": "error",
                            }
                        }
                    ],
                },
            ],
        },
        "messages[1].content[0] dropped",
        "messages[2].content[0].content approximated",
        "thinking approximated",
    ),
    case(
        "a Chat client's detail and JSON mode",
        "openai_chat -> bedrock_converse",
        "us.amazon.nova-pro-v1:0",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image_url",
                            "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"},
                        }
                    ],
                }
            ],
            "response_format": {"type": "json_object"},
        },
        {
            "system": [{"text": "Answer only with one JSON object."}],
            "messages": [
                {
                    "role": "user",
                    "content": [{"image": {"format": "png", "source": {"bytes": PNG}}}],
                }
            ],
        },
        "messages[0].content[0].image_url.detail dropped",
        "response_format approximated",
    ),
    case(
        "a Chat client's results out of order",
        "openai_chat -> ollama",
        "qwen3:8b",
        {
            "messages": [
                {"role": "developer", "content": "d"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "f"}},
                        {
                            "id": "c2",
                            "type": "function",
                            "function": {"name": "g", "arguments": '{"x":1}'},
                        },
                    ],
                },
                {"role": "tool", "tool_call_id": "c2", "content": "2"},
                {"role": "tool", "tool_call_id": "c1", "content": "1"},
            ],
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": F}},
            "max_completion_tokens": 5,
            "seed": 1,
            "stop": "x",
            "reasoning_effort": "none",
            "logprobs": True,
        },
        {
            "stream": False,
            "think": False,
            "format": F,
            "logprobs": True,
            "options": {"num_predict": 5, "seed": 1, "stop": ["x"]},
            "messages": [
                {"role": "system", "content": "d"},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {"function": {"name": "f", "arguments": {}}},
                        {"function": {"name": "g", "arguments": {"x": 1}}},
                    ],
                },
                {"role": "tool", "content": "1", "tool_name": "f"},
                {"role": "tool", "content": "2", "tool_name": "g"},
            ],
        },
        "response_format.json_schema.name dropped",
    ),
    case(
        "a prefilled answer",
        "anthropic -> vllm",
        "Qwen/Qwen3-8B",
        {
            "max_tokens": 9,
            "top_k": 3,
            "messages": [
                {"role": "user", "content": "u"},
                {"role": "assistant", "content": "The"},
            ],
        },
        {
            "max_tokens": 9,
            "top_k": 3,
            "continue_final_message": True,
            "add_generation_prompt": False,
            "messages": [
                {"role": "user", "content": "u"},
                {"role": "assistant", "content": "The"},
            ],
        },
    ),
    case(
        "a prompt with a gap",
        "openai_completions -> mistral",
        "codestral-latest",
        {"prompt": "def f(", "suffix": "return", "echo": True, "max_tokens": 5, "seed": 1},
        {"prompt": "def f(", "suffix": "return", "max_tokens": 5, "random_seed": 1},
        "echo dropped",
    ),
    case(
        "a Gemini client's history without one result, with one too many",
        "gemini -> anthropic",
        "claude-sonnet-4-6",
        {
            "contents": [
                {"role": "model", "parts": [{"text": "hello"}]},
                {"role": "user", "parts": [{"text": "q"}]},
                {
                    "role": "model",
                    "parts": [
                        {"functionCall": {"name": "f", "args": {"a": "1"}}},
                        {"functionCall": {"name": "g", "args": {}}},
                    ],
                },
                {
                    "role": "user",
                    "parts": [
                        {"functionResponse": {"name": "g", "response": {"output": "r"}}},
                        {"functionResponse": {"name": "zz", "response": {"x": 1}}},
                    ],
                },
                {"role": "user", "parts": [{"text": "more"}]},
            ],
            "tools": [
                {
                    "functionDeclarations": [
                        {
                            "name": "f",
                            "parameters": {
                                "type": "OBJECT",
                                "properties": {"a": {"type": "STRING", "nullable": True}},
                            },
                        },
                        {"name": "g"},
                    ]
                }
            ],
            "toolConfig": {
                "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}
            },
            "generationConfig": {
                "maxOutputTokens": 50,
                "thinkingConfig": {"thinkingBudget": 0},
                "temperature": 1.7,
                "topK": 40,
                "presencePenalty": -1.0,
            },
        },
        {
            "max_tokens": 50,
            "tools": [
                {
                    "name": "f",
                    "input_schema": {
                        "type": "object",
                        "properties": {"a": {"type": ["string", "null"]}},
                    },
                },
                {"name": "g", "input_schema": {"type": "object", "properties": {}}},
            ],
            "tool_choice": {"type": "any"},
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "(conversation start)"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "hello"}]},
                {"role": "user", "content": [{"type": "text", "text": "q"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "tool_use", "id": "call_2_0", "name": "f", "input": {"a": "1"}},
                        {"type": "tool_use", "id": "call_2_1", "name": "g", "input": {}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "call_2_1", "content": "r"},
                        {
                            "type": "tool_result",
                            "tool_use_id": "call_2_0",
                            "content": "[no result provided]",
                            "is_error": True,
                        },
                        {"type": "text", "text": "more"},
                    ],
                },
            ],
            "thinking": {"type": "disabled"},
            "temperature": 1.0,
            "top_k": 40,
        },
        "contents[0] approximated",
        "contents[2].parts[0] approximated",
        "contents[3].parts[1] dropped",
        "generationConfig.presencePenalty dropped",
        "generationConfig.temperature approximated",
    ),
    case(
        "a Converse client's failed result with a document, and a prefill",
        "bedrock_converse -> mistral",
        "mistral-medium-latest",
        {
            "messages": [
                {"role": "user", "content": [{"text": "q"}, {"cachePoint": {"type": "default"}}]},
                {
                    "role": "assistant",
                    "content": [
                        {"toolUse": {"toolUseId": "t.1:x", "name": "f", "input": {"a": "b"}}}
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "toolResult": {
                                "toolUseId": "t.1:x",
                                "status": "error",
                                "content": [
                                    {"json": {"k": 1}},
                                    {
                                        "document": {
                                            "format": "pdf",
                                            "name": "n",
                                            "source": {"bytes": "JVBERi0="},
                                        }
                                    },
                                ],
                            }
                        },
                        {"text": "go"},
                    ],
                },
                {"role": "assistant", "content": [{"text": "The"}]},
            ],
            "system": [{"text": "s"}],
            "toolConfig": {
                "tools": [
                    {
                        "toolSpec": {
                            "name": "f",
                            "inputSchema": {
                                "json": {"type": "object", "properties": {"a": {"type": "string"}}}
                            },
                        }
                    }
                ]
            },
            "inferenceConfig": {"maxTokens": 50, "stopSequences": ["a"]},
            "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        },
        {
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": "q"},
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": "IfJ71gOMJ",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"a":"b"}'},
                        }
                    ],
                },
                {
                    "role": "tool",
                    "tool_call_id": "IfJ71gOMJ",
                    "name": "f",
                    "content": [
                        {"type": "text", "text": 'Error: {"k":1}'},
                        {
                            "type": "document_url",
                            "document_url": "data:application/pdf;base64,JVBERi0=",
                            "document_name": "n",
                        },
                    ],
                },
                {"role": "assistant", "content": "I have the tool results."},
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": "The", "prefix": True},
            ],
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
                    },
                }
            ],
            "max_tokens": 50,
            "stop": ["a"],
        },
        "cachePoint dropped",
        "guardrailConfig dropped",
        "messages[1].content[0].toolUse.toolUseId approximated",
        "messages[2] approximated",
        "messages[2].content[0].toolResult.content[1].document approximated",
        "messages[2].content[0].toolResult.status approximated",
    ),
    case(
        "a Responses client's refusal, effort and metadata",
        "openai_responses -> bedrock_converse",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        {
            "instructions": "i",
            "input": [
                {"role": "user", "content": "q"},
                {
                    "type": "message",
                    "role": "assistant",
                    "id": "m",
                    "status": "completed",
                    "content": [{"type": "refusal", "refusal": "no"}],
                },
                {"role": "developer", "content": "mid"},
                {"role": "user", "content": "r"},
            ],
            "service_tier": "flex",
            "safety_identifier": "u",
            "metadata": {"a": "b"},
            "reasoning": {"effort": "xhigh"},
            "max_output_tokens": 20000,
        },
        {
            "messages": [
                {"role": "user", "content": [{"text": "q"}]},
                {"role": "assistant", "content": [{"text": "no"}]},
                {"role": "user", "content": [{"text": "r"}]},
            ],
            "inferenceConfig": {"maxTokens": 20000},
            "system": [{"text": "i"}, {"text": "mid"}],
            "requestMetadata": {"user": "u", "a": "b"},
            "serviceTier": {"type": "flex"},
            "additionalModelRequestFields": {
                "thinking": {"type": "enabled", "budget_tokens": 18976}
            },
        },
        "input[1].content[0] approximated",
        "input[2] approximated",
        "reasoning.effort approximated",
    ),
]


@pytest.mark.parametrize(("source", "target", "model", "client_body", "expected", "report"), CASES)
def test_a_request_is_edited_as_the_rules_define(
    source: str,
    target: str,
    model: str,
    client_body: dict[str, Any],
    expected: dict[str, Any],
    report: tuple[str, ...],
) -> None:
    translation = translate.request(source, target, client_body, {}, model)
    assert {key: value for key, value in translation["body"].items() if key != "model"} == expected
    texts = sorted(f"{row['field']} {row['action']}" for row in translation["report"])
    assert texts == sorted(report)
