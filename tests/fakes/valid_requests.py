"""Generator of legal but unusual requests of both dialects, from a seed.

A request is legal if the strict fake of the dialect accepts it. Some models may still refuse a
generated request; callers check the rules.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

from tests.fakes.anthropic_rules import signature

Json = dict[str, Any]

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
PDF = "JVBERi0xLjQK"
_SCHEMAS: tuple[Json, ...] = (
    {"type": "object"},
    {"type": "object", "properties": {}},
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"a": {"type": "string", "minLength": 2, "pattern": "^x"}},
        "required": ["a"],
        "additionalProperties": False,
    },
    {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"]}, "b": {"$ref": "#/$defs/q"}},
        "$defs": {"q": {"type": "integer", "minimum": 3}},
    },
)
_EMPTYISH = ("Hi", "", "  ", "Line\nbreak", "x" * 50, " trailing ", "é😀")
_WORDS = ("Hi", "Line\nbreak", "é😀", " lead")


class RequestGenerator:
    """A generator of requests; the same seed generates the same requests."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self._count = 0

    def is_drawn(self, chance: float = 0.5) -> bool:
        """Return true with this probability."""
        return self.random.random() < chance

    def subset(self, fields: Json, chance: float = 0.15) -> Json:
        """Return a random subset of the fields."""
        return {name: value for name, value in fields.items() if self.is_drawn(chance)}

    def choice(self, *values: Any) -> Any:
        """Return one of the values."""
        return self.random.choice(values)

    def number(self) -> int:
        """Return the next number, for ids."""
        self._count += 1
        return self._count

    # --- OpenAI Chat -------------------------------------------------------------------

    def chat(self) -> Json:
        """Return a request of OpenAI's Chat."""
        tools = [self._chat_tool(number) for number in range(self.random.randint(1, 3))]
        name = tools[0]["function"]["name"]
        messages = [self.choice({"role": "system", "content": "Be brief"}, self._chat_user())]
        for _ in range(self.random.randint(1, 4)):
            messages += self._chat_step(name)
        body: Json = {"model": "m", "messages": messages}
        if self.is_drawn(0.6):
            body["tools"] = tools
            body |= self.subset({"tool_choice": self._chat_choice(name)}, 0.5)
            body |= self.subset({"parallel_tool_calls": self.is_drawn()}, 0.3)
        body |= self.subset(self._chat_options())
        if self.is_drawn(0.4):
            body["stream"] = True
            body |= self.subset({"stream_options": {"include_usage": self.is_drawn()}}, 0.5)
        return body

    def _chat_tool(self, number: int) -> Json:
        function = {"name": f"{self.choice('f', 'get_weather', 'a-b_c')}{number}"}
        more = {
            "description": self.choice(*_EMPTYISH),
            "parameters": self.choice({}, *_SCHEMAS),
            "strict": self.choice(True, False, None),
        }
        return {"type": "function", "function": function | self.subset(more, 0.7)}

    def _chat_choice(self, name: str) -> Any:
        named = {"type": "function", "function": {"name": name}}
        allowed = {"mode": self.choice("auto", "required"), "tools": [named]}
        subset = {"type": "allowed_tools", "allowed_tools": allowed}
        return self.choice("none", "auto", "required", named, subset)

    def _chat_user(self) -> Json:
        text = {"type": "text", "text": self.choice(*_EMPTYISH)}
        url = self.choice(f"data:image/png;base64,{PNG}", "https://example.com/a.png")
        image = {"type": "image_url", "image_url": {"url": url, **self.subset({"detail": "low"})}}
        data = f"data:application/pdf;base64,{PDF}"
        file = {"type": "file", "file": {"file_data": data, "filename": "a.pdf"}}
        content = self.choice(text["text"], [text], [text, image], [image], [file, text])
        return {"role": "user", "content": content, **self.subset({"name": "bob"})}

    def _chat_step(self, name: str) -> list[Json]:
        content = self.choice("Yes", [{"type": "text", "text": "b"}])
        refusal_content = [{"type": "refusal", "refusal": "no"}]
        match self.choice("user", "user", "assistant", "refusal", "system", "tools"):
            case "user":
                return [self._chat_user()]
            case "assistant":
                return [{"role": "assistant", "content": content, **self.subset({"refusal": None})}]
            case "refusal":
                return [{"role": "assistant", "content": refusal_content}]
            case "system":
                role = self.choice("system", "developer")
                return [{"role": role, "content": self.choice("Mid", "")}]
            case _:
                return self._chat_calls(name)

    def _chat_calls(self, name: str) -> list[Json]:
        ids = [
            f"{self.choice('call_', 'call.', 'toolu_', 'c:/')}{self.number()}"
            for _ in range(self.random.randint(1, 3))
        ]
        argument_texts = ("{}", "", '{"a":"b"}', "not json", "[1]", '"x"')
        calls = [
            {
                "id": id_,
                "type": "function",
                "function": {"name": name, "arguments": self.choice(*argument_texts)},
            }
            for id_ in ids
        ]
        text = self.choice(*_EMPTYISH)
        contents = (text, [{"type": "text", "text": text}], "[]")
        results = [
            {"role": "tool", "tool_call_id": id_, "content": self.choice(*contents)} for id_ in ids
        ]
        self.random.shuffle(results)
        content = self.choice(None, "", "Let me")
        return [{"role": "assistant", "content": content, "tool_calls": calls}, *results]

    def _chat_options(self) -> Json:
        named = {"name": "x", "schema": self.choice(*_SCHEMAS), "strict": False}
        forms = ({"type": "text"}, {"type": "json_schema", "json_schema": named})
        length = self.choice("max_tokens", "max_completion_tokens")
        return {
            "temperature": self.choice(0, 1, 0.5, 1.7, 2),
            "top_p": self.choice(0.1, 1),
            length: self.choice(1, 100, 1025, 5000),
            "stop": self.choice("x", ["a", "b"], ["\n", " "], "\n\n"),
            "seed": 3,
            "frequency_penalty": 0.5,
            "presence_penalty": -1,
            "logit_bias": {"1": 3},
            "user": self.choice("u", "x" * 100),
            "metadata": {"a": "b"},
            "store": True,
            "service_tier": self.choice("auto", "default", "flex", "priority"),
            "reasoning_effort": self.choice("none", "low", "medium", "high", "xhigh"),
            "verbosity": "low",
            "prompt_cache_key": "k",
            "response_format": self.choice(*forms),
            "logprobs": True,
            "n": 1,
        }

    # --- Anthropic Messages ------------------------------------------------------------

    def messages(self) -> Json:
        """Return a request of Anthropic's Messages."""
        tools = [self._messages_tool(number) for number in range(self.random.randint(1, 3))]
        if self.is_drawn(0.1):
            tools.append({"type": "web_search_20250305", "name": "web_search"})
        turns: list[Json] = [{"role": "user", "content": self._content()}]
        for _ in range(self.random.randint(0, 4)):
            turns += self._messages_step(tools[0]["name"], turns[-1]["role"])
        limit = self.choice(1, 100, 1500, 32_000)
        body: Json = {"model": "m", "max_tokens": limit, "messages": turns}
        if "tool_use" in json.dumps(turns) or self.is_drawn(0.4):
            body["tools"] = tools
            body |= self.subset({"tool_choice": self._messages_choice(tools)}, 0.5)
        body |= self.subset({"system": self.choice("Sys", [self._text(), self._text()])}, 0.5)
        return body | self.subset(self._messages_options(), 0.2)

    def _messages_tool(self, number: int) -> Json:
        more = {
            "description": self.choice(*_WORDS),
            "cache_control": {"type": "ephemeral"},
            "defer_loading": True,
            "strict": True,
        }
        return {"name": f"f{number}", "input_schema": self.choice(*_SCHEMAS), **self.subset(more)}

    def _messages_choice(self, tools: list[Json]) -> Json:
        single = {"type": "auto", "disable_parallel_tool_use": True}
        named = {"type": "tool", "name": self.choice(*tools)["name"]}
        choice: Json = self.choice(
            {"type": "auto"}, {"type": "any"}, {"type": "none"}, single, named
        )
        return choice

    def _text(self) -> Json:
        mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
        return {"type": "text", "text": self.choice(*_WORDS), **self.subset(mark, 0.05)}

    def _image(self) -> Json:
        data = {"type": "base64", "media_type": "image/png", "data": PNG}
        url = {"type": "url", "url": "https://example.com/a.png"}
        return {"type": "image", "source": self.choice(data, url)}

    def _document(self) -> Json:
        pdf = {"type": "base64", "media_type": "application/pdf", "data": PDF}
        plain = {"type": "text", "media_type": "text/plain", "data": "plain"}
        more = {"title": "T", "citations": {"enabled": True}}
        return {"type": "document", "source": self.choice(pdf, plain), **self.subset(more, 0.3)}

    def _content(self) -> Any:
        text, image, document = self._text(), self._image(), self._document()
        return self.choice("Go", [text], [text, image], [image], [document, text], [document])

    def _messages_step(self, name: str, before: str) -> list[Json]:
        thought = {"type": "thinking", "thinking": "hm", "signature": signature("hm")}
        more = {"role": "user", "content": "more"}
        match self.choice("user", "assistant", "system", "thought", "tools", "tools"):
            case "user" if before == "user":
                return [{"role": "user", "content": self._content()}]
            case "assistant":
                return [{"role": "assistant", "content": self.choice("Ok", [self._text()])}, more]
            case "system":
                message = {"role": "assistant", "content": "ok"}
                return [
                    {"role": "system", "content": self.choice("Env", [self._text()])},
                    message,
                    more,
                ]
            case "thought":
                return [{"role": "assistant", "content": [thought, self._text()]}, more]
            case _:
                return self._messages_calls(name)

    def _messages_calls(self, name: str) -> list[Json]:
        ids = [f"toolu_{self.number()}" for _ in range(self.random.randint(1, 3))]
        thought = {"type": "thinking", "thinking": "tt", "signature": signature("tt")}
        hidden = {"type": "redacted_thinking", "data": "xx"}
        first: list[Json] = self.choice([], [self._text()], [thought], [hidden])
        calls = [
            {"type": "tool_use", "id": id_, "name": name, "input": self.choice({}, {"a": 1})}
            for id_ in ids
        ]
        results = [self._result(id_) for id_ in ids]
        after: list[Json] = self.choice([], [self._text()], [self._image()])
        return [
            {"role": "assistant", "content": first + calls},
            {"role": "user", "content": results + after},
        ]

    def _result(self, id_: str) -> Json:
        text = {"type": "text", "text": "r"}
        content = self.choice(
            None, "", "r", [], [text], [self._image()], [text, self._image()], [self._document()]
        )
        result: Json = {"type": "tool_result", "tool_use_id": id_}
        if content is not None:
            result["content"] = content
        return result | self.subset({"is_error": self.is_drawn()}, 0.3)

    def _messages_options(self) -> Json:
        schema = {"type": "object", "properties": {"a": {"type": "string"}}}
        form = {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}
        thinking = (
            {"type": "adaptive"},
            {"type": "adaptive", "display": "omitted"},
            {"type": "disabled"},
            {"type": "enabled", "budget_tokens": 1024},
        )
        identity = json.dumps({"device_id": "x" * 150})
        return {
            "temperature": self.choice(0, 0.5, 1),
            "top_k": 5,
            "stop_sequences": self.choice(["x"], list("abcdef")),
            "metadata": {"user_id": self.choice("u", identity)},
            "service_tier": self.choice("auto", "standard_only"),
            "output_config": self.choice({"effort": "high"}, {"effort": "max"}, {"format": form}),
            "thinking": self.choice(*thinking),
            "stream": self.is_drawn(),
        }
