"""The keys of litellm_settings, router_settings, general_settings and cache_params."""

from __future__ import annotations

from gateway.compat.litellm.config import reasons
from gateway.compat.litellm.config.keys import (
    Key,
    differing_keys,
    planned_keys,
    supported_keys,
    unsupported_keys,
)

_FALLBACKS: dict[str, Key] = {
    **supported_keys("fallbacks", "the model_name `*` applies to models without fallbacks"),
    **supported_keys("default_fallbacks"),
    **supported_keys("context_window_fallbacks content_policy_fallbacks max_fallbacks"),
    **differing_keys(
        "num_retries",
        "further calls of one model before its fallbacks; each deployment is called at least once",
    ),
    **differing_keys(
        "allowed_fails", "consecutive failures, not failures per minute; a success resets the count"
    ),
}

LITELLM: dict[str, Key] = {
    **_FALLBACKS,
    **differing_keys(
        "drop_params", "on by default; false forwards parameters that a model rejects"
    ),
    **differing_keys("request_timeout", "like `timeout` of an entry"),
    **supported_keys("model_alias_map"),
    **supported_keys("use_chat_completions_url_for_anthropic_messages", "always on"),
    **differing_keys("turn_off_message_logging", "sets DRAGOMAN_LOG_BODIES to false"),
    **differing_keys("cache", "each key has a cache of its own"),
    **supported_keys("cache_params"),
    **planned_keys("caching_groups", "routes do not share cached responses"),
    **unsupported_keys(
        "enable_caching_on_provider_specific_optional_params",
        "always on: every field that can change a response is part of the cache key",
    ),
    **unsupported_keys("enable_redis_auth_cache", "keys are looked up in memory"),
    **unsupported_keys("disable_copilot_system_to_assistant", "roles are not changed"),
    **differing_keys(
        "callbacks success_callback failure_callback service_callback",
        "prometheus is GET /metrics; others are reported with their replacement",
    ),
    **planned_keys(
        """service_callbacks
        audit_log_callbacks langfuse_default_tags prometheus_initialize_budget_metrics
        custom_prometheus_metadata_labels custom_prometheus_tags prometheus_metrics_config
        disable_end_user_cost_tracking disable_end_user_cost_tracking_prometheus_only
        enable_end_user_cost_tracking_prometheus_only generic_logger_headers""",
        reasons.OBSERVE,
    ),
    **unsupported_keys("json_logs", "set DRAGOMAN_LOG_FORMAT to json"),
    **unsupported_keys("store_audit_logs", "every change is in the audit log"),
    **planned_keys("s3_callback_params", "set DRAGOMAN_LOG_EXPORT_URL (docs/observability.md)"),
    **differing_keys("max_budget budget_duration", f"for all requests together; {reasons.WINDOWS}"),
    **planned_keys("timezone budget_reset_time", "budgets reset at midnight (UTC)"),
    **planned_keys(
        """max_user_budget max_internal_user_budget internal_user_budget_duration
        tag_budget_config""",
        reasons.LIMITS,
    ),
    **planned_keys(
        "cost_discount_config cost_margin_config",
        "set the markup of a key, team or provider, or the default one (docs/cost.md)",
    ),
    **planned_keys(
        """default_team_settings default_team_params default_internal_user_params
        upperbound_key_generate_params default_key_generate_params key_generation_settings
        enable_key_alias_format_validation public_model_groups""",
        reasons.TEAMS,
    ),
    **differing_keys("max_end_user_budget", "the total budget of each end user, without a period"),
    **planned_keys("max_end_user_budget_id default_end_user_params", reasons.END_USERS),
    **supported_keys("extra_spend_tag_headers", "as the setting `tag_headers`"),
    **unsupported_keys(
        "return_response_headers", "responses always have the headers x-dragoman-..."
    ),
    **unsupported_keys("default_model", "requests name their model; add an alias for another name"),
    **planned_keys("custom_provider_map", reasons.CODE),
    **planned_keys("model_group_settings", reasons.HEADERS),
    **planned_keys("reasoning_auto_summary", "clients request summaries"),
    **planned_keys(
        "enable_json_schema_validation", "responses are not validated against their schema"
    ),
    **planned_keys(
        "user_url_validation user_url_allowed_hosts",
        "set DRAGOMAN_FETCH_MEDIA for all requests; only public addresses are fetched",
    ),
    **planned_keys("require_managed_files", reasons.OTHER_KINDS),
    **unsupported_keys("modify_params", "translation adapts what a model rejects, and reports it"),
    **unsupported_keys("set_verbose suppress_debug_info", reasons.LEVEL),
    **unsupported_keys(
        "redact_user_api_key_info redact_messages_in_exceptions", "keys are never logged"
    ),
    **supported_keys("ssl_verify", reasons.AUTHORITIES),
    **supported_keys("ssl_certificate", reasons.CLIENT_CERTIFICATE),
    **unsupported_keys("ssl_security_level", "OpenSSL's configuration sets the security level"),
    **unsupported_keys("force_ipv4", "the operating system selects the address family"),
    **planned_keys("anthropic_sse_ping_interval_seconds", reasons.PINGS),
    **unsupported_keys(
        "anthropic_messages_estimate_initial_input_tokens",
        "usage is reported as the provider counted it",
    ),
    **unsupported_keys("include_cost_in_streaming_usage", "costs are in the request log"),
    **unsupported_keys("route_all_chat_openai_to_responses", reasons.OPENAI_API),
    **unsupported_keys("disable_hf_tokenizer_download", "nothing is downloaded"),
    **unsupported_keys("disable_add_transform_inline_image_block", "requests are not modified"),
    **unsupported_keys(
        "enable_preview_features enable_loadbalancing_on_batch_endpoints", "not used"
    ),
    **differing_keys("guardrails", reasons.GUARDRAILS),
    **unsupported_keys("skip_system_message_in_guardrail", "all messages are checked"),
    **unsupported_keys("mcp_aliases", reasons.MCP),
    **unsupported_keys("telemetry", "no telemetry is sent"),
}

