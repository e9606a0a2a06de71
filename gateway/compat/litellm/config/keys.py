"""Every known key of LiteLLM's configuration file, and how it is supported.

`supported` keys do what LiteLLM documents, or something else if `differs` is set, as `why`
explains. `later` keys are recognised and reported; `never` keys are covered by another part of
Dragoman or belong to one it does not have. docs/litellm.md shows this table; a test compares
them. The names are those of docs.litellm.ai/docs/proxy/config_settings and of LiteLLM 1.106.2
itself (litellm/types/router.py, litellm/proxy/_types.py, litellm/router.py).
"""

from __future__ import annotations

import difflib
import fnmatch
from typing import Literal

import msgspec

Status = Literal["supported", "later", "never"]


class Key(msgspec.Struct, frozen=True):
    """How a key is supported, and why."""

    status: Status
    why: str
    differs: bool = False

    @property
    def status_label(self) -> str:
        """The status as the documentation words it."""
        if self.status == "supported":
            return "different" if self.differs else "same"
        return "not yet" if self.status == "later" else "no"


def _yes(names: str, why: str = "") -> dict[str, Key]:
    return {name: Key("supported", why) for name in names.split()}


def _differs(names: str, why: str) -> dict[str, Key]:
    return {name: Key("supported", why, differs=True) for name in names.split()}


def _later(names: str, why: str) -> dict[str, Key]:
    return {name: Key("later", why) for name in names.split()}


def _never(names: str, why: str) -> dict[str, Key]:
    return {name: Key("never", why) for name in names.split()}


_LIMITS = "limits and budgets are of keys, teams, routes, targets, providers, all: set them there"
_CACHE = "litellm_settings.cache says it for all models; a route's page for one"
_REDIS = "REDIS_URL says where Redis is; without it answers are kept in the database"
_OBSERVE = "requests are logged here; exporters are not there yet"
_GUARD = "there are no guardrails"
_HEALTH = "active health checks have no settings but their interval"
_MCP = "there is no MCP gateway"
_TEAMS = (
    "keys are made by /key/generate, teams in the console or by /api/teams; there are no such rules"
)
_SIGN_IN = "people sign in at the console with a password"
_DIALECT = "the provider's dialect is not there yet"
_STORES = "there are no vector stores"
_TAGS = "tags are read for all models or for none"
_SHARED = "counters are not shared between machines yet"
_HEADERS = "clients' headers are not passed on"
_OTHER_KINDS = "requests that are no chat name their model or provider themselves"
_DATABASE = "DATABASE_URL and Django's settings say it"
_ROUTERS = "there are no routers that choose by content"
_CODE = "no code is loaded from configuration"
_PLAIN_AGENTS = "Claude Code is served as any client of /v1/messages"
_PINGS = "streams that wait get no pings yet"
_PRICED = "the prices above are read; others come of the price list"
_WINDOWS = "of days, weeks, months or for ever: another time holds for the next longer of them"
_LEVEL = "the log level is DRAGOMAN_LOG_LEVEL"

TOP: dict[str, Key] = {
    **_yes("model_list litellm_settings router_settings general_settings"),
    **_yes("environment_variables", "a variable that is set already wins"),
    **_yes("include", "relative to the including file"),
    **_yes("credential_list", "an entry's own litellm_params win"),
    **_later("callback_settings", _OBSERVE),
    **_later("files_settings finetune_settings assistant_settings", _OTHER_KINDS),
    **_never("guardrails policies policy_attachments", _GUARD),
    **_never("mcp_servers mcp_tools mcp_settings", _MCP),
    **_never("prompts", "prompts are the clients'"),
    **_never("vector_store_registry search_tools", _STORES),
    **_never("agents agent_list worker_registry", "agents are the clients'"),
}

MODEL: dict[str, Key] = {
    **_yes("model_name", "with `*`, the model's `*` is what the client's stood for"),
    **_yes("litellm_params model_info"),
    **_never("rpm tpm", "they belong into litellm_params"),
}

