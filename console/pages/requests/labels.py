"""Labels of the request page: dialects, missing bodies, sizes, attempts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from django.template.defaultfilters import floatformat
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.dialects import title
from console.error_labels import error_label
from console.guardrail_labels import PII_LABELS
from console.templatetags.ui import day, ms, seconds, usd
from gateway import store
from gateway.models import RequestLog
from gateway.relay.exchange.guard_state import GuardrailResult
from gateway.relay.exchange.log_record import HEDGE_LOSER

_REASONS: dict[str, Promise] = {
    "off": gettext_lazy("Not stored: body logging is off for this key, this route or globally."),
    "rejected": gettext_lazy(
        "Not stored: the gateway rejected the request before it selected a route."
    ),
    "pressure": gettext_lazy(
        "Not stored: the log queue was full, and bodies are dropped before rows."
    ),
    "size": gettext_lazy(
        "Not stored: the process ended before writing them, and they were too large for "
        "the journal file."
    ),
}
_KILO = 1000
# Labels of rows that no client request created.
_INTERNAL_ENDPOINTS: dict[str, Promise] = {
    "check": gettext_lazy("Health check"),
    "shadow": gettext_lazy("Shadow request"),
    "console": gettext_lazy("Console"),
    "cache": gettext_lazy("Response cache lookup"),
}
_CACHE_RESULTS: dict[str, Promise] = {
    "hit": gettext_lazy("hit"),
    "semantic": gettext_lazy("semantic hit"),
    "miss": gettext_lazy("miss"),
}
# Endpoint of the batch whose responses a row sums up.
_BATCH_PATHS = {"openai_chat": "/v1/batches", "anthropic_messages": "/v1/messages/batches"}


def dialect_name(name: str) -> str:
    """Display name of a dialect."""
    return title(name) if name else "—"


def called_endpoint(row: RequestLog) -> tuple[str, str]:
    """Method and path of the client's request; without a method, a label."""
    method, _space, path = row.endpoint.rpartition(" ")
    if row.endpoint == "batch":
        path = _BATCH_PATHS.get(row.client_dialect, path)
    if not path.startswith("/"):
        return "", str(_INTERNAL_ENDPOINTS.get(path, path))
    return method or "POST", path.replace("{id}", row.requested_model or "{id}")


def missing_bodies_reason(row: RequestLog, *, allowed: bool) -> str:
    """Why no bodies are stored for this row."""
    if not allowed:
        return _("You can see metadata only. Ask an admin for access to bodies.")
    reason = _REASONS.get(row.bodies_omitted)
    if reason is not None:
        return str(reason)
    days = store.load_options().body_days
    expires_at = row.started_at + dt.timedelta(days=days)
    if expires_at < timezone.now():
        text = ngettext(
            "Expired on %(day)s. Bodies are stored for %(days)d day.",
            "Expired on %(day)s. Bodies are stored for %(days)d days.",
            days,
        )
        return text % {"day": day(timezone.localtime(expires_at)), "days": days}
    return _("The bodies are not stored: they were not recorded, or have been deleted.")


def missing_body_reason(side: str, row: RequestLog) -> str:
    """Why one body is empty although others are stored."""
    if side == "upstream_request":
        if not any(not attempt.get("skipped") for attempt in row.attempts):
            return _("No upstream was called.")
        return _("The request was rejected before it was translated.")
    if side == "upstream_response":
        return _("The upstream did not respond.")
    if side == "client_response" and row.outcome == "client_closed":
        return _("The client disconnected before the first byte.")
    return _("Nothing was sent.")


def size_label(data: bytes | None) -> str:
    """A number of bytes, with a unit."""
    if data is None:
        return "—"
    if len(data) < _KILO:
        return f"{len(data)} B"
    if len(data) < _KILO * _KILO:
        return f"{_format_rounded(len(data) / _KILO, 1)} kB"
    return f"{_format_rounded(len(data) / _KILO / _KILO, 1)} MB"


def _format_rounded(value: float, digits: int) -> str:
    """Django's formatter cuts digits off instead."""
    return number_format(round(value, digits), digits)


def output_speed(row: RequestLog) -> float | None:
    """Output tokens per second after the first token; None if unknown."""
    if row.output_tokens is None or row.first_token_ms is None:
        return None
    output_ms = row.duration_ms - row.first_token_ms
    return row.output_tokens / output_ms * 1000 if output_ms > 1 and row.output_tokens else None


