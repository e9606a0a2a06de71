"""The items of a client's stream while they are written, each with the events it takes.

    message    item.added (part.added delta* annotation* text.done part.done)* item.done
    reasoning  item.added [part.added delta* text.done part.done] item.done
    call       item.added delta* arguments.done item.done

Texts that follow each other are one part of one message: clients read the answer there.
"""

from __future__ import annotations

import msgspec

from gateway.canon.events import BlockStart
from gateway.canon.request import Citation, Signature
from gateway.dialects.base import Exchange
from gateway.dialects.openai_responses.citations import citation_out
from gateway.dialects.openai_responses.items import (
    call_item,
    item_id,
    message_item,
    reasoning_item,
    state_item,
    text_part,
)
from gateway.dialects.openai_responses.names import Json

_encode = msgspec.json.Encoder().encode


class Page:
    """The stream so far: numbers the events, and keeps the items that are done."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.output: list[Json] = []
        self._number = 0

    def event(self, name: str, **fields: object) -> bytes:
        """One event with the next number."""
        data = {"type": name, "sequence_number": self._number, **fields}
        self._number += 1
        return f"event: {name}\ndata: ".encode() + _encode(data) + b"\n\n"

    def new_id(self, kind: str) -> str:
        """The id of the item that is written now."""
        return item_id(self.exchange, kind, len(self.output))

    def added(self, item: Json) -> bytes:
        """Announce an item."""
        index = len(self.output)
        return self.event("response.output_item.added", output_index=index, item=item)

    def done(self, item: Json) -> bytes:
        """Give an item as a whole."""
        index = len(self.output)
        self.output.append(item)
        return self.event("response.output_item.done", output_index=index, item=item)

    def of(self, name: str, item_id: str, **fields: object) -> bytes:
        """An event of the item that is written now."""
        return self.event(name, item_id=item_id, output_index=len(self.output), **fields)

    def deltas(self, name: str, item_id: str, **fields: object) -> Deltas:
        """The delta events of the item that is written now."""
        told = {"item_id": item_id, "output_index": len(self.output), **fields}
        head = f'event: {name}\ndata: {{"type":"{name}","sequence_number":'.encode()
        return Deltas(self, head, b"," + _encode(told)[1:-1] + b"}\n\n")

    def take_number(self) -> int:
        """The next number."""
        self._number += 1
        return self._number - 1


class Deltas:
    """Delta events that differ in number and words only; the rest is made once."""

    def __init__(self, page: Page, head: bytes, tail: bytes) -> None:
        self._page, self._head, self._tail = page, head, tail
        self.words: list[str] = []
        self.length = 0

    def more(self, text: str) -> bytes:
        """One delta."""
        self.words.append(text)
        self.length += len(text)
        number = b"%d" % self._page.take_number()
        return self._head + number + b',"delta":' + _encode(text) + self._tail

    @property
    def all(self) -> str:
        """All words so far."""
        return "".join(self.words)


class Message:
    """What the model says: parts of text and refusal."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._id = page.new_id("message")
        self._content: list[Json] = []
        self._deltas: Deltas | None = None
        self._kind = ""
        self._cited: list[Citation] = []
        self._begun_at = 0

    def open(self, kind: str) -> bytes:
        """Begin a block: it goes on with the open part, or begins one."""
        out = b""
        if self._deltas is not None and self._kind == kind:
            self._begun_at = self._deltas.length
            return out
        if self._deltas is None:
            out = self._page.added(message_item(self._id, [], "in_progress"))
        else:
            out = self._part_done()
        self._kind, self._begun_at = kind, 0
        place = len(self._content)
        part: Json = text_part("", []) if kind == "text" else {"type": "refusal", "refusal": ""}
        self._content.append(part)
        told: Json = {"content_index": place}
        name = "response.refusal.delta"
        if kind == "text":
            name, told["logprobs"] = "response.output_text.delta", []
        self._deltas = self._page.deltas(name, self._id, **told)
        added = "response.content_part.added"
        return out + self._page.of(added, self._id, content_index=place, part=part)

    def more(self, text: str) -> bytes:
        """More words."""
        return self._deltas.more(text) if self._deltas is not None else b""

    def cite(self, citation: Citation) -> None:
        """Note a source of the open block, whose extent is known at its end."""
        self._cited.append(citation)

    def end_block(self) -> tuple[bytes, bool]:
        """The sources of the block, and whether all of them could be told."""
        cited, self._cited = self._cited, []
        if not cited or self._deltas is None or self._kind != "text":
            return b"", not cited
        out, place, end = b"", len(self._content) - 1, self._deltas.length
        listed: list[Json] = self._content[-1]["annotations"]
        told = [citation_out(citation, self._begun_at, end) for citation in cited]
        for item in told:
            if item is not None:
                listed.append(item)
                out += self._page.of(
                    "response.output_text.annotation.added",
                    self._id,
                    content_index=place,
                    annotation_index=len(listed) - 1,
                    annotation=item,
                )
        return out, None not in told

    def close(self, status: str) -> bytes:
        """End the message."""
        return self._part_done() + self._page.done(message_item(self._id, self._content, status))

    def _part_done(self) -> bytes:
        if self._deltas is None:
            return b""
        place, words, part = len(self._content) - 1, self._deltas.all, self._content[-1]
        if self._kind == "text":
            part["text"] = words
            name, told = "response.output_text.done", {"text": words, "logprobs": []}
        else:
            part["refusal"] = words
            name, told = "response.refusal.done", {"refusal": words}
        out = self._page.of(name, self._id, content_index=place, **told)
        done = "response.content_part.done"
        return out + self._page.of(done, self._id, content_index=place, part=part)