PARAMS: dict[str, Key] = {
    **_yes("model", "the provider's prefix, or a name LiteLLM knows without one"),
    **_yes("api_key", "os.environ/NAME keeps the name only; a literal key is kept encrypted"),
    **_yes(
        "api_base base_url", "without it, the variable PREFIX_API_BASE, such as OPENAI_API_BASE"
    ),
    **_yes("api_version", "Azure's; also from AZURE_API_VERSION"),
    **_yes("organization custom_llm_provider extra_body order"),
    **_yes("extra_headers headers", "os.environ/NAME keeps only the name in the database"),
    **_yes("weight", "the first entry of a model decides whether weight, rpm or tpm counts"),
    **_differs(
        "rpm tpm",
        "shares of the traffic with simple-shuffle; limits with usage-based-routing(-v2), "
        "latency- and cost-based-routing and enforce_model_rate_limits, rpm with "
        "enable_pre_call_checks too; they never bound requests at a time",
    ),
    **_differs("timeout", "the wait for the answer; a stream that flows is not cut"),
    **_differs("stream_timeout", "the wait between two pieces of a stream"),
    **_differs("max_retries num_retries", "of the route: the highest of its entries"),
    **_differs("cooldown_time", "of the route: the longest of its entries"),
    **_differs("drop_params", "on by default; false passes on what a model does not take"),
    **_yes("additional_drop_params"),
    **_yes("input_cost_per_token output_cost_per_token cache_read_input_token_cost"),
    **_yes("cache_creation_input_token_cost cache_creation_input_token_cost_above_1hr"),
    **_yes(
        """temperature top_p top_k n seed stop presence_penalty frequency_penalty logit_bias
        logprobs top_logprobs reasoning_effort response_format service_tier user verbosity
        thinking""",
        "a default, sent where the client says nothing and the provider has it",
    ),
    **_yes("max_tokens max_completion_tokens", "a default, by the name that the model takes"),
    **_differs("max_budget budget_duration", _WINDOWS),
    **_differs(
        "max_parallel_requests",
        "a deployment that is full is passed over, and asked again after a pause: nothing queues",
    ),
    **_yes(
        "default_api_key_tpm_limit default_api_key_rpm_limit",
        "of each key on this model: the lowest of its entries",
    ),
    **_later("itpm otpm", "tokens of prompt and answer are counted as one: say tpm"),
    **_yes("tags", "choose targets where router_settings.enable_tag_filtering is on"),
    **_later("tag_regex", "tags are compared as they are"),
    **_yes(
        "aws_access_key_id aws_secret_access_key aws_session_token aws_profile_name",
        "kept encrypted, but for the variables of that name, which AWS's own chain reads",
    ),
    **_yes("aws_region_name region_name", "also from AWS_REGION_NAME and AWS_REGION"),
    **_yes("aws_bedrock_runtime_endpoint"),
    **_yes("vertex_project vertex_ai_project vertex_location vertex_ai_location"),
    **_yes("vertex_credentials vertex_ai_credentials", "JSON, or the path of its file"),
    **_yes("azure_ad_token", "sent as it is; it expires"),
    **_yes("tenant_id client_id client_secret azure_scope", "tokens are fetched and renewed"),
    **_later(
        """aws_role_name aws_session_name aws_web_identity_token aws_sts_endpoint
        aws_external_id aws_bedrock_project_id""",
        "name a profile that takes the role on, in aws_profile_name",
    ),
    **_later("watsonx_region_name project_id", _DIALECT),
    **_later(
        "azure_ad_token_provider azure_username azure_password",
        "use an api_key, or an application's secret",
    ),
    **_yes("litellm_credential_name", "of credential_list in a file"),
    **_later("cache_control_injection_points", "cache marks are passed on, never made up"),
    **_differs(
        "mock_response",
        "a text, or litellm.RateLimitError, .InternalServerError or .ContextWindowExceededError; "
        "said by the demo provider, at the model's price",
    ),
    **_later("mock_tool_calls", "the demo provider has scripted answers"),
    **_later("configurable_clientside_auth_params", "clients can not choose where a call goes"),
    **_later("input_cost_per_second output_cost_per_second cost_per_query", "tokens are priced"),
    **_later("input_cost_per_character output_cost_per_character", "tokens are priced"),
    **_yes("output_cost_per_reasoning_token"),
    **_yes("input_cost_per_audio_token output_cost_per_audio_token"),
    **_later("metadata proxy_server_request", "nothing reads it yet"),
    **_later("caching cache ttl", _CACHE),
    **_later("use_in_pass_through", "custom paths are not served"),
    **_later("s3_bucket_name s3_region_name gcs_bucket_name bucket_name", _OTHER_KINDS),
    **_never(
        """auto_router_config_path auto_router_config auto_router_default_model
        auto_router_embedding_model complexity_router_config complexity_router_default_model
        adaptive_router_config quality_router_config""",
        _ROUTERS,
    ),
    **_never("guardrails", _GUARD),
    **_never("vector_store_id milvus_text_field", _STORES),
    **_never("allowed_openai_params", "every field that the model takes is passed on"),
    **_never("use_chat_completions_api", "OpenAI's models are called by Chat"),
    **_never("use_litellm_proxy", "write litellm_proxy/MODEL with its api_base"),
    **_never("merge_reasoning_content_in_choices", "reasoning is shown in a field of its own"),
    **_later("keepalive_seconds allow_client_keepalive_override", _PINGS),
    **_never("stream_options", "usage is always asked for, and told to clients who ask"),
    **_never("ssl_verify ssl_certificate", "certificates are always checked"),
    **_never("model_info id", "it stands beside litellm_params"),
    **_never("litellm_trace_id max_file_size_mb", "nothing reads it"),
    **_never(
        """adaptive_router_default_model quality_router_default_model auto_router_max_input_chars
        auto_router_model_compression auto_router_routing_compression""",
        _ROUTERS,
    ),
    **_never(
        """milvus_db_name milvus_partition_names valkey_embedding_field valkey_host
        valkey_password valkey_port valkey_ssl valkey_text_field index_name vector_bucket_name
        embedding_model""",
        _STORES,
    ),
    **_later("timeout_by_service_tier stream_timeout_by_service_tier", "all tiers wait alike"),
    **_later("provider_affinity_header fireworks_forward_user_id", _HEADERS),
    **_later("use_xai_oauth", "use an api_key"),
    **_later("bedrock_tags aws_session_tags aws_batch_role_arn", "calls are not tagged"),
    **_later(
        """s3_access_key_id s3_secret_access_key s3_bucket_owner s3_encryption_key_id
        s3_endpoint_url s3_output_bucket_name""",
        _OTHER_KINDS,
    ),
    **_later(
        """openai_identity_provider_id openai_identity_token_file openai_service_account_id""",
        "use an api_key",
    ),
}

