"""A strict provider of each dialect, called in process; it refuses what the real one refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from gateway.providers.catalog import resolve_preset
from gateway.providers.profile import Secret
from gateway.routing.snapshot import Provider, Timeouts
from tests.dialects.crossing.feature_requests import (
    ARGUMENTS,
    CLOCK,
    PREAMBLE,
    RESPONSE,
    THOUGHT,
    VERDICT,
    WEATHER,
)
from tests.fakes import (
    Call,
    Refusal,
    ScriptedResponse,
    StrictAnthropic,
    StrictDeepSeek,
    StrictGemini,
    StrictOpenAI,
)
from tests.fakes import anthropic as fake_anthropic
from tests.fakes import bedrock as fake_bedrock
from tests.fakes import cohere as fake_cohere
from tests.fakes import gemini as fake_gemini
from tests.fakes import openai as fake_openai
from tests.fakes.bedrock import StrictBedrock
from tests.fakes.bedrock_rules import CLAUDE
from tests.fakes.cohere import StrictCohere
from tests.fakes.cohere_rules import PLAIN, REASONER, VISION
from tests.fakes.ollama import StrictOllama
from tests.fakes.openai_older import StrictOlderOpenAI
from tests.fakes.server import RecordedRequest, ResponseWriter, Server

WORDS = "the upstream says no"


class Recorded(ResponseWriter):
    """A response writer of a fake whose response is read in process."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []
        self.broken = False

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Store status and headers."""
        self.status, self.headers = status, dict(headers)

    async def reply(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """Store a whole response."""
        data = httpx.Response(status, json=body).content
        await self.begin(status, {"content-type": "application/json", **(headers or {})})
        self.parts.append(data)

    async def write(self, data: bytes) -> None:
        """Store a chunk."""
        self.parts.append(data)

    async def end(self) -> None:
        """Do nothing: the response is complete."""

    def reset(self) -> None:
        """Mark the connection as reset after the written chunks."""
        self.broken = True


@dataclass(frozen=True)
class Upstream:
    """A provider of the matrix.

    Attributes:
        name: its column: the dialect, and the vendor if a dialect has several.
        models: the model for a feature; `""` for all others.
        calls: whether it calls tools.
        thinks: whether it returns reasoning.
        cached: whether it reports cached tokens.
        errors: the provider's refusal for a canonical error kind.
        changes: traits that differ from the preset's.
        prefix: the path of the fake below its host, if the preset has none.
    """

    name: str
    dialect: str
    preset: str
    fake: Callable[[], Server]
    key: str
    models: Mapping[str, str]
    errors: Mapping[str, Refusal]
    tools: bool = True
    thinks: bool = True
    changes: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = ""

    def model(self, feature: str) -> str:
        """Return the requested model of a feature."""
        return self.models.get(feature, self.models[""])

    def provider(self, host: str) -> Provider:
        """Return a provider row at this host with its preset."""
        preset = resolve_preset(self.preset)
        assert preset is not None
        base = urlsplit(preset.base_url or preset.url_example)
        return Provider(
            id=1,
            name=host,
            preset=preset.name,
            dialect=self.dialect,
            base_url=f"http://{host}.test{base.path or self.prefix}",
            auth="bearer" if preset.auth == "sigv4" else preset.auth,
            credential=Secret(self.key),
            headers=preset.headers,
            query=preset.query,
            edits=preset.edits,
            paths=preset.paths,
            model_in_path=preset.model_in_path,
            body=preset.body,
            passthrough=preset.passthrough,
            timeouts=Timeouts(connect_s=1, first_byte_s=2, idle_s=2, total_s=10),
        )


def scripted_response(feature: str, upstream: Upstream) -> ScriptedResponse:
    """Return the provider's scripted response to a feature."""
    cached = 4
    match feature:
        case "tools":
            calls = (Call(WEATHER.name, ARGUMENTS, "call_aZ-1"), Call(CLOCK.name, {}, "call_aZ-2"))
            return ScriptedResponse(text=PREAMBLE, calls=calls, cached_tokens=cached)
        case "thinking":
            call = (Call(WEATHER.name, {"city": "Rome"}),) if upstream.tools else ()
            return ScriptedResponse(
                text=PREAMBLE, reasoning=THOUGHT, calls=call, cached_tokens=cached
            )
        case "schema":
            return ScriptedResponse(text=VERDICT, cached_tokens=cached)
        case _:
            return ScriptedResponse(text=RESPONSE, cached_tokens=cached)


async def fake_response(fake: Server, request: httpx.Request) -> httpx.Response:
    """Return the fake's response to a request; its stream breaks where the fake resets."""
    recorded_request = RecordedRequest(
        method=request.method,
        path=request.url.raw_path.split(b"?")[0].decode().replace("%3A", ":"),
        query=request.url.query.decode(),
        headers={name.lower(): value for name, value in request.headers.items()},
        raw=request.content,
    )
    fake.requests.append(recorded_request)
    out = Recorded()
    await fake.respond(recorded_request, out)
    return httpx.Response(out.status, headers=out.headers, stream=_Body(out))


class _Body(httpx.AsyncByteStream):
    def __init__(self, out: Recorded) -> None:
        self._out = out

    async def __aiter__(self) -> Any:
        for part in self._out.parts:
            yield part
            await asyncio.sleep(0)
        if self._out.broken:
            raise httpx.ReadError("connection reset by peer")