class Thought:
    """Reasoning: a summary, if it has words that may be shown, and its state."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._shown = page.exchange.thinking != "none"
        self._id = page.new_id("reasoning")
        self._deltas: Deltas | None = None
        self._unseen: list[str] = []

    def open(self) -> bytes:
        """Begin it."""
        return self._page.added({"id": self._id, "type": "reasoning", "summary": []})

    def more(self, text: str) -> bytes:
        """More words; the first ones begin the summary."""
        if not self._shown:
            self._unseen.append(text)
            return b""
        out = b""
        if self._deltas is None:
            part = {"type": "summary_text", "text": ""}
            added, delta = "summary_part.added", "summary_text.delta"
            out = self._page.of(f"response.reasoning_{added}", self._id, summary_index=0, part=part)
            name = f"response.reasoning_{delta}"
            self._deltas = self._page.deltas(name, self._id, summary_index=0)
        return out + self._deltas.more(text)

    def close(self, signature: Signature | None) -> bytes:
        """End it with its state."""
        out, words = b"", ""
        if self._deltas is not None:
            words = self._deltas.all
            part = {"type": "summary_text", "text": words}
            name = "response.reasoning_summary_text.done"
            out = self._page.of(name, self._id, summary_index=0, text=words)
            name = "response.reasoning_summary_part.done"
            out += self._page.of(name, self._id, summary_index=0, part=part)
        words = words or "".join(self._unseen)
        item = reasoning_item(self._id, words, signature, shown=self._shown)
        return out + self._page.done(item)


class Call:
    """A call of a function, or of a tool that takes free text."""

    def __init__(self, page: Page, block: BlockStart) -> None:
        self._page, self._block = page, block
        self._stem, self._field = "function_call_arguments", "arguments"
        if block.custom:
            self._stem, self._field = "custom_tool_call_input", "input"
        self._id = page.new_id("custom_tool_call" if block.custom else "function_call")
        self._deltas = page.deltas(f"response.{self._stem}.delta", self._id)

    def open(self) -> bytes:
        """Begin it."""
        return self._page.added({**self._item(""), "status": "in_progress"})

    def more(self, text: str) -> bytes:
        """More of the arguments, or of the free text."""
        return self._deltas.more(text)

    def close(self, signature: Signature | None) -> bytes:
        """End it; a state that it carries is an item of its own."""
        out = b""
        if not self._deltas.words and not self._block.custom:
            out = self._deltas.more("{}")
        words = self._deltas.all
        told = {self._field: words}
        out += self._page.of(f"response.{self._stem}.done", self._id, **told)
        out += self._page.done(self._item(words))
        if signature is not None:
            state = state_item(self._page.new_id("reasoning"), self._block.id, signature)
            out += self._page.added(state) + self._page.done(state)
        return out

    def _item(self, words: str) -> Json:
        block = self._block
        return call_item(self._id, block.id, block.name, words, custom=block.custom)
