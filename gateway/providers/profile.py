"""What is special about a provider, as data: a preset row, edits, prices, credentials."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import msgspec


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens; None where unknown.

    Attributes:
        reasoning: of the part of the output that is reasoning; None is as `output`.
        input_audio: of sound in the prompt; None is as `input`.
        output_audio: of sound in the answer; None is as `output`.
        above: what a request costs whose prompt is longer than so many tokens, shortest
            first; all of its tokens, not only those beyond.
        tiers: what it costs in another service tier than the standard one, by its name.
        source: who said so.
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


# The prices of one kind of token each.
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
    """A credential that never shows itself in a repr, a log or a traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The credential itself; for the `auth` step only."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """One change to the JSON that goes to a provider (`gateway.providers.edits` applies it).

    `drop` removes the field, `rename` moves it to the name in `value`, `default` sets it
    where absent, `set` always sets it, `min` and `max` clamp a number to `value`, `map`
    replaces a value by the one that `value` (an object) names for it, `shorten` puts a hash
    in place of what a string has beyond `value` characters.
    `path` is dotted; `[]` after a name means each item of that list.
    """

    op: Literal["drop", "rename", "default", "set", "min", "max", "map", "shorten"]
    path: str
    value: Any = None
    why: str = ""


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the catalogue: all it takes to call a provider but the credential.

    Attributes:
        name: its key, the `provider` part of `provider/model`, the `p` of opaque tokens.
        title: as the provider writes itself.
        dialect: a key of DIALECTS.
        base_url: without a trailing slash; empty where each account has its own.
        auth: a key of `auth.AUTH`: how its credential is shown.
        env: environment variables that hold its key, first found wins.
        docs: the provider's own API documentation.
        traits: changes to `Traits()` for all its models.
        edits: changes to the JSON of every request.
        litellm: LiteLLM's prefixes for it (`together_ai`, `hosted_vllm`, ...).
        aliases: further names by which `catalog.resolve` finds it.
        paths: verb -> path below the base URL with `{model}` for the upstream's model
            name, where it is not the dialect's own (Azure's deployments).
        query: parameters appended to every URL (Azure's `api-version`).
        url_example: what a base URL looks like where each account has its own.
        prices: the price list that holds for it (`gateway.providers.prices`), or empty.
        model_in_path: the verbs whose path alone names the model: the body does not.
        body: fields that belong to the surface and stand in every body (the version of
            Anthropic's API at Vertex AI).
        passthrough: whether a client of the same dialect may be passed through; a
            variant that differs inside the messages is always translated.
        local: whether it runs on the operator's own machine by default.
        logo: the name of its logo's drawing, where that is not its own name.
    """

    name: str
    title: str
    dialect: str
    base_url: str
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
