"""Official SDKs on a live gateway: images, audio, moderations, files, batches, rerank."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import anthropic
import cohere
import httpx
import openai
import pytest

from tests.e2e.stack import ROOT, Gateway, litellm_config
from tests.e2e.test_ollama import row
from tests.fakes.batches import StrictBatches, StrictRerank
from tests.fakes.openai_media import MODELS, PICTURE, SOUND, StrictMedia
from tests.waits import wait_until

pytestmark = pytest.mark.e2e
WAVE = ("a.wav", b"RIFF" + bytes(range(256)) * 100, "audio/wav")
PNG = ("a.png", b"\x89PNG\r\n\x1a\n--", "image/png")


@dataclass
class GatewayStack:
    """A gateway in front of one provider of each kind."""

    gateway: Gateway
    media: StrictMedia
    keeper: StrictBatches
    rerank: StrictRerank


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayStack]:
    with ExitStack() as stack:
        media = stack.enter_context(StrictMedia())
        keeper = stack.enter_context(StrictBatches())
        rerank = stack.enter_context(StrictRerank())
        rows = [
            row(f"my-{name}", f"openai/{name}", f"{media.url}/v1", media.key) for name in MODELS
        ]
        rows.append(row("my-gpt", "openai/gpt-4.1", f"{media.url}/v1", media.key))
        claude = "claude-sonnet-4-5"
        rows.append(row("my-claude", f"anthropic/{claude}", keeper.url, keeper.key))
        rows.append(row("my-rerank", "cohere/rerank-v3.5", rerank.url, rerank.key))
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), litellm_config(rows)).start()
        stack.callback(gateway.kill)
        yield GatewayStack(gateway, media, keeper, rerank)
        gateway.stop()


@pytest.fixture(scope="module")
def member_key(stack: GatewayStack) -> str:
    """Create a key that is not an admin's and return its secret."""
    return key_of(stack, "own")


@pytest.fixture(scope="module")
def billed_key(stack: GatewayStack) -> str:
    """Create a key for billing tests and return its secret."""
    return key_of(stack, "billed")


def key_of(stack: GatewayStack, name: str) -> str:
    environment = stack.gateway.environment()
    environment["DRAGOMAN_DATA_DIR"] = str(stack.gateway.data_dir)
    command = [sys.executable, "manage.py", "create_key", name]
    completed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    return stack.gateway.wait_for_key(completed.stdout.decode().strip())


def test_image_generation_is_billed(stack: GatewayStack, client: openai.OpenAI) -> None:
    raw = client.images.with_raw_response.generate(model="my-gpt-image-1", prompt="a cat", n=1)
    drawn = raw.parse()
    assert drawn.data is not None
    assert drawn.data[0].b64_json == PICTURE
    logged = stack.gateway.row(raw.headers["x-request-id"])
    assert (logged["endpoint"], logged["output_tokens"]) == ("/v1/images/generations", 1000)
    assert float(logged["cost_usd"]) == pytest.approx((60 * 5 + 40 * 10 + 1000 * 40) / 1e6)
    assert (
        PICTURE
        not in httpx.get(
            f"{stack.gateway.url}/api/requests/{raw.headers['x-request-id']}/bodies",
            headers={"authorization": f"Bearer {stack.gateway.key}"},
        ).text
    )


def test_partial_images_are_streamed(client: openai.OpenAI) -> None:
    stream = client.images.generate(
        model="my-gpt-image-1", prompt="a cat", stream=True, partial_images=1
    )
    kinds = [event.type for event in stream]
    assert kinds == ["image_generation.partial_image", "image_generation.completed"]


def test_images_are_edited(client: openai.OpenAI, stack: GatewayStack) -> None:
    drawn = client.images.edit(model="my-gpt-image-1", prompt="a hat", image=[PNG, PNG], mask=PNG)
    assert drawn.data is not None
    assert drawn.data[0].b64_json == PICTURE
    with pytest.warns(DeprecationWarning):
        varied = client.images.create_variation(model="my-dall-e-2", image=PNG)
    assert varied.data is not None
    assert PNG[1] in stack.media.requests[-1].raw


