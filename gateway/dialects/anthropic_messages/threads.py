"""Message threads (`thread`): conversations that Anthropic stores between requests.

A provider that stores none gets whole conversations only. The SDKs then send them: their threads
and tool runners repeat a turn whose thread is not found with all of its messages
(`lib/threads` in anthropic-sdk-python 2.12 and anthropic-sdk-typescript 1.13).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.canon.errors import Error, GatewayError

FIELD = "thread"
# Part of the body of a request that continues a thread.
PREVIOUS_MESSAGE = b'"previous_message_id"'


class _Thread(msgspec.Struct):
    type: str = ""


def has_thread(fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether a request's top-level fields create or continue a thread."""
    thread = fields.get(FIELD)
    return thread is not None and bytes(thread) != b"null"


def continues_thread(fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether a request has only the new messages of a thread."""
    if not has_thread(fields):
        return False
    try:
        return msgspec.json.decode(fields[FIELD], type=_Thread).type == "continue"
    except msgspec.MsgspecError:
        return False


def refuse_thread(fields: Mapping[str, msgspec.Raw], model: str, *, strict: bool) -> None:
    """Raises GatewayError if a target without threads cannot serve the request.

    It can serve the first request of a thread, which has the whole conversation, unless `strict`.
    """
    if continues_thread(fields):
        raise GatewayError(
            Error(
                kind="not_found",
                message=f"{model} does not store threads. Replay the full conversation with "
                '`thread: {"type": "create"}`, or without `thread`.',
                param=f"{FIELD}.previous_message_id",
                code="thread_not_found",
                details={"error_code": "thread_not_found"},
            )
        )
    if strict and has_thread(fields):
        raise GatewayError(
            Error(
                kind="unsupported_param",
                message=f"thread: {model} does not store threads, and this route rejects "
                "unsupported fields. Send the full conversation without `thread`.",
                param=FIELD,
                code="thread_unsupported_request",
                details={"error_code": "thread_unsupported_request", "unsupported": []},
            )
        )
