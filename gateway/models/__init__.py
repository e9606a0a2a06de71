"""The database tables: the registry that operators edit, and the request log."""

from __future__ import annotations

from gateway.models.account import Account
from gateway.models.alert import Alert, AlertChannel, AlertDelivery, AlertSilence
from gateway.models.audit import Change
from gateway.models.cache import CachedResponse
from gateway.models.capability import CapabilityReport
from gateway.models.client_span import ClientSpan, ClientTrace
from gateway.models.cost import BillLine, PriceUpdate
from gateway.models.fingerprint import Fingerprint
from gateway.models.guardrail import Guardrail
from gateway.models.idempotency import IdempotentResponse
from gateway.models.key import ApiKey
from gateway.models.log import RequestBody, RequestLog, RequestText, UnindexedRequest
from gateway.models.log_export import LogExport
from gateway.models.prompt import Prompt, PromptVersion
from gateway.models.provider import Model, Provider
from gateway.models.reasoning import ReasoningState
from gateway.models.registry import Registry, RegistryRow, RowSource
from gateway.models.response import StoredResponse
from gateway.models.route import Alias, Route, RouteVersion, Step, Target
from gateway.models.score import RequestScore
from gateway.models.setting import Setting
from gateway.models.team import Team
from gateway.models.upload import ProviderResource
from gateway.models.usage import (
    EndUserDay,
    EndUserHour,
    LatencyHour,
    TargetHour,
    UsageDay,
    UsageHour,
)

__all__ = [
    "Account",
    "Alert",
    "AlertChannel",
    "AlertDelivery",
    "AlertSilence",
    "Alias",
    "ApiKey",
    "BillLine",
    "CachedResponse",
    "CapabilityReport",
    "Change",
    "ClientSpan",
    "ClientTrace",
    "EndUserDay",
    "EndUserHour",
    "Fingerprint",
    "Guardrail",
    "IdempotentResponse",
    "LatencyHour",
    "LogExport",
    "Model",
    "PriceUpdate",
    "Prompt",
    "PromptVersion",
    "Provider",
    "ProviderResource",
    "ReasoningState",
    "Registry",
    "RegistryRow",
    "RequestBody",
    "RequestLog",
    "RequestScore",
    "RequestText",
    "Route",
    "RouteVersion",
    "RowSource",
    "Setting",
    "Step",
    "StoredResponse",
    "Target",
    "TargetHour",
    "Team",
    "UnindexedRequest",
    "UsageDay",
    "UsageHour",
]