INFO: dict[str, Key] = {
    **_differs("mode", "chat and responses; entries of another mode are left out"),
    **_yes("base_model", "its abilities and prices, for a deployment of any name"),
    **_yes("max_tokens max_input_tokens max_output_tokens"),
    **_yes("supports_vision supports_function_calling supports_reasoning supports_tool_choice"),
    **_yes("supports_response_schema supports_pdf_input supports_audio_input"),
    **_yes("supports_parallel_function_calling"),
    **_yes("input_cost_per_token output_cost_per_token cache_read_input_token_cost"),
    **_yes("cache_creation_input_token_cost cache_creation_input_token_cost_above_1hr"),
    **_later("access_groups team_id team_public_model_name access_windows", _TEAMS),
    **_later(
        """health_check_model health_check_timeout health_check_max_tokens health_check_voice
        disable_background_health_check""",
        _HEALTH,
    ),
    **_later("supported_environments", "all routes are there in every environment"),
    **_later("description metadata tier", "descriptions are not shown yet"),
    **_later("blocked discoverable", "switch a route off, or hide it, at the console"),
    **_later("supports_web_search supports_computer_use supports_url_context", _DIALECT),
    **_later("enable_tag_filtering allow_fail_open", _TAGS),
    **_later("ptu_count cost_per_ptu_per_hour", "tokens are priced"),
    **_never("id key db_model created_at updated_at created_by updated_by", "rows have their own"),
    **_never("litellm_provider supports_prompt_caching supports_system_messages", "known already"),
    **_never("supports_native_streaming supports_assistant_prefill", "known already"),
    **_never("supported_openai_params supported_endpoints", "known already"),
    **_never("internal_router_model member_auto_router", _ROUTERS),
    **_yes("rpm tpm", "as limits, where those of litellm_params would be"),
    **_later("ptu_effective_from ptu_effective_to", "tokens are priced"),
    **_later(
        "off_peak_pricing tiered_pricing web_search_billing_unit search_free_requests", _PRICED
    ),
    **_later("input_cost_per_character output_cost_per_character", "tokens are priced"),
    **_later("input_cost_per_second output_cost_per_second", "tokens are priced"),
    **_yes("output_cost_per_reasoning_token"),
    **_yes("input_cost_per_audio_token output_cost_per_audio_token"),
    **_later("output_vector_size uses_embed_content", "known of each provider"),
    **_never(
        """use_openai_responses_path provider_specific_entry prompt_cache_min_tokens
        default_reasoning_effort reasoning_effort_levels supported_audio_formats
        thinking_always_on token_count_framing token_count_model token_count_tokenizer
        bedrock_converse_supports_strict_tools bedrock_output_config_effort_ceiling""",
        "known already",
    ),
    **_never("vertex_ai_audio_api", _DIALECT),
}

