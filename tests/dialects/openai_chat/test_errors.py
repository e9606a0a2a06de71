"""Provider errors in all formats, and the gateway's errors in Chat's format."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.canon.errors import KINDS, Error
from gateway.canon.events import Failed
from gateway.dialects.openai_chat import DIALECT
from gateway.dialects.shared.openai_errors import is_error
from tests.dialects.openai_chat.make import events


def parse(status: int, body: Any, **headers: str) -> Error:
    """Return the parsed error; header names are written with underscores."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return DIALECT.provider.parse_error(status, names, data)


def openai(message: str = "m", kind: str | None = None, code: Any = None, param: Any = None) -> Any:
    """Return an error in OpenAI's format."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, openai(kind="invalid_request_error"), "invalid_request"),
        (400, openai(code="context_length_exceeded"), "context_length"),
        (400, openai("This model's maximum context length is 8192 tokens"), "context_length"),
        (400, openai("prompt is too long: 9 tokens > 8"), "context_length"),
        (413, openai("Prompt too large for model with 8 tokens"), "context_length"),
        (400, openai(code="unsupported_parameter", param="max_tokens"), "unsupported_param"),
        (400, openai("`temperature` is deprecated for this model."), "unsupported_param"),
        (
            400,
            openai("Function tools with reasoning_effort are not supported for gpt-5.6"),
            "unsupported_param",
        ),
        (400, openai(code="content_filter"), "content_policy"),
        (400, openai(code="invalid_prompt"), "content_policy"),
        (400, openai(kind="tool_use_failed", code="tool_use_failed"), "malformed_output"),
        (401, openai(code="invalid_api_key"), "upstream_auth"),
        (401, {"message": "Unauthorized"}, "upstream_auth"),
        (403, openai(), "upstream_auth"),
        (402, openai("Insufficient Balance", "unknown_error"), "quota"),
        (402, {"error": {"status": "RESOURCE_EXHAUSTED", "message": "m"}}, "quota"),
        # Alibaba Cloud, Volcengine, Moonshot, Fireworks
        (400, openai("Access denied, please make sure ...", None, "Arrearage"), "quota"),
        (403, openai("... has an overdue balance.", "Forbidden", "AccountOverdueError"), "quota"),
        (429, openai("... is suspended", "exceeded_current_quota_error"), "quota"),
        (
            412,
            openai("Account x is suspended, possibly due to ... failure to pay past invoices."),
            "quota",
        ),
        # xAI, Zhipu (English and Chinese), SiliconFlow, OpenRouter, Novita
        (429, {"code": "x", "error": "Your team has either used all available credits"}, "quota"),
        (403, {"code": "x", "error": "Your team doesn't have any credits yet."}, "quota"),
        (403, {"code": "x", "error": "You have run out of credits or need a plan."}, "quota"),
        (429, openai("m", None, "1113"), "quota"),
        (429, openai("m", None, "1302"), "rate_limit"),
        (429, openai("Insufficient balance or no resource package.", None, None), "quota"),
        (429, openai("余额不足或无可用资源包,请充值。", None, "1113"), "quota"),
        (429, openai("您的账户已欠费,请充值后重试。", None, "1113"), "quota"),
        (403, {"code": 30011, "message": "Your paid balance is insufficient."}, "quota"),
        (403, openai("Key limit exceeded (total limit).", None, 403), "quota"),
        (403, {"code": 403, "reason": "x", "message": "not enough balance"}, "quota"),
        (429, openai("Rate limit reached for requests"), "rate_limit"),
        (404, openai(code="model_not_found"), "not_found"),
        (404, b"", "not_found"),
        (408, b"", "timeout"),
        (409, b"", "upstream_error"),
        (413, openai(), "too_large"),
        (422, {"detail": [{"loc": ["body", "x"], "msg": "bad", "type": "t"}]}, "invalid_request"),
        (424, b"", "upstream_error"),
        (429, openai(code="rate_limit_exceeded"), "rate_limit"),
        (429, openai(code="insufficient_quota"), "quota"),
        (429, openai(code="credit_balance_exhausted"), "quota"),
        (429, openai(code="organization_spend_limit_exceeded"), "quota"),
        (429, openai(code="project_spend_limit_exceeded"), "quota"),
        (429, openai(code="organization_usage_limit_exceeded"), "quota"),
        (429, b"slow down", "rate_limit"),
        (498, {"error": {"message": "m", "code": "capacity_exceeded"}}, "rate_limit"),
        (500, openai(kind="server_error"), "upstream_error"),
        (500, b"<html>oops</html>", "upstream_error"),
        (502, b"Bad gateway", "upstream_error"),
        (503, openai(kind="server_error"), "overloaded"),
        (503, openai(code="slow_down"), "overloaded"),
        (504, b"", "timeout"),
        (529, b"", "overloaded"),
        (
            502,
            {
                "error": {
                    "code": 502,
                    "message": "m",
                    "metadata": {"error_type": "provider_overloaded"},
                }
            },
            "overloaded",
        ),
        (
            400,
            {
                "error": {
                    "code": 400,
                    "message": "m",
                    "metadata": {"error_type": "token_limit_exceeded"},
                }
            },
            "context_length",
        ),
        (
            403,
            {
                "error": {
                    "code": 403,
                    "message": "Input was flagged",
                    "metadata": {"reasons": ["violence"], "flagged_input": "how to"},
                }
            },
            "content_policy",
        ),
        (418, b"teapot", "invalid_request"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_error_response_is_classified(status: int, body: Any, kind: str):
    assert parse(status, body).kind == kind


@pytest.mark.parametrize(
    ("status", "body"),
    [
        # vLLM, older and newer
        (
            400,
            {
                "object": "error",
                "message": "This model's maximum context length is 6048 tokens. However, you "
                "requested 6616 tokens (568 in the messages, 6048 in the completion).",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            },
        ),
        (
            400,
            openai(
                "The decoder prompt (length 9000) is longer than the maximum model length of 8192.",
                "BadRequestError",
                400,
            ),
        ),
        # SGLang
        (
            400,
            {
                "object": "error",
                "message": "The input (61709 tokens) is longer than the model's context length "
                "(40960 tokens).",
                "type": "BadRequestError",
                "code": 400,
            },
        ),
        # llama.cpp
        (400, openai("m", "exceed_context_size_error", 400)),
        (500, openai("Context size has been exceeded.", "server_error", 500)),
        # LM Studio
        (
            400,
            {
                "error": "Trying to keep the first 111490 tokens when context the overflows. "
                "However, the model is loaded with context length of only 32768 tokens, which is "
                "not enough."
            },
        ),
        (
            400,
            {
                "error": "The number of tokens to keep from the initial prompt is greater than "
                "the context length."
            },
        ),
        # TGI, Together
        (
            422,
            {
                "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= "
                "4096. Given: 4000 `inputs` tokens and 500 `max_new_tokens`",
                "error_type": "validation",
            },
        ),
        # DeepSeek
        (
            400,
            openai(
                "This model's maximum context length is 65536 tokens. However, you requested "
                "70000 tokens.",
                "invalid_request_error",
                "invalid_request_error",
            ),
        ),
        # Groq
        (400, openai("Please reduce the length of the messages or completion.")),
        # OpenRouter
        (
            400,
            openai(
                "This endpoint's maximum context length is 131072 tokens. However, you requested "
                "about 150000 tokens.",
                None,
                400,
            ),
        ),
        # xAI
        (
            400,
            {
                "code": "Client specified an invalid argument",
                "error": "This model's maximum prompt length is 131072 but the request contains "
                "537812 tokens.",
            },
        ),
        # Moonshot, MiniMax, Zhipu, Alibaba Cloud
        (400, openai("Your request exceeded model token limit: 262144 (requested: 300000)")),
        (400, openai("invalid params, context window exceeds limit (2013)")),
        (400, openai("Prompt exceeds max length", None, "1261")),
        (400, openai("Range of input length should be [1, 129024]")),
        # OpenAI Responses
        (400, openai("Your input exceeds the context window of this model.")),
        # Vertex AI, Volcengine
        (
            400,
            openai(
                "Unable to submit request because the input token count is 135538 but model only "
                "supports up to 32768. Reduce the input token count and try again."
            ),
        ),
        (400, openai("Total tokens of image and text exceed max message tokens.")),
        # vLLM, with images
        (
            400,
            openai(
                "The prompt (total length 25938) is too long to fit into the model (context length "
                "4096)."
            ),
        ),
        # SiliconFlow
        (
            400,
            {
                "code": 20015,
                "message": "length of prompt_tokens (40000) must be less than max_seq_len (32768).",
                "data": None,
            },
        ),
        # GitHub Models, GitHub Copilot
        (
            413,
            openai(
                "Request body too large for gpt-4.1 model. Max size: 8000 tokens.",
                None,
                "tokens_limit_reached",
            ),
        ),
        (
            400,
            openai(
                "prompt token count of 391491 exceeds the limit of 128000",
                None,
                "model_max_prompt_tokens_exceeded",
            ),
        ),
        # Cloudflare Workers AI, IBM watsonx
        (
            413,
            {
                "errors": [
                    {
                        "message": "AiError: The estimated number of input and maximum output "
                        "tokens (35000) exceeded this model context window limit (24000)",
                        "code": 3010,
                    }
                ],
                "success": False,
                "result": {},
                "messages": [],
            },
        ),
        (
            400,
            {
                "errors": [
                    {
                        "code": "invalid_input_argument",
                        "message": "the number of input tokens 4098 cannot exceed the total "
                        "tokens limit 4096 for this model",
                    }
                ],
                "trace": "f8a07210",
                "status_code": 400,
            },
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_each_providers_context_length_error_is_recognized(status: int, body: Any):
    error = parse(status, body)
    assert error.kind == "context_length"
    reply = DIALECT.client.render_error(error, "req_1")
    assert reply.status == 400
    assert reply.body["error"]["code"] == "context_length_exceeded"
    assert reply.body["error"]["param"] == "messages"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        # xAI and OpenRouter have a status for it that otherwise means a rejected key
        (
            403,
            {
                "code": "The caller does not have permission to execute the specified operation",
                "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO",
            },
        ),
        (
            403,
            openai(
                "openai/gpt-4o requires moderation on OpenAI. Your input was flagged for "
                '"harassment". No credits were charged.',
                None,
                403,
            ),
        ),
        # DeepSeek, Moonshot, Alibaba Cloud, Volcengine
        (400, openai("Content Exists Risk", "invalid_request_error", "invalid_request_error")),
        (400, openai("The request was rejected because it was considered high risk")),
        (400, openai("Output data may contain inappropriate content.", None, "x")),
        (
            400,
            openai(
                "The request failed because the input text may contain sensitive information.",
                "BadRequest",
                "InputTextSensitiveContentDetected",
            ),
        ),
        # OpenAI
        (
            400,
            openai("Your request was rejected by the safety system.", None, "moderation_blocked"),
        ),
        # Amazon Bedrock, through a gateway
        (400, {"message": "The generated text has been blocked by our content filters."}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_each_providers_content_policy_error_is_recognized(status: int, body: Any):
    error = parse(status, body)
    assert error.kind == "content_policy"
    reply = DIALECT.client.render_error(error, "req_1")
    assert (reply.status, reply.body["error"]["code"]) == (400, "content_filter")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (openai("no"), "no"),
        ({"error": "no"}, "no"),
        ({"errors": [{"message": "no", "code": 7}], "success": False}, "no"),
        ({"message": "no", "errors": [{"message": "a field"}]}, "no"),
        ({"message": "no"}, "no"),
        ({"object": "error", "message": "no", "code": 400}, "no"),
        ({"detail": [{"loc": ["body"], "msg": "no"}]}, "no"),
        ({"detail": "no"}, "no"),
        ([{"error": {"message": "no", "code": 400}}], "no"),
        ({"error": [{"message": "no"}]}, "no"),
        (b"plain words", "plain words"),
        (b"x" * 900, "x" * 500),
        (b"", "the upstream responded 400 without an error message"),
        (
            b"<!doctype html>",
            "the upstream responded 400 with an HTML page instead of an API response",
        ),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ({"error": {}}, '{"error":{}}'),
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": "too hot"}}},
            "Provider returned error: too hot",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_message_is_found_in_every_shape(body: Any, message: str):
    assert parse(400, body).message == message


def test_param_code_status_and_id_of_an_error_are_parsed():
    error = parse(400, openai("m", "t", "c", "messages[0]"), x_request_id="req_1")
    assert (error.param, error.code, error.status) == ("messages[0]", "c", 400)
    assert error.upstream_id == "req_1"


def test_mistrals_error_location_is_rendered_as_a_path():
    body = {"detail": [{"loc": ["body", "messages", 0, "content"], "msg": "m"}]}
    assert parse(422, body).param == "messages[0].content"


def test_a_message_is_cut_at_a_bound():
    assert len(parse(400, openai("x" * 10_000)).message) == 2000


@pytest.mark.parametrize(
    ("payload", "is_failure"),
    [
        ({"error": {"message": "x"}}, True),
        ({"error": "x", "choices": [1]}, True),
        ({"error": None, "choices": [1]}, False),
        ({"object": "error"}, True),
        ({"type": "error"}, True),
        ({"message": "x"}, True),
        ({"detail": "x"}, True),
        ({"choices": []}, False),
        ({"choices": [1], "message": "x"}, False),
        ({}, False),
        ([], False),
        ([{"error": 1}], True),
        (None, False),
    ],
    ids=str,
)
def test_an_error_with_status_200_is_detected(payload: Any, is_failure: bool):
    assert is_error(payload) is is_failure


# --- what clients see ------------------------------------------------------------------


def rendered_error(kind: str, **fields: Any) -> Any:
    """Return the rendered error of this kind."""
    return DIALECT.client.render_error(Error(kind=kind, message="m", **fields), "req_1")


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_kind_has_a_response(kind: str):
    reply = rendered_error(kind)
    assert reply.status >= 400
    assert reply.body["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("kind", "status", "word", "code"),
    [
        ("invalid_request", 400, "invalid_request_error", None),
        ("unsupported_param", 400, "invalid_request_error", "unsupported_parameter"),
        ("context_length", 400, "invalid_request_error", "context_length_exceeded"),
        ("too_large", 413, "invalid_request_error", "request_too_large"),
        ("gateway_auth", 401, "invalid_request_error", "invalid_api_key"),
        ("upstream_auth", 502, "server_error", "upstream_auth"),
        ("not_found", 404, "invalid_request_error", None),
        ("rate_limit", 429, "rate_limit_error", "rate_limit_exceeded"),
        ("quota", 429, "insufficient_quota", "insufficient_quota"),
        ("content_policy", 400, "invalid_request_error", "content_filter"),
        ("overloaded", 503, "server_error", "overloaded"),
        ("timeout", 504, "server_error", "timeout"),
        ("upstream_error", 502, "server_error", "upstream_error"),
        ("malformed_output", 502, "server_error", "malformed_model_output"),
    ],
)
def test_an_error_kind_has_its_status_type_and_code(
    kind: str, status: int, word: str, code: str | None
):
    reply = rendered_error(kind)
    error = reply.body["error"]
    assert (reply.status, error["type"], error["code"]) == (status, word, code)


def test_a_request_that_is_too_long_names_the_messages():
    assert rendered_error("context_length").body["error"]["param"] == "messages"
    assert (
        rendered_error("context_length", param="messages[3]").body["error"]["param"]
        == "messages[3]"
    )


def test_a_spent_budget_is_a_quota():
    reply = rendered_error("not_allowed", code="insufficient_quota")
    assert (reply.status, reply.body["error"]["code"]) == (429, "insufficient_quota")


@pytest.mark.parametrize(
    ("kind", "fields", "header"),
    [
        ("overloaded", {}, "true"),
        ("quota", {}, "false"),
        ("upstream_auth", {}, "false"),
        ("rate_limit", {"should_retry": False}, "false"),
        ("quota", {"should_retry": True}, "true"),
        ("invalid_request", {}, None),
    ],
    ids=str,
)
def test_an_error_has_a_should_retry_header(kind: str, fields: dict[str, Any], header: str | None):
    assert rendered_error(kind, **fields).headers.get("x-should-retry") == header


def test_an_error_has_a_retry_after_header():
    headers = rendered_error("rate_limit", retry_after_s=7).headers
    assert (headers["retry-after"], headers["x-request-id"]) == ("7", "req_1")


@pytest.mark.parametrize(
    "kind",
    sorted(KINDS.keys() - {"gateway_auth", "method_not_allowed", "client_gone", "not_allowed"}),
)
def test_gateway_errors_round_trip(kind: str):
    reply = rendered_error(kind)
    error = parse(reply.status, reply.body)
    same = "overloaded" if kind == "overloaded" else kind
    # Behind a second gateway an upstream's fault is still an upstream's fault.
    if kind == "upstream_auth":
        same = "upstream_error"
    if kind == "malformed_output":
        same = "upstream_error"
    assert error.kind == same
    assert error.retryable == KINDS[kind].retryable


def test_a_chunk_of_very_many_choices_fails_the_stream() -> None:
    """Each takes time in which the gateway serves nobody else."""
    last = events({"choices": [{}] * 10_001})[-1]
    assert isinstance(last, Failed)
    assert last.error.kind == "upstream_error"
