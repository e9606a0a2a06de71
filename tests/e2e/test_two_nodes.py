"""Two nodes on one PostgreSQL and one Redis share circuit breakers and sessions."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.nodes import Node, new_database
from tests.e2e.stack import ROOT, chaos_config, litellm_config
from tests.fakes import ChaosUpstream
from tests.redis_server import running_server
from tests.waits import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

MODEL = "saved-from-503"
PASSWORD = "a long enough password"


@pytest.fixture(scope="module")
def chaos() -> Iterator[ChaosUpstream]:
    with ChaosUpstream() as chaos:
        yield chaos


@pytest.fixture(scope="module")
def nodes(
    tmp_path_factory: pytest.TempPathFactory, chaos: ChaosUpstream
) -> Iterator[tuple[Node, Node]]:
    directory = tmp_path_factory.mktemp("nodes")
    config = litellm_config(chaos_config(chaos))
    config["router_settings"] = {"cooldown_time": 300, "allowed_fails": 2}
    with running_server(directory) as redis, new_database() as database:
        shared_urls = {"DATABASE_URL": database, "REDIS_URL": redis.url}
        first_node = Node(directory / "one", config, **shared_urls).start()
        other = Node(directory / "other", config, **shared_urls).start()
        yield first_node, other
        first_node.kill()
        other.kill()


def request_status(node: Node) -> int:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {node.key}"}
    url = f"{node.url}/v1/chat/completions"
    return httpx.post(url, json=body, headers=headers).status_code


def failed_request_count(chaos: ChaosUpstream) -> int:
    """Return how often the always failing target was called."""
    return sum(b'"model":"503"' in request.raw for request in chaos.requests)


def target_in_cooldown(node: Node) -> Any:
    """Return the label of the target in cooldown on a node; None if there is none."""
    items = node.api("/api/health/targets")["items"]
    targets = [item["target"] for item in items if item["state"] == "cooldown"]
    return targets[0] if targets else None


def test_a_cooldown_on_one_node_applies_to_the_other(
    nodes: tuple[Node, Node], chaos: ChaosUpstream
) -> None:
    first_node, other = nodes
    wait_until(lambda: request_status(first_node) == 200 and target_in_cooldown(first_node))
    label = target_in_cooldown(first_node)
    wait_until(lambda: target_in_cooldown(other) == label)
    call_count = failed_request_count(chaos)
    assert request_status(other) == 200
    assert failed_request_count(chaos) == call_count, "a target in cooldown was called"
    headers = {"authorization": f"Bearer {other.key}"}
    url = f"{other.url}/api/health/targets/reset"
    response = httpx.post(url, json={"target": label}, headers=headers)
    assert response.json().get("reset"), (label, response.status_code, response.text)
    wait_until(lambda: not target_in_cooldown(first_node))


def add_admin(node: Node) -> None:
    code = (
        "from django.contrib.auth.models import User;"
        f"User.objects.create_superuser('ada', password={PASSWORD!r})"
    )
    subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
        cwd=ROOT,
        env={**node.environment(), "DRAGOMAN_DATA_DIR": str(node.data_dir)},
        check=True,
    )


def send(person: httpx.Client, url: str, page: str, **fields: str) -> httpx.Response:
    """Submit a form with the CSRF token of its page."""
    match = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', person.get(page).text)
    assert match, page
    fields |= {"csrfmiddlewaretoken": match[1]}
    return person.post(url, data=fields)


def test_a_session_is_valid_on_both_nodes(nodes: tuple[Node, Node]) -> None:
    first_node, other = nodes
    add_admin(first_node)
    with httpx.Client() as person:
        home, same = f"{first_node.url}/console/keys", f"{other.url}/console/keys"
        assert person.get(same).status_code == 302
        sign_in = f"{first_node.url}/console/sign-in"
        response = send(person, sign_in, sign_in, username="ada", password=PASSWORD)
        assert response.status_code == 302
        assert (person.get(home).status_code, person.get(same).status_code) == (200, 200)
        response = send(person, f"{other.url}/console/sign-out", same)
        assert response.status_code in {200, 302}
        assert (person.get(home).status_code, person.get(same).status_code) == (302, 302)
