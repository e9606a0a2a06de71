"""Objects of one user, requested by others: every URL of the console and operation of the API.

The texts of the objects contain markers; a response to someone who may not read them contains
none. `tests/api/test_roles.py` and `test_roles.py` check who may use a URL at all.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console import accounts
from console.evaluate.definition import Case, Definition, render_definition
from console.evaluation_runs import store as evaluation_store
from console.models import (
    Evaluation,
    EvaluationRun,
    PlaygroundPreset,
    PlaygroundRun,
    RunShare,
    SavedView,
)
from gateway import store
from gateway.models import ApiKey, RequestLog, RequestScore
from tests.api.test_roles import operations
from tests.console.test_evaluate_store import result
from tests.console.test_roles import views
from tests.console.test_shares import run_of
from tests.console.test_traces import span
from tests.store.factories import bodies, make_record

pytestmark = pytest.mark.django_db

# All objects have the same row id, so that one value fits every `pk` and `number`.
PK = 7001
RUN, TRACE = uuid.UUID(int=PK), "ab" * 16
# What prompts, responses and content of spans contain; viewers need a permission for them.
BODY = "marker-of-bodies"
# What runs, presets, evaluations and saved views contain; only admins see those of others.
PRIVATE = "marker-of-private-objects"
# What names, sessions, tags and comments contain; viewers and editors see them.
METADATA = "marker-of-metadata"
# What each role may not read. An editor has every permission of a viewer.
MARKERS = {"member": (BODY, PRIVATE, METADATA), "editor": (BODY, PRIVATE)}
OBJECTS = (PlaygroundRun, PlaygroundPreset, RunShare, SavedView, Evaluation, EvaluationRun)
QUERY = f"q=marker&range=all&request={PK}&run={RUN}&preset={PK}&stored_prompt={PK}"
FIELDS = {"run": str(RUN), "logged_request": PK, "evaluation": PK, "request": PK, "winner": "A"}
FIELDS_JSON = json.dumps(FIELDS)


@pytest.fixture
def alice(db: None) -> User:
    """A member with one object of each kind."""
    User.objects.create_superuser("ada", password=None)
    alice = accounts.create_account("alice", None, role="member")
    _log_request(alice)
    definition = Definition(
        name=PRIVATE,
        models=("a", "b"),
        messages=({"role": "user", "content": PRIVATE},),
        cases=(Case(variables={"input": PRIVATE}), Case(variables={"input": "y"})),
    )
    document = render_definition(definition)
    evaluation = Evaluation.objects.create(pk=PK, owner=alice, name=PRIVATE, document=document)
    evaluation_run = evaluation_store.start(evaluation, alice)
    evaluation_store.save_results(evaluation_run.pk, ("a", "b"), [result(0, "a", PRIVATE)])
    EvaluationRun.objects.update(uuid=RUN, status="done")
    run = run_of(alice, text=PRIVATE)
    PlaygroundRun.objects.update(uuid=RUN, title=PRIVATE, name=PRIVATE)
    RunShare.objects.create_link(run, alice, 7, with_prompt=True)
    RunShare.objects.update(id=PK)
    owned = {"pk": PK, "owner": alice, "name": PRIVATE}
    PlaygroundPreset.objects.create(**owned, document={"system": PRIVATE, "columns": []})
    SavedView.objects.create(**owned, query="q=x")
    return alice


def _log_request(owner: User) -> None:
    """Create a personal key with a logged request, its score, and a trace."""
    key, _secret = store.create_key("alice-key")
    ApiKey.objects.update(id=PK, owner=owner, user=METADATA)
    messages = [{"role": "system", "content": BODY}, {"role": "user", "content": BODY}]
    response = {"role": "assistant", "content": BODY}
    choice = {"index": 0, "message": response, "finish_reason": "stop"}
    record = make_record(
        "req_alice",
        started_at=time.time() - 60,
        endpoint="/v1/chat/completions",
        client_dialect="openai_chat",
        upstream_dialect="openai_chat",
        key_id=PK,
        key_prefix=key.prefix,
        session=METADATA,
        tags=[METADATA],
        trace_id=TRACE,
        response_id="resp_alice",
        bodies=bodies(
            {"model": "fast", "messages": messages, "stop": [BODY], "user": METADATA},
            {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [choice]},
            client_headers={"x-note": BODY},
        ),
    )
    store.write([record])
    row = RequestLog.objects.get()
    RequestScore.objects.create(
        pk=PK, log=row, name="tone", value=1, comment=METADATA, scored_by="alice"
    )
    content = msgspec.json.encode({"input": BODY})
    span(1, key_id=PK, name=METADATA, content=content, content_omitted="", pk=PK)


def _values(names: Iterable[str], request_pk: int) -> dict[str, Any]:
    """The values of a URL's parameters that select alice's objects."""
    values = {"request_id": "req_alice", "trace_id": TRACE, "request_pk": request_pk}
    values |= dict.fromkeys(("run", "uuid"), RUN) | dict.fromkeys(("pk", "number"), PK)
    values |= {"form": "json", "kind": "csv", "name": "alice-key"}
    return {name: values.get(name, "x") for name in names}


def _paths() -> Iterator[str]:
    """Every path of the console and of the management API."""
    request_pk = RequestLog.objects.get().pk
    for url in views():
        names = url.pattern.converters
        assert url.name is not None
        yield reverse(url.name, kwargs=_values(names, request_pk))
    for path in {path for _method, path, _name in operations()}:
        yield path.format(**_values(re.findall(r"{(\w+)}", path), request_pk))


def _client(role: str) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(accounts.create_account("bob", None, role=role))
    return client


def _markers_in(response: Any, role: str) -> list[str]:
    """The markers in a response that the role may not read."""
    content = b"".join(response) if response.streaming else response.content
    return [marker for marker in MARKERS[role] if marker.encode() in content]


@pytest.mark.parametrize("role", MARKERS)
def test_no_response_contains_objects_of_others(alice: User, role: str) -> None:
    client, problems, pages = _client(role), [], 0
    for path in _paths():
        # The API refuses to search bodies instead of ignoring the field.
        response = client.get(path, QUERY_STRING="" if path.startswith("/api/") else QUERY)
        pages += response.status_code == 200
        problems += [(path, marker) for marker in _markers_in(response, role)]
    assert pages > 20
    assert not problems


@pytest.mark.parametrize("role", MARKERS)
def test_no_request_changes_objects_of_others(alice: User, role: str) -> None:
    client, problems = _client(role), []
    state = _private_rows(alice)
    for path in _paths():
        responses = [("form", client.post(path, FIELDS))]
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            response = client.generic(method, path, FIELDS_JSON, content_type="application/json")
            responses.append((method, response))
        for method, response in responses:
            problems += [(method, path, marker) for marker in _markers_in(response, role)]
        if _private_rows(alice) != state:
            problems.append(("any", path, "changed"))
            state = _private_rows(alice)
    assert not problems


def _private_rows(owner: User) -> list[Any]:
    """All private objects of a user with their columns."""
    return [list(model.objects.filter(owner=owner).order_by("pk").values()) for model in OBJECTS]
