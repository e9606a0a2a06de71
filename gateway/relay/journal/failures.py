"""One line in the log for each request that failed at its upstreams, with its ids.

Never a prompt, an answer or the words of a provider: they may hold either.
"""

from __future__ import annotations

import logging

from gateway.relay.exchange.log_record import LogRecord

log = logging.getLogger(__name__)

# At a time: where all requests fail, the first ones tell what there is to tell.
MAX_LINES = 20
# What the client did is no failure of a service; the request log has it.
_CLIENT_ERRORS = frozenset({400, 401, 403, 404, 405, 409, 413, 422, 499})


def log_failures(records: list[LogRecord]) -> None:
    """Log the requests among these that failed at a provider or broke off."""
    failed = [
        e for e in records if e.attempts and (e.outcome == "cut" or e.status not in _CLIENT_ERRORS)
    ]
    for record in failed[:MAX_LINES]:
        last_attempt = record.attempts[-1]
        log.warning(
            "a request failed",
            extra={
                "request_id": record.id,
                "key_id": record.key_id,
                "route": record.route,
                "target": last_attempt.target,
                "upstream_id": last_attempt.upstream_id or "",
                "status": record.status,
                "kind": record.error_kind,
                "outcome": record.outcome,
                "attempts": sum(attempt.skipped is None for attempt in record.attempts),
            },
        )
    if len(failed) > MAX_LINES:
        log.warning("more requests failed", extra={"count": len(failed) - MAX_LINES})