def test_speech_is_streamed(client: openai.OpenAI, stack: GatewayStack) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="my-tts-1", input="Hello there", voice="alloy"
    ) as response:
        sound = b"".join(response.iter_bytes())
        logged = stack.gateway.row(response.headers["x-request-id"])
    assert sound == SOUND
    assert response.headers["content-type"] == "audio/mpeg"
    assert float(logged["cost_usd"]) == pytest.approx(11 * 15 / 1e6)


@pytest.mark.parametrize("model", ["my-whisper-1", "my-gpt-4o-transcribe"])
def test_speech_is_transcribed(client: openai.OpenAI, stack: GatewayStack, model: str) -> None:
    raw = client.audio.transcriptions.with_raw_response.create(model=model, file=WAVE)
    assert raw.parse().text == "Hello."
    logged = stack.gateway.row(raw.headers["x-request-id"])
    by_sound, by_time = (14 * 6 + 4 * 10) / 1e6, 0.36 / 60
    assert float(logged["cost_usd"]) == pytest.approx(by_time if "whisper" in model else by_sound)
    with pytest.warns(DeprecationWarning):
        assert client.audio.translations.create(model=model, file=WAVE).text == "Hello."


def test_a_multipart_form_may_exceed_the_json_body_limit(
    client: openai.OpenAI, stack: GatewayStack
) -> None:
    large = bytes(40 * 1024 * 1024)
    response = client.files.create(file=("large.bin", large), purpose="user_data")
    assert response.bytes == len(large)
    assert client.files.content(response.id).read() == large
    client.files.delete(response.id)


def test_a_transcript_is_streamed_and_may_be_plain_text(client: openai.OpenAI) -> None:
    events: Any = client.audio.transcriptions.create(
        model="my-gpt-4o-transcribe", file=WAVE, stream=True
    )
    assert "".join(e.delta for e in events if e.type == "transcript.text.delta") == "Hello."
    text: Any = client.audio.transcriptions.create(
        model="my-whisper-1", file=WAVE, response_format="text"
    )
    assert text == "Hello.\n"


def test_a_text_is_moderated_with_and_without_a_model(client: openai.OpenAI) -> None:
    for more in ({"model": "my-omni-moderation-latest"}, {}):
        assert not client.moderations.create(input="hi", **more).results[0].flagged  # type: ignore[arg-type]


