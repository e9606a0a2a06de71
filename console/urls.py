"""URLs of the console's pages; large pages have a `urls.py` of their own."""

from __future__ import annotations

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path

from console.pages import doctor as dr
from console.pages import playground as pg
from console.pages.changes import changes
from console.pages.connect.views import connect, connect_key, connection_status
from console.pages.health import health, health_reset, health_status
from console.pages.imports.views import imports
from console.pages.overview import overview
from console.pages.palette import palette
from console.pages.routes.urls import urlpatterns as routes
from console.pages.session.views import password, sign_in, sign_out
from console.pages.settings.end_users import (
    end_user_add,
    end_user_delete,
    end_user_edit,
    end_users,
)
from console.pages.settings.views import export_configuration
from console.pages.settings.views import settings as settings_page
from console.pages.setup import (
    account,
    finish,
    key,
    provider,
    provider_test,
    setup,
    setup_connect,
)
from console.pages.usage import usage, usage_csv
from console.pages.users.views import (
    user_active,
    user_add,
    user_edit,
    user_limits,
    user_password,
    user_two_factor,
    users,
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("", overview, name="overview"),
    path("find", palette, name="palette"),
    path("usage", usage, name="usage"),
    path("usage.csv", usage_csv, name="usage-csv"),
    path("health", health, name="health"),
    path("health/reset", health_reset, name="health-reset"),
    path("health/status", health_status, name="health-status"),
    path("sign-in", sign_in, name="sign-in"),
    path("sign-out", sign_out, name="sign-out"),
    path("password", password, name="password"),
    path("setup", setup, name="setup"),
    path("setup/account", account, name="setup-account"),
    path("setup/provider", provider, name="setup-provider"),
    path("setup/provider/test", provider_test, name="setup-provider-test"),
    path("setup/key", key, name="setup-key"),
    path("setup/connect", setup_connect, name="setup-connect"),
    path("setup/finish", finish, name="setup-finish"),
    path("users", users, name="users"),
    path("users/add", user_add, name="user-add"),
    path("users/<int:pk>", user_edit, name="user-edit"),
    path("users/<int:pk>/password", user_password, name="user-password"),
    path("users/<int:pk>/limits", user_limits, name="user-limits"),
    path("users/<int:pk>/two-factor", user_two_factor, name="user-two-factor"),
    path("users/<int:pk>/active", user_active, name="user-active"),
    path("settings", settings_page, name="settings"),
    path("settings/configuration.yaml", export_configuration, name="settings-export"),
    path("settings/end-users", end_users, name="settings-end-users"),
    path("settings/end-users/add", end_user_add, name="settings-end-user-add"),
    path("settings/end-users/edit", end_user_edit, name="settings-end-user"),
    path("settings/end-users/delete", end_user_delete, name="settings-end-user-delete"),
    path("changes", changes, name="changes"),
    path("connect", connect, name="connect"),
    path("connect/key", connect_key, name="connect-key"),
    path("connect/status", connection_status, name="connection-status"),
    path("import", imports, name="import"),
    path("playground", pg.playground, name="playground"),
    path("playground/runs", pg.runs, name="playground-runs"),
    path("playground/runs/<uuid:run>", pg.run_one, name="playground-run"),
    path("playground/runs/<uuid:run>.<str:form>", pg.run_one, name="playground-export"),
    path("playground/runs/<uuid:run>/stop", pg.run_stop, name="playground-stop"),
    path("playground/runs/<uuid:run>/events", pg.run_events, name="playground-events"),
    path("playground/runs/<uuid:run>/code", pg.run_code, name="playground-run-code"),
    path(
        "playground/runs/<uuid:run>/translation", pg.run_translation, name="playground-translation"
    ),
    path("playground/code", pg.code_of, name="playground-code"),
    path("playground/history", pg.run_history, name="playground-history"),
    path("playground/votes", pg.votes, name="playground-votes"),
    path("playground/scoreboard", pg.scores, name="playground-scoreboard"),
    path("playground/presets", pg.presets, name="playground-presets"),
    path("playground/presets/<int:pk>", pg.preset, name="playground-preset"),
    path("playground/presets/<int:pk>/versions", pg.preset_versions, name="preset-versions"),
    path("playground/system-prompts", pg.system_prompts, name="playground-system-prompts"),
    path("models/<int:pk>/doctor", dr.model_doctor, name="model-doctor"),
    path("models/<int:pk>/doctor/start", dr.doctor_start, name="doctor-start"),
    path("models/<int:pk>/doctor/stop", dr.doctor_stop, name="doctor-stop"),
    path("models/<int:pk>/doctor/apply", dr.doctor_apply, name="doctor-apply"),
    path("providers/<int:pk>/doctor", dr.provider_doctor, name="provider-doctor"),
    *(
        [
            path("", include("console.single_sign_on.urls")),
            path("", include("console.pages.security.urls")),
        ]
        if settings.SSO_INSTALLED
        else []
    ),
    path("", include("console.pages.alerts.urls")),
    path("", include("console.pages.cost.urls")),
    path("", include("console.pages.evaluate.urls")),
    path("", include("console.pages.guardrails.urls")),
    path("", include("console.pages.keys.urls")),
    path("", include("console.pages.personal.urls")),
    path("", include("console.pages.prompts.urls")),
    path("", include("console.pages.shares.urls")),
    path("", include("console.pages.teams.urls")),
    path("", include("console.pages.traces.urls")),
    path("", include("console.pages.requests.urls")),
    *routes,
    path("", include("console.pages.providers.urls")),
    path("", include("console.pages.models.urls")),
]
