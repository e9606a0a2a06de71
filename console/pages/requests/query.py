"""Parses the text of the search field: `status:!499 model:gpt since:1h sky`."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import urlencode

import msgspec
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from console.list_filters import RANGE_SECONDS
from gateway.routing.circuit_breaker import HEALTH_CHECK_KEY

# Name of a filter -> column of the log.
COLUMNS = {
    "key": "key_prefix",
    "model": "model",
    "provider": "provider",
    "route": "route",
    "requested": "requested_model",
    "status": "status",
    "outcome": "outcome",
    "error": "error_kind",
    "session": "session",
    "user": "end_user",
    "dialect": "client_dialect",
    "tag": "tags",
    "is": "key_prefix",
    "score": "scores",
    "has": "scores",
}
# Filters that compare a number (`cost:>0.01`) -> column of the log.
AMOUNTS = {
    "cost": "cost_usd",
    "latency": "duration_ms",
    "ttft": "first_token_ms",
    "tokens": "tokens",
    "status": "status",
    "score": "scores",
}
# Orders of the list besides the newest first -> column of AMOUNTS, largest value first.
SORTS = ("cost", "latency", "ttft", "tokens")
FILTERS = (*dict.fromkeys([*COLUMNS, *AMOUNTS]), "id", "since", "until")
# Internal requests, which have this name instead of a key.
TRAFFIC_KINDS = frozenset({HEALTH_CHECK_KEY, "shadow", "playground", "evaluation", "replay"})
# Values of `has:`.
CONTENTS = frozenset({"score", "comment"})
# Other values of `is:`, short for a filter on the outcome.
_OUTCOMES = {"ok": False, "error": True}
MAX_QUERY = 1000

_SECONDS_BY_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_TOKEN = re.compile(
    r'(?:([a-z_]+):(?!//)|(cost|latency|ttft|tokens|status|score)(?=[<>]))(!?(?:[<>]=?)?)("[^"]*"|\S*)|"[^"]*"|\S+'
)
_NUMBER = re.compile(r"\$?(\d{1,15}(?:\.\d{1,10})?)(ms|s|m|k|M)?")
_FACTORS = {
    "latency": {"": 1000, "ms": 1, "s": 1000, "m": 60_000},
    "ttft": {"": 1000, "ms": 1, "s": 1000, "m": 60_000},
    "tokens": {"": 1, "k": 1000, "M": 1_000_000, "m": 1_000_000},
    "cost": {"": 1},
    "status": {"": 1},
    "score": {"": 1},
}
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_ID = re.compile(r"req_[A-Za-z0-9._\-]{3,60}")


class Term(msgspec.Struct, frozen=True):
    """One filter: its name, its values (any of them), and whether it is negated with `!`.

    With an `op` (`>`, `>=`, `<`, `<=`) the value is a number in the unit of the column.
    """

    name: str
    values: tuple[str, ...]
    negated: bool = False
    op: str = ""

    @property
    def amount(self) -> Decimal:
        """The number to compare with, in the unit of the column."""
        amount = amount_of(self.name, self.values[0])
        assert amount is not None
        return amount

    def __str__(self) -> str:
        joined_values = ",".join(self.values)
        value = f'"{joined_values}"' if " " in joined_values else joined_values
        return f"{self.name}:{'!' if self.negated else ''}{self.op}{value}"


def amount_of(name: str, text: str) -> Decimal | None:
    """Parse the number of a filter of AMOUNTS; None if it is invalid."""
    match = _NUMBER.fullmatch(text)
    factor = _FACTORS[name].get(match[2] or "") if match else None
    return None if match is None or factor is None else Decimal(match[1]) * factor


class Search(msgspec.Struct, frozen=True):
    """A parsed search; `unrecognized` lists invalid filters.

    `text_refused` is set if a user without permission to read bodies entered text: it is not
    searched, as the matching rows would reveal the content of bodies. `key_ids` limits the
    search to requests of these keys, whatever else it asks for.
    """

    terms: tuple[Term, ...] = ()
    text: str = ""
    id: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    unrecognized: tuple[str, ...] = ()
    text_refused: bool = False
    key_ids: tuple[int, ...] | None = None

    @property
    def empty(self) -> bool:
        """Whether the search has no filter except a time range."""
        return not (self.terms or self.text or self.id)

    @property
    def includes_checks(self) -> bool:
        """Whether the search includes health checks, which are excluded by default."""
        return any(
            COLUMNS.get(term.name) == "key_prefix"
            and HEALTH_CHECK_KEY in term.values
            and not term.negated
            for term in self.terms
        )


def parse(text: str, span: str, now: dt.datetime) -> Search:
    """Parse a text; `span` is the value of the range menu.

    A time in the text overrides the menu; an id is searched in the whole log.
    """
    terms: list[Term] = []
    text_terms: list[str] = []
    unrecognized_tokens: list[str] = []
    id_terms: dict[str, str] = {}
    times: dict[str, dt.datetime] = {}
    for name, operator, value, token in _tokenize(text[:MAX_QUERY]):
        if (term := _parse_term(name, operator, value)) is not None:
            terms.append(term)
        elif name in {"since", "until"} and (parsed_time := _parse_time(value, now)):
            times[name] = parsed_time
        elif name == "id" and value:
            id_terms["id"] = value
        elif name:
            unrecognized_tokens.append(token)
        elif _ID.fullmatch(token):
            id_terms["id"] = token
        else:
            text_terms.append(token)
    if "id" in id_terms:
        return Search(id=id_terms["id"], unrecognized=tuple(unrecognized_tokens))
    since, until = times.get("since"), times.get("until")
    if since is None and until is None and span in RANGE_SECONDS:
        since = now - dt.timedelta(seconds=RANGE_SECONDS[span])
    return Search(tuple(terms), " ".join(text_terms), "", since, until, tuple(unrecognized_tokens))


def _tokenize(text: str) -> Iterator[tuple[str, str, str, str]]:
    for match in _TOKEN.finditer(text):
        name, operator = match[1] or match[2] or "", match[3] or ""
        value = (match[4] or "").strip('"')
        yield name, operator, value, match[0]


def _parse_term(name: str, operator: str, value: str) -> Term | None:
    """Return the filter of a token; None if it is not one, or has no value."""
    negated, op = operator.startswith("!"), operator.lstrip("!")
    is_score = name == "score" and not negated and amount_of(name, value) is not None
    if op or is_score or (name in AMOUNTS and name not in COLUMNS):
        # A number without an operator is a lower bound, since exact costs are rarely known.
        usable = name in AMOUNTS and not negated and amount_of(name, value) is not None
        return Term(name, (value,), op=op or ">=") if usable else None
    values = tuple(filter(None, value.split(",")))
    if name not in COLUMNS or not values:
        return None
    if name == "has":
        return Term(name, values, negated) if CONTENTS.issuperset(values) else None
    if name != "is":
        return Term(name, values, negated)
    if len(values) == 1 and values[0] in _OUTCOMES:
        return Term("outcome", ("ok",), _OUTCOMES[values[0]] is not negated)
    return Term(name, values, negated) if TRAFFIC_KINDS.issuperset(values) else None


def _parse_time(text: str, now: dt.datetime) -> dt.datetime | None:
    """Parse a time: `90m` or `2d` before now, a date, or a date and time (of the reader)."""
    if ago := _AGO.fullmatch(text):
        try:
            return now - dt.timedelta(seconds=int(ago[1]) * _SECONDS_BY_UNIT[ago[2]])
        except OverflowError:
            return None
    try:
        moment = parse_datetime(text)
        day = parse_date(text) if moment is None else None
    except ValueError:
        return None
    if day is not None:
        moment = dt.datetime(day.year, day.month, day.day)
    if moment is None:
        return None
    try:
        # The first and the last day of the calendar have no UTC in some time zones.
        return (timezone.make_aware(moment) if moment.tzinfo is None else moment).astimezone(dt.UTC)
    except OverflowError:
        return None


def with_term(text: str, name: str, value: str) -> str:
    """Replace the filters of this name in the text; an empty value removes them."""
    tokens = [
        token for token_name, _, _, token in _tokenize(text[:MAX_QUERY]) if token_name != name
    ]
    if value:
        tokens.append(str(Term(name, (value,))))
    return " ".join(tokens)


def without_term(text: str, term: Term) -> str:
    """Remove one filter from the text."""
    tokens = _tokenize(text[:MAX_QUERY])
    return " ".join(
        token
        for name, operator, value, token in tokens
        if _parse_term(name, operator, value) != term
    )


class State(msgspec.Struct, frozen=True):
    """The state in the page's URL."""

    q: str = ""
    span: str = ""
    group: str = ""
    sort: str = ""
    cursor: int | None = None

    def address(self, **changes: str | int | None) -> str:
        """Return the query string with changes; the cursor is dropped unless it is one of them."""
        values = {
            "q": self.q,
            "range": self.span,
            "group": self.group,
            "sort": self.sort,
            **changes,
        }
        return urlencode({name: value for name, value in values.items() if value})
