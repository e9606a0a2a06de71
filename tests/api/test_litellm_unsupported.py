"""LiteLLM's endpoints that the gateway does not have: errors in LiteLLM's shape, with advice."""

from __future__ import annotations

import pytest
from django.test import Client

from gateway.compat.litellm.api.unsupported import REPLACEMENTS
from tests.api.test_litellm_docs import TEXT
from tests.each import each


@pytest.mark.parametrize(
    ("method", "path", "advice"),
    [
        ("POST", "/key/sk-1/regenerate", "use POST /api/keys/NAME/rotate"),
        ("POST", "/key/regenerate", "use POST /api/keys/NAME/rotate"),
        ("GET", "/global/spend/report?api_key=sk-1", "use GET /api/spend"),
        ("GET", "/user/daily/activity", "use GET /api/spend"),
        ("GET", "/spend/logs/v2", "use GET /spend/logs"),
        ("POST", "/budget/new", "max_budget of the key, team, user or customer"),
        ("POST", "/end_user/new", "use /customer/..."),
        ("PATCH", "/model/7/update", "use POST /model/update"),
        ("GET", "/credentials", "use /api/providers"),
        (
            "GET",
            "/organization/list/",
            "use /team/new: an organization is a team above other teams",
        ),
        ("GET", "/team/available", "docs/litellm.md lists the supported endpoints"),
        ("GET", "/provider/budgets", "use GET /api/providers"),
        ("GET", "/fallback/gpt-4o", "use /api/routes"),
    ],
)
def test_an_unsupported_endpoint_names_its_replacement(
    api: Client, method: str, path: str, advice: str
) -> None:
    response = api.generic(method, path, "{}")
    assert response.status_code == 404
    error = response.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("not_found_error", None, "404")
    assert error["message"].startswith("this endpoint of LiteLLM is not supported: ")
    assert error["message"].endswith(advice)
    assert "sk-1" not in error["message"]


def test_another_method_of_a_supported_endpoint_is_refused(api: Client) -> None:
    response = api.get("/key/generate")
    assert (response.status_code, response["allow"]) == (405, "POST")


@each("pattern", sorted(REPLACEMENTS))
def test_each_replacement_is_documented(pattern: str) -> None:
    assert any(
        f"`{pattern}`" in line for line in TEXT.splitlines() if REPLACEMENTS[pattern] in line
    )
