"""Models hosted by cloud providers: Amazon, Microsoft and Google. A new one is a row here.

The base URL contains a region, a project or a resource; a preset's base URL, if any, has the
provider's default region, and a provider row sets its own.
"""

from __future__ import annotations

from gateway.providers.catalog.shared import (
    ANTHROPIC,
    CONVERSE,
    DROP_GATEWAY_FIELDS,
    SHORTEN_USER_IDS,
    TraitValues,
    compatible_preset,
)
from gateway.providers.profile import Preset

# Of Anthropic's server tools, clouds support only web search for Claude.
# Anthropic's SDKs use its message threads on its own API only.
_CLAUDE: TraitValues = {**ANTHROPIC, "service_tier": False, "message_threads": False}
_CLAUDE_ON_VERTEX = "/publishers/anthropic/models/"

CLOUD_PRESETS: tuple[Preset, ...] = (
    Preset(
        name="bedrock",
        title="Amazon Bedrock",
        dialect="bedrock_converse",
        base_url="https://bedrock-runtime.us-east-1.amazonaws.com",
        auth="sigv4",
        env=("AWS_BEARER_TOKEN_BEDROCK",),
        docs="https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html",
        litellm=("bedrock", "bedrock_converse"),
        aliases=("converse",),
        traits=CONVERSE,
        prices="aws",
    ),
    Preset(
        name="bedrock-anthropic",
        logo="bedrock",
        title="Amazon Bedrock (Claude, Messages)",
        dialect="anthropic_messages",
        base_url="https://bedrock-mantle.us-east-1.api.aws/anthropic",
        auth="sigv4",
        env=("AWS_BEARER_TOKEN_BEDROCK",),
        docs="https://platform.claude.com/docs/en/build-with-claude/claude-in-amazon-bedrock",
        litellm=("bedrock_mantle",),
        traits=_CLAUDE,
        prices="aws",
    ),
    # The Messages API of TGI, LMI and vLLM containers. The variable has a key as ID:SECRET, or
    # AWS's own chain has one.
    compatible_preset(
        name="sagemaker",
        logo="bedrock",
        title="Amazon SageMaker (Messages API)",
        base_url="https://runtime.sagemaker.us-east-1.amazonaws.com",
        auth="sigv4",
        env=("SAGEMAKER_AWS_KEY",),
        docs="https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html",
        litellm=("sagemaker_chat", "sagemaker"),
        paths={
            "generate": "/endpoints/{model}/invocations",
            "stream": "/endpoints/{model}/invocations-response-stream",
        },
        traits={"user_field": "none", "reasoning_field": "reasoning_content"},
    ),
    Preset(
        name="azure_openai",
        logo="azureai",
        title="Azure OpenAI",
        base_url="",
        url_example="https://RES.openai.azure.com",
        auth="api-key",
        env=("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
        docs="https://learn.microsoft.com/azure/ai-services/openai/reference",
        litellm=("azure",),
        aliases=("azure_openai_chat",),
        # The URL contains the deployment. For `/openai/v1` a provider row sets its own
        # paths and an empty query.
        paths={
            "generate": "/openai/deployments/{model}/chat/completions",
            "completions": "/openai/deployments/{model}/completions",
            "embed": "/openai/deployments/{model}/embeddings",
            # The api-version below does not have it; the v1 API has no api-version.
            "responses": "/openai/responses?api-version=2025-04-01-preview",
        },
        query=(("api-version", "2024-10-21"),),
        # A field unknown to its api-version is a 400.
        traits={
            "json_arguments": False,
            "tool_id_rule": "any64",
            "user_field": "user",
            "session_field": "none",
            "metadata": False,
            "store": False,
            "service_tier": False,
            "web_search_options": False,
        },
        edits=(*SHORTEN_USER_IDS, *DROP_GATEWAY_FIELDS),
        prices="azure",
    ),
    Preset(
        name="azure-openai-v1",
        logo="azureai",
        title="Azure OpenAI (v1)",
        base_url="",
        url_example="https://RES.openai.azure.com/openai/v1",
        auth="api-key",
        env=("AZURE_OPENAI_V1_API_KEY",),
        docs="https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle",
        aliases=("azure_v1",),
        traits={
            "json_arguments": False,
            "user_field": "user",
            "tool_id_rule": "any64",
            "web_search_options": False,
        },
        edits=(*SHORTEN_USER_IDS, *DROP_GATEWAY_FIELDS),
        prices="azure",
    ),
    compatible_preset(
        name="azure_ai",
        logo="azureai",
        title="Microsoft Foundry Models",
        base_url="",
        url_example="https://RES.services.ai.azure.com/models",
        auth="api-key",
        env=("AZURE_AI_API_KEY",),
        docs="https://learn.microsoft.com/rest/api/aifoundry/modelinference/",
        litellm=("azure_ai",),
        query=(("api-version", "2024-05-01-preview"),),
        traits={"user_field": "none", "text_parts": True},
        prices="azure",
    ),
    Preset(
        name="azure-anthropic",
        logo="azureai",
        title="Microsoft Foundry (Claude)",
        dialect="anthropic_messages",
        base_url="",
        url_example="https://RES.services.ai.azure.com/anthropic",
        auth="x-api-key",
        env=("AZURE_ANTHROPIC_API_KEY", "ANTHROPIC_FOUNDRY_API_KEY"),
        docs="https://platform.claude.com/docs/en/build-with-claude/claude-in-microsoft-foundry",
        aliases=("azure_claude", "foundry_anthropic"),
        traits=_CLAUDE,
        prices="anthropic",
    ),
    Preset(
        name="vertex-anthropic",
        logo="vertexai",
        title="Google Vertex AI (Claude)",
        dialect="anthropic_messages",
        base_url="",
        url_example="https://aiplatform.googleapis.com/v1/projects/P/locations/global",
        auth="google",
        env=("GOOGLE_TOKEN",),
        docs="https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai",
        aliases=("vertex_claude",),
        paths={
            "generate": f"{_CLAUDE_ON_VERTEX}{{model}}:rawPredict",
            "stream": f"{_CLAUDE_ON_VERTEX}{{model}}:streamRawPredict",
            "count_tokens": f"{_CLAUDE_ON_VERTEX}count-tokens:rawPredict",
        },
        model_in_path=("generate",),
        body={"anthropic_version": "vertex-2023-10-16"},
        traits=_CLAUDE,
        prices="google",
    ),
    compatible_preset(
        name="vertex-openai",
        logo="vertexai",
        title="Google Vertex AI (open models)",
        base_url="",
        url_example=(
            "https://us-central1-aiplatform.googleapis.com/v1/projects/PROJECT"
            "/locations/us-central1/endpoints/openapi"
        ),
        auth="google",
        env=("VERTEX_OPENAI_ACCESS_TOKEN",),
        docs="https://cloud.google.com/vertex-ai/generative-ai/docs/maas/use-open-models",
        traits={"user_field": "none", "reasoning_field": "reasoning_content"},
        prices="google",
    ),
)
