"""Every page of the console, for the tests that hold for all of them and for the screenshots."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A page: a name for its pictures, where it is, and who may see it.

    `{request}` in a path stands for the newest request of the log, others for a name of
    `tests.browser.sample_data`.
    """

    name: str
    path: str
    who: str | None = "ada"


PLACES = (
    Place("sign-in", "/console/sign-in", None),
    Place("overview", "/console/"),
    Place("playground", "/console/playground"),
    Place("evaluate", "/console/evaluate"),
    Place("evaluation-new", "/console/evaluate/new"),
    Place("evaluation-import", "/console/evaluate/import"),
    Place("evaluation", "/console/evaluate/{evaluation}"),
    Place("evaluation-edit", "/console/evaluate/{evaluation}/edit"),
    Place("evaluation-case", "/console/evaluate/{evaluation}/cases/0"),
    Place("evaluation-log", "/console/evaluate/{evaluation}/log"),
    Place("evaluation-request", "/console/evaluate/requests/1"),
    Place("evaluation-run", "/console/evaluate/runs/{evaluation_run}"),
    Place("evaluation-answers", "/console/evaluate/runs/{evaluation_run}/cases/0"),
    Place("palette", "/console/find?q=code"),
    Place("prompts", "/console/prompts"),
    Place("prompt", "/console/prompts/{prompt}?from=1"),
    Place("prompt-new", "/console/prompts/new"),
    Place("requests", "/console/requests"),
    Place("requests-checks", "/console/requests?q=is:check"),
    Place("request", "/console/requests/{request}"),
    Place("request-hedged", "/console/requests/req_hedged"),
    Place("request-kept", "/console/requests/req_kept"),
    Place("request-batch", "/console/requests/req_batch"),
    Place("request-translation", "/console/requests/{request}?tab=translation"),
    Place("session", "/console/requests/req_s2?tab=session"),
    Place("providers", "/console/providers"),
    Place("provider", "/console/providers/{provider}"),
    Place("provider-add", "/console/providers/add"),
    Place("provider-form", "/console/providers/add/openai"),
    Place("provider-delete", "/console/providers/{provider}/delete"),
    Place("provider-fetch", "/console/providers/1/fetch"),
    Place("models", "/console/models"),
    Place("model", "/console/models/{model}"),
    Place("model-delete", "/console/models/{unpriced}/delete"),
    Place("model-add", "/console/models/add"),
    Place("doctor", "/console/models/1/doctor"),
    Place("provider-doctor", "/console/providers/1/doctor"),
    Place("routes", "/console/routes"),
    Place("route", "/console/routes/coding"),
    Place("route-new", "/console/new-route"),
    Place("route-versions", "/console/route-versions/coding"),
    Place("route-yaml", "/console/route-yaml/coding"),
    Place("route-cache", "/console/route-cache/coding"),
    Place("route-delete", "/console/route-delete/spare"),
    Place("keys", "/console/keys"),
    Place("keys-revoked", "/console/keys?show=revoked"),
    Place("key", "/console/keys/{key}"),
    Place("key-delete", "/console/keys/{revoked}/delete"),
    Place("key-add", "/console/keys/add"),
    Place("teams", "/console/teams"),
    Place("team-add", "/console/teams/add"),
    Place("project", "/console/teams/{project}"),
    Place("all-limits", "/console/limits/all"),
    Place("route-limits", "/console/limits/route/{coding}"),
    Place("target-limits", "/console/limits/target/1"),
    Place("provider-limits", "/console/limits/provider/{provider}"),
    Place("alerts", "/console/alerts"),
    Place("alert-channel", "/console/alerts/channels/{alert_channel}"),
    Place("alert-channel-add", "/console/alerts/channels/add"),
    Place("guardrails", "/console/guardrails"),
    Place("guardrail", "/console/guardrails/{guardrail}"),
    Place("guardrail-add", "/console/guardrails/add/patterns"),
    Place("usage", "/console/usage?span=30d"),
    Place("usage-project", "/console/usage?by=project"),
    Place("cost", "/console/cost?provider=claude"),
    Place("cost-compare", "/console/cost/compare?model=openai/gpt-5&model=deepseek/deepseek-chat"),
    Place("prices", "/console/cost/prices"),
    Place("price-update", "/console/cost/prices/{update}"),
    Place("health", "/console/health"),
    Place("users", "/console/users"),
    Place("user", "/console/users/1"),
    Place("user-add", "/console/users/add"),
    Place("changes", "/console/changes"),
    Place("settings", "/console/settings"),
    Place("connect", "/console/connect"),
    Place("import", "/console/import"),
    Place("password", "/console/password"),
    Place("own", "/console/own"),
    Place("own-requests", "/console/own/requests"),
    Place("own-request", "/console/own/requests/req_own"),
    Place("own-key-add", "/console/own/keys/add"),
    Place("security", "/console/security"),
    Place("refused", "/console/users", "vic"),
)

# What answers no page of its own: a part, a download, data of the playground, or the steps that
# `test_first_run` and `test_first_walk` go through.
NO_PAGES = (
    "connect-light",
    "evaluation-export",
    "evaluation-file",
    "health-light",
    "playground-events",
    "playground-export",
    "playground-history",
    "playground-preset",
    "playground-presets",
    "playground-run",
    "playground-run-code",
    "playground-scoreboard",
    "playground-translation",
    "provider-variable",
    "request-media",
    "requests-export",
    "requests-tail",
    "setup",
    "setup-account",
    "setup-connect",
    "setup-key",
    "setup-provider",
    "spend-export",
    "usage-csv",
)
