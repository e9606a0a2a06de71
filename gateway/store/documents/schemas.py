"""The schemas of documents, and what their writers share."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

import msgspec
from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.operations import BaseDatabaseOperations

from gateway.models import Guardrail, RegistryRow, RowSource, Team
from gateway.models.limits import BUDGETS, LIMITS
from gateway.prompts.prompt import Message, Parameters
from gateway.providers.auth import VARIABLE_PREFIX
from gateway.routing.limits import Budget, Limits
from gateway.routing.route_spec import RouteSpec as RouteSpec

HIDDEN = "***"

Schema = TypeVar("Schema", bound=msgspec.Struct)


class Refused(ValueError):
    """An invalid document: `field` is what is wrong, `reason` says why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class OwnedElsewhere(Refused):
    """The row belongs to another owner, such as a configuration file or the environment."""


class ProviderDoc(msgspec.Struct, kw_only=True):
    """A provider. Empty and null values use the preset's default.

    Attributes:
        credential: `os.environ/NAME` or `$NAME` reads that variable; any other value is stored
            encrypted and returned as `***`. Empty means no credential.
        headers, query: values `os.environ/NAME` read a variable; others are returned as `***`.
        proxy: URL of an HTTP, HTTPS or SOCKS5 proxy, or `direct` for none; empty uses that of
            the environment. Its password is returned as `***`.
        ca_certificates: PEM text of the authorities to trust instead of the usual ones.
        client_certificate, client_key: PEM text for mutual TLS. The key is returned as `***`.
        ssl_verify: whether the provider's certificate is checked.

    The proxy, certificates and key can also be `os.environ/NAME`.
    """

    name: str
    preset: str = "custom"
    dialect: str = ""
    base_url: str = ""
    auth: str = ""
    credential: str = ""
    headers: dict[str, str] = {}
    query: dict[str, str] | None = None
    paths: dict[str, str] | None = None
    edits: list[dict[str, Any]] = []
    timeouts: dict[str, float] = {}
    passthrough: bool | None = None
    drop_params: bool = True
    client_credential: bool = False
    proxy: str = ""
    ca_certificates: str = ""
    client_certificate: str = ""
    client_key: str = ""
    ssl_verify: bool = True
    limits: Limits = Limits()
    budget: Budget = Budget()
    markup: Decimal | None = None
    enabled: bool = True


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens; null is the list price, where there is one.

    Attributes:
        above: prices of long prompts, such as `{"tokens": 200000, "input": "6", ...}`:
            they apply to all tokens of requests with more prompt tokens than that.
        tiers: by service tier (`flex`, `priority`, `batch`), prices or a factor such as
            `"0.5"`.
    """

    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    above: list[dict[str, Any]] | None = None
    tiers: dict[str, Any] = {}


class ModelDoc(msgspec.Struct, kw_only=True):
    """A model: `name` is `provider/model`."""

    name: str
    traits: dict[str, Any] = {}
    edits: list[dict[str, Any]] = []
    prices: Prices = Prices()
    enabled: bool = True


class RouteDoc(RouteSpec, frozen=True, kw_only=True):
    """A route with its limits: in total (`limits`) and per key (`key_limits`)."""

    limits: Limits = Limits()
    key_limits: Limits = Limits()


class GuardrailDoc(msgspec.Struct, kw_only=True):
    """A guardrail: a check of requests and responses, attached to routes and keys by name.

    Attributes:
        kind: `patterns`, `moderation`, `presidio`, `litellm` or `portkey`.
        settings: depends on the kind: `pii` and `patterns`; `provider`, `model`, `categories` and
            `threshold`; `url`, `language`, `entities` and `min_score`; `url` and `parameters`;
            `url` and `metadata`.
        credential: sent to the service; `os.environ/NAME` reads that variable, any other value is
            stored encrypted and returned as `***`.
        action: `block`, `mask` or `log`.
        everywhere: whether it applies to every request, attached or not.
        on_error: `block` or `allow` requests if the check itself fails.
        position: guardrails run in this order, then by name.
    """

    name: str
    kind: str = "patterns"
    settings: dict[str, Any] = {}
    credential: str = ""
    action: str = "block"
    check_requests: bool = True
    check_responses: bool = False
    everywhere: bool = False
    on_error: str = "block"
    timeout_s: float = 3.0
    position: int = 0
    enabled: bool = True


class PromptDoc(msgspec.Struct, kw_only=True):
    """A stored prompt with the content of its active version.

    A write with other messages, parameters or another model stores a new version and activates it.

    Attributes:
        messages: roles are `system`, `user` and `assistant`; contents can use `{{variables}}`.
        parameters: defaults for requests that do not set them.
        model: used by requests that name none.
    """

    name: str
    description: str = ""
    messages: list[Message] = []
    parameters: Parameters = Parameters()
    model: str = ""


class TeamDoc(msgspec.Struct, kw_only=True):
    """A team; with a `parent`, a project of that team, whose limits and budget also apply.

    `guardrails` check the requests of its keys, and of those of its projects.
    """

    name: str
    parent: str = ""
    guardrails: list[str] = []
    limits: Limits = Limits()
    budget: Budget = Budget()
    markup: Decimal | None = None


class KeyDoc(msgspec.Struct, kw_only=True):
    """An API key without its secret. `routes` can contain patterns; empty allows all routes.

    `prefix` is the public part of the secret (read-only); names need not be unique.
    `user` is the owner of the key. `team` can be a project. `end_user_limits` and
    `end_user_budget` are those of each end user that its requests name.
    """

    name: str
    prefix: str = ""
    routes: list[str] = []
    tags: list[str] = []
    guardrails: list[str] = []
    end_user_limits: Limits = Limits()
    end_user_budget: Budget = Budget()
    team: str = ""
    user: str = ""
    expires_at: dt.datetime | None = None
    log_bodies: bool | None = None
    limits: Limits = Limits()
    budget: Budget = Budget()
    markup: Decimal | None = None


class Owner(NamedTuple):
    """The file that rows are written for; `take` permits taking over rows of other owners."""

    file: str
    ref: str = ""
    take: bool = False

    def manages(self, row: RegistryRow) -> bool:
        """Whether the row belongs to this file."""
        return row.source == RowSource.CODE and row.source_ref.rpartition(":")[0] == self.file


_owner: ContextVar[Owner | None] = ContextVar("owner", default=None)


@contextmanager
def assign_owner(owner: Owner) -> Iterator[None]:
    """Assign all rows that are written within the context to this owner."""
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


def claim(row: RegistryRow) -> None:
    """Set the source of a row to the current owner.

    Raises OwnedElsewhere if another owner manages it.
    """
    owner = _owner.get()
    if owner is None:
        if row.pk and row.read_only:
            raise OwnedElsewhere(
                "", f"{row} is managed by {row.managed_by}; change it there, or adopt it"
            )
        # An import finds its rows by `source_ref`.
        row.source_ref = row.source_ref if row.source == RowSource.DATABASE else ""
        row.source = RowSource.DATABASE
        return
    # Any file can claim rows that `up` added for a credential in the environment.
    is_detected = row.source == RowSource.ENVIRONMENT
    if row.pk and not owner.manages(row) and not is_detected and not owner.take:
        managed_by = row.managed_by or "the console or the API"
        raise OwnedElsewhere(
            "", f"{row} is managed by {managed_by}; `--take` transfers it to this file"
        )
    row.source, row.source_ref = RowSource.CODE, owner.ref


def convert_document(document: Mapping[str, Any], schema: type[Schema]) -> Schema:
    """The document as a struct. Raises Refused for an unknown field or an invalid value."""
    try:
        values = msgspec.convert(document, schema, strict=True)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise Refused(path.rstrip("`").lstrip("."), reason) from None
    _refuse_unknown(document, as_json(values), "")
    return values


def _refuse_unknown(document: Any, converted: Any, path: str) -> None:
    """Raise Refused for unknown fields at any depth, and for strings with NUL."""
    if isinstance(document, str) and "\0" in document:
        raise Refused(path, "must not contain NUL characters")
    if isinstance(document, Mapping) and isinstance(converted, Mapping):
        for name, value in document.items():
            inner = f"{path}.{name}" if path else name
            if name not in converted:
                raise Refused(inner, "there is no such field")
            if "\0" in name:
                raise Refused(path, "must not contain NUL characters")
            _refuse_unknown(value, converted[name], inner)
    elif isinstance(document, list) and isinstance(converted, list):
        for number, (value, converted_value) in enumerate(zip(document, converted, strict=False)):
            _refuse_unknown(value, converted_value, f"{path}[{number}]")


def as_json(value: Any) -> Any:
    """Plain JSON values; decimals become strings, so that no digit is lost."""
    return msgspec.json.decode(msgspec.json.encode(value))


def merge_patch(document: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A document with a JSON merge patch (RFC 7396) applied: null resets to the default."""
    merged_document = dict(document)
    for name, value in change.items():
        if value is None:
            merged_document.pop(name, None)
        elif isinstance(value, Mapping):
            inner = merged_document.get(name)
            merged_document[name] = merge_patch(inner if isinstance(inner, Mapping) else {}, value)
        else:
            merged_document[name] = value
    return merged_document


