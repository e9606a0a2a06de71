"""The fields of a LiteLLM key, mapped to the document of a gateway key.

    to_document({"key_alias": "ci", "max_budget": 5, "budget_duration": "30d"})
        -> {"name": "ci", "budget": {"month_usd": "5"}}

The names and their meaning are those of `GenerateKeyRequest` and `UpdateKeyRequest`
(litellm/proxy/_types.py, 1.106.2) and docs.litellm.ai/docs/proxy/virtual_keys. An unsupported
field is rejected unless it is empty; one that is only descriptive is reported in the notes of
the response. No field is ignored silently.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from gateway.compat.litellm.api.failures import RejectedRequest

Fields = dict[str, Any]
# Schemas of the OpenAPI document.
STRING_SCHEMA = {"type": "string"}

# LiteLLM's windows that follow the calendar, as budgets here do: it resets 30d and 1mo
# on the first of the month, 7d on Monday, 24h at midnight (the docstring of /key/info).
WINDOWS = {
    "1d": "day",
    "24h": "day",
    "daily": "day",
    "7d": "week",
    "1w": "week",
    "weekly": "week",
    "30d": "month",
    "1mo": "month",
    "monthly": "month",
}
# Window of a budget -> its `budget_duration` in a response.
BUDGET_DURATIONS = {"day": "1d", "week": "7d", "month": "30d"}
SPANS = ("total", "day", "week", "month")
LIMITS = {
    "rpm_limit": "requests_per_minute",
    "tpm_limit": "tokens_per_minute",
    "tpd_limit": "tokens_per_day",
    "max_parallel_requests": "concurrency",
}
# Fields with an effect; `keys` reads `key`, `duration` and `blocked`.
SUPPORTED_FIELDS = frozenset(
    {
        *LIMITS,
        "key_alias",
        "models",
        "team_id",
        "user_id",
        "tags",
        "guardrails",
        "metadata",
        "max_budget",
        "budget_duration",
        "budget_limits",
        "soft_budget",
        "duration",
        "blocked",
        "key",
    }
)
_LIMITS_OF_ROUTE = "limits and budgets of a model belong to its route: set them on the route"
_TEAMS_ONLY = "keys belong to teams, and a project is also a team: pass its ID as team_id"
_ROUTE_SETTING = "routes map model names: set it on the route"
_NO_POLICIES = "permissions and policies are not supported"
_PROMPT_BY_REQUEST = "requests name stored prompts themselves (docs/prompts.md)"
_OUTPUT_RESERVATION = "output is reserved by the limit of the request, the route or the model"
_ALL_MODEL_ENDPOINTS = "a key may call all model endpoints and no management endpoints"
REFUSED_KEY_FIELDS: dict[str, str] = {
    **dict.fromkeys(("model_max_budget", "model_rpm_limit", "model_tpm_limit"), _LIMITS_OF_ROUTE),
    **dict.fromkeys(("mcp_rpm_limit", "tag_rpm_limit"), "limits belong to keys and teams"),
    **dict.fromkeys(("organization_id", "project_id", "agent_id", "access_group_ids"), _TEAMS_ONLY),
    **dict.fromkeys(("budget_id", "end_user_budget_id"), "set the budget itself: max_budget"),
    **dict.fromkeys(("aliases", "config", "router_settings", "budget_fallbacks"), _ROUTE_SETTING),
    **dict.fromkeys(("policies", "disable_global_guardrails", "permissions"), _NO_POLICIES),
    **dict.fromkeys(("object_permission", "allowed_vector_store_indexes"), _NO_POLICIES),
    **dict.fromkeys(
        ("allowed_routes", "allowed_passthrough_routes", "denied_passthrough_routes"),
        _ALL_MODEL_ENDPOINTS,
    ),
    **dict.fromkeys(("auto_rotate", "rotation_interval"), "use POST /api/keys/NAME/rotate"),
    **dict.fromkeys(
        ("temp_budget_increase", "temp_budget_expiry"), "raise max_budget, and lower it again later"
    ),
    "prompts": _PROMPT_BY_REQUEST,
    "allowed_cache_controls": "every key may control the cache",
    "enforced_params": "fields of requests are not enforced",
    "enable_prompt_caching": "set `prompt_cache` on the route",
    "throttle_on_budget_exceeded": "a used-up budget always rejects requests",
    "default_estimated_output_tokens": _OUTPUT_RESERVATION,
    "default_estimated_output_tokens_per_model": _OUTPUT_RESERVATION,
    "send_invite_email": "the gateway sends no invitations",
    "spend": "spend is computed from the log and cannot be set",
}
# Values without an effect here, by field; any other value is rejected.
ACCEPTED_VALUES: dict[str, frozenset[str]] = {
    "key_type": frozenset({"default", "llm_api"}),
    "rpm_limit_type": frozenset({"best_effort_throughput"}),
    "tpm_limit_type": frozenset({"best_effort_throughput"}),
}
# Fields of `metadata` that have an effect in LiteLLM.
_EFFECTIVE_METADATA = frozenset(
    {*REFUSED_KEY_FIELDS, *ACCEPTED_VALUES, "logging", "tag_budget_config"}
)
EMPTY_VALUES: tuple[Any, ...] = (None, "", [], {}, False, 0)
_SPECIAL = {
    "all-proxy-models": "",
    "all-team-models": "teams have no model lists: set models on the key, or none to allow all",
    "no-default-models": "a key without models may use all of them; to block it, revoke it",
}
_DURATION = re.compile(r"(\d{1,9})(mo|[smhdw]?)")
_SECONDS_BY_UNIT = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MONTHS = 1200
# Limits of the budget columns: the largest amount, and the decimal places.
MAX_USD = 1_000_000_000
_AMOUNT_QUANTUM = Decimal("1e-6")


def check(
    fields: Mapping[str, Any],
    supported_fields: frozenset[str] = SUPPORTED_FIELDS,
    refused_fields: Mapping[str, str] = REFUSED_KEY_FIELDS,
) -> list[str]:
    """Return notes on descriptive fields. Raises RejectedRequest for unsupported ones."""
    for name, value in fields.items():
        if name in supported_fields:
            continue
        if name in ACCEPTED_VALUES:
            if value is not None and value not in ACCEPTED_VALUES[name]:
                default_values = ", ".join(sorted(ACCEPTED_VALUES[name]))
                raise RejectedRequest(400, f"{name}: only {default_values} is supported", name)
        elif name not in refused_fields:
            raise RejectedRequest(400, f"{name}: there is no such field", name)
        elif value not in EMPTY_VALUES:
            raise RejectedRequest(400, f"{name}: {refused_fields[name]}", name)
    return _metadata_notes(fields.get("metadata"))


def _metadata_notes(metadata: Any) -> list[str]:
    if metadata is None:
        return []
    if not isinstance(metadata, dict):
        raise RejectedRequest(400, "metadata: must be an object", "metadata")
    for name, value in metadata.items():
        if name in _EFFECTIVE_METADATA and value not in EMPTY_VALUES:
            reason = REFUSED_KEY_FIELDS.get(name, "it is not supported")
            raise RejectedRequest(400, f"metadata.{name}: {reason}", "metadata")
    unsupported = sorted(
        name for name in metadata if name != "tags" and metadata[name] not in EMPTY_VALUES
    )
    return [
        f"metadata.{name}: is not stored: keys have only a name and tags" for name in unsupported
    ]


def to_document(fields: Fields) -> tuple[dict[str, Any], list[str]]:
    """Return the key document that the fields describe, and notes. Raises RejectedRequest."""
    document: dict[str, Any] = {
        "routes": _model_names(fields.get("models")),
        "tags": _tags_of(fields),
        "guardrails": _list_of_names(fields, "guardrails"),
        "team": string_field(fields, "team_id"),
        "user": string_field(fields, "user_id"),
        "limits": limits_of(fields),
    }
    if alias := string_field(fields, "key_alias"):
        document["name"] = alias
    document["budget"], notes = budget_of(fields)
    return document, notes


def limits_of(fields: Fields) -> dict[str, int | None]:
    """Return the limits of a document. Raises RejectedRequest."""
    return {name: _count_or_none(fields, field) for field, name in LIMITS.items()}


def expires_at(duration: Any, now: dt.datetime) -> dt.datetime | None:
    """Return when a key of this `duration` expires; None for never. Raises RejectedRequest."""
    if duration is None or duration == "-1":  # LiteLLM's value for never, in /key/update
        return None
    match = _DURATION.fullmatch(duration.strip()) if isinstance(duration, str) else None
    if match is None or int(match[1]) == 0:
        reason = 'must be a number followed by s, m, h, d, w or mo, such as "30d"; "-1" means never'
        raise RejectedRequest(400, f"duration: {reason}", "duration")
    count, unit = int(match[1]), match[2]
    try:
        if unit == "mo":
            return _add_months(now, count)
        return now + dt.timedelta(seconds=count * _SECONDS_BY_UNIT[unit])
    except (OverflowError, ValueError):
        raise RejectedRequest(400, "duration: is too long", "duration") from None


def _add_months(now: dt.datetime, count: int) -> dt.datetime:
    """Return the same day `count` months later, or the last day of that month."""
    if count > _MONTHS:
        raise ValueError
    year, month = divmod(now.year * 12 + now.month - 1 + count, 12)
    first_after = dt.datetime(year + (month + 1) // 12, (month + 1) % 12 + 1, 1, tzinfo=dt.UTC)
    last_day = (first_after - dt.timedelta(days=1)).day
    return now.replace(year=year, month=month + 1, day=min(now.day, last_day))


def _model_names(value: Any) -> list[str]:
    if value is None:
        return []
    if not _are_texts(value):
        raise RejectedRequest(400, "models: must be a list of names", "models")
    for name in value:
        if _SPECIAL.get(name):
            raise RejectedRequest(400, f"models: {name}: {_SPECIAL[name]}", "models")
    return [] if "all-proxy-models" in value else list(dict.fromkeys(value))


def _tags_of(fields: Fields) -> list[str]:
    """Return `tags`, or the tags of `metadata`, where LiteLLM stores them."""
    tags = fields.get("tags")
    if tags is None:
        tags = (fields.get("metadata") or {}).get("tags")
    if tags is None:
        return []
    if not _are_texts(tags):
        raise RejectedRequest(400, "tags: must be a list of strings", "tags")
    return list(tags)


def _list_of_names(fields: Fields, name: str) -> list[str]:
    value = fields.get(name) or []
    if not _are_texts(value):
        raise RejectedRequest(400, f"{name}: must be a list of strings", name)
    return list(value)


def _are_texts(value: Any) -> bool:
    """Whether the value is a list of strings that a database can store."""
    texts = value if isinstance(value, list) else [None]
    return all(isinstance(text, str) and "\0" not in text for text in texts)


def string_field(fields: Fields, name: str) -> str:
    """Return a string; empty for null. Raises RejectedRequest."""
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise RejectedRequest(400, f"{name}: must be a string", name)
    return value


def _count_or_none(fields: Fields, name: str) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise RejectedRequest(400, f"{name}: must be a whole number", name)
    if value < 1:
        raise RejectedRequest(
            400, f"{name}: must be at least 1; set `blocked` to reject every request", name
        )
    return value


def budget_of(fields: Fields) -> tuple[dict[str, Any], list[str]]:
    """Return the budget of a document, and notes. Raises RejectedRequest."""
    budget: dict[str, Any] = {}
    top = money(fields, "max_budget")
    span = _budget_span(fields.get("budget_duration"), "budget_duration")
    if top is not None:
        budget[f"{span}_usd"] = f"{top:f}"
    elif fields.get("budget_duration") is not None:
        raise RejectedRequest(400, "budget_duration: requires max_budget", "budget_duration")
    for window, usd in _budget_windows(fields.get("budget_limits")):
        if f"{window}_usd" in budget:
            raise RejectedRequest(
                400, f"budget_limits: sets the budget of a {window} twice", "budget_limits"
            )
        budget[f"{window}_usd"] = f"{usd:f}"
    soft_budget = money(fields, "soft_budget")
    if soft_budget is None:
        return budget, []
    if not top:
        raise RejectedRequest(400, "soft_budget: requires max_budget", "soft_budget")
    percent = math.floor(soft_budget * 100 / top)
    if not 1 <= percent <= 100:
        raise RejectedRequest(
            400, "soft_budget: must be 1 to 100 percent of max_budget", "soft_budget"
        )
    budget["soft_percent"] = percent
    is_exact = soft_budget * 100 == top * percent
    return budget, [] if is_exact else [
        f"soft_budget: is stored as {percent} percent of max_budget"
    ]


def _budget_span(duration: Any, param: str) -> str:
    """Return the window of a budget; `total` for one that never resets."""
    if duration is None:
        return "total"
    span = WINDOWS.get(duration.strip().lower()) if isinstance(duration, str) else None
    if span is None:
        reason = f"must be one of {', '.join(WINDOWS)}: budgets reset every day, week or month"
        raise RejectedRequest(400, f"{param}: {reason}", param)
    return span


def _budget_windows(value: Any) -> list[tuple[str, Decimal]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RejectedRequest(400, "budget_limits: must be a list of objects", "budget_limits")
    windows = []
    for item in value:
        if unknown := set(item) - {"budget_duration", "max_budget", "reset_at"}:
            raise RejectedRequest(
                400, f"budget_limits: there is no `{min(unknown)}`", "budget_limits"
            )
        usd = money(item, "max_budget", "budget_limits")
        if usd is None or item.get("budget_duration") is None:
            reason = "each entry requires budget_duration and max_budget"
            raise RejectedRequest(400, f"budget_limits: {reason}", "budget_limits")
        windows.append((_budget_span(item["budget_duration"], "budget_limits"), usd))
    return windows


def money(fields: Mapping[str, Any], name: str, param: str = "") -> Decimal | None:
    """Return US dollars, rounded to the millionth; None for null or "". Raises RejectedRequest."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise RejectedRequest(400, f"{name}: must be a number of US dollars", param or name)
    try:
        usd = Decimal(str(value))
    except InvalidOperation:
        raise RejectedRequest(
            400, f"{name}: must be a number of US dollars", param or name
        ) from None
    if not usd.is_finite() or usd < 0:
        raise RejectedRequest(400, f"{name}: must be at least 0 US dollars", param or name)
    if usd > MAX_USD:
        raise RejectedRequest(400, f"{name}: must be at most {MAX_USD} US dollars", param or name)
    # Clients compute in binary: 0.1 + 0.2. The response shows the stored amount.
    return usd.quantize(_AMOUNT_QUANTUM).normalize() + 0


def request_body_schema(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """The part of an operation in the OpenAPI document that describes its body, an object."""
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
