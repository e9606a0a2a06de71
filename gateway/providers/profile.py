"""Data types of a provider: preset rows, edits, prices, credentials."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import msgspec


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens; None where unknown.

    Attributes:
        reasoning: for reasoning tokens in the output; None means as `output`.
        input_audio: for audio in the prompt; None means as `input`.
        output_audio: for audio in the response; None means as `output`.
        above: (threshold, price) pairs, shortest first: the price of all tokens of a request
            whose prompt has more than `threshold` tokens.
        tiers: prices of other service tiers than the standard one, by name.
        source: origin of the price.
    """

    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    above: tuple[tuple[int, Price], ...] = ()
    tiers: dict[str, Price] = {}
    source: str = ""


# Part of the `source` of a price in a service tier for which no price is known.
NO_TIER_PRICE = "standard price, no price known"

# Fields with the price of one kind of token each.
RATES = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "reasoning",
    "input_audio",
    "output_audio",
)


class Secret:
    """A credential that never appears in a repr, a log or a traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the credential itself; for the `auth` step only."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """One change to the JSON sent to a provider (`gateway.providers.edits` applies it).

    `drop` removes the field, `rename` moves it to the name in `value`, `default` sets it
    if absent, `set` always sets it, `min` and `max` clamp a number to `value`, `map`
    replaces a value by its entry in `value` (an object), `shorten` cuts a string to
    `value` characters with a hash at the end.
    `path` is dotted; `[]` after a name means each item of that list.
    """

    op: Literal["drop", "rename", "default", "set", "min", "max", "map", "shorten"]
    path: str
    value: Any = None
    reason: str = ""


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the catalog: everything to call a provider except the credential.

    Attributes:
        name: its key, the `provider` part of `provider/model`, the `p` of opaque tokens.
        title: as the provider writes itself.
        base_url: without a trailing slash; empty if each account has its own.
        dialect: a key of DIALECTS; most providers have OpenAI's Chat API.
        auth: a key of `auth.AUTH_SCHEMES`: the scheme of its credential.
        env: environment variables that hold its key; the first that is set counts.
        docs: the provider's own API documentation.
        traits: changes to `Traits()` for all its models.
        edits: changes to the JSON of every request.
        litellm: LiteLLM's prefixes for it (`together_ai`, `hosted_vllm`, ...).
        aliases: further names by which `catalog.resolve_preset` finds it.
        paths: verb -> path below the base URL with `{model}` for the upstream's model
            name, if it is not the dialect's own (Azure's deployments).
        query: parameters appended to every URL (Azure's `api-version`).
        url_example: an example of a base URL, if each account has its own.
        prices: its price list (`gateway.providers.prices`), or empty.
        model_in_path: the verbs whose path names the model instead of the body.
        body: fields that the API requires in every body (the version of Anthropic's API at
            Vertex AI).
        passthrough: whether requests of the same dialect may be passed through; a
            variant that differs inside the messages is always translated.
        local: whether it runs on the operator's own machine by default.
        logo: the name of its logo, if it differs from `name`.
    """

    name: str
    title: str
    base_url: str
    dialect: str = "openai_chat"
    auth: str = "bearer"
    env: tuple[str, ...] = ()
    docs: str = ""
    traits: dict[str, Any] = {}
    edits: tuple[Edit, ...] = ()
    litellm: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    paths: dict[str, str] = {}
    query: tuple[tuple[str, str], ...] = ()
    url_example: str = ""
    prices: str = ""
    model_in_path: tuple[str, ...] = ()
    body: dict[str, Any] = {}
    passthrough: bool = True
    local: bool = False
    logo: str = ""
