"""Every key of LiteLLM's configuration file that is known here, and what becomes of it.

`supported` keys do what LiteLLM documents. `later` keys are understood and reported;
`never` keys belong to a service of LiteLLM's that Dragoman does not have.
docs/litellm.md is made from this table; a test compares them.
"""

from __future__ import annotations

import difflib
from typing import Literal

import msgspec

Status = Literal["supported", "later", "never"]


class Key(msgspec.Struct, frozen=True):
    """What becomes of one key, and why."""

    status: Status
    why: str


def _all(status: Status, why: str, *names: str) -> dict[str, Key]:
    return {name: Key(status, why) for name in names}


_LIMITS = "limits and budgets are not enforced yet"
_CACHE = "there is no response cache yet"
_OBSERVE = "requests are logged here; exporters are not there yet"
_GUARD = "there are no guardrails"
_SSO = "people sign in at the console with a password"

TOP: dict[str, Key] = {
    **_all(
        "supported",
        "",
        "model_list",
        "litellm_settings",
        "router_settings",
        "general_settings",
        "environment_variables",
        "include",
    ),
    **_all(
        "later", "credentials are named by variable or written in model_list", "credential_list"
    ),
    **_all("later", _OBSERVE, "callback_settings"),
    **_all("later", "files and batches are not served yet", "files_settings"),
    **_all("never", _GUARD, "guardrails"),
    **_all("never", "there is no MCP gateway", "mcp_servers"),
    **_all("never", "prompts are the clients'", "prompts"),
    **_all("never", "there are no vector stores", "vector_store_registry", "search_tools"),
}

MODEL: dict[str, Key] = {
    **_all("supported", "", "model_name", "litellm_params", "model_info"),
}

PARAMS: dict[str, Key] = {
    **_all(
        "supported",
        "",
        "model",
        "api_key",
        "api_base",
        "base_url",
        "api_version",
        "organization",
        "rpm",
        "tpm",
        "timeout",
        "stream_timeout",
        "max_retries",
        "weight",
        "order",
        "extra_headers",
        "extra_body",
        "drop_params",
        "additional_drop_params",
        "custom_llm_provider",
        "input_cost_per_token",
        "output_cost_per_token",
        "cache_read_input_token_cost",
        "cache_creation_input_token_cost",
        "cache_creation_input_token_cost_above_1hr",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "seed",
        "stop",
        "presence_penalty",
        "frequency_penalty",
        "reasoning_effort",
        "n",
        "user",
    ),
    **_all("later", _LIMITS, "max_budget", "budget_duration", "max_parallel_requests"),
    **_all("later", "there is no tag routing yet", "tags"),
    **_all(
        "later",
        "the provider's dialect is not there yet",
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "aws_region_name",
        "aws_profile_name",
        "aws_role_name",
        "aws_session_name",
        "aws_bedrock_runtime_endpoint",
        "vertex_project",
        "vertex_location",
        "vertex_credentials",
        "azure_ad_token",
        "tenant_id",
        "client_id",
        "client_secret",
        "region_name",
    ),
    **_all("later", "name the variable in api_key instead", "litellm_credential_name"),
    **_all("later", "cache marks are passed on, not invented", "cache_control_injection_points"),
    **_all("later", "the demo provider has scripted answers", "mock_response"),
    **_all(
        "never",
        "every field that the model takes is passed on",
        "allowed_openai_params",
    ),
    **_all("never", "the dialect follows from the provider", "use_chat_completions_api"),
    **_all(
        "never",
        "reasoning is shown in its own field",
        "merge_reasoning_content_in_choices",
    ),
    **_all("never", "idle streams are kept alive anyway", "keepalive_seconds"),
}

