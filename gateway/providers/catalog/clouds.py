"""Models in the clouds of others: Amazon's, Microsoft's, Google's. A new one is a row here.

A region, a project or a resource stands in the base URL; where one is shown it is the
provider's first, and a provider row sets its own.
"""

from __future__ import annotations

from gateway.providers.catalog.facts import ANTHROPIC, CONVERSE, Facts
from gateway.providers.profile import Preset

# Claude at a cloud takes no server tools of Anthropic's own but the search.
_CLAUDE: Facts = {**ANTHROPIC, "service_tier": False}
_CLAUDE_ON_VERTEX = "/publishers/anthropic/models/"

CLOUDS: tuple[Preset, ...] = (
    Preset(
        name="bedrock",
        title="Amazon Bedrock",
        dialect="bedrock_converse",
        base_url="https://bedrock-runtime.us-east-1.amazonaws.com",
        auth="sigv4",
        env=("AWS_BEARER_TOKEN_BEDROCK",),
        docs="https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html",
        litellm=("bedrock", "bedrock_converse"),
        aliases=("bedrock_converse_stream", "converse"),
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
        aliases=("bedrock_mantle",),
        traits=_CLAUDE,
        prices="aws",
    ),
    Preset(
        name="azure-anthropic",
        logo="azureai",
        title="Microsoft Foundry (Claude)",
        dialect="anthropic_messages",
        base_url="",
        url_example="https://RES.services.ai.azure.com/anthropic",
        auth="api-key",
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
)
