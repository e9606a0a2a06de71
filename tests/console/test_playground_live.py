"""The playground over HTTP: a real server, sessions and its database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from console.dialects import CONSOLE_DIALECTS
from console.playground import code
from tests.browser.site import Site
from tests.waits import is_ever_within, wait_until

Json = dict[str, Any]
PATH = "/console/playground"
CSRF = "a" * 32

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("playground")).with_users().start()
    try:
        yield site
    finally:
        site.stop()


def client(site: Site, user: str = "admin") -> httpx.Client:
    return httpx.Client(base_url=site.url, timeout=60, **_signed_in(site, user))


def _signed_in(site: Site, user: str) -> Json:
    if not user:
        return {}
    cookies = {"sessionid": site.sessions[user], "csrftoken": CSRF}
    return {"cookies": cookies, "headers": {"X-CSRFToken": CSRF, "Origin": site.url}}


@pytest.fixture(scope="module")
def key(site: Site) -> str:
    """A gateway key, once the server accepts it."""
    output_words = site.manage("create_key", "code").split()
    secret = next(word for word in output_words if word.startswith("sk-dgm-"))
    return site.wait_for_key(secret)


@pytest.fixture
def admin_client(site: Site) -> Iterator[httpx.Client]:
    with client(site) as admin_client:
        yield admin_client


@pytest.fixture
def viewer_client(site: Site) -> Iterator[httpx.Client]:
    with client(site, "viewer") as viewer_client:
        yield viewer_client


def document(*models: str, prompt: str = "Hello", **more: Any) -> Json:
    columns = [{"id": "ABCDEFGH"[n], "model": model} for n, model in enumerate(models)]
    return {"columns": columns, "messages": [{"role": "user", "content": prompt}], **more}


def events(text: str) -> list[tuple[str, Json]]:
    rows = []
    for number, block in enumerate(text.split("\n\n")[:-1], 1):
        id_, name, data = block.split("\n", 2)
        assert id_ == f"id: {number}"
        rows.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return rows


def run_document(
    user: httpx.Client, body: Json, path: str = "/runs"
) -> tuple[str, list[tuple[str, Json]]]:
    reply = user.post(PATH + path, json=body)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-accel-buffering"] == "no"
    run_events = events(reply.text)
    return run_events[0][1]["id"], run_events


def boot_document(user: httpx.Client, query: str = "") -> Json:
    page = user.get(PATH + query)
    assert page.status_code == 200
    scripts = re.findall(r'<script id="[^"]+" type="application/json">(.*?)</script>', page.text)
    return next(body for text in scripts if "models" in (body := json.loads(unescape(text))))


# --- the page --------------------------------------------------------------------------------


def test_the_page_has_models_dialects_and_samples(admin_client: httpx.Client) -> None:
    data = boot_document(admin_client)
    models = {model["id"]: model for model in data["models"]}
    assert models["demo"]["kind"] == "route"
    assert models["demo/demo-fast"]["kind"] == "model"
    assert models["demo"]["provider"] == "demo"
    assert {d["id"] for d in data["dialects"]} == set(CONSOLE_DIALECTS)
    assert {row["id"] for row in data["languages"]} == set(code.RENDERERS)
    assert data["budget"]["limit_usd"] == 5
    assert data["run"] is None and data["settings"] is None
    assert data["samples"]


def test_a_link_fills_in_models_and_prompt(admin_client: httpx.Client) -> None:
    settings = boot_document(admin_client, "?models=demo,demo/demo-fast&prompt=Why%3F")["settings"]
    assert [column["model"] for column in settings["columns"]] == ["demo", "demo/demo-fast"]
    assert settings["messages"][0]["content"] == [{"type": "text", "text": "Why?"}]


def test_a_logged_request_opens_with_its_settings(
    admin_client: httpx.Client, viewer_client: httpx.Client
) -> None:
    _, row = run_document(
        admin_client, document("demo/demo-fast", system="Be brief.", params={"top_p": 0.5})
    )
    request = next(data for kind, data in row if kind == "end")["request_id"]
    wait_until(
        lambda: boot_document(admin_client, f"?request={request}")["settings"]
    )  # when it is logged
    settings = boot_document(admin_client, f"?request={request}")["settings"]
    assert settings["system"] == "Be brief."
    assert settings["params"]["top_p"] == 0.5
    assert boot_document(viewer_client, f"?request={request}")["settings"] is None


# --- who may ----------------------------------------------------------------------------------


def test_requests_without_a_session_are_refused(site: Site) -> None:
    with client(site, "") as nobody:
        assert nobody.get(PATH).status_code == 302
        reply = nobody.get(f"{PATH}/history")
        assert reply.status_code == 401
        assert "/console/sign-in" in reply.json()["sign_in"]
        assert nobody.post(f"{PATH}/runs", json=document("demo")).status_code == 403


def test_a_post_without_its_token_is_refused(site: Site) -> None:
    cookies = {"sessionid": site.sessions["admin"]}
    reply = httpx.post(f"{site.url}{PATH}/runs", json=document("demo"), cookies=cookies)
    assert reply.status_code == 403


def test_a_viewer_sees_only_own_runs_and_an_admin_all(
    admin_client: httpx.Client, viewer_client: httpx.Client
) -> None:
    hers, _ = run_document(admin_client, document("demo/demo-fast", prompt="of ada"))
    his, _ = run_document(viewer_client, document("demo/demo-fast", prompt="of vic"))
    assert {run["id"] for run in admin_client.get(f"{PATH}/history").json()["runs"]} >= {hers, his}
    ids = {run["id"] for run in viewer_client.get(f"{PATH}/history").json()["runs"]}
    assert his in ids and hers not in ids
    for path in ("", ".csv", "/events", "/translation", "/code"):
        assert viewer_client.get(f"{PATH}/runs/{hers}{path}").status_code == 404, path
    assert viewer_client.post(f"{PATH}/runs/{hers}/stop", json={}).status_code == 404
    assert viewer_client.delete(f"{PATH}/runs/{hers}").status_code == 404
    vote = {"run": hers, "order": ["A", "B"], "winner": "A"}
    assert viewer_client.post(f"{PATH}/votes", json=vote).status_code == 404
    assert boot_document(viewer_client, f"?run={hers}")["run"] is None
    assert admin_client.get(f"{PATH}/runs/{his}").status_code == 200


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 10_000,
        b'{"name": "\\u0000", "document": {}}',
        b'{"name": "x", "document": ' + b'{"a":' * 70 + b"1" + b"}" * 71,
    ],
    ids=["nothing", "half", "list", "null", "no text", "deep", "nul", "nested"],
)
def test_an_invalid_document_is_refused(admin_client: httpx.Client, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    for path in ("/runs", "/evaluation", "/votes", "/presets", "/code"):
        reply = admin_client.post(PATH + path, content=content, headers=headers)
        assert reply.status_code == 400
        assert reply.json()["errors"]


def test_an_error_is_returned_for_its_field(admin_client: httpx.Client) -> None:
    reply = admin_client.post(f"{PATH}/runs", json=document("demo", params={"temperature": "hot"}))
    assert reply.status_code == 400
    assert set(reply.json()["errors"]) == {"params.temperature"}


def test_an_image_larger_than_the_form_limit_is_accepted(admin_client: httpx.Client) -> None:
    part = {"type": "image", "media_type": "image/png", "data": "QUJD" * 1_000_000}
    text = {"type": "text", "text": "What is it?"}
    body = document("demo/demo-fast")
    body["messages"] = [{"role": "user", "content": [part, text]}]
    _, row = run_document(admin_client, body)
    response_text = "".join(data["text"] for kind, data in row if kind == "delta")
    assert "1 image" in response_text


def test_unknown_runs_and_odd_numbers_are_not_found(admin_client: httpx.Client) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    assert admin_client.get(f"{PATH}/runs/{unknown}").status_code == 404
    assert admin_client.get(f"{PATH}/runs/7").status_code == 404
    assert admin_client.get(f"{PATH}/history?before=x").status_code == 200
    assert boot_document(admin_client, "?run=x&preset=x")["run"] is None


# --- a run kept -------------------------------------------------------------------------------


def test_a_run_is_stored_and_loaded(admin_client: httpx.Client) -> None:
    run, log_row = run_document(
        admin_client, document("demo/demo-fast", "demo/demo-500", prompt="Keep me")
    )
    second_response = admin_client.get(f"{PATH}/runs/{run}/events")
    assert events(second_response.text) == log_row
    later = admin_client.get(f"{PATH}/runs/{run}/events?after=5").text
    assert later.startswith("id: 6\n")
    row = admin_client.get(f"{PATH}/history").json()["runs"][0]
    assert (row["id"], row["title"], row["mine"]) == (run, "Keep me", True)
    assert row["models"] == ["demo/demo-fast", "demo/demo-500"]
    assert row["status"] == "1 failed"
    opened = boot_document(admin_client, f"?run={run}")["run"]
    assert opened["settings"]["messages"] == [{"role": "user", "content": "Keep me"}]
    assert opened["summary"]["columns"][1]["failed"] == 1


def test_the_run_history_is_paginated(
    admin_client: httpx.Client, viewer_client: httpx.Client
) -> None:
    for number in range(31):
        run_document(viewer_client, document("demo/demo-fast", prompt=f"Page {number}"))
    first = viewer_client.get(f"{PATH}/history").json()
    assert len(first["runs"]) == 30
    next_page = viewer_client.get(f"{PATH}/history?before={first['next']}").json()
    assert next_page["next"] is None
    assert not {r["id"] for r in next_page["runs"]} & {r["id"] for r in first["runs"]}


def test_a_run_can_be_deleted(admin_client: httpx.Client) -> None:
    run, _ = run_document(admin_client, document("demo/demo-fast"))
    assert admin_client.delete(f"{PATH}/runs/{run}").status_code == 200
    assert admin_client.get(f"{PATH}/runs/{run}").status_code == 404


def test_exports_contain_the_comparison_fields(admin_client: httpx.Client) -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    body = document("demo/demo-fast", "demo/demo-bad-schema@0ms", prompt="=1+1", schema=schema)
    run, _ = run_document(admin_client, body)
    table = admin_client.get(f"{PATH}/runs/{run}.csv")
    assert "attachment" in table.headers["content-disposition"]
    header, first, second = table.text.splitlines()
    assert header.startswith("column,run,provider,model,")
    assert ",true," in first and ",false," in second
    response = admin_client.get(f"{PATH}/runs/{run}.json").json()
    assert [a["schema_valid"] for a in response["responses"]] == [True, False]
    assert response["settings"]["schema"] == schema
    text = admin_client.get(f"{PATH}/runs/{run}.md").text
    assert "| column | provider | model |" in text
    assert "demo/demo-fast" in text.replace("\\", "")
    assert admin_client.get(f"{PATH}/runs/{run}.exe").status_code == 400


# --- translation, code ------------------------------------------------------------------------


def test_a_run_is_repeated_in_another_dialect(admin_client: httpx.Client) -> None:
    run, _ = run_document(
        admin_client, document("demo/demo-fast", system="Be brief.", params={"seed": 7})
    )
    path = f"{PATH}/runs/{run}/translation?col=A&dialect="
    body = admin_client.get(path + "anthropic_messages").json()
    assert body["client_request"]["system"][0]["text"] == "Be brief."
    assert body["client_request"]["max_tokens"] > 0
    assert "params.seed" in [row["field"] for row in body["dropped_settings"]]
    assert body["upstream_request"]["messages"][0]["role"] in {"system", "developer"}
    assert body["upstream_request"]["model"] == "demo-fast"
    assert body["response"]["type"] == "message"
    assert "Hello from" in body["response"]["content"][0]["text"]
    assert body["stream"][0]["event"] == "message_start"
    shapes = {
        "openai_responses": ("input", "output", "/v1/responses"),
        "gemini": ("contents", "candidates", ":streamGenerateContent?alt=sse"),
        "ollama": ("messages", "message", "/api/chat"),
        "bedrock_converse": ("messages", "output", "/converse-stream"),
        "cohere": ("messages", "message", "/v2/chat"),
        "openai_completions": ("prompt", "choices", "/v1/completions"),
    }
    for dialect, (items, response_fields, request_path) in shapes.items():
        other = admin_client.get(path + dialect).json()
        assert items in other["client_request"]
        assert response_fields in other["response"]
        assert other["client_path"].endswith(request_path)
        assert other["upstream_request"]["model"] == "demo-fast"
        assert len(other["stream"]) > 1, dialect
    same = admin_client.get(path + "openai_chat").json()
    assert same["passthrough"] is True
    assert same["client_request"]["seed"] == 7
    assert admin_client.get(path + "klingon").status_code == 400


@pytest.mark.parametrize("lang", [name for name in code.RENDERERS if name.startswith("python")])
@pytest.mark.wide(every=3)
def test_the_python_snippet_runs_and_sends_the_same_request(
    admin_client: httpx.Client, key: str, lang: str, tmp_path: Path
) -> None:
    params = {"temperature": 0.2, "max_tokens": 400, "stop": ["never said"]}
    tools = [{"name": "look_up", "schema": {"type": "object", "properties": {}}}]
    body = document("demo/demo-fast", prompt="Say 'hi' \"there\" \\ é", tools=tools, params=params)
    run, row = run_document(admin_client, body)
    payload = admin_client.get(f"{PATH}/runs/{run}/code?lang={lang}&col=A").json()
    assert payload["key"] in payload["code"]
    script = tmp_path / "asks.py"
    script.write_text(payload["code"], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, payload["key"]: key},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = "".join(data["text"] for kind, data in row if kind == "delta")
    assert done.stdout == text


def test_the_curl_snippet_runs(admin_client: httpx.Client, key: str) -> None:
    body = document("demo/demo-fast", prompt="It's $HOME `here`")
    marks = {
        "openai_chat": "[DONE]",
        "openai_responses": "response.completed",
        "anthropic_messages": "message_stop",
        "gemini": "finishReason",
        "ollama": '"done":true',
        "bedrock_converse": "messageStop",
        "cohere": "message-end",
        "openai_completions": "[DONE]",
    }
    assert set(marks) == set(CONSOLE_DIALECTS)
    for dialect, mark in marks.items():
        payload = admin_client.post(
            f"{PATH}/code?lang=curl", json={**body, "dialect": dialect}
        ).json()
        done = subprocess.run(
            ["sh", "-c", payload["code"]],
            env={**os.environ, payload["key"]: key},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        assert mark in done.stdout, done.stdout + done.stderr
        assert "$HOME" in done.stdout


def test_the_javascript_snippet_has_the_same_body(admin_client: httpx.Client) -> None:
    payload = admin_client.post(
        f"{PATH}/code?lang=javascript", json=document("demo", prompt="</script>")
    ).json()
    body = json.loads(payload["code"].partition("create(")[2].partition(");\nfor")[0])
    assert body["model"] == "demo"
    assert body["messages"][0]["content"] == "</script>"
    assert admin_client.post(f"{PATH}/code?lang=cobol", json=document("demo")).status_code == 400


# --- votes, presets ----------------------------------------------------------------------------


def test_votes_are_ranked_on_the_scoreboard(admin_client: httpx.Client) -> None:
    body = document("demo/demo-fast", "demo/demo-500", blind=True, preset="votes")
    for winner in ("A", "A", "tie", "none"):
        run, row = run_document(admin_client, body)
        order = row[0][1]["order"]
        assert sorted(order) == ["A", "B"]
        vote = {"run": run, "order": order, "winner": winner}
        payload = admin_client.post(f"{PATH}/votes", json=vote).json()
        assert payload["models"] == {"A": "demo/demo-fast", "B": "demo/demo-500"}
    first, second = admin_client.get(f"{PATH}/scoreboard?preset=votes").json()["rows"]
    assert (first["model"], first["wins"], first["ties"], first["bad"]) == (
        "demo/demo-fast",
        2,
        1,
        1,
    )
    assert (second["losses"], second["win_rate"]) == (2, 0.167)
    assert first["rating"] > 1000 > second["rating"]


def test_a_second_vote_on_a_run_replaces_the_first(admin_client: httpx.Client) -> None:
    run, _ = run_document(admin_client, document("demo/demo-fast", "demo/demo", preset="again"))
    for winner in ("A", "B"):
        admin_client.post(f"{PATH}/votes", json={"run": run, "order": ["B", "A"], "winner": winner})
    rows = admin_client.get(f"{PATH}/scoreboard?preset=again").json()["rows"]
    assert {row["model"]: row["wins"] for row in rows} == {"demo/demo": 1, "demo/demo-fast": 0}
    bad = admin_client.post(f"{PATH}/votes", json={"run": run, "order": ["A", "B"], "winner": "C"})
    assert set(bad.json()["errors"]) == {"winner"}


def test_each_save_of_a_preset_is_a_version(
    admin_client: httpx.Client, viewer_client: httpx.Client
) -> None:
    for number in (1, 2):
        body = {"name": "Mine", "document": {"system": f"v{number}"}}
        request_body = admin_client.post(f"{PATH}/presets", json=body).json()
        assert request_body["version"] == number
    assert {"id": request_body["id"], "name": "Mine", "version": 2} in boot_document(admin_client)[
        "presets"
    ]
    assert boot_document(admin_client, f"?preset={request_body['id']}")["settings"] == {
        "system": "v2"
    }
    versions = admin_client.get(f"{PATH}/presets/{request_body['id']}").json()["versions"]
    assert [version["version"] for version in versions] == [2, 1]
    assert viewer_client.get(f"{PATH}/presets/{request_body['id']}").status_code == 404
    assert viewer_client.delete(f"{PATH}/presets/{request_body['id']}").status_code == 404
    assert admin_client.delete(f"{PATH}/presets/{request_body['id']}").status_code == 200
    assert boot_document(admin_client)["presets"] == []
    assert set(admin_client.post(f"{PATH}/presets", json={"name": " "}).json()["errors"]) == {
        "name"
    }


def test_the_prompt_of_the_playground_becomes_an_evaluation(admin_client: httpx.Client) -> None:
    body = document(
        "demo/demo-fast",
        "demo/demo-500",
        system="Be brief.",
        params={"temperature": 0.5},
        messages=[{"role": "user", "content": "Capital of {{country}}?"}],
    )
    created = admin_client.post(f"{PATH}/evaluation", json=body)
    assert created.status_code == 201
    page = admin_client.get(created.json()["url"]).text
    assert "Capital of {{country}}?" in page and "Be brief." in page
    assert page.count('name="models"') >= 2
    assert "&quot;temperature&quot;: 0.5" in page
    assert admin_client.post(f"{PATH}/evaluation", json={"columns": []}).status_code == 400


# --- time --------------------------------------------------------------------------------------


async def _frames(reply: httpx.Response) -> AsyncGenerator[tuple[float, str, Json], None]:
    assert reply.status_code == 200
    incomplete = b""
    async for data in reply.aiter_raw():
        now = time.perf_counter()
        *blocks, incomplete = (incomplete + data).split(b"\n\n")
        for block in blocks:
            _, name, text = block.split(b"\n", 2)
            yield now, name.decode().removeprefix("event: "), json.loads(text[6:])


async def test_eight_columns_start_streaming_within_150_ms(site: Site) -> None:
    async def start_spread_s(admin_client: httpx.AsyncClient) -> float:
        first: dict[str, float] = {}
        body = document(*[f"demo/demo@{20 + n}ms" for n in range(8)])
        async with admin_client.stream("POST", f"{PATH}/runs", json=body) as reply:
            assert reply.status_code == 200
            async for now, kind, data in _frames(reply):
                if kind == "delta":
                    first.setdefault(data["col"], now)
                if len(first) == 8:
                    break
        return max(first.values()) - min(first.values())

    async with httpx.AsyncClient(
        base_url=site.url, timeout=60, **_signed_in(site, "admin")
    ) as admin_client:
        assert await is_ever_within(lambda: start_spread_s(admin_client), 0.150)


async def test_closing_the_tab_ends_the_run_within_half_a_second(site: Site) -> None:
    async def late(admin_client: httpx.AsyncClient) -> float:
        """Return the seconds by which the last column ended too late."""
        body = document("demo/demo-stall@1ms", "demo/demo-slow")
        run, start = "", time.perf_counter()
        async with admin_client.stream("POST", f"{PATH}/runs", json=body) as reply:
            async for _now, kind, data in _frames(reply):
                run = data.get("id", "") if kind == "run" else run
                if kind == "delta":
                    break
        watched_s = time.perf_counter() - start
        await asyncio.sleep(1)  # a reader that came sooner would be the next tab
        stored = events((await admin_client.get(f"{PATH}/runs/{run}/events")).text)
        end_events = [data for kind, data in stored if kind == "end"]
        assert {data["status"] for data in end_events} == {"stopped"}
        return max(data["total_ms"] for data in end_events) / 1000 - watched_s

    async with httpx.AsyncClient(
        base_url=site.url, timeout=60, **_signed_in(site, "admin")
    ) as admin_client:
        assert await is_ever_within(lambda: late(admin_client), 0.5)


async def test_runs_that_start_at_once_are_limited(site: Site) -> None:
    """Each run may spend what remains of the budget."""

    async def status(admin_client: httpx.AsyncClient) -> int:
        body = document("demo/demo-slow")
        async with admin_client.stream("POST", f"{PATH}/runs", json=body) as reply:
            await all_started.wait()
            return reply.status_code

    all_started = asyncio.Barrier(12)
    async with httpx.AsyncClient(
        base_url=site.url, timeout=60, **_signed_in(site, "admin")
    ) as admin_client:
        statuses = await asyncio.gather(*(status(admin_client) for _ in range(12)))
    assert sorted(statuses) == [200] * 4 + [429] * 8


async def test_stop_ends_one_column_or_all(site: Site) -> None:
    async with httpx.AsyncClient(
        base_url=site.url, timeout=60, **_signed_in(site, "admin")
    ) as admin_client:
        body = document("demo/demo-stall@1ms", "demo/demo-stall@1ms", "demo/demo-fast")
        ended: list[str] = []
        async with admin_client.stream("POST", f"{PATH}/runs", json=body) as reply:
            run = ""
            async for _now, kind, data in _frames(reply):
                run = data["id"] if kind == "run" else run
                if kind == "end":
                    ended.append(data["col"])
                    expected = {"C": {"col": "B"}, "B": {}}.get(data["col"])
                    if expected is not None:
                        response = await admin_client.post(f"{PATH}/runs/{run}/stop", json=expected)
                        assert response.json() == {"stopped": True}
        assert ended == ["C", "B", "A"]


async def test_a_stream_holds_no_database_connection(site: Site) -> None:
    """Otherwise a hundred tabs of one person would use up PostgreSQL's connections."""

    def open_files() -> int:
        links = (path.readlink().name for path in Path(f"/proc/{site.pid}/fd").iterdir())
        return sum(name.endswith(".sqlite3") for name in links)

    async with (
        httpx.AsyncClient(base_url=site.url, timeout=60, **_signed_in(site, "admin")) as person,
        contextlib.AsyncExitStack() as streams,
    ):
        body = document("demo/demo-stall@1ms")
        reply = await streams.enter_async_context(person.stream("POST", f"{PATH}/runs", json=body))
        frames = _frames(reply)
        _now, _kind, data = await anext(frames)
        before = open_files()
        for _ in range(20):
            events_url = f"{PATH}/runs/{data['id']}/events"
            other_tab = await streams.enter_async_context(person.stream("GET", events_url))
            assert other_tab.status_code == 200
        assert open_files() < before + 10
        await frames.aclose()  # closes the first tab, which ends the run


# --- money -------------------------------------------------------------------------------------


def test_without_budget_runs_are_refused_and_the_console_works(tmp_path: Path) -> None:
    site = Site(tmp_path, DRAGOMAN_PLAYGROUND_USD_PER_DAY="0").with_users().start()
    try:
        with client(site, "viewer") as viewer_client:
            reply = viewer_client.post(f"{PATH}/runs", json=document("demo"))
            assert reply.status_code == 429
            assert "budget" in reply.json()["errors"]
            assert viewer_client.get(PATH).status_code == 200
            assert viewer_client.get(f"{PATH}/history").json()["runs"] == []
    finally:
        site.stop()
