"""A whole canonical answer -> a client's response object."""

from __future__ import annotations

from typing import assert_never

from gateway.canon.adaptation import Adaptation, approximated, dropped
from gateway.canon.arguments import written
from gateway.canon.errors import GatewayError
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.response import Response
from gateway.dialects.base import Exchange
from gateway.dialects.openai_logprobs import tokens_of
from gateway.dialects.openai_responses.citations import citation_out
from gateway.dialects.openai_responses.finish import finish_out, malformed
from gateway.dialects.openai_responses.items import (
    answer,
    call_item,
    item_id,
    message_item,
    reasoning_item,
    state_item,
    text_part,
)
from gateway.dialects.openai_responses.names import NAME, Json
from gateway.dialects.openai_responses.usage import usage_out


def render_response(response: Response, exchange: Exchange) -> tuple[Json, tuple[Adaptation, ...]]:
    """The answer's JSON and what it could not say. Raises GatewayError for a garbled one."""
    finish = response.finish
    if finish.reason == "malformed":
        raise GatewayError(malformed(finish))
    told = _Output(exchange)
    for part in response.parts:
        told.add(part)
    refused = any(isinstance(part, Refusal) for part in response.parts)
    if not refused and finish.reason in {"filter", "refusal"} and finish.explanation:
        told.add(Refusal(text=finish.explanation))
        refused = True
    if finish.reason == "pause":
        told.note(approximated("status", "a paused turn is shown as completed"))
    told.weigh(tokens_of(response))
    ended = finish_out(finish, refused=refused)
    told.close(ended["status"])
    fields: Json = {**ended, "usage": usage_out(response.usage)}
    if response.service_tier is not None:
        fields["service_tier"] = response.service_tier
    fields = response.extra.get(NAME, {}) | fields
    status = fields.pop("status")
    return answer(exchange, status, told.items, **fields), tuple(told.report)


class _Output:
    """The items as the parts are read: words that follow each other are one message."""

    def __init__(self, exchange: Exchange) -> None:
        self.items: list[Json] = []
        self.report: list[Adaptation] = []
        self._exchange = exchange
        self._message: Json | None = None

    def add(self, part: Part) -> None:
        """Read one part."""
        match part:
            case Text():
                self._say(part)
            case Refusal():
                self._content().append({"type": "refusal", "refusal": part.text})
            case Reasoning():
                shown = self._exchange.thinking != "none"
                self._item(
                    reasoning_item(self._id("reasoning"), part.text, part.signature, shown=shown)
                )
            case ToolCall():
                self._call(part)
            case Native():
                self._native(part)
            case Image() | Document() | Audio() | ToolResult():
                kind = type(part).__name__.lower()
                self.note(dropped(f"output.{kind}", "no equivalent in OpenAI's Responses"))
            case _:
                assert_never(part)

    def note(self, item: Adaptation) -> None:
        """Report a loss once."""
        if item not in self.report:
            self.report.append(item)

    def weigh(self, tokens: list[Json]) -> None:
        """Put the log probabilities of the answer's text into its first part."""
        contents = (item["content"] for item in self.items if item.get("type") == "message")
        texts = (part for content in contents for part in content if "logprobs" in part)
        if (part := next(texts, None)) is not None:
            # Bytes may be null in Chat, here not.
            part["logprobs"] = [{**token, "bytes": token.get("bytes") or []} for token in tokens]

    def close(self, status: str) -> None:
        """Say of the last message whether it is whole."""
        if self.items and self.items[-1] is self._message:
            self._message["status"] = status

    def _id(self, kind: str) -> str:
        return item_id(self._exchange, kind, len(self.items))

    def _item(self, item: Json) -> None:
        self.items.append(item)
        self._message = None

    def _content(self) -> list[Json]:
        """The content of the open message; of a new one where none is open."""
        if self._message is None:
            item = message_item(self._id("message"), [], "completed")
            self._item(item)
            self._message = item
        content: list[Json] = self._message["content"]
        return content

    def _say(self, text: Text) -> None:
        content = self._content()
        if not content or content[-1]["type"] != "output_text":
            content.append(text_part("", []))
        part = content[-1]
        start = len(part["text"])
        part["text"] += text.text
        for citation in text.citations:
            item = citation_out(citation, start, len(part["text"]))
            if item is not None:
                part["annotations"].append(item)
            else:
                self.note(no_url())

    def _call(self, call: ToolCall) -> None:
        words = call.raw or "" if call.custom else written(call)
        kind = "custom_tool_call" if call.custom else "function_call"
        self._item(call_item(self._id(kind), call.id, call.name, words, custom=call.custom))
        if call.signature is not None:
            self._item(state_item(self._id("reasoning"), call.id, call.signature))

    def _native(self, part: Native) -> None:
        if part.dialect == NAME:
            self._item(part.data)
        else:
            self.note(no_item(part.data))


def no_item(data: Json) -> Adaptation:
    """The record of a part that only another dialect knows."""
    kind = data.get("type", "unknown")
    return dropped(f"output.{kind}", "no equivalent in OpenAI's Responses")


def no_url() -> Adaptation:
    """The record of a source that can not be cited."""
    return dropped("annotations", "a source without a URL has no place in OpenAI's Responses")