def _openai(kind: str, status: int, code: str | None = None, **more: Any) -> Refusal:
    return Refusal(status, kind, WORDS, code, **more)


_OPENAI = {
    "rate_limit": _openai(
        "rate_limit_error", 429, "rate_limit_exceeded", headers={"retry-after": "7"}
    ),
    "quota": _openai("insufficient_quota", 429, "insufficient_quota"),
    "context_length": _openai("invalid_request_error", 400, "context_length_exceeded"),
    "overloaded": _openai("server_error", 503, "server_is_overloaded"),
    "upstream_auth": _openai("invalid_request_error", 401, "invalid_api_key"),
    "upstream_error": _openai("server_error", 500),
}
_ANTHROPIC = {
    "rate_limit": Refusal(429, "rate_limit_error", WORDS, headers={"retry-after": "7"}),
    "quota": Refusal(402, "billing_error", WORDS),
    "context_length": Refusal(400, "invalid_request_error", "prompt is too long: 9 tokens > 8"),
    "overloaded": Refusal(529, "overloaded_error", WORDS),
    "upstream_auth": Refusal(401, "authentication_error", WORDS),
    "upstream_error": Refusal(500, "api_error", WORDS),
}
_GOOGLE = {
    # The fake adds Google's own `RetryInfo` to a 429.
    "rate_limit": Refusal(429, "RESOURCE_EXHAUSTED", WORDS),
    "quota": Refusal(402, "RESOURCE_EXHAUSTED", WORDS),
    "context_length": Refusal(
        400,
        "INVALID_ARGUMENT",
        "The input token count (9) exceeds the maximum number of tokens allowed (8).",
    ),
    "overloaded": Refusal(503, "UNAVAILABLE", WORDS),
    "upstream_auth": Refusal(403, "PERMISSION_DENIED", WORDS),
    "upstream_error": Refusal(500, "INTERNAL", WORDS),
}
_AWS = {
    "rate_limit": Refusal(429, "ThrottlingException", WORDS),
    "context_length": Refusal(400, "ValidationException", "Input is too long for requested model."),
    "overloaded": Refusal(503, "ServiceUnavailableException", WORDS),
    "upstream_auth": Refusal(403, "AccessDeniedException", WORDS),
    "upstream_error": Refusal(500, "InternalServerException", WORDS),
    "timeout": Refusal(408, "ModelTimeoutException", WORDS),
}
_COHERE = {
    "rate_limit": Refusal(429, "", WORDS),
    "upstream_auth": Refusal(401, "", WORDS),
    "upstream_error": Refusal(500, "", WORDS),
    "overloaded": Refusal(503, "", WORDS),
    "timeout": Refusal(504, "", WORDS),
}
_OLLAMA = {
    "rate_limit": Refusal(429, "", WORDS),
    "upstream_auth": Refusal(401, "", WORDS),
    "upstream_error": Refusal(500, "", WORDS),
}

UPSTREAMS: dict[str, Upstream] = {
    upstream.name: upstream
    for upstream in (
        Upstream(
            "openai_chat",
            "openai_chat",
            "openai",
            StrictOpenAI,
            fake_openai.KEY,
            {"": "gpt-4o", "thinking": "gpt-5"},
            _OPENAI,
            thinks=False,
            changes={"responses": False, "responses_required_with_tools": False},
        ),
        Upstream(
            "openai_chat/deepseek",
            "openai_chat",
            "deepseek",
            StrictDeepSeek,
            fake_openai.KEY,
            {"": "deepseek-chat", "thinking": "deepseek-v4-pro"},
            _OPENAI,
            prefix="/v1",
        ),
        Upstream(
            "openai_responses",
            "openai_responses",
            "openai_responses",
            StrictOpenAI,
            fake_openai.KEY,
            {"": "gpt-4o", "thinking": "gpt-5"},
            _OPENAI,
        ),
        Upstream(
            "openai_completions",
            "openai_completions",
            "custom-completions",
            StrictOlderOpenAI,
            fake_openai.KEY,
            {"": "davinci-002"},
            _OPENAI,
            tools=False,
            thinks=False,
        ),
        Upstream(
            "anthropic_messages",
            "anthropic_messages",
            "anthropic",
            StrictAnthropic,
            fake_anthropic.KEY,
            {"": "claude-sonnet-4-5", "thinking": "claude-opus-4-6"},
            _ANTHROPIC,
        ),
        Upstream(
            "gemini",
            "gemini",
            "gemini",
            StrictGemini,
            fake_gemini.KEY,
            {"": "gemini-2.5-pro", "thinking": "gemini-3.1-pro"},
            _GOOGLE,
        ),
        Upstream("ollama", "ollama", "ollama", StrictOllama, "", {"": "qwen3"}, _OLLAMA),
        Upstream(
            "bedrock_converse",
            "bedrock_converse",
            "bedrock",
            StrictBedrock,
            fake_bedrock.BEARER,
            {"": CLAUDE},
            _AWS,
        ),
        Upstream(
            "cohere",
            "cohere",
            "cohere",
            StrictCohere,
            fake_cohere.KEY,
            {"": PLAIN, "thinking": REASONER, "image": VISION},
            _COHERE,
        ),
    )
}
