"""The tables: the registry that people edit, and the request log."""

from __future__ import annotations

from gateway.models.key import ApiKey
from gateway.models.log import RequestBody, RequestLog, RequestText, Unindexed
from gateway.models.provider import Model, Provider
from gateway.models.registry import Registry, RegistryRow, Source
from gateway.models.route import Alias, Route, Target

__all__ = [
    "Alias",
    "ApiKey",
    "Model",
    "Provider",
    "Registry",
    "RegistryRow",
    "RequestBody",
    "RequestLog",
    "RequestText",
    "Route",
    "Source",
    "Target",
    "Unindexed",
]
