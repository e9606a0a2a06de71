"""Compares an imported LiteLLM database with the proxy's own API reports."""

from __future__ import annotations

import datetime as dt
import hashlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway import store
from gateway.compat.litellm.api.fields import LIMITS
from gateway.models import ApiKey, Route, Team, UsageHour
from gateway.routing.end_users import EndUser
from gateway.routing.limits import Budget, Limits
from gateway.store.key_values import budget_value, limits_value
from gateway.usage_querysets import UNITS
from tests.e2e.litellm_gateway import running_gateway
from tests.e2e.stack import ROOT
from tests.fakes.openai import KEY as PROVIDER_KEY
from tests.litellm.proxy_calls import BASE, KEY, MASTER_KEY, REQUESTED_MODELS, SALT_KEY

Reported = Mapping[str, Any]

# Budgets here are for a calendar period that holds LiteLLM's.
_PERIODS = {"1d": "day", "7d": "week", "30d": "month", "1mo": "month", None: "total"}
# Calls that LiteLLM answers and that are refused here, as the report says: by the alias of a key
# or a team, and by the bare name of a model for which there is only the route `openai/*`.
_REFUSED_HERE = {("group", "best")} | {
    (alias, "gpt-4o")
    for alias in (
        *("ann", "all", "chosen", "second", "gold", "windows", "by model", "chat only"),
        *("models only", "stores", "ünï 🙂", "ci", "team", "robot"),
    )
}


def hash_of(key: str) -> str:
    """Return the hash under which LiteLLM stores a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def check_rows(reported: Reported) -> None:
    """Assert that keys, teams, budgets, limits, models and spend equal LiteLLM's reports."""
    for alias, row in reported["key_info"].items():
        key = ApiKey.objects.get(digest=store.hashed_digest(hash_of(reported["keys"][alias])))
        assert key.name == alias
        assert key.user == row.get("user_id", "")
        _check_amounts(key, {**row.get("litellm_budget_table", {}), **row}, alias)
        expires = row.get("expires")
        assert key.expires_at == (dt.datetime.fromisoformat(expires) if expires else None), alias
        _check_team(key, row, reported)
    assert not ApiKey.objects.filter(name="deleted").exists()
    for row in reported["team_info"].values():
        team = Team.objects.get(source_ref=f"LiteLLM team {row['team_id']}")
        assert team.name in {row["team_alias"], f"{row['team_alias']} ({row['team_id']})"}
        _check_amounts(team, row, row["team_alias"])
    _check_end_users(reported)
    _check_models(reported)
    _check_days(reported)
    _check_spend(reported)


def _check_team(key: ApiKey, row: Reported, reported: Reported) -> None:
    """Assert that a key is in its team, or in the team of its user's budget."""
    refs = []
    if "team_id" in row:
        refs = [f"LiteLLM team {row['team_id']}"]
    elif "max_budget" in reported["user_info"].get(row.get("user_id"), {}):
        refs = [f"LiteLLM user {row['user_id']}"]
        assert key.team is not None
        _check_amounts(key.team, reported["user_info"][row["user_id"]], key.name)
    assert ([key.team.source_ref] if key.team is not None else []) == refs, key.name


def _check_amounts(row: Any, expected: Reported, label: str) -> None:
    """Assert the limits and budgets of a row."""
    _check_values(limits_value(row), budget_value(row), expected, label)


def _check_values(limits: Limits, budget: Budget, expected: Reported, label: str) -> None:
    for field, name in LIMITS.items():
        # A limit of 0 blocks the key instead.
        assert getattr(limits, name) == (expected.get(field) or None), (label, field)
    budgets = {
        _PERIODS[item.get("budget_duration")]: Decimal(str(item["max_budget"]))
        for item in (expected, *expected.get("budget_limits", ()))
        if item.get("max_budget") is not None
    }
    for period in ("day", "week", "month", "total"):
        assert getattr(budget, f"{period}_usd") == budgets.get(period), (label, period)
    soft, hard = expected.get("soft_budget"), expected.get("max_budget")
    if soft and hard and soft <= hard:
        assert budget.soft_percent == 100 * soft / hard, label


def _check_end_users(reported: Reported) -> None:
    """Assert that only end users with individual settings are imported."""
    entries = store.load_options().end_users
    for name, row in reported["customer_info"].items():
        end_user = entries.pop(name, EndUser())
        assert (end_user.alias, end_user.blocked) == (row.get("alias", ""), row["blocked"])
        table = row.get("litellm_budget_table", {})
        _check_values(end_user.limits, end_user.budget, table, name)
    assert not entries


def _check_models(reported: Reported) -> None:
    """Assert that each model has its route, its provider with the decrypted key, and its price."""
    for row in reported["models"]:
        params = row["litellm_params"]
        target = Route.objects.get(name=row["model_name"]).targets.get()
        assert params["model"] == f"openai/{target.model.name}"
        provider = target.model.provider
        assert provider.preset == "openai"
        assert store.credential_of(provider) == PROVIDER_KEY
        if (price := params.get("input_cost_per_token")) is not None:
            assert target.model.price_input == round(Decimal(str(price)) * 1_000_000, 9)


