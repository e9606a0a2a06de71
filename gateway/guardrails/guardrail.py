"""A guardrail as a value: what it checks, how, and its action on a finding."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.providers.profile import Secret

Action = Literal["block", "mask", "log"]
OnError = Literal["block", "allow"]
Stage = Literal["request", "response"]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
MAX_TIMEOUT_S = 60.0


class NamedPattern(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A regular expression; `name` is shown in the log and replaces masked text."""

    name: Name
    pattern: str


class _KindSettings(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True
):
    """The settings of one kind of guardrail."""


class PatternSettings(_KindSettings, frozen=True, kw_only=True, tag="patterns"):
    """Regular expressions: `pii` are keys of `patterns.PII`, `patterns` an operator's own."""

    pii: tuple[str, ...] = ()
    patterns: tuple[NamedPattern, ...] = ()


class ModerationSettings(_KindSettings, frozen=True, kw_only=True, tag="moderation"):
    """A provider's `/moderations` endpoint, as OpenAI and Mistral have it.

    Attributes:
        provider: the name of a provider of the registry, whose credential is used.
        categories: the categories that count; empty is every category.
        threshold: the minimum score of a category; None uses the provider's own verdict.
    """

    provider: str
    model: str = "omni-moderation-latest"
    categories: tuple[str, ...] = ()
    threshold: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None


class PresidioSettings(_KindSettings, frozen=True, kw_only=True, tag="presidio"):
    """Presidio's analyzer: a service at a base URL, without `/analyze`, or the library here.

    Attributes:
        url: empty runs the library (extra `presidio`) in a process of its own.
        spacy_model: for the library: an installed package with a spaCy model, which recognizes
            names and places; empty recognizes patterns only.
        entities: Presidio's entity types; empty is every type.
    """

    url: str = ""
    language: str = "en"
    spacy_model: str = ""
    entities: tuple[str, ...] = ()
    min_score: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5


class LiteLLMSettings(_KindSettings, frozen=True, kw_only=True, tag="litellm"):
    """A service with LiteLLM's generic guardrail API; `parameters` are passed on to it."""

    url: str
    parameters: dict[str, Any] = {}


class PortkeySettings(_KindSettings, frozen=True, kw_only=True, tag="portkey"):
    """A webhook with Portkey's request and response format; `metadata` is passed on to it."""

    url: str
    metadata: dict[str, Any] = {}


Settings = (
    PatternSettings | ModerationSettings | PresidioSettings | LiteLLMSettings | PortkeySettings
)
KINDS = ("patterns", "moderation", "presidio", "litellm", "portkey")
# Kinds that only return a verdict, so that matches cannot be masked.
CANNOT_MASK = frozenset({"moderation"})
# Kinds whose service may rewrite the texts, whatever the action, unless it is `log`.
REWRITES = frozenset({"litellm", "portkey"})


class Guardrail(msgspec.Struct, frozen=True, kw_only=True):
    """A check of requests, responses or both.

    Attributes:
        action: `block` rejects, `mask` replaces the matches, `log` only records them.
        everywhere: whether it applies to all requests, also without being attached to a route
            or key.
        on_error: whether a request is rejected or allowed if the check itself fails.
        position: guardrails run in this order, then by name.
        credential: sent to the service: `x-api-key` for `litellm`, else a Bearer token.
        fault: why it cannot run, for a guardrail whose row is invalid; it then fails each time.
    """

    name: str
    settings: Settings = PatternSettings()
    action: Action = "block"
    check_requests: bool = True
    check_responses: bool = False
    everywhere: bool = False
    on_error: OnError = "block"
    timeout_s: float = 3.0
    position: int = 0
    credential: Secret = Secret("")
    fault: str = ""

    @property
    def kind(self) -> str:
        """The kind of the guardrail, one of KINDS."""
        return str(self.settings.__struct_config__.tag)