_FALLBACKS: dict[str, Key] = {
    **_yes("fallbacks", "the model_name `*` stands for those without their own"),
    **_yes("default_fallbacks"),
    **_yes("context_window_fallbacks content_policy_fallbacks"),
    **_differs(
        "num_retries",
        "further calls of one model before its fallbacks, as there; each deployment is asked "
        "once at least",
    ),
    **_differs("allowed_fails", "counted in a row, not by the minute; an answer forgets them"),
}

LITELLM: dict[str, Key] = {
    **_FALLBACKS,
    **_differs("drop_params", "on by default; false passes on what a model does not take"),
    **_differs("request_timeout", "as `timeout` of an entry"),
    **_yes("model_alias_map"),
    **_yes("use_chat_completions_url_for_anthropic_messages", "always so"),
    **_differs("turn_off_message_logging", "sets DRAGOMAN_LOG_BODIES to false"),
    **_differs("cache", "answers are shared by the requests of one key, not by all keys"),
    **_yes("cache_params"),
    **_later("caching_groups", "routes do not share answers"),
    **_never(
        "enable_caching_on_provider_specific_optional_params",
        "always so: every field that may change an answer is part of the question",
    ),
    **_never("enable_redis_auth_cache", "keys are looked up in memory"),
    **_never("disable_copilot_system_to_assistant", "turns keep their roles"),
    **_later(
        """callbacks success_callback failure_callback service_callback service_callbacks
        audit_log_callbacks langfuse_default_tags json_logs prometheus_initialize_budget_metrics
        custom_prometheus_metadata_labels custom_prometheus_tags prometheus_metrics_config
        disable_end_user_cost_tracking disable_end_user_cost_tracking_prometheus_only
        enable_end_user_cost_tracking_prometheus_only store_audit_logs s3_callback_params
        generic_logger_headers""",
        _OBSERVE,
    ),
    **_differs("max_budget budget_duration", f"of all requests; {_WINDOWS}"),
    **_later(
        """max_user_budget max_internal_user_budget internal_user_budget_duration
        max_end_user_budget cost_discount_config cost_margin_config tag_budget_config""",
        _LIMITS,
    ),
    **_later(
        """default_team_settings default_team_params default_internal_user_params
        upperbound_key_generate_params default_key_generate_params key_generation_settings
        enable_key_alias_format_validation public_model_groups""",
        _TEAMS,
    ),
    **_later("model_group_settings", _HEADERS),
    **_later("reasoning_auto_summary", "summaries follow the client's wish"),
    **_later("enable_json_schema_validation", "answers are not checked against their schema"),
    **_later(
        "user_url_validation user_url_allowed_hosts",
        "fetching is on or off for all (DRAGOMAN_FETCH_MEDIA), and only from public addresses",
    ),
    **_later("require_managed_files", _OTHER_KINDS),
    **_never("modify_params", "translation mends what a model refuses, and reports it"),
    **_never("set_verbose suppress_debug_info", _LEVEL),
    **_never("redact_user_api_key_info redact_messages_in_exceptions", "keys are never logged"),
    **_never("ssl_verify ssl_certificate ssl_security_level", "certificates are always checked"),
    **_never("force_ipv4", "the operating system decides"),
    **_later("anthropic_sse_ping_interval_seconds", _PINGS),
    **_never("anthropic_messages_estimate_initial_input_tokens", "usage is told as it was"),
    **_never("include_cost_in_streaming_usage", "costs are in the request log"),
    **_never("route_all_chat_openai_to_responses", "OpenAI's models are called by Chat"),
    **_never("disable_hf_tokenizer_download", "nothing is downloaded"),
    **_never("disable_add_transform_inline_image_block", "requests are not decorated"),
    **_never("enable_preview_features enable_loadbalancing_on_batch_endpoints", "nothing reads it"),
    **_never("guardrails skip_system_message_in_guardrail", _GUARD),
    **_never("mcp_aliases", _MCP),
    **_never("telemetry", "there is nothing to report to"),
}

