"""End users: identification, limits and budgets."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.relay.limits import shared_counters
from gateway.routing.end_users import EndUser
from gateway.routing.limits import Budget, Limits
from gateway.routing.snapshot import Snapshot
from tests.relay.harness import completion, gateway, provider, route, snapshot

CHAT = "/v1/chat/completions"
CLAUDE_CODE = "user_0123abcd_account_7c9e6679_session_1b9d6bcd"
CLAUDE_JSON = '{"device_id":"d1","account_uuid":"7c9e6679","session_id":"s"}'


def registry(**changes: Any) -> Snapshot:
    return snapshot(route("r", provider("one")), **changes)


def keyed(**changes: Any) -> Snapshot:
    base = registry()
    digest, key = next(iter(base.keys.items()))
    return msgspec.structs.replace(base, keys={digest: msgspec.structs.replace(key, **changes)})


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "r", "messages": [{"role": "user", "content": "hi"}], **more}


NAMED: list[tuple[dict[str, Any], dict[str, str], str]] = [
    (chat(), {}, ""),
    (chat(user="ada"), {}, "ada"),
    (chat(safety_identifier="ada"), {}, "ada"),
    (chat(metadata={"user_id": "ada"}), {}, "ada"),
    (chat(metadata={"other": 1}), {}, ""),
    (chat(user="ada"), {"x-litellm-end-user-id": "bob"}, "bob"),
    (chat(), {"x-openwebui-user-id": "u-1", "x-openwebui-user-email": "a@b.test"}, "u-1"),
    (chat(), {"x-openwebui-user-email": "a@b.test"}, "a@b.test"),
    (chat(), {"x-own-user": "eve", "x-openwebui-user-id": "u-1"}, "eve"),
    (chat(user=7), {}, ""),
    (chat(user="x" * 300), {}, "x" * 128),
    (chat(metadata={"user_id": CLAUDE_CODE}), {}, "user_0123abcd_account_7c9e6679"),
    (chat(metadata={"user_id": CLAUDE_JSON}), {}, "7c9e6679"),
]


async def test_the_end_user_is_logged(tmp_path: Path) -> None:
    headers = ("x-own-user", *Snapshot(version=1).end_user_headers)
    named = registry(end_user_headers=headers)
    async with gateway(tmp_path, named, one=lambda _: completion()) as live:
        for body, upstream_body, _ in NAMED:
            await live.post(CHAT, body, headers=upstream_body)
        rows = await live.rows(len(NAMED))
    assert [row.end_user for row in rows] == [expected for _, _, expected in NAMED]


async def test_the_end_user_of_a_converse_client_is_logged(tmp_path: Path) -> None:
    message = {"role": "user", "content": [{"text": "hi"}]}
    async with gateway(tmp_path, registry(), one=lambda _: completion()) as live:
        for labels in ({"user": "ada"}, {"team": "search"}):
            await live.post("/model/r/converse", {"messages": [message], "requestMetadata": labels})
        rows = await live.rows(2)
    assert [row.end_user for row in rows] == ["ada", ""]


async def test_headers_become_tags(tmp_path: Path) -> None:
    tagged = registry(tag_headers=("x-team-name",))
    async with gateway(tmp_path, tagged, one=lambda _: completion()) as live:
        await live.post(CHAT, chat(), headers={"x-team-name": "search, ads"})
        rows = await live.rows(1)
    assert rows[0].tags == ["x-team-name: search, ads"]


@pytest.mark.parametrize(
    "limited",
    [
        keyed(end_user_limits=Limits(requests_per_minute=2)),
        registry(end_user_limits=Limits(requests_per_minute=2)),
    ],
    ids=["of a key", "of all keys"],
)
async def test_each_end_user_has_a_limit_of_their_own(tmp_path: Path, limited: Snapshot) -> None:
    async with gateway(tmp_path, limited, one=lambda _: completion()) as live:
        statuses = [(await live.post(CHAT, chat(user="ada"))).status for _ in range(3)]
        refused_response = await live.post(CHAT, chat(user="ada"))
        other = await live.post(CHAT, chat(user="bob"))
        anonymous = [(await live.post(CHAT, chat())).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert (
        "this end user is limited to 2 requests per minute"
        in refused_response.json()["error"]["message"]
    )
    assert other.status == 200
    assert anonymous == [200, 200, 200]


async def test_an_end_user_has_a_budget(tmp_path: Path) -> None:
    # 7 and 3 tokens of gpt-4.1 cost 38 millionths of a dollar.
    limited = keyed(end_user_budget=Budget(day_usd=Decimal("0.00003")))
    async with gateway(tmp_path, limited, one=lambda _: completion()) as live:
        first = await live.post(CHAT, chat(user="ada", max_tokens=1))
        await live.rows(1)
        second = await live.post(CHAT, chat(user="ada", max_tokens=1))
        other = await live.post(CHAT, chat(user="bob", max_tokens=1))
    assert (first.status, second.status, other.status) == (200, 429, 200)
    assert "the daily budget of 0.00003 USD of this end user" in second.json()["error"]["message"]


async def test_an_end_user_has_limits_of_its_own(tmp_path: Path) -> None:
    end_users = {
        "ada": EndUser(limits=Limits(requests_per_minute=2)),
        "bob": EndUser(budget=Budget(day_usd=Decimal(100))),
    }
    limited = registry(end_user_limits=Limits(requests_per_minute=1), end_users=end_users)
    async with gateway(tmp_path, limited, one=lambda _: completion()) as live:
        for name, allowed in (("ada", 2), ("bob", 1), ("eve", 1)):
            statuses = [(await live.post(CHAT, chat(user=name))).status for _ in range(3)]
            assert statuses == [200] * allowed + [429] * (3 - allowed), name


async def test_a_blocked_end_user_is_refused_and_others_are_not(tmp_path: Path) -> None:
    blocked = registry(end_users={"ada": EndUser(blocked=True)})
    async with gateway(tmp_path, blocked, one=lambda _: completion()) as live:
        refused_response = await live.post(CHAT, chat(user="ada"))
        assert refused_response.status == 403
        assert b"this end user is blocked" in refused_response.body
        assert (await live.post(CHAT, chat(user="bob"))).status == 200
        assert (await live.post(CHAT, chat())).status == 200


async def test_a_blocked_end_user_is_refused_although_the_counters_are_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client can invent end users until no counter is left."""
    monkeypatch.setattr(shared_counters, "_MAX_USED_FOR_END_USERS", 1)
    limited = registry(
        end_user_limits=Limits(requests_per_minute=1), end_users={"ada": EndUser(blocked=True)}
    )
    async with gateway(tmp_path, limited, one=lambda _: completion()) as live:
        invented = [(await live.post(CHAT, chat(user="bob"))).status for _ in range(2)]
        refused_response = await live.post(CHAT, chat(user="ada"))
    assert invented == [200, 429]
    assert refused_response.status == 403