INFO: dict[str, Key] = {
    **_all(
        "supported",
        "",
        "max_tokens",
        "max_input_tokens",
        "max_output_tokens",
        "supports_vision",
        "supports_function_calling",
        "supports_reasoning",
        "supports_response_schema",
        "supports_pdf_input",
        "supports_audio_input",
        "supports_parallel_function_calling",
        "supports_tool_choice",
        "input_cost_per_token",
        "output_cost_per_token",
        "cache_read_input_token_cost",
        "cache_creation_input_token_cost",
        "base_model",
    ),
    **_all("never", "rows have ids of their own", "id", "key"),
    **_all("later", "chat is served; other modes are not there yet", "mode"),
    **_all("later", "keys name routes", "access_groups", "team_id"),
    **_all(
        "later",
        "there are no active health checks yet",
        "health_check_model",
        "health_check_timeout",
    ),
    **_all("never", "known from the tables", "litellm_provider", "supports_prompt_caching"),
    **_all("later", "the price table has no such price", "supports_web_search"),
    **_all("later", "descriptions are not shown yet", "description"),
}

LITELLM: dict[str, Key] = {
    **_all(
        "supported",
        "",
        "drop_params",
        "num_retries",
        "request_timeout",
        "fallbacks",
        "default_fallbacks",
        "model_alias_map",
        "use_chat_completions_url_for_anthropic_messages",
        "turn_off_message_logging",
    ),
    **_all(
        "later",
        "fallbacks by kind of error are not there yet; `fallbacks` is",
        "context_window_fallbacks",
        "content_policy_fallbacks",
    ),
    **_all(
        "later",
        _CACHE,
        "cache",
        "cache_params",
        "enable_caching_on_provider_specific_optional_params",
    ),
    **_all("later", "a target rests after three failures in a row", "allowed_fails"),
    **_all(
        "later",
        _OBSERVE,
        "callbacks",
        "success_callback",
        "failure_callback",
        "service_callback",
        "audit_log_callbacks",
        "langfuse_default_tags",
        "json_logs",
    ),
    **_all(
        "later",
        _LIMITS,
        "max_budget",
        "budget_duration",
        "max_user_budget",
        "max_internal_user_budget",
        "internal_user_budget_duration",
        "default_team_settings",
        "default_internal_user_params",
        "upperbound_key_generate_params",
        "default_key_generate_params",
        "cost_discount_config",
        "cost_margin_config",
    ),
    **_all("never", "translation never sends what a model refuses", "modify_params"),
    **_all("never", "the log level is DRAGOMAN_LOG_LEVEL", "set_verbose", "suppress_debug_info"),
    **_all(
        "never",
        "keys are never logged",
        "redact_user_api_key_info",
        "redact_messages_in_exceptions",
    ),
    **_all("never", "certificates are always checked", "ssl_verify", "ssl_certificate"),
    **_all("never", "the operating system decides", "force_ipv4"),
    **_all("never", "pings are sent every 15 s", "anthropic_sse_ping_interval_seconds"),
    **_all(
        "never",
        "the usage of a stream is told at its end",
        "anthropic_messages_estimate_initial_input_tokens",
        "include_cost_in_streaming_usage",
    ),
    **_all("later", "summaries follow the client's wish", "reasoning_auto_summary"),
    **_all("later", "clients' headers stay here", "model_group_settings"),
    **_all("never", _GUARD, "guardrails"),
    **_all("never", "there is nothing to report to", "telemetry"),
}

ROUTER: dict[str, Key] = {
    **_all(
        "supported",
        "",
        "routing_strategy",
        "num_retries",
        "timeout",
        "stream_timeout",
        "cooldown_time",
        "fallbacks",
        "default_fallbacks",
        "model_group_alias",
    ),
    **_all(
        "later",
        "fallbacks by kind of error are not there yet; `fallbacks` is",
        "context_window_fallbacks",
        "content_policy_fallbacks",
    ),
    **_all(
        "later",
        "retries do not differ by kind of error yet",
        "retry_policy",
        "model_group_retry_policy",
        "retry_after",
        "max_fallbacks",
    ),
    **_all(
        "later",
        "a target rests after three failures in a row",
        "allowed_fails",
        "allowed_fails_policy",
        "disable_cooldowns",
    ),
    **_all(
        "later", "there is no tag routing yet", "enable_tag_filtering", "tag_filtering_match_any"
    ),
    **_all("later", _LIMITS, "provider_budget_config"),
    **_all(
        "later",
        "counters are not shared between machines yet",
        "redis_host",
        "redis_port",
        "redis_password",
        "redis_url",
        "redis_db",
    ),
    **_all("later", _CACHE, "cache_responses", "cache_kwargs"),
    **_all(
        "later",
        "nothing is checked before a call yet",
        "enable_pre_call_checks",
        "optional_pre_call_checks",
    ),
    **_all("later", "strategies take no arguments yet", "routing_strategy_args"),
    **_all("later", "sessions do not stick yet", "model_group_affinity_config"),
    **_all("later", "there are no active health checks yet", "enable_health_check_routing"),
    **_all("later", "set them in litellm_params", "default_litellm_params"),
    **_all(
        "never",
        "a stream that has begun is never continued by another model",
        "enable_mid_stream_fallback_continuation",
    ),
    **_all("never", "the log level is DRAGOMAN_LOG_LEVEL", "set_verbose", "debug_level"),
}

