"""The numbers of channel types -> presets. From 26 on, one-api and new-api number differently."""

from __future__ import annotations

import re

import msgspec

_CUSTOM_PRESET = "custom"


class ChannelType(msgspec.Struct, frozen=True):
    """A type of channel: the preset, its usual host there, and the path after the host.

    `has_version` is whether its URLs have an `api-version`.
    """

    preset: str
    host: str = ""
    path: str = ""
    has_version: bool = False


_SHARED_TYPES = {
    1: ChannelType("openai", "https://api.openai.com", "/v1"),
    3: ChannelType("azure_openai", has_version=True),
    8: ChannelType(_CUSTOM_PRESET, "", "/v1"),
    14: ChannelType("anthropic", "https://api.anthropic.com"),
    16: ChannelType("zhipu", "https://open.bigmodel.cn", "/api/paas/v4"),
    17: ChannelType("dashscope-cn", "https://dashscope.aliyuncs.com", "/compatible-mode/v1"),
    20: ChannelType("openrouter", "https://openrouter.ai/api", "/v1"),
    24: ChannelType("gemini", "https://generativelanguage.googleapis.com"),
    25: ChannelType("moonshot", "https://api.moonshot.cn", "/v1"),
    31: ChannelType(_CUSTOM_PRESET, "https://api.lingyiwanwu.com", "/v1"),
    # Resellers with OpenAI's API.
    2: ChannelType(_CUSTOM_PRESET, "https://oa.api2d.net", "/v1"),
    5: ChannelType(_CUSTOM_PRESET, "https://api.openai-sb.com", "/v1"),
    6: ChannelType(_CUSTOM_PRESET, "https://api.openaimax.com", "/v1"),
    7: ChannelType(_CUSTOM_PRESET, "https://api.ohmygpt.com", "/v1"),
    10: ChannelType(_CUSTOM_PRESET, "https://api.aiproxy.io", "/v1"),
    12: ChannelType(_CUSTOM_PRESET, "https://api.api2gpt.com", "/v1"),
    13: ChannelType(_CUSTOM_PRESET, "https://api.aigc2d.com", "/v1"),
}
_OLLAMA = ChannelType("ollama", "http://localhost:11434")
_MINIMAX = ChannelType("minimax-openai", "https://api.minimax.chat", "/v1")
_MISTRAL = ChannelType("mistral", "https://api.mistral.ai", "/v1")
_COHERE = ChannelType("cohere", "https://api.cohere.ai")
_DEEPSEEK = ChannelType("deepseek", "https://api.deepseek.com", "/v1")
_VOLCENGINE = ChannelType("volcengine", "https://ark.cn-beijing.volces.com", "/api/v3")
_SILICONFLOW = ChannelType("siliconflow", "https://api.siliconflow.cn", "/v1")
_XAI = ChannelType("xai", "https://api.x.ai", "/v1")
_QIANFAN = ChannelType(_CUSTOM_PRESET, "https://qianfan.baidubce.com", "/v2")
ONE_API = {
    **_SHARED_TYPES,
    26: ChannelType(_CUSTOM_PRESET, "https://api.baichuan-ai.com", "/v1"),
    27: _MINIMAX,
    28: _MISTRAL,
    29: ChannelType("groq", "https://api.groq.com/openai", "/v1"),
    30: _OLLAMA,
    32: ChannelType("stepfun", "https://api.stepfun.com", "/v1"),
    35: _COHERE,
    36: _DEEPSEEK,
    39: ChannelType("together", "https://api.together.xyz", "/v1"),
    40: _VOLCENGINE,
    41: ChannelType("novita", "https://api.novita.ai/v3/openai"),
    44: _SILICONFLOW,
    45: _XAI,
    47: _QIANFAN,
    49: ChannelType("dashscope-cn", "https://dashscope.aliyuncs.com", "/compatible-mode/v1"),
    50: ChannelType(_CUSTOM_PRESET, "", "/v1"),
    51: ChannelType("gemini-openai", "https://generativelanguage.googleapis.com/v1beta/openai"),
}
NEW_API = {
    **_SHARED_TYPES,
    4: _OLLAMA,
    26: ChannelType("zhipu", "https://open.bigmodel.cn", "/api/paas/v4"),
    27: ChannelType("perplexity", "https://api.perplexity.ai"),
    34: _COHERE,
    35: _MINIMAX,
    38: ChannelType("jina", "https://api.jina.ai", "/v1"),
    40: _SILICONFLOW,
    42: _MISTRAL,
    43: _DEEPSEEK,
    45: _VOLCENGINE,
    46: _QIANFAN,
    47: ChannelType("xinference", "http://127.0.0.1:9997", "/v1"),
    48: _XAI,
    53: ChannelType(_CUSTOM_PRESET, "https://llm.submodel.ai", "/v1"),
}
# Presets whose default URL is the same in one-api, apart from the spelling of the host.
_SAME_URL_PRESETS = frozenset({"cohere", "novita", "deepseek", "ollama", "xinference"})
_VERSION = re.compile(r"/v\d+[a-z]*(?:/openai)?$")


def base_url_of(kind: ChannelType, configured_url: str) -> str:
    """The base URL of a channel's provider; empty for the preset's own.

    The URL of a channel ends before the version, and with some types before the whole endpoint.
    """
    base = configured_url.strip().rstrip("/")
    if base in ("", kind.host) and kind.preset in _SAME_URL_PRESETS:
        return ""
    base = base or kind.host
    for endpoint in ("/chat/completions", "/messages"):
        base = base.removesuffix(endpoint)
    if kind.path and not base.endswith(kind.path) and not _VERSION.search(base):
        base += kind.path
    return base
