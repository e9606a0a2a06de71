"""Filter menus: the values in the log, and links that add them to the search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext_lazy as _

from console.list_filters import distinct_values
from console.pages.requests.query import (
    COLUMNS,
    CONTENTS,
    FILTERS,
    TRAFFIC_KINDS,
    Search,
    State,
    with_term,
)
from gateway.dialects import CLIENT_DIALECTS
from gateway.models import ApiKey

STATUSES = (
    ("2xx", _("2xx success")),
    ("!2xx", _("not 2xx")),
    ("4xx", _("4xx client error")),
    ("429", _("429 rate limit")),
    ("499", _("499 client disconnected")),
    ("5xx", _("5xx server error")),
)
MENUS = (
    ("status", _("Status")),
    ("model", _("Model")),
    ("provider", _("Provider")),
    ("key", _("Key")),
    ("route", _("Route")),
)


# Filter -> (value, label) of each choice.
Choices = dict[str, list[tuple[str, Any]]]


def choices_in_log() -> Choices:
    """Return the choices of each menu: what the log has."""
    return {name: _menu_choices(name) for name, _title in MENUS}


def menus(state: State, search: Search, path: str, choices: Choices) -> Iterator[dict[str, Any]]:
    """Yield one menu per filter: its title, the selected value, and the links."""
    selected_values = {term.name: str(term).partition(":")[2] for term in search.terms}
    for name, title in MENUS:
        selected_value = selected_values.get(name, "")
        links = [
            {
                "label": label,
                "current": value == selected_value,
                "url": f"{path}?{state.address(q=with_term(state.q, name, value))}",
            }
            for value, label in choices[name]
        ]
        clear_url = (
            f"{path}?{state.address(q=with_term(state.q, name, ''))}" if selected_value else ""
        )
        yield {
            "name": name,
            "title": title,
            "now": selected_value,
            "links": links,
            "clear": clear_url,
        }


def suggestions(choices: Choices) -> dict[str, list[str]]:
    """Return the values that complete a filter while typing; empty for free values."""
    values = {name: [str(value) for value, _label in pairs] for name, pairs in choices.items()}
    values["key"] = [str(label) for _value, label in choices["key"]]
    values["requested"] = []
    values["outcome"] = ["ok", "error", "cut", "client_closed"]
    values["is"] = ["ok", "error", *sorted(TRAFFIC_KINDS)]
    values["dialect"] = sorted(CLIENT_DIALECTS)
    values["has"] = sorted(CONTENTS)
    values["score"] = ["<0.5", ">=0.5", "<=0", ">=1"]
    values["since"] = ["15m", "1h", "24h", "7d"]
    values["until"] = ["1h", "24h", "7d"]
    values["cost"], values["tokens"] = [">0.01", ">0.1", ">1"], [">1k", ">10k", ">100k"]
    values["latency"], values["ttft"] = [">1s", ">5s", ">30s"], [">500ms", ">1s", ">5s"]
    values["status"] += [">=400", ">=500"]
    return {name: values.get(name, []) for name in FILTERS}


def _menu_choices(name: str) -> list[tuple[str, Any]]:
    if name == "status":
        return list(STATUSES)
    values = distinct_values(COLUMNS[name])
    if name != "key":
        return [(value, value) for value in values]
    names = dict(ApiKey.objects.values_list("prefix", "name"))
    return [(value, names.get(value, value)) for value in values]
