"""The content of a LiteLLM file as plain values; `apply` writes them to the registry."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

import msgspec

from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.remark import Remark


class ProviderRow(msgspec.Struct, frozen=True, kw_only=True):
    """A provider: a literal key in `key`, or the name of a variable in `key_env`.

    `auth` is the auth scheme, if it is not the preset's; `tls` has columns of the provider, by
    name; `budget` is not part of `identity`.

    A header's value may be `os.environ/NAME`: the store resolves it, the row never holds the
    value. `shareable` is whether it is just its preset with the preset's usual key.
    """

    preset: str
    ref: str
    base_url: str = ""
    key: str = ""
    key_env: str = ""
    auth: str = ""
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    drop_params: bool = True
    client_credential: bool = False
    tls: dict[str, Any] = {}
    shareable: bool = False
    budget: dict[str, Decimal] = {}

    @property
    def identity(self) -> str:
        """A digest of every field that distinguishes this provider from another."""
        parts: tuple[object, ...] = (
            self.preset,
            self.base_url,
            self.key,
            self.key_env,
            self.headers,
            self.query,
        )
        # Defaults are omitted, so that digests in the names of existing rows do not change.
        parts += (self.auth,) if self.auth else ()
        parts += () if self.drop_params else ("drop_params", False)
        parts += ("client_credential", True) if self.client_credential else ()
        parts += ("tls", self.tls) if self.tls else ()
        encoded_parts = msgspec.json.encode(parts, order="deterministic")
        return hashlib.sha256(encoded_parts).hexdigest()


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A model of a provider (by identity). Prices are US dollars per million tokens."""

    provider: str
    name: str
    ref: str
    traits: dict[str, Any] = {}
    prices: dict[str, Decimal] = {}


class TargetRow(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment behind a route. `shares` are its `weight`, `rpm` and `tpm`.

    `limits` and `budget` have the names of `routing.limits`; `rates` may become limits.
    """

    provider: str
    model: str
    ref: str
    order: int = 1
    weight: float = 1.0
    shares: dict[str, float] = {}
    timeouts: dict[str, float] = {}
    edits: list[dict[str, Any]] = []
    tags: tuple[str, ...] = ()
    limits: dict[str, int] = {}
    rates: dict[str, int] = {}
    budget: dict[str, Decimal] = {}


class StepRow(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a route: the targets with its `order` serve requests with this condition."""

    order: int
    name: str
    requires: str


class RouteRow(msgspec.Struct, kw_only=True):
    """A model_name with all its deployments. None means that no entry has set the field.

    `policy` holds further columns of the route that the file sets. `guardrail_nodes` are the names
    of guardrails that its entries list, `guardrails` those of the rows.
    """

    name: str
    ref: str
    targets: list[TargetRow] = []
    strategy: str = "weighted"
    retries: int | None = None
    cooldown_s: float | None = None
    fallbacks: list[str] = []
    policy: dict[str, Any] = {}
    default_max_output: int | None = None
    hidden: bool = False
    cache: dict[str, Any] = {}
    key_limits: dict[str, int] = {}
    steps: list[StepRow] = []
    guardrail_nodes: list[Node] = []
    guardrails: list[str] = []


class GuardrailRow(msgspec.Struct, frozen=True, kw_only=True):
    """A guardrail with the columns of its table; `listed_as` is its name in the file."""

    name: str
    listed_as: str
    kind: str
    settings: dict[str, Any]
    ref: str
    credential: str = ""
    action: str = "block"
    check_requests: bool = True
    check_responses: bool = False
    everywhere: bool = False
    on_error: str = "block"
    position: int = 0


class SettingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A setting of `store.options`."""

    name: str
    value: Any
    ref: str


class AliasRow(msgspec.Struct, frozen=True, kw_only=True):
    """An alias, or a pattern, of a route."""

    pattern: str
    route: str
    ref: str


class Config(msgspec.Struct, kw_only=True):
    """A whole file with its includes.

    Attributes:
        providers: by name; `names` maps an identity to the name.
        deployments: the model_name and target of each entry with an ID (`model_info.id`).
        environment: what `environment_variables` sets.
        settings: gateway-wide settings, by name.
        master_key: the gateway's master key, or empty.
        log_bodies: False if the file disables the storing of content.
        max_requests: concurrent requests per process, if the file limits them.
        redis_url: the Redis of the router or the cache, or empty.
        remarks: the report, in the file's order.
    """

    file: str
    providers: dict[str, ProviderRow] = {}
    names: dict[str, str] = {}
    models: dict[tuple[str, str], ModelRow] = {}
    routes: dict[str, RouteRow] = {}
    aliases: dict[str, AliasRow] = {}
    deployments: dict[str, tuple[str, TargetRow]] = {}
    guardrails: dict[str, GuardrailRow] = {}
    environment: dict[str, str] = {}
    settings: dict[str, SettingRow] = {}
    master_key: str = ""
    log_bodies: bool | None = None
    max_requests: int | None = None
    redis_url: str = ""
    remarks: list[Remark] = []