def check_guardrails(names: Iterable[str]) -> None:
    """Raise Refused for the name of a guardrail that does not exist."""
    known_names = set(Guardrail.objects.values_list("name", flat=True))
    for name in names:
        if name not in known_names:
            raise Refused("guardrails", f"there is no guardrail `{name[:80]}`")


def find_team(name: str, field: str, hint: str = "") -> Team | None:
    """The team of this name; None without a name. Raises Refused."""
    if not name:
        return None
    team = Team.objects.filter(name=name).first() if "\0" not in name else None
    if team is None:
        raise Refused(field, f"there is no team `{name[:200]}`{hint}")
    return team


def check_row(row: models.Model) -> None:
    """Raise Refused if the row does not pass model validation."""
    try:
        row.full_clean(validate_constraints=True)
    except ValidationError as error:
        for column, messages in error.message_dict.items():
            field = "" if column == "__all__" else _document_field(column)
            raise Refused(field, " ".join(messages)) from None


def check_integers(values: msgspec.Struct, row_class: type[models.Model], path: str = "") -> None:
    """Raise Refused for an integer that no column of PostgreSQL can store, on SQLite too.

    `path` precedes the name of the field.
    """
    for column in row_class._meta.concrete_fields:
        value = getattr(values, column.name, None)
        allowed = BaseDatabaseOperations.integer_field_ranges.get(column.get_internal_type())
        if isinstance(value, int) and allowed and not allowed[0] <= value <= allowed[1]:
            reason = f"must be from {allowed[0]} to {allowed[1]}"
            raise Refused(f"{path}{column.name}", reason)