ROUTER: dict[str, Key] = {
    **_FALLBACKS,
    **differing_keys(
        "routing_strategy",
        "simple-shuffle, least-busy, latency-based-routing, usage-based-routing(-v2) and "
        "cost-based-routing, measured per process; others are reported",
    ),
    **differing_keys("timeout stream_timeout", "as in litellm_params"),
    **supported_keys("stream_idle_timeout", "time between two chunks of a stream"),
    **differing_keys(
        "cooldown_time", "also applies to a model's only deployment, if there is a fallback"
    ),
    **supported_keys("disable_cooldowns"),
    **differing_keys(
        "model_group_alias", "`hidden` has no effect: an alias is listed with its model"
    ),
    **planned_keys("ttft_timeout", "use timeout, which limits the time to the first byte"),
    **differing_keys(
        "retry_policy model_group_retry_policy",
        "500 and 503 have the same number, the higher one; BadRequestErrorRetries and "
        "NotFoundErrorRetries have no effect: the response would be the same",
    ),
    **differing_keys(
        "retry_after", "the first pause; it doubles, and a Retry-After of up to 2 s is honored"
    ),
    **differing_keys(
        "allowed_fails_policy",
        "consecutive failures; 500, 502 and 503 have the same number, the highest one; "
        "BadRequestErrorAllowedFails, NotFoundErrorAllowedFails and "
        "ContentPolicyViolationErrorAllowedFails have no effect",
    ),
    **supported_keys(
        "enable_tag_filtering tag_filtering_match_any",
        "also with a key's tags and the header x-dragoman-tags",
    ),
    **planned_keys("tag_routing_prefix", "tags are compared literally"),
    **differing_keys(
        "provider_budget_config",
        f"per provider, of which there is one for each key and base URL; {reasons.WINDOWS}",
    ),
    **differing_keys(
        "default_max_parallel_requests", "like max_parallel_requests of litellm_params"
    ),
    **unsupported_keys(
        "default_priority polling_interval", "requests are not queued: limits reject them"
    ),
    **supported_keys(
        "redis_host redis_port redis_password redis_url redis_db redis_username redis_ssl",
        "as REDIS_URL, which takes precedence: one Redis for limits, budgets and the cache",
    ),
    **unsupported_keys("cache_responses cache_kwargs", reasons.CACHE),
    **planned_keys("caching_groups", "routes do not share cached responses"),
    **unsupported_keys("client_ttl", "HTTP clients live as long as the process"),
    **supported_keys(
        "enable_pre_call_check enable_pre_call_checks",
        "targets with too small a context, or without a required capability, are skipped",
    ),
    **differing_keys(
        "optional_pre_call_checks",
        "prompt_caching, session_affinity and deployment_affinity keep a session on its "
        "target by hashing; enforce_model_rate_limits skips a deployment at its limit, and "
        "rejects requests if all are; others are reported",
    ),
    **planned_keys(
        "routing_strategy_args routing_groups weights", "strategies have no arguments yet"
    ),
    **planned_keys("model_group_affinity_config", "use optional_pre_call_checks for all models"),
    **unsupported_keys(
        "deployment_affinity_ttl_seconds",
        "sessions are assigned by hashing; there is no state that expires",
    ),
    **planned_keys(
        """enable_health_check_routing health_check_staleness_threshold
        health_check_ignore_transient_errors""",
        reasons.HEALTH,
    ),
    **supported_keys("default_litellm_params"),
    **planned_keys("alerting_config", reasons.ALERTS),
    **unsupported_keys(
        "enable_weighted_failover", "the other targets of a route are always tried, by weight"
    ),
    **unsupported_keys(
        "enable_mid_stream_fallback_continuation",
        "a stream that has started is not continued by another model",
    ),
    **unsupported_keys("set_verbose debug_level", reasons.LEVEL),
    **unsupported_keys(
        "ignore_invalid_deployments", "entries that cannot be used are always skipped and reported"
    ),
    **unsupported_keys("router_general_settings", "the router can call all models"),
    **unsupported_keys("assistants_config guardrail_list search_tools", "not supported"),
    **unsupported_keys("model_list", "set it at the top level of the file"),
    **unsupported_keys("plugins fallback_access_check fallback_budget_check", reasons.CODE),
    **unsupported_keys("auto_router_capability_limit", reasons.ROUTERS),
    **planned_keys("background_health_check_model_groups", reasons.HEALTH),
    **planned_keys("max_retries", "use num_retries"),
}

