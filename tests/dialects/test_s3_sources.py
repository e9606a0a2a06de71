"""Images and documents in Amazon S3 of a Converse request, for other provider APIs."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.dialects import DIALECTS
from gateway.providers.capabilities import traits_for

SOURCE = {"s3Location": {"uri": "s3://bucket/a"}}
IMAGE = {"image": {"format": "png", "source": SOURCE}}
DOCUMENT = {"document": {"format": "pdf", "name": "a", "source": SOURCE}}
TARGETS = [
    ("openai_chat", "openai", "gpt-4.1", IMAGE),
    ("openai_responses", "openai", "gpt-4.1", IMAGE),
    ("openai_responses", "openai", "gpt-4.1", DOCUMENT),
    ("openai_chat", "openrouter", "openai/gpt-4.1", DOCUMENT),
    ("cohere", "cohere", "command-a-vision-07-2025", IMAGE),
    ("anthropic_messages", "anthropic", "claude-sonnet-5", IMAGE),
    ("anthropic_messages", "anthropic", "claude-sonnet-5", DOCUMENT),
]


@pytest.mark.parametrize(("dialect", "preset", "model", "part"), TARGETS)
def test_an_address_that_the_provider_cannot_read_is_an_error(
    dialect: str, preset: str, model: str, part: dict[str, Any]
) -> None:
    messages = [{"role": "user", "content": [{"text": "see"}, part]}]
    request = DIALECTS["bedrock_converse"].client.parse_request(
        {"model": "m", "stream": False, "messages": messages}, {}
    )
    with pytest.raises(GatewayError) as failure:
        DIALECTS[dialect].provider.render_request(request, traits_for(preset, model))
    suffix = ".document" if part is DOCUMENT else ""
    assert failure.value.error.param == f"messages[0].content[1]{suffix}"
    assert "https://" in failure.value.error.message


def test_the_owner_of_a_bucket_is_reported_as_dropped() -> None:
    source = {"s3Location": {"uri": "s3://bucket/a.png", "bucketOwner": "123456789012"}}
    image = {"image": {"format": "png", "source": source}}
    messages = [{"role": "user", "content": [{"text": "see"}, image]}]
    request = DIALECTS["bedrock_converse"].client.parse_request(
        {"model": "m", "stream": False, "messages": messages}, {}
    )
    traits = traits_for("bedrock", "amazon.nova-pro-v1:0")
    rendered_request = DIALECTS["bedrock_converse"].provider.render_request(request, traits)
    assert [(row.path, row.action) for row in rendered_request.report] == [
        ("messages[0].content[1].image.source.s3Location.bucketOwner", "dropped")
    ]
