"""Nodes that start at the same time on an empty PostgreSQL database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.nodes import Node, new_database
from tests.e2e.stack import litellm_config, strict_config
from tests.fakes import StrictAnthropic, StrictDeepSeek, StrictOpenAI

pytestmark = [pytest.mark.e2e, pytest.mark.postgres]


def test_nodes_that_start_together_prepare_the_database_one_after_the_other(
    tmp_path: Path,
) -> None:
    with (
        StrictOpenAI() as openai,
        StrictAnthropic() as anthropic,
        StrictDeepSeek() as deepseek,
        new_database() as database,
        ThreadPoolExecutor() as pool,
    ):
        config = litellm_config(strict_config(openai, anthropic, deepseek))
        nodes = [Node(tmp_path / name, config, DATABASE_URL=database) for name in ("a", "b", "c")]
        try:
            list(pool.map(Node.start, nodes))
            assert [node.status for node in nodes] == [None, None, None]
        finally:
            for node in nodes:
                node.kill()