GENERAL_KEYS: dict[str, Key] = {
    **supported_keys(
        "master_key", "also the admin credential; DRAGOMAN_MASTER_KEY takes precedence"
    ),
    **unsupported_keys(
        "database_url",
        "it has LiteLLM's tables; set DATABASE_URL to another one, or use the embedded database",
    ),
    **unsupported_keys(
        """database_connection_pool_limit database_connection_pool_timeout
        database_connection_timeout database_connect_timeout database_socket_timeout
        database_extra_connection_params database_disable_prepared_statements database_type
        database_args disable_prisma_schema_update allow_requests_on_db_unavailable""",
        reasons.DATABASE,
    ),
    **unsupported_keys("store_prompts_in_spend_logs", "set DRAGOMAN_LOG_BODIES (on by default)"),
    **unsupported_keys(
        """maximum_spend_logs_retention_period maximum_spend_logs_retention_interval
        maximum_spend_logs_cleanup_cron""",
        "set DRAGOMAN_LOG_RETENTION_DAYS",
    ),
    **unsupported_keys("max_request_size_mb", "set DRAGOMAN_MAX_BODY_BYTES"),
    **unsupported_keys("max_response_size_mb", "responses are streamed"),
    **differing_keys("max_parallel_requests", "per deployment, as in litellm_params"),
    **supported_keys("global_max_parallel_requests"),
    **planned_keys(
        """token_rate_limit_type disable_retry_on_max_parallel_request_limit_error
        fail_closed_budget_enforcement disable_reset_budget proxy_batch_polling_interval
        disable_spend_updates disable_batch_input_file_rate_limiting""",
        reasons.LIMITS,
    ),
    **unsupported_keys(
        """proxy_batch_write_at proxy_budget_rescheduler_min_time
        proxy_budget_rescheduler_max_time""",
        "spend is written within seconds, and a budget resets at the start of its period",
    ),
    **differing_keys(
        "background_health_checks health_check_interval",
        "a one-word prompt to the targets of all routes, at most every 10 s",
    ),
    **planned_keys(
        """health_check_details
        health_check_concurrency health_check_staleness_threshold enable_health_check_routing
        health_check_ignore_transient_errors use_shared_health_check
        health_check_skip_disabled_background_models""",
        reasons.HEALTH,
    ),
    **planned_keys(
        """pass_through_endpoints pass_through_request_timeout
        use_client_credentials_pass_through_routes""",
        "custom paths are not supported",
    ),
    **planned_keys(
        "forward_client_headers_to_llm_api forward_openai_org_id",
        reasons.HEADERS,
    ),
    **supported_keys(
        "forward_llm_provider_auth_headers",
        "with the gateway key as x-dragoman-key or x-litellm-api-key",
    ),
    **supported_keys("user_header_name", "first of the headers that name the end user"),
    **differing_keys(
        "user_header_mappings", "headers of customers; those of internal users are reported"
    ),
    **planned_keys(
        """alerting alerting_threshold alert_types alerting_args alert_to_webhook_url
        alert_type_config""",
        reasons.ALERTS,
    ),
    **planned_keys("spend_report_frequency", "use `manage.py spend` or GET /api/spend"),
    **planned_keys("completion_model infer_model_from_keys", "requests name their model"),
    **planned_keys("image_generation_model embedding_model moderation_model", reasons.OTHER_KINDS),
    **planned_keys(
        "litellm_key_header_name",
        "keys are read from x-dragoman-key, x-litellm-api-key, authorization, x-api-key, api-key "
        "and x-goog-api-key",
    ),
    **planned_keys(
        "allowed_ips use_x_forwarded_for", "filter addresses in a proxy in front of the gateway"
    ),
    **planned_keys("enforce_user_param enforced_params", "fields of requests are not enforced"),
    **planned_keys("reject_clientside_metadata_tags", reasons.TAGS),
    **planned_keys(
        """default_team_disabled allow_user_auth service_account_settings role_permissions
        enforce_rbac scope_spend_list_endpoints_to_caller legacy_unscoped_spend_list_endpoints""",
        reasons.TEAMS,
    ),
    **planned_keys("use_redis_transaction_buffer", reasons.REDIS),
    **planned_keys(
        "user_url_validation user_url_allowed_hosts",
        "set DRAGOMAN_FETCH_MEDIA for all requests; only public addresses are fetched",
    ),
    # Older files have these keys in this section.
    **unsupported_keys("cache cache_params cache_type", "set them in litellm_settings"),
    **unsupported_keys(
        "redis_host redis_port redis_password",
        "set REDIS_URL, or host and port in router_settings or cache_params",
    ),
    **unsupported_keys(
        "store_model_in_db supported_db_objects", "models are always stored in the database"
    ),
    **unsupported_keys("disable_spend_logs disable_error_logs", "every request is logged"),
    **unsupported_keys("cancel_on_disconnect", "a call always ends when its client disconnects"),
    **unsupported_keys("always_include_stream_usage", reasons.STREAM_USAGE),
    **unsupported_keys("enable_drain_endpoint drain_endpoint_token", "SIGTERM starts draining"),
    **unsupported_keys(
        "disable_master_key_return disable_adding_master_key_hash_to_db",
        "the master key is neither stored nor returned",
    ),
    **unsupported_keys("user_api_key_cache_ttl", "changes of keys take effect within a second"),
    **unsupported_keys(
        """custom_auth custom_auth_run_common_checks custom_key_generate custom_sso
        custom_ui_sso_sign_in_handler""",
        reasons.CODE,
    ),
    **unsupported_keys(
        """enable_jwt_auth ui_access_mode litellm_jwtauth proxy_admin_email enable_oauth2_auth
        enable_oauth2_proxy_auth oauth2_config_mappings auto_redirect_ui_login_to_sso
        control_plane_url""",
        reasons.SIGN_IN,
    ),
    **unsupported_keys(
        "allowed_routes public_routes admin_only_routes",
        "keys may call all model endpoints and no management endpoints (docs/security.md)",
    ),
    **unsupported_keys(
        "key_management_system key_management_settings use_google_kms use_azure_key_vault",
        "set secrets in the environment or in files",
    ),
    **unsupported_keys(
        "allow_client_side_credentials",
        "clients cannot choose the endpoint or credential of a call",
    ),
    **unsupported_keys("block_robots", "all model endpoints need a key"),
    **unsupported_keys("litellm_license", "there are no licensed features"),
    **unsupported_keys(
        "dangerously_permit_weak_or_unset_master_key",
        "a weak key is rejected unless the gateway listens on loopback only",
    ),
    **unsupported_keys(
        """enable_mcp_registry mcp_client_side_auth_header_name mcp_internal_ip_ranges
        mcp_required_fields mcp_trusted_proxy_ranges require_end_user_mcp_access_defined
        user_mcp_management_mode""",
        reasons.MCP,
    ),
    **unsupported_keys(
        "search_tools search_tool_deny_by_default vector_store_deny_by_default", reasons.STORES
    ),
    **unsupported_keys(
        "coordination_redis", "set REDIS_URL, or host and port in router_settings or cache_params"
    ),
    **unsupported_keys(
        "admission_queue_timeout_seconds max_queued_requests_per_worker", "requests are not queued"
    ),
    **differing_keys(
        "max_in_flight_requests_per_worker", "like DRAGOMAN_MAX_REQUESTS; requests are not queued"
    ),
    **unsupported_keys(
        """allowed_file_extensions blocked_file_extensions max_batch_file_records
        max_batch_file_size_mb max_batch_file_uploads_per_day max_file_downloads_per_minute
        max_file_size_mb transcribe_media_buckets""",
        "files are stored by the provider; DRAGOMAN_MAX_UPLOAD_BYTES limits their size",
    ),
    **unsupported_keys(
        """allow_cli_sso_verification_uri_complete disable_auto_add_proxy_admin_to_teams
        disable_env_credential_login""",
        reasons.SIGN_IN,
    ),
    **unsupported_keys(
        "disable_password_login_when_sso_enabled", "set DRAGOMAN_PASSWORD_LOGIN to false"
    ),
    **unsupported_keys(
        """failed_login_block_seconds failed_login_window_seconds
        max_failed_login_attempts_per_source max_failed_login_attempts_per_source_overrides
        password_policy_min_length password_policy_require_lowercase
        password_policy_require_numbers password_policy_require_special_characters
        password_policy_require_uppercase""",
        reasons.SIGN_IN_LIMITS,
    ),
    **unsupported_keys(
        "allow_unmanaged_response_ids disable_responses_id_security",
        "a response can be read with the key that created it, and with keys of its team",
    ),
    **unsupported_keys(
        "claude_code_gateway_managed_settings enable_claude_code_gateway", reasons.PLAIN_AGENTS
    ),
    **unsupported_keys(
        "enable_openai_websocket_passthrough", "/v1/responses always accepts WebSockets"
    ),
    **unsupported_keys(
        "responses_websocket_session_limit_seconds", "a WebSocket is closed after 60 minutes"
    ),
    **unsupported_keys("include_call_id_in_error_body", "x-request-id is returned with errors too"),
    **unsupported_keys("missing_session_id", "clients name their sessions"),
    **unsupported_keys(
        "mcp_advertised_versions mcp_allowed_clients mcp_client_id_header "
        "mcp_prefer_client_id_metadata_document mcp_xff_num_trusted_hops",
        reasons.MCP,
    ),
    **unsupported_keys(
        """maximum_spend_logs_cleanup_batch_size maximum_spend_logs_cleanup_batch_timeout
        maximum_spend_logs_cleanup_max_batches maximum_spend_logs_cleanup_run_budget
        maximum_daily_tag_spend_retention_period maximum_health_check_retention_period
        use_spend_logs_partitioning""",
        "set DRAGOMAN_LOG_RETENTION_DAYS",
    ),
    **unsupported_keys("maximum_autorouter_session_retention_period", reasons.ROUTERS),
    **unsupported_keys("database_max_idle_connection_lifetime", reasons.DATABASE),
    **unsupported_keys("user_api_key_cache_max_size", "all keys are in memory"),
    **unsupported_keys("plugins", reasons.CODE),
    **unsupported_keys(
        "proxy_config_reload_interval_seconds scheduled_job_stagger",
        "changes take effect within a second",
    ),
    **unsupported_keys("model_list_healthy_only", "models in cooldown are listed"),
    **unsupported_keys("enable_public_model_hub", "models are listed for callers with a key"),
    **planned_keys("trusted_proxy_ranges", "filter addresses in a proxy in front of the gateway"),
    **planned_keys("provider_url_destination_allowed_hosts", "operators configure the providers"),
    **planned_keys(
        """apply_user_budget_to_team_keys enforce_fallback_model_access
        spend_logs_metadata_fields spend_capture_rate_check""",
        reasons.TEAMS,
    ),
    **planned_keys("disable_budget_reservation fail_closed_rate_limit_enforcement", reasons.LIMITS),
    **planned_keys("background_health_check_model_groups", reasons.HEALTH),
    **planned_keys("otel", reasons.OBSERVE),
}

