"""Every known key of LiteLLM's configuration file, and how it is supported.

`supported` keys do what LiteLLM documents, or something else if `differs` is set, as `reason`
explains. `planned` keys are recognized and reported; `unsupported` keys are covered by another part
of Dragoman or belong to one it does not have. docs/litellm.md shows this table; a test compares
them. The names are those of docs.litellm.ai/docs/proxy/config_settings and of LiteLLM 1.106.2
itself (litellm/types/router.py, litellm/proxy/_types.py, litellm/router.py).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.compat.litellm.config import reasons

Status = Literal["supported", "planned", "unsupported"]


class Key(msgspec.Struct, frozen=True):
    """How a key is supported, and why."""

    status: Status
    reason: str
    differs: bool = False

    @property
    def status_label(self) -> str:
        """The status as the documentation words it."""
        if self.status == "supported":
            return "different" if self.differs else "same"
        return "not yet" if self.status == "planned" else "no"


def supported_keys(names: str, reason: str = "") -> dict[str, Key]:
    """Return a supported key for each name in a list separated by spaces."""
    return {name: Key("supported", reason) for name in names.split()}


def differing_keys(names: str, reason: str) -> dict[str, Key]:
    """Return a key that works differently for each name in a list separated by spaces."""
    return {name: Key("supported", reason, differs=True) for name in names.split()}


def planned_keys(names: str, reason: str) -> dict[str, Key]:
    """Return a key that is not supported yet for each name in a list separated by spaces."""
    return {name: Key("planned", reason) for name in names.split()}


def unsupported_keys(names: str, reason: str) -> dict[str, Key]:
    """Return a key that will not be supported for each name in a list separated by spaces."""
    return {name: Key("unsupported", reason) for name in names.split()}


TOP_LEVEL_KEYS: dict[str, Key] = {
    **supported_keys("model_list litellm_settings router_settings general_settings"),
    **supported_keys("environment_variables", "a variable of the environment takes precedence"),
    **supported_keys("include", "relative to the including file"),
    **supported_keys("credential_list", "an entry's own litellm_params take precedence"),
    **planned_keys("callback_settings", reasons.OBSERVE),
    **planned_keys("files_settings finetune_settings assistant_settings", reasons.OTHER_KINDS),
    **differing_keys("guardrails", reasons.GUARDRAILS),
    **unsupported_keys("policies policy_attachments", reasons.POLICIES),
    **unsupported_keys("mcp_servers mcp_tools mcp_settings", reasons.MCP),
    **unsupported_keys(
        "prompts", "create them in the console or with /api/prompts (docs/prompts.md)"
    ),
    **unsupported_keys("vector_store_registry search_tools", reasons.STORES),
    **unsupported_keys("agents agent_list worker_registry", "clients run their own agents"),
}

MODEL: dict[str, Key] = {
    **supported_keys("model_name", "`*` in the model is replaced by what matched `*` in the name"),
    **supported_keys("litellm_params model_info"),
    **unsupported_keys("rpm tpm", "set them in litellm_params"),
}

PARAMS: dict[str, Key] = {
    **supported_keys(
        "model",
        "a provider prefix, or a name that LiteLLM knows without one; a bare `gemini-*` with a "
        "vertex_project is on Vertex AI",
    ),
    **supported_keys(
        "api_key", "with os.environ/NAME only the name is stored; a literal key is stored encrypted"
    ),
    **supported_keys(
        "api_base base_url", "without it, the variable PREFIX_API_BASE, such as OPENAI_API_BASE"
    ),
    **supported_keys("api_version", "Azure's; also from AZURE_API_VERSION"),
    **supported_keys("organization custom_llm_provider extra_body order"),
    **supported_keys("extra_headers headers", "with os.environ/NAME only the name is stored"),
    **supported_keys(
        "weight", "the first entry of a model decides whether weight, rpm or tpm is used"
    ),
    **differing_keys(
        "rpm tpm",
        "shares of the traffic with simple-shuffle; limits with usage-based-routing(-v2), "
        "latency-based-routing, cost-based-routing and enforce_model_rate_limits, rpm also with "
        "enable_pre_call_checks; they do not limit concurrency",
    ),
    **differing_keys(
        "timeout", "time to the first byte; a stream that keeps sending is not cut off"
    ),
    **differing_keys("stream_timeout", "time between two chunks of a stream"),
    **differing_keys("max_retries num_retries", "one value per route: the highest of its entries"),
    **differing_keys("cooldown_time", "one value per route: the longest of its entries"),
    **differing_keys(
        "drop_params", "on by default; false forwards parameters that a model rejects"
    ),
    **supported_keys("additional_drop_params"),
    **supported_keys("input_cost_per_token output_cost_per_token cache_read_input_token_cost"),
    **supported_keys("cache_creation_input_token_cost cache_creation_input_token_cost_above_1hr"),
    **supported_keys(
        """temperature top_p top_k n seed stop presence_penalty frequency_penalty logit_bias
        logprobs top_logprobs reasoning_effort response_format service_tier user verbosity
        thinking parallel_tool_calls modalities audio prediction store web_search_options""",
        "a default, sent where the client leaves it out; translated for the provider's API",
    ),
    **supported_keys(
        """num_ctx num_predict num_gpu num_thread num_batch repeat_penalty repeat_last_n mirostat
        mirostat_eta mirostat_tau tfs_z typical_p keep_alive""",
        "Ollama's options: a default",
    ),
    **supported_keys(
        "min_p repetition_penalty chat_template_kwargs", "a default, as vLLM and others have it"
    ),
    **supported_keys("safety_settings", "Gemini's: a default"),
    **supported_keys(
        "max_tokens max_completion_tokens", "a default, under the name that the model accepts"
    ),
    **differing_keys("max_budget budget_duration", reasons.WINDOWS),
    **differing_keys(
        "max_parallel_requests",
        "a deployment at its limit is skipped and retried after a pause; requests are not queued",
    ),
    **supported_keys(
        "default_api_key_tpm_limit default_api_key_rpm_limit",
        "per key and model: the lowest of its entries",
    ),
    **planned_keys("itpm otpm", "input and output tokens share one limit: use tpm"),
    **supported_keys("tags", "select targets if router_settings.enable_tag_filtering is on"),
    **planned_keys("tag_regex", "tags are compared literally"),
    **supported_keys(
        "aws_access_key_id aws_secret_access_key aws_session_token aws_profile_name",
        "stored encrypted, except for variables of the same name, which AWS's own chain reads",
    ),
    **supported_keys("aws_region_name region_name", "also from AWS_REGION_NAME and AWS_REGION"),
    **supported_keys("aws_bedrock_runtime_endpoint"),
    **supported_keys("sagemaker_base_url", "with the path of the endpoint, as in LiteLLM"),
    **supported_keys("model_id", "SageMaker's inference component; not used for other providers"),
    **unsupported_keys(
        "hf_model_name aws_sagemaker_allow_zero_temp",
        "the container renders the prompt and decides which temperatures are valid",
    ),
    **supported_keys(
        "vertex_project vertex_ai_project", "by default the project of the credential"
    ),
    **supported_keys("vertex_location vertex_ai_location"),
    **supported_keys(
        "vertex_credentials vertex_ai_credentials", "JSON, or the path of a JSON file"
    ),
    **supported_keys("azure_ad_token", "sent unchanged; it expires"),
    **supported_keys(
        "tenant_id client_id client_secret azure_scope",
        "tokens are fetched and renewed; `tenant_id` is also Predibase's tenant",
    ),
    **supported_keys("predibase_tenant_id", "also from PREDIBASE_TENANT_ID"),
    **planned_keys("adapter_id", "Predibase's adapters; an entry with one is skipped"),
    **planned_keys(
        """aws_role_name aws_session_name aws_web_identity_token aws_sts_endpoint
        aws_external_id aws_bedrock_project_id""",
        "set aws_profile_name to a profile that assumes the role",
    ),
    **planned_keys("watsonx_region_name project_id", reasons.DIALECT),
    **planned_keys(
        "azure_ad_token_provider azure_username azure_password",
        "use an api_key, or tenant_id, client_id and client_secret",
    ),
    **supported_keys("litellm_credential_name", "a name in credential_list"),
    **differing_keys(
        "cache_control_injection_points",
        "the route's `prompt_cache`: breakpoints after the tools, the system prompt and the last "
        "two user turns, for clients that set none",
    ),
    **differing_keys(
        "mock_response",
        "a text, or litellm.RateLimitError, .InternalServerError or .ContextWindowExceededError; "
        "returned by the demo provider, at the model's price",
    ),
    **planned_keys("mock_tool_calls", "the demo provider has scripted responses"),
    **planned_keys(
        "configurable_clientside_auth_params",
        "clients cannot choose the endpoint or credential of a call",
    ),
    **planned_keys(
        "input_cost_per_second output_cost_per_second cost_per_query", "prices are per token"
    ),
    **planned_keys("input_cost_per_character output_cost_per_character", "prices are per token"),
    **supported_keys("output_cost_per_reasoning_token"),
    **supported_keys("input_cost_per_audio_token output_cost_per_audio_token"),
    **planned_keys("metadata proxy_server_request", "not used"),
    **planned_keys("caching cache ttl", reasons.CACHE),
    **planned_keys("use_in_pass_through", "custom paths are not supported"),
    **planned_keys(
        "s3_bucket_name s3_region_name gcs_bucket_name bucket_name", reasons.OTHER_KINDS
    ),
    **unsupported_keys(
        """auto_router_config_path auto_router_config auto_router_default_model
        auto_router_embedding_model
        adaptive_router_config quality_router_config""",
        reasons.ROUTERS,
    ),
    **differing_keys(
        "complexity_router_config complexity_router_default_model", reasons.COMPLEXITY
    ),
    **supported_keys("guardrails", "names of guardrails of this file, attached to the route"),
    **unsupported_keys("vector_store_id milvus_text_field", reasons.STORES),
    **unsupported_keys("allowed_openai_params", "all fields that the model accepts are forwarded"),
    **unsupported_keys("use_chat_completions_api", reasons.OPENAI_API),
    **unsupported_keys("use_litellm_proxy", "write litellm_proxy/MODEL with its api_base"),
    **unsupported_keys("merge_reasoning_content_in_choices", "reasoning is in a separate field"),
    **planned_keys("keepalive_seconds allow_client_keepalive_override", reasons.PINGS),
    **unsupported_keys("stream_options", reasons.STREAM_USAGE),
    **supported_keys("ssl_verify", reasons.AUTHORITIES),
    **supported_keys("ssl_certificate", reasons.CLIENT_CERTIFICATE),
    **unsupported_keys("model_info id", "set it next to litellm_params"),
    **unsupported_keys("litellm_trace_id max_file_size_mb", "not used"),
    **unsupported_keys(
        """adaptive_router_default_model quality_router_default_model auto_router_max_input_chars
        auto_router_model_compression auto_router_routing_compression""",
        reasons.ROUTERS,
    ),
    **unsupported_keys(
        """milvus_db_name milvus_partition_names valkey_embedding_field valkey_host
        valkey_password valkey_port valkey_ssl valkey_text_field index_name vector_bucket_name
        embedding_model""",
        reasons.STORES,
    ),
    **planned_keys(
        "timeout_by_service_tier stream_timeout_by_service_tier",
        "all service tiers have the same timeouts",
    ),
    **planned_keys("provider_affinity_header fireworks_forward_user_id", reasons.HEADERS),
    **planned_keys("use_xai_oauth", "use an api_key"),
    **planned_keys(
        "bedrock_tags aws_session_tags aws_batch_role_arn", "calls are not tagged at the provider"
    ),
    **planned_keys(
        """s3_access_key_id s3_secret_access_key s3_bucket_owner s3_encryption_key_id
        s3_endpoint_url s3_output_bucket_name""",
        reasons.OTHER_KINDS,
    ),
    **planned_keys(
        """openai_identity_provider_id openai_identity_token_file openai_service_account_id""",
        "use an api_key",
    ),
}

INFO: dict[str, Key] = {
    **supported_keys("mode", "every mode is served; the endpoints depend on the provider"),
    **supported_keys("base_model", "capabilities and prices, for a deployment with another name"),
    **supported_keys("max_tokens max_input_tokens max_output_tokens"),
    **supported_keys(
        "supports_vision supports_function_calling supports_reasoning supports_tool_choice"
    ),
    **supported_keys("supports_response_schema supports_pdf_input supports_audio_input"),
    **supported_keys("supports_parallel_function_calling"),
    **supported_keys("input_cost_per_token output_cost_per_token cache_read_input_token_cost"),
    **supported_keys("cache_creation_input_token_cost cache_creation_input_token_cost_above_1hr"),
    **planned_keys("access_groups team_id team_public_model_name access_windows", reasons.TEAMS),
    **planned_keys(
        """health_check_model health_check_timeout health_check_max_tokens health_check_voice
        disable_background_health_check""",
        reasons.HEALTH,
    ),
    **planned_keys("supported_environments", "all routes exist in every environment"),
    **planned_keys("description metadata tier", "models and routes have no descriptions"),
    **planned_keys("blocked discoverable", "disable or hide the route in the console"),
    **planned_keys(
        "supports_web_search supports_computer_use supports_url_context", reasons.CAPABILITIES
    ),
    **planned_keys("enable_tag_filtering allow_fail_open", reasons.TAGS),
    **planned_keys("ptu_count cost_per_ptu_per_hour", "prices are per token"),
    **differing_keys("id", "a name of this deployment alone, which has limits of its own"),
    **unsupported_keys(
        "key db_model created_at updated_at created_by updated_by", "managed by the gateway"
    ),
    **unsupported_keys(
        "litellm_provider supports_prompt_caching supports_system_messages",
        reasons.CAPABILITIES,
    ),
    **unsupported_keys(
        "supports_native_streaming supports_assistant_prefill", reasons.CAPABILITIES
    ),
    **unsupported_keys("supported_openai_params supported_endpoints", reasons.CAPABILITIES),
    **unsupported_keys("internal_router_model member_auto_router", reasons.ROUTERS),
    **supported_keys("rpm tpm", "as in litellm_params"),
    **planned_keys("ptu_effective_from ptu_effective_to", "prices are per token"),
    **planned_keys(
        "off_peak_pricing tiered_pricing web_search_billing_unit search_free_requests",
        reasons.PRICED,
    ),
    **planned_keys("input_cost_per_character output_cost_per_character", "prices are per token"),
    **planned_keys("input_cost_per_second output_cost_per_second", "prices are per token"),
    **supported_keys("output_cost_per_reasoning_token"),
    **supported_keys("input_cost_per_audio_token output_cost_per_audio_token"),
    **planned_keys("output_vector_size uses_embed_content", "known from the provider presets"),
    **unsupported_keys(
        """use_openai_responses_path provider_specific_entry prompt_cache_min_tokens
        default_reasoning_effort reasoning_effort_levels supported_audio_formats
        thinking_always_on token_count_framing token_count_model token_count_tokenizer
        bedrock_converse_supports_strict_tools bedrock_output_config_effort_ceiling""",
        reasons.CAPABILITIES,
    ),
    **unsupported_keys("vertex_ai_audio_api", reasons.DIALECT),
}
