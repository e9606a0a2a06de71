"""What a LiteLLM file comes to, as plain values; `apply` makes rows of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec


class ProviderRow(msgspec.Struct, kw_only=True):
    """A provider: a literal key in `key`, or the name of a variable in `key_env`."""

    name: str
    preset: str
    ref: str
    base_url: str = ""
    key: str = ""
    key_env: str = ""
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    timeouts: dict[str, float] = {}
    drop_params: bool = False


class ModelRow(msgspec.Struct, kw_only=True):
    """A model of a provider. Prices are US dollars per million tokens."""

    provider: str
    name: str
    ref: str
    traits: dict[str, Any] = {}
    prices: dict[str, Decimal] = {}


class TargetRow(msgspec.Struct, kw_only=True):
    """One deployment behind a route."""

    provider: str
    model: str
    ref: str
    weight: float = 1.0
    order: int = 1
    edits: list[dict[str, Any]] = []


class RouteRow(msgspec.Struct, kw_only=True):
    """A model_name with all its deployments."""

    name: str
    ref: str
    targets: list[TargetRow] = []
    strategy: str = "weighted"
    retries: int = 2
    cooldown_s: float = 5.0
    fallbacks: list[str] = []
    log_bodies: bool | None = None
    hidden: bool = False


class AliasRow(msgspec.Struct, kw_only=True):
    """Another name, or a pattern, for a route."""

    pattern: str
    route: str
    ref: str


class Config(msgspec.Struct, kw_only=True):
    """A whole file. `notes` are the lines of the report, in the file's order."""

    file: str
    providers: dict[str, ProviderRow] = {}
    models: dict[tuple[str, str], ModelRow] = {}
    routes: dict[str, RouteRow] = {}
    aliases: dict[str, AliasRow] = {}
    environment: dict[str, str] = {}
    master_key: str = ""
    notes: list[str] = []
