"""The output items of a client's response, and the response object."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.canon.request import Signature
from gateway.canon.signature import hide_reasoning_text, wrap_signature
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_responses.names import Json, split_name

# item type -> the prefix of its id.
_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "web_search_call": "ws",
}


def item_id(context: ResponseContext, kind: str, index: int) -> str:
    """The id of the item with this index in the output."""
    return f"{_PREFIXES.get(kind, 'item')}_{context.id}_{index}"


def message_item(item_id: str, content: list[Json], status: str) -> Json:
    """A message of the model."""
    return {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def text_part(text: str, annotations: list[Json]) -> Json:
    """A text part of a message."""
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def reasoning_item(item_id: str, text: str, signature: Signature | None, *, visible: bool) -> Json:
    """Reasoning as a summary; its state is a token that identifies its model."""
    state = signature or Signature(kind="text")
    token = wrap_signature(state if visible else hide_reasoning_text(text, state))
    summary = [{"type": "summary_text", "text": text}] if text and visible else []
    return {"id": item_id, "type": "reasoning", "summary": summary, "encrypted_content": token}


def call_item(item_id: str, call_id: str, name: str, arguments: str, *, custom: bool) -> Json:
    """A tool call with its arguments or free text."""
    namespace, tool_name = split_name(name)
    item: Json = {
        "id": item_id,
        "type": "custom_tool_call" if custom else "function_call",
        "call_id": call_id,
        "name": tool_name,
        ("input" if custom else "arguments"): arguments,
        "status": "completed",
    }
    return {**item, "namespace": namespace} if namespace else item


def response_object(
    context: ResponseContext, status: str, output: list[Json], **fields: object
) -> Json:
    """The response object, with the echoed request fields."""
    return {
        "id": f"resp_{context.id}",
        "object": "response",
        "created_at": context.created,
        "model": context.model,
        "status": status,
        "output": output,
        "error": None,
        "incomplete_details": None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **context.echoed_fields,
        **fields,
    }


def state_item(item_id: str, call_id: str, signature: Signature) -> Json:
    """The state of a call, as a reasoning item without text after the call.

    A call has no field for it. The token contains the call's id, so that its position
    does not matter.
    """
    signature = replace(signature, item_id=call_id)
    return reasoning_item(item_id, "", signature, visible=False)
