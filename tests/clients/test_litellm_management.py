"""LiteLLM's proxy client on a live gateway: `uv run pytest -m frameworks`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.clients.environments import Unavailable, python_with
from tests.clients.table import LITELLM
from tests.e2e.litellm_gateway import running_gateway, upstreams
from tests.fakes.openai import KEY

pytestmark = [pytest.mark.e2e, pytest.mark.frameworks, pytest.mark.timeout(1500)]

SCRIPT = Path(__file__).parent / "scripts" / "manage_litellm.py"
FILE = """
    model_list:
      - model_name: some
        litellm_params: {{model: openai/gpt-4o, api_base: {one}/v1, api_key: {key}}}
      - model_name: other
        litellm_params: {{model: openai/gpt-4o-mini, api_base: {one}/v1, api_key: {key}}}
    general_settings:
      master_key: sk-1234
"""


def test_litellms_client_manages_keys_and_reads_models(tmp_path: Path) -> None:
    try:
        python = python_with(LITELLM)
    except Unavailable as reason:
        pytest.skip(str(reason))
    with (
        upstreams("one") as servers,
        running_gateway(tmp_path, FILE.format(one=servers["one"].url, key=KEY)) as gateway,
    ):
        ran = subprocess.run(
            [str(python), str(SCRIPT), gateway.url, gateway.key],
            env={**gateway.environment(), "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert json.loads(ran.stdout.splitlines()[-1]) == {
        "models": ["demo", "other", "some"],
        "info": ["demo", "other", "some"],
        "groups": ["demo", "other", "some"],
        "made": ["expires", "key", "key_alias", "models", "token"],
        "own": ["some"],
        "listed": ["ci"],
        "deleted": {"deleted_keys": ["ci"]},
        "refused": 400,
        "unknown": "UnauthorizedError",
    }
