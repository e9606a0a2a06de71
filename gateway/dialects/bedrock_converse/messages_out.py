"""Instructions and turns -> a provider's `system` and `messages`.

The API requires that roles alternate and the user begins, no text is blank, a document has
text next to it, a message has few documents and images, and tool results come in the turn
after their calls.
"""

from __future__ import annotations

from gateway.canon.errors import invalid
from gateway.canon.request import Reasoning, Text, ToolCall, ToolResult, Turn
from gateway.canon.turns import find_empty_texts, pair_tool_results
from gateway.dialects.bedrock_converse.blocks_out import EMPTY_PLACEHOLDER, render_blocks
from gateway.dialects.bedrock_converse.names import Json
from gateway.dialects.bedrock_converse.render_context import RenderContext

PLACEHOLDER_TEXT = "(conversation start)"
_DOCUMENT_CAPTION = "See the document."
_ACKNOWLEDGEMENT = "(noted)"
# Maximum number of blocks of a type in one message (docs.aws.amazon.com, Message, 2026).
_MAX_PER_MESSAGE = {"document": 5, "image": 20}
# A block of Claude Code's that changes with each version and would spoil prompt caches.
_BILLING_HEADER_PREFIX = "x-anthropic-billing-header:"
# Block types that the API accepts from users only.
_NOT_IN_ASSISTANT_TURNS = ("image", "document", "audio", "searchResult")


def render_system(context: RenderContext) -> list[Json]:
    """The blocks of the instructions."""
    sent_parts: list[Text] = []
    for part in context.request.instructions:
        if part.text.startswith(_BILLING_HEADER_PREFIX):
            context.drop(part.path, "attribution block: of use to api.anthropic.com only")
        else:
            sent_parts.append(part)
    return render_blocks(context, tuple(sent_parts))


def render_messages(context: RenderContext, system: list[Json]) -> list[Json]:
    """The messages; instructions that stand among them are added to `system`."""
    context.request, report = pair_tool_results(context.request)
    context.report += report
    messages: list[Json] = []
    last_turn: Turn | None = None
    for turn in context.request.turns:
        if turn.name is not None:
            context.drop(f"{turn.path}.name", "no equivalent")
        role = "assistant" if turn.role == "assistant" else "user"
        if turn.role == "system":
            role = _role_for_system_turn(context, turn, messages)
        blocks = _render_turn(context, turn, role)
        if role == "system":
            system += blocks
            continue
        if blocks:
            _append_blocks(messages, role, blocks)
            last_turn = turn
    _insert_first_user_message(context, messages)
    messages = [
        split_message
        for message in messages
        for split_message in _split_user_message(context, message)
    ]
    if messages[-1]["role"] == "assistant":
        _check_prefill(context, last_turn, messages[-1]["content"])
    return messages


def _render_turn(context: RenderContext, turn: Turn, role: str) -> list[Json]:
    """The blocks of a turn, without those its role does not allow."""
    for empty_text in find_empty_texts(turn):
        context.drop(empty_text.path, "empty text")
    parts = turn.parts
    if role == "system":
        for part in parts:
            if not isinstance(part, Text):
                context.drop(part.path, "a system message holds text only")
        parts = tuple(part for part in parts if isinstance(part, Text))
    if role != "assistant":
        for part in parts:
            if isinstance(part, Reasoning | ToolCall):
                context.drop(part.path, "only the assistant thinks and calls tools")
        sent_parts = tuple(part for part in parts if not isinstance(part, Reasoning | ToolCall))
        blocks = render_blocks(context, sent_parts)
        if turn.role == "system" and role == "user":
            return [
                {"text": f"<system>\n{b['text']}\n</system>"} if "text" in b else b for b in blocks
            ]
        return blocks
    parts = tuple(part for part in parts if not isinstance(part, ToolResult))
    blocks = render_blocks(context, parts)
    allowed_blocks = [
        block for block in blocks if not any(name in block for name in _NOT_IN_ASSISTANT_TURNS)
    ]
    if len(allowed_blocks) < len(blocks):
        context.drop(turn.path, "media in an assistant message")
    if all("cachePoint" in block for block in allowed_blocks):
        return []
    return allowed_blocks


def _role_for_system_turn(context: RenderContext, turn: Turn, messages: list[Json]) -> str:
    """The role under which a mid-conversation system message is sent."""
    if turn.effort is not None:
        context.effort_override = turn.effort
        context.approximate(f"{turn.path}.output_config.effort", "holds for the whole request")
    if messages and messages[-1]["role"] == "assistant" and turn is context.request.turns[-1]:
        # Hoisted, it would leave the model's turn last.
        context.approximate(
            turn.path, "system message after the assistant's turn sent as a user message"
        )
        return "user"
    why = (
        f"mid-conversation system hoisted: {context.model} has no mid-conversation system messages"
    )
    context.approximate(turn.path, why)
    return "system"


