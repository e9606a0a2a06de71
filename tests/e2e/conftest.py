"""One gateway for all tests of a run, as its start is what costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.rig import Gateway, Rig, chaos_config, configured, strict_config
from tests.fakes import ChaosUpstream, StrictAnthropic, StrictDeepSeek, StrictOpenAI


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A live gateway in front of strict and of broken providers."""
    with ExitStack() as stack:
        openai = stack.enter_context(StrictOpenAI())
        anthropic = stack.enter_context(StrictAnthropic())
        deepseek = stack.enter_context(StrictDeepSeek())
        chaos = stack.enter_context(ChaosUpstream())
        rows = strict_config(openai, anthropic, deepseek) + chaos_config(chaos)
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), configured(rows)).start()
        stack.callback(gateway.kill)
        yield Rig(gateway, openai, anthropic, deepseek, chaos)
        gateway.stop()
