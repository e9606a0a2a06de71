"""Hosts of third-party models, and routers to them, with OpenAI's Chat API.

A new one is a row here. Traits that a row does not set are those of most such servers
(`COMPATIBLE`).
"""

from __future__ import annotations

from typing import Any

from gateway.providers.catalog.shared import USE_OLDER_NAMES, TraitValues, compatible_preset
from gateway.providers.profile import Edit, Preset

# vLLM or SGLang behind a proxy: their sampling fields, their reasoning field.
_OPEN_MODEL_TRAITS: TraitValues = {
    "reasoning_field": "reasoning_content",
    "top_k": True,
    "min_p": True,
    "repetition_penalty": True,
}


def _open_model_preset(*, traits: TraitValues | None = None, **fields: Any) -> Preset:
    return compatible_preset(traits={**_OPEN_MODEL_TRAITS, **(traits or {})}, **fields)


HOST_PRESETS: tuple[Preset, ...] = (
    _open_model_preset(
        name="novita",
        title="Novita AI",
        base_url="https://api.novita.ai/openai/v1",
        env=("NOVITA_API_KEY",),
        docs="https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion",
        litellm=("novita",),
        prices="novita",
    ),
    _open_model_preset(
        name="hyperbolic",
        title="Hyperbolic",
        base_url="https://api.hyperbolic.xyz/v1",
        env=("HYPERBOLIC_API_KEY",),
        docs="https://docs.hyperbolic.xyz/docs/rest-api",
        litellm=("hyperbolic",),
    ),
    _open_model_preset(
        name="nebius",
        title="Nebius Token Factory",
        base_url="https://api.tokenfactory.nebius.com/v1",
        env=("NEBIUS_API_KEY",),
        docs="https://docs.tokenfactory.nebius.com/api-reference/inference/create-chat-completion",
        litellm=("nebius",),
    ),
    _open_model_preset(
        name="baseten",
        title="Baseten",
        base_url="https://inference.baseten.co/v1",
        env=("BASETEN_API_KEY",),
        docs="https://docs.baseten.co/reference/inference-api/chat-completions",
        litellm=("baseten",),
        prices="baseten",
    ),
    _open_model_preset(
        name="featherless",
        title="Featherless AI",
        base_url="https://api.featherless.ai/v1",
        env=("FEATHERLESS_AI_API_KEY", "FEATHERLESS_API_KEY"),
        docs="https://featherless.ai/docs/quickstart-guide",
        litellm=("featherless_ai",),
    ),
    _open_model_preset(
        name="friendli",
        title="Friendli",
        base_url="https://api.friendli.ai/serverless/v1",
        env=("FRIENDLIAI_API_KEY", "FRIENDLI_TOKEN"),
        docs="https://friendli.ai/docs/guides/serverless_endpoints/introduction",
        litellm=("friendliai",),
    ),
    _open_model_preset(
        name="lambda",
        title="Lambda",
        base_url="https://api.lambda.ai/v1",
        env=("LAMBDA_API_KEY",),
        docs="https://docs.lambda.ai/public-cloud/lambda-inference-api/",
        litellm=("lambda_ai",),
    ),
    _open_model_preset(
        name="siliconflow",
        logo="siliconcloud",
        title="SiliconFlow",
        base_url="https://api.siliconflow.com/v1",
        env=("SILICONFLOW_API_KEY",),
        docs="https://docs.siliconflow.com/en/api-reference/chat-completions/chat-completions",
    ),
    _open_model_preset(
        name="nscale",
        logo="custom",
        title="Nscale",
        base_url="https://inference.api.nscale.com/v1",
        env=("NSCALE_API_KEY",),
        docs="https://docs.nscale.com/docs/inference/chat",
        litellm=("nscale",),
    ),
    _open_model_preset(
        name="ovhcloud",
        logo="custom",
        title="OVHcloud AI Endpoints",
        base_url="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
        env=("OVHCLOUD_API_KEY",),
        docs="https://www.ovhcloud.com/en/public-cloud/ai-endpoints/catalog/",
        litellm=("ovhcloud",),
        prices="ovhcloud",
    ),
    _open_model_preset(
        name="scaleway",
        logo="custom",
        title="Scaleway Generative APIs",
        base_url="https://api.scaleway.ai/v1",
        env=("SCW_SECRET_KEY", "SCALEWAY_API_KEY"),
        docs="https://www.scaleway.com/en/docs/generative-apis/",
        litellm=("scaleway",),
    ),
    _open_model_preset(
        name="wandb",
        title="Weights & Biases Inference",
        base_url="https://api.inference.wandb.ai/v1",
        env=("WANDB_API_KEY",),
        docs="https://docs.wandb.ai/guides/integrations/inference/",
        litellm=("wandb",),
        traits={"reasoning_field": "reasoning"},
    ),
    compatible_preset(
        name="digitalocean",
        title="DigitalOcean",
        base_url="https://inference.do-ai.run/v1",
        env=("GRADIENT_AI_API_KEY", "DIGITALOCEAN_ACCESS_TOKEN"),
        docs="https://docs.digitalocean.com/products/inference/",
        litellm=("gradient_ai",),
        traits={"max_tokens_field": "max_completion_tokens"},
        edits=(),
    ),
    # Each deployment has a server of its own, whose `model` is an adapter; "" is the base model.
    # Its messages are plain texts, its `stop` a list, and its `max_tokens` 20 by default
    # (predibase/lorax, router/src/lib.rs); LiteLLM sends 4096.
    _open_model_preset(
        name="predibase",
        logo="custom",
        title="Predibase",
        base_url="",
        url_example="https://serving.app.predibase.com/TENANT",
        env=("PREDIBASE_API_KEY", "PREDIBASE_API_TOKEN"),
        docs="https://docs.predibase.com/user-guide/inference/migrate-openai",
        litellm=("predibase",),
        paths=dict.fromkeys(
            ("generate", "stream"), "/deployments/v2/llms/{model}/v1/chat/completions"
        ),
        model_in_path=("generate",),
        body={"model": ""},
        traits={"images": False, "structured": "none", "n_max": 2},
        edits=(
            *USE_OLDER_NAMES,
            Edit(op="default", path="max_tokens", value=4096, reason="Predibase's default is 20"),
        ),
        passthrough=False,
    ),
    _open_model_preset(
        name="chutes",
        title="Chutes",
        base_url="https://llm.chutes.ai/v1",
        env=("CHUTES_API_KEY",),
        docs="https://chutes.ai/docs",
        litellm=("chutes",),
    ),
    compatible_preset(
        name="vercel",
        title="Vercel AI Gateway",
        base_url="https://ai-gateway.vercel.sh/v1",
        env=("VERCEL_AI_GATEWAY_API_KEY", "AI_GATEWAY_API_KEY"),
        docs="https://vercel.com/docs/ai-gateway/sdks-and-apis/openai-chat-completions",
        litellm=("vercel_ai_gateway",),
        # It reads efforts from OpenRouter's object, and returns reasoning in its field.
        traits={
            "reasoning": True,
            "thinking_request": "reasoning",
            "efforts": ("none", "minimal", "low", "medium", "high", "xhigh"),
            "reasoning_field": "reasoning",
            "text_parts": True,
            "pdf": True,
            "web_search_options": True,
        },
    ),
    compatible_preset(
        name="aiml",
        logo="custom",
        title="AI/ML API",
        base_url="https://api.aimlapi.com/v1",
        env=("AIML_API_KEY", "AIMLAPI_KEY"),
        docs="https://docs.aimlapi.com/",
        litellm=("aiml",),
        traits={"reasoning_field": "reasoning_content", "web_search_options": True},
    ),
    compatible_preset(
        name="aihubmix",
        title="AIHubMix",
        base_url="https://aihubmix.com/v1",
        env=("AIHUBMIX_API_KEY",),
        docs="https://docs.aihubmix.com",
        litellm=("aihubmix",),
        traits={"reasoning_field": "reasoning_content", "web_search_options": True},
    ),
    compatible_preset(
        name="poe",
        title="Poe",
        base_url="https://api.poe.com/v1",
        env=("POE_API_KEY",),
        docs="https://creator.poe.com/docs/external-applications/openai-compatible-api",
        litellm=("poe",),
        traits={"thinking_request": "none", "reasoning_field": "reasoning_content"},
    ),
    compatible_preset(
        name="cloudflare",
        title="Cloudflare Workers AI",
        base_url="",
        url_example="https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai/v1",
        env=("CLOUDFLARE_API_KEY", "CLOUDFLARE_API_TOKEN"),
        docs="https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility/",
        litellm=("cloudflare",),
        aliases=("workers_ai",),
        traits={"reasoning_field": "reasoning_content"},
        prices="cloudflare",
    ),
    compatible_preset(
        name="databricks",
        logo="dbrx",
        title="Databricks",
        base_url="",
        url_example="https://WORKSPACE.cloud.databricks.com/serving-endpoints",
        env=("DATABRICKS_API_KEY", "DATABRICKS_TOKEN"),
        docs="https://docs.databricks.com/aws/en/machine-learning/foundation-model-apis/api-reference",
        litellm=("databricks",),
        traits={"user_field": "none"},
        prices="databricks",
    ),
    compatible_preset(
        name="snowflake",
        title="Snowflake Cortex",
        base_url="",
        url_example="https://ACCOUNT.snowflakecomputing.com/api/v2/cortex/v1",
        env=("SNOWFLAKE_CORTEX_PAT", "SNOWFLAKE_JWT"),
        docs="https://docs.snowflake.com/en/user-guide/snowflake-cortex/cortex-rest-api",
        litellm=("snowflake",),
        traits={"user_field": "none", "max_tokens_field": "max_completion_tokens"},
        edits=(),
    ),
)
