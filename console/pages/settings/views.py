"""Settings: the ones of the log are editable, all others are shown with their source."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.conf import settings as values
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from console.access import admin
from console.pages.settings.forms import LogForm
from gateway import store
from gateway.store.configuration import export_yaml
from gateway.store.options import origin_of

PAGE = "settings"


class Row(NamedTuple):
    """A setting of the environment: its variable, its description, and its Django setting.

    A `secret` value, or one that may contain a secret, is hidden; its default is displayed if
    it is a `public_default`. A `generated` value is always hidden; if it is not set, the gateway
    creates it in a file of the data directory.
    """

    variable: str
    description: Promise
    name: str = ""
    secret: bool = False
    public_default: bool = False
    generated: bool = False

    @property
    def hidden(self) -> bool:
        """Whether the value must not be displayed."""
        if self.generated:
            return True
        default = self.public_default and origin_of(self.variable) == "default"
        return self.secret and bool(getattr(values, self.name)) and not default

    @property
    def value(self) -> Any:
        """The value in effect; None if it is hidden."""
        return None if self.hidden or not self.name else getattr(values, self.name)


ROWS = (
    Row(
        "DATABASE_URL",
        gettext_lazy("Database URL"),
        "DATABASE_URL",
        secret=True,
        public_default=True,
    ),
    Row(
        "REDIS_URL",
        gettext_lazy("Redis URL for limits and budgets shared by several nodes"),
        "REDIS_URL",
        secret=True,
    ),
    Row(
        "DRAGOMAN_DATA_DIR",
        gettext_lazy("Directory for the database, secrets and journal"),
        "DATA_DIR",
    ),
    Row(
        "DRAGOMAN_SECRET_KEY",
        gettext_lazy("Secret for session signatures and API key hashes"),
        generated=True,
    ),
    Row(
        "DRAGOMAN_ENCRYPTION_KEYS",
        gettext_lazy("Encrypt provider credentials"),
        generated=True,
    ),
    Row(
        "DRAGOMAN_MASTER_KEY",
        gettext_lazy("Admin credential of the API, also a client key"),
        "MASTER_KEY",
        secret=True,
    ),
    Row(
        "DRAGOMAN_ADMIN_KEY",
        gettext_lazy("Admin key if no master key is set"),
        generated=True,
    ),
    Row("DRAGOMAN_OPEN", gettext_lazy("Accept any client key"), "OPEN"),
    Row(
        "DRAGOMAN_ALLOWED_HOSTS",
        gettext_lazy("Host names that the console accepts"),
        "ALLOWED_HOSTS",
    ),
    Row(
        "DRAGOMAN_TRUSTED_ORIGINS",
        gettext_lazy("Allowed origins of forms behind a proxy"),
        "CSRF_TRUSTED_ORIGINS",
    ),
    Row(
        "DRAGOMAN_TRUSTED_PROXIES",
        gettext_lazy("Proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted"),
        "TRUSTED_PROXIES",
    ),
    Row(
        "DRAGOMAN_HSTS_SECONDS",
        gettext_lazy("max-age of Strict-Transport-Security, in seconds"),
        "SECURE_HSTS_SECONDS",
    ),
    Row(
        "DRAGOMAN_DJANGO_ADMIN",
        gettext_lazy("Mount Django admin at /admin/"),
        "DJANGO_ADMIN",
    ),
    Row("DRAGOMAN_DEBUG", gettext_lazy("Debug mode"), "DEBUG"),
    Row(
        "DRAGOMAN_LOG_LEVEL",
        gettext_lazy("Minimum level of log messages"),
        "LOG_LEVEL",
    ),
    Row("DRAGOMAN_LOG_FORMAT", gettext_lazy("Format of log lines: text or json"), "LOG_FORMAT"),
    Row(
        "DRAGOMAN_ACCESS_LOG",
        gettext_lazy("Log one line for each model request"),
        "ACCESS_LOG",
    ),
    Row(
        "DRAGOMAN_ALERT_INTERVAL",
        gettext_lazy("Interval of alert checks, in seconds"),
        "ALERT_INTERVAL_S",
    ),
    Row(
        "DRAGOMAN_WATCH_CERTIFICATE",
        gettext_lazy("Certificate whose expiry raises an alert"),
        "WATCH_CERTIFICATE",
    ),
    Row(
        "DRAGOMAN_LOG_EXPORT_URL",
        gettext_lazy("Object storage or folder that the request log is exported to"),
        "LOG_EXPORT_URL",
    ),
    Row(
        "DRAGOMAN_LOG_EXPORT_INTERVAL",
        gettext_lazy("Interval of log exports, in seconds"),
        "LOG_EXPORT_INTERVAL_S",
    ),
    Row(
        "DRAGOMAN_LOG_EXPORT_BODIES",
        gettext_lazy("Export requests and responses with the log"),
        "LOG_EXPORT_BODIES",
    ),
    Row("DRAGOMAN_SMTP_HOST", gettext_lazy("Mail server for alerts by email"), "EMAIL_HOST"),
    Row("DRAGOMAN_SMTP_PORT", gettext_lazy("Port of the mail server"), "EMAIL_PORT"),
    Row("DRAGOMAN_SMTP_USER", gettext_lazy("User name at the mail server"), "EMAIL_HOST_USER"),
    Row(
        "DRAGOMAN_SMTP_PASSWORD",
        gettext_lazy("Password at the mail server"),
        "EMAIL_HOST_PASSWORD",
        secret=True,
    ),
    Row(
        "DRAGOMAN_SMTP_STARTTLS",
        gettext_lazy("Encrypt the connection to the mail server with STARTTLS"),
        "EMAIL_USE_TLS",
    ),
    Row("DRAGOMAN_SMTP_FROM", gettext_lazy("Sender of alert emails"), "DEFAULT_FROM_EMAIL"),
    Row(
        "DRAGOMAN_FIND_LOCAL_SERVERS",
        gettext_lazy("Look for local model servers at startup"),
        "FIND_LOCAL_SERVERS",
    ),
    Row(
        "DRAGOMAN_KNOWN_MODELS",
        gettext_lazy("Resolve names of known models without a provider prefix"),
        "KNOWN_MODELS",
    ),
    Row(
        "DRAGOMAN_SILENCED_CHECKS",
        gettext_lazy("System checks to silence"),
        "SILENCED_SYSTEM_CHECKS",
    ),
    Row(
        "DRAGOMAN_DEFAULT_PROVIDER",
        gettext_lazy("Default provider of files and batches"),
        "DEFAULT_PROVIDER",
    ),
    Row("DRAGOMAN_MAX_BODY_BYTES", gettext_lazy("Max request size, in bytes"), "MAX_BODY_BYTES"),
    Row(
        "DRAGOMAN_MAX_REQUEST_ITEMS",
        gettext_lazy("Max messages, parts, tool calls and tools in a translated request"),
        "MAX_REQUEST_ITEMS",
    ),
    Row(
        "DRAGOMAN_MAX_CHOICES",
        gettext_lazy("Max choices (n) of a request that needs one call per choice"),
        "MAX_CHOICES",
    ),
    Row(
        "DRAGOMAN_REALTIME_SESSION_TIMEOUT",
        gettext_lazy("Max length of a Realtime session, in seconds"),
        "REALTIME_SESSION_S",
    ),
    Row(
        "DRAGOMAN_REALTIME_IDLE_TIMEOUT",
        gettext_lazy("Max time of a Realtime session without a message, in seconds"),
        "REALTIME_IDLE_S",
    ),
    Row(
        "DRAGOMAN_WEB_SEARCH_URL",
        gettext_lazy("Endpoint of web searches for models without web search"),
        "WEB_SEARCH_URL",
        secret=True,
    ),
    Row(
        "DRAGOMAN_WEB_SEARCH_FORMAT",
        gettext_lazy("API of that endpoint: searxng or tavily"),
        "WEB_SEARCH_FORMAT",
    ),
    Row(
        "DRAGOMAN_WEB_SEARCH_KEY",
        gettext_lazy("Credential of the web search endpoint"),
        "WEB_SEARCH_KEY",
        secret=True,
    ),
    Row(
        "DRAGOMAN_WEB_SEARCH_TIMEOUT",
        gettext_lazy("Timeout of one web search, in seconds"),
        "WEB_SEARCH_TIMEOUT_S",
    ),
    Row(
        "DRAGOMAN_WEB_SEARCH_MAX_USES",
        gettext_lazy("Max web searches of one request"),
        "WEB_SEARCH_MAX_USES",
    ),
    Row("DRAGOMAN_MAX_UPLOAD_BYTES", gettext_lazy("Max form size, in bytes"), "MAX_UPLOAD_BYTES"),
    Row(
        "DRAGOMAN_BODY_TIMEOUT",
        gettext_lazy("Timeout for receiving a request body, in seconds"),
        "BODY_TIMEOUT_S",
    ),
    Row(
        "DRAGOMAN_HEAD_TIMEOUT",
        gettext_lazy("Timeout for receiving request headers, in seconds"),
        "HEAD_TIMEOUT_S",
    ),
    Row("DRAGOMAN_PORT", gettext_lazy("Port to listen on unless --port is given"), "PORT"),
    Row(
        "DRAGOMAN_MAX_CONNECTIONS",
        gettext_lazy("Max client connections per process; 0: automatic"),
        "MAX_CONNECTIONS",
    ),
    Row(
        "DRAGOMAN_MAX_REQUESTS",
        gettext_lazy("Max concurrent requests per process; 0: automatic"),
        "MAX_REQUESTS",
    ),
    Row(
        "DRAGOMAN_DRAIN_SECONDS",
        gettext_lazy("Grace period for running requests at shutdown, in seconds"),
        "DRAIN_S",
    ),
    Row(
        "DRAGOMAN_DRAIN_WAIT",
        gettext_lazy("Time after SIGTERM while new requests are still accepted, in seconds"),
        "DRAIN_WAIT_S",
    ),
    Row(
        "DRAGOMAN_FETCH_MEDIA",
        gettext_lazy("Fetch images and documents by URL for providers that accept bytes only"),
        "FETCH_MEDIA",
    ),
    Row(
        "DRAGOMAN_MODEL_ECHO",
        gettext_lazy("Responses contain the requested model name instead of the provider's"),
        "MODEL_ECHO",
    ),
    Row(
        "DRAGOMAN_TRACE_HEADERS",
        gettext_lazy("Send x-request-id and traceparent to providers"),
        "TRACE_HEADERS",
    ),
    Row("DRAGOMAN_LOG_BODIES", gettext_lazy("Store bodies, unless set above")),
    Row(
        "DRAGOMAN_LOG_BODY_BYTES",
        gettext_lazy("Max stored size of each body, in bytes"),
        "LOG_BODY_BYTES",
    ),
    Row("DRAGOMAN_LOG_RETENTION_DAYS", gettext_lazy("Days to keep the log, unless set above")),
    Row(
        "DRAGOMAN_PLAYGROUND_USD_PER_DAY",
        gettext_lazy("Daily playground budget per user, in USD"),
        "PLAYGROUND_USD_PER_DAY",
    ),
    Row(
        "DRAGOMAN_MEMBER_MAX_KEYS",
        gettext_lazy("Active keys that each user can create"),
        "MEMBER_MAX_KEYS",
    ),
    Row(
        "DRAGOMAN_MEMBER_MONTH_USD",
        gettext_lazy("Monthly spend of a user's personal keys, in USD"),
        "MEMBER_MONTH_USD",
    ),
    Row(
        "DRAGOMAN_MEMBER_KEY_DAYS",
        gettext_lazy("Days after which a user's personal key expires"),
        "MEMBER_KEY_DAYS",
    ),
    Row(
        "DRAGOMAN_REQUIRE_TWO_FACTOR",
        gettext_lazy("Who must set up two-factor authentication: none, admins or everyone"),
        "REQUIRE_TWO_FACTOR",
    ),
    Row(
        "DRAGOMAN_SESSION_IDLE_HOURS",
        gettext_lazy("Idle timeout of a console session, in hours"),
        "SESSION_IDLE_HOURS",
    ),
    Row(
        "DRAGOMAN_REASONING_HOURS",
        gettext_lazy("Hours to store reasoning for clients that cannot send it back"),
        "REASONING_HOURS",
    ),
    Row(
        "DRAGOMAN_CACHE_BYTES",
        gettext_lazy("Max memory for the response cache per process, in bytes"),
        "CACHE_BYTES",
    ),
    Row(
        "DRAGOMAN_JOURNAL_ITEMS",
        gettext_lazy("Max rows queued for the database"),
        "JOURNAL_ITEMS",
    ),
    Row(
        "DRAGOMAN_JOURNAL_BYTES",
        gettext_lazy("Max bytes of bodies queued for the database"),
        "JOURNAL_BYTES",
    ),
    Row(
        "DRAGOMAN_JOURNAL_DISK_BYTES",
        gettext_lazy("Max disk space for queued rows per process, in bytes"),
        "JOURNAL_DISK_BYTES",
    ),
    Row(
        "DRAGOMAN_JOURNAL_RESERVE_BYTES",
        gettext_lazy("Disk space reserved for queued rows per process, in bytes"),
        "JOURNAL_RESERVE_BYTES",
    ),
    Row(
        "DRAGOMAN_DATABASE_TIMEOUT",
        gettext_lazy("Timeout of PostgreSQL queries, in seconds"),
        "DATABASE_TIMEOUT_S",
    ),
)
# Variables whose settings are editable in the form of this page.
_EDITABLE_VARIABLES = {"DRAGOMAN_LOG_BODIES", "DRAGOMAN_LOG_RETENTION_DAYS"}


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def settings(request: HttpRequest) -> HttpResponse:
    """The page, and the saving of its form."""
    options = store.load_options()
    form = LogForm(request.POST if request.method == "POST" else None, options=options)
    if request.method == "POST" and form.is_valid():
        store.set_options(form.values())
        messages.success(request, _("Saved. Takes effect within a second."))
        return redirect("settings")
    context = {
        "page": PAGE,
        "form": form,
        "fields": [(form[name], options.values[name]) for name in form.setting_fields],
        "rows": [_row_view(row) for row in ROWS if row.variable not in _EDITABLE_VARIABLES],
    }
    status = 422 if form.is_bound else 200
    return render(request, "console/settings/page.html", context, status=status)


def _row_view(row: Row) -> dict[str, object]:
    origin = origin_of(row.variable)
    return {
        "variable": row.variable + ("_FILE" if origin == "file" else ""),
        "description": row.description,
        "value": "" if row.hidden else _value_text(row.value),
        "hidden": row.hidden,
        "origin": "file" if row.generated and origin == "default" else origin,
    }


def _value_text(value: object) -> str:
    if value is None:
        return _("none")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or _("none")
    return str(value)


@require_safe
@admin
def export_configuration(request: HttpRequest) -> HttpResponse:
    """The whole configuration as a YAML file without secrets, as `manage.py export` prints it."""
    response = HttpResponse(export_yaml(), content_type="application/yaml; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="dragoman.yaml"'
    response["Cache-Control"] = "no-store"
    return response