def attempt_bars(row: RequestLog) -> list[dict[str, Any]]:
    """The attempts as bars: percentages of the total time, state and text."""
    total_ms = max(row.duration_ms, 1.0)
    bars = []
    for attempt in row.attempts:
        start = float(attempt.get("started_ms") or 0)
        skipped = attempt.get("skipped")
        end = start if skipped else float(attempt.get("ended_ms") or total_ms)
        first = attempt.get("first_byte_ms")
        is_failed = bool(attempt.get("error_kind"))
        wait_end = end if is_failed or first is None else min(float(first), end)
        bars.append(
            {
                "provider": attempt.get("provider", ""),
                "model": attempt.get("model", ""),
                "skipped": skipped,
                "failed": is_failed,
                "hedge_loser": attempt.get("error_kind") == HEDGE_LOSER,
                "text": _attempt_text(attempt, end - start),
                "outcome": _attempt_outcome(attempt, end - start),
                "x": _percentage(start, total_ms),
                "wait": _percentage(wait_end - start, total_ms),
                "write_x": _percentage(wait_end, total_ms),
                "write": _percentage(end - wait_end, total_ms),
                "ms": end - start,
                "error": attempt.get("error") or "",
                "cost_usd": attempt.get("cost_usd"),
                "tokens": attempt.get("input_tokens"),
                "status": attempt.get("status"),
                "calls": [
                    _call_text(number, upstream_call)
                    for number, upstream_call in enumerate(attempt.get("calls") or (), start=1)
                ],
            }
        )
    return bars


def _call_text(number: int, upstream_call: dict[str, Any]) -> str:
    """One of several upstream calls of an attempt, with its tokens and its searches."""
    took_ms = (upstream_call.get("ended_ms") or 0) - (upstream_call.get("started_ms") or 0)
    parts = [
        _("call %(number)d: %(input)s input tokens, %(output)s output tokens, %(took)s")
        % {
            "number": number,
            "input": _count_or_dash(upstream_call.get("input_tokens")),
            "output": _count_or_dash(upstream_call.get("output_tokens")),
            "took": ms(max(took_ms, 0)),
        }
    ]
    for search in upstream_call.get("searches") or ():
        result_count = search.get("results", 0)
        result = (
            search.get("error") or ngettext("%d result", "%d results", result_count) % result_count
        )
        parts.append(
            _("web search “%(query)s”: %(result)s")
            % {"query": search.get("query", ""), "result": result}
        )
    return " · ".join(parts)


def _count_or_dash(count: int | None) -> str:
    return "—" if count is None else number_format(count, force_grouping=True)


def _attempt_text(attempt: dict[str, Any], took_ms: float) -> str:
    if attempt.get("skipped"):
        return _("skipped: %(reason)s") % {"reason": attempt["skipped"]}
    if not attempt.get("error_kind"):
        return ""
    if attempt["error_kind"] == HEDGE_LOSER:
        return _("cancelled after %(took)s") % {"took": ms(took_ms)}
    kind = error_label(str(attempt["error_kind"]))
    status = f"{attempt['status']} " if attempt.get("status") else ""
    return f"{status}{kind}, {ms(took_ms)}"


def _attempt_outcome(attempt: dict[str, Any], took_ms: float) -> str:
    text = _attempt_text(attempt, took_ms)
    if attempt.get("error_kind") != HEDGE_LOSER:
        return text
    return _("%(text)s, another target was faster") % {"text": text}


def response_cache_summary(row: RequestLog) -> str:
    """Result of the response cache lookup, with age, similarity and saved cost if known."""
    parts = [str(_CACHE_RESULTS.get(row.cache, _("bypassed")))]
    if row.cache_age_s is not None:
        parts.append(_("%(age)s old") % {"age": seconds(row.cache_age_s)})
    if row.cache_similarity is not None:
        number = floatformat(row.cache_similarity, 3)
        parts.append(_("similarity %(number)s") % {"number": number})
    if row.saved_usd is not None:
        parts.append(_("%(usd)s saved") % {"usd": usd(row.saved_usd)})
    return ", ".join(parts)


def _percentage(part: float, total: float) -> float:
    """A percentage of the total, with two decimals."""
    return round(max(0.0, min(100.0, part / total * 100)), 2)


_GUARDRAIL_OUTCOMES = {
    "passed": (gettext_lazy("Passed"), ""),
    "logged": (gettext_lazy("Logged"), "chg"),
    "masked": (gettext_lazy("Masked"), "chg"),
    "blocked": (gettext_lazy("Blocked"), "drop"),
    "error": (gettext_lazy("Failed"), "drop"),
}


def guardrail_lines(row: RequestLog) -> list[dict[str, Any]]:
    """The results of a request's guardrails, in the order in which they ran."""
    return [guardrail_line(msgspec.convert(result, GuardrailResult)) for result in row.guardrails]


def guardrail_line(result: GuardrailResult) -> dict[str, Any]:
    """One result of a guardrail as texts."""
    outcome, tone = _GUARDRAIL_OUTCOMES.get(result.outcome, ("?", ""))
    parts = [_("request") if result.stage == "request" else _("response")]
    parts += [f"{PII_LABELS.get(name, name)} × {count}" for name, count in result.findings.items()]
    parts += [result.error] if result.error else []
    parts.append(f"{floatformat(result.duration_ms, 1)} ms")
    return {
        "name": result.name,
        "outcome": outcome,
        "tone": tone,
        "text": " · ".join(parts),
        "reason": result.reason,
    }
