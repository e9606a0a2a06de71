"""What a person typed into the search field -> a search: `status:!499 model:gpt since:1h sky`."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from urllib.parse import urlencode

import msgspec
from django.utils.dateparse import parse_date, parse_datetime

from gateway.routing.health import CHECK

# What is typed -> the log's column.
COLUMNS = {
    "key": "key_prefix",
    "model": "model",
    "provider": "provider",
    "route": "route",
    "asked": "requested_model",
    "status": "status",
    "outcome": "outcome",
    "error": "error_kind",
    "session": "session",
    "is": "key_prefix",
}
# What a request can be that no client made; its name stands in the place of a key.
KINDS = frozenset({CHECK, "shadow", "playground", "replay"})
# Values of the time range menu, in seconds; `all` has no bound.
RANGES = {"15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000}
DEFAULT_RANGE = "24h"
MAX_QUERY = 1000

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_TOKEN = re.compile(r'(?:([a-z_]+):)(!?)("[^"]*"|\S*)|"[^"]*"|\S+')
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_ID = re.compile(r"req_[A-Za-z0-9._\-]{3,60}")


class Term(msgspec.Struct, frozen=True):
    """One filter: the word before the colon, its values (any of them), and a `!`."""

    name: str
    values: tuple[str, ...]
    negated: bool = False

    def __str__(self) -> str:
        joined = ",".join(self.values)
        value = f'"{joined}"' if " " in joined else joined
        return f"{self.name}:{'!' if self.negated else ''}{value}"


class Search(msgspec.Struct, frozen=True):
    """A search as understood. `wrong` names what was typed and means nothing."""

    terms: tuple[Term, ...] = ()
    text: str = ""
    id: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    wrong: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing but a time range narrows it."""
        return not (self.terms or self.text or self.id)

    @property
    def checks(self) -> bool:
        """Whether it asks for checks of targets, which are left out else."""
        return any(
            COLUMNS[term.name] == "key_prefix" and CHECK in term.values and not term.negated
            for term in self.terms
        )


def parse(text: str, span: str, now: dt.datetime) -> Search:
    """The search for a text and a value of the range menu.

    A time in the text wins over the menu; an id looks through all of the log.
    """
    terms: list[Term] = []
    words: list[str] = []
    wrong: list[str] = []
    found: dict[str, str] = {}
    moments: dict[str, dt.datetime] = {}
    for name, mark, value, word in _tokens(text[:MAX_QUERY]):
        if name == "is" and not KINDS.issuperset(value.split(",")):
            wrong.append(word)
        elif name in COLUMNS and value:
            terms.append(Term(name, tuple(filter(None, value.split(","))), mark == "!"))
        elif name in {"since", "until"} and (moment := _moment(value, now)):
            moments[name] = moment
        elif name == "id" and value:
            found["id"] = value
        elif name in {*COLUMNS, "since", "until", "id"}:
            wrong.append(word)
        elif _ID.fullmatch(word):
            found["id"] = word
        else:
            words.append(word)
    if "id" in found:
        return Search(id=found["id"], wrong=tuple(wrong))
    since, until = moments.get("since"), moments.get("until")
    if since is None and until is None and span in RANGES:
        since = now - dt.timedelta(seconds=RANGES[span])
    usable = tuple(term for term in terms if term.values)
    return Search(usable, " ".join(words), "", since, until, tuple(wrong))


def _tokens(text: str) -> Iterator[tuple[str, str, str, str]]:
    for match in _TOKEN.finditer(text):
        name, mark, value = match[1] or "", match[2] or "", (match[3] or "").strip('"')
        yield name, mark, value, match[0]


def _moment(text: str, now: dt.datetime) -> dt.datetime | None:
    """A time: `90m` or `2d` before now, a date, or a date and time (UTC unless it says)."""
    if ago := _AGO.fullmatch(text):
        try:
            return now - dt.timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        except OverflowError:
            return None
    try:
        moment = parse_datetime(text)
        day = parse_date(text) if moment is None else None
    except ValueError:
        return None
    if day is not None:
        return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=dt.UTC)


def with_term(text: str, name: str, value: str) -> str:
    """The text with this filter in place of others of its name; an empty value takes it out."""
    kept = [word for found, _, _, word in _tokens(text[:MAX_QUERY]) if found != name]
    if value:
        kept.append(str(Term(name, (value,))))
    return " ".join(kept)


def without(text: str, term: Term) -> str:
    """The text without one filter."""
    wanted = str(term)
    kept = [word for _, _, _, word in _tokens(text[:MAX_QUERY]) if word != wanted]
    return " ".join(kept)


class State(msgspec.Struct, frozen=True):
    """What the address of the page says."""

    q: str = ""
    span: str = ""
    group: str = ""
    cursor: int | None = None

    def address(self, **changes: str | int | None) -> str:
        """The query string with changes; where the list begins is kept only if asked for."""
        values = {"q": self.q, "range": self.span, "group": self.group, **changes}
        return urlencode({name: value for name, value in values.items() if value})
