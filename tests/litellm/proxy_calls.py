"""Requests that configure and use a LiteLLM proxy, as administrators and clients do.

Everything goes through LiteLLM's own management API and its model endpoints; the reports are
stored, so that an import of the database can be compared with them. Features of LiteLLM's
enterprise license are omitted: organizations, projects, tags of keys, models of one team.
"""

from __future__ import annotations

import time
from hashlib import sha256
from typing import Any

import httpx

from tests.fakes.openai import KEY as PROVIDER_KEY

Json = dict[str, Any]

# Variables in which the proxy, and later the import, finds the provider.
BASE, KEY = "LITELLM_TEST_OPENAI_BASE", "LITELLM_TEST_OPENAI_KEY"
SALT_KEY, MASTER_KEY = "sk-salt-of-a-test", "sk-master-of-a-test"
# Names of models that clients ask for.
REQUESTED_MODELS = ("smart", "fast", "gpt-4", "gpt-4o", "best", "openai/gpt-4.1")
# Seconds between two writes of spend to the database; the proxy gets it by PROXY_BATCH_WRITE_AT.
WRITES_S = 1
_WRITTEN_S = 60.0
_MILLION = 1_000_000

_PROVIDER = {"api_base": f"os.environ/{BASE}", "api_key": f"os.environ/{KEY}"}
_CALLS: tuple[tuple[str, Json], ...] = (
    (
        "/budget/new",
        {
            "budget_id": "gold",
            "max_budget": 100,
            "soft_budget": 80,
            "budget_duration": "30d",
            "rpm_limit": 90,
            "tpm_limit": 90_000,
        },
    ),
    (
        "/credentials",
        {
            "credential_name": "office",
            # Variables in a credential are for LiteLLM's file alone.
            "credential_values": {"api_key": PROVIDER_KEY},
            "credential_info": {"custom_llm_provider": "openai"},
        },
    ),
    (
        "/model/new",
        {
            "model_name": "smart",
            "litellm_params": {
                "model": "openai/gpt-4o",
                **_PROVIDER,
                "rpm": 1000,
                "input_cost_per_token": 10 / _MILLION,
                "output_cost_per_token": 30 / _MILLION,
            },
            "model_info": {"access_groups": ["office"], "mode": "chat"},
        },
    ),
    (
        "/model/new",
        {
            "model_name": "fast",
            "litellm_params": {
                "model": "openai/gpt-4o-mini",
                "litellm_credential_name": "office",
                "api_base": _PROVIDER["api_base"],
            },
            "model_info": {"id": "fast-1"},
        },
    ),
    (
        "/model/new",
        {"model_name": "openai/*", "litellm_params": {"model": "openai/*", **_PROVIDER}},
    ),
    (
        "/config/update",
        {"router_settings": {"model_group_alias": {"gpt-4": "smart"}, "num_retries": 0}},
    ),
    ("/config/update", {"litellm_settings": {"drop_params": True}}),
    ("/config/update", {"environment_variables": {"LITELLM_TEST_WORD": "secret word"}}),
    (
        "/user/new",
        {
            "user_id": "ann",
            "user_email": "ann@example.com",
            "user_alias": "Ann",
            "max_budget": 9,
            "budget_duration": "1mo",
            "rpm_limit": 50,
            "key_alias": "ann",
        },
    ),
    ("/user/new", {"user_id": "bob", "models": ["fast"], "key_alias": "bob"}),
    (
        "/team/new",
        {
            "team_id": "t-search",
            "team_alias": "search",
            "models": ["smart", "fast"],
            "max_budget": 50,
            "soft_budget": 40,
            "budget_duration": "7d",
            "tpm_limit": 100_000,
            "rpm_limit": 600,
            "metadata": {"owner": "ann"},
            "model_aliases": {"gpt-4o": "smart"},
            "team_member_budget": 5,
            "members_with_roles": [{"role": "admin", "user_id": "ann"}],
        },
    ),
    ("/team/new", {"team_id": "t-second", "team_alias": "search"}),
    # A team that is blocked later can go on for a minute, which is how long it is cached.
    ("/team/new", {"team_id": "t-closed", "team_alias": "closed", "blocked": True}),
    (
        "/team/member_add",
        {
            "team_id": "t-search",
            "member": {"role": "user", "user_id": "bob"},
            "max_budget_in_team": 2,
        },
    ),
    ("/tag/new", {"name": "batch", "description": "Nightly", "models": []}),
    (
        "/guardrails",
        {
            "guardrail": {
                "guardrail_name": "secrets",
                "litellm_params": {"guardrail": "hide-secrets", "mode": "pre_call"},
            }
        },
    ),
    ("/customer/new", {"user_id": "c-plain", "alias": "Plain"}),
    (
        "/customer/new",
        {"user_id": "c-budget", "max_budget": 3, "budget_duration": "1d", "rpm_limit": 5},
    ),
    ("/customer/new", {"user_id": "c-gold", "budget_id": "gold"}),
    ("/customer/new", {"user_id": "c-blocked", "blocked": True}),
)
_ACCESS_GROUP = {"access_group_name": "fast ones", "access_model_names": ["fast"]}
# By alias; the proxy makes up what is not given.
_KEYS: dict[str, Json] = {
    "ci": {
        "team_id": "t-search",
        "user_id": "ann",
        "models": ["smart"],
        "duration": "90d",
        "max_budget": 20,
        "soft_budget": 15,
        "budget_duration": "30d",
        "rpm_limit": 60,
        "tpm_limit": 50_000,
        "max_parallel_requests": 3,
        "metadata": {"note": "CI"},
    },
    "all": {},
    "chosen": {"key": "sk-chosen-by-the-client"},
    "team": {"team_id": "t-search", "models": ["all-team-models"]},
    "second": {"team_id": "t-second"},
    "closed": {"team_id": "t-closed"},
    # The proxy makes up the identifier of the group.
    "in an access group": {"models": ["smart"], "access_group_ids": []},
    "group": {"models": ["office"], "aliases": {"best": "smart"}},
    "gold": {"budget_id": "gold", "max_budget": 7},
    "windows": {
        "budget_limits": [
            {"budget_duration": "1d", "max_budget": 1},
            {"budget_duration": "30d", "max_budget": 9},
        ]
    },
    "by model": {"model_rpm_limit": {"smart": 100}},
    "spent": {"max_budget": 0.0001},
    "spent this month": {"max_budget": 0.0001, "budget_duration": "30d"},
    "expired": {"duration": "1s"},
    "blocked": {},
    "zero": {"rpm_limit": 0},
    "chat only": {"allowed_routes": ["/v1/chat/completions"]},
    "models only": {"key_type": "llm_api"},
    "read only": {"key_type": "read_only"},
    "management": {"key_type": "management"},
    "stores": {"object_permission": {"vector_stores": ["none"]}},
    "ünï 🙂": {"models": ["smart", "fast", "openai/*"]},
    "deleted": {"team_id": "t-search"},
}


