"""Fixture of one gateway for all end-to-end tests of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.stack import Gateway, GatewayStack, chaos_config, litellm_config, strict_config
from tests.fakes import ChaosUpstream, StrictAnthropic, StrictDeepSeek, StrictOpenAI


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayStack]:
    """A live gateway in front of strict and faulty providers."""
    with ExitStack() as exit_stack:
        openai = exit_stack.enter_context(StrictOpenAI())
        anthropic = exit_stack.enter_context(StrictAnthropic())
        deepseek = exit_stack.enter_context(StrictDeepSeek())
        chaos = exit_stack.enter_context(ChaosUpstream())
        rows = strict_config(openai, anthropic, deepseek) + chaos_config(chaos)
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), litellm_config(rows)).start()
        exit_stack.callback(gateway.kill)
        yield GatewayStack(gateway, openai, anthropic, deepseek, chaos)
        gateway.stop()