GENERAL: dict[str, Key] = {
    **_all("supported", "", "master_key"),
    **_all("never", "LiteLLM's tables are others; set DATABASE_URL for Dragoman's", "database_url"),
    **_all(
        "never",
        "bodies are stored unless DRAGOMAN_LOG_BODIES is false",
        "store_prompts_in_spend_logs",
    ),
    **_all("later", "set DRAGOMAN_LOG_RETENTION_DAYS", "maximum_spend_logs_retention_period"),
    **_all("later", _LIMITS, "max_parallel_requests", "global_max_parallel_requests"),
    **_all("later", "set DRAGOMAN_MAX_BODY_BYTES", "max_request_size_mb", "max_response_size_mb"),
    **_all(
        "later",
        "there are no active health checks yet",
        "background_health_checks",
        "health_check_interval",
    ),
    **_all("later", "custom paths are not served", "pass_through_endpoints"),
    **_all(
        "later",
        "clients' headers stay here",
        "forward_client_headers_to_llm_api",
        "user_header_name",
    ),
    **_all("later", _OBSERVE, "alerting", "alerting_threshold", "alert_types", "alerting_args"),
    **_all("never", "models from the console are always stored", "store_model_in_db"),
    **_all("never", "every request has a row", "disable_spend_logs", "disable_error_logs"),
    **_all("never", "a client that leaves always ends the call", "cancel_on_disconnect"),
    **_all(
        "never",
        "the connections are few and fixed",
        "database_connection_pool_limit",
        "database_connection_timeout",
    ),
    **_all(
        "never",
        "no code is loaded from configuration",
        "custom_auth",
        "custom_key_generate",
        "custom_sso",
    ),
    **_all(
        "never", _SSO, "enable_jwt_auth", "ui_access_mode", "litellm_jwtauth", "proxy_admin_email"
    ),
    **_all(
        "never",
        "paths are what README lists",
        "allowed_routes",
        "public_routes",
        "admin_only_routes",
    ),
    **_all(
        "never",
        "secrets come from the environment or files",
        "key_management_system",
        "key_management_settings",
        "use_google_kms",
        "use_azure_key_vault",
    ),
    **_all("never", "crawlers find nothing without a key", "block_robots"),
    **_all("never", "fields are not enforced", "enforced_params"),
    **_all(
        "never",
        "a weak key is refused where others can reach it",
        "dangerously_permit_weak_or_unset_master_key",
    ),
    **_all("later", "URLs in requests are not fetched", "user_url_validation"),
    # Older files have these here.
    **_all("later", _CACHE, "cache", "cache_type", "redis_host", "redis_port", "redis_password"),
    **_all("never", "there is one database", "database_type", "database_args"),
    **_all("later", "name the model in the request", "completion_model"),
}

SECTIONS: dict[str, dict[str, Key]] = {
    "": TOP,
    "model_list[]": MODEL,
    "litellm_params": PARAMS,
    "model_info": INFO,
    "litellm_settings": LITELLM,
    "router_settings": ROUTER,
    "general_settings": GENERAL,
}


def near(section: str, name: str) -> str:
    """The known key that an unknown one may have meant; empty if none is like it."""
    found = difflib.get_close_matches(name, SECTIONS[section], n=1, cutoff=0.75)
    return found[0] if found else ""
