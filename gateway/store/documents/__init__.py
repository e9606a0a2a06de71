"""The registry as documents, which the management API and configuration files read and write.

A document is plain JSON under a name that is portable between databases. It contains no secret:
stored credentials and header values read as `***`, and writing `***` leaves the stored value
unchanged. A write reports the first invalid field, and is all or nothing.

    KINDS["providers"].read(row)              -> the document
    KINDS["providers"].write(document, row)   -> the row, created or changed
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.db.models import QuerySet

from gateway.models import ApiKey, Guardrail, Model, Prompt, Provider, Route, Team
from gateway.store.documents.guardrail import read_guardrail, write_guardrail
from gateway.store.documents.key import find_key, read_key, write_key
from gateway.store.documents.model import find_model, read_model, write_model
from gateway.store.documents.prompt import read_prompt, write_prompt
from gateway.store.documents.provider import read_provider, write_provider
from gateway.store.documents.route import read_route, write_route
from gateway.store.documents.schemas import (
    HIDDEN,
    GuardrailDoc,
    KeyDoc,
    ModelDoc,
    OwnedElsewhere,
    Owner,
    PromptDoc,
    ProviderDoc,
    Refused,
    RouteDoc,
    TeamDoc,
    as_json,
    assign_owner,
    merge_patch,
)
from gateway.store.documents.team import read_team, write_team

Document = dict[str, Any]


class Kind(NamedTuple):
    """One kind of row, and its conversions. `find` returns the row of a name, or None.

    `write` creates a row if given None. It raises Refused.
    """

    name: str
    label: str
    schema: type[Any]
    rows: Callable[[], QuerySet[Any]]
    find: Callable[[str], Any | None]
    read: Callable[[Any], Document]
    write: Callable[[Document, Any | None], Any]


def _by_name(table: Any) -> Callable[[str], Any | None]:
    return lambda name: None if "\0" in name else table.objects.filter(name=name).first()


# In the order in which a configuration must be written: dependencies first.
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "providers",
            "provider",
            ProviderDoc,
            Provider.objects.all,
            _by_name(Provider),
            read_provider,
            write_provider,
        ),
        Kind(
            "models",
            "model",
            ModelDoc,
            lambda: Model.objects.select_related("provider"),
            find_model,
            read_model,
            write_model,
        ),
        Kind(
            "guardrails",
            "guardrail",
            GuardrailDoc,
            Guardrail.objects.all,
            _by_name(Guardrail),
            read_guardrail,
            write_guardrail,
        ),
        Kind(
            "routes",
            "route",
            RouteDoc,
            Route.objects.all,
            _by_name(Route),
            read_route,
            write_route,
        ),
        Kind(
            "prompts",
            "prompt",
            PromptDoc,
            Prompt.objects.all,
            _by_name(Prompt),
            read_prompt,
            write_prompt,
        ),
        Kind(
            "teams",
            "team",
            TeamDoc,
            lambda: Team.objects.select_related("parent"),
            _by_name(Team),
            read_team,
            write_team,
        ),
        Kind(
            "keys",
            "API key",
            KeyDoc,
            lambda: ApiKey.objects.select_related("team"),
            find_key,
            read_key,
            write_key,
        ),
    )
}

__all__ = [
    "HIDDEN",
    "KINDS",
    "Document",
    "Kind",
    "OwnedElsewhere",
    "Owner",
    "Refused",
    "as_json",
    "assign_owner",
    "merge_patch",
]
