"""The tables: the registry that people edit, and the request log."""

from __future__ import annotations

from gateway.models.capability import CapabilityReport
from gateway.models.key import ApiKey
from gateway.models.log import RequestBody, RequestLog, RequestText, Unindexed
from gateway.models.provider import Model, Provider
from gateway.models.registry import Registry, RegistryRow, Source
from gateway.models.route import Alias, Route, RouteVersion, Step, Target
from gateway.models.setting import Setting
from gateway.models.team import Team
from gateway.models.usage import PaceHour, TargetHour, UsageHour

__all__ = [
    "Alias",
    "ApiKey",
    "CapabilityReport",
    "Model",
    "PaceHour",
    "Provider",
    "Registry",
    "RegistryRow",
    "RequestBody",
    "RequestLog",
    "RequestText",
    "Route",
    "RouteVersion",
    "Setting",
    "Source",
    "Step",
    "Target",
    "TargetHour",
    "Team",
    "Unindexed",
    "UsageHour",
]