ROUTER: dict[str, Key] = {
    **_FALLBACKS,
    **_differs(
        "routing_strategy",
        "simple-shuffle, least-busy, latency-based-routing, usage-based-routing(-v2) and "
        "cost-based-routing, by what this process has seen; another one is reported",
    ),
    **_differs("timeout stream_timeout", "as in litellm_params"),
    **_yes("stream_idle_timeout", "the wait between two pieces of a stream"),
    **_differs("cooldown_time", "a model's only deployment rests too, if there is a fallback"),
    **_yes("disable_cooldowns"),
    **_differs("model_group_alias", "`hidden` is reported: an alias is listed with its model"),
    **_later("ttft_timeout", "a first piece may take as long as an answer"),
    **_differs(
        "retry_policy model_group_retry_policy",
        "BadRequestErrorRetries is reported, as the answer would be the same",
    ),
    **_differs(
        "retry_after", "the shortest pause; it doubles, and a Retry-After of 2 s is followed"
    ),
    **_yes("max_fallbacks"),
    **_differs("allowed_fails_policy", "counted in a row; BadRequestErrorAllowedFails is reported"),
    **_yes(
        "enable_tag_filtering tag_filtering_match_any",
        "also by a key's tags, and by the header x-dragoman-tags",
    ),
    **_later("tag_routing_prefix", "tags are compared as they are"),
    **_differs(
        "provider_budget_config",
        f"of each provider here, of which there is one for each key and address; {_WINDOWS}",
    ),
    **_differs("default_max_parallel_requests", "as max_parallel_requests of litellm_params"),
    **_never("default_priority polling_interval", "requests are never queued: limits refuse"),
    **_later("redis_host redis_port redis_password redis_url redis_db redis_username", _SHARED),
    **_never("cache_responses cache_kwargs", _CACHE),
    **_later("caching_groups", "routes do not share answers"),
    **_never("client_ttl", "clients of upstreams live as long as the process"),
    **_yes(
        "enable_pre_call_check enable_pre_call_checks",
        "targets whose context is too small, or that can not take what is used, are left out",
    ),
    **_differs(
        "optional_pre_call_checks",
        "prompt_caching, session_affinity and deployment_affinity keep a session at its "
        "target, by hashing; enforce_model_rate_limits passes over a deployment that is full, "
        "and refuses where all are; others are reported",
    ),
    **_later("routing_strategy_args routing_groups weights", "strategies take no arguments yet"),
    **_later("model_group_affinity_config", "optional_pre_call_checks says it for all models"),
    **_never("deployment_affinity_ttl_seconds", "sessions are hashed: nothing is kept that ends"),
    **_later(
        """enable_health_check_routing health_check_staleness_threshold
        health_check_ignore_transient_errors""",
        _HEALTH,
    ),
    **_yes("default_litellm_params"),
    **_later("alerting_config", _OBSERVE),
    **_never("enable_weighted_failover", "the others of a route are always tried, by weight"),
    **_never(
        "enable_mid_stream_fallback_continuation",
        "a stream that has begun is never continued by another model",
    ),
    **_never("set_verbose debug_level", _LEVEL),
    **_never("ignore_invalid_deployments", "what can not run is always left out and reported"),
    **_never("router_general_settings", "models can not be hidden from their own router"),
    **_never("assistants_config guardrail_list search_tools", "they are not served"),
    **_never("model_list", "it stands at the top of the file"),
    **_never("plugins fallback_access_check fallback_budget_check", _CODE),
    **_never("auto_router_capability_limit", _ROUTERS),
    **_later("background_health_check_model_groups", _HEALTH),
    **_later("max_retries", "num_retries says it"),
}

