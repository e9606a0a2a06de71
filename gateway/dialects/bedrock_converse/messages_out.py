"""Instructions and turns -> a provider's `system` and `messages`.

What the API demands: roles take turns and the user begins, no text is blank, a document
has words beside it, a message has few documents and images, and the results stand in the
turn after their calls.
"""

from __future__ import annotations

from gateway.canon.errors import invalid
from gateway.canon.request import Reasoning, Text, ToolCall, ToolResult, Turn
from gateway.canon.turns import empty_texts, repaired
from gateway.dialects.bedrock_converse.blocks_out import EMPTY, blocks_out
from gateway.dialects.bedrock_converse.job import Job
from gateway.dialects.bedrock_converse.names import Json

START = "(conversation start)"
_BESIDE = "See the document."
_HEARD = "(noted)"
# The most of a kind in one message (docs.aws.amazon.com, Message, 2026).
_MOST = {"document": 5, "image": 20}
# A block of Claude Code's that changes with each version and would spoil prompt caches.
_BILLING = "x-anthropic-billing-header:"
# What only a user may say.
_NOT_SPOKEN = ("image", "document", "audio", "searchResult")


def system_out(job: Job) -> list[Json]:
    """The blocks of the instructions."""
    kept: list[Text] = []
    for part in job.request.instructions:
        if part.text.startswith(_BILLING):
            job.drop(part.at, "attribution block: of use to api.anthropic.com only")
        else:
            kept.append(part)
    return blocks_out(job, tuple(kept))


def messages_out(job: Job, system: list[Json]) -> list[Json]:
    """The messages; instructions that stand among them are added to `system`."""
    job.request, report = repaired(job.request)
    job.report += report
    messages: list[Json] = []
    last: Turn | None = None
    for turn in job.request.turns:
        if turn.name is not None:
            job.drop(f"{turn.at}.name", "no equivalent")
        role = "assistant" if turn.role == "assistant" else "user"
        if turn.role == "system":
            role = _place(job, turn, messages)
        blocks = _said(job, turn, role)
        if role == "system":
            system += blocks
            continue
        if blocks:
            _add(messages, role, blocks)
            last = turn
    _begin(job, messages)
    messages = [settled for message in messages for settled in _settled(job, message)]
    if messages[-1]["role"] == "assistant":
        _check_last(job, last, messages[-1]["content"])
    return messages


def _said(job: Job, turn: Turn, role: str) -> list[Json]:
    """The blocks of a turn, without what its speaker can not say."""
    for empty in empty_texts(turn):
        job.drop(empty.at, "empty text")
    parts = turn.parts
    if role == "system":
        for part in parts:
            if not isinstance(part, Text):
                job.drop(part.at, "a system message holds text only")
        parts = tuple(part for part in parts if isinstance(part, Text))
    if role != "assistant":
        for part in parts:
            if isinstance(part, Reasoning | ToolCall):
                job.drop(part.at, "only the assistant thinks and calls tools")
        kept = tuple(part for part in parts if not isinstance(part, Reasoning | ToolCall))
        blocks = blocks_out(job, kept)
        if turn.role == "system" and role == "user":
            return [
                {"text": f"<system>\n{b['text']}\n</system>"} if "text" in b else b for b in blocks
            ]
        return blocks
    parts = tuple(part for part in parts if not isinstance(part, ToolResult))
    blocks = blocks_out(job, parts)
    kept_blocks = [block for block in blocks if not any(name in block for name in _NOT_SPOKEN)]
    if len(kept_blocks) < len(blocks):
        job.drop(turn.at, "media in an assistant message")
    if all("cachePoint" in block for block in kept_blocks):
        return []
    return kept_blocks


