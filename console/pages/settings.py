"""Settings: those of the log can be changed here, all others are shown with their origin."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.conf import settings as values
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from console.access import admin
from console.forms.settings import LogForm
from gateway import store
from gateway.store.options import origin_of

PAGE = "settings"


class Row(NamedTuple):
    """A setting of the environment: its variable, what it is, and its setting in Django.

    A value that is `secret`, or may hold one, is hidden; not so its default where that is
    `known`. Where a `generated` one is not set, the gateway has made one, in a file of the
    data directory.
    """

    variable: str
    what: Promise
    name: str = ""
    secret: bool = False
    known: bool = False
    generated: bool = False

    @property
    def hidden(self) -> bool:
        """Whether nobody is told what holds."""
        if self.generated:
            return True
        default = self.known and origin_of(self.variable) == "default"
        return self.secret and bool(getattr(values, self.name)) and not default

    @property
    def value(self) -> Any:
        """What holds, as Django has it; None where it is hidden."""
        return None if self.hidden or not self.name else getattr(values, self.name)


ROWS = (
    Row("DATABASE_URL", gettext_lazy("the database"), "DATABASE_URL", secret=True, known=True),
    Row(
        "REDIS_URL",
        gettext_lazy("counts limits and budgets for several machines together"),
        "REDIS_URL",
        secret=True,
    ),
    Row("DRAGOMAN_DATA_DIR", gettext_lazy("database, secrets, journal"), "DATA_DIR"),
    Row(
        "DRAGOMAN_SECRET_KEY",
        gettext_lazy("signs sessions, keys the digests of API keys"),
        generated=True,
    ),
    Row(
        "DRAGOMAN_ENCRYPTION_KEYS",
        gettext_lazy("encrypt the providers' credentials"),
        generated=True,
    ),
    Row(
        "DRAGOMAN_MASTER_KEY",
        gettext_lazy("admin credential of the API, and a client key"),
        "MASTER_KEY",
        secret=True,
    ),
    Row("DRAGOMAN_ADMIN_KEY", gettext_lazy("the same, where no master key is set"), generated=True),
    Row("DRAGOMAN_OPEN", gettext_lazy("any client token is accepted"), "OPEN"),
    Row("DRAGOMAN_ALLOWED_HOSTS", gettext_lazy("host names of the console"), "ALLOWED_HOSTS"),
    Row(
        "DRAGOMAN_TRUSTED_ORIGINS",
        gettext_lazy("origins that forms may come from, behind a proxy"),
        "CSRF_TRUSTED_ORIGINS",
    ),
    Row("DRAGOMAN_DEBUG", gettext_lazy("debug pages"), "DEBUG"),
    Row(
        "DRAGOMAN_LOG_LEVEL",
        gettext_lazy("which of the gateway's own messages are printed"),
        "LOG_LEVEL",
    ),
    Row("DRAGOMAN_MAX_BODY_BYTES", gettext_lazy("largest request, in bytes"), "MAX_BODY_BYTES"),
    Row("DRAGOMAN_MAX_UPLOAD_BYTES", gettext_lazy("largest form, in bytes"), "MAX_UPLOAD_BYTES"),
    Row(
        "DRAGOMAN_BODY_TIMEOUT",
        gettext_lazy("seconds for a request to arrive"),
        "BODY_TIMEOUT_S",
    ),
    Row(
        "DRAGOMAN_DRAIN_SECONDS",
        gettext_lazy("seconds that running requests may take at the end"),
        "DRAIN_S",
    ),
    Row(
        "DRAGOMAN_FETCH_MEDIA",
        gettext_lazy("fetch pictures and documents by URL for providers that take bytes only"),
        "FETCH_MEDIA",
    ),
    Row("DRAGOMAN_LOG_BODIES", gettext_lazy("store bodies, if nothing above says otherwise")),
    Row(
        "DRAGOMAN_LOG_BODY_BYTES",
        gettext_lazy("how much of each body is stored, in bytes"),
        "LOG_BODY_BYTES",
    ),
    Row("DRAGOMAN_LOG_RETENTION_DAYS", gettext_lazy("days, if nothing above says otherwise")),
    Row(
        "DRAGOMAN_PLAYGROUND_USD_PER_DAY",
        gettext_lazy("US dollars that each person may spend in the playground a day"),
        "PLAYGROUND_USD_PER_DAY",
    ),
    Row(
        "DRAGOMAN_REASONING_HOURS",
        gettext_lazy("hours that reasoning is kept for clients that can not send it back"),
        "REASONING_HOURS",
    ),
    Row(
        "DRAGOMAN_CACHE_BYTES",
        gettext_lazy("most bytes of kept answers in the memory of each process"),
        "CACHE_BYTES",
    ),
    Row(
        "DRAGOMAN_JOURNAL_ITEMS",
        gettext_lazy("most rows that wait for the database"),
        "JOURNAL_ITEMS",
    ),
    Row(
        "DRAGOMAN_JOURNAL_BYTES",
        gettext_lazy("most bytes of bodies that wait for it"),
        "JOURNAL_BYTES",
    ),
)
# Where the console itself changes what the variable says, its own form shows the value.
_ABOVE = {"DRAGOMAN_LOG_BODIES", "DRAGOMAN_LOG_RETENTION_DAYS"}


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def settings(request: HttpRequest) -> HttpResponse:
    """The page, and the saving of its form."""
    options = store.load_options()
    form = LogForm(request.POST if request.method == "POST" else None, options=options)
    if request.method == "POST" and form.is_valid():
        store.set_options(form.values())
        messages.success(request, _("Saved. Every process uses it within a second."))
        return redirect("settings")
    context = {
        "page": PAGE,
        "form": form,
        "fields": [(form[name], options.held[name]) for name in form.fields],
        "rows": [_shown(row) for row in ROWS if row.variable not in _ABOVE],
    }
    return render(request, "console/settings.html", context, status=422 if form.is_bound else 200)


def _shown(row: Row) -> dict[str, object]:
    origin = origin_of(row.variable)
    return {
        "variable": row.variable + ("_FILE" if origin == "file" else ""),
        "what": row.what,
        "value": "" if row.hidden else _value(row.value),
        "hidden": row.hidden,
        "origin": "file" if row.generated and origin == "default" else origin,
    }


def _value(value: object) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or _("none")
    return str(value)