_METRICS = ("api_requests", "failed_requests", "prompt_tokens", "completion_tokens", "spend")


class Proxy:
    """A LiteLLM proxy, called by a client with its base URL.

    A refused request raises AssertionError with its text.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def send(self, method: str, path: str, key: str = MASTER_KEY, **more: Any) -> httpx.Response:
        """Send a request with a key."""
        headers = {"authorization": f"Bearer {key}"}
        return self._client.request(method, path, headers=headers, **more)

    def post(self, path: str, body: Json) -> Json:
        """Send a POST request to the management API."""
        response = self.send("POST", path, json=body)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text}"
        return dict(response.json() or {})

    def get(self, path: str, **query: Any) -> Any:
        """Return a report of the management API."""
        response = self.send("GET", path, params=query)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text}"
        return response.json()


def request_status(proxy: Proxy, key: str, model: str, **more: Any) -> int:
    """Return the status of a request to a model."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}
    return proxy.send("POST", "/v1/chat/completions", key, json=body).status_code


def set_up_and_use(proxy: Proxy) -> Json:
    """Configure and use a new proxy; returns its keys and reports."""
    keys: dict[str, str] = {}
    for path, body in _CALLS:
        created_object = proxy.post(path, body)
        if path == "/user/new":
            keys[body["key_alias"]] = created_object["key"]
    group = proxy.send("POST", "/v1/access_group", json=_ACCESS_GROUP).json()["access_group_id"]
    for alias, body in _KEYS.items():
        request = {"key_alias": alias, **body}
        if "access_group_ids" in body:
            request["access_group_ids"] = [group]
        keys[alias] = proxy.post("/key/generate", request)["key"]
    robot = {"key_alias": "robot", "team_id": "t-search"}
    keys["robot"] = proxy.post("/key/service-account/generate", robot)["key"]
    proxy.post("/key/block", {"key": keys["blocked"]})
    # A person signs in to the pages, which makes a key of the session.
    signed_in = proxy.send("POST", "/login", data={"username": "admin", "password": MASTER_KEY})
    assert signed_in.status_code == 303, signed_in.text
    _wait_for_models(proxy, keys["all"])
    for alias in ("spent", "spent this month", "ann", "ci", "ci", "deleted"):
        assert request_status(proxy, keys[alias], "smart") == 200
    assert request_status(proxy, keys["all"], "fast", user="c-gold") == 200
    _wait_for_spend(proxy, keys["spent"])
    proxy.post("/key/delete", {"keys": [keys["deleted"]]})
    calls = {
        alias: {name: request_status(proxy, key, name) for name in REQUESTED_MODELS}
        for alias, key in keys.items()
    }
    _wait_for_spend(proxy, keys["all"])
    working_keys = {alias for alias, statuses in calls.items() if 200 in statuses.values()}
    _wait_for_days(proxy, {sha256(keys[alias].encode()).hexdigest() for alias in working_keys})
    return {"keys": keys, "calls": calls, **_management_report(proxy, keys)}


