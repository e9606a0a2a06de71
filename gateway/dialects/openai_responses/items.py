"""The items of an answer for a client, and the answer that holds them."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.canon.request import Signature
from gateway.canon.signature import hidden, wrap
from gateway.dialects.base import Exchange
from gateway.dialects.openai_responses.names import Json, split_name

# item type -> the prefix of its id.
_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
}


def item_id(exchange: Exchange, kind: str, place: int) -> str:
    """The id of the item at a place of the output."""
    return f"{_PREFIXES.get(kind, 'item')}_{exchange.id}_{place}"


def message_item(item_id: str, content: list[Json], status: str) -> Json:
    """What the model says."""
    return {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def text_part(text: str, annotations: list[Json]) -> Json:
    """A text of a message."""
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def reasoning_item(item_id: str, text: str, signature: Signature | None, *, shown: bool) -> Json:
    """A thought, as a summary; its state is a token by which its maker is known again."""
    state = signature or Signature(kind="text")
    token = wrap(state if shown else hidden(text, state))
    summary = [{"type": "summary_text", "text": text}] if text and shown else []
    return {"id": item_id, "type": "reasoning", "summary": summary, "encrypted_content": token}


def call_item(item_id: str, call_id: str, name: str, words: str, *, custom: bool) -> Json:
    """A call, its arguments or free text as the wire has them."""
    namespace, inner = split_name(name)
    item: Json = {
        "id": item_id,
        "type": "custom_tool_call" if custom else "function_call",
        "call_id": call_id,
        "name": inner,
        ("input" if custom else "arguments"): words,
        "status": "completed",
    }
    return {**item, "namespace": namespace} if namespace else item


def answer(exchange: Exchange, status: str, output: list[Json], **fields: object) -> Json:
    """The response object. What the client asked for is told back as far as it is known."""
    return {
        "id": f"resp_{exchange.id}",
        "object": "response",
        "created_at": exchange.created,
        "model": exchange.model,
        "status": status,
        "output": output,
        "error": None,
        "incomplete_details": None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **exchange.echo,
        **fields,
    }


def state_item(item_id: str, call_id: str, signature: Signature) -> Json:
    """A call's state, which a call has no place for: reasoning without words, after the call.

    The token names the call, so that it is found again whatever stands between.
    """
    signature = replace(signature, item=call_id)
    return reasoning_item(item_id, "", signature, shown=False)
