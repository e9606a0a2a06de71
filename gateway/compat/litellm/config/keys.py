"""Every known key of LiteLLM's configuration file, and how it is supported.

`supported` keys do what LiteLLM documents, or something else if `differs` is set, as `why`
explains. `later` keys are recognised and reported; `never` keys are covered by another part of
Dragoman or belong to one it does not have. docs/litellm.md shows this table; a test compares
them. The names are those of docs.litellm.ai/docs/proxy/config_settings and of LiteLLM 1.106.2
itself (litellm/types/router.py, litellm/proxy/_types.py, litellm/router.py).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.compat.litellm.config import reasons

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


def yes(names: str, why: str = "") -> dict[str, Key]:
    """Return a row for each name, separated by spaces."""
    return {name: Key("supported", why) for name in names.split()}


def differs(names: str, why: str) -> dict[str, Key]:
    """Return a row for each name, separated by spaces."""
    return {name: Key("supported", why, differs=True) for name in names.split()}


def later(names: str, why: str) -> dict[str, Key]:
    """Return a row for each name, separated by spaces."""
    return {name: Key("later", why) for name in names.split()}


def never(names: str, why: str) -> dict[str, Key]:
    """Return a row for each name, separated by spaces."""
    return {name: Key("never", why) for name in names.split()}


TOP: dict[str, Key] = {
    **yes("model_list litellm_settings router_settings general_settings"),
    **yes("environment_variables", "a variable of the environment takes precedence"),
    **yes("include", "relative to the including file"),
    **yes("credential_list", "an entry's own litellm_params take precedence"),
    **later("callback_settings", reasons.OBSERVE),
    **later("files_settings finetune_settings assistant_settings", reasons.OTHER_KINDS),
    **differs("guardrails", reasons.GUARDRAILS),
    **never("policies policy_attachments", reasons.POLICIES),
    **never("mcp_servers mcp_tools mcp_settings", reasons.MCP),
    **never("prompts", "clients send their own prompts"),
    **never("vector_store_registry search_tools", reasons.STORES),
    **never("agents agent_list worker_registry", "clients run their own agents"),
}

MODEL: dict[str, Key] = {
    **yes("model_name", "`*` in the model is replaced by what matched `*` in the name"),
    **yes("litellm_params model_info"),
    **never("rpm tpm", "set them in litellm_params"),
}

PARAMS: dict[str, Key] = {
    **yes(
        "model",
        "a provider prefix, or a name that LiteLLM knows without one; a bare `gemini-*` with a "
        "vertex_project is on Vertex AI",
    ),
    **yes(
        "api_key", "with os.environ/NAME only the name is stored; a literal key is stored encrypted"
    ),
    **yes("api_base base_url", "without it, the variable PREFIX_API_BASE, such as OPENAI_API_BASE"),
    **yes("api_version", "Azure's; also from AZURE_API_VERSION"),
    **yes("organization custom_llm_provider extra_body order"),
    **yes("extra_headers headers", "with os.environ/NAME only the name is stored"),
    **yes("weight", "the first entry of a model decides whether weight, rpm or tpm is used"),
    **differs(
        "rpm tpm",
        "shares of the traffic with simple-shuffle; limits with usage-based-routing(-v2), "
        "latency-based-routing, cost-based-routing and enforce_model_rate_limits, rpm also with "
        "enable_pre_call_checks; they do not limit concurrency",
    ),
    **differs("timeout", "time to the first byte; a stream that keeps sending is not cut off"),
    **differs("stream_timeout", "time between two chunks of a stream"),
    **differs("max_retries num_retries", "one value per route: the highest of its entries"),
    **differs("cooldown_time", "one value per route: the longest of its entries"),
    **differs("drop_params", "on by default; false forwards parameters that a model rejects"),
    **yes("additional_drop_params"),
    **yes("input_cost_per_token output_cost_per_token cache_read_input_token_cost"),
    **yes("cache_creation_input_token_cost cache_creation_input_token_cost_above_1hr"),
    **yes(
        """temperature top_p top_k n seed stop presence_penalty frequency_penalty logit_bias
        logprobs top_logprobs reasoning_effort response_format service_tier user verbosity
        thinking parallel_tool_calls modalities audio prediction store web_search_options""",
        "a default, sent where the client leaves it out; translated for the provider's API",
    ),
    **yes(
        """num_ctx num_predict num_gpu num_thread num_batch repeat_penalty repeat_last_n mirostat
        mirostat_eta mirostat_tau tfs_z typical_p keep_alive""",
        "Ollama's options: a default",
    ),
    **yes("min_p repetition_penalty chat_template_kwargs", "a default, as vLLM and others have it"),
    **yes("safety_settings", "Gemini's: a default"),
    **yes("max_tokens max_completion_tokens", "a default, under the name that the model accepts"),
    **differs("max_budget budget_duration", reasons.WINDOWS),
    **differs(
        "max_parallel_requests",
        "a deployment at its limit is skipped and retried after a pause; requests are not queued",
    ),
    **yes(
        "default_api_key_tpm_limit default_api_key_rpm_limit",
        "per key and model: the lowest of its entries",
    ),
    **later("itpm otpm", "input and output tokens share one limit: use tpm"),
    **yes("tags", "select targets if router_settings.enable_tag_filtering is on"),
    **later("tag_regex", "tags are compared literally"),
    **yes(
        "aws_access_key_id aws_secret_access_key aws_session_token aws_profile_name",
        "stored encrypted, except for variables of the same name, which AWS's own chain reads",
    ),
    **yes("aws_region_name region_name", "also from AWS_REGION_NAME and AWS_REGION"),
    **yes("aws_bedrock_runtime_endpoint"),
    **yes("sagemaker_base_url", "with the path of the endpoint, as in LiteLLM"),
    **yes("model_id", "SageMaker's inference component; of other providers it is not read"),
    **never(
        "hf_model_name aws_sagemaker_allow_zero_temp",
        "the container renders the prompt, and decides on the temperature",
    ),
    **yes("vertex_project vertex_ai_project", "by default the project of the credential"),
    **yes("vertex_location vertex_ai_location"),
    **yes("vertex_credentials vertex_ai_credentials", "JSON, or the path of a JSON file"),
    **yes("azure_ad_token", "sent unchanged; it expires"),
    **yes(
        "tenant_id client_id client_secret azure_scope",
        "tokens are fetched and renewed; `tenant_id` is also Predibase's tenant",
    ),
    **yes("predibase_tenant_id", "also from PREDIBASE_TENANT_ID"),
    **later("adapter_id", "Predibase's adapters; an entry with one is left out"),
    **later(
        """aws_role_name aws_session_name aws_web_identity_token aws_sts_endpoint
        aws_external_id aws_bedrock_project_id""",
        "set aws_profile_name to a profile that assumes the role",
    ),
    **later("watsonx_region_name project_id", reasons.DIALECT),
    **later(
        "azure_ad_token_provider azure_username azure_password",
        "use an api_key, or tenant_id, client_id and client_secret",
    ),
    **yes("litellm_credential_name", "a name in credential_list"),
    **differs(
        "cache_control_injection_points",
        "the route's `prompt_cache`: tools, system prompt and the last two user turns are marked "
        "for clients that mark nothing",
    ),
    **differs(
        "mock_response",
        "a text, or litellm.RateLimitError, .InternalServerError or .ContextWindowExceededError; "
        "returned by the demo provider, at the model's price",
    ),
    **later("mock_tool_calls", "the demo provider has scripted responses"),
    **later(
        "configurable_clientside_auth_params",
        "clients cannot choose the endpoint or credential of a call",
    ),
    **later("input_cost_per_second output_cost_per_second cost_per_query", "prices are per token"),
    **later("input_cost_per_character output_cost_per_character", "prices are per token"),
    **yes("output_cost_per_reasoning_token"),
    **yes("input_cost_per_audio_token output_cost_per_audio_token"),
    **later("metadata proxy_server_request", "not used yet"),
    **later("caching cache ttl", reasons.CACHE),
    **later("use_in_pass_through", "custom paths are not supported"),
    **later("s3_bucket_name s3_region_name gcs_bucket_name bucket_name", reasons.OTHER_KINDS),
    **never(
        """auto_router_config_path auto_router_config auto_router_default_model
        auto_router_embedding_model
        adaptive_router_config quality_router_config""",
        reasons.ROUTERS,
    ),
    **differs("complexity_router_config complexity_router_default_model", reasons.COMPLEXITY),
    **yes("guardrails", "names of guardrails of this file, attached to the route"),
    **never("vector_store_id milvus_text_field", reasons.STORES),
    **never("allowed_openai_params", "all fields that the model accepts are forwarded"),
    **never("use_chat_completions_api", "OpenAI's models are called with Chat Completions"),
    **never("use_litellm_proxy", "write litellm_proxy/MODEL with its api_base"),
    **never("merge_reasoning_content_in_choices", "reasoning is in a separate field"),
    **later("keepalive_seconds allow_client_keepalive_override", reasons.PINGS),
    **never("stream_options", "usage is always requested, and returned to clients that request it"),
    **yes("ssl_verify", reasons.AUTHORITIES),
    **yes("ssl_certificate", reasons.CLIENT_CERTIFICATE),
    **never("model_info id", "set it beside litellm_params"),
    **never("litellm_trace_id max_file_size_mb", "not used"),
    **never(
        """adaptive_router_default_model quality_router_default_model auto_router_max_input_chars
        auto_router_model_compression auto_router_routing_compression""",
        reasons.ROUTERS,
    ),
    **never(
        """milvus_db_name milvus_partition_names valkey_embedding_field valkey_host
        valkey_password valkey_port valkey_ssl valkey_text_field index_name vector_bucket_name
        embedding_model""",
        reasons.STORES,
    ),
    **later(
        "timeout_by_service_tier stream_timeout_by_service_tier",
        "all service tiers have the same timeouts",
    ),
    **later("provider_affinity_header fireworks_forward_user_id", reasons.HEADERS),
    **later("use_xai_oauth", "use an api_key"),
    **later(
        "bedrock_tags aws_session_tags aws_batch_role_arn", "calls are not tagged at the provider"
    ),
    **later(
        """s3_access_key_id s3_secret_access_key s3_bucket_owner s3_encryption_key_id
        s3_endpoint_url s3_output_bucket_name""",
        reasons.OTHER_KINDS,
    ),
    **later(
        """openai_identity_provider_id openai_identity_token_file openai_service_account_id""",
        "use an api_key",
    ),
}

INFO: dict[str, Key] = {
    **yes("mode", "every mode is served; the endpoints depend on the provider"),
    **yes("base_model", "capabilities and prices, for a deployment with another name"),
    **yes("max_tokens max_input_tokens max_output_tokens"),
    **yes("supports_vision supports_function_calling supports_reasoning supports_tool_choice"),
    **yes("supports_response_schema supports_pdf_input supports_audio_input"),
    **yes("supports_parallel_function_calling"),
    **yes("input_cost_per_token output_cost_per_token cache_read_input_token_cost"),
    **yes("cache_creation_input_token_cost cache_creation_input_token_cost_above_1hr"),
    **later("access_groups team_id team_public_model_name access_windows", reasons.TEAMS),
    **later(
        """health_check_model health_check_timeout health_check_max_tokens health_check_voice
        disable_background_health_check""",
        reasons.HEALTH,
    ),
    **later("supported_environments", "all routes exist in every environment"),
    **later("description metadata tier", "descriptions are not shown yet"),
    **later("blocked discoverable", "disable or hide the route in the console"),
    **later("supports_web_search supports_computer_use supports_url_context", reasons.DIALECT),
    **later("enable_tag_filtering allow_fail_open", reasons.TAGS),
    **later("ptu_count cost_per_ptu_per_hour", "prices are per token"),
    **never(
        "id key db_model created_at updated_at created_by updated_by", "managed by the gateway"
    ),
    **never(
        "litellm_provider supports_prompt_caching supports_system_messages",
        "known from the capability tables",
    ),
    **never(
        "supports_native_streaming supports_assistant_prefill", "known from the capability tables"
    ),
    **never("supported_openai_params supported_endpoints", "known from the capability tables"),
    **never("internal_router_model member_auto_router", reasons.ROUTERS),
    **yes("rpm tpm", "as in litellm_params"),
    **later("ptu_effective_from ptu_effective_to", "prices are per token"),
    **later(
        "off_peak_pricing tiered_pricing web_search_billing_unit search_free_requests",
        reasons.PRICED,
    ),
    **later("input_cost_per_character output_cost_per_character", "prices are per token"),
    **later("input_cost_per_second output_cost_per_second", "prices are per token"),
    **yes("output_cost_per_reasoning_token"),
    **yes("input_cost_per_audio_token output_cost_per_audio_token"),
    **later("output_vector_size uses_embed_content", "known from the provider presets"),
    **never(
        """use_openai_responses_path provider_specific_entry prompt_cache_min_tokens
        default_reasoning_effort reasoning_effort_levels supported_audio_formats
        thinking_always_on token_count_framing token_count_model token_count_tokenizer
        bedrock_converse_supports_strict_tools bedrock_output_config_effort_ceiling""",
        "known from the capability tables",
    ),
    **never("vertex_ai_audio_api", reasons.DIALECT),
}