def _wait_for_models(proxy: Proxy, key: str) -> None:
    """Wait until the proxy has loaded its models, which it does periodically."""
    deadline = time.monotonic() + _WRITTEN_S
    while set(REQUESTED_MODELS[:2]) - {row["id"] for row in proxy.get("/v1/models")["data"]}:
        assert time.monotonic() < deadline, "the proxy does not know its models"
        time.sleep(0.5)


def _wait_for_spend(proxy: Proxy, key: str) -> None:
    """Wait until the spend of all requests so far is written."""
    deadline, before = time.monotonic() + _WRITTEN_S, None
    while True:
        spend = proxy.get("/key/info", key=key)["info"]["spend"]
        if spend and spend == before:
            return
        assert time.monotonic() < deadline, "the proxy writes no spend"
        before = spend
        time.sleep(4 * WRITES_S)


def _wait_for_days(proxy: Proxy, key_hashes: set[str]) -> None:
    """Wait until the daily usage, which is written separately, has all of these keys."""
    deadline = time.monotonic() + _WRITTEN_S
    while missing := key_hashes - {
        customer for day in _daily_activity(proxy) for customer in day["breakdown"]["api_keys"]
    }:
        assert time.monotonic() < deadline, f"the proxy writes no usage by day of {missing}"
        time.sleep(WRITES_S)


def _daily_activity(proxy: Proxy) -> list[Json]:
    """Return the usage of each day."""
    days = {"start_date": time.strftime("%Y-%m-01", time.gmtime()), "end_date": "2100-01-01"}
    activity = proxy.get("/user/daily/activity", **days, page_size=1000)
    assert activity["metadata"]["total_pages"] == 1
    return list(activity["results"])


def _management_report(proxy: Proxy, keys: dict[str, str]) -> Json:
    """Return all reports of the management API."""
    teams = [row["team_id"] for row in proxy.get("/team/list")]
    customers = [row["user_id"] for row in proxy.get("/customer/list")]
    return _without_empty_fields(
        {
            "key_info": {
                alias: proxy.get("/key/info", key=key)["info"]
                for alias, key in keys.items()
                if alias != "deleted"
            },
            "team_info": {t: proxy.get("/team/info", team_id=t)["team_info"] for t in teams},
            "user_info": {
                user: proxy.get("/user/info", user_id=user)["user_info"] for user in ("ann", "bob")
            },
            "customer_info": {
                customer: proxy.get("/customer/info", end_user_id=customer)
                for customer in customers
            },
            "models": [
                {name: row[name] for name in ("model_name", "litellm_params")}
                for row in proxy.get("/v2/model/info")["data"]
            ],
            "days": {
                day["date"]: {
                    customer: {name: found["metrics"][name] for name in _METRICS}
                    for customer, found in day["breakdown"]["api_keys"].items()
                }
                for day in _daily_activity(proxy)
            },
        }
    )


def _without_empty_fields(row: Json) -> Json:
    """Return the object without empty fields at any depth."""
    non_empty_fields = {name: _without_empty(value) for name, value in row.items()}
    return {
        name: value for name, value in non_empty_fields.items() if value not in (None, {}, [], "")
    }


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return _without_empty_fields(value)
    return [_without_empty(item) for item in value] if isinstance(value, list) else value
