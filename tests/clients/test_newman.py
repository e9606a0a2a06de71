"""The Postman collection in Newman, Postman's command-line runner: `uv run pytest -m frameworks`.

Every request of the collection is sent unchanged, with the keys of a gateway: none may be
refused for its path, method or key, and none may fail in the gateway.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.clients.environments import Unavailable, node_modules
from tests.e2e.test_up import running_up

pytestmark = [pytest.mark.e2e, pytest.mark.frameworks, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def executions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """Newman's report of each request."""
    try:
        newman = node_modules(("newman@^6.2.2",)) / "node_modules" / ".bin" / "newman"
    except Unavailable as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("newman")
    with running_up(folder / "data", DRAGOMAN_FIND_LOCAL_SERVERS="false") as gateway:
        url = f"{gateway.base}/api/postman.json"
        admin = (folder / "data" / "admin_key").read_text(encoding="utf-8")
        collection = httpx.get(url, headers={"authorization": f"Bearer {admin}"}, timeout=30)
        (folder / "collection.json").write_text(collection.text, encoding="utf-8")
        command = [str(newman), "run", "collection.json", "--suppress-exit-code", "--color=off"]
        command += ["--env-var", f"api_key={gateway.key}", "--env-var", f"admin_key={admin}"]
        command += ["--timeout-request", "10000", "--ignore-redirects"]
        command += ["--reporters", "json", "--reporter-json-export", "report.json"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        subprocess.run(command, cwd=folder, env=environment, timeout=600, check=True)
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        yield report["run"]["executions"]
        assert gateway.end() == 0


def outcome(execution: dict[str, Any]) -> tuple[str, str, int, str]:
    """Return method, path, status and the beginning of the body."""
    request, response = execution["request"], execution.get("response", {})
    body = bytes(response.get("stream", {}).get("data", [])).decode(errors="replace")
    path = "/".join(request["url"]["path"])
    return request["method"], path, response.get("code", 0), body[:200]


def test_every_request_reaches_its_endpoint(executions: list[dict[str, Any]]) -> None:
    outcomes = [outcome(execution) for execution in executions]
    assert len(outcomes) > 150
    # An admin key belongs to no user, so it has no personal keys and requests.
    refused_outcomes = [
        row
        for row in outcomes
        if row[2] in {0, 401, 403, 405, 415, 500} and "belongs to no user" not in row[3]
    ]
    assert not refused_outcomes, "\n".join(map(str, refused_outcomes))


def test_the_sample_of_a_chat_is_answered(executions: list[dict[str, Any]]) -> None:
    paths = {(method, path): status for method, path, status, _ in map(outcome, executions)}
    assert paths["GET", "v1/models"] == 200
    assert paths["GET", "api/routes"] == 200
    assert paths["POST", "v1/chat/completions"] == 200
