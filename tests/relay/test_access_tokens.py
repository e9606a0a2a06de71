"""Access tokens and signatures: cached, renewed in the background, never exposed."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.canon.errors import GatewayError
from gateway.doctor.probe_call import ProbeClient
from gateway.doctor.probes import PROBES
from gateway.providers.profile import Secret
from gateway.relay.exchange.spool import SpooledBody, UploadSpools
from gateway.relay.upstream import access_tokens
from gateway.relay.upstream.access_tokens import AccessTokens, Grant
from gateway.relay.upstream.client import Upstreams
from gateway.relay.upstream.http1 import Content
from gateway.routing.snapshot import Provider
from tests.fakes.server import RecordedRequest, ResponseWriter, Server
from tests.relay import harness
from tests.relay.harness import completion, refusal
from tests.waits import WAIT_TIMEOUT_S, wait_until_async

URL = httpx.URL("https://bedrock-runtime.eu-west-1.amazonaws.com/model/x%3A0/converse")
PLAIN = httpx.Headers({"host": URL.host, "content-type": "application/json", "x-own": "1"})
CHAT = "/v1/chat/completions"
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
AWS = "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI"


def provider(auth: str, credential: str) -> Provider:
    return Provider(
        id=1,
        name="p",
        preset="custom",
        dialect="openai_chat",
        base_url="https://x.example",
        auth=auth,
        credential=Secret(credential),
    )


class TokenServer(Server):
    """A token endpoint as Google's and Microsoft's."""

    def __init__(self) -> None:
        super().__init__()
        self.expires_in = 3600
        self.status = 200

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        number = len(self.requests)
        granted = {"access_token": f"token-{number}", "expires_in": self.expires_in}
        await out.reply(self.status, {**granted, "token_type": "Bearer"})
        return True


@pytest.fixture
def server() -> Any:
    with TokenServer() as token_server:
        yield token_server


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def account(server: Server, private_key: str) -> str:
    """Return the JSON of a service account whose tokens the fake grants."""
    return json.dumps(
        {
            "type": "service_account",
            "client_email": "robot@project.iam.example",
            "private_key": private_key,
            "private_key_id": "1",
            "token_uri": f"{server.url}/token",
            "project_id": "project",
        }
    )


async def headers(
    tokens: AccessTokens, target_provider: Provider, body: Content = b"{}"
) -> httpx.Headers:
    return await tokens.headers(target_provider, "POST", URL, PLAIN, body)


async def test_a_given_token_is_not_exchanged() -> None:
    for auth in ("google", "entra", "sigv4", "bearer"):
        assert await headers(AccessTokens(), provider(auth, "ya29.token")) is PLAIN


async def test_a_service_account_gets_a_token_once(server: TokenServer, private_key: str) -> None:
    tokens, target_provider = AccessTokens(), provider("google", account(server, private_key))
    results = await asyncio.gather(*(headers(tokens, target_provider) for _ in range(5)))
    assert {item["authorization"] for item in results} == {"Bearer token-1"}
    assert results[0]["x-own"] == "1"
    assert len(server.requests) == 1
    assert b"grant_type=urn" in server.requests[0].raw


async def test_a_token_is_renewed_before_expiry_without_delay(
    server: TokenServer, private_key: str
) -> None:
    tokens, target_provider = AccessTokens(), provider("google", account(server, private_key))
    server.expires_in = 100  # less than EARLY_S
    assert (await headers(tokens, target_provider))["authorization"] == "Bearer token-1"
    server.expires_in = 3600
    assert (await headers(tokens, target_provider))["authorization"] == "Bearer token-1"
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while (await headers(tokens, target_provider))["authorization"] != "Bearer token-2":
            await asyncio.sleep(0.01)
    assert len(server.requests) == 2


async def test_a_renewal_that_fails_leaves_the_token_in_use(
    server: TokenServer, private_key: str
) -> None:
    tokens, target_provider = AccessTokens(), provider("google", account(server, private_key))
    server.expires_in = 100
    await headers(tokens, target_provider)
    server.status = 400
    assert (await headers(tokens, target_provider))["authorization"] == "Bearer token-1"
    await wait_until_async(lambda: len(server.requests) == 2)
    for _ in range(20):
        assert (await headers(tokens, target_provider))["authorization"] == "Bearer token-1"
        await asyncio.sleep(0.01)
    assert len(server.requests) == 2, "a failed renewal is not tried again at once"


async def test_a_refused_account_error_has_no_secrets(
    server: TokenServer, private_key: str
) -> None:
    server.status = 400
    with pytest.raises(GatewayError) as error:
        await headers(AccessTokens(), provider("google", account(server, private_key)))
    assert error.value.error.kind == "upstream_auth"
    assert "robot" not in error.value.error.message


async def test_an_application_of_entra_gets_a_token(server: TokenServer) -> None:
    fields = {
        "tenant_id": "tenant",
        "client_id": "app",
        "client_secret": "s3cret-s3cret",
        "authority": server.url,
    }
    sent_headers = await headers(AccessTokens(), provider("entra", json.dumps(fields)))
    assert sent_headers["authorization"] == "Bearer token-1"
    (recorded_request,) = server.requests
    assert recorded_request.path == "/tenant/oauth2/v2.0/token"
    assert b"scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default" in recorded_request.raw


async def test_each_request_is_signed_on_its_own() -> None:
    tokens, target_provider = AccessTokens(), provider("sigv4", AWS)
    first, second = (
        await headers(tokens, target_provider, b"1"),
        await headers(tokens, target_provider, b"2"),
    )
    scope = "Credential=AKIAIOSFODNN7EXAMPLE/"
    assert scope in first["authorization"]
    assert "/eu-west-1/bedrock/aws4_request" in first["authorization"]
    assert first["authorization"] != second["authorization"]
    assert first["x-own"] == "1"
    assert "SignedHeaders=content-type;host;x-amz-date" in first["authorization"]


async def test_an_upload_spooled_to_disk_is_not_signed(tmp_path: Path) -> None:
    form = SpooledBody([b"x"], UploadSpools(tmp_path, 10).open(1), lambda: None)
    with pytest.raises(GatewayError, match="requires signed bodies"):
        await headers(AccessTokens(), provider("sigv4", AWS), form)
    assert await headers(AccessTokens(), provider("bearer", "key"), form) is PLAIN


async def test_the_aws_credential_chain_signs_without_a_configured_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT00001")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    sent_headers = await headers(AccessTokens(), provider("sigv4", ""))
    assert "Credential=AKIAENVIRONMENT00001/" in sent_headers["authorization"]
    assert sent_headers["x-amz-security-token"] == "session"


async def test_missing_cloud_credentials_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(GatewayError) as error:
        await headers(AccessTokens(), provider("sigv4", ""))
    assert error.value.error.kind == "upstream_auth"


async def test_a_cancelled_request_does_not_cancel_the_token_renewal_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_continue = threading.Event()

    def slow(fields: dict[str, Any], proxy: str) -> Grant[str]:
        may_continue.wait(WAIT_TIMEOUT_S)
        return Grant("late", 3600.0)

    monkeypatch.setitem(access_tokens._FETCH, "google", slow)
    tokens, target_provider = AccessTokens(), provider("google", '{"type": "x"}')
    given_up = asyncio.create_task(headers(tokens, target_provider))
    waiting = asyncio.create_task(headers(tokens, target_provider))
    await asyncio.sleep(0.05)
    given_up.cancel()
    may_continue.set()
    assert (await waiting)["authorization"] == "Bearer late"


def entra_provider(server: Server) -> Provider:
    fields = {
        "tenant_id": "tenant",
        "client_id": "app",
        "client_secret": "s3cret-s3cret",
        "authority": server.url,
    }
    return harness.provider("a", auth="entra", credential=Secret(json.dumps(fields)))


def refuse_tokens(*tokens: str) -> Callable[[httpx.Request], httpx.Response]:
    """Return an upstream that rejects these access tokens."""
    refused = {f"Bearer {token}" for token in tokens}
    return lambda request: (
        refusal(401) if request.headers["authorization"] in refused else completion()
    )


async def test_a_token_that_the_cloud_rejects_is_replaced_once_for_all_its_calls(
    server: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "RETRY_PAUSE_S", 0.0)
    registry = harness.snapshot(harness.route("m", entra_provider(server)))
    async with harness.gateway(tmp_path, registry, a=refuse_tokens("token-1")) as live:
        replies = await asyncio.gather(*(live.post(CHAT, BODY) for _ in range(5)))
        rows = await live.rows(5)
    assert [reply.status for reply in replies] == [200] * 5
    assert len(server.requests) == 2
    assert all(len(row.attempts) == 1 for row in rows)


async def test_a_call_is_repeated_once_with_another_token(
    server: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "RETRY_PAUSE_S", 0.0)
    registry = harness.snapshot(harness.route("m", entra_provider(server)))
    async with harness.gateway(tmp_path, registry, a=lambda _: refusal(401)) as live:
        reply = await live.post(CHAT, BODY)
    assert reply.status == 502
    assert reply.json()["error"]["code"] == "upstream_auth"
    sent = [request.headers["authorization"] for request in live.upstreams.requests]
    assert sent == ["Bearer token-1", "Bearer token-2"]


async def test_a_new_token_that_is_rejected_is_not_replaced(
    server: TokenServer, tmp_path: Path
) -> None:
    registry = harness.snapshot(harness.route("m", entra_provider(server)))
    async with harness.gateway(tmp_path, registry, a=lambda _: refusal(401)) as live:
        assert (await live.post(CHAT, BODY)).status == 502
    assert len(server.requests) == len(live.upstreams.requests) == 1


async def test_a_probe_of_the_doctor_is_repeated_with_another_token(
    server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "RETRY_PAUSE_S", 0.0)
    target = harness.route("m", entra_provider(server)).targets[0]
    upstreams = Upstreams(httpx.MockTransport(refuse_tokens("token-1")))
    probe = next(probe for probe in PROBES if probe.name == "plain")
    reply = await ProbeClient(upstreams, target).ask(probe)
    assert reply.error is None
    assert len(server.requests) == 2


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0])
async def test_a_change_of_the_time_of_day_does_not_expire_a_token(
    server: TokenServer, private_key: str, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    tokens, target_provider = AccessTokens(), provider("google", account(server, private_key))
    await headers(tokens, target_provider)
    real_time = time.time
    monkeypatch.setattr(time, "time", lambda: real_time() + step_s)
    await headers(tokens, target_provider)
    assert len(server.requests) == 1


async def test_a_clock_set_back_does_not_extend_the_use_of_a_token(
    server: TokenServer, private_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, target_provider = AccessTokens(), provider("google", account(server, private_key))
    server.expires_in = 1
    await headers(tokens, target_provider)
    real_time = time.time
    monkeypatch.setattr(time, "time", lambda: real_time() - 86_400.0)
    server.expires_in = 3600
    await asyncio.sleep(1.1)
    assert (await headers(tokens, target_provider))["authorization"] == "Bearer token-2"


def test_the_repr_of_a_credential_source_is_masked() -> None:
    assert "secret" not in repr(
        access_tokens.aws_key({"aws_access_key_id": "A", "aws_secret_access_key": "secret"}, "")
    )