def _place(job: Job, turn: Turn, messages: list[Json]) -> str:
    """Where a word of the system in the middle goes, as none may stand there."""
    if turn.effort is not None:
        job.effort = turn.effort
        job.bend(f"{turn.at}.output_config.effort", "holds for the whole request")
    if messages and messages[-1]["role"] == "assistant" and turn is job.request.turns[-1]:
        # Hoisted, it would leave the model's turn last.
        job.bend(turn.at, "system message after the assistant's turn sent as a user message")
        return "user"
    why = f"mid-conversation system hoisted: {job.model} has no mid-conversation system messages"
    job.bend(turn.at, why)
    return "system"


def _add(messages: list[Json], role: str, blocks: list[Json]) -> None:
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"] += blocks
    else:
        messages.append({"role": role, "content": blocks})


def _begin(job: Job, messages: list[Json]) -> None:
    if messages and messages[0]["role"] == "user":
        return
    where = "messages[0]" if messages else "messages"
    job.bend(where, "placeholder user turn inserted before leading assistant turn")
    messages.insert(0, {"role": "user", "content": [{"text": START}]})


def _settled(job: Job, message: Json) -> list[Json]:
    """The message as the API takes it: words beside documents, results on their own."""
    if message["role"] == "assistant":
        return [message]
    content: list[Json] = message["content"]
    results = [block for block in content if "toolResult" in block]
    others = [block for block in content if "toolResult" not in block]
    if results and others and not job.traits.mixed_results:
        return _parted(job, results, others)
    return _spread(job, content)


def _spread(job: Job, content: list[Json]) -> list[Json]:
    """The message, in several where it holds more documents or images than one may."""
    runs: list[list[Json]] = [[]]
    counts = dict.fromkeys(_MOST, 0)
    for block in content:
        kind = next((name for name in _MOST if name in block), None)
        if kind is not None and counts[kind] == _MOST[kind]:
            runs.append([])
            counts = dict.fromkeys(_MOST, 0)
        if kind is not None:
            counts[kind] += 1
        runs[-1].append(block)
    if len(runs) > 1:
        why = f"a message holds {_MOST['document']} documents and {_MOST['image']} images"
        job.bend(_last_at(job), f"{why}: the rest is sent in a turn after it")
    spread: list[Json] = []
    for run in runs:
        if spread:
            spread.append({"role": "assistant", "content": [{"text": _HEARD}]})
        _explain(job, run)
        spread.append({"role": "user", "content": run})
    return spread


def _explain(job: Job, content: list[Json]) -> None:
    if any("document" in block for block in content) and not any("text" in b for b in content):
        content.append({"text": _BESIDE})
        job.bend(_last_at(job), f"a document must have words beside it: {_BESIDE!r} is sent")


def _parted(job: Job, results: list[Json], others: list[Json]) -> list[Json]:
    """Results apart from the rest of their turn: some models take no turn of both."""
    why = f"{job.model} takes nothing beside tool results in a turn"
    if all("text" in block for block in others):
        job.bend(_last_at(job), f"{why}: the words are sent inside the last one")
        held = results[-1]["toolResult"]["content"]
        if held == [{"text": EMPTY}]:
            held.clear()
        held += others
        return [{"role": "user", "content": results}]
    job.bend(_last_at(job), f"{why}: the rest is sent in a turn after it")
    return [
        {"role": "user", "content": results},
        {"role": "assistant", "content": [{"text": _HEARD}]},
        *_spread(job, others),
    ]


def _last_at(job: Job) -> str:
    """The client's path of the last thing that the user said."""
    return next((turn.at for turn in reversed(job.request.turns) if turn.role == "user"), "")


def _check_last(job: Job, last: Turn | None, content: list[Json]) -> None:
    """Let a model go on with the assistant's words, or refuse where it can not."""
    if not job.traits.prefill:
        path = (last.at if last else "") or "messages"
        why = f"{job.model} does not continue an assistant message; end with a user message"
        raise invalid(f"{path}: {why}", path)
    end = content[-1]
    if "text" in end and end["text"] != end["text"].rstrip():
        job.bend(last.at if last else "", "white space at the end of the last message left out")
        end["text"] = end["text"].rstrip()
