"""Labels of assertion types, formats and states of runs."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

ASSERTION_LABELS: dict[str, Promise] = {
    "equals": _("Equals"),
    "contains": _("Contains"),
    "icontains": _("Contains, any case"),
    "contains-any": _("Contains any of"),
    "contains-all": _("Contains all of"),
    "icontains-any": _("Contains any of, any case"),
    "icontains-all": _("Contains all of, any case"),
    "starts-with": _("Starts with"),
    "ends-with": _("Ends with"),
    "regex": _("Matches pattern"),
    "is-json": _("Is JSON"),
    "contains-json": _("Contains JSON"),
    "json-schema": _("Matches JSON Schema"),
    "json-path": _("JSON path"),
    "tool-call": _("Calls tool"),
    "latency": _("Latency at most, ms"),
    "cost": _("Cost at most, USD"),
    "llm-rubric": _("Rubric (judge model)"),
}
# By the type of a check, which is `not-TYPE` for a negated assertion.
CHECK_LABELS: dict[str, Promise] = ASSERTION_LABELS | {
    f"not-{name}": format_lazy("{} {}", _("not"), label) for name, label in ASSERTION_LABELS.items()
}
FORMAT_LABELS: dict[str, Promise] = {
    "lines": _("One case per line"),
    "csv": _("CSV"),
    "jsonl": _("JSON lines"),
}
STATUS_LABELS: dict[str, Promise] = {
    "running": _("Running"),
    "paused": _("Paused"),
    "cancelled": _("Cancelled"),
    "done": _("Done"),
}
STATUS_PILLS = {"running": "accent", "paused": "warn", "cancelled": "", "done": "ok"}
