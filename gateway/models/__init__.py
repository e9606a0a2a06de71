"""The tables: the registry that people edit, and the request log."""

from __future__ import annotations

from gateway.models.audit import Change
from gateway.models.cache import CachedAnswer
from gateway.models.capability import CapabilityReport
from gateway.models.cost import BillLine, PriceUpdate
from gateway.models.idempotency import KeptAnswer
from gateway.models.key import ApiKey
from gateway.models.log import RequestBody, RequestLog, RequestText, Unindexed
from gateway.models.provider import Model, Provider
from gateway.models.reasoning import KeptReasoning
from gateway.models.registry import Registry, RegistryRow, Source
from gateway.models.response import StoredResponse
from gateway.models.route import Alias, Route, RouteVersion, Step, Target
from gateway.models.setting import Setting
from gateway.models.team import Team
from gateway.models.upload import Upload
from gateway.models.usage import PaceHour, TargetHour, UsageHour

__all__ = [
    "Alias",
    "ApiKey",
    "BillLine",
    "CachedAnswer",
    "CapabilityReport",
    "Change",
    "KeptAnswer",
    "KeptReasoning",
    "Model",
    "PaceHour",
    "PriceUpdate",
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
    "StoredResponse",
    "Target",
    "TargetHour",
    "Team",
    "Unindexed",
    "Upload",
    "UsageHour",
]