GENERAL: dict[str, Key] = {
    **_yes("master_key", "also the admin credential; DRAGOMAN_MASTER_KEY wins"),
    **_never("database_url", "it holds LiteLLM's tables; Dragoman's are where DATABASE_URL says"),
    **_never(
        """database_connection_pool_limit database_connection_pool_timeout
        database_connection_timeout database_connect_timeout database_socket_timeout
        database_extra_connection_params database_disable_prepared_statements database_type
        database_args disable_prisma_schema_update allow_requests_on_db_unavailable""",
        _DATABASE,
    ),
    **_never("store_prompts_in_spend_logs", "DRAGOMAN_LOG_BODIES says it, and is on"),
    **_never(
        """maximum_spend_logs_retention_period maximum_spend_logs_retention_interval
        maximum_spend_logs_cleanup_cron""",
        "DRAGOMAN_LOG_RETENTION_DAYS says it; `manage.py prune_logs` does it",
    ),
    **_never("max_request_size_mb", "DRAGOMAN_MAX_BODY_BYTES says it"),
    **_never("max_response_size_mb", "answers are streamed on"),
    **_differs("max_parallel_requests", "of each deployment, as in litellm_params"),
    **_yes("global_max_parallel_requests"),
    **_later(
        """token_rate_limit_type disable_retry_on_max_parallel_request_limit_error
        fail_closed_budget_enforcement disable_reset_budget
        proxy_budget_rescheduler_min_time proxy_budget_rescheduler_max_time
        proxy_batch_write_at proxy_batch_polling_interval disable_spend_updates
        disable_batch_input_file_rate_limiting""",
        _LIMITS,
    ),
    **_differs(
        "background_health_checks health_check_interval",
        "targets of all routes are asked for a word, at most every 10 s",
    ),
    **_later(
        """health_check_details
        health_check_concurrency health_check_staleness_threshold enable_health_check_routing
        health_check_ignore_transient_errors use_shared_health_check
        health_check_skip_disabled_background_models""",
        _HEALTH,
    ),
    **_later(
        """pass_through_endpoints pass_through_request_timeout
        use_client_credentials_pass_through_routes""",
        "custom paths are not served",
    ),
    **_later(
        """forward_client_headers_to_llm_api forward_openai_org_id
        forward_llm_provider_auth_headers user_header_name user_header_mappings""",
        _HEADERS,
    ),
    **_later(
        """alerting alerting_threshold alert_types alerting_args alert_to_webhook_url
        alert_type_config spend_report_frequency""",
        _OBSERVE,
    ),
    **_later("completion_model infer_model_from_keys", "requests name their model"),
    **_later("image_generation_model embedding_model moderation_model", _OTHER_KINDS),
    **_later("litellm_key_header_name", "keys are read from the four usual headers"),
    **_later("allowed_ips use_x_forwarded_for", "a proxy in front of Dragoman filters addresses"),
    **_later("enforce_user_param enforced_params", "requests are taken as they are"),
    **_later("reject_clientside_metadata_tags", _TAGS),
    **_later(
        """default_team_disabled allow_user_auth service_account_settings role_permissions
        enforce_rbac scope_spend_list_endpoints_to_caller legacy_unscoped_spend_list_endpoints""",
        _TEAMS,
    ),
    **_later("use_redis_transaction_buffer", _SHARED),
    **_later(
        "user_url_validation user_url_allowed_hosts",
        "fetching is on or off for all (DRAGOMAN_FETCH_MEDIA), and only from public addresses",
    ),
    # Older files have these keys in this section.
    **_never("cache cache_params cache_type", "LiteLLM reads them in litellm_settings"),
    **_never("redis_host redis_port redis_password", "REDIS_URL says where Redis is"),
    **_never("store_model_in_db supported_db_objects", "the console's models are always stored"),
    **_never("disable_spend_logs disable_error_logs", "every request has a row in the log"),
    **_never("cancel_on_disconnect", "a client that leaves always ends its call"),
    **_never("always_include_stream_usage", "usage is always asked for"),
    **_never("enable_drain_endpoint drain_endpoint_token", "SIGTERM drains"),
    **_never(
        """disable_master_key_return disable_adding_master_key_hash_to_db
        disable_responses_id_security user_api_key_cache_ttl""",
        "the master key is neither stored nor shown",
    ),
    **_never(
        """custom_auth custom_auth_run_common_checks custom_key_generate custom_sso
        custom_ui_sso_sign_in_handler""",
        _CODE,
    ),
    **_never(
        """enable_jwt_auth ui_access_mode litellm_jwtauth proxy_admin_email enable_oauth2_auth
        enable_oauth2_proxy_auth oauth2_config_mappings auto_redirect_ui_login_to_sso
        control_plane_url""",
        _SIGN_IN,
    ),
    **_never(
        "allowed_routes public_routes admin_only_routes", "the README lists who may call what"
    ),
    **_never(
        "key_management_system key_management_settings use_google_kms use_azure_key_vault",
        "secrets come from the environment or from files",
    ),
    **_never("allow_client_side_credentials", "clients can not choose where a call goes"),
    **_never("block_robots", "there is nothing to crawl without a key"),
    **_never("litellm_license", "nothing is behind a licence"),
    **_never(
        "dangerously_permit_weak_or_unset_master_key",
        "a weak key is refused where others can reach it",
    ),
    **_never(
        """enable_mcp_registry mcp_client_side_auth_header_name mcp_internal_ip_ranges
        mcp_required_fields mcp_trusted_proxy_ranges require_end_user_mcp_access_defined
        user_mcp_management_mode""",
        _MCP,
    ),
    **_never("search_tools search_tool_deny_by_default vector_store_deny_by_default", _STORES),
    **_never("coordination_redis", "REDIS_URL says where Redis is"),
    **_never("admission_queue_timeout_seconds max_queued_requests_per_worker", "there is no queue"),
    **_differs("max_in_flight_requests_per_worker", "as DRAGOMAN_MAX_REQUESTS, without a queue"),
    **_never(
        """allowed_file_extensions blocked_file_extensions max_batch_file_records
        max_batch_file_size_mb max_batch_file_uploads_per_day max_file_downloads_per_minute
        max_file_size_mb transcribe_media_buckets""",
        "files are the provider's; DRAGOMAN_MAX_UPLOAD_BYTES bounds one",
    ),
    **_never(
        """allow_cli_sso_verification_uri_complete disable_auto_add_proxy_admin_to_teams
        disable_env_credential_login disable_password_login_when_sso_enabled
        failed_login_block_seconds failed_login_window_seconds
        max_failed_login_attempts_per_source max_failed_login_attempts_per_source_overrides
        password_policy_min_length password_policy_require_lowercase
        password_policy_require_numbers password_policy_require_special_characters
        password_policy_require_uppercase""",
        _SIGN_IN,
    ),
    **_never("allow_unmanaged_response_ids", "ids of ours are sealed; others are not found"),
    **_never("claude_code_gateway_managed_settings enable_claude_code_gateway", _PLAIN_AGENTS),
    **_never("enable_openai_websocket_passthrough", "/v1/responses takes websockets always"),
    **_never("responses_websocket_session_limit_seconds", "a socket lives as long as its client"),
    **_never("include_call_id_in_error_body", "x-request-id says it, also beside errors"),
    **_never("missing_session_id", "a session is what a client says"),
    **_never(
        "mcp_advertised_versions mcp_allowed_clients mcp_client_id_header "
        "mcp_prefer_client_id_metadata_document mcp_xff_num_trusted_hops",
        _MCP,
    ),
    **_never(
        """maximum_spend_logs_cleanup_batch_size maximum_spend_logs_cleanup_batch_timeout
        maximum_spend_logs_cleanup_max_batches maximum_spend_logs_cleanup_run_budget
        maximum_daily_tag_spend_retention_period maximum_health_check_retention_period
        use_spend_logs_partitioning""",
        "DRAGOMAN_LOG_RETENTION_DAYS says it; `manage.py prune_logs` does it",
    ),
    **_never("maximum_autorouter_session_retention_period", _ROUTERS),
    **_never("database_max_idle_connection_lifetime", _DATABASE),
    **_never("user_api_key_cache_max_size", "all keys are in memory"),
    **_never("plugins", _CODE),
    **_never("proxy_config_reload_interval_seconds scheduled_job_stagger", "rows are looked for"),
    **_never("model_list_healthy_only", "models that rest are listed: a fallback may answer"),
    **_never("enable_public_model_hub", "models are told to those who have a key"),
    **_later("trusted_proxy_ranges", "a proxy in front of Dragoman filters addresses"),
    **_later("provider_url_destination_allowed_hosts", "providers are the operator's to name"),
    **_later(
        """apply_user_budget_to_team_keys enforce_fallback_model_access
        spend_logs_metadata_fields spend_capture_rate_check""",
        _TEAMS,
    ),
    **_later("disable_budget_reservation fail_closed_rate_limit_enforcement", _LIMITS),
    **_later("background_health_check_model_groups", _HEALTH),
    **_later("otel", _OBSERVE),
}

