"""Fixtures of the end-to-end tests: one gateway for all tests of a run, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import openai
import pytest

from tests.e2e.stack import Gateway, GatewayStack, chaos_config, litellm_config, strict_config
from tests.fakes import ChaosUpstream, StrictAnthropic, StrictDeepSeek, StrictOpenAI


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayStack]:
    """A live gateway in front of strict and faulty providers."""
    with ExitStack() as exit_stack:
        openai_server = exit_stack.enter_context(StrictOpenAI())
        anthropic = exit_stack.enter_context(StrictAnthropic())
        deepseek = exit_stack.enter_context(StrictDeepSeek())
        chaos = exit_stack.enter_context(ChaosUpstream())
        rows = strict_config(openai_server, anthropic, deepseek) + chaos_config(chaos)
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), litellm_config(rows)).start()
        exit_stack.callback(gateway.kill)
        yield GatewayStack(gateway, openai_server, anthropic, deepseek, chaos)
        gateway.stop()


@pytest.fixture
def client(stack: GatewayStack) -> Iterator[openai.OpenAI]:
    """The SDK of OpenAI; tests of another SDK have a fixture of their own."""
    base = f"{stack.gateway.url}/v1"
    with openai.OpenAI(base_url=base, api_key=stack.gateway.key, max_retries=0) as api_client:
        yield api_client