def _check_days(reported: Reported) -> None:
    """Assert the usage of each day and key."""
    names = dict(ApiKey.objects.values_list("pk", "name"))
    spend_by_owner: dict[tuple[str, str], Any] = {}
    expected: dict[tuple[str, str], Any] = {}
    for date, day in reported["days"].items():
        since = dt.datetime.fromisoformat(date).replace(tzinfo=dt.UTC)
        hours = UsageHour.objects.filter(hour__gte=since, hour__lt=since + dt.timedelta(days=1))
        for pk, name in names.items():
            if hours.filter(key_id=pk).exists():
                totals = hours.filter(key_id=pk).totals()
                spend_by_owner[date, name] = (
                    *(totals.requests, totals.errors, totals.prompt_tokens),
                    *(totals.output_tokens, round(float(totals.cost or 0), 8)),
                )
        by_hash = {hash_of(key): alias for alias, key in reported["keys"].items()}
        for token, metrics in day.items():
            if by_hash.get(token) in reported["key_info"]:
                expected[date, by_hash[token]] = (
                    *(metrics["api_requests"], metrics["failed_requests"]),
                    *(metrics["prompt_tokens"], metrics["completion_tokens"]),
                    round(metrics["spend"], 8),
                )
    differing = {
        name: (spend_by_owner.get(name), expected.get(name)) for name in spend_by_owner | expected
    }
    differing = {name: pair for name, pair in differing.items() if pair[0] != pair[1]}
    assert not differing, differing


def _check_spend(reported: Reported) -> None:
    """Assert that the budgets of keys continue at their spend."""
    recorded: dict[str, float] = defaultdict(float)
    for name, _, units in store.recorded_spend(store.load_snapshot()):
        recorded[name] = units / UNITS
    for alias, row in reported["key_info"].items():
        budgets = [{**row.get("litellm_budget_table", {}), **row}, *row.get("budget_limits", ())]
        for budget in budgets:
            if "max_budget" in budget:
                key = ApiKey.objects.get(name=alias)
                spent = recorded[f"key:{key.pk}/usd/{_PERIODS[budget.get('budget_duration')]}"]
                assert abs(spent - row["spend"]) < 0.0001, alias
    _check_spend_of_teams(reported, recorded)


def _check_spend_of_teams(reported: Reported, recorded: Mapping[str, float]) -> None:
    """Assert that budgets of teams and users continue at the spend of their keys.

    LiteLLM's counter of a team includes the spend of its deleted keys, which the report mentions.
    """
    spent: dict[str, float] = defaultdict(float)
    for row in reported["key_info"].values():
        kind, ref = ("team", row["team_id"]) if "team_id" in row else ("user", row.get("user_id"))
        spent[f"LiteLLM {kind} {ref}"] += row["spend"]
    teams = Team.objects.filter(name__in=("search", "user ann"))
    assert len(teams) == 2
    for team in teams:
        period = "week" if team.budget_week_usd else "month"
        amount = recorded[f"team:{team.pk}/usd/{period}"]
        assert abs(amount - spent[team.source_ref]) < 0.0001, team.name


def import_environment(provider: str) -> dict[str, str]:
    """Return the environment of an import: the proxy's secrets, and the provider's URL."""
    secrets = {"LITELLM_SALT_KEY": SALT_KEY, "LITELLM_MASTER_KEY": MASTER_KEY}
    return {**secrets, BASE: f"{provider}/v1", KEY: PROVIDER_KEY}


def check_keys_on_a_gateway(
    directory: Path, database: str, provider: str, reported: Reported
) -> None:
    """Import into a running gateway by command, and call each model with each key."""
    environment = import_environment(provider)
    text = "general_settings: {master_key: sk-1234}"
    with running_gateway(
        directory, text, **{BASE: environment[BASE], KEY: PROVIDER_KEY}
    ) as gateway:
        subprocess.run(
            [sys.executable, "manage.py", "import_litellm", database],
            cwd=ROOT,
            env=gateway.environment() | environment | {"DRAGOMAN_DATA_DIR": str(gateway.data_dir)},
            check=True,
            capture_output=True,
        )
        gateway.wait_for_key(reported["keys"]["all"])
        _check_calls(lambda key, model: gateway.ask(model, key=key).status_code, reported)


def _check_calls(call_model: Callable[[str, str], int], reported: Reported) -> None:
    """Assert that each key reaches the same models as in LiteLLM, by `ask(key, model)`."""
    differences = {
        (alias, model): (before, after)
        for alias, model, before, after in _calls(call_model, reported)
        if (before == 200) != (after == 200)
    }
    assert differences.keys() == _REFUSED_HERE, differences


def _calls(
    call_model: Callable[[str, str], int], reported: Reported
) -> Iterator[tuple[str, str, int, int]]:
    for alias, key in reported["keys"].items():
        for model in REQUESTED_MODELS:
            yield alias, model, reported["calls"][alias][model], call_model(key, model)
