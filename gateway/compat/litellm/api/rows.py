"""Writes and deletes of keys and teams, with errors in LiteLLM's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.compat.litellm.api.failures import RejectedRequest
from gateway.models import ApiKey, Team
from gateway.store.documents import Kind, OwnedElsewhere, Refused


def write_row(
    kind: Kind, document: dict[str, Any], row: ApiKey | Team, params: Mapping[str, str]
) -> None:
    """Write a row; `params` maps the document's fields to LiteLLM's. Raises RejectedRequest."""
    try:
        kind.write(document, row)
    except OwnedElsewhere:
        raise
    except Refused as error:
        param = params.get(error.field, error.field)
        reason = f"{param}: {error.reason}" if param else error.reason
        raise RejectedRequest(400, reason, param) from None


def delete_rows(rows: Iterable[ApiKey | Team]) -> None:
    """Delete rows. Raises OwnedElsewhere for one that a file owns."""
    for row in rows:
        if row.read_only:
            raise OwnedElsewhere("", f"{row} is managed by {row.managed_by}; remove it there")
        row.delete()
