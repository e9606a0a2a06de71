"""One response of each dialect with every field that it can contain."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_TOKEN: Json = {
    "token": "Hi",
    "logprob": -0.1,
    "bytes": [72, 105],
    "top_logprobs": [{"token": "Yo", "logprob": -2.0, "bytes": None}],
}
_URL_CITATION: Json = {"url": "https://a.test", "title": "t", "start_index": 0, "end_index": 2}

OPENAI_CHAT: Json = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hi",
                "reasoning_content": "hmm",
                "annotations": [{"type": "url_citation", "url_citation": _URL_CITATION}],
                "images": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
                ],
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "f", "arguments": "{}"},
                    }
                ],
            },
            "finish_reason": "tool_calls",
            "logprobs": {"content": [_TOKEN], "refusal": None},
        }
    ],
    "usage": {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
}
OPENAI_COMPLETIONS: Json = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "text": "Hi",
            "finish_reason": "stop",
            "logprobs": {
                "tokens": ["Hi"],
                "token_logprobs": [-0.1],
                "top_logprobs": [{"Hi": -0.1}],
                "text_offset": [0],
            },
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}
OPENAI_RESPONSES: Json = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "s"}],
            "encrypted_content": "e",
        },
        {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {
                "type": "search",
                "query": "q",
                "sources": [{"type": "url", "url": "https://a.test"}],
            },
        },
        {
            "type": "code_interpreter_call",
            "id": "ci_1",
            "status": "completed",
            "code": "1",
            "container_id": "cntr_1",
            "outputs": [{"type": "logs", "logs": "1"}],
        },
        {
            "type": "mcp_call",
            "id": "mcp_1",
            "server_label": "s",
            "name": "n",
            "arguments": "{}",
            "output": "o",
        },
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AAAA"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [
                {
                    "type": "output_text",
                    "text": "Hi",
                    "annotations": [{"type": "url_citation", **_URL_CITATION}],
                    "logprobs": [_TOKEN],
                }
            ],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "f",
            "arguments": "{}",
            "status": "completed",
        },
    ],
    "usage": {
        "input_tokens": 1,
        "output_tokens": 2,
        "total_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    },
}
ANTHROPIC_MESSAGES: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [
        {"type": "thinking", "thinking": "x", "signature": "s"},
        {"type": "redacted_thinking", "data": "AAAA"},
        {
            "type": "server_tool_use",
            "id": "srvtoolu_1",
            "name": "web_search",
            "input": {"query": "q"},
        },
        {
            "type": "web_search_tool_result",
            "tool_use_id": "srvtoolu_1",
            "content": [
                {
                    "type": "web_search_result",
                    "url": "https://a.test",
                    "title": "t",
                    "encrypted_content": "e",
                }
            ],
        },
        {
            "type": "text",
            "text": "Hi",
            "citations": [
                {
                    "type": "web_search_result_location",
                    "url": "https://a.test",
                    "title": "t",
                    "encrypted_index": "i",
                    "cited_text": "Hi",
                }
            ],
        },
        {
            "type": "server_tool_use",
            "id": "srvtoolu_2",
            "name": "bash_code_execution",
            "input": {"command": "ls"},
        },
        {
            "type": "bash_code_execution_tool_result",
            "tool_use_id": "srvtoolu_2",
            "content": {
                "type": "bash_code_execution_result",
                "stdout": "1",
                "stderr": "",
                "return_code": 0,
                "content": [],
            },
        },
        {
            "type": "mcp_tool_use",
            "id": "mcptoolu_1",
            "name": "n",
            "server_name": "s",
            "input": {},
        },
        {
            "type": "mcp_tool_result",
            "tool_use_id": "mcptoolu_1",
            "is_error": False,
            "content": [{"type": "text", "text": "o"}],
        },
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "server_tool_use": {"web_search_requests": 1},
        "service_tier": "standard",
    },
}
GEMINI: Json = {
    "responseId": "r",
    "modelVersion": "m",
    "candidates": [
        {
            "index": 0,
            "content": {
                "role": "model",
                "parts": [
                    {"text": "x", "thought": True, "thoughtSignature": "s"},
                    {"text": "Hi"},
                    {"executableCode": {"language": "PYTHON", "code": "1", "id": "x"}},
                    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1", "id": "x"}},
                    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                    {"functionCall": {"id": "call_1", "name": "f", "args": {"a": 1}}},
                ],
            },
            "finishReason": "STOP",
            "logprobsResult": {
                "chosenCandidates": [{"token": "Hi", "tokenId": 1, "logProbability": -0.1}],
                "topCandidates": [{"candidates": [{"token": "Hi", "logProbability": -0.1}]}],
            },
            "groundingMetadata": {
                "webSearchQueries": ["q"],
                "groundingChunks": [{"web": {"uri": "https://a.test", "title": "t"}}],
                "groundingSupports": [
                    {
                        "segment": {"startIndex": 0, "endIndex": 2, "text": "Hi"},
                        "groundingChunkIndices": [0],
                    }
                ],
            },
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 1,
        "candidatesTokenCount": 2,
        "thoughtsTokenCount": 1,
        "totalTokenCount": 4,
        "cachedContentTokenCount": 0,
    },
}
OLLAMA: Json = {
    "model": "m",
    "created_at": "2026-01-01T00:00:00Z",
    "message": {
        "role": "assistant",
        "content": "Hi",
        "thinking": "x",
        "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}],
    },
    "logprobs": [_TOKEN],
    "done": True,
    "done_reason": "stop",
    "total_duration": 1,
    "prompt_eval_count": 1,
    "eval_count": 2,
}
COHERE: Json = {
    "id": "c",
    "finish_reason": "TOOL_CALL",
    "message": {
        "role": "assistant",
        "content": [{"type": "text", "text": "Hi"}, {"type": "thinking", "thinking": "x"}],
        "citations": [
            {
                "start": 0,
                "end": 2,
                "text": "Hi",
                "sources": [{"type": "document", "id": "d", "document": {"id": "d", "title": "t"}}],
                "type": "TEXT_CONTENT",
            }
        ],
        "tool_plan": "plan",
        "tool_calls": [
            {"id": "f_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    },
    "usage": {
        "billed_units": {"input_tokens": 1, "output_tokens": 2},
        "tokens": {"input_tokens": 1, "output_tokens": 2},
    },
    "logprobs": [{"token_ids": [1], "text": "Hi", "logprobs": [-0.1]}],
}
BEDROCK_CONVERSE: Json = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "x", "signature": "s"}}},
                {"text": "Hi"},
                {
                    "citationsContent": {
                        "content": [{"text": "Hi"}],
                        "citations": [
                            {
                                "title": "t",
                                "sourceContent": [{"text": "s"}],
                                "location": {"web": {"url": "https://a.test"}},
                            }
                        ],
                    }
                },
                {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
    "metrics": {"latencyMs": 1},
}
FULL_RESPONSES = {
    "openai_chat": OPENAI_CHAT,
    "openai_completions": OPENAI_COMPLETIONS,
    "openai_responses": OPENAI_RESPONSES,
    "anthropic_messages": ANTHROPIC_MESSAGES,
    "gemini": GEMINI,
    "ollama": OLLAMA,
    "cohere": COHERE,
    "bedrock_converse": BEDROCK_CONVERSE,
}
