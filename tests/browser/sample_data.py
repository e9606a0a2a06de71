"""Fills a site's database with a few weeks of sample usage, so that every page has content.

Run as a program next to a running site; prints the values of `{names}` in paths as JSON.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import django

DAY_S = 86_400
# Nothing listens there: no page asks a provider by itself.
NOWHERE = "http://127.0.0.1:9"
PRIMARY = "claude-sonnet-4-5"
TEXT = "Rules of the house. " * 300


def main() -> None:
    """Create all sample data and print the names."""
    django.setup()
    names = (
        create_registry()
        | create_alerts()
        | create_guardrails()
        | create_prompt()
        | create_end_users()
    )
    from gateway import store

    store.write(
        [
            *log_daily_requests(names),
            *log_session(),
            *log_special_rows(),
            *log_health_checks(),
            log_personal_request(),
        ]
    )
    print(json.dumps(names | import_bill_and_prices() | create_evaluation() | store_trace()))


def create_registry() -> dict[str, Any]:
    """Create two providers with limits, a team with a project and a key, and two routes."""
    from gateway import store
    from gateway.models import ApiKey, Model, Provider, Team

    claude = Provider(name="claude", preset="anthropic", limit_rpm=500, budget_month_usd=900)
    openai = Provider(name="openai", preset="openai", markup=Decimal("1.2"))
    claude.base_url = openai.base_url = NOWHERE
    for provider, plain in ((claude, "sk-ant-furniture-0001"), (openai, "sk-furniture-0002")):
        store.set_credential(provider, plain)
    models = {
        name: Model.objects.create(provider=provider, name=name)
        for provider, name in ((claude, PRIMARY), (openai, "gpt-5"), (openai, "house-model"))
    }
    team = Team(name="Platform", budget_month_usd=200, budget_soft_percent=80, limit_tpm=400_000)
    team.save()
    project = Team(name="Search", parent=team, budget_week_usd=20, budget_soft_percent=50)
    project.save()
    key, _plain = store.create_key(
        "search agent",
        routes=["coding"],
        budget_month_usd=40,
        budget_day_usd=2,
        budget_soft_percent=50,
        limit_rpm=60,
    )
    key.team, key.user, key.tags = project, "mira", ["paid", "eu"]
    key.save()
    revoked, _plain = store.create_key("old laptop")
    ApiKey.objects.filter(pk=revoked.pk).update(
        revoked_at=dt.datetime.now(dt.UTC) - dt.timedelta(days=3)
    )
    create_routes()
    from gateway.models import Route

    return {
        "team": team.pk,
        "project": project.pk,
        "key": key.pk,
        "revoked": revoked.pk,
        "provider": claude.pk,
        "model": models[PRIMARY].pk,
        "unpriced": models["house-model"].pk,
        "coding": Route.objects.get(name="coding").pk,
    }


def create_alerts() -> dict[str, Any]:
    """Create two channels, one of which fails, an active alert and a past alert."""
    from gateway.models import Alert, AlertChannel, AlertDelivery

    now = dt.datetime.now(dt.UTC)
    team = AlertChannel(name="#llm-alerts", kind="slack")
    pager = AlertChannel(name="Pager", kind="webhook", events=["budget", "cooldown"])
    for channel in (team, pager):
        channel.destination = f"{NOWHERE}/hook"
        channel.save()
    AlertDelivery.objects.create(channel=team, sent_at=now)
    AlertDelivery.objects.create(channel=pager, sent_at=now, error="HTTP 404")
    for event, subject, message, resolved_at in (
        ("cooldown", "gpt-5", "openai/gpt-5 is in cooldown after repeated failures.", None),
        ("budget", "search agent", "API key search agent has used $1.62 of $2.00.", now),
    ):
        Alert.objects.create(
            event=event,
            subject=subject,
            message=message,
            node="gateway-1",
            started_at=now - dt.timedelta(hours=2),
            seen_at=now,
            resolved_at=resolved_at,
        )
    return {"alert_channel": team.pk}


def create_guardrails() -> dict[str, Any]:
    """Create a pattern guardrail on a key and a route, and a webhook guardrail for all requests."""
    from gateway.models import ApiKey, Guardrail, Route

    pii = Guardrail.objects.create(
        name="personal data",
        action="mask",
        check_responses=True,
        settings={
            "pii": ["email", "credit_card"],
            "patterns": [{"name": "ticket", "pattern": "TCK-[0-9]{6}"}],
        },
    )
    Guardrail.objects.create(
        name="policy service",
        kind="litellm",
        everywhere=True,
        on_error="allow",
        position=1,
        enabled=False,
        settings={"url": f"{NOWHERE}/guard"},
    )
    Route.objects.filter(name="coding").update(guardrails=[pii.name])
    ApiKey.objects.filter(pk=ApiKey.objects.order_by("pk").values("pk")[:1]).update(
        guardrails=[pii.name]
    )
    return {"guardrail": pii.pk}


def create_prompt() -> dict[str, Any]:
    """Create a prompt with variables in two versions."""
    from gateway.store.documents import KINDS

    kind = KINDS["prompts"]
    document = {
        "name": "support",
        "description": "answers customers",
        "messages": [{"role": "system", "content": "Answer about {{product}}."}],
    }
    row = kind.write(document, None)
    text = "Answer questions about {{product}} in {{language}}."
    document["messages"] = [{"role": "system", "content": text}]
    kind.write({**document, "parameters": {"temperature": 0.2}}, row)
    return {"prompt": row.pk}


def create_routes() -> None:
    """Create a route with every option in two versions, and its fallback route."""
    from gateway.models import Route
    from gateway.routing.limits import Budget, Limits
    from gateway.routing.route_spec import RouteSpec, StepSpec, TargetSpec
    from gateway.store.routes import save_route

    spare = RouteSpec(
        name="spare",
        steps=(StepSpec(targets=(TargetSpec(model="openai/gpt-5"),)),),
        cache={"ttl_s": 3600, "scope": "team"},
    )
    save_route(spare, route=None, number=0, author="admin")
    capped = Limits(requests_per_minute=100)
    first = StepSpec(
        name="Primary",
        strategy="split",
        targets=(
            TargetSpec(model=f"claude/{PRIMARY}", weight=80, variant="now", limits=capped),
            TargetSpec(
                model="openai/gpt-5", weight=20, variant="next", budget=Budget(day_usd=Decimal(5))
            ),
        ),
        first_token_s=8,
    )
    last = StepSpec(
        name="Last resort",
        fallback_on=("rate_limit", "upstream_error", "timeout"),
        targets=(TargetSpec(model="openai/house-model", tags=("eu",)),),
    )
    coding = RouteSpec(
        name="coding",
        aliases=("claude-*",),
        steps=(first, last),
        fallbacks=("spare",),
        fallbacks_by_kind={"context_length": ("spare",)},
        retries_by_kind={"rate_limit": 2, "timeout": 0},
        retry_before_fallback=True,
        hedge_after_s=2,
        shadow="spare",
        shadow_share=0.1,
        cache={"ttl_s": 600, "scope": "key"},
    )
    save_route(RouteSpec(name="coding", steps=(first,)), route=None, number=0, author="admin")
    row = Route.objects.get(name="coding")
    save_route(coding, route=row, number=1, author="admin", note="a fallback")


def create_evaluation() -> dict[str, Any]:
    """Create an evaluation of three models with two runs, the second with a regression."""
    from django.contrib.auth import get_user_model

    from console.evaluate.assertions import parse_assertion
    from console.evaluate.definition import Case, Definition, case_assertions, render_definition
    from console.evaluate.report import result_of
    from console.evaluate.responses import ModelResponse
    from console.evaluate.scores import grade_response
    from console.evaluation_runs import store as runs
    from console.models import Evaluation

    cities = ("France Paris", "Norway Oslo", "Japan Tokyo", "Peru Lima", "Kenya Nairobi")
    cases = tuple(
        Case(variables=dict(zip(("country", "city"), c.split(), strict=True))) for c in cities
    )
    definition = Definition(
        name="Capital cities",
        models=("claude/" + PRIMARY, "openai/gpt-5", "openai/a-fine-tuned-model-with-a-long-name"),
        messages=({"role": "user", "content": "What is the capital of {{country}}?"},),
        assertions=(parse_assertion({"type": "contains", "value": "{{city}}"}),),
        cases=cases,
    )
    owner = get_user_model().objects.get(username="admin")
    row = Evaluation.objects.create(
        owner=owner, name=definition.name, document=render_definition(definition), case_count=5
    )
    for number in (1, 2):
        run = row.runs.create(
            owner=owner, number=number, document=row.document, total=15, status="done"
        )
        results = []
        for index, case in enumerate(cases):
            for position, model in enumerate(definition.models):
                is_wrong = (index + position + number) % 4 == 0
                text = f"It is {'Atlantis' if is_wrong else case.variables['city']}, I would say."
                response = ModelResponse(
                    text=text,
                    error="HTTP 429: slow down" if index == 4 and position == 2 else "",
                    latency_ms=300.0 + 70 * index + 400 * position,
                    cost_usd=0.00012 * (position + 1),
                    input_tokens=12,
                    output_tokens=9,
                    request_id="req_s1",
                )
                grade = grade_response(response, case_assertions(definition, case), {}, None)
                results.append(result_of(index, case, model, 0, response, grade))
        runs.save_results(run.pk, definition.models, results)
        runs.store_summary(run)
    return {"evaluation": row.pk, "evaluation_run": str(run.uuid)}


def create_end_users() -> dict[str, Any]:
    """Create end users with individual limits, one of them blocked."""
    from gateway import store

    entries = {
        "ada@example.com": {
            "alias": "Ada Lovelace",
            "budget": {"month_usd": "50", "day_usd": "5"},
            "limits": {"requests_per_minute": 60, "tokens_per_day": 2_000_000},
        },
        "mallory": {"blocked": True},
        "a-very-long-name-of-an-end-user-as-some-identity-providers-make-them/0123456789abcdef": {
            "limits": {"concurrency": 2}
        },
    }
    entries |= {f"user-{number:03}": {"alias": f"Person {number}"} for number in range(60)}
    store.set_options({"end_users": entries})
    return {"end_user": "ada%40example.com"}


def log_daily_requests(names: dict[str, Any]) -> Iterator[Any]:
    """Log some requests of the key for each of the last days."""
    from gateway.relay.exchange.log_record import LogRecord

    now = time.time()
    for day in range(18):
        for number in range(3 + day % 4):
            next_one = number % 3 == 2
            is_failed = (day + number) % 7 == 0
            yield LogRecord(
                id=f"req_w{day}_{number}",
                started_at=now - day * DAY_S - 600 * (number + 1),
                endpoint="/v1/chat/completions",
                client_dialect="openai_chat",
                upstream_dialect="openai_responses" if next_one else "anthropic_messages",
                key_id=names["key"],
                key_prefix="search",
                route="coding",
                requested_model="coding",
                provider="openai" if next_one else "claude",
                model="gpt-5" if next_one else PRIMARY,
                variant="next" if next_one else "now",
                status=502 if is_failed else 200,
                outcome="error" if is_failed else "ok",
                error_kind="upstream_error" if is_failed else "",
                duration_ms=2400 + 130 * number,
                first_token_ms=410 + 35 * day,
                input_tokens=18_400,
                cache_read_tokens=12_000,
                output_tokens=0 if is_failed else 900,
                usage_source="reported",
                cost_usd=Decimal("0.31"),
                charged_usd=Decimal("0.372"),
                tags=["paid", "eu"] if number % 2 else ["paid"],
            )


def log_personal_request() -> Any:
    """Log a request of a key that `admin` created."""
    import msgspec
    from django.contrib.auth import get_user_model

    from gateway import store
    from gateway.models import ApiKey
    from gateway.relay.exchange.log_record import Bodies, LogRecord

    key, _plain = store.create_key("laptop")
    owner = get_user_model().objects.get(username="admin")
    ApiKey.objects.filter(pk=key.pk).update(owner=owner)
    question = {"model": "coding", "messages": [{"role": "user", "content": "Is it mine?"}]}
    return LogRecord(
        id="req_own",
        started_at=time.time() - 4000,
        endpoint="/v1/chat/completions",
        client_dialect="openai_chat",
        upstream_dialect="openai_chat",
        key_id=key.pk,
        key_prefix=key.prefix,
        route="coding",
        requested_model="coding",
        provider="openai",
        model="gpt-5",
        status=200,
        duration_ms=900,
        bodies=Bodies(client_request=msgspec.json.encode(question)),
    )


def log_session() -> Iterator[Any]:
    """Log three turns of an agent whose system prompt contains a changing date."""
    import msgspec

    from gateway.relay.exchange.log_record import Bodies, LogRecord

    for turn, day in enumerate(("2026-11-20", "2026-11-20", "2026-11-21")):
        messages = [{"role": "user", "content": f"Turn {number}."} for number in range(turn + 1)]
        system = [
            {
                "type": "text",
                "text": f"{TEXT}Today's date: {day}. Be brief.",
                "cache_control": {"type": "ephemeral"},
            }
        ]
        body = {"model": PRIMARY, "max_tokens": 900, "system": system, "messages": messages}
        encoded_body = msgspec.json.encode(body)
        yield LogRecord(
            id=f"req_s{turn}",
            started_at=time.time() - 1800 + 60 * turn,
            endpoint="/v1/messages",
            client_dialect="anthropic_messages",
            upstream_dialect="anthropic_messages",
            route="coding",
            requested_model=PRIMARY,
            provider="claude",
            model=PRIMARY,
            session="agent-1",
            status=200,
            duration_ms=3100,
            first_token_ms=640,
            input_tokens=12,
            cache_read_tokens=20_000 if turn == 1 else 0,
            cache_write_tokens=20_000 if turn != 1 else 300,
            output_tokens=200,
            usage_source="reported",
            cost_usd=Decimal("0.08"),
            bodies=Bodies(client_request=encoded_body, upstream_request=encoded_body),
        )


def store_trace() -> dict[str, Any]:
    """Store a trace of an agent in the session of `session`: turns, tools, an error, a handoff."""
    from gateway import store
    from gateway.client_spans import agents_sdk
    from gateway.client_spans.span import SpanBatch
    from gateway.models import ApiKey, ClientSpan

    start = time.time() - 1810

    def span(number: int, parent: int, first: float, last: float, **data: Any) -> dict[str, Any]:
        error = data.pop("error", None)
        return {
            "object": "trace.span",
            "id": f"span_{number}",
            "trace_id": "trace_sample",
            "parent_id": f"span_{parent}" if parent else None,
            "started_at": dt.datetime.fromtimestamp(start + first, dt.UTC).isoformat(),
            "ended_at": dt.datetime.fromtimestamp(start + last, dt.UTC).isoformat(),
            "span_data": data,
            "error": error,
        }

    tool_error = {"message": "no data for Paris", "data": {"tool_name": "population"}}
    items = [
        {
            "object": "trace",
            "id": "trace_sample",
            "workflow_name": "Travel planner with a long name that does not fit",
            "group_id": "agent-1",
        },
        span(1, 0, 0, 134, type="agent", name="Planner", tools=["get_weather", "population"]),
        span(2, 1, 9, 14, type="generation", model=PRIMARY, input=[{"content": "Hi"}]),
        span(3, 1, 14, 32, type="function", name="get_weather", input='{"city":"Paris"}'),
        span(4, 1, 14, 15, type="function", name="population", input="{}", error=tool_error),
        span(5, 1, 33, 33.1, type="handoff", from_agent="Planner", to_agent="Writer"),
        span(6, 0, 34, 134, type="agent", name="Writer"),
        span(7, 6, 69, 75, type="response", response_id="resp_s1"),
        span(8, 6, 76, 76.2, type="guardrail", name="tone", triggered=False),
    ]
    parsed = agents_sdk.parse_items({"data": items})
    parsed.spans[0].attributes["service.name"] = "travel-agents"
    packed = [json.dumps(span.content).encode() if span.content else None for span in parsed.spans]
    batch = SpanBatch(traces=list(parsed.traces.values()), spans=parsed.spans, packed=packed)
    store.write_spans(batch)
    tool = ClientSpan.objects.get(trace_id="trace_sample", span_id="span_3")
    personal_trace = agents_sdk.parse_items(
        {"data": [{**items[3], "id": "span_own", "trace_id": "trace_own", "parent_id": None}]}
    )
    key = ApiKey.objects.get(name="laptop")
    store.write_spans(
        SpanBatch(
            traces=list(personal_trace.traces.values()),
            spans=personal_trace.spans,
            packed=[b'{"input": "mine"}'],
            key_id=key.pk,
            key_prefix=key.prefix,
        )
    )
    span_pk = ClientSpan.objects.get(trace_id="trace_own").pk
    return {"trace": "trace_sample", "trace_span": tool.pk, "own_span": span_pk}


def log_special_rows() -> Iterator[Any]:
    """Log a cached response, a hedge loser's row, a shadow request and a batch line."""
    from gateway.relay.exchange.log_record import HEDGE_LOSER, Attempt, LogRecord

    now = time.time()
    slow_attempt = Attempt(
        target=f"claude/{PRIMARY}",
        provider="claude",
        model=PRIMARY,
        dialect="anthropic_messages",
        started_ms=4,
        ended_ms=2950,
        error_kind=HEDGE_LOSER,
        input_tokens=18_000,
        output_tokens=0,
        usage_source="estimated",
        cost_usd=Decimal("0.054"),
        charged_usd=Decimal("0.054"),
    )
    quick = Attempt(
        target="openai/gpt-5",
        provider="openai",
        model="gpt-5",
        dialect="openai_responses",
        started_ms=2004,
        first_byte_ms=2900,
        ended_ms=4100,
        status=200,
    )
    fields: dict[str, Any] = {
        "endpoint": "/v1/chat/completions",
        "client_dialect": "openai_chat",
        "upstream_dialect": "openai_responses",
        "route": "coding",
        "requested_model": "coding",
        "provider": "openai",
        "model": "gpt-5",
        "status": 200,
        "duration_ms": 4100,
        "first_token_ms": 2910,
        "input_tokens": 18_000,
        "output_tokens": 240,
        "usage_source": "reported",
        "cost_usd": Decimal("0.025"),
        "charged_usd": Decimal("0.03"),
    }
    yield LogRecord(id="req_hedged", started_at=now - 300, attempts=[slow_attempt, quick], **fields)
    yield LogRecord(
        id="req_kept",
        started_at=now - 240,
        cache="hit",
        cache_age_s=420,
        saved_usd=Decimal("0.025"),
        **fields | {"duration_ms": 3, "first_token_ms": 2, "cost_usd": Decimal(0)},
    )
    shadow = fields | {"route": "spare", "key_prefix": "shadow"}
    yield LogRecord(id="req_shadow", started_at=now - 299, shadow_of="req_hedged", **shadow)
    yield LogRecord(
        id="req_batch",
        started_at=now - 200,
        upstream_id="batch_1",
        **fields | {"endpoint": "batch"},
    )