CACHE: dict[str, Key] = {
    **_differs("type", "the semantic ones compare questions; where answers are is not said here"),
    **_yes("ttl", "600 s where nothing is said"),
    **_yes("default_in_redis_ttl default_in_memory_ttl", "where there is no ttl"),
    **_yes("namespace"),
    **_yes("mode", "default_on, default_off: clients then say `use-cache`"),
    **_yes("supported_call_types", "answers of every dialect are one, embeddings another"),
    **_differs("similarity_threshold", "of the last turn's words, where all else is the same"),
    **_yes(
        """redis_semantic_cache_embedding_model valkey_semantic_cache_embedding_model
        qdrant_semantic_cache_embedding_model""",
        "a model_name; without one text-embedding-ada-002",
    ),
    **_never(
        """host port password username ssl url redis_url db redis_startup_nodes sentinel_nodes
        sentinel_password service_name gcp_service_account gcp_ssl_ca_certs
        aws_iam_redis_auth redis_flush_size max_connections socket_timeout
        redis_semantic_cache_index_name valkey_semantic_cache_index_name ssl_cert_reqs
        ssl_check_hostname s3_config""",
        _REDIS,
    ),
    **_never(
        """s3_bucket_name s3_region_name s3_endpoint_url s3_api_version s3_path s3_use_ssl
        s3_verify s3_aws_access_key_id s3_aws_secret_access_key s3_aws_session_token
        gcs_bucket_name gcs_path gcs_path_service_account azure_account_url
        azure_blob_container disk_cache_dir qdrant_api_base qdrant_api_key
        qdrant_collection_name qdrant_quantization_config
        qdrant_semantic_cache_vector_size""",
        "answers are kept in the database, or on the Redis of REDIS_URL",
    ),
    **_later(
        """semantic_cache_scope semantic_cache_embedding_timeout
        semantic_cache_embedding_max_input_tokens max_messages""",
        "the last turn's words are compared, of requests of one key",
    ),
}

