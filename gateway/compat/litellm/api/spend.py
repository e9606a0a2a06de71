"""LiteLLM's `/spend/logs`: what requests cost, per request or summed by day.

As in litellm/proxy/spend_tracking/spend_management_endpoints.py and `SpendLogsPayload` of
litellm/proxy/_types.py (1.106.2): with `start_date` and `end_date` (midnights, UTC) sums by
day, unless `summarize=false`; otherwise rows, newest first, at most 10,000; a header marks a
truncated list. `spend` is always a number: an unknown cost counts as 0, and the row's
`metadata` flags it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema

from gateway.api.auth import Admin
from gateway.compat.litellm.api.failures import (
    RejectedRequest,
    check_filters,
    reply,
    run_in_transaction,
)
from gateway.compat.litellm.api.keys import token_of_key
from gateway.models import ApiKey, RequestLog, UsageHour

router = Router(tags=["litellm"])

MAX_ROWS = 10_000
_TRUNCATED_HEADER = "x-litellm-spend-logs-truncated"
_DAYS = 366
# LiteLLM's call type of an endpoint.
_CALLS = {
    "/v1/chat/completions": "acompletion",
    "/v1/completions": "atext_completion",
    "/v1/messages": "anthropic_messages",
    "/v1/responses": "aresponses",
    "/v1/embeddings": "aembedding",
}
_HITS = frozenset({"hit", "semantic"})


class SpendFilters(Schema):
    """Filters; empty matches all. `api_key` is a full key or its token."""

    api_key: str = ""
    user_id: str = ""
    request_id: str = ""
    start_date: str = ""
    end_date: str = ""
    summarize: bool = True


@router.get("/spend/logs", auth=Admin(), operation_id="litellm_spend_logs")
def spend_logs(request: HttpRequest, filters: Query[SpendFilters]) -> HttpResponse:
    """Requests and their cost, or totals by day between two dates."""
    check_filters(request, SpendFilters.model_fields)
    return run_in_transaction(lambda: _spend_logs_response(filters))


def _spend_logs_response(filters: SpendFilters) -> HttpResponse:
    since, until = (
        _parse_day(filters.start_date, "start_date"),
        _parse_day(filters.end_date, "end_date"),
    )
    if (since is None) != (until is None):
        missing_field = "end_date" if until is None else "start_date"
        raise RejectedRequest(
            400, f"{missing_field}: start_date and end_date must be set together", missing_field
        )
    if since is not None and until is not None and filters.summarize:
        return reply(_daily_summary(filters, since, until))
    key = token_of_key(filters.api_key) if filters.api_key else None
    rows = RequestLog.objects.matching(since=since, until=until, key=key)
    if filters.request_id:
        rows = rows.with_any_id(filters.request_id)
    owners = _owners_by_key()
    if filters.user_id:
        rows = rows.filter(key_id__in=_keys_of(filters.user_id, owners))
    records = list(rows.newest(MAX_ROWS + 1))
    response = reply([_spend_log_row(row, owners) for row in records[:MAX_ROWS]])
    if len(records) > MAX_ROWS:
        response[_TRUNCATED_HEADER] = "true"
    return response


# Row ids of keys -> the user and team of each; either may be empty.
Owners = dict[int, tuple[str, str]]


def _owners_by_key() -> Owners:
    rows = ApiKey.objects.values_list("pk", "user", "team__name")
    return {pk: (user, team or "") for pk, user, team in rows}


def _keys_of(user: str, owners: Owners) -> list[int]:
    """Return the ids of the keys that a user owns now."""
    return [pk for pk, (name, _) in owners.items() if name == user]


def _parse_day(text: str, param: str) -> dt.datetime | None:
    if not text:
        return None
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC)
    except ValueError:
        raise RejectedRequest(400, f"{param}: must be a date such as 2026-01-31", param) from None


def _daily_summary(
    filters: SpendFilters, since: dt.datetime, until: dt.datetime
) -> list[dict[str, Any]]:
    """Return a row for each day with requests, and for the days after the last of them."""
    if not 0 <= (until - since).days <= _DAYS:
        raise RejectedRequest(
            400, f"end_date: must be 0 to {_DAYS} days after start_date", "end_date"
        )
    if filters.request_id:
        raise RejectedRequest(400, "request_id: requires summarize=false", "request_id")
    rows = UsageHour.objects.in_range(since, until)
    if filters.api_key:
        rows = rows.filter(key_prefix=token_of_key(filters.api_key))
    owners = _owners_by_key()
    if filters.user_id:
        rows = rows.of_keys(_keys_of(filters.user_id, owners))
    days: dict[dt.date, dict[str, Any]] = {}
    for start, (_, model), sums in rows.by_step_and("day", "model"):
        day, usd = start.date(), float(sums.charged or 0)
        row = days.setdefault(day, _empty_day(day))
        row["spend"] += usd
        row["models"][model] = row["models"].get(model, 0.0) + usd
    for start, (key_id, prefix), sums in rows.by_step_and("day", "key"):
        row, usd = days[start.date()], float(sums.charged or 0)
        if prefix:
            row[prefix] = row.get(prefix, 0.0) + usd
        if user := owners.get(key_id, ("", ""))[0]:
            row["users"][user] = row["users"].get(user, 0.0) + usd
    # As in LiteLLM, days without requests are listed only after the last day with requests.
    last_day = max(days, default=until.date())
    for number in range(1, (until.date() - last_day).days + 1):
        day = last_day + dt.timedelta(days=number)
        days[day] = _empty_day(day)
    return [days[day] for day in sorted(days)]


def _empty_day(day: dt.date) -> dict[str, Any]:
    return {"startTime": day, "spend": 0.0, "users": {}, "models": {}}


def _spend_log_row(row: RequestLog, owners: Owners) -> dict[str, Any]:
    user, team = owners.get(row.key_id or 0, ("", ""))
    prompt = [row.input_tokens, row.cache_read_tokens, row.cache_write_tokens]
    into, out = sum(number or 0 for number in prompt), row.output_tokens or 0
    first = row.first_token_ms
    spend = row.charged_usd if row.charged_usd is not None else row.cost_usd
    return {
        "request_id": row.request_id,
        "call_type": _CALLS.get(row.endpoint, row.endpoint),
        "api_key": row.key_prefix,
        "spend": float((spend or 0) + (row.hedge_loser_usd or 0)),
        "total_tokens": into + out,
        "prompt_tokens": into,
        "completion_tokens": out,
        "startTime": row.started_at,
        "endTime": row.started_at + dt.timedelta(milliseconds=row.duration_ms),
        "completionStartTime": (
            row.started_at + dt.timedelta(milliseconds=first) if first is not None else None
        ),
        "request_duration_ms": round(row.duration_ms),
        "model": row.model or row.requested_model,
        "model_id": str(row.target_id) if row.target_id else None,
        "model_group": row.route or None,
        "custom_llm_provider": row.provider or None,
        "api_base": "",
        "user": user,
        "metadata": _row_metadata(row),
        "cache_hit": str(row.cache in _HITS),
        "cache_key": "",
        "request_tags": row.tags,
        "team_id": team or None,
        "organization_id": None,
        "end_user": row.end_user or None,
        "requester_ip_address": row.client_ip or None,
        "messages": {},
        "response": {},
        "session_id": row.session or None,
        "status": "success" if row.outcome == "ok" else "failure",
        "litellm_call_id": row.request_id,
    }


def _row_metadata(row: RequestLog) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "spend_known": row.cost_usd is not None or row.charged_usd is not None,
        "usage_known": row.output_tokens is not None or row.input_tokens is not None,
    }
    if row.error_kind:
        metadata["error_information"] = {
            "error_class": row.error_kind,
            "error_code": str(row.status),
        }
    return metadata