def _document_field(column: str) -> str:
    """The document field of a column."""
    if column in LIMITS:
        return f"limits.{LIMITS[column]}"
    if column in BUDGETS:
        return f"budget.{BUDGETS[column]}"
    return column.replace("price_", "prices.", 1) if column.startswith("price_") else column


def hide_value(value: str) -> str:
    """A secret hidden, except for a reference to a variable or an empty text."""
    return value if not value or value.startswith(VARIABLE_PREFIX) else HIDDEN


def hide_values(pairs: Mapping[str, str]) -> dict[str, str]:
    """The pairs with hidden values, except for references to variables."""
    return {
        name: value if isinstance(value, str) and value.startswith(VARIABLE_PREFIX) else HIDDEN
        for name, value in pairs.items()
    }


def restore_hidden_values(
    pairs: Mapping[str, str],
    stored_pairs: Mapping[str, str],
    field: str,
    *,
    new_recipient: bool = False,
) -> dict[str, str]:
    """The pairs, with hidden values replaced by the stored ones.

    `new_recipient` means that the provider's host changed: it does not get stored values.

    Raises:
        Refused: no value is stored, or it was stored for another host.
    """
    restored_pairs = {}
    for name, value in pairs.items():
        if value == HIDDEN and name not in stored_pairs:
            raise Refused(
                f"{field}.{name}", f"{HIDDEN} stands for the stored value, but no value is stored"
            )
        if value == HIDDEN and new_recipient:
            raise Refused(f"{field}.{name}", "the server has changed: enter the value again")
        restored_pairs[name] = stored_pairs[name] if value == HIDDEN else value
    return restored_pairs
