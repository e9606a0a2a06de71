"""A complete canonical response -> a client's response object."""

from __future__ import annotations

from typing import assert_never

from gateway.canon.adaptation import Adaptation, AdaptationReport, approximated, dropped
from gateway.canon.arguments import render_arguments
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
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_responses.citations import citation_out
from gateway.dialects.openai_responses.finish import finish_out
from gateway.dialects.openai_responses.names import NAME, Json
from gateway.dialects.openai_responses.output_items import (
    call_item,
    item_id,
    message_item,
    reasoning_item,
    response_object,
    state_item,
    text_part,
)
from gateway.dialects.openai_responses.usage import usage_out
from gateway.dialects.openai_responses.web_searches import (
    WEB_SEARCH_CALL,
    page_contents_drop,
    search_item,
    with_result,
)
from gateway.dialects.shared.openai_logprobs import token_logprobs
from gateway.dialects.shared.responses import malformed_output_error
from gateway.dialects.shared.web_search import Search, read_call, read_result


def render_response(
    response: Response, context: ResponseContext
) -> tuple[Json, tuple[Adaptation, ...]]:
    """The response's JSON and what it could not express.

    Raises GatewayError for a response that the model malformed.
    """
    finish = response.finish
    if finish.reason == "malformed":
        raise GatewayError(malformed_output_error(finish))
    output = _OutputBuilder(context)
    for part in response.parts:
        output.add(part)
    refused = any(isinstance(part, Refusal) for part in response.parts)
    if not refused and finish.reason in {"filter", "refusal"} and finish.explanation:
        output.add(Refusal(text=finish.explanation))
        refused = True
    if finish.reason == "pause":
        output.record_loss(approximated("status", "a paused turn is shown as completed"))
    output.add_logprobs(token_logprobs(response))
    finish_fields = finish_out(finish, refused=refused)
    output.close(finish_fields["status"])
    fields: Json = {**finish_fields, "usage": usage_out(response.usage)}
    if response.service_tier is not None:
        fields["service_tier"] = response.service_tier
    fields = response.extra.get(NAME, {}) | fields
    status = fields.pop("status")
    return response_object(context, status, output.items, **fields), tuple(output.report)


class _OutputBuilder:
    """Collects the output items; consecutive texts form one message."""

    def __init__(self, context: ResponseContext) -> None:
        self.items: list[Json] = []
        self.report = AdaptationReport()
        self._context = context
        self._message: Json | None = None
        # Searches without a result yet by id, with their item.
        self._searches: dict[str, tuple[Search, Json]] = {}

    def add(self, part: Part) -> None:
        """Add one part."""
        match part:
            case Text():
                self._add_text(part)
            case Refusal():
                self._message_content().append({"type": "refusal", "refusal": part.text})
            case Reasoning():
                visible = self._context.reasoning_display != "none"
                self._add_item(
                    reasoning_item(
                        self._new_item_id("reasoning"), part.text, part.signature, visible=visible
                    )
                )
            case ToolCall():
                self._add_call(part)
            case Native():
                self._add_native(part)
            case Image() | Document() | Audio() | ToolResult():
                kind = type(part).__name__.lower()
                self.record_loss(dropped(f"output.{kind}", "no equivalent in OpenAI's Responses"))
            case _:
                assert_never(part)

    def record_loss(self, adaptation: Adaptation) -> None:
        """Report a loss once."""
        self.report.add(adaptation)

    def add_logprobs(self, tokens: list[Json]) -> None:
        """Put the log probabilities of the response into its first text part."""
        contents = (item["content"] for item in self.items if item.get("type") == "message")
        texts = (part for content in contents for part in content if "logprobs" in part)
        if (part := next(texts, None)) is not None:
            # `bytes` may be null in Chat, but not here.
            part["logprobs"] = [{**token, "bytes": token.get("bytes") or []} for token in tokens]

    def close(self, status: str) -> None:
        """Set the status of the last message."""
        if self.items and self.items[-1] is self._message:
            self._message["status"] = status

    def _new_item_id(self, kind: str) -> str:
        return item_id(self._context, kind, len(self.items))

    def _add_item(self, item: Json) -> None:
        self.items.append(item)
        self._message = None

    def _message_content(self) -> list[Json]:
        """The content of the open message, or of a new one."""
        if self._message is None:
            item = message_item(self._new_item_id("message"), [], "completed")
            self._add_item(item)
            self._message = item
        content: list[Json] = self._message["content"]
        return content

    def _add_text(self, text: Text) -> None:
        content = self._message_content()
        if not content or content[-1]["type"] != "output_text":
            content.append(text_part("", []))
        part = content[-1]
        start = len(part["text"])
        part["text"] += text.text
        for citation in text.citations:
            annotation = citation_out(citation, start, len(part["text"]))
            if annotation is not None:
                part["annotations"].append(annotation)
            else:
                self.record_loss(unlinked_source_drop())

    def _add_call(self, call: ToolCall) -> None:
        arguments = call.raw or "" if call.custom else render_arguments(call)
        kind = "custom_tool_call" if call.custom else "function_call"
        self._add_item(
            call_item(self._new_item_id(kind), call.id, call.name, arguments, custom=call.custom)
        )
        if call.signature is not None:
            self._add_item(state_item(self._new_item_id("reasoning"), call.id, call.signature))

    def _add_native(self, part: Native) -> None:
        if part.dialect == NAME:
            self._add_item(part.data)
        elif (search := read_call(part.data)) is not None:
            item = {"id": self._new_item_id(WEB_SEARCH_CALL), **search_item(search)}
            self._searches[search.id] = search, item
            self._add_item(item)
        else:
            self._add_search_result(part.data)

    def _add_search_result(self, data: Json) -> None:
        """Add the result of a search to its item."""
        result = read_result(data)
        if result is None or result.id not in self._searches:
            self.record_loss(unsupported_part_drop(data))
            return
        search, item = self._searches.pop(result.id)
        item |= search_item(with_result(search, result))
        if not result.failed:
            self.record_loss(page_contents_drop(data))


def unsupported_part_drop(data: Json) -> Adaptation:
    """The report of a part that exists in another dialect only."""
    kind = data.get("type", "unknown")
    return dropped(f"output.{kind}", "no equivalent in OpenAI's Responses")


def unlinked_source_drop() -> Adaptation:
    """The report of a source without a URL."""
    return dropped("annotations", "OpenAI's Responses have no sources without a URL")