CACHE_KEYS: dict[str, Key] = {
    **differing_keys(
        "type",
        "semantic types compare prompts; responses are in memory and the database, or in Redis",
    ),
    **supported_keys("ttl", "600 s by default"),
    **supported_keys("default_in_redis_ttl default_in_memory_ttl", "if there is no ttl"),
    **supported_keys("namespace"),
    **supported_keys(
        "mode", "default_on or default_off; with default_off clients send `use-cache`"
    ),
    **supported_keys("supported_call_types", "generation, in every API, or embeddings"),
    **differing_keys(
        "similarity_threshold", "of the text of the last turn, if all other fields are equal"
    ),
    **supported_keys(
        """redis_semantic_cache_embedding_model valkey_semantic_cache_embedding_model
        qdrant_semantic_cache_embedding_model""",
        "a model_name; text-embedding-ada-002 by default",
    ),
    **supported_keys(
        "host port password username ssl url redis_url db",
        "with a type `redis`: as REDIS_URL, unless the router has a Redis",
    ),
    **unsupported_keys(
        """redis_startup_nodes sentinel_nodes
        sentinel_password service_name gcp_service_account gcp_ssl_ca_certs
        aws_iam_redis_auth redis_flush_size max_connections socket_timeout
        redis_semantic_cache_index_name valkey_semantic_cache_index_name ssl_cert_reqs
        ssl_check_hostname""",
        reasons.REDIS,
    ),
    **unsupported_keys(
        """s3_config s3_bucket_name s3_region_name s3_endpoint_url s3_api_version s3_path s3_use_ssl
        s3_verify s3_aws_access_key_id s3_aws_secret_access_key s3_aws_session_token
        gcs_bucket_name gcs_path gcs_path_service_account azure_account_url
        azure_blob_container disk_cache_dir qdrant_api_base qdrant_api_key
        qdrant_collection_name qdrant_quantization_config
        qdrant_semantic_cache_vector_size""",
        "cached responses are in the database or in Redis",
    ),
    **planned_keys(
        """semantic_cache_scope semantic_cache_embedding_timeout
        semantic_cache_embedding_max_input_tokens max_messages""",
        "the text of the last turn is compared, among requests of one key",
    ),
}