SECTIONS: dict[str, dict[str, Key]] = {
    "": TOP,
    "model_list[]": MODEL,
    "litellm_params": PARAMS,
    "model_info": INFO,
    "litellm_settings": LITELLM,
    "cache_params": CACHE,
    "router_settings": ROUTER,
    "general_settings": GENERAL,
}


# Keys that come in families, by name pattern; the documentation lists each family once.
_PRICES = {
    name: Key("later", _PRICED)
    for name in (
        "*_above_*",
        "*_batches",
        "*_flex",
        "*_priority",
        "*_balanced",
        "*_ultrafast",
        "*_cache_hit",
        "*_per_audio*",
        "*_per_image*",
        "*_per_video*",
        "*_per_pixel*",
        "*_per_page*",
        "*_per_credit*",
        "*_per_query*",
        "*_per_second*",
        "*_audio_token_cost",
        "*_image_token_cost",
        "citation_cost_per_token",
        "regional_*_uplift_multiplier*",
    )
}
FAMILIES: dict[str, dict[str, Key]] = {
    "litellm_params": {
        **_PRICES,
        "anthropic_*": Key("later", "workload identity is not there yet: use an api_key"),
    },
    "model_info": {**_PRICES, "supports_*": Key("never", "known already")},
}


def find_key(section: str, name: str) -> Key | None:
    """Return the support of a key; None for an unknown one."""
    key = SECTIONS[section].get(name)
    if key is not None:
        return key
    families = FAMILIES.get(section, {})
    matches = (
        family_key for form, family_key in families.items() if fnmatch.fnmatchcase(name, form)
    )
    return next(matches, None)


# Search order for an unknown key: settings of all models before those of one.
_ELSEWHERE = (
    "litellm_settings",
    "router_settings",
    "general_settings",
    "litellm_params",
    "model_info",
    "",
)


def suggest_key(section: str, name: str) -> str:
    """Return the known key closest to an unknown one; empty if none is similar.

    A key that belongs in another section is returned as `section.key`.
    """
    for section_name in _ELSEWHERE:
        if name in SECTIONS[section_name]:
            return f"{section_name}.{name}".lstrip(".")
    matches = difflib.get_close_matches(name, SECTIONS[section], n=1, cutoff=0.75)
    return matches[0] if matches else ""