def _append_blocks(messages: list[Json], role: str, blocks: list[Json]) -> None:
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"] += blocks
    else:
        messages.append({"role": role, "content": blocks})


def _insert_first_user_message(context: RenderContext, messages: list[Json]) -> None:
    if messages and messages[0]["role"] == "user":
        return
    context.report_placeholder(PLACEHOLDER_TEXT)
    messages.insert(0, {"role": "user", "content": [{"text": PLACEHOLDER_TEXT}]})


def _split_user_message(context: RenderContext, message: Json) -> list[Json]:
    """Splits a user message as the API requires: text next to documents, results separately."""
    if message["role"] == "assistant":
        return [message]
    content: list[Json] = message["content"]
    result_blocks = [block for block in content if "toolResult" in block]
    media_and_text_blocks = [block for block in content if "toolResult" not in block]
    if result_blocks and media_and_text_blocks and not context.traits.mixed_results:
        return _separate_results(context, result_blocks, media_and_text_blocks)
    return _split_by_media_count(context, content)


def _split_by_media_count(context: RenderContext, content: list[Json]) -> list[Json]:
    """Splits a message that exceeds the maximum number of documents or images."""
    contents: list[list[Json]] = [[]]
    media_counts = dict.fromkeys(_MAX_PER_MESSAGE, 0)
    for block in content:
        block_type = next((name for name in _MAX_PER_MESSAGE if name in block), None)
        if block_type is not None and media_counts[block_type] == _MAX_PER_MESSAGE[block_type]:
            contents.append([])
            media_counts = dict.fromkeys(_MAX_PER_MESSAGE, 0)
        if block_type is not None:
            media_counts[block_type] += 1
        contents[-1].append(block)
    if len(contents) > 1:
        documents, images = _MAX_PER_MESSAGE["document"], _MAX_PER_MESSAGE["image"]
        why = f"a message holds {documents} documents and {images} images"
        context.approximate(_last_user_path(context), f"{why}: the rest is sent in a turn after it")
    messages: list[Json] = []
    for user_content in contents:
        if messages:
            messages.append({"role": "assistant", "content": [{"text": _ACKNOWLEDGEMENT}]})
        _add_document_caption(context, user_content)
        messages.append({"role": "user", "content": user_content})
    return messages


def _add_document_caption(context: RenderContext, content: list[Json]) -> None:
    if any("document" in block for block in content) and not any("text" in b for b in content):
        content.append({"text": _DOCUMENT_CAPTION})
        context.approximate(
            _last_user_path(context),
            f"a document requires text next to it: {_DOCUMENT_CAPTION!r} is sent",
        )


def _separate_results(
    context: RenderContext, result_blocks: list[Json], media_and_text_blocks: list[Json]
) -> list[Json]:
    """Separates tool results from the other blocks, for models that reject both in one turn."""
    why = f"{context.model} takes nothing beside tool results in a turn"
    if all("text" in block for block in media_and_text_blocks):
        context.approximate(
            _last_user_path(context), f"{why}: the text is sent inside the last one"
        )
        last_result_content = result_blocks[-1]["toolResult"]["content"]
        if last_result_content == [{"text": EMPTY_PLACEHOLDER}]:
            last_result_content.clear()
        last_result_content += media_and_text_blocks
        return [{"role": "user", "content": result_blocks}]
    context.approximate(_last_user_path(context), f"{why}: the rest is sent in a turn after it")
    return [
        {"role": "user", "content": result_blocks},
        {"role": "assistant", "content": [{"text": _ACKNOWLEDGEMENT}]},
        *_split_by_media_count(context, media_and_text_blocks),
    ]


def _last_user_path(context: RenderContext) -> str:
    """The client's path of the last user turn."""
    return next((turn.path for turn in reversed(context.request.turns) if turn.role == "user"), "")


def _check_prefill(context: RenderContext, last_turn: Turn | None, content: list[Json]) -> None:
    """Checks that the model can continue a final assistant message."""
    if not context.traits.prefill:
        path = (last_turn.path if last_turn else "") or "messages"
        why = f"{context.model} does not continue an assistant message; end with a user message"
        raise invalid(f"{path}: {why}", path)
    last_block = content[-1]
    if "text" in last_block and last_block["text"] != last_block["text"].rstrip():
        context.approximate(
            last_turn.path if last_turn else "",
            "white space at the end of the last message removed",
        )
        last_block["text"] = last_block["text"].rstrip()
