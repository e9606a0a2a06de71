"""Factories of rows and log records."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection, transaction

from gateway import models
from gateway.models import UsageHour
from gateway.relay.exchange.log_record import Bodies, LogRecord
from gateway.store import usage

STARTED = 1_790_000_000.25


def make_record(id: str = "req_1", **values: Any) -> LogRecord:
    return LogRecord(**{"id": id, "started_at": STARTED, "route": "fast", "status": 200, **values})


def logged_exchange(text: str, response_text: str = "", **values: Any) -> LogRecord:
    """Return a record whose client sent `text` and received `response_text`."""
    request = {"model": "fast", "messages": [{"role": "user", "content": text}]}
    response = {"choices": [{"message": {"role": "assistant", "content": response_text}}]}
    return make_record(bodies=bodies(request, response), **values)


def bodies(request: Any, response: Any, **values: Any) -> Bodies:
    import msgspec

    def encoded(value: Any) -> bytes:
        return value if isinstance(value, bytes) else msgspec.json.encode(value)

    return Bodies(client_request=encoded(request), client_response=encoded(response), **values)


def add_usage(hour: dt.datetime, usd: float = 0, **values: Any) -> None:
    """Add the usage of an hour without log rows, as an import does; `usd` is its cost."""
    keys = {"key_id": 0} | dict.fromkeys(UsageHour.KEYS[2:], "")
    units = round(usd * 10**10)
    sums = dict.fromkeys(UsageHour.SUMS, 0) | {"cost_units": units, "charged_units": units}
    row = {"hour": hour} | keys | sums | values
    name = tuple(row[key] for key in UsageHour.KEYS)
    with transaction.atomic(), connection.cursor() as cursor:
        usage.add(cursor, {name: [row[sum_] for sum_ in UsageHour.SUMS]})


def provider(name: str = "openai", preset: str = "openai", **values: Any) -> models.Provider:
    return models.Provider.objects.create(name=name, preset=preset, **values)


def model(
    name: str = "gpt-5", provided_by: models.Provider | None = None, **values: Any
) -> models.Model:
    return models.Model.objects.create(provider=provided_by or provider(), name=name, **values)


def route(name: str = "fast", *target_model: models.Model, **values: Any) -> models.Route:
    row = models.Route.objects.create(name=name, **values)
    for target in target_model:
        models.Target.objects.create(route=row, model=target)
    return row