def test_a_batch_runs_from_input_file_to_output_file(
    client: openai.OpenAI, stack: GatewayStack
) -> None:
    lines = b'{"custom_id": "1"}\n'
    response = client.files.create(file=("in.jsonl", lines), purpose="batch")
    assert response.id.startswith("file-dgm")
    assert client.files.retrieve(response.id).filename == "in.jsonl"
    assert client.files.content(response.id).read() == lines
    assert response.id in [file.id for file in client.files.list()]
    batch = client.batches.create(
        input_file_id=response.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert batch.input_file_id == response.id
    second = client.batches.retrieve(batch.id)
    assert second.id == batch.id
    assert second.output_file_id is not None
    assert client.files.content(second.output_file_id).read() == lines
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert batch.id in [b.id for b in client.batches.list(limit=5)]
    assert client.files.delete(response.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(response.id)


def batch_rows(gateway: Gateway, batch: str) -> list[dict[str, Any]]:
    """Return the log rows with the cost of a batch, by its upstream id."""
    rows = gateway.api("/api/requests", limit=200)["items"]
    return [row for row in rows if row["endpoint"] == "batch" and row["upstream_id"] == batch]


@pytest.mark.parametrize("counts", [False, True], ids=["by its results", "by its status"])
def test_a_batch_is_billed_once_to_the_key_that_created_it(
    stack: GatewayStack, billed_key: str, *, counts: bool
) -> None:
    """Two requests: 100,000 tokens at $2 and 10,000 at $8 per million, at half the price."""
    stack.media.counts = counts
    (log_row,) = (
        provider["name"]
        for provider in stack.gateway.api("/api/providers")["items"]
        if provider["preset"] == "openai"
    )
    bodies = [{"model": model, "messages": []} for model in ("my-gpt", f"{log_row}/gpt-4.1")]
    requested_lines = [{"custom_id": str(n), "body": body} for n, body in enumerate(bodies)]
    lines = b"".join(json.dumps(provider).encode() + b"\n" for provider in requested_lines)
    spent = stack.gateway.api("/api/keys/billed/state")["budgets"][0]["spent"]
    base = f"{stack.gateway.url}/v1"
    with openai.OpenAI(base_url=base, api_key=billed_key, max_retries=0) as key_client:
        response = key_client.files.create(file=("in.jsonl", lines), purpose="batch")
        batch = key_client.batches.create(
            input_file_id=response.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        for _ in range(2):
            second = key_client.batches.retrieve(batch.id)
            assert (second.usage is not None) == counts
            assert second.output_file_id is not None
            results = key_client.files.content(second.output_file_id).read().splitlines()
    responses = [json.loads(line)["response"]["body"]["model"] for line in results]
    assert responses == ["gpt-4.1-2025-04-14"] * 2
    rows = batch_rows(stack.gateway, list(stack.media.batches)[-1])
    usd = Decimal(2 * (100_000 * 2 + 10_000 * 8)) / 1_000_000 / 2
    assert [(Decimal(row["cost_usd"]), row["model"], row["service_tier"]) for row in rows] == [
        (usd, "gpt-4.1", "batch")
    ]
    reported_spent = stack.gateway.api("/api/keys/billed/state")["budgets"][0]["spent"]
    assert Decimal(reported_spent) - Decimal(spent) == usd


def test_a_batch_spends_the_budget_of_its_key(stack: GatewayStack) -> None:
    admin = {"authorization": f"Bearer {stack.gateway.key}"}
    line = {"custom_id": "1", "body": {"model": "my-gpt", "messages": []}}
    base, secret = f"{stack.gateway.url}/v1", key_of(stack, "frugal")
    with openai.OpenAI(base_url=base, api_key=secret, max_retries=0) as key_client:
        response = key_client.files.create(
            file=("in.jsonl", json.dumps(line).encode()), purpose="batch"
        )
        batch = key_client.batches.create(
            input_file_id=response.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        output = key_client.batches.retrieve(batch.id).output_file_id
        assert output is not None
        key_client.files.content(output).read()
        url, budget = f"{stack.gateway.url}/api/keys/frugal", {"budget": {"total_usd": "0.05"}}
        httpx.patch(url, json=budget, headers=admin, timeout=10).raise_for_status()
        send_until_refused(key_client)


def send_until_refused(client: openai.OpenAI) -> None:
    """Send requests until the budget refuses one; counters are updated from the database."""

    def refused() -> bool:
        try:
            client.moderations.create(input="hi")
        except openai.RateLimitError as error:
            return error.code == "insufficient_quota"
        return False

    wait_until(refused)


def test_an_unknown_model_is_reported_with_its_line_number(client: openai.OpenAI) -> None:
    lines = b'{"body": {"model": "my-gpt"}}\n{"body": {"model": "my-gtp"}}\n'
    with pytest.raises(openai.BadRequestError, match="line 2 of the file: body.model: `my-gtp`"):
        client.files.create(file=("in.jsonl", lines), purpose="batch")


def test_a_key_sees_its_own_files_only(
    stack: GatewayStack, client: openai.OpenAI, member_key: str
) -> None:
    theirs = client.files.create(file=("theirs.jsonl", b"{}"), purpose="batch")
    base = f"{stack.gateway.url}/v1"
    with openai.OpenAI(base_url=base, api_key=member_key, max_retries=0) as key_client:
        own_file = key_client.files.create(file=("mine.jsonl", b"{}"), purpose="batch")
        assert [file.filename for file in key_client.files.list()] == ["mine.jsonl"]
        with pytest.raises(openai.NotFoundError, match="another API key"):
            key_client.files.content(theirs.id)
        batch = key_client.batches.create(
            input_file_id=own_file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        assert [b.id for b in key_client.batches.list()] == [batch.id]
        assert len(list(key_client.files.list())) == 2  # and what the batch wrote


FOREIGN_ID_REQUESTS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "read a file": ("GET", "/files/{file}", None),
    "delete a file": ("DELETE", "/files/{file}", None),
    "read a batch": ("GET", "/batches/{batch}", None),
    "cancel a batch": ("POST", "/batches/{batch}/cancel", {}),
    "use a file for a batch": (
        "POST",
        "/batches",
        {
            "input_file_id": "{file}",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        },
    ),
}


@pytest.mark.parametrize("request_name", FOREIGN_ID_REQUESTS)
def test_ids_of_another_key_are_not_found(
    stack: GatewayStack, client: openai.OpenAI, member_key: str, request_name: str
) -> None:
    file = client.files.create(file=("theirs.jsonl", b"{}"), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    method, path, content = FOREIGN_ID_REQUESTS[request_name]
    ids = {"file": file.id, "batch": batch.id}
    if content is not None:
        content = {name: value.format(**ids) for name, value in content.items()}
    response = httpx.request(
        method,
        f"{stack.gateway.url}/v1{path.format(**ids)}",
        headers={"authorization": f"Bearer {member_key}"},
        json=content,
    )
    assert response.status_code == 404


def test_a_provider_without_image_generation_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="which does not support images/generations"):
        client.images.generate(model="my-claude", prompt="a cat")


def test_an_upstream_error_raises_the_exception_of_the_sdk(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="vivid"):
        client.images.generate(model="my-gpt-image-1", prompt="a cat", style="wild")  # type: ignore[call-overload]


def test_an_anthropic_batch_is_created_and_read(stack: GatewayStack) -> None:
    with anthropic.Anthropic(
        base_url=stack.gateway.url, api_key=stack.gateway.key, max_retries=0
    ) as client:
        params: Any = {"model": "my-claude", "max_tokens": 5}
        params |= {"messages": [{"role": "user", "content": "hi"}]}
        response = client.messages.batches.create(requests=[{"custom_id": "1", "params": params}])
        assert response.id.startswith("msgbatch_dgm")
        upstream_body = stack.keeper.requests[-1].body
        assert upstream_body["requests"][0]["params"]["model"] == "claude-sonnet-4-5"
        results = client.messages.batches.results(response.id)
        assert [line.custom_id for line in results] == ["1"]
        results.close()
        assert client.messages.batches.cancel(response.id).processing_status == "canceling"
        assert response.id in [batch.id for batch in client.messages.batches.list()]
        client.messages.batches.delete(response.id)
        with pytest.raises(anthropic.NotFoundError):
            client.messages.batches.retrieve(response.id)


def test_an_anthropic_file_is_uploaded_read_and_deleted(stack: GatewayStack) -> None:
    with anthropic.Anthropic(
        base_url=stack.gateway.url, api_key=stack.gateway.key, max_retries=0
    ) as client:
        upload = client.beta.files.upload(file=("a.txt", io.BytesIO(b"words"), "text/plain"))
        assert upload.id.startswith("file_dgm")
        assert client.beta.files.download(upload.id).read() == b"words"
        assert client.beta.files.retrieve_metadata(upload.id).filename == "a.txt"
        assert upload.id in [file.id for file in client.beta.files.list()]
        assert client.beta.files.delete(upload.id).id == upload.id


def test_documents_are_reranked_with_the_cohere_sdk(stack: GatewayStack) -> None:
    with httpx.Client() as pool:
        _reranked(stack, pool)


def _reranked(stack: GatewayStack, pool: httpx.Client) -> None:
    key, base = stack.gateway.key, stack.gateway.url
    client = cohere.ClientV2(api_key=key, base_url=base, max_retries=0, httpx_client=pool)
    response = client.rerank(model="my-rerank", query="q", documents=["a", "ccc", "bb"], top_n=2)
    assert [result.index for result in response.results] == [1, 2]
    with pytest.raises(cohere.errors.BadRequestError, match="list of documents"):
        client.rerank(model="my-rerank", query="q", documents=[])
    with pytest.raises(cohere.errors.NotFoundError, match="does not exist"):
        client.rerank(model="nobody", query="q", documents=["a"])
