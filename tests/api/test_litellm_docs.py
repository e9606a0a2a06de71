"""docs/litellm.md documents every endpoint of LiteLLM and every field of a key."""

from __future__ import annotations

from pathlib import Path

from gateway.compat.litellm.api.app import openapi_schema
from gateway.compat.litellm.api.fields import ACCEPTED_VALUES, REFUSED_KEY_FIELDS, SUPPORTED_FIELDS
from tests.each import each

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "litellm.md").read_text(encoding="utf-8")


@each("path", sorted(openapi_schema()["paths"]))
def test_every_endpoint_is_documented(path: str) -> None:
    assert f"{path}`" in TEXT


@each("field", sorted({*SUPPORTED_FIELDS, *REFUSED_KEY_FIELDS, *ACCEPTED_VALUES}))
def test_every_field_of_a_key_is_documented(field: str) -> None:
    assert f"`{field}`" in TEXT


@each("field", sorted(REFUSED_KEY_FIELDS))
def test_the_reason_for_a_refused_field_is_documented(field: str) -> None:
    row = next(line for line in TEXT.splitlines() if f"`{field}`" in line and "| no: " in line)
    assert REFUSED_KEY_FIELDS[field] in row
