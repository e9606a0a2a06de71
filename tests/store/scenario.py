"""A fixed scenario whose results are compared between databases.

`DATABASE_URL=... python -m tests.store.scenario` prints them as JSON. It creates and removes its
own database.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.config.settings")

import django
from django.conf import settings

QUERIES = (
    "sky",
    "SKY blue",
    '"sky is"',
    '"is sky"',
    "gateway/models.py",
    "models",
    "creme",
    "天気",
    "quota",
    "nothing",
    "AND",
    '"',
    "a*",
)


def main() -> None:
    """Create the database, run the scenario, remove the database, print the results."""
    settings.DATABASES["default"]["TEST"] = {"NAME": f"test_scenario_{os.getpid()}"}
    if "sqlite" in settings.DATABASES["default"]["ENGINE"]:
        settings.DATABASES["default"]["TEST"] = {"NAME": None}
    django.setup()
    from django.test.utils import setup_databases, teardown_databases

    old = setup_databases(verbosity=0, interactive=False)
    try:
        outcome = run_scenario()
    finally:
        teardown_databases(old, verbosity=0)
    json.dump(outcome, sys.stdout, default=str, sort_keys=True)


def run_scenario() -> dict[str, Any]:
    """Return all values that could differ between databases and must not."""
    from gateway import store
    from gateway.models import RequestLog

    batch = records()
    store.write(batch)
    store.write(batch[:7])  # a replay
    store.index_pending()
    pages, cursor = [], None
    while rows := list(RequestLog.objects.older_than_row(cursor).newest(4)):
        pages.append([row.request_id for row in rows])
        cursor = rows[-1].pk
    columns = [f.name for f in RequestLog._meta.concrete_fields if f.name != "id"]
    return {
        "pages": pages,
        "rows": list(RequestLog.objects.order_by("pk").values_list(*columns)),
        "found": {
            text: [row.request_id for row in RequestLog.objects.matching(text=text).newest(9)]
            for text in QUERIES
        },
        "late": [
            r.request_id for r in RequestLog.objects.matching(text="sky", status="5xx").newest(9)
        ],
        "registry": registry(),
    }


def records() -> list[Any]:
    """Return ordinary and poisonous records."""
    from decimal import Decimal

    from tests.store.factories import STARTED, logged_exchange, make_record

    return [
        logged_exchange(
            "why is the sky blue?", "Rayleigh", id="sky", cost_usd=Decimal("0.0000012345")
        ),
        logged_exchange("open gateway/models.py", id="path", session="s"),
        logged_exchange("Crème brûlée und 今日は天気がいい", id="words", status=500),
        make_record("failed", error="quota exhausted", outcome="error", status=429),
        make_record("nul", requested_model="a\0b", adaptations=[{"note": "x\0y"}]),
        make_record("long", requested_model="m" * 5000),
        make_record("huge", input_tokens=10**30, status=2**40),
        make_record("surrogate", error="half \ud800"),
        make_record("rich", cost_usd=Decimal("1e30")),
        make_record("twice", started_at=STARTED),
        make_record("twice", started_at=STARTED + 1),
        make_record("twice", started_at=STARTED + 1),
        logged_exchange("the sky again", id="last", status=503),
    ]


def registry() -> Any:
    """Return the snapshot of a registry with a broken row."""
    from gateway import store
    from gateway.models import Provider
    from tests.store.factories import model, provider, route

    provider_row = provider()
    store.set_credential(provider_row, "sk-canary-0123456789")
    route("fast", model(provided_by=provider_row, price_input="1.25"))
    Provider.objects.create(name="bad", preset="nope")
    snapshot = store.load_snapshot()
    return [
        snapshot.version,
        [(w.row, w.reason) for w in snapshot.warnings],
        repr(snapshot.routes),
        snapshot.providers["openai"].credential.reveal(),
    ]


if __name__ == "__main__":
    main()