def log_health_checks() -> Iterator[Any]:
    """Log the health checks of a rate-limited target."""
    from gateway.relay.exchange.log_record import Attempt, LogRecord

    now = time.time()
    for number in reversed(range(12)):
        is_refused = number < 8
        yield LogRecord(
            id=f"check_{number}",
            started_at=now - 60 * number,
            endpoint="check",
            client_dialect="openai_chat",
            upstream_dialect="openai_responses",
            key_prefix="check",
            route="spare",
            requested_model="spare",
            provider="openai",
            model="gpt-5-mini",
            status=429 if is_refused else 200,
            outcome="error" if is_refused else "ok",
            error_kind="rate_limit" if is_refused else "",
            error="Rate limit reached" if is_refused else "",
            duration_ms=310,
            input_tokens=None if is_refused else 11,
            output_tokens=None if is_refused else 3,
            usage_source="" if is_refused else "reported",
            cost_usd=None if is_refused else Decimal("0.00001"),
            attempts=[
                Attempt(
                    target="openai/gpt-5-mini",
                    provider="openai",
                    model="gpt-5-mini",
                    dialect="openai_responses",
                    status=429 if is_refused else 200,
                    error_kind="rate_limit" if is_refused else None,
                    error="Rate limit reached" if is_refused else None,
                )
            ],
        )


def import_bill_and_prices() -> dict[str, Any]:
    """Import a bill that differs from the computed cost, and a newer price list."""
    from gateway.accounting.bills import BilledLine, import_bill
    from gateway.providers.prices import FILE
    from gateway.store.price_updates import read_book, store_proposal

    today = dt.datetime.now(dt.UTC).date()
    days = [today - dt.timedelta(days=number) for number in range(6)]
    lines = [BilledLine(day, day, Decimal("1.31"), PRIMARY) for day in days]
    import_bill("claude", lines, origin="october.csv", author="admin")
    book = json.loads(FILE.read_bytes())
    book["source"], book["fetched_on"] = "a newer list", today.isoformat()
    for row in book["providers"]["anthropic"]:
        if row[0][0].startswith(f"^{PRIMARY}"):
            row[1] = ["2.5", "12.5", *row[1][2:]]
    return {"update": store_proposal(read_book(json.dumps(book).encode()), "newer.json").pk}


if __name__ == "__main__":
    main()
