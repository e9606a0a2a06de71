"""Keys in the paths of requests are masked in the log."""

from __future__ import annotations

import pytest
from django.test import Client


@pytest.mark.django_db
def test_a_key_in_a_path_is_masked_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """`POST /key/KEY/regenerate` is LiteLLM's; Django logs the path of each error."""
    key = "sk-0123456789abcdefghij"
    for path in (f"/key/{key}/regenerate", f"/nothing/{key}"):
        assert Client().post(path).status_code == 404
    assert "/regenerate" in caplog.text
    assert key not in caplog.text
