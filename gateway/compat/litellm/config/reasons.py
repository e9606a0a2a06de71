"""Reasons and hints that several keys of the tables share."""

from __future__ import annotations

LIMITS = "set limits and budgets on keys, teams, routes, targets, providers or the whole gateway"
CACHE = "use litellm_settings.cache for all models, or the cache of a route"
REDIS = "set REDIS_URL"
OBSERVE = "use the request log, GET /metrics or OpenTelemetry (docs/observability.md)"
GUARDRAILS = (
    "generic_guardrail_api, presidio, openai_moderation and patterns of litellm_content_filter; "
    "others are reported"
)
POLICIES = "attach guardrails to routes and keys"
HEALTH = "only the interval of health checks can be set"
MCP = "MCP servers are called by providers, not by the gateway (docs/web-search.md)"
TEAMS = "create keys with /key/generate, and teams in the console or with /api/teams"
SIGN_IN = "users sign in with a password or OpenID Connect (docs/sign-in.md)"
SIGN_IN_LIMITS = "limits of sign-ins and rules for passwords are fixed (docs/security.md)"
ALERTS = "create alert channels in the console (docs/observability.md)"
DIALECT = "the API of this provider is not supported yet"
CAPABILITIES = "known from the capability tables"
OPENAI_API = "selected for each request: Chat Completions, or Responses if it is required"
STORES = "vector stores are not supported"
TAGS = "tag filtering applies to all models or to none"
HEADERS = "only headers of the provider's own API are forwarded, such as anthropic-beta"
OTHER_KINDS = "requests name their model or provider; see docs/passthrough.md"
DATABASE = "set DATABASE_URL, with the options in the URL"
ROUTERS = "use the steps of a route, which select by tools, images, length, tags and hours"
END_USERS = "set end_user_limits and end_user_budget of a key, or the settings of these names"
AUTHORITIES = "false, with a warning, or the PEM file of the authorities to trust"
CLIENT_CERTIFICATE = "a PEM file with the client certificate and its private key"
COMPLEXITY = "a step for each tier, by LiteLLM's heuristic classifier; others are reported"
CODE = "code is not loaded from configuration files"
PLAIN_AGENTS = "Claude Code uses /v1/messages like any client"
PINGS = "an idle stream has a keep-alive every 15 s; the interval cannot be set"
PRICED = "only prices per token are read; others come from the price list"
STREAM_USAGE = (
    "streams end with the usage for clients that request it; otherwise, tokens of a stream that "
    "passes through are estimated"
)
WINDOWS = (
    "periods are a day, a week, a month or unlimited; others are rounded up to the next of these"
)
LEVEL = "the log level is DRAGOMAN_LOG_LEVEL"
