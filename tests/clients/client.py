"""One row of the tables of clients, and the values that several rows have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ALL = ("text", "stream", "tools", "thinking", "structured")
EVERY = ("chat", "deepseek", "responses", "messages", "gemini", "ollama", "cohere", "bedrock")


@dataclass(frozen=True)
class Client:
    """A client library or agent, and how it is run.

    Attributes:
        title: its display name.
        script: the file in `scripts/` that runs it; `.mjs` runs on Node.
        variant: an argument of a script that runs several clients.
        socket: whether it connects to the gateway by WebSocket only.
        packages: requirements from PyPI; empty for packages of the development environment.
        modules: requirements from npm.
        dialect: the dialect of its requests.
        base, key: the settings of its base URL and key, with `URL` for the gateway's address.
        scenarios: the scenarios that are verified on each of `upstreams`.
        upstreams: names of `UPSTREAMS`.
        names: the routes it requests on an upstream, if not named after the upstream.
        shell: an agent's built-in command tool and its argument; it gets no other tool.
        known_failures: failures not caused by the gateway: `upstream scenario` and the reason.
        notes: notes for users.
    """

    title: str
    script: str
    dialect: str
    base: str
    key: str
    variant: str = ""
    socket: bool = False
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ALL
    upstreams: tuple[str, ...] = EVERY
    names: Mapping[str, str] = field(default_factory=dict)
    shell: tuple[str, str] | None = None
    known_failures: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""

    @property
    def heavy(self) -> bool:
        """Whether it needs packages that the development environment does not have."""
        return bool(self.packages or self.modules)


OPENAI_KEY, ANTHROPIC_KEY = "`OPENAI_API_KEY`", "`ANTHROPIC_API_KEY`"
CHAT, RESPONSES, MESSAGES = "openai_chat", "openai_responses", "anthropic_messages"
# For clients that know only the models of OpenAI, or request reasoning only from them.
REASONING_NAMES = {
    "deepseek": "o3-mini",
    "messages": "o3",
    "gemini": "o4-mini",
    "ollama": "o1",
    "cohere": "gpt-5",
    "bedrock": "gpt-5-mini",
}
